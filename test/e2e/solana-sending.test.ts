/** SendTransaction on Solana's own virtual machine: in parallel, dropped, forked, lapsed, killed. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { Address } from '@solana/kit'
import { getAdvanceNonceAccountInstruction, getTransferSolInstruction } from '@solana-program/system'
import { afterAll, afterEach, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { type Spend, type SpendDelegationRequestSchema, SpendState } from '../../gen/countersign/v1/delegation_pb.ts'
import { type SentTransaction, TransactionState, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { decodeSolanaMessage } from '../../src/payload/solana-message.ts'
import { describeSolanaMessage } from '../../src/payload/solana-facts.ts'
import type { Person } from '../client/solana-tokens.ts'
import { addressOf, buildMessage, signerOf } from '../payload/solana-cases.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, settledOutcomeOf } from './callers.ts'
import { fresh } from './fresh.ts'
import { type Request, sendsOf, until } from './sends.ts'
import { honest, type SolanaScene, startSolanaScene } from './solana-scene.ts'

/** Longer than a blockhash is believed to live. */
const LIFE_BLOCKS = 200
const RECIPIENT = addressOf(0x55)

let scene: SolanaScene
let { cluster, usdc } = {} as SolanaScene
let admin: CountersignClient
let daemon: SolanaScene['daemon']
let wallet: Wallet

beforeAll(async () => {
  scene = await startSolanaScene()
  ;({ cluster, usdc, admin, daemon } = scene)
  wallet = await newWallet(admin, 'sender', '', KeyType.ED25519)
  cluster.airdrop(wallet.address as Address, 10_000_000_000n)
  await usdc.give(usdc.bank.address, 1n)
})
afterAll(() => scene[Symbol.asyncDispose]())
/** What a test that failed has left. */
afterEach(() => {
  cluster.mode = 'land'
  cluster.depths = { confirmed: 0, finalized: 0 }
  scene.bend = honest
})

type Rest = { readonly wallet?: string; readonly network?: string; readonly confirmations?: number; readonly requestId?: string }
const payOf = (lamports: bigint, from = wallet.address as Address) =>
  getTransferSolInstruction({ source: signerOf(from), destination: RECIPIENT, amount: lamports })
const requestOf = (message: Uint8Array, rest: Rest = {}): Request => ({
  wallet: wallet.walletId, network: 'solana', confirmations: 1, ...rest, transaction: { case: 'solana', value: { message } },
})
const transfer = (lamports: bigint, rest: Rest = {}): Request =>
  requestOf(buildMessage({ payer: wallet.address as Address, instructions: [payOf(lamports)] }), rest)

