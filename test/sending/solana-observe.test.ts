import { describe, expect, it } from 'vitest'
import type { SolanaStatus } from '../../src/chain/solana-answers.ts'
import type { SolanaChain } from '../../src/chain/solana-chain.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { observeSolana } from '../../src/sending/solana-observe.ts'
import type { SentTransaction } from '../../src/vault/sent-transactions.ts'

type Status = SolanaStatus & { readonly isSeen: boolean }
const UNKNOWN: Status = { state: 'unknown', isSeen: false }
const LAST_VALID = 500n

const sent = (sendId: string): SentTransaction =>
  ({ sendId, versions: [{ version: 1, hash: encodeBase58(new Uint8Array(64).fill(sendId.length)), raw: new Uint8Array(1), lastValid: LAST_VALID }] }) as unknown as SentTransaction

/** Answers in the order in which it is asked for. */
const chainOf = (statuses: readonly Status[], { head = 300n, height = 400n, commitment = 'confirmed' } = {}) => {
  const asked: string[] = []
  let at = 0
  const chain = {
    commitment,
    counts: ({ state }: SolanaStatus) => state === 'finalized' || state === commitment,
    slot: async () => (asked.push('slot'), head),
    finalizedHeight: async () => (asked.push('height'), height),
    statuses: async (signatures: readonly Uint8Array[]) => {
      asked.push(`statuses of ${signatures.length}`)
      if (signatures.length > 256) throw new Error('too many')
      return statuses.slice(at, (at += signatures.length))
    },
  } as unknown as SolanaChain
  return { chain, asked }
}
const look = async (status: Status, options?: Parameters<typeof chainOf>[1]) =>
  (await observeSolana(chainOf([status], options).chain, [sent('a')], AbortSignal.timeout(1_000))).get('a')
const included = (state: 'processed' | 'confirmed' | 'finalized', succeeded = true): Status => ({ state, succeeded, slot: 290n, isSeen: true })

describe('what was sent on Solana', () => {
  it('waits as long as a block could take it, or any node has seen it', async () => {
    expect(await look(UNKNOWN)).toEqual({ seen: 'waiting' })
    expect(await look(UNKNOWN, { height: LAST_VALID })).toEqual({ seen: 'waiting' })
    expect(await look({ state: 'unknown', isSeen: true }, { height: LAST_VALID + 1n })).toEqual({ seen: 'waiting' })
    expect(await look(UNKNOWN, { height: LAST_VALID + 1n })).toEqual({ seen: 'lapsed' })
  })

  it('is as deep as slots are behind it, from the commitment on that counts', async () => {
    const place = { seen: 'included', version: 1, block: 290n, blockHash: '', succeeded: true }
    expect(await look(included('processed'))).toEqual({ ...place, depth: 0 })
    expect(await look(included('confirmed'))).toEqual({ ...place, depth: 11 })
    expect(await look(included('confirmed'), { commitment: 'finalized' })).toEqual({ ...place, depth: 0 })
    expect(await look(included('confirmed'), { head: 280n })).toEqual({ ...place, depth: 0 })
    expect(await look(included('finalized'), { commitment: 'finalized' })).toEqual({ ...place, depth: 1_000 })
    expect(await look(included('confirmed', false))).toEqual({ ...place, succeeded: false, depth: 11 })
  })

  it('is asked for by 256, after the height that decides what has lapsed', async () => {
    const { chain, asked } = chainOf(Array.from({ length: 300 }, () => UNKNOWN))
    const many = Array.from({ length: 300 }, (_, index) => sent(`send-${index}`))
    expect((await observeSolana(chain, many, AbortSignal.timeout(1_000))).size).toBe(300)
    expect(asked.slice(0, 2).toSorted()).toEqual(['height', 'slot'])
    expect(asked.slice(2)).toEqual(['statuses of 256', 'statuses of 44'])
  })

  it('that cannot be read is left out', async () => {
    const { chain } = chainOf([])
    const broken = Object.assign(chain, { statuses: () => Promise.reject(new Error('away')) })
    expect((await observeSolana(broken, [sent('a')], AbortSignal.timeout(1_000))).size).toBe(0)
  })
})
