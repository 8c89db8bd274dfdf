import { type Address, AccountRole } from '@solana/kit'
import { findAssociatedTokenPda, getCreateAssociatedTokenIdempotentInstruction, getTransferCheckedInstruction } from '@solana-program/token'
import { describe, expect, it } from 'vitest'
import { decodeBase58 } from '../../src/domain/base58.ts'
import { decodeMint, decodeTokenAccount } from '../../src/payload/solana-accounts.ts'
import { createAssociatedTokenAccount, setComputeUnitLimit, setComputeUnitPrice, transferChecked } from '../../src/payload/solana-build.ts'
import { compileSolanaMessage, type NewSolanaInstruction, prependInstructions } from '../../src/payload/solana-compile.ts'
import { describeSolanaMessage } from '../../src/payload/solana-facts.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import { TOKEN_PROGRAM } from '../../src/payload/solana-programs.ts'
import { addressOf, BLOCKHASH, buildMessage, instruction, signerOf } from './solana-cases.ts'

const bytesOf = (address: string): Uint8Array => decodeBase58(address) as Uint8Array
const [payer, owner, mint, source] = [addressOf(1), addressOf(2), addressOf(3), addressOf(4)] as [Address, Address, Address, Address]
const tokenProgram = bytesOf(TOKEN_PROGRAM)
const blockhash = bytesOf(BLOCKHASH)

/** Keys in the order of their roles and then of their bytes: the kit sorts within a role, we keep the order of appearance. */
const canonical = (bytes: Uint8Array) => {
  const message = decodeSolanaMessage(bytes)
  const [signers, written] = [message.requiredSignatures, message.staticKeys.length - message.readonlyUnsigned]
  const roleOf = (index: number): string => `${index < signers ? 's' : ''}${index < signers ? index < signers - message.readonlySigned : index < written}`
  const name = (index: number): string => `${Buffer.from(message.staticKeys[index] ?? []).toString('hex')} ${roleOf(index)}`
  return {
    payer: name(0),
    keys: message.staticKeys.map((_key, index) => name(index)).toSorted(),
    instructions: message.instructions.map(({ programIndex, accountIndexes, data }) => [name(programIndex), [...accountIndexes].map(name), [...data]]),
  }
}

describe('compiling', () => {
  it('makes of a transfer with its account and fees what the kit makes of it', async () => {
    const [ata] = await findAssociatedTokenPda({ owner, mint, tokenProgram: TOKEN_PROGRAM as Address })
    const kit = buildMessage({
      payer, version: 'legacy',
      instructions: [
        instruction('ComputeBudget111111111111111111111111111111' as Address, [2, 0x40, 0x0d, 3, 0], []),
        instruction('ComputeBudget111111111111111111111111111111' as Address, [3, 7, 0, 0, 0, 0, 0, 0, 0], []),
        getCreateAssociatedTokenIdempotentInstruction({ payer: signerOf(payer), ata, owner, mint }),
        getTransferCheckedInstruction({ source, mint, destination: ata, authority: signerOf(payer), amount: 12n, decimals: 6 }),
      ],
    })
    const ours = compileSolanaMessage({
      payer: bytesOf(payer), blockhash,
      instructions: [
        setComputeUnitLimit(200_000),
        setComputeUnitPrice(7n),
        createAssociatedTokenAccount(bytesOf(payer), bytesOf(owner), { mint: bytesOf(mint), tokenProgram }),
        transferChecked({
          tokenProgram, mint: bytesOf(mint), source: bytesOf(source), destination: bytesOf(ata), authority: bytesOf(payer), amount: 12n, decimals: 6,
        }),
      ],
    })
    expect(canonical(ours)).toEqual(canonical(kit))
    const facts = describeSolanaMessage(decodeSolanaMessage(ours))
    expect(facts.effect).toBe('transfer')
    expect(facts.solana?.instructions).toEqual(['computeBudget', 'computeBudget', 'associatedToken.createIdempotent', 'token.transferChecked'])
  })

  it('asks of an account the most that any instruction asks of it', () => {
    const one: NewSolanaInstruction = { program: bytesOf(source), accounts: [{ key: bytesOf(owner) }, { key: bytesOf(mint), signs: true }], data: Uint8Array.of(1) }
    const two: NewSolanaInstruction = { ...one, accounts: [{ key: bytesOf(owner), isWritten: true }, { key: bytesOf(payer) }] }
    const kit = buildMessage({
      payer, version: 'legacy',
      instructions: [
        { programAddress: source, data: Uint8Array.of(1), accounts: [{ address: owner, role: AccountRole.READONLY }, { address: mint, role: AccountRole.READONLY_SIGNER }] },
        { programAddress: source, data: Uint8Array.of(1), accounts: [{ address: owner, role: AccountRole.WRITABLE }, { address: payer, role: AccountRole.READONLY }] },
      ],
    })
    expect(canonical(compileSolanaMessage({ payer: bytesOf(payer), blockhash, instructions: [one, two] }))).toEqual(canonical(kit))
  })

  it('refuses what does not fit a packet', () => {
    const long: NewSolanaInstruction = { program: bytesOf(source), accounts: [], data: new Uint8Array(1_200) }
    expect(() => compileSolanaMessage({ payer: bytesOf(payer), blockhash, instructions: [long] })).toThrow(/packet|1232/)
  })

  it.each<['legacy' | 0, Record<Address, Address[]> | undefined]>([['legacy', undefined], [0, undefined], [0, { [addressOf(7)]: [owner] }]])('puts fees in front of a message (%s) and leaves the rest', (version, tables) => {
    const pay = instruction(addressOf(9), [1, 2], [[owner, 'w'], [payer, 'ws'], [mint]])
    const message = decodeSolanaMessage(buildMessage({ payer, version, instructions: [pay, pay], ...(tables && { tables }) }))
    const made = decodeSolanaMessage(prependInstructions(message, [setComputeUnitLimit(5), setComputeUnitPrice(6n)], new Uint8Array(32).fill(0xcc)))
    expect(made.blockhash).toEqual(new Uint8Array(32).fill(0xcc))
    expect(made.instructions).toHaveLength(4)
    expect(made.lookups).toEqual(message.lookups)
    const named = ({ staticKeys, instructions }: typeof made) => instructions.slice(-2).map(({ programIndex, accountIndexes }) =>
      [programIndex, ...accountIndexes].map((index) => (index < staticKeys.length ? Buffer.from(staticKeys[index] as Uint8Array).toString('hex') : `looked up ${index - staticKeys.length}`)))
    expect(named(made)).toEqual(named(message))
    const facts = describeSolanaMessage(made)
    expect(facts.solana?.instructions.slice(0, 2)).toEqual(['computeBudget', 'computeBudget'])
    expect(facts.solana?.writable).toEqual(describeSolanaMessage(message).solana?.writable)
  })
})

