/** Spending delegations: proven on a real EVM with real tokens, refused for every lack, each by its own reason. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createWalletClient, encodeAbiParameters, getContractAddress, http, keccak256, parseAbi, toBytes } from 'viem'
import type { Hex } from 'viem'
import { privateKeyToAccount, type PrivateKeyAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { ChainState } from '../../gen/countersign/v1/admin_pb.ts'
import { ExternalWalletState } from '../../gen/countersign/v1/delegation_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { mined } from '../client/evm-tokens.ts'
import { type Anvil, startAnvil } from '../client/start-anvil.ts'
import { rowsOfKind } from './audit-rows.ts'
import { connect, newKey, newWallet, reasonOf, refusalOf, settledOutcomeOf } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

const contracts = JSON.parse(readFileSync(resolve(import.meta.dirname, '../contracts/tokens.json'), 'utf8')) as Record<
  'StandardToken' | 'TetherStyleToken', Hex
>
const TOKEN = parseAbi(['function approve(address,uint256)', 'function transfer(address,uint256)'])
const DOMAIN = 'app.example'
const NETWORK = 'linea'

let anvil: Anvil
let elsewhere: Anvil
let daemon: TestDaemon
let admin: CountersignClient
let folder: string
let spender: Hex
const tokens: { usdc: Hex; usdt: Hex } = { usdc: '0x', usdt: '0x' }

const personOf = (name: string): PrivateKeyAccount => privateKeyToAccount(keccak256(toBytes(name)))
const over = (node: Anvil, account: PrivateKeyAccount) =>
  createWalletClient({ account, chain: node.chain, transport: http(node.rpcUrl) })
const deployer = personOf('deployer')

/** Answers when it is in a block. */
const send = async (account: PrivateKeyAccount, to: Hex, functionName: 'approve' | 'transfer', args: readonly [Hex, bigint], node = anvil): Promise<Hex> => {
  if ((await node.node.getBalance({ address: account.address })) === 0n) await node.fund(account.address, 10n ** 19n)
  const hash = await over(node, account).writeContract({ address: to, abi: TOKEN, functionName, args, gas: 200_000n })
  await mined(node, hash)
  return hash
}

const deployToken = async (node: Anvil, code: Hex): Promise<Hex> => {
  await node.fund(deployer.address, 10n ** 20n)
  const nonce = await node.node.getTransactionCount({ address: deployer.address })
  const args = encodeAbiParameters([{ type: 'uint256' }], [10n ** 15n]).slice(2)
  const hash = await over(node, deployer).sendTransaction({ data: `${code}${args}`, gas: 3_000_000n })
  await mined(node, hash)
  return getContractAddress({ from: deployer.address, nonce: BigInt(nonce) })
}

const approve = async (account: PrivateKeyAccount, units: bigint, currency: 'usdc' | 'usdt' = 'usdc', to = spender): Promise<Hex> => {
  const hash = await send(account, tokens[currency], 'approve', [to, units])
  await anvil.mine(3)
  return hash
}

type Made = { readonly nonce: string; readonly token: string }
const issue = (account: PrivateKeyAccount, userId: string, network = NETWORK): Promise<Made> =>
  admin.delegation.issueDelegationToken({ userId, network, address: account.address })

const messageOf = (account: PrivateKeyAccount, nonce: string, changes: Partial<Parameters<typeof createSiweMessage>[0]> = {}): string =>
  createSiweMessage({
    domain: DOMAIN, address: account.address, statement: 'Prove address ownership', uri: `https://${DOMAIN}/card`, version: '1',
    chainId: 59_144, nonce, issuedAt: new Date(), expirationTime: new Date(Date.now() + 120_000), ...changes,
  })

const signed = async (account: PrivateKeyAccount, message: string) => ({
  address: account.address, network: NETWORK, currency: 'usdc', amount: '50', sigMessage: message,
  sigHash: await account.signMessage({ message }),
})

/** Everything right: what the tests bend one part of. */
const delegation = async (name: string, units = 50_000_000n) => {
  const account = personOf(name)
  const txHash = await approve(account, units)
  const { token, nonce } = await issue(account, name)
  return { account, nonce, request: { ...(await signed(account, messageOf(account, nonce))), txHash, token } }
}

