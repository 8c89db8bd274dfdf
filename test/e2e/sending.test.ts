/** SendTransaction on a real EVM: every state and refusal, in parallel, replaced, reorganised, killed in the middle. */
import { randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { encodeAbiParameters, encodeFunctionData, getContractAddress, type Hex, parseAbi } from 'viem'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { OwnerType } from '../../gen/countersign/v1/wallet_pb.ts'
import {
  EvmTransactionType, type SentTransaction, TransactionState, TransactionVersionKind, type Wallet,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { type Anvil, startAnvil } from '../client/start-anvil.ts'
import { listenReceiver } from '../delegation/webhook-receiver.ts'
import { detailOf, rowsOfKind } from './audit-rows.ts'
import { type BendingProvider, startBendingProvider } from './bending-provider.ts'
import { connect, hex, newKey, newWallet, reasonOf } from './callers.ts'
import { fresh } from './fresh.ts'
import { type Request, sendsOf, until } from './sends.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

const NETWORK = 'linea'
const NOBODY = '0x00000000000000000000000000000000000000aa'
const GWEI = 10n ** 9n
const TOKEN = parseAbi(['function transfer(address,uint256)', 'function balanceOf(address) view returns (uint256)'])
const { StandardToken: TOKEN_CODE } = JSON.parse(readFileSync(resolve(import.meta.dirname, '../contracts/tokens.json'), 'utf8')) as { StandardToken: Hex }

let anvil: Anvil
let other: BendingProvider
let daemon: TestDaemon
let admin: CountersignClient
const dataDir = makeDataDir()
const folder = mkdtempSync(join(tmpdir(), 'countersign-sending-'))
const config = join(folder, 'countersign.toml')

type Send = Omit<Request, 'wallet' | 'transaction' | '$typeName' | '$unknown'> & { readonly to?: string; readonly value?: string; readonly data?: Uint8Array; readonly gasLimit?: bigint; readonly maxFeePerGas?: string }

const rpc = (method: string, ...params: unknown[]): Promise<unknown> => anvil.node.request({ method, params } as never)
const automine = (on: boolean): Promise<unknown> => rpc('evm_setAutomine', on)

const requestOf = (wallet: string, { to = NOBODY, value = '1', data, gasLimit, maxFeePerGas, ...rest }: Send = {}): Request => ({
  wallet: fresh(wallet), network: NETWORK, confirmations: 1, ...rest,
  transaction: { case: 'evm', value: { to, value, ...(data && { data }), ...(gasLimit && { gasLimit }), ...(maxFeePerGas && { maxFeePerGas }) } },
})

const { follow, begin, whenIn } = sendsOf(() => admin)
const send = (wallet: string, asked?: Send, client = admin) => follow(requestOf(wallet, asked), client)
const lastOf = async (told: Promise<readonly SentTransaction[]>): Promise<SentTransaction> => (await told).at(-1) as SentTransaction
const NAMES = new Map<number, string>(Object.entries(TransactionState).map(([name, state]) => [state, name]))
const nameOf = ({ state }: SentTransaction): string => NAMES.get(state) ?? ''
const namesOf = (told: readonly SentTransaction[]): readonly string[] => [...new Set(told.map(nameOf))]

const fundedWallet = async (name: string, client = admin): Promise<Wallet> => {
  const wallet = await newWallet(client, fresh(name))
  await anvil.fund(wallet.address as Hex, 10n ** 20n)
  return wallet
}
const minedOf = ({ address }: Wallet): Promise<number> => anvil.node.getTransactionCount({ address: address as Hex })

const contiguous = (count: number): readonly bigint[] => Array.from({ length: count }, (_, nonce) => BigInt(nonce))
const sorted = (nonces: readonly (bigint | undefined)[]): readonly bigint[] => nonces.map((nonce) => nonce ?? -1n).toSorted((a, b) => Number(a - b))

const start = async (): Promise<void> => {
  daemon = await startDaemon({ dataDir, keepData: true, args: ['--config', config] })
  admin = connect(daemon, daemon.adminKey)
}

beforeAll(async () => {
  anvil = await startAnvil(59_144)
  other = await startBendingProvider(anvil.rpcUrl)
  writeFileSync(config, [
    'egress_allow = "127.0.0.1"', 'chain_confirmations = 3',
    '[[chain]]', `network = "${NETWORK}"`, 'chain_id = 59144', `rpc = "${anvil.rpcUrl},${other.url}"`, 'poll_ms = 50', 'max_fee_gwei = 2000', 'max_gas = 5000000',
    '[[chain]]', 'network = "alone"', 'chain_id = 59144', `rpc = "${anvil.rpcUrl}"`, 'poll_ms = 100',
    '[[chain]]', 'network = "capped"', 'chain_id = 59144', `rpc = "${anvil.rpcUrl}"`, 'max_fee_gwei = 1',
  ].join('\n'))
  await start()
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
  await Promise.all([anvil[Symbol.asyncDispose](), other[Symbol.asyncDispose]()])
  for (const path of [folder, dataDir]) rmSync(path, { recursive: true, force: true })
})

// A test that fails must not take the others along.
afterEach(async () => {
  other.bend = undefined
  await automine(true)
})

describe('a transaction', () => {
  it('is signed, broadcast, included, and final when it is deep enough', async () => {
    const wallet = await fundedWallet('plain')
    await automine(false)
    const stream = admin.wallets.sendTransaction(requestOf('plain', { confirmations: 2 }))[Symbol.asyncIterator]()
    const first = (await stream.next()).value
    expect(first?.transaction).toMatchObject({ walletId: wallet.walletId, network: NETWORK, chain: 'eip155:59144', nonce: 0n, requiredConfirmations: 2, confirmations: 0 })
    const row = (await rowsOfKind(admin, 'sign.intent', 0n)).at(-1)
    expect([first?.receipt?.sequence, detailOf(row as never, 'send')]).toEqual([row?.sequence, first?.transaction?.transactionId])
    const { transactionId = '', transactionHash = '' } = first?.transaction ?? {}
    await whenIn(transactionId, TransactionState.BROADCAST)
    const waiting = await admin.wallets.listTransactions({ wallet: fresh('plain'), underWay: true })
    expect(waiting.transactions.map((one) => one.transactionId)).toEqual([transactionId])
    await anvil.mine(1)
    await whenIn(transactionId, TransactionState.INCLUDED)
    // It counts as deep as the provider says that sees the fewest blocks.
    const included = await until(async () => {
      const { transaction } = await admin.wallets.getTransaction({ transactionId })
      return transaction?.confirmations === 0 ? undefined : transaction
    })
    expect(included).toMatchObject({ confirmations: 1, transactionHash })
    expect(included.blockHash).toBe((await anvil.node.getTransactionReceipt({ hash: transactionHash as Hex })).blockHash)
    await anvil.mine(1)
    const rest: SentTransaction[] = []
    for (let next = await stream.next(); next.done !== true; next = await stream.next()) if (next.value.transaction) rest.push(next.value.transaction)
    expect(namesOf(rest)).toEqual(['BROADCAST', 'INCLUDED', 'CONFIRMED'])
    expect(rest.at(-1)).toMatchObject({ confirmations: 2, reason: '', versions: [{ kind: TransactionVersionKind.ORIGINAL, gasLimit: 21_000n, transactionHash }] })
    expect((await admin.wallets.listTransactions({ underWay: true })).transactions).toEqual([])
    expect((await rowsOfKind(admin, 'send.confirmed', 0n)).map(({ subject }) => subject)).toContain(`transaction:${transactionId}`)
    await automine(true)
  })

  it('is the same under the same request id, at once and afterwards, and no other', async () => {
    await fundedWallet('once')
    const requestId = randomUUID()
    const told = await Promise.all(Array.from({ length: 5 }, () => lastOf(send('once', { requestId }))))
    const again = await lastOf(send('once', { requestId }))
    expect(new Set([...told, again].map(({ transactionId, nonce }) => `${transactionId} ${nonce}`)).size).toBe(1)
    expect(await reasonOf(send('once', { requestId, value: '2' }))).toBe('IDEMPOTENCY_MISMATCH')
    expect((await admin.wallets.listTransactions({ wallet: fresh('once') })).transactions).toHaveLength(1)
  })

  it('follows what was sent outside of here', async () => {
    const wallet = await fundedWallet('elsewhere')
    await send('elsewhere')
    const value = { type: EvmTransactionType.LEGACY, chainId: 59_144n, nonce: 1n, gasLimit: 21_000n, gasPrice: String(20n * GWEI), to: NOBODY, value: '1' }
    const { signedTransaction } = await admin.wallets.signTransaction({ wallet: fresh('elsewhere'), transaction: { case: 'evm', value } })
    await anvil.node.sendRawTransaction({ serializedTransaction: hex(signedTransaction) })
    expect(await lastOf(send('elsewhere'))).toMatchObject({ nonce: 2n, state: TransactionState.CONFIRMED })
    expect(await minedOf(wallet)).toBe(3)
  })

  it('that another one of the same key displaces is replaced', async () => {
    await fundedWallet('displaced')
    await automine(false)
    const { transactionId, nonce } = await begin(requestOf('displaced', { confirmations: 2 }))
    await whenIn(transactionId, TransactionState.BROADCAST)
    const value = { type: EvmTransactionType.LEGACY, chainId: 59_144n, nonce: nonce ?? 0n, gasLimit: 21_000n, gasPrice: String(30n * GWEI), to: NOBODY, value: '5' }
    const { signedTransaction } = await admin.wallets.signTransaction({ wallet: fresh('displaced'), transaction: { case: 'evm', value } })
    await anvil.node.sendRawTransaction({ serializedTransaction: hex(signedTransaction) })
    await anvil.mine(3)
    await until(async () => ((await anvil.mine(1)), (await admin.wallets.getTransaction({ transactionId })).transaction?.state === TransactionState.REPLACED ? true : undefined))
    expect(await whenIn(transactionId, TransactionState.REPLACED)).toMatchObject({ reason: 'NONCE_USED_ELSEWHERE' })
    await automine(true)
  })

  it('creates contracts and calls them; one that would fail is refused, one that fails all the same has failed', async () => {
    const wallet = await fundedWallet('deployer')
    const supply = encodeAbiParameters([{ type: 'uint256' }], [1_000n])
    const code = Buffer.from(`${TOKEN_CODE.slice(2)}${supply.slice(2)}`, 'hex')
    const made = await lastOf(send('deployer', { to: '', value: '', data: code }))
    expect(made.state).toBe(TransactionState.CONFIRMED)
    const token = getContractAddress({ from: wallet.address as Hex, nonce: made.nonce ?? 0n })
    const transfer = (units: bigint) => Buffer.from(encodeFunctionData({ abi: TOKEN, functionName: 'transfer', args: [NOBODY, units] }).slice(2), 'hex')
    expect(await lastOf(send('deployer', { to: token, value: '', data: transfer(400n) }))).toMatchObject({ state: TransactionState.CONFIRMED })
    expect(await anvil.node.readContract({ address: token, abi: TOKEN, functionName: 'balanceOf', args: [NOBODY] })).toBe(400n)
    expect(await reasonOf(send('deployer', { to: token, value: '', data: transfer(601n) }))).toBe('TRANSACTION_WOULD_REVERT')
    expect(await lastOf(send('deployer', { to: token, value: '', data: transfer(601n), gasLimit: 100_000n }))).toMatchObject({ state: TransactionState.FAILED, reason: 'REVERTED', nonce: 2n })
    expect(await lastOf(send('deployer'))).toMatchObject({ nonce: 3n })
  })

  it('sent by the command line is told of line by line, and to webhooks when it is over', async () => {
    await fundedWallet('told')
    const receiver = await listenReceiver()
    await admin.admin.createWebhook({ url: receiver.url, eventTypes: ['transaction.*'] })
    const address = ['--endpoint', daemon.endpoints.grpc, '--api-key-file', join(daemon.dataDir, 'admin.key')]
    const { code, stdout, stderr } = await runCli(['wallet', 'send', fresh('told'), NETWORK, '--to', NOBODY, '--value', '3', '--confirmations', '1', ...address])
    expect([code, stderr]).toEqual([0, ''])
    expect(stdout.trim().split('\n').at(-1)).toMatch(/^confirmed snd_[0-9a-f]{32} nonce 0 0x[0-9a-f]{64} block \d+, 1 of 1$/)
    await until(async () => (receiver.received.length > 0 ? true : undefined))
    receiver.close()
    const [transactionId] = /snd_[0-9a-f]{32}/.exec(stdout) ?? []
    expect(JSON.parse(receiver.received[0]?.body.toString() ?? '')).toMatchObject({ type: 'transaction.confirmed', data: { transaction_id: transactionId, network: NETWORK } })
  })
})

describe('refused, with no nonce lost', () => {
  it('for what it costs, what there is, and where it goes', async () => {
    const wallet = await fundedWallet('refused')
    const refused = (asked: Send) => reasonOf(send('refused', asked))
    expect(await refused({ maxFeePerGas: '1' })).toBe('FEE_ABOVE_CAP')
    expect(await refused({ maxFeePerGas: String(2_001n * GWEI) })).toBe('FEE_ABOVE_CAP')
    expect(await refused({ network: 'capped' })).toBe('FEE_ABOVE_CAP')
    expect(await refused({ gasLimit: 5_000_001n })).toBe('GAS_ABOVE_CAP')
    expect(await refused({ value: String(10n ** 20n) })).toBe('INSUFFICIENT_FUNDS')
    expect(await refused({ value: String(10n ** 21n) })).toBe('INSUFFICIENT_FUNDS')
    expect(await refused({ network: 'base' })).toBe('CHAIN_NOT_CONFIGURED')
    expect(await refused({ to: '', value: '1' })).toBe('TRANSACTION_INVALID')
    expect(await refused({ to: '0x00000000000000000000000000000000000000Aa' })).toBe('TRANSACTION_INVALID')
    expect(await reasonOf(send('nobody-at-all'))).toBe('WALLET_NOT_FOUND')
    expect(await reasonOf(admin.wallets.getTransaction({ transactionId: `snd_${'0'.repeat(32)}` }))).toBe('SENT_TRANSACTION_NOT_FOUND')
    expect((await admin.wallets.listTransactions({ wallet: fresh('refused') })).transactions).toEqual([])
    expect(await lastOf(send('refused'))).toMatchObject({ nonce: 0n })
    expect(await minedOf(wallet)).toBe(1)
  })

  it('by permission, its narrowing and caps, by freezes and by owners', async () => {
    const wallet = await fundedWallet('guarded')
    const { secret: signer } = await newKey(admin, [{ name: 'wallet:sign' }, { name: 'wallet:read' }])
    const limit = (token: string, amount: bigint) => ({ chain: 'eip155:59144', token, amount: String(amount) })
    const { secret, apiKeyId } = await newKey(admin, [
      { name: 'wallet:send', wallets: [wallet.walletId], chains: ['eip155:59144'], destinations: [NOBODY], maxPerDay: [limit('native', 25n), limit('fee', 10n ** 18n)] },
    ])
    using reader = connect(daemon, signer)
    using bot = connect(daemon, secret)
    expect(await reasonOf(send('guarded', {}, reader))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(send('guarded', { to: wallet.address, value: '1' }, bot))).toBe('PERMISSION_MISSING')
    await fundedWallet('not-the-bots')
    expect(await reasonOf(send('not-the-bots', {}, bot))).toBe('PERMISSION_MISSING')
    const several = await Promise.allSettled(Array.from({ length: 4 }, () => lastOf(send('guarded', { value: '10' }, bot))))
    expect(several.filter(({ status }) => status === 'fulfilled')).toHaveLength(2)
    expect(await reasonOf(send('guarded', { value: '10' }, bot))).toBe('LIMIT_EXCEEDED')
    expect((await rowsOfKind(admin, 'sign.denied', 0n)).map(({ reason }) => reason)).toContain('LIMIT_EXCEEDED')
    await admin.admin.freeze({ scope: FreezeScope.API_KEY, id: apiKeyId })
    expect(await reasonOf(send('guarded', { value: '1' }, bot))).toBe('FROZEN')
    await admin.admin.freeze({ scope: FreezeScope.WALLET, id: wallet.walletId })
    expect(await reasonOf(send('guarded'))).toBe('FROZEN')
    await admin.admin.unfreeze({ scope: FreezeScope.WALLET, id: wallet.walletId })
    expect(await lastOf(send('guarded'))).toMatchObject({ nonce: 2n })
    const { wallet: owned } = await admin.wallets.createWallet({ userId: 'owner', keyType: 1, ownerType: OwnerType.END_USER })
    await anvil.fund(owned?.address as Hex, 10n ** 18n)
    expect(await reasonOf(send(owned?.walletId ?? ''))).toBe('DELEGATION_NOT_ENABLED')
  })
})

describe('replaced', () => {
  it('a transaction pays more and is the same, within its caller’s caps', async () => {
    const wallet = await fundedWallet('hurried')
    const { secret } = await newKey(admin, [
      { name: 'wallet:send', wallets: [wallet.walletId], destinations: [NOBODY], maxPerDay: [{ chain: 'eip155:59144', token: 'native', amount: '1' }] },
    ])
    using bot = connect(daemon, secret)
    await automine(false)
    const { transactionId, transactionHash } = await begin(requestOf('hurried', {}), bot)
    const speedUp = { wallet: fresh('hurried'), network: NETWORK, transaction: { case: 'speedUp', value: { transactionId } } } as const
    const requestId = randomUUID()
    const faster = await begin({ ...speedUp, requestId }, bot)
    expect((await begin({ ...speedUp, requestId }, bot)).versions).toHaveLength(2)
    expect(faster).toMatchObject({ transactionId, nonce: 0n, versions: [{ kind: TransactionVersionKind.ORIGINAL }, { kind: TransactionVersionKind.SPEED_UP }] })
    expect(faster.transactionHash).not.toBe(transactionHash)
    const [before, after] = faster.versions
    expect(BigInt(after?.maxFeePerGas ?? 0) * 10n).toBeGreaterThanOrEqual(BigInt(before?.maxFeePerGas ?? 0) * 11n)
    expect(BigInt(after?.maxPriorityFeePerGas ?? 0) * 10n).toBeGreaterThanOrEqual(BigInt(before?.maxPriorityFeePerGas ?? 0) * 11n)
    const tooLittle = { ...speedUp, transaction: { case: 'speedUp', value: { transactionId, maxFeePerGas: after?.maxFeePerGas ?? '' } } } as const
    expect(await reasonOf(begin(tooLittle))).toBe('FEE_ABOVE_CAP')
    await automine(true)
    await anvil.mine(1)
    expect(await whenIn(transactionId, TransactionState.CONFIRMED)).toMatchObject({ transactionHash: faster.transactionHash, nonce: 0n })
    expect(await anvil.node.getTransactionReceipt({ hash: faster.transactionHash as Hex })).toMatchObject({ status: 'success' })
    expect(await reasonOf(begin(speedUp))).toBe('SENT_TRANSACTION_OVER')
  })

  it('a transaction is cancelled, as often as is allowed', async () => {
    const wallet = await fundedWallet('cancelled')
    await automine(false)
    const { transactionId } = await begin(requestOf('cancelled', { value: String(10n ** 18n) }))
    const cancel = { wallet: fresh('cancelled'), network: NETWORK, transaction: { case: 'cancel', value: { transactionId } } } as const
    for (let times = 1; times <= 10; times++) expect((await begin(cancel)).versions).toHaveLength(times + 1)
    expect(await reasonOf(begin(cancel))).toBe('REPLACEMENTS_EXHAUSTED')
    await fundedWallet('another')
    expect(await reasonOf(begin({ ...cancel, wallet: fresh('another') }))).toBe('SENT_TRANSACTION_NOT_FOUND')
    expect(await reasonOf(begin({ ...cancel, network: 'capped' }))).toBe('SENT_TRANSACTION_NOT_FOUND')
    await automine(true)
    await anvil.mine(1)
    expect(await whenIn(transactionId, TransactionState.REPLACED)).toMatchObject({ reason: 'CANCELLED' })
    expect(await anvil.node.getBalance({ address: wallet.address as Hex })).toBeGreaterThan(99n * 10n ** 18n)
    expect(await lastOf(send('cancelled'))).toMatchObject({ nonce: 1n })
  })
})

describe('a chain that changes its mind', () => {
  it('gets the same transaction again, without another signature', async () => {
    await fundedWallet('reorged')
    await automine(false)
    const before = await anvil.snapshot()
    const { transactionId, transactionHash } = await begin(requestOf('reorged', { confirmations: 4 }))
    await whenIn(transactionId, TransactionState.BROADCAST)
    await anvil.mine(2)
    await whenIn(transactionId, TransactionState.INCLUDED)
    const signatures = (await rowsOfKind(admin, 'sign.intent', 0n)).length
    await anvil.revert(before)
    await anvil.mine(1)
    await until(async () => ((await rowsOfKind(admin, 'send.reorged', 0n)).some(({ subject }) => subject.includes(transactionId)) ? true : undefined))
    await until(async () => ((await anvil.mine(1)), (await admin.wallets.getTransaction({ transactionId })).transaction?.state === TransactionState.CONFIRMED ? true : undefined))
    expect(await whenIn(transactionId, TransactionState.CONFIRMED)).toMatchObject({ transactionHash, nonce: 0n })
    expect(await rowsOfKind(admin, 'sign.intent', 0n)).toHaveLength(signatures)
    await automine(true)
  })

  it('and has even forgotten what was final gets it again with the next one', async () => {
    await fundedWallet('forgotten')
    const before = await anvil.snapshot()
    const { transactionId } = await lastOf(send('forgotten'))
    await anvil.revert(before)
    await anvil.mine(1)
    expect(await lastOf(send('forgotten'))).toMatchObject({ nonce: 1n, state: TransactionState.CONFIRMED })
    expect(await whenIn(transactionId, TransactionState.CONFIRMED)).toMatchObject({ nonce: 0n })
  })
})

describe('a provider', () => {
  it('that counts, asks and says too much is not followed; one that stalls or refuses does not stop a send', async () => {
    await fundedWallet('lied-to')
    const tooMuch: Record<string, unknown> = {
      eth_getTransactionCount: '0x64', eth_maxPriorityFeePerGas: '0xffffffffffff', eth_blockNumber: '0xffffff', eth_getBalance: '0x0', eth_getTransactionReceipt: null,
    }
    other.bend = ({ method }) => (['eth_getTransactionCount', 'eth_maxPriorityFeePerGas', 'eth_blockNumber'].includes(method) ? { result: tooMuch[method] } : undefined)
    expect(await lastOf(send('lied-to'))).toMatchObject({ nonce: 0n, state: TransactionState.CONFIRMED })
    // It keeps the receipt to itself: nothing is believed until both say it.
    other.bend = ({ method }) => (method === 'eth_getTransactionReceipt' ? { result: null } : undefined)
    const { transactionId } = await begin(requestOf('lied-to'))
    const asked = other.asked.filter((method) => method === 'eth_getTransactionReceipt').length
    await until(async () => (other.asked.filter((method) => method === 'eth_getTransactionReceipt').length > asked + 2 ? true : undefined))
    expect((await admin.wallets.getTransaction({ transactionId })).transaction?.state).toBe(TransactionState.BROADCAST)
    other.bend = ({ method }) => (method === 'eth_sendRawTransaction' ? { error: { code: -32_000, message: 'no' } } : undefined)
    expect(await lastOf(send('lied-to'))).toMatchObject({ nonce: 2n, state: TransactionState.CONFIRMED })
    other.bend = ({ method }) => (method === 'eth_sendRawTransaction' ? 'stall' : undefined)
    expect(await lastOf(send('lied-to'))).toMatchObject({ nonce: 3n, state: TransactionState.CONFIRMED })
    other.bend = undefined
    await whenIn(transactionId, TransactionState.CONFIRMED)
  })
})

describe('in parallel', () => {
  it('two hundred are two hundred nonces without a gap', async () => {
    const wallet = await fundedWallet('crowd')
    const sent = await Promise.all(Array.from({ length: 200 }, () => lastOf(send('crowd', { network: 'alone' }))))
    expect(new Set(sent.map(nameOf))).toEqual(new Set(['CONFIRMED']))
    expect(sorted(sent.map(({ nonce }) => nonce))).toEqual(contiguous(200))
    expect(await minedOf(wallet)).toBe(200)
  })

  it('they are without a gap, and each is there once, when the daemon is killed in the middle', async () => {
    const wallet = await fundedWallet('killed')
    const ids = Array.from({ length: 60 }, () => randomUUID())
    let first = 0
    const sending = Promise.allSettled(
      ids.map(async (requestId) => {
        for await (const _ of admin.wallets.sendTransaction(requestOf('killed', { requestId, network: 'alone' }))) first += 1
      }),
    )
    await until(async () => (first > 20 ? true : undefined))
    admin.close()
    await daemon.kill('SIGKILL')
    await sending
    await start()
    const sent = await Promise.all(ids.map((requestId) => lastOf(send('killed', { requestId, network: 'alone' }))))
    expect(new Set(sent.map(nameOf))).toEqual(new Set(['CONFIRMED']))
    expect(sorted(sent.map(({ nonce }) => nonce))).toEqual(contiguous(60))
    expect(await minedOf(wallet)).toBe(60)
    const hashes = sent.flatMap(({ versions }) => versions.map(({ transactionHash }) => transactionHash))
    expect(hashes).toHaveLength(60)
    const raw = await anvil.node.getTransaction({ hash: hashes[0] as Hex })
    expect(raw.to).toBe(NOBODY)
  })
})
