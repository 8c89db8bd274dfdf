import { describe, expect, it } from 'vitest'
import type { SolanaTransactionAnswer } from '../../src/chain/solana-answers.ts'
import type { SolanaChain } from '../../src/chain/solana-chain.ts'
import { decodeBase58, encodeBase58 } from '../../src/domain/base58.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { readSolanaApproval } from '../../src/delegation/solana-approval.ts'
import { compileSolanaMessage, type NewSolanaInstruction } from '../../src/payload/solana-compile.ts'
import { decodeSolanaMessage, type SolanaMessage } from '../../src/payload/solana-message.ts'
import { TOKEN_2022_PROGRAM, TOKEN_PROGRAM } from '../../src/payload/solana-programs.ts'
import { createSigner } from '../payload/solana-cases.ts'

const owner = createSigner()
const key = (seed: number): Uint8Array => new Uint8Array(32).fill(seed)
const [account, spender, mint, other, program] = [key(1), key(2), key(3), key(4), key(5)] as const
const tokenProgram = decodeBase58(TOKEN_PROGRAM) as Uint8Array
const amount = (units: bigint): number[] => [...new Uint8Array(BigUint64Array.of(units).buffer)]

const approve = (delegate = spender, of = account, by: Uint8Array = owner.publicKey): NewSolanaInstruction => ({
  program: tokenProgram,
  accounts: [{ key: of, isWritten: true }, { key: delegate }, { key: by, signs: true }],
  data: Uint8Array.of(4, ...amount(70n)),
})
const approveChecked = (of = mint): NewSolanaInstruction => ({
  program: tokenProgram,
  accounts: [{ key: account, isWritten: true }, { key: of }, { key: spender }, { key: owner.publicKey, signs: true }],
  data: Uint8Array.of(13, ...amount(90n), 6),
})
const revoke: NewSolanaInstruction = {
  program: tokenProgram, accounts: [{ key: account, isWritten: true }, { key: owner.publicKey, signs: true }], data: Uint8Array.of(5),
}
/** A call of a program of somebody's, with everything that an approval needs. */
const call: NewSolanaInstruction = {
  program,
  accounts: [{ key: account, isWritten: true }, { key: spender }, { key: owner.publicKey, signs: true }, { key: tokenProgram }],
  data: Uint8Array.of(1),
}

const answerOf = (instructions: readonly NewSolanaInstruction[]): { message: SolanaMessage; signature: Uint8Array; answer: SolanaTransactionAnswer } => {
  const message = compileSolanaMessage({ payer: owner.publicKey, blockhash: key(9), instructions })
  const signature = owner.sign(message)
  const answer = { slot: 5, succeeded: true, wire: Uint8Array.from([1, ...signature, ...message]), loaded: [], inner: [] }
  return { message: decodeSolanaMessage(message), signature, answer }
}

/** A chain that knows this one transaction. */
const chainOf = (answer: SolanaTransactionAnswer | 'unreadable' | undefined, state = 'unknown') =>
  ({ network: 'solana', transaction: async () => answer, status: async () => ({ state }) }) as unknown as SolanaChain
const read = (signature: Uint8Array, answer: SolanaTransactionAnswer | 'unreadable' | undefined, state?: string) =>
  readSolanaApproval(chainOf(answer, state), { signature, account, owner: owner.publicKey, spender, mint, tokenProgram })
const readAll = async (...instructions: readonly NewSolanaInstruction[]) => {
  const { signature, answer } = answerOf(instructions)
  const found = await read(signature, answer)
  return found.found === 'approval' ? found.amount : found.found
}

describe('an approval in a transaction', () => {
  it('is the last word on the account', async () => {
    expect(await readAll(approve())).toBe(70n)
    expect(await readAll(approveChecked())).toBe(90n)
    expect(await readAll(approveChecked(), approve())).toBe(70n)
    expect(await readAll(revoke, approve())).toBe(70n)
    expect(await readAll(approve(), revoke)).toBe('no_approval')
    expect(await readAll(approve(), approve(other))).toBe('no_approval')
    expect(await readAll(call)).toBe('no_approval')
  })

  it('of another account, owner, spender, mint or program is none', async () => {
    expect(await readAll(approve(spender, other))).toBe('no_approval')
    expect(await readAll(approve(spender, account, other))).toBe('no_approval')
    expect(await readAll(approve(other))).toBe('no_approval')
    expect(await readAll(approveChecked(other))).toBe('no_approval')
    expect(await readAll({ ...approve(), program: decodeBase58(TOKEN_2022_PROGRAM) as Uint8Array })).toBe('no_approval')
    expect(await readAll({ ...approve(), data: Uint8Array.of(4, ...amount(70n), 0) })).toBe('no_approval')
  })

  it('counts behind a call of another program, in the order in which it ran', async () => {
    const { message, signature, answer } = answerOf([call, revoke])
    const at = (which: Uint8Array): number => message.staticKeys.findIndex((one) => Buffer.from(one).equals(which))
    const approval = encodeBase58(Uint8Array.of(4, ...amount(70n)))
    const inner = [[0, [[at(tokenProgram), [at(account), at(spender), at(owner.publicKey)], approval]]]] as const
    expect(await read(signature, { ...answer, inner })).toEqual({ found: 'no_approval' })
    const later = [[1, inner[0][1]]] as const
    expect(await read(signature, { ...answer, inner: later })).toEqual({ found: 'approval', amount: 70n, slot: 5n })
  })

  it('that failed, is young, is not there or cannot be read is told apart', async () => {
    const { signature, answer } = answerOf([approve()])
    expect(await read(signature, { ...answer, succeeded: false })).toEqual({ found: 'reverted' })
    expect(await read(signature, undefined)).toEqual({ found: 'nothing' })
    expect(await read(signature, undefined, 'processed')).toEqual({ found: 'young', state: 'processed' })
    expect(await read(signature, 'unreadable')).toEqual({ found: 'no_approval' })
  })

  it('that a node makes up is not believed', async () => {
    const { signature, answer } = answerOf([approve()])
    const forged = [
      answerOf([approveChecked()]).answer,
      { ...answer, wire: answer.wire.with(answer.wire.length - 3, 255) },
      { ...answer, wire: answer.wire.slice(0, -1) },
      { ...answer, wire: new Uint8Array() },
      { ...answer, loaded: [encodeBase58(other)] },
    ]
    for (const bad of forged) {
      const error = await read(signature, bad).catch((reason: unknown) => reason)
      expect(isFailure(error) && error.reason).toBe('CHAIN_UNAVAILABLE')
    }
  })
})
