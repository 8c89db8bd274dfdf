/** SendTransaction on Solana's own virtual machine: in parallel, dropped, forked, lapsed. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Address } from '@solana/kit'
import { getAdvanceNonceAccountInstruction, getTransferSolInstruction } from '@solana-program/system'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { type SendTransactionRequestSchema, type SentTransaction, TransactionState, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import { describeSolanaMessage } from '../../src/payload/solana-facts.ts'
import { addressOf, buildMessage, signerOf } from '../payload/solana-cases.ts'
import { connect, newKey, newWallet, reasonOf } from './callers.ts'
import { honest, type SolanaScene, startSolanaScene } from './solana-scene.ts'

/** Longer than a blockhash is believed to live. */
const LIFE_BLOCKS = 200
const RECIPIENT = addressOf(0x55)

let scene: SolanaScene
let { cluster } = {} as SolanaScene
let admin: CountersignClient
let daemon: SolanaScene['daemon']
let wallet: Wallet

beforeAll(async () => {
  scene = await startSolanaScene()
  ;({ cluster, admin, daemon } = scene)
  wallet = await newWallet(admin, 'sender', '', KeyType.ED25519)
  cluster.airdrop(wallet.address as Address, 10_000_000_000n)
})
afterAll(() => scene[Symbol.asyncDispose]())

type Request = MessageInitShape<typeof SendTransactionRequestSchema>
type Rest = { readonly wallet?: string; readonly network?: string; readonly confirmations?: number; readonly requestId?: string }
const payOf = (lamports: bigint, from = wallet.address as Address) =>
  getTransferSolInstruction({ source: signerOf(from), destination: RECIPIENT, amount: lamports })
const requestOf = (message: Uint8Array, rest: Rest = {}): Request => ({
  wallet: wallet.walletId, network: 'solana', confirmations: 1, ...rest, transaction: { case: 'solana', value: { message } },
})
const transfer = (lamports: bigint, rest: Rest = {}): Request =>
  requestOf(buildMessage({ payer: wallet.address as Address, instructions: [payOf(lamports)] }), rest)

/** Every state until the last, as it was told. */
const follow = async (request: Request, client = admin): Promise<readonly SentTransaction[]> => {
  const told: SentTransaction[] = []
  for await (const { transaction } of client.wallets.sendTransaction(request)) if (transaction !== undefined) told.push(transaction)
  return told
}
const lastOf = async (request: Request, client = admin): Promise<SentTransaction> => (await follow(request, client)).at(-1) as SentTransaction
/** Begins to send and answers what was said first, leaving the stream. */
const begin = async (request: Request): Promise<SentTransaction> => {
  for await (const { transaction } of admin.wallets.sendTransaction(request)) if (transaction !== undefined) return transaction
  throw new Error('nothing was said')
}
const until = async <T>(look: () => Promise<T | undefined>): Promise<T> => {
  for (const end = Date.now() + 20_000; ; ) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > end) throw new Error('it did not come to that')
    await sleep(25)
  }
}
const whenIn = (transactionId: string, ...states: readonly TransactionState[]): Promise<SentTransaction> =>
  until(async () => {
    const { transaction } = await admin.wallets.getTransaction({ transactionId })
    return transaction !== undefined && states.includes(transaction.state) ? transaction : undefined
  })
const balance = (of: Address = RECIPIENT): bigint => cluster.svm.getBalance(of) ?? 0n
const landedFacts = (hash: string) => {
  const wire = cluster.landed.get(hash)?.wire ?? new Uint8Array()
  return describeSolanaMessage(decodeSolanaMessage(wire.subarray(1 + 64 * (wire[0] ?? 0))))
}

