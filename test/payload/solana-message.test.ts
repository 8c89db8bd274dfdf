import { getCompiledTransactionMessageDecoder, getCompiledTransactionMessageEncoder } from '@solana/kit'
import { getTransferSolInstruction } from '@solana-program/system'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { encodeBase58 } from '../../src/domain/base58.ts'
import type { SolanaMessage } from '../../src/payload/solana-message.ts'
import {
  decodeSolanaMessage,
  encodeSolanaMessage,
  isSigner,
  isWritable,
  looksLikeSolanaMessage,
} from '../../src/payload/solana-message.ts'
import { refusalOf } from './refusal.ts'
import { addressOf, BLOCKHASH, buildMessage, instruction, signerOf } from './solana-cases.ts'

const PAYER = addressOf(1)
const transfer = getTransferSolInstruction({
  source: signerOf(PAYER),
  destination: addressOf(2),
  amount: 1_000_000n,
})
const manifold = instruction(
  addressOf(9),
  [1, 2, 3],
  [
    [addressOf(3), 'ws'],
    [addressOf(4), 's'],
    [addressOf(5), 'w'],
    [addressOf(6)],
    [addressOf(7), 'w'],
    [addressOf(8)],
  ],
)
const TABLES = { [addressOf(20)]: [addressOf(6), addressOf(5)], [addressOf(21)]: [addressOf(7)] }

const MESSAGES = {
  legacy: buildMessage({ payer: PAYER, instructions: [transfer], version: 'legacy' }),
  v0: buildMessage({ payer: PAYER, instructions: [transfer] }),
  manySigners: buildMessage({ payer: PAYER, instructions: [transfer, manifold], version: 'legacy' }),
  lookups: buildMessage({ payer: PAYER, instructions: [transfer, manifold], tables: TABLES }),
  empty: buildMessage({ payer: PAYER, instructions: [] }),
  longData: buildMessage({ payer: PAYER, instructions: [instruction(addressOf(9), new Uint8Array(300), [])] }),
}
const cases = Object.entries(MESSAGES)

/** The decoder's view in the shape of the kit's. */
const asKit = ({ version, staticKeys, blockhash, instructions, lookups, ...header }: SolanaMessage) => ({
  version,
  header: {
    numSignerAccounts: header.requiredSignatures,
    numReadonlySignerAccounts: header.readonlySigned,
    numReadonlyNonSignerAccounts: header.readonlyUnsigned,
  },
  staticAccounts: staticKeys.map(encodeBase58),
  lifetimeToken: encodeBase58(blockhash),
  instructions: instructions.map(({ programIndex, accountIndexes, data }) => ({
    programAddressIndex: programIndex,
    ...(accountIndexes.length > 0 && { accountIndices: [...accountIndexes] }),
    ...(data.length > 0 && { data }),
  })),
  ...(lookups.length > 0 && {
    addressTableLookups: lookups.map(({ table, writableIndexes, readonlyIndexes }) => ({
      lookupTableAddress: encodeBase58(table),
      writableIndexes: [...writableIndexes],
      readonlyIndexes: [...readonlyIndexes],
    })),
  }),
})

const change = (
  name: keyof typeof MESSAGES,
  edit: (message: SolanaMessage) => Partial<SolanaMessage>,
): Uint8Array => {
  const message = decodeSolanaMessage(MESSAGES[name])
  return encodeSolanaMessage({ ...message, ...edit(message) })
}

const whyRefused = (bytes: Uint8Array) => {
  const refusal = refusalOf(() => decodeSolanaMessage(bytes))
  expect(refusal?.reason).toBe('TRANSACTION_INVALID')
  return `${String(refusal?.facts['field'])}: ${String(refusal?.facts['why'])}`
}

const splice = (bytes: Uint8Array, at: number, remove: number, ...insert: number[]): Uint8Array =>
  Uint8Array.from([...bytes.slice(0, at), ...insert, ...bytes.slice(at + remove)])