beforeAll(async () => {
  ;[anvil, elsewhere] = await Promise.all([startAnvil(59_144), startAnvil(1)])
  tokens.usdc = await deployToken(anvil, contracts.StandardToken)
  tokens.usdt = await deployToken(anvil, contracts.TetherStyleToken)
  folder = mkdtempSync(join(tmpdir(), 'countersign-spending-'))
  const config = join(folder, 'countersign.toml')
  writeFileSync(config, [
    'egress_allow = "127.0.0.1"', 'chain_confirmations = 3',
    '[[chain]]', 'network = "linea"', 'chain_id = 59144', `rpc = "${anvil.rpcUrl},${anvil.rpcUrl}"`,
    '[[chain]]', 'network = "ethereum"', 'chain_id = 1', `rpc = "${elsewhere.rpcUrl}"`,
    '[[chain]]', 'network = "gone"', 'chain_id = 5', 'rpc = "http://127.0.0.1:9"',
    '[[token]]', 'network = "linea"', 'currency = "usdc"', `address = "${tokens.usdc}"`, 'decimals = 6',
    '[[token]]', 'network = "linea"', 'currency = "usdt"', `address = "${tokens.usdt}"`, 'decimals = 6',
    '[[token]]', 'network = "linea"', 'currency = "miscounted"', `address = "${tokens.usdc}"`, 'decimals = 18',
    '[[token]]', 'network = "linea"', 'currency = "nothing"', `address = "${deployer.address}"`, 'decimals = 6',
  ].join('\n'))
  daemon = await startDaemon({ args: ['--config', config] })
  admin = connect(daemon, daemon.adminKey)
  const wallet = await newWallet(admin, 'spender')
  spender = wallet.address as Hex
  const spenders = [NETWORK, 'linea-us', 'ethereum', 'nowhere'].map((network) => ({ network, walletId: wallet.walletId }))
  await admin.admin.updateProject({
    project: { projectId: 'default', siweDomains: [DOMAIN, 'localhost:3000'], spenders },
    updateMask: { paths: ['siwe_domains', 'spenders'] },
  })
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
  await Promise.all([anvil[Symbol.asyncDispose](), elsewhere[Symbol.asyncDispose]()])
  rmSync(folder, { recursive: true, force: true })
})

describe('GetChainConfig', () => {
  it('lists where to approve whom, of which token', async () => {
    const { networks } = await admin.delegation.getChainConfig({})
    expect(networks.map(({ network, chainId }) => [network, chainId])).toEqual([['linea', 59_144n], ['linea-us', 59_144n], ['ethereum', 1n]])
    expect(networks[0]).toMatchObject({ spenderAddress: spender, tokens: [{ currency: 'miscounted' }, { currency: 'nothing' }, { currency: 'usdc', address: tokens.usdc, decimals: 6 }, { currency: 'usdt' }] })
    expect(networks[2]?.tokens.map(({ address }) => address)).toContain('0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48')
    const us = await admin.delegation.getChainConfig({ network: 'linea', region: 'us' })
    expect(us.networks.map(({ network }) => network)).toEqual(['linea-us'])
    const named = async (metadata: string, region = '') =>
      (await admin.delegation.getChainConfig({ network: 'linea', region }, { headers: { 'x-us-env': metadata } })).networks.map(({ network }) => network)
    expect([await named('true'), await named('true', 'us'), await named('false')]).toEqual([['linea-us'], ['linea-us'], ['linea']])
    const account = personOf('american')
    const inUs = (metadata: string, requestId: string) =>
      admin.delegation.issueDelegationToken({ userId: 'american', network: 'linea', address: account.address, requestId }, { headers: { 'x-us-env': metadata } })
    const requestId = randomUUID()
    expect((await inUs('true', requestId)).token).toBe((await inUs('true', requestId)).token)
    // What the metadata says belongs to what was asked.
    expect(await reasonOf(inUs('false', requestId))).toBe('IDEMPOTENCY_MISMATCH')
    expect(await reasonOf(admin.delegation.getChainConfig({ network: 'base' }))).toBe('CHAIN_NOT_CONFIGURED')
  })
})

