/** What external wallets let be spent, followed on the chain and never beyond what it allows; and providers that lie. */
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ExternalWalletState } from '../../gen/countersign/v1/delegation_pb.ts'
import type { Bend } from '../client/bending-rpc.ts'
import { detailOf, headSequence, rowsOfKind } from './audit-rows.ts'
import { outcomeOf, reasonOf } from './callers.ts'
import { type SpendingScene, startSpendingScene } from './spending-scene.ts'

let scene: SpendingScene
let stalling: Promise<readonly string[]>

/** Asks a provider that never answers, for as long as the daemon has patience with it. */
const askTheStalled = async (): Promise<readonly string[]> => {
  const request = await scene.request('stalled', 5_000_000n, { network: 'stalled' })
  return [await outcomeOf(scene.admin.delegation.completeEvmDelegation(request))]
}

beforeAll(async () => {
  scene = await startSpendingScene()
  stalling = askTheStalled()
}, 60_000)
afterAll(() => scene[Symbol.asyncDispose]())

const until = async (what: () => Promise<boolean>): Promise<void> => {
  await vi.waitUntil(what, { timeout: 20_000, interval: 100 })
}
const newsOf = async (id: string, after: bigint): Promise<readonly (readonly [string, unknown, unknown])[]> => {
  const kinds = ['external_wallet.revoked', 'external_wallet.approved_again', 'external_wallet.limit_changed']
  const rows = (await Promise.all(kinds.map((kind) => rowsOfKind(scene.admin, kind, after)))).flat()
  return rows.filter(({ subject }) => subject === `external_wallet:${id}`).map((row) => [row.kind, detailOf(row, 'allowance'), detailOf(row, 'why')])
}

describe('the chain is followed', () => {
  it('though nobody asks: a limit that changes, an approval taken back, one given again', async () => {
    const { account, wallet } = await scene.delegate('followed', 9_000_000n)
    const { externalWalletId: id } = wallet
    const after = await headSequence(scene.admin)
    const heard = async (count: number) => until(async () => (await newsOf(id, after)).length === count)
    // What is news is told by what was seen before.
    await scene.admin.delegation.listExternalWallets({ userId: 'followed' })
    await scene.tokens['usdc']?.approve(account, scene.spender, 4_500_000n)
    await heard(1)
    await scene.tokens['usdc']?.approve(account, scene.spender, 0n)
    await heard(2)
    await scene.tokens['usdc']?.approve(account, scene.spender, 1n)
    await heard(3)
    expect((await newsOf(id, after)).toSorted()).toEqual([
      ['external_wallet.approved_again', '0.000001', undefined],
      ['external_wallet.limit_changed', '4.5', undefined],
      ['external_wallet.revoked', '0', undefined],
    ])
  })

  it('where it takes blocks back: an approval that was in them is none', async () => {
    const before = await scene.anvil.snapshot()
    const { wallet } = await scene.delegate('reorganised', 5_000_000n)
    const after = await headSequence(scene.admin)
    await until(async () => (await scene.admin.delegation.listExternalWallets({ userId: 'reorganised' })).externalWallets[0]?.standing?.allowance === '5')
    await scene.anvil.revert(before)
    await scene.anvil.mine(10)
    await until(async () => (await newsOf(wallet.externalWalletId, after)).length === 1)
    expect(await newsOf(wallet.externalWalletId, after)).toEqual([['external_wallet.revoked', '0', 'the approval is in the chain no more']])
    expect((await scene.admin.delegation.listExternalWallets({ userId: 'reorganised' })).externalWallets).toMatchObject([{ state: ExternalWalletState.REVOKED }])
  })
})

const only =
  (method: string, result: (said: never) => unknown): Bend =>
  (asked, said) => (asked.method === method ? { result: result(said as never) } : undefined)
const HUGE = 'x'.repeat(2_000_000)
const number = (quantity: string, more: bigint): string => `0x${(BigInt(quantity) + more).toString(16)}`

/** Of a provider that lies, whoever else there is. */
const LIES: readonly (readonly [string, Bend])[] = [
  ['null for the newest block', only('eth_blockNumber', () => null)],
  ['a receipt without a status', only('eth_getTransactionReceipt', (said: object) => ({ ...said, status: null }))],
  ['a receipt without a block', only('eth_getTransactionReceipt', (said: object) => ({ ...said, blockHash: null, blockNumber: null }))],
  ['a receipt without logs', only('eth_getTransactionReceipt', (said: object) => ({ ...said, logs: null }))],
  ['the receipt of another transaction', only('eth_getTransactionReceipt', (said: object) => ({ ...said, transactionHash: `0x${'ab'.repeat(32)}` }))],
  ['nothing for a call', only('eth_call', () => null)],
  ['a huge body', (asked) => (asked.method === 'eth_call' ? { body: HUGE } : undefined)],
  ['no JSON', (asked) => (asked.method === 'eth_call' ? { body: '<html>' } : undefined)],
  ['another chain', (asked) => (asked.method === 'eth_chainId' ? { result: '0x1' } : { body: '' })],
]

describe('a provider that lies', () => {
  it.each(LIES)('with %s is no ground for a completion, and leaves the token good', async (name, bend) => {
    const request = await scene.request(`lied to ${name}`.replaceAll(' ', '-'), 5_000_000n, { network: 'lone' })
    scene.lone.bend = bend
    try {
      expect(await outcomeOf(scene.admin.delegation.completeEvmDelegation(request))).toBe('CHAIN_UNAVAILABLE')
    } finally {
      scene.lone.bend = undefined
    }
    await scene.admin.delegation.completeEvmDelegation(request)
  })

  it('about how far the chain is makes nothing deep that is not, and nothing out of what is', async () => {
    const request = await scene.request('stale', 5_000_000n, { network: 'lone' })
    try {
      scene.lone.bend = only('eth_blockNumber', (said: string) => number(said, -3n))
      expect(await reasonOf(scene.admin.delegation.completeEvmDelegation(request))).toBe('TRANSACTION_NOT_CONFIRMED')
      // A block that nobody has says nothing of allowances.
      scene.lone.bend = only('eth_blockNumber', (said: string) => number(said, 1_000n))
      expect(await reasonOf(scene.admin.delegation.completeEvmDelegation(request))).toBe('CHAIN_UNAVAILABLE')
    } finally {
      scene.lone.bend = undefined
    }
    await scene.admin.delegation.completeEvmDelegation(request)
  })

  const DISAGREEMENTS: readonly (readonly [string, Bend])[] = [
    ['an allowance', only('eth_call', () => `0x${'ff'.repeat(32)}`)],
    ['a receipt', only('eth_getTransactionReceipt', (said: object) => ({ ...said, status: '0x0' }))],
    ['whether there is a receipt', only('eth_getTransactionReceipt', () => null)],
    ['a block', only('eth_getBlockByNumber', (said: object) => ({ ...said, hash: `0x${'cd'.repeat(32)}` }))],
  ]
  it.each(DISAGREEMENTS)('and differs from the other about %s is heard as neither', async (name, bend) => {
    const request = await scene.request(`torn by ${name}`.replaceAll(' ', '-'), 5_000_000n)
    scene.beside.bend = bend
    try {
      expect(await reasonOf(scene.admin.delegation.completeEvmDelegation(request))).toBe('CHAIN_DISAGREEMENT')
    } finally {
      scene.beside.bend = undefined
    }
    await scene.admin.delegation.completeEvmDelegation(request)
  })

  it('by never answering is waited for no longer than it is worth', async () => {
    expect(await stalling).toEqual(['CHAIN_UNAVAILABLE'])
  })
})