describe('a Solana message', () => {
  it.each(cases)('%s is read as the kit reads it, and written back byte for byte', (_name, bytes) => {
    const message = decodeSolanaMessage(bytes)
    expect(asKit(message)).toEqual(getCompiledTransactionMessageDecoder().decode(bytes))
    expect(encodeSolanaMessage(message)).toEqual(bytes)
  })

  it('says who signs and what is written', () => {
    const message = decodeSolanaMessage(MESSAGES.lookups)
    const roles = message.staticKeys.map((key, index) => [
      encodeBase58(key),
      `${isWritable(message, index) ? 'w' : ''}${isSigner(message, index) ? 's' : ''}`,
    ])
    expect(Object.fromEntries(roles)).toMatchObject({
      [PAYER]: 'ws',
      [addressOf(3)]: 'ws',
      [addressOf(4)]: 's',
      [addressOf(2)]: 'w',
      [addressOf(8)]: '',
    })
    const lookedUp = message.staticKeys.length
    expect([0, 1, 2, 3].map((index) => isWritable(message, lookedUp + index))).toEqual([true, true, false, false])
    expect(encodeBase58(message.blockhash)).toBe(BLOCKHASH)
  })

  it('keeps copies', () => {
    const bytes = MESSAGES.v0.slice()
    const message = decodeSolanaMessage(bytes)
    bytes.fill(0)
    expect(encodeSolanaMessage(message)).toEqual(MESSAGES.v0)
  })

  it.each(cases)('%s is refused when it is cut anywhere or followed by anything', (_name, bytes) => {
    for (let length = 0; length < bytes.length; length++)
      expect(whyRefused(bytes.slice(0, length))).toMatch(/truncated|trailing/)
    expect(whyRefused(Uint8Array.from([...bytes, 0]))).toMatch(/trailing/)
  })

  it.each([
    ['unknown version', splice(MESSAGES.v0, 0, 1, 0x81), /version/],
    ['the last version', splice(MESSAGES.v0, 0, 1, 0xff), /version/],
    ['no signer', change('v0', () => ({ requiredSignatures: 0 })), /fee payer/],
    ['a read-only fee payer', change('v0', () => ({ readonlySigned: 1 })), /fee payer/],
    ['more signers than keys', change('v0', () => ({ requiredSignatures: 4 })), /more keys/],
    ['overlapping signers and read-only keys', change('v0', () => ({ readonlyUnsigned: 3 })), /more keys/],
    [
      'the fee payer as program',
      change('v0', ({ instructions }) => ({
        instructions: instructions.map((item) => ({ ...item, programIndex: 0 })),
      })),
      /calls the fee payer/,
    ],
    [
      'a program beyond the keys',
      change('v0', ({ instructions }) => ({
        instructions: instructions.map((item) => ({ ...item, programIndex: 3 })),
      })),
      /static key/,
    ],
    [
      'a looked-up program',
      change('lookups', ({ instructions, staticKeys }) => ({
        instructions: instructions.map((item) => ({ ...item, programIndex: staticKeys.length })),
      })),
      /static key/,
    ],
    [
      'an account beyond the last',
      change('legacy', ({ instructions }) => ({
        instructions: instructions.map((item) => ({ ...item, accountIndexes: Uint8Array.of(0, 3) })),
      })),
      /beyond the last/,
    ],
    [
      'an account beyond the last looked-up one',
      change('lookups', ({ instructions, staticKeys }) => ({
        instructions: instructions.map((item) => ({
          ...item,
          accountIndexes: Uint8Array.of(staticKeys.length + 3),
        })),
      })),
      /beyond the last/,
    ],
    [
      'an empty lookup',
      change('v0', () => ({
        lookups: [
          { table: new Uint8Array(32), writableIndexes: new Uint8Array(), readonlyIndexes: new Uint8Array() },
        ],
      })),
      /looks nothing up/,
    ],
    [
      'a key twice',
      change('v0', ({ staticKeys }) => ({ staticKeys: [...staticKeys.slice(0, 2), staticKeys[0] as Uint8Array] })),
      /twice/,
    ],
    [
      'more than 256 accounts',
      change('v0', () => ({
        lookups: [
          { table: new Uint8Array(32), writableIndexes: new Uint8Array(254), readonlyIndexes: new Uint8Array() },
        ],
      })),
      /more than 256/,
    ],
    ['a key count of two bytes', splice(MESSAGES.legacy, 3, 1, 0x83, 0), /shortest/],
    ['a key count of three bytes', splice(MESSAGES.legacy, 3, 1, 0x83, 0x80, 0), /shortest/],
    ['a key count of four bytes', splice(MESSAGES.legacy, 3, 1, 0x83, 0x80, 0x80, 0), /compact-u16/],
    ['a key count over 65535', splice(MESSAGES.legacy, 3, 1, 0xff, 0xff, 0x04), /compact-u16/],
    ['a huge message', new Uint8Array(1233), /over 1232/],
  ])('with %s is refused', (_name, bytes, why) => {
    expect(whyRefused(bytes)).toMatch(why)
  })

  it('fits into a packet with its signatures, to the byte', () => {
    const ofData = (length: number) =>
      change('longData', ({ instructions }) => ({
        instructions: instructions.map((item) => ({ ...item, data: new Uint8Array(length) })),
      }))
    const room = 1232 - 65 - (ofData(300).length - 300)
    expect(ofData(room)).toHaveLength(1232 - 65)
    expect(decodeSolanaMessage(ofData(room)).instructions).toHaveLength(1)
    expect(whyRefused(ofData(room + 1))).toMatch(/packet/)
  })

  it('is accepted only when it is the one encoding of what the kit reads too', () => {
    const mutated = fc
      .tuple(
        fc.constantFrom(...cases.map(([, bytes]) => bytes)),
        fc.array(fc.tuple(fc.nat(), fc.constantFrom('set', 'insert', 'remove'), fc.nat(255)), { maxLength: 3 }),
      )
      .map(([bytes, edits]) => {
        let result = bytes
        for (const [where, how, value] of edits) {
          const at = where % result.length
          if (how === 'set') result = splice(result, at, 1, value)
          else result = how === 'insert' ? splice(result, at, 0, value) : splice(result, at, 1)
        }
        return result
      })
    let accepted = 0
    fc.assert(
      fc.property(fc.oneof({ weight: 9, arbitrary: mutated }, fc.uint8Array({ maxLength: 300 })), (bytes) => {
        if (refusalOf(() => decodeSolanaMessage(bytes)) !== undefined) return
        accepted++
        const message = decodeSolanaMessage(bytes)
        expect(encodeSolanaMessage(message)).toEqual(bytes)
        const kit = getCompiledTransactionMessageDecoder().decode(bytes)
        expect(asKit(message)).toEqual(kit)
        expect(new Uint8Array(getCompiledTransactionMessageEncoder().encode(kit))).toEqual(bytes)
        expect(looksLikeSolanaMessage(bytes)).toBe(true)
      }),
      { numRuns: 5000 },
    )
    expect(accepted).toBeGreaterThan(100)
  })
})