describe('GetStatus', () => {
  it('says which chains can be used, and which are not configured', async () => {
    const chains = (await admin.admin.getStatus({})).status?.chains ?? []
    expect(chains.map(({ network, state, chainId }) => [network, state, chainId])).toEqual([
      ['ethereum', ChainState.USABLE, 1n], ['gone', ChainState.UNAVAILABLE, 5n], ['linea', ChainState.USABLE, 59_144n],
      ['linea-us', ChainState.USABLE, 59_144n], ['nowhere', ChainState.NOT_CONFIGURED, 0n], ['solana', ChainState.NOT_CONFIGURED, 0n],
    ])
    expect(chains[2]?.blockNumber).toBeGreaterThan(0n)
    expect(chains[1]?.detail).toContain('gone')
  })
})

describe('a delegation', () => {
  it('goes from a token to a wallet that is listed with what the chain says, and is noticed when it is taken back', async () => {
    const { account, request } = await delegation('alice')
    await send(deployer, tokens.usdc, 'transfer', [account.address, 7_250_000n])
    const { delegation: made } = await admin.delegation.completeEvmDelegation({ ...request, amount: '49.5' })
    expect(made).toMatchObject({
      userId: 'alice', network: 'linea', currency: 'usdc', address: account.address, spenderAddress: spender, tokenAddress: tokens.usdc,
      state: ExternalWalletState.ACTIVE, priority: 1, limit: '49.5', standing: { allowance: '50', balance: '7.25' },
    })
    const list = async () => (await admin.delegation.listExternalWallets({ userId: 'alice' })).externalWallets
    expect(await list()).toMatchObject([{ externalWalletId: made?.externalWalletId, standing: { allowance: '50', balance: '7.25' } }])
    await approve(account, 0n)
    expect(await list()).toMatchObject([{ state: ExternalWalletState.REVOKED, standing: { allowance: '0' } }])
    await approve(account, 1_000_000n)
    expect(await list()).toMatchObject([{ state: ExternalWalletState.ACTIVE, standing: { allowance: '1' } }])
    for (const kind of ['delegation_token.issued', 'external_wallet.registered', 'external_wallet.revoked', 'external_wallet.approved_again'])
      expect(await rowsOfKind(admin, kind, 0n), kind).not.toEqual([])
  })

  it('of a token like USDT works the same', async () => {
    const account = personOf('tether')
    const txHash = await approve(account, 5_000_000n, 'usdt')
    const { token, nonce } = await issue(account, 'tether')
    const request = { ...(await signed(account, messageOf(account, nonce))), currency: 'usdt', amount: '5', txHash, token }
    expect((await admin.delegation.completeEvmDelegation(request)).delegation).toMatchObject({ currency: 'usdt', limit: '5' })
  })

  it('completed again replaces the one before and keeps its place; another comes last; an order is kept', async () => {
    const { account, request } = await delegation('bob')
    const first = (await admin.delegation.completeEvmDelegation(request)).delegation
    const other = personOf('bob-other')
    const otherTx = await approve(other, 50_000_000n)
    const otherToken = await issue(other, 'bob')
    const second = (await admin.delegation.completeEvmDelegation({ ...(await signed(other, messageOf(other, otherToken.nonce))), txHash: otherTx, token: otherToken.token })).delegation
    expect([first?.priority, second?.priority]).toEqual([1, 2])
    const again = await issue(account, 'bob')
    const third = (await admin.delegation.completeEvmDelegation({ ...(await signed(account, messageOf(account, again.nonce))), txHash: request.txHash, token: again.token, amount: '20' })).delegation
    expect(third).toMatchObject({ priority: 1, limit: '20' })
    expect(third?.externalWalletId).not.toBe(first?.externalWalletId)
    const ids = [second, third].map((wallet) => wallet?.externalWalletId ?? '')
    const order = (priorities: readonly (readonly [string, number])[]) =>
      admin.delegation.updateExternalWalletPriorities({ userId: 'bob', priorities: priorities.map(([externalWalletId, priority]) => ({ externalWalletId, priority })) })
    const [a = '', b = ''] = ids
    expect((await order([[a, 1], [b, 2]])).externalWallets.map(({ externalWalletId }) => externalWalletId)).toEqual(ids)
    expect((await admin.delegation.listExternalWallets({ userId: 'bob' })).externalWallets.map(({ externalWalletId }) => externalWalletId)).toEqual(ids)
    expect(await reasonOf(order([[a, 1]]))).toBe('PRIORITIES_INVALID')
    expect(await reasonOf(order([[a, 1], [b, 1]]))).toBe('PRIORITIES_INVALID')
    expect(await reasonOf(order([[a, 1], [a, 2]]))).toBe('PRIORITIES_INVALID')
    expect(await reasonOf(order([[a, 1], [b, 2], [`ext_${'0'.repeat(32)}`, 3]]))).toBe('PRIORITIES_INVALID')
    expect(await reasonOf(order([[a, 1], [first?.externalWalletId ?? '', 2]]))).toBe('PRIORITIES_INVALID')
  })

  it('may take the place of one elsewhere, of the same user only', async () => {
    const { request } = await delegation('carol')
    const first = (await admin.delegation.completeEvmDelegation(request)).delegation
    const { request: next } = await delegation('carol-moved')
    const { token, nonce } = await issue(personOf('carol-moved'), 'carol')
    const moved = { ...next, ...(await signed(personOf('carol-moved'), messageOf(personOf('carol-moved'), nonce))), token }
    expect(await reasonOf(admin.delegation.completeEvmDelegation({ ...moved, replaces: `ext_${'0'.repeat(32)}` }))).toBe('EXTERNAL_WALLET_NOT_FOUND')
    const { delegation: made } = await admin.delegation.completeEvmDelegation({ ...moved, replaces: first?.externalWalletId ?? '' })
    expect(made?.priority).toBe(1)
    expect((await admin.delegation.listExternalWallets({ userId: 'carol' })).externalWallets).toHaveLength(1)
  })

  it('of an address that is another user’s is refused', async () => {
    const { account, request } = await delegation('dave')
    await admin.delegation.completeEvmDelegation(request)
    const { token, nonce } = await issue(account, 'eve')
    const stolen = { ...request, ...(await signed(account, messageOf(account, nonce))), token }
    expect(await reasonOf(admin.delegation.completeEvmDelegation(stolen))).toBe('EXTERNAL_WALLET_TAKEN')
  })

  it('of a hundred with one token is one', async () => {
    const { request } = await delegation('parallel')
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => settledOutcomeOf(() => admin.delegation.completeEvmDelegation(request))))
    expect(outcomes.filter((one) => one === 'signed')).toHaveLength(1)
    expect(new Set(outcomes)).toEqual(new Set(['signed', 'TOKEN_USED']))
  })
})