describe('SendTransaction', () => {
  it('dates, prices and sends a message, and tells how it goes on until it is final', async () => {
    const [before, own] = [balance(), balance(wallet.address as Address)]
    const told = await follow(transfer(5_000_000n, { confirmations: 2 }))
    const last = told.at(-1) as SentTransaction
    expect(last).toMatchObject({
      walletId: wallet.walletId, network: 'solana', chain: `solana:${cluster.genesisHash.slice(0, 32)}`, state: TransactionState.CONFIRMED, reason: '', requiredConfirmations: 2,
    })
    expect(last.nonce).toBeUndefined()
    expect(balance() - before).toBe(5_000_000n)
    const facts = landedFacts(last.transactionHash)
    expect(facts.solana?.instructions).toEqual(['computeBudget', 'computeBudget', 'computeBudget', 'system.transfer'])
    // A signature, and the priority fee within its cap.
    const fee = own - balance(wallet.address as Address) - 5_000_000n
    expect(fee).toBeGreaterThanOrEqual(5_000n)
    expect(fee).toBeLessThanOrEqual(5_020n)
    expect((await admin.wallets.getTransaction({ transactionId: last.transactionId })).receipt?.sequence).toBeGreaterThan(0n)
  })

  it('under the same request id it is the same', async () => {
    const requestId = randomUUID()
    const [request, before] = [transfer(1_000_000n, { requestId }), balance()]
    const [one, two] = await Promise.all([lastOf(request), lastOf(request)])
    expect(one.transactionId).toBe(two.transactionId)
    expect((await lastOf(request)).transactionHash).toBe(one.transactionHash)
    expect(balance() - before).toBe(1_000_000n)
    expect(await reasonOf(follow(transfer(2_000_000n, { requestId })))).toBe('IDEMPOTENCY_MISMATCH')
  })

  it('of twenty that ask for the same at once, twenty land', async () => {
    const before = balance()
    const sent = await Promise.all(Array.from({ length: 20 }, () => lastOf(transfer(1_000_000n))))
    expect(sent.every(({ state }) => state === TransactionState.CONFIRMED)).toBe(true)
    expect(new Set(sent.map(({ transactionHash }) => transactionHash)).size).toBe(20)
    // A cluster takes a message once, whoever signs it how often.
    expect(new Set(sent.map(({ transactionHash }) => Buffer.from(cluster.landed.get(transactionHash)?.wire ?? []).subarray(65).toString('hex'))).size).toBe(20)
    expect(balance() - before).toBe(20_000_000n)
  })

  it('sends what no node kept again, the same, until it lands', async () => {
    const before = balance()
    cluster.mode = 'drop'
    const { transactionId } = await begin(transfer(3_000_000n))
    const { transactionHash } = await whenIn(transactionId, TransactionState.BROADCAST)
    await until(async () => ((cluster.sends.get(transactionHash) ?? 0) > 4 ? true : undefined))
    cluster.mode = 'land'
    expect(await whenIn(transactionId, TransactionState.CONFIRMED)).toMatchObject({ transactionHash, versions: [{}] })
    expect(balance() - before).toBe(3_000_000n)
  })

  it('is over once no block can take it any more, and not before', async () => {
    const before = balance()
    cluster.mode = 'drop'
    const sends = new Set(cluster.sends.keys())
    const { transactionId } = await begin(transfer(4_000_000n))
    await whenIn(transactionId, TransactionState.BROADCAST)
    // A node that claims to be far ahead is not enough.
    scene.bend = (method, _params, ask) => (method === 'getBlockHeight' ? (ask() as number) + 10_000 : ask())
    await sleep(300)
    expect((await admin.wallets.getTransaction({ transactionId })).transaction?.state).toBe(TransactionState.BROADCAST)
    scene.bend = honest
    cluster.advance(LIFE_BLOCKS)
    expect(await whenIn(transactionId, TransactionState.EXPIRED)).toMatchObject({ reason: 'BLOCKHASH_EXPIRED' })
    cluster.mode = 'land'
    // One signature was all there ever was.
    expect([...cluster.sends.keys()].filter((hash) => !sends.has(hash))).toHaveLength(1)
    expect(balance()).toBe(before)
  })

  it('that a fork takes back lands again', async () => {
    cluster.depths = { confirmed: 0, finalized: 32 }
    const rollBack = cluster.snapshot()
    const before = balance()
    const { transactionId } = await begin(transfer(6_000_000n, { confirmations: 40 }))
    const { transactionHash } = await whenIn(transactionId, TransactionState.INCLUDED)
    cluster.mode = 'drop'
    rollBack()
    await whenIn(transactionId, TransactionState.BROADCAST)
    expect(balance()).toBe(before)
    cluster.mode = 'land'
    await whenIn(transactionId, TransactionState.INCLUDED)
    cluster.advance(40)
    expect(await whenIn(transactionId, TransactionState.CONFIRMED)).toMatchObject({ transactionHash })
    expect(balance() - before).toBe(6_000_000n)
    cluster.depths = { confirmed: 0, finalized: 0 }
  })

  it('that fails on the cluster has failed', async () => {
    const poor = await newWallet(admin, 'poor', '', KeyType.ED25519)
    cluster.airdrop(poor.address as Address, 50_000_000n)
    const drain = (lamports: bigint) =>
      requestOf(buildMessage({ payer: poor.address as Address, instructions: [payOf(lamports, poor.address as Address)] }), { wallet: poor.walletId })
    cluster.mode = 'hold'
    const [one, two] = [await begin(drain(30_000_000n)), await begin(drain(30_000_000n))]
    cluster.mode = 'land'
    cluster.release()
    const ends = await Promise.all([one, two].map(({ transactionId }) => whenIn(transactionId, TransactionState.CONFIRMED, TransactionState.FAILED)))
    expect(ends.map(({ state, reason }) => [state, reason])).toEqual([[TransactionState.CONFIRMED, ''], [TransactionState.FAILED, 'REVERTED']])
    expect(await reasonOf(follow(drain(10n ** 12n)))).toBe('TRANSACTION_WOULD_REVERT')
    const empty = await newWallet(admin, 'empty', '', KeyType.ED25519)
    const message = buildMessage({ payer: empty.address as Address, instructions: [payOf(1n, empty.address as Address)] })
    expect(await reasonOf(follow(requestOf(message, { wallet: empty.walletId })))).toBe('INSUFFICIENT_FUNDS')
  })

  it('refuses what it cannot send', async () => {
    const self = wallet.address as Address
    const other = await newWallet(admin, 'other', '', KeyType.ED25519)
    const theirs = other.address as Address
    const nonce = getAdvanceNonceAccountInstruction({ nonceAccount: addressOf(7), nonceAuthority: signerOf(self) })
    const cases: readonly (readonly [string, Request])[] = [
      ['TRANSACTION_INVALID', requestOf(buildMessage({ payer: theirs, instructions: [payOf(1n)] }))],
      ['TRANSACTION_INVALID', requestOf(buildMessage({ payer: self, instructions: [payOf(1n, theirs)] }))],
      ['TRANSACTION_INVALID', requestOf(buildMessage({ payer: self, instructions: [nonce, payOf(1n)] }))],
      ['TRANSACTION_INVALID', requestOf(new Uint8Array(40))],
      ['CHAIN_NOT_CONFIGURED', transfer(1n, { network: 'eclipse' })],
      ['WALLET_NOT_FOUND', transfer(1n, { wallet: 'nobody' })],
    ]
    for (const [reason, request] of cases) expect(await reasonOf(follow(request))).toBe(reason)
  })

  it('needs wallet:send, stays within its caps, and stops with a freeze', async () => {
    const signing = connect(daemon, (await newKey(admin, [{ name: 'wallet:sign' }])).secret)
    expect(await reasonOf(follow(transfer(1_000_000n), signing))).toBe('PERMISSION_MISSING')
    signing.close()
    const chain = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'
    const limits = [{ chain, token: 'native', amount: '2000000' }, { chain, token: 'fee', amount: '10000' }]
    const narrow = connect(daemon, (await newKey(admin, [{ name: 'wallet:send', maxPerTransaction: limits }])).secret)
    expect((await lastOf(transfer(2_000_000n), narrow)).state).toBe(TransactionState.CONFIRMED)
    expect(await reasonOf(follow(transfer(2_000_001n), narrow))).toBe('LIMIT_EXCEEDED')
    narrow.close()
    const target = { scope: FreezeScope.WALLET, id: wallet.walletId }
    await admin.admin.freeze({ ...target, note: 'drill' })
    expect(await reasonOf(follow(transfer(1_000_000n)))).toBe('FROZEN')
    await admin.admin.unfreeze(target)
  })
})

