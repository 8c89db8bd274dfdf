/** What an EVM chain says of approvals since a cursor: in bounded ranges, and never less than what happened. */
import { afterEach, expect, it } from 'vitest'
import { EvmChain } from '../../src/chain/evm-chain.ts'
import { evmSpendingChain } from '../../src/delegation/evm-spending-chain.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { type Provider, startProvider } from '../chain/answering.ts'

const APPROVAL = '0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925'
const [TOKEN, OWNER, OTHER, SPENDER] = ['11', '22', '33', '44'].map((byte) => `0x${byte.repeat(20)}`) as [string, string, string, string]
const topic = (address: string): string => `0x${address.slice(2).padStart(64, '0')}`
const hashAt = (block: bigint): string => block.toString(16).padStart(64, '0')
const WATCHED = [
  { externalWalletId: 'ext_one', tokenAddress: TOKEN, address: OWNER, spender: SPENDER },
  { externalWalletId: 'ext_two', tokenAddress: TOKEN, address: OTHER, spender: SPENDER },
]

type Log = { readonly block: bigint; readonly owner?: string; readonly token?: string }
type World = { head: bigint; logs: readonly Log[]; /** More blocks at once are refused. */ most: bigint; fork?: string; code?: number; /** Where the node that is asked for blocks is. */ known?: bigint; /** Blocks before it are kept no more. */ pruned?: bigint }

let provider: Provider | undefined
afterEach(() => provider?.[Symbol.asyncDispose]())

const chainOf = async (world: World) => {
  const logAt = ({ block, owner = OWNER, token = TOKEN }: Log) => ({
    address: token, topics: [APPROVAL, topic(owner), topic(SPENDER)], data: `0x${'00'.repeat(32)}`, logIndex: '0x0', blockNumber: `0x${block.toString(16)}`,
  })
  provider = await startProvider(({ method, params }) => {
    if (method === 'eth_chainId') return { result: '0x1' }
    if (method === 'eth_blockNumber') return { result: `0x${world.head.toString(16)}` }
    if (method === 'eth_getBlockByNumber') {
      const block = BigInt(params[0] as string)
      return { result: block > (world.known ?? world.head) || block < (world.pruned ?? 0n) ? null : { hash: `0x${world.fork ?? hashAt(block)}` } }
    }
    const { fromBlock, toBlock } = params[0] as { readonly fromBlock: string; readonly toBlock: string }
    const [from, to] = [BigInt(fromBlock), BigInt(toBlock)]
    if (to - from + 1n > world.most) return { error: { code: world.code ?? -32_005, message: 'query returned more than 10000 results' } }
    return { result: world.logs.filter(({ block }) => block >= from && block <= to).map(logAt) }
  })
  const settings = { network: 'ethereum', chainId: 1n, rpcUrls: [new Secret(provider.url)] }
  const clock = { nowMs: () => 0, monotonicNs: () => 0n }
  return evmSpendingChain(new EvmChain(settings, createHttpEgress({ allow: ['127.0.0.1'] }), clock))
}
const at = (block: bigint) => ({ block, hash: hashAt(block) })

it('begins with every wallet, and goes on from where it was with those that are told of', async () => {
  const world: World = { head: 100n, logs: [{ block: 90n }], most: 10_000n }
  const chain = await chainOf(world)
  expect(await chain.news(WATCHED, undefined)).toEqual({ cursor: at(100n), changed: 'all', hasMore: false })
  expect(await chain.news(WATCHED, at(100n))).toBeUndefined()
  world.head = 103n
  world.logs = [{ block: 102n, owner: OTHER }, { block: 103n, owner: `0x${'99'.repeat(20)}` }]
  expect(await chain.news(WATCHED, at(100n))).toEqual({ cursor: at(103n), changed: new Set(['ext_two']), hasMore: false })
})

it.each([-32_005, -32_000])('reads a long way in bounded ranges, by parts where a provider wants less and says so with %d', async (code) => {
  const world: World = { head: 2_500n, logs: [{ block: 101n }, { block: 2_400n, owner: OTHER }], most: 400n, code }
  const chain = await chainOf(world)
  const heard: string[] = []
  let since = at(100n)
  for (let turn = 0; turn < 40; turn++) {
    const news = await chain.news(WATCHED, since)
    if (news === undefined || news.changed === 'all') throw new Error('nothing was to be told like that')
    heard.push(...news.changed)
    expect(news.cursor.block - since.block).toBeLessThanOrEqual(1_000n)
    since = news.cursor
    if (!news.hasMore) break
  }
  expect([heard, since]).toEqual([['ext_one', 'ext_two'], at(2_500n)])
})

it('has every wallet read where the chain has taken the cursor back, or tells no logs', async () => {
  const world: World = { head: 120n, logs: [], most: 10_000n, fork: 'ee'.repeat(32) }
  const chain = await chainOf(world)
  expect(await chain.news(WATCHED, at(100n))).toEqual({ cursor: { block: 120n, hash: 'ee'.repeat(32) }, changed: 'all', hasMore: false })
  delete world.fork
  world.most = 0n
  expect(await chain.news(WATCHED, at(119n))).toEqual({ cursor: at(120n), changed: 'all', hasMore: false })
})

it('believes no logs that were not asked for', async () => {
  const world: World = { head: 120n, logs: [{ block: 110n, token: `0x${'55'.repeat(20)}` }], most: 10_000n }
  const chain = await chainOf(world)
  expect((await chain.news(WATCHED, at(100n)))?.changed).not.toEqual(new Set(['ext_one']))
})

it('hears nothing of a node that is behind, which is no reorganisation, but of one that is far behind', async () => {
  const world: World = { head: 98n, logs: [], most: 10_000n }
  const chain = await chainOf(world)
  expect(await chain.news(WATCHED, at(100n))).toBeUndefined()
  // Behind one address there are many nodes.
  Object.assign(world, { head: 103n, known: 99n })
  expect(await chain.news(WATCHED, at(100n))).toBeUndefined()
  Object.assign(world, { head: 20n, known: 20n })
  expect(await chain.news(WATCHED, at(100n))).toEqual({ cursor: at(20n), changed: 'all', hasMore: false })
})

it('goes on from the newest block where nodes keep so old a one no longer', async () => {
  const chain = await chainOf({ head: 9_000n, logs: [], most: 10_000n, pruned: 5_000n })
  expect(await chain.news(WATCHED, at(100n))).toEqual({ cursor: at(9_000n), changed: 'all', hasMore: false })
})
