import {
  type Address,
  getOffchainMessageV0Encoder,
  getOffchainMessageV1Encoder,
  type OffchainMessageApplicationDomain,
  OffchainMessageContentFormat,
  type OffchainMessageV0,
} from '@solana/kit'
import { describe, expect, it } from 'vitest'
import type { ProjectId, WalletId } from '../../src/domain/ids.ts'
import { examine } from '../../src/payload/examine.ts'
import { examineEd25519, messageOf } from '../../src/payload/examine-ed25519.ts'
import type { SigningContent } from '../../src/payload/signing-payload.ts'
import { encodeSigningPayload, parseSigningPayload } from '../../src/payload/signing-payload.ts'
import { readSolanaOffchain } from '../../src/payload/solana-offchain.ts'
import { SYSTEM_PROGRAM } from '../../src/payload/solana-programs.ts'
import { refusalOf } from './refusal.ts'
import { addressOf, buildMessage, createSigner, instruction, u32, u64 } from './solana-cases.ts'

const wallet = createSigner()
const transfer = instruction(
  SYSTEM_PROGRAM as Address,
  [...u32(2), ...u64(7n)],
  [
    [wallet.address, 'ws'],
    [addressOf(2), 'w'],
  ],
)
const TRANSACTION = buildMessage({ payer: wallet.address, instructions: [transfer] })

const text = (value: string): Uint8Array => new Uint8Array(Buffer.from(value, 'utf8'))
const message = (bytes: Uint8Array): SigningContent => ({ kind: 'message', message: bytes })
const solana = (bytes: Uint8Array): SigningContent => ({ kind: 'solana-message', message: bytes })

const NAMES_NOBODY = { chainIds: [], destinations: [], spends: [], delegations: [] }

describe('a message for an Ed25519 wallet', () => {
  it('is signed as it is', () => {
    const examination = examineEd25519(message(text('hello')), wallet.publicKey)
    expect(examination.message).toEqual(text('hello'))
    expect(examination.solana).toBeUndefined()
    expect(examination.facts).toEqual({
      ...NAMES_NOBODY,
      operation: 'message',
      effect: 'opaque',
      summary: 'message of 5 bytes',
    })
  })

  it.each([
    ['a transaction', TRANSACTION],
    ['a legacy one', buildMessage({ payer: wallet.address, instructions: [transfer], version: 'legacy' })],
    ['one that others sign', buildMessage({ payer: addressOf(1), instructions: [] })],
    ['one with bytes behind it', Uint8Array.from([...TRANSACTION, 0])],
  ])('is refused when it is %s', (_name, bytes) => {
    expect(refusalOf(() => examineEd25519(message(bytes), wallet.publicKey))?.reason).toBe(
      'MESSAGE_IS_TRANSACTION',
    )
    expect(refusalOf(() => examine(message(bytes)))).toBeUndefined()
  })

  it('names the frame of an off-chain message', () => {
    const applicationDomain = addressOf(9) as unknown as OffchainMessageApplicationDomain
    const requiredSignatories = [{ address: wallet.address }]
    const v0 = new Uint8Array(
      getOffchainMessageV0Encoder().encode({
        version: 0,
        applicationDomain,
        requiredSignatories,
        content: { format: OffchainMessageContentFormat.UTF8_1232_BYTES_MAX, text: 'grüezi' },
      } as unknown as OffchainMessageV0),
    )
    expect(readSolanaOffchain(v0)).toEqual({
      version: 0,
      applicationDomain,
      signers: [wallet.address],
      contentBytes: 7,
    })
    const examination = examineEd25519(message(v0), wallet.publicKey)
    expect(examination.message).toEqual(v0)
    expect(examination.facts).toMatchObject({
      ...NAMES_NOBODY,
      effect: 'opaque',
      summary: `Solana off-chain message v0 for application ${applicationDomain}: 7 bytes by ${wallet.address}`,
    })
    const v1 = new Uint8Array(
      getOffchainMessageV1Encoder().encode({ version: 1, requiredSignatories, content: 'hello' }),
    )
    expect(examineEd25519(message(v1), wallet.publicKey).facts.summary).toBe(
      `Solana off-chain message v1: 5 bytes by ${wallet.address}`,
    )
    for (const broken of [
      v0.slice(0, -1),
      v0.slice(0, 40),
      v1.slice(0, 50),
      Uint8Array.from([...v0.slice(0, 16), 7]),
    ])
      expect(examineEd25519(message(broken), wallet.publicKey).facts.summary).toBe(
        `Solana off-chain message of ${broken.length} bytes, of an unknown form`,
      )
    expect(readSolanaOffchain(text('solana offchain'))).toBeUndefined()
  })
})