const { follow, begin, whenIn } = sendsOf(() => admin)
const lastOf = async (request: Request, client = admin): Promise<SentTransaction> => (await follow(request, client)).at(-1) as SentTransaction
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
    const poor = await newWallet(admin, fresh('poor'), '', KeyType.ED25519)
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
    const empty = await newWallet(admin, fresh('empty'), '', KeyType.ED25519)
    const message = buildMessage({ payer: empty.address as Address, instructions: [payOf(1n, empty.address as Address)] })
    expect(await reasonOf(follow(requestOf(message, { wallet: empty.walletId })))).toBe('INSUFFICIENT_FUNDS')
  })

  it('refuses what it cannot send', async () => {
    const self = wallet.address as Address
    const other = await newWallet(admin, fresh('other'), '', KeyType.ED25519)
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

type SpendRequest = MessageInitShape<typeof SpendDelegationRequestSchema>
const spend = async (userId: string, amount: string, rest: Partial<SpendRequest> = {}, client = admin): Promise<Spend> => {
  const asked = { userId: fresh(userId), network: 'solana', currency: 'usdc', amount, destination: usdc.bank.address, ...rest }
  const { spend: made } = await client.delegation.spendDelegation(asked as SpendRequest)
  if (made === undefined) throw new Error('no spend in the answer')
  return made
}
const spendWhenIn = (spendId: string, ...states: readonly SpendState[]): Promise<Spend> =>
  until(async () => {
    const { spend: now } = await admin.delegation.getSpend({ spendId })
    return now !== undefined && states.includes(now.state) ? now : undefined
  })
/** A person who has `balance` units and approves `units` of them, and is registered. */
const delegate = async (userId: string, units: bigint, balance = units): Promise<Person> => {
  const { person, request } = await scene.delegation(fresh(userId), { units, balance })
  await admin.delegation.completeSolanaDelegation(request)
  return person
}

describe('SpendDelegation', () => {
  it('moves tokens of the owner’s by the delegate, and the allowance falls', async () => {
    const person = await delegate('alice', 50_000_000n)
    const before = await usdc.balanceOf(usdc.bank.address)
    const made = await spend('alice', '12.5')
    expect(await spendWhenIn(made.spendId, SpendState.SETTLED)).toMatchObject({ amount: '12.5', deliveredAmount: '12.5', destination: usdc.bank.address })
    expect([await usdc.balanceOf(usdc.bank.address), await usdc.balanceOf(person.address), await usdc.allowanceOf(person.address)]).toEqual([before + 12_500_000n, 37_500_000n, 37_500_000n])
    const { externalWallets } = await admin.delegation.listExternalWallets({ userId: fresh('alice') })
    expect(externalWallets).toMatchObject([{ standing: { allowance: '37.5', balance: '37.5' } }])
    expect(await reasonOf(spend('alice', '37.500001'))).toBe('SPEND_NOT_COVERED')
    await usdc.revoke(person)
    expect(await reasonOf(spend('alice', '1'))).toBe('SPEND_REVOKED')
  })

  it('by a narrowed key goes to whom it lists, and no further than its caps', async () => {
    await delegate('narrow', 50_000_000n)
    const chain = 'solana:5eykt4UsFv8P8NJdTREpY1vzqKqZKvdp'
    const permission = { name: 'delegation:spend', destinations: [usdc.bank.address], maxPerDay: [{ chain, token: usdc.mint, amount: '5000000' }] }
    const bot = connect(daemon, (await newKey(admin, [permission])).secret)
    const made = await spend('narrow', '4', {}, bot)
    await spendWhenIn(made.spendId, SpendState.SETTLED)
    expect(await reasonOf(spend('narrow', '2', {}, bot))).toBe('LIMIT_EXCEEDED')
    await spend('narrow', '1', {}, bot)
    const stranger = usdc.person().address
    expect(await reasonOf(spend('narrow', '1', { destination: stranger, createDestinationAccount: true }, bot))).toBe('PERMISSION_MISSING')
    bot.close()
  })

  it('goes to an account of its own, or opens one where that is asked for', async () => {
    await delegate('bob', 50_000_000n)
    const stranger = usdc.person()
    expect(await reasonOf(spend('bob', '1', { destination: stranger.address }))).toBe('SPEND_REFUSED_BY_TOKEN')
    const made = await spend('bob', '1', { destination: stranger.address, createDestinationAccount: true })
    await spendWhenIn(made.spendId, SpendState.SETTLED)
    expect(await usdc.balanceOf(stranger.address)).toBe(1_000_000n)
    const poor = await newWallet(admin, fresh('poor-spender'), '', KeyType.ED25519)
    const spendersOf = (walletId: string) =>
      admin.admin.updateProject({ project: { projectId: 'default', spenders: [{ network: 'solana', walletId }] }, updateMask: { paths: ['spenders'] } })
    await spendersOf(poor.walletId)
    const { person, request } = await scene.delegation(fresh('poor'), { spender: poor.address as Address })
    await admin.delegation.completeSolanaDelegation(request)
    expect(await usdc.allowanceOf(person.address)).toBe(50_000_000n)
    expect(await reasonOf(spend('poor', '1'))).toBe('INSUFFICIENT_FUNDS')
    await spendersOf(scene.spender.walletId)
    const direct = await spend('bob', '2', { destination: await usdc.accountOf(stranger.address) })
    await spendWhenIn(direct.spendId, SpendState.SETTLED)
    expect(await usdc.balanceOf(stranger.address)).toBe(3_000_000n)
  })

  it('comes from the first by priority that covers it all', async () => {
    const first = await delegate('carol', 5_000_000n)
    const second = await delegate('carol', 20_000_000n)
    const made = await spend('carol', '10')
    await spendWhenIn(made.spendId, SpendState.SETTLED)
    expect([await usdc.balanceOf(first.address), await usdc.balanceOf(second.address)]).toEqual([5_000_000n, 10_000_000n])
  })

  it('of a hundred at once against an allowance for forty is forty, and the chain agrees', async () => {
    const person = await delegate('crowd', 40_000_000n, 100_000_000n)
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => settledOutcomeOf(() => spend('crowd', '1'))))
    expect(outcomes.filter((one) => one === 'signed')).toHaveLength(40)
    // Once the forty are in blocks nothing is approved any more.
    expect(['signed', 'SPEND_NOT_COVERED', 'SPEND_REVOKED']).toEqual(expect.arrayContaining([...new Set(outcomes)]))
    await until(async () => ((await usdc.allowanceOf(person.address)) === 0n ? true : undefined))
    expect(await usdc.balanceOf(person.address)).toBe(60_000_000n)
    const { spends } = await admin.delegation.listSpends({ userId: fresh('crowd'), pageSize: 100 })
    await Promise.all(spends.map(({ spendId }) => spendWhenIn(spendId, SpendState.SETTLED)))
    expect(spends).toHaveLength(40)
  })

  it('holds what is under way until it is over, also when it lapses', async () => {
    await delegate('lapse', 10_000_000n)
    cluster.mode = 'drop'
    const made = await spend('lapse', '10')
    expect(await reasonOf(spend('lapse', '1'))).toBe('SPEND_NOT_COVERED')
    cluster.advance(LIFE_BLOCKS)
    expect(await spendWhenIn(made.spendId, SpendState.FAILED)).toMatchObject({ reason: 'BLOCKHASH_EXPIRED' })
    cluster.mode = 'land'
    const again = await spend('lapse', '10')
    await spendWhenIn(again.spendId, SpendState.SETTLED)
  })

  it('is never from what another delegate has by now', async () => {
    const person = await delegate('fickle', 10_000_000n)
    await usdc.approve(person, usdc.bank.address, 10_000_000n)
    expect(await reasonOf(spend('fickle', '1'))).toBe('SPEND_REVOKED')
  })
})