describe('is refused', () => {
  const bent = async (
    name: string,
    bend: (right: Awaited<ReturnType<typeof delegation>>) => Promise<Partial<Awaited<ReturnType<typeof delegation>>['request']>>,
  ): Promise<string> => {
    const right = await delegation(name)
    const bad = { ...right.request, ...(await bend(right)) }
    const error = await refusalOf(admin.delegation.completeEvmDelegation(bad))
    // Nothing but success uses the token up.
    if (bad.token === right.request.token) await admin.delegation.completeEvmDelegation(right.request)
    return error.reason ?? ''
  }
  /** The changes are made when their turn comes: some are times. */
  const resigned = (changes: () => Partial<Parameters<typeof createSiweMessage>[0]>) => async ({ account, nonce }: Awaited<ReturnType<typeof delegation>>) => {
    const { sigMessage, sigHash } = await signed(account, messageOf(account, nonce, changes()))
    return { sigMessage, sigHash }
  }
  type Bend = Parameters<typeof bent>[1]
  const cases: readonly (readonly [string, string, Bend])[] = [
    ['a token of nobody', 'TOKEN_INVALID', async () => ({ token: '00000000-0000-4000-8000-000000000000' })],
    ['a token for another address', 'TOKEN_INVALID', async () => ({ token: (await issue(personOf('x'), 'x')).token })],
    ['a token for another network', 'TOKEN_INVALID', async ({ account }) => ({ token: (await issue(account, 'x', 'ethereum')).token })],
    ['a message that is none', 'SIWE_INVALID', async () => ({ sigMessage: 'I own this wallet, I promise' })],
    ['a message without an end', 'SIWE_INVALID', resigned(() => ({ expirationTime: undefined }))],
    ['a message that is good for a day', 'SIWE_INVALID', resigned(() => ({ expirationTime: new Date(Date.now() + 86_400_000) }))],
    ['a message older than the token', 'SIWE_INVALID', resigned(() => ({ issuedAt: new Date(Date.now() - 600_000) }))],
    ['a message that is over', 'SIWE_EXPIRED', resigned(() => ({ issuedAt: new Date(Date.now() - 50_000), expirationTime: new Date(Date.now() - 1_000) }))],
    ['a message of a time to come', 'SIWE_NOT_YET_VALID', resigned(() => ({ notBefore: new Date(Date.now() + 100_000) }))],
    ['a message for another chain', 'SIWE_CHAIN_MISMATCH', resigned(() => ({ chainId: 1 }))],
    ['a message of another page', 'SIWE_DOMAIN_MISMATCH', resigned(() => ({ domain: 'evil.example', uri: 'https://evil.example' }))],
    ['a message whose URI is of another page', 'SIWE_DOMAIN_MISMATCH', resigned(() => ({ uri: 'https://evil.example' }))],
    ['a message over plain http', 'SIWE_DOMAIN_MISMATCH', resigned(() => ({ uri: `http://${DOMAIN}` }))],
    ['a message with another nonce', 'SIWE_NONCE_MISMATCH', resigned(() => ({ nonce: 'ffffffffffffffffffffffff' }))],
    ['a message of another address', 'SIWE_ADDRESS_MISMATCH', async ({ nonce }) => signed(personOf('x'), messageOf(personOf('x'), nonce)).then(({ sigMessage, sigHash }) => ({ sigMessage, sigHash }))],
    ['a signature of somebody else', 'SIGNATURE_MISMATCH', async ({ request }) => ({ sigHash: await personOf('x').signMessage({ message: request.sigMessage }) })],
    ['a signature over something else', 'SIGNATURE_MISMATCH', async ({ account }) => ({ sigHash: await account.signMessage({ message: 'hello' }) })],
    ['a signature that is none', 'SIGNATURE_MISMATCH', async () => ({ sigHash: `0x${'00'.repeat(65)}` as const })],
    ['a transaction that is not there', 'TRANSACTION_NOT_FOUND', async () => ({ txHash: `0x${'12'.repeat(32)}` as const })],
    ['a transaction that is on another chain', 'TRANSACTION_WRONG_NETWORK', async ({ account }) => ({ txHash: await send(account, tokens.usdc, 'approve', [spender, 1n], elsewhere) })],
    ['a transaction that failed', 'TRANSACTION_REVERTED', async ({ account }) => {
      const txHash = await send(account, tokens.usdc, 'transfer', [spender, 10n ** 18n])
      await anvil.mine(3)
      return { txHash }
    }],
    ['a transaction that approves nothing', 'APPROVAL_MISSING', async ({ account }) => {
      const txHash = await send(account, tokens.usdc, 'transfer', [spender, 0n])
      await anvil.mine(3)
      return { txHash }
    }],
    ['an approval of somebody else', 'APPROVAL_MISSING', async () => ({ txHash: await approve(personOf('y'), 50_000_000n) })],
    ['an approval for somebody else', 'APPROVAL_MISSING', async ({ account }) => ({ txHash: await approve(account, 50_000_000n, 'usdc', personOf('z').address) })],
    ['an approval of another token', 'APPROVAL_MISSING', async ({ account }) => ({ txHash: await approve(account, 50_000_000n, 'usdt') })],
    ['an approval of less', 'APPROVAL_TOO_SMALL', async () => ({ amount: '50.000001' })],
    ['more decimals than the token has', 'INVALID_REQUEST', async () => ({ amount: '1.0000001' })],
    ['an amount of nothing', 'INVALID_REQUEST', async () => ({ amount: '0.0' })],
    ['an amount that is none', 'INVALID_REQUEST', async () => ({ amount: '5e3' })],
    ['an address with a wrong checksum', 'INVALID_REQUEST', async ({ account }) => ({ address: account.address.replace(/[a-f]/, (letter) => letter.toUpperCase()) as Hex })],
    ['a token that counts in other decimals than is configured', 'TOKEN_UNSUPPORTED', async () => ({ currency: 'miscounted' })],
    ['a token that is none', 'TOKEN_UNSUPPORTED', async () => ({ currency: 'nothing' })],
    ['a currency that is not known', 'CURRENCY_NOT_CONFIGURED', async () => ({ currency: 'dai' })],
    ['a network that is not configured', 'CHAIN_NOT_CONFIGURED', async () => ({ network: 'base' })],
  ]
  it.each(cases)('with %s: %s', async (name, reason, bend) => {
    expect(await bent(`bent ${name}`.replaceAll(' ', '-'), bend)).toBe(reason)
  })

  it('by the first of its lacks, in one order', async () => {
    const { request } = await delegation('lacking')
    const lacks = [
      ['CHAIN_NOT_CONFIGURED', { network: 'base' }],
      ['CURRENCY_NOT_CONFIGURED', { currency: 'dai' }],
      ['INVALID_REQUEST', { amount: '0.0' }],
      ['TOKEN_INVALID', { token: '00000000-0000-4000-8000-000000000000' }],
      ['SIWE_INVALID', { sigMessage: 'I own this wallet, I promise' }],
      ['SIGNATURE_MISMATCH', { sigHash: `0x${'00'.repeat(65)}` }],
      ['TRANSACTION_NOT_FOUND', { txHash: `0x${'12'.repeat(32)}` }],
    ] as const
    const complete = (bad: readonly (typeof lacks)[number][]) =>
      admin.delegation.completeEvmDelegation(bad.reduce((made, [, lack]) => ({ ...made, ...lack }), request as object))
    const reasons = await Promise.all(lacks.map((_lack, at) => reasonOf(complete(lacks.slice(at)))))
    expect(reasons).toEqual(lacks.map(([reason]) => reason))
    await complete([])
  })

  it('while the approval is young, and with the same token not any more', async () => {
    const account = personOf('young')
    const txHash = await send(account, tokens.usdc, 'approve', [spender, 50_000_000n])
    const { token, nonce } = await issue(account, 'young')
    const request = { ...(await signed(account, messageOf(account, nonce))), txHash, token }
    const error = await refusalOf(admin.delegation.completeEvmDelegation(request))
    expect(error).toMatchObject({ reason: 'TRANSACTION_NOT_CONFIRMED', metadata: { confirmations: '1', required: '3', retryable: 'yes' } })
    await anvil.mine(2)
    await admin.delegation.completeEvmDelegation(request)
    expect(await reasonOf(admin.delegation.completeEvmDelegation(request))).toBe('TOKEN_USED')
  })

  it('once the approval is spent or taken back, though its transaction stands', async () => {
    const { account, request } = await delegation('spent')
    await approve(account, 49_999_999n)
    expect(await reasonOf(admin.delegation.completeEvmDelegation(request))).toBe('APPROVAL_TOO_SMALL')
  })

  it('when a reorganisation has taken the approval out of the chain', async () => {
    const before = await anvil.snapshot()
    const { request } = await delegation('reorged')
    await anvil.revert(before)
    await anvil.mine(10)
    expect(await reasonOf(admin.delegation.completeEvmDelegation(request))).toBe('TRANSACTION_NOT_FOUND')
  })
})