describe('a Solana message for an Ed25519 wallet', () => {
  it('is decoded and signed as it is', () => {
    const examination = examineEd25519(solana(TRANSACTION), wallet.publicKey)
    expect(examination.message).toEqual(TRANSACTION)
    expect(examination.solana?.requiredSignatures).toBe(1)
    expect(examination.facts).toMatchObject({ operation: 'transaction', effect: 'transfer' })
  })

  it('has to ask for this wallet', () => {
    const refusal = refusalOf(() => examineEd25519(solana(TRANSACTION), createSigner().publicKey))
    expect(refusal?.reason).toBe('TRANSACTION_INVALID')
    const names = buildMessage({ payer: addressOf(1), instructions: [{ ...transfer, accounts: [] }] })
    expect(refusalOf(() => examineEd25519(solana(names), wallet.publicKey))?.reason).toBe('TRANSACTION_INVALID')
  })

  it.each([
    ['nothing', new Uint8Array()],
    ['text', text('hello')],
    ['trailing bytes', Uint8Array.from([...TRANSACTION, 0])],
    ['a whole transaction', Uint8Array.from([1, ...new Uint8Array(64), ...TRANSACTION])],
  ])('is refused when it is %s', (_name, bytes) => {
    expect(refusalOf(() => examineEd25519(solana(bytes), wallet.publicKey))?.reason).toBe('TRANSACTION_INVALID')
  })

  it('is nothing that a secp256k1 wallet signs', () => {
    expect(refusalOf(() => examine(solana(TRANSACTION)))).toMatchObject({
      reason: 'KEY_TYPE_UNSUPPORTED',
      facts: { keyType: 'KEY_TYPE_SECP256K1' },
    })
  })

  it.each<SigningContent>([
    { kind: 'digest', digest: new Uint8Array(32).fill(1) },
    { kind: 'typed-data', json: text('{}') },
    { kind: 'transaction', unsigned: Uint8Array.of(0x02) },
    { kind: 'authorization', chainId: 1n, address: new Uint8Array(20), nonce: 0n },
  ])('is the only transaction: $kind is refused', (content) => {
    expect(refusalOf(() => examineEd25519(content, wallet.publicKey))).toMatchObject({
      reason: 'KEY_TYPE_UNSUPPORTED',
      facts: { keyType: 'KEY_TYPE_ED25519' },
    })
  })
})

describe('a Solana message in a signing payload', () => {
  const payload = {
    projectId: 'default' as ProjectId,
    walletId: `wal_${'1'.repeat(32)}` as WalletId,
    method: 'SignTransaction',
    content: solana(TRANSACTION),
  } as const

  it('travels unchanged', () => {
    const bytes = encodeSigningPayload(payload)
    expect(bytes.slice(0, 4)).toEqual(Uint8Array.of(1, 5, 2, 7))
    expect(parseSigningPayload(bytes)).toEqual(payload)
    expect(messageOf(parseSigningPayload(bytes), wallet.publicKey)).toEqual(TRANSACTION)
  })

  it.each(['SignMessage', 'SignDigest', 'SignTypedData', 'SignAuthorization'] as const)(
    'does not travel under %s',
    (method) => {
      expect(refusalOf(() => encodeSigningPayload({ ...payload, method }))?.reason).toBe('INVALID_REQUEST')
      const bytes = encodeSigningPayload(payload)
      bytes[2] = ['SignMessage', 'SignTypedData', 'SignTransaction', 'SignAuthorization', 'SignDigest'].indexOf(
        method,
      )
      expect(refusalOf(() => parseSigningPayload(bytes))?.reason).toBe('INVALID_REQUEST')
    },
  )
})