describe('a daemon that is killed', () => {
  it('goes on with what was under way, and signs nothing anew', async () => {
    const [before, known] = [balance(), new Set(cluster.sends.keys())]
    const asked = 40
    const streams = Array.from({ length: asked }, () => begin(transfer(1_000_000n)).catch(() => undefined))
    await until(async () => (balance() > before + 5_000_000n ? true : undefined))
    // From here on nothing lands, so something is under way whenever it dies.
    cluster.mode = 'drop'
    await until(async () => ((await admin.wallets.listTransactions({ underWay: true })).transactions.length > 2 ? true : undefined))
    await daemon.kill('SIGKILL')
    await Promise.all(streams)
    ;({ daemon, admin } = await scene.restart())
    cluster.mode = 'land'
    await until(async () => ((await admin.wallets.listTransactions({ underWay: true })).transactions.length === 0 ? true : undefined))
    const { transactions } = await admin.wallets.listTransactions({ wallet: wallet.walletId, pageSize: 500 })
    const sent = transactions.filter(({ transactionHash }) => !known.has(transactionHash) && transactionHash !== '')
    expect(sent.every(({ state, versions }) => state === TransactionState.CONFIRMED && versions.length === 1)).toBe(true)
    // What was let out is what is known of, each in one form, and each landed once.
    expect([...cluster.sends.keys()].filter((hash) => !known.has(hash)).toSorted()).toEqual(sent.map(({ transactionHash }) => transactionHash).toSorted())
    expect(balance() - before).toBe(BigInt(sent.length) * 1_000_000n)
  })
})