describe('callers', () => {
  it('need delegation:create, and see nothing of another project', async () => {
    const account = personOf('stranger')
    const { secret } = await newKey(admin, [{ name: 'wallet:read' }])
    const reader = connect(daemon, secret)
    expect(await reasonOf(reader.delegation.issueDelegationToken({ userId: 'a', network: NETWORK, address: account.address }))).toBe('PERMISSION_MISSING')
    await admin.admin.createProject({ projectId: 'other' })
    const key = await newKey(admin, [{ name: 'delegation:create' }], { projectId: 'other' })
    const other = connect(daemon, key.secret)
    const { request } = await delegation('ours')
    expect(await reasonOf(other.delegation.completeEvmDelegation(request))).toBe('SPENDER_NOT_CONFIGURED')
    expect((await other.delegation.listExternalWallets({ userId: 'alice' })).externalWallets).toEqual([])
    expect((await other.delegation.getChainConfig({})).networks).toEqual([])
    reader.close()
    other.close()
  })

  it('name a spender that the project can sign with by itself', async () => {
    const update = (walletId: string, network = NETWORK) =>
      admin.admin.updateProject({ project: { projectId: 'default', spenders: [{ network, walletId }] }, updateMask: { paths: ['spenders'] } })
    expect(await reasonOf(update(`wal_${'0'.repeat(32)}`))).toBe('WALLET_NOT_FOUND')
    const archived = await newWallet(admin, 'archived-spender')
    await admin.wallets.archiveWallet({ wallet: archived.walletId })
    expect(await reasonOf(update(archived.walletId))).toBe('INVALID_REQUEST')
  })
})