/** A mint of Token-2022 with extensions. */
const mintWith = (...extensions: readonly (readonly [type: number, value: Uint8Array])[]): Uint8Array => {
  const head = new Uint8Array(166)
  head[44] = 6
  head[45] = 1
  head[165] = 1
  const parts = extensions.flatMap(([type, value]) => [...new Uint8Array(Uint16Array.of(type, value.length).buffer), ...value])
  return Uint8Array.from([...head, ...parts])
}

describe('mints', () => {
  it('are read with what their transfers do beside', () => {
    const plain = new Uint8Array(82)
    plain[44] = 9
    expect(decodeMint(plain)).toBeUndefined()
    plain[45] = 1
    expect(decodeMint(plain)).toEqual({ decimals: 9, oddity: undefined })
    expect(decodeMint(mintWith([18, new Uint8Array(64)], [12, new Uint8Array(32)]))).toEqual({ decimals: 6, oddity: undefined })
    expect(decodeMint(mintWith([14, new Uint8Array(64)], [1, new Uint8Array(108)]))?.oddity).toBeUndefined()
    expect(decodeMint(mintWith([14, new Uint8Array(64).fill(1)]))?.oddity).toMatch(/program/)
    for (const feeAt of [88, 106]) expect(decodeMint(mintWith([18, new Uint8Array(3)], [1, new Uint8Array(108).with(feeAt, 1)]))?.oddity).toMatch(/fee/)
    expect(decodeMint(mintWith([9, new Uint8Array()]))?.oddity).toMatch(/extension/)
    expect(decodeMint(mintWith([99, new Uint8Array()]))?.oddity).toMatch(/extension/)
    expect(decodeMint(mintWith([18, new Uint8Array(64)]).slice(0, -1))?.oddity).toMatch(/cannot be read/)
    expect(decodeMint(new Uint8Array(83))).toBeUndefined()
  })

  it('are no token accounts, nor are accounts that are not open', () => {
    expect(decodeTokenAccount(mintWith())).toBeUndefined()
    expect(decodeTokenAccount(new Uint8Array(165))).toBeUndefined()
    expect(decodeTokenAccount(new Uint8Array(165).with(108, 1))).toMatchObject({ amount: 0n, delegate: undefined, delegatedAmount: 0n, isFrozen: false })
    expect(decodeTokenAccount(new Uint8Array(165).with(108, 2).with(72, 1).with(121, 5))).toMatchObject({ delegatedAmount: 5n, isFrozen: true })
    expect(decodeTokenAccount(new Uint8Array(165).with(108, 3))).toBeUndefined()
    expect(decodeTokenAccount(new Uint8Array(165).with(108, 1).with(72, 2))).toBeUndefined()
  })
})