describe('bytes that pass for a Solana message', () => {
  it.each(cases)('%s, canonical or not, whatever follows', (_name, bytes) => {
    expect(looksLikeSolanaMessage(bytes)).toBe(true)
    expect(looksLikeSolanaMessage(Uint8Array.from([...bytes, 1, 2, 3]))).toBe(true)
    const countAt = bytes[0] === 0x80 ? 4 : 3
    expect(looksLikeSolanaMessage(splice(bytes, countAt, 1, (bytes[countAt] ?? 0) | 0x80, 0))).toBe(true)
  })

  it('with a key twice', () => {
    const repeated = change('v0', ({ staticKeys }) => ({
      staticKeys: [...staticKeys.slice(0, 2), staticKeys[0] as Uint8Array],
    }))
    expect(looksLikeSolanaMessage(repeated)).toBe(true)
  })

  it('of version 1', () => {
    const v1 = getCompiledTransactionMessageEncoder().encode({
      version: 1,
      header: { numSignerAccounts: 1, numReadonlySignerAccounts: 0, numReadonlyNonSignerAccounts: 1 },
      configMask: 0b00111,
      configValues: [
        { kind: 'u64', value: 5n },
        { kind: 'u32', value: 6 },
      ],
      lifetimeToken: BLOCKHASH,
      numInstructions: 1,
      numStaticAccounts: 3,
      staticAccounts: [PAYER, addressOf(2), addressOf(0)],
      instructionHeaders: [{ programAccountIndex: 2, numInstructionAccounts: 2, numInstructionDataBytes: 260 }],
      instructionPayloads: [{ instructionAccountIndices: [0, 1], instructionData: new Uint8Array(260) }],
    })
    expect(looksLikeSolanaMessage(new Uint8Array(v1))).toBe(true)
    expect(looksLikeSolanaMessage(new Uint8Array(v1.slice(0, -1)))).toBe(false)
    expect(whyRefused(new Uint8Array(v1))).toMatch(/version/)
  })

  it('are not printable text, digests, nonces or off-chain messages', () => {
    const text = fc.string({ minLength: 0, maxLength: 1300, unit: fc.constantFrom(' ', '~', 'a', 'Z', '0', '!', 'é', '中') })
    fc.assert(
      fc.property(text, (value) => !looksLikeSolanaMessage(new Uint8Array(Buffer.from(value, 'utf8')))),
      { numRuns: 300 },
    )
    fc.assert(fc.property(fc.uint8Array({ maxLength: 68 }), (value) => !looksLikeSolanaMessage(value)))
    expect(
      looksLikeSolanaMessage(Buffer.from('\u00ffsolana offchain\u0000'.padEnd(200, '\u0001'), 'latin1')),
    ).toBe(false)
    expect(looksLikeSolanaMessage(new Uint8Array())).toBe(false)
    // A whole transaction is no message: its first byte counts signatures.
    expect(looksLikeSolanaMessage(Uint8Array.from([1, ...new Uint8Array(64).fill(7), ...MESSAGES.v0]))).toBe(false)
  })
})
