/** Following goes on for everybody, whichever wallet or token cannot be read. */
import { afterEach, expect, it } from 'vitest'
import { Currencies } from '../../src/chain/currencies.ts'
import { EvmChain } from '../../src/chain/evm-chain.ts'
import { followChains } from '../../src/delegation/follow-chains.ts'
import { parseUserId } from '../../src/domain/ids.ts'
import { Secret } from '../../src/domain/secret.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { getExternalWallet, registerExternalWallet, watchedOn } from '../../src/vault/external-wallets.ts'
import { BEFORE_ALL_BLOCKS, findCursor } from '../../src/vault/followed.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { type Provider, startProvider } from '../chain/answering.ts'
import { makeVault, NOW } from '../vault/fixture.ts'

const OWNERS = ['0x52908400098527886E0F7030069857D2E4169EE7', '0x8617E340B3D01FA5F11F306F4090FD50E238070D'] as const
const [TOKEN, BROKEN, SPENDER] = ['11', '22', '44'].map((byte) => `0x${byte.repeat(20)}`) as [string, string, string]
const word = (value: bigint): string => `0x${value.toString(16).padStart(64, '0')}`
const APPROVAL = '0x8c5be1e5ebec7d5bd14f71427d1e84f3dd0314c0f7b2291e5b200ac8c7c3b925'

let provider: Provider | undefined
afterEach(() => provider?.[Symbol.asyncDispose]())

const scene = async (brokenToken: string) => {
  const vault = await makeVault()
  const world = { head: 10n, allowance: 5n, isBroken: true, logs: [] as object[] }
  const isBroken = ({ to, data }: { readonly to: string; readonly data: string }) =>
    world.isBroken && (to === BROKEN || (data.startsWith('0x70a08231') && data.includes(OWNERS[0].slice(2).toLowerCase())))
  provider = await startProvider(({ method, params }) => {
    if (method === 'eth_chainId') return { result: '0x1' }
    if (method === 'eth_blockNumber') return { result: `0x${world.head.toString(16)}` }
    if (method === 'eth_getBlockByNumber') return { result: { hash: `0x${'ab'.repeat(32)}` } }
    if (method === 'eth_getTransactionReceipt') return { result: null }
    if (method === 'eth_getLogs') return { result: world.logs }
    const call = params[0] as { readonly to: string; readonly data: string }
    if (isBroken(call)) return { error: { code: 3, message: 'execution reverted' } }
    return { result: call.data === '0x313ce567' ? word(6n) : word(world.allowance) }
  })
  const chain = new EvmChain({ network: 'ethereum', chainId: 1n, rpcUrls: [new Secret(provider.url)] }, createHttpEgress({ allow: ['127.0.0.1'] }), { nowMs: () => 0, monotonicNs: () => 0n })
  const chains = { evm: () => chain, solana: () => { throw new Error('none') }, familyOf: () => 'evm' as const, networks: ['ethereum'] }
  const [first, second] = await Promise.all(
    OWNERS.map((address, index) =>
      vault.commit((tx) =>
        registerExternalWallet(tx, {
          project: DEFAULT_PROJECT, userId: parseUserId(`user-${index}`)!, network: 'ethereum', currency: 'usdc', address, decimals: 6,
          tokenAddress: index === 0 ? brokenToken : TOKEN, spender: SPENDER, limitUnits: 5n, transactionHash: `0x${'12'.repeat(32)}`, replaces: undefined, nowMs: NOW,
        }),
      ),
    ),
  )
  const turn = () => followChains({ vault, clock: { nowMs: () => NOW, monotonicNs: () => 0n }, chains, currencies: new Currencies([]) }, new AbortController().signal)
  const stateOf = (wallet = second) => getExternalWallet(vault.read, wallet?.externalWalletId ?? '')?.state
  const approvalOf = (address: string, block: bigint) => ({
    address: TOKEN, topics: [APPROVAL, `0x${address.slice(2).toLowerCase().padStart(64, '0')}`, `0x${SPENDER.slice(2).padStart(64, '0')}`], data: word(0n), logIndex: '0x0', blockNumber: `0x${block.toString(16)}`,
  })
  return { vault, world, turn, stateOf, first, second, approvalOf }
}

it.each([['whose token cannot be spent', BROKEN], ['that cannot be read', TOKEN]])('past a wallet %s, which is read once it can be', async (_name, brokenToken) => {
  const { vault, world, turn, stateOf, first, second, approvalOf } = await scene(brokenToken)
  await turn()
  expect(findCursor(vault.read, 'ethereum')?.block).toBe(10n)
  world.allowance = 0n
  world.head = 12n
  world.logs = OWNERS.map((owner) => approvalOf(owner, 11n))
  await turn()
  expect([stateOf(first), stateOf(second), findCursor(vault.read, 'ethereum')?.block]).toEqual(['ACTIVE', 'REVOKED', 12n])
  // Its news is behind the cursor by now, and is not lost.
  world.isBroken = false
  world.logs = []
  world.head = 13n
  await turn()
  expect(stateOf(first)).toBe('REVOKED')
  await vault.close()
})

it('a wallet that could not be read is looked at no more once it was, also where that is no news', async () => {
  const { vault, world, turn, first, approvalOf } = await scene(TOKEN)
  const seen = () => watchedOn(vault.read, 'ethereum').find(({ externalWalletId }) => externalWalletId === first?.externalWalletId)?.seenBlock
  world.isBroken = false
  await turn()
  Object.assign(world, { isBroken: true, head: 12n, logs: [approvalOf(OWNERS[0], 11n)] })
  await turn()
  expect(seen()).toBe(BEFORE_ALL_BLOCKS)
  Object.assign(world, { isBroken: false, head: 13n, logs: [] })
  await turn()
  expect(seen()).toBe(13n)
  await vault.close()
})