describe('a daemon that is killed', () => {
  it('goes on with what was under way, and signs nothing anew', async () => {
    const [before, known] = [balance(), new Set(cluster.sends.keys())]
    const person = await delegate('killed', 10_000_000n)
    await Promise.all(Array.from({ length: 3 }, () => begin(transfer(1_000_000n))))
    // From here on nothing lands, so something is under way whenever it dies.
    cluster.mode = 'drop'
    const streams = Array.from({ length: 20 }, () => begin(transfer(1_000_000n)).catch(() => undefined))
    const spending = Array.from({ length: 8 }, () => outcomeOf(spend('killed', '1')))
    await until(async () => ((await admin.wallets.listTransactions({ underWay: true })).transactions.length > 2 ? true : undefined))
    await daemon.kill('SIGKILL')
    await Promise.all([...streams, ...spending])
    ;({ daemon, admin } = await scene.restart())
    cluster.mode = 'land'
    await until(async () => ((await admin.wallets.listTransactions({ underWay: true })).transactions.length === 0 ? true : undefined))
    const { transactions } = await admin.wallets.listTransactions({ pageSize: 500 })
    const sent = transactions.filter(({ transactionHash }) => !known.has(transactionHash) && transactionHash !== '')
    expect(sent.every(({ state, versions }) => state === TransactionState.CONFIRMED && versions.length === 1)).toBe(true)
    // What was let out is what is known of, each in one form, and each landed once.
    expect([...cluster.sends.keys()].filter((hash) => !known.has(hash)).toSorted()).toEqual(sent.map(({ transactionHash }) => transactionHash).toSorted())
    const paid = sent.filter(({ walletId }) => walletId === wallet.walletId).length
    expect(balance() - before).toBe(BigInt(paid) * 1_000_000n)
    const { spends } = await admin.delegation.listSpends({ userId: fresh('killed'), pageSize: 100 })
    await Promise.all(spends.map(({ spendId }) => spendWhenIn(spendId, SpendState.SETTLED)))
    expect(spends).toHaveLength(sent.length - paid)
    expect(await usdc.balanceOf(person.address)).toBe(10_000_000n - BigInt(spends.length) * 1_000_000n)
  }, 90_000)
})
