/**
 * A narrowed key signs with its wallet, chain and destination and with nothing else, on every RPC that signs. Payloads
 * are listed once; each narrowing says which of them fit, and all the others must be refused with the reason named.
 */
import { create } from '@bufbuild/protobuf'
import { encodeFunctionData, erc20Abi, maxUint256, parseAbi } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { EvmTransactionSchema, EvmTransactionType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, type Narrowed, newKey, newWallet, outcomeOf, sha256 } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'
import { bytesOf, TO, TOKEN, transferFields, unsignedBytes } from './transactions.ts'

const OTHER = '0x000000000000000000000000000000000000dEaD'
const SPENDER = '0x1111111111111111111111111111111111111111'
const CHAIN = 'eip155:1'

let daemon: TestDaemon
let admin: CountersignClient
let mine: Wallet
let others: Wallet
let delegation: { chainId: bigint; address: string; nonce: bigint; yParity: number; r: Uint8Array; s: Uint8Array }

beforeAll(async () => {
  daemon = await startDaemon()
  admin = connect(daemon, daemon.adminKey)
  mine = await newWallet(admin, 'mine')
  others = await newWallet(admin, 'others')
  const { authorization } = await admin.wallets.signAuthorization({ wallet: 'mine', chainId: 1n, address: TO })
  if (authorization === undefined) throw new Error('no authorization')
  delegation = authorization
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

type Payload = (client: CountersignClient, wallet: string) => Promise<unknown>
type Fields = Parameters<typeof transferFields>[0]

const fromFields =
  (rest: () => Fields): Payload =>
  (client, wallet) => {
    const value = create(EvmTransactionSchema, transferFields(rest()))
    return client.wallets.signTransaction({ wallet, transaction: { case: 'evm', value } })
  }

const call = (to: string, data: `0x${string}`, rest: Fields = {}): Payload =>
  fromFields(() => ({ to, data: bytesOf(data), value: '', gasLimit: 60_000n, ...rest }))

const transferTo = (to: string, amount = 1n) =>
  encodeFunctionData({ abi: erc20Abi, functionName: 'transfer', args: [to as `0x${string}`, amount] })
const approve = (spender: string, amount: bigint) =>
  encodeFunctionData({ abi: erc20Abi, functionName: 'approve', args: [spender as `0x${string}`, amount] })
const multicall = encodeFunctionData({
  abi: parseAbi(['function multicall(bytes[] data)']),
  args: [[transferTo(TO), transferTo(OTHER)]],
})

const typedData =
  (chainId: number | undefined, verifyingContract = TOKEN): Payload =>
  (client, wallet) => {
    const domain = { name: 'Notes', ...(chainId === undefined ? {} : { chainId }), verifyingContract }
    const typed = { types: { Note: [{ name: 'text', type: 'string' }] }, primaryType: 'Note', domain, message: { text: 'x' } }
    return client.wallets.signTypedData({ wallet, typedDataJson: JSON.stringify(typed) })
  }

const permit =
  (spender: string, value: string, chainId = 1): Payload =>
  (client, wallet) => {
    const names = [['owner', 'address'], ['spender', 'address'], ['value', 'uint256'], ['nonce', 'uint256'], ['deadline', 'uint256']]
    const typed = {
      types: { Permit: names.map(([name, type]) => ({ name, type })) },
      primaryType: 'Permit',
      domain: { name: 'USD Coin', version: '2', chainId, verifyingContract: TOKEN },
      message: { owner: mine.address, spender, value, nonce: '0', deadline: '1999999999' },
    }
    return client.wallets.signTypedData({ wallet, typedDataJson: JSON.stringify(typed) })
  }

const authorization =
  (chainId: bigint, address: string): Payload =>
  (client, wallet) =>
    client.wallets.signAuthorization({ wallet, chainId, address, nonce: 1n })

const PAYLOADS = {
  'native transfer': fromFields(() => ({})),
  'native transfer, legacy bytes': (client, wallet) => {
    const value = unsignedBytes({ type: 'legacy', chainId: 1, nonce: 0, gas: 21_000n, gasPrice: 10n, to: TO, value: 1n })
    return client.wallets.signTransaction({ wallet, transaction: { case: 'evmUnsigned', value } })
  },
  'native transfer elsewhere': fromFields(() => ({ to: OTHER })),
  'native transfer, other chain': fromFields(() => ({ chainId: 137n })),
  'token transfer': call(TOKEN, transferTo(TO)),
  'token transfer elsewhere': call(TOKEN, transferTo(OTHER)),
  'token transfer, other chain': call(TOKEN, transferTo(TO), { chainId: 10n }),
  'token approval': call(TOKEN, approve(SPENDER, 1n)),
  'endless token approval': call(TOKEN, approve(SPENDER, maxUint256)),
  'token call that does not decode': call(TOKEN, `0x${transferTo(TO).slice(2, 100)}`),
  'unknown call': call(TO, '0xdeadbeef00'),
  'unknown call elsewhere': call(OTHER, '0xdeadbeef00'),
  multicall: call(TO, multicall),
  'contract creation': fromFields(() => ({ to: '', data: bytesOf('0x6001600255'), gasLimit: 90_000n })),
  'blob transaction': fromFields(() => ({
    type: EvmTransactionType.BLOB,
    maxFeePerBlobGas: '1',
    blobVersionedHashes: [bytesOf(`0x01${'ab'.repeat(31)}`)],
  })),
  'EIP-7702 transaction': fromFields(() => ({
    type: EvmTransactionType.SET_CODE,
    gasLimit: 90_000n,
    authorizationList: [delegation],
  })),
  authorization: authorization(1n, TO),
  'authorization, other delegate': authorization(1n, OTHER),
  'authorization, other chain': authorization(137n, TO),
  'authorization, every chain': authorization(0n, TO),
  'text message': (client, wallet) => client.wallets.signMessage({ wallet, content: { case: 'text', value: 'x' } }),
  'bytes message': (client, wallet) =>
    client.wallets.signMessage({ wallet, content: { case: 'data', value: bytesOf('0x01') } }),
  'formatted message': (client, wallet) =>
    client.wallets.signMessage({ wallet, content: { case: 'data', value: sha256('x') }, isFormatted: true }),
  digest: (client, wallet) => client.wallets.signDigest({ wallet, digest: sha256('x') }),
  'typed data': typedData(1),
  'typed data, other chain': typedData(137),
  'typed data without a chain': typedData(undefined),
  permit: permit(SPENDER, '1'),
  'permit, other spender': permit(OTHER, '1'),
} as const satisfies Record<string, Payload>

type PayloadName = keyof typeof PAYLOADS
const NAMES = Object.keys(PAYLOADS) as PayloadName[]

const RIGHTS = ['wallet:sign', 'sign:digest', 'sign:authorization']
const everyRight = (narrowing: Omit<Narrowed, 'name' | '$typeName'>): Narrowed[] =>
  RIGHTS.map((name) => ({ name, ...narrowing }))

const NONE: ReadonlySet<PayloadName> = new Set()
const except = (...names: PayloadName[]) => new Set(NAMES.filter((name) => !names.includes(name)))

type Case = {
  readonly permissions: () => readonly Narrowed[]
  readonly signs: ReadonlySet<PayloadName>
  /** What all others are refused with, where it is not PERMISSION_MISSING. */
  readonly otherwise?: string
  readonly wallet?: () => string
}

const everyChain: PayloadName = 'authorization, every chain'

const CASES: Readonly<Record<string, Case>> = {
  'nothing but the wallet, its own': {
    permissions: () => everyRight({ wallets: [mine.walletId] }),
    signs: except(everyChain),
  },
  'the wallet, another one': {
    permissions: () => everyRight({ wallets: [mine.walletId] }),
    signs: NONE,
    wallet: () => others.walletId,
  },
  'one chain': {
    permissions: () => everyRight({ chains: [CHAIN] }),
    signs: except(
      ...(['native transfer, other chain', 'token transfer, other chain', 'authorization, other chain'] as const),
      ...([everyChain, 'text message', 'bytes message', 'formatted message', 'digest'] as const),
      ...(['typed data, other chain', 'typed data without a chain'] as const),
    ),
  },
  'every chain by name': {
    permissions: () => everyRight({ chains: ['eip155:0'] }),
    signs: new Set([everyChain]),
  },
  'one destination': {
    permissions: () => everyRight({ destinations: [TO] }),
    signs: new Set([
      ...(['native transfer', 'native transfer, legacy bytes', 'native transfer, other chain'] as const),
      ...(['unknown call', 'multicall', 'blob transaction', 'EIP-7702 transaction'] as const),
      ...(['authorization', 'authorization, other chain'] as const),
    ]),
  },
  'a token and a recipient': {
    permissions: () => everyRight({ destinations: [TO.toLowerCase(), TOKEN] }),
    signs: new Set([
      ...(['native transfer', 'native transfer, legacy bytes', 'native transfer, other chain'] as const),
      ...(['token transfer', 'token transfer, other chain', 'unknown call', 'multicall'] as const),
      ...(['blob transaction', 'EIP-7702 transaction', 'authorization', 'authorization, other chain'] as const),
    ]),
  },
  'wallet, chain and destination at once': {
    permissions: () => everyRight({ wallets: [mine.walletId], chains: [CHAIN], destinations: [TO] }),
    signs: new Set([
      ...(['native transfer', 'native transfer, legacy bytes', 'unknown call', 'multicall'] as const),
      ...(['blob transaction', 'EIP-7702 transaction', 'authorization'] as const),
    ]),
  },
  'an amount a transaction': {
    permissions: () =>
      everyRight({
        maxPerTransaction: [
          { chain: CHAIN, token: 'native', amount: '1' },
          { chain: CHAIN, token: TOKEN, amount: '1' },
        ],
      }),
    signs: new Set([
      ...(['native transfer', 'native transfer, legacy bytes', 'native transfer elsewhere', 'blob transaction'] as const),
      ...(['token transfer', 'token transfer elsewhere', 'token approval', 'permit', 'permit, other spender'] as const),
    ]),
    otherwise: 'LIMIT_EXCEEDED',
  },
  'an amount a day': {
    permissions: () => everyRight({ maxPerDay: [{ chain: CHAIN, token: '', amount: '1000' }] }),
    signs: new Set(['native transfer', 'native transfer, legacy bytes', 'native transfer elsewhere', 'blob transaction'] as const),
    otherwise: 'LIMIT_EXCEEDED',
  },
  'one grant that names the wallet, another the chain': {
    permissions: () => [
      ...everyRight({ wallets: [others.walletId], chains: [CHAIN], destinations: [TO] }),
      ...everyRight({ wallets: [mine.walletId], chains: ['eip155:137'], destinations: [TO] }),
    ],
    signs: new Set(['native transfer, other chain', 'authorization, other chain'] as const),
  },
  'signing without digests and authorizations': {
    permissions: () => [{ name: 'wallet:sign' }],
    signs: except(
      ...(['authorization', 'authorization, other delegate', 'authorization, other chain', everyChain] as const),
      ...(['EIP-7702 transaction', 'formatted message', 'digest'] as const),
    ),
  },
  'digests alone': {
    permissions: () => [{ name: 'sign:digest' }],
    signs: new Set(['formatted message', 'digest'] as const),
  },
  'authorizations alone': {
    permissions: () => [{ name: 'sign:authorization' }],
    signs: new Set(['authorization', 'authorization, other delegate', 'authorization, other chain'] as const),
  },
  'every permission that is not for signing': {
    permissions: () =>
      ['wallet:create', 'wallet:read', 'wallet:send', 'wallet:admin', 'session:sign', 'audit:read', 'admin'].map((name) => ({ name })),
    signs: NONE,
  },
}

/** Chain 0 without its name has a reason of its own, wherever the narrowing before it fits. */
const REASONS = new Set(['PERMISSION_MISSING', 'LIMIT_EXCEEDED', 'AUTHORIZATION_CHAIN_ZERO'])

describe('a key narrowed to', () => {
  it.each(Object.entries(CASES))('%s', async (_name, { permissions, signs, otherwise, wallet }) => {
    const { secret } = await newKey(admin, permissions())
    const client = connect(daemon, secret)
    const reference = wallet?.() ?? mine.walletId
    const seen = await Promise.all(
      NAMES.map(async (name) => [name, await outcomeOf(PAYLOADS[name](client, reference))] as const),
    )
    const signed = seen.filter(([, outcome]) => outcome === 'signed').map(([name]) => name)
    expect(new Set(signed)).toEqual(signs)
    for (const [name, outcome] of seen) {
      if (outcome === 'signed') continue
      expect(REASONS, `${name}: ${outcome}`).toContain(outcome)
      if (outcome === 'LIMIT_EXCEEDED') expect(otherwise, name).toBe('LIMIT_EXCEEDED')
    }
    client.close()
  })

  it('a key without narrowing signs everything but for every chain', async () => {
    const { secret } = await newKey(admin, everyRight({}))
    const client = connect(daemon, secret)
    for (const name of NAMES) {
      const expected = name === everyChain ? 'AUTHORIZATION_CHAIN_ZERO' : 'signed'
      expect(await outcomeOf(PAYLOADS[name](client, 'mine')), name).toBe(expected)
    }
    client.close()
  })

  it('refused requests leave an audit row each and no intent', async () => {
    const { apiKeyId, secret } = await newKey(admin, everyRight({ destinations: [OTHER] }))
    const client = connect(daemon, secret)
    expect(await outcomeOf(PAYLOADS['native transfer'](client, 'mine'))).toBe('PERMISSION_MISSING')
    client.close()
    const { events } = await admin.audit.listEvents({ pageSize: 500, afterSequence: await headBefore(100n) })
    const rows = events.filter(({ actor }) => actor === `api_key:${apiKeyId}`)
    expect(rows.map(({ kind, reason }) => [kind, reason])).toEqual([['sign.denied', 'PERMISSION_MISSING']])
  })
})

const headBefore = async (rows: bigint): Promise<bigint> => {
  const sequence = (await admin.audit.getCheckpoint({})).checkpoint?.sequence ?? 0n
  return sequence > rows ? sequence - rows : 0n
}

describe('reading with a narrowed key', () => {
  it('shows its wallets alone', async () => {
    const { secret } = await newKey(admin, [{ name: 'wallet:read', wallets: [mine.walletId] }])
    const client = connect(daemon, secret)
    const { wallets } = await client.wallets.listWallets({})
    expect(wallets.map(({ walletId }) => walletId)).toEqual([mine.walletId])
    expect(await outcomeOf(client.wallets.getWallet({ wallet: 'others' }))).toBe('WALLET_NOT_FOUND')
    expect(await outcomeOf(client.wallets.archiveWallet({ wallet: 'mine' }))).toBe('PERMISSION_MISSING')
    client.close()
  })

  it('refreshes its wallets alone', async () => {
    const { secret } = await newKey(admin, [{ name: 'wallet:admin', wallets: [others.walletId] }])
    const client = connect(daemon, secret)
    expect(await outcomeOf(client.wallets.refreshShares({ wallet: 'mine' }))).toBe('PERMISSION_MISSING')
    const { refreshCount } = await client.wallets.refreshShares({ wallet: 'others' })
    expect(refreshCount).toBe(1)
    client.close()
  })

  it('archives its wallets alone', async () => {
    const doomed = await newWallet(admin, 'doomed')
    const { secret } = await newKey(admin, [{ name: 'wallet:admin', wallets: [doomed.walletId] }])
    const client = connect(daemon, secret)
    expect(await outcomeOf(client.wallets.archiveWallet({ wallet: 'mine' }))).toBe('PERMISSION_MISSING')
    expect(await outcomeOf(client.wallets.archiveWallet({ wallet: 'doomed' }))).toBe('signed')
    client.close()
  })
})
