/**
 * Spending from external wallets on a real EVM: followed on the chain, spent within what it allows, once each, through kills,
 * reorganisations and providers that lie.
 */
import { randomUUID } from 'node:crypto'
import type { Hex } from 'viem'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { ExternalWalletState, type Spend, SpendState } from '../../gen/countersign/v1/delegation_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import type { Bend } from '../client/bending-rpc.ts'
import { personOf, type Token } from '../client/evm-tokens.ts'
import { detailOf, headSequence, rowsOfKind } from './audit-rows.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, refusalOf, settledOutcomeOf } from './callers.ts'
import { fresh } from './fresh.ts'
import { type Network, type SpendingScene, startSpendingScene } from './spending-scene.ts'

let scene: SpendingScene
let admin: CountersignClient
let stalling: Promise<string>
const GWEI = 10n ** 9n
const shop = personOf('the shop').address

/** Asks a provider that never answers, for as long as the daemon has patience with it. */
const askTheStalled = async (): Promise<string> => {
  const request = await scene.request('stalled', 5_000_000n, { network: 'stalled' })
  return outcomeOf(scene.admin.delegation.completeEvmDelegation(request))
}

beforeAll(async () => {
  scene = await startSpendingScene()
  admin = scene.admin
  stalling = askTheStalled()
  stalling.catch(() => undefined)
})
afterAll(() => scene[Symbol.asyncDispose]())

/** What a test that failed has left. */
afterEach(async () => {
  for (const provider of [scene.beside, scene.lone]) provider.bend = undefined
  await rpc('evm_setAutomine', [true])
})

const token = (currency = 'usdc'): Token => scene.tokens[currency] as Token
type Asked = { readonly userId: string; readonly amount: string; readonly currency?: string; readonly network?: Network; readonly destination?: Hex }
const asked = ({ userId, amount, currency = 'usdc', network = 'linea', destination = shop }: Asked) =>
  ({ userId: fresh(userId), amount, currency, network, destination })
const spend = async (what: Asked & { readonly requestId?: string; readonly externalWalletId?: string }, client = admin): Promise<Spend> => {
  const { requestId = '', externalWalletId = '' } = what
  const { spend: made } = await client.delegation.spendDelegation({ ...asked(what), requestId, externalWalletId })
  if (made === undefined) throw new Error('no spend in the answer')
  return made
}
const reasonOfSpend = (what: Parameters<typeof spend>[0], client = admin): Promise<string | undefined> => reasonOf(spend(what, client))

const rpc = async (method: string, params: readonly unknown[] = []): Promise<void> => {
  await fetch(scene.anvil.rpcUrl, {
    method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ jsonrpc: '2.0', id: 1, method, params }),
  })
}
/** Blocks are made for who waits for depth, as a chain does by itself. */
const settled = async ({ spendId }: Spend, client = admin): Promise<Spend> => {
  for (let turn = 0; turn < 200; turn++) {
    const { spend: now } = await client.delegation.getSpend({ spendId })
    if (now !== undefined && now.state !== SpendState.PENDING) return now
    await scene.anvil.mine(1)
    await new Promise((done) => setTimeout(done, 50))
  }
  throw new Error('the spend does not end')
}

const until = async (what: () => Promise<boolean>): Promise<void> => {
  await vi.waitUntil(what, { timeout: 20_000, interval: 100 })
}
const newsOf = async (id: string, after: bigint): Promise<readonly (readonly [string, unknown, unknown])[]> => {
  const kinds = ['external_wallet.revoked', 'external_wallet.approved_again', 'external_wallet.limit_changed']
  const rows = (await Promise.all(kinds.map((kind) => rowsOfKind(scene.admin, kind, after)))).flat()
  const own = rows.filter(({ subject }) => subject === `external_wallet:${id}`).toSorted((one, other) => Number(one.sequence - other.sequence))
  return own.map((row) => [row.kind, detailOf(row, 'allowance'), detailOf(row, 'why')])
}

describe('the chain is followed', () => {
  it('though nobody asks: a limit that changes, an approval taken back, one given again', async () => {
    const { account, wallet } = await scene.delegate(fresh('followed'), 9_000_000n)
    const { externalWalletId: id } = wallet
    const after = await headSequence(scene.admin)
    const heard = async (count: number) => until(async () => (await newsOf(id, after)).length === count)
    // What is news is told by what was seen before.
    await scene.admin.delegation.listExternalWallets({ userId: fresh('followed') })
    await scene.tokens['usdc']?.approve(account, scene.spender, 4_500_000n)
    await heard(1)
    await scene.tokens['usdc']?.approve(account, scene.spender, 0n)
    await heard(2)
    await scene.tokens['usdc']?.approve(account, scene.spender, 1n)
    await heard(3)
    expect(await newsOf(id, after)).toEqual([
      ['external_wallet.limit_changed', '4.5', undefined],
      ['external_wallet.revoked', '0', undefined],
      ['external_wallet.approved_again', '0.000001', undefined],
    ])
  })

  it('where it takes blocks back: an approval that was in them is none', async () => {
    const before = await scene.anvil.snapshot()
    const { wallet } = await scene.delegate(fresh('reorganised'), 5_000_000n)
    const after = await headSequence(scene.admin)
    await until(async () => (await scene.admin.delegation.listExternalWallets({ userId: fresh('reorganised') })).externalWallets[0]?.standing?.allowance === '5')
    await scene.anvil.revert(before)
    await scene.anvil.mine(10)
    await until(async () => (await newsOf(wallet.externalWalletId, after)).length === 1)
    expect(await newsOf(wallet.externalWalletId, after)).toEqual([['external_wallet.revoked', '0', 'the approval is in the chain no more']])
    expect((await scene.admin.delegation.listExternalWallets({ userId: fresh('reorganised') })).externalWallets).toMatchObject([{ state: ExternalWalletState.REVOKED }])
  })
})

describe('a spend', () => {
  it('is paid by the first wallet by priority whose allowance and balance both cover it', async () => {
    const before = await token().balanceOf(shop)
    const poor = await scene.delegate(fresh('poor'), 10_000_000n, { userId: fresh('family'), balance: 1_000_000n })
    const narrow = await scene.delegate(fresh('narrow'), 2_000_000n, { userId: fresh('family'), balance: 10_000_000n })
    const rich = await scene.delegate(fresh('rich'), 9_000_000n, { userId: fresh('family') })
    const first = await spend({ userId: 'family', amount: '1' })
    expect(first).toMatchObject({ externalWalletId: poor.wallet.externalWalletId, state: SpendState.PENDING, amount: '1', destination: shop })
    // What is held counts at once, before any block.
    expect(await spend({ userId: 'family', amount: '1.5' })).toMatchObject({ externalWalletId: narrow.wallet.externalWalletId })
    const third = await spend({ userId: 'family', amount: '8.25' })
    expect(third.externalWalletId).toBe(rich.wallet.externalWalletId)
    expect(await settled(third)).toMatchObject({ state: SpendState.SETTLED, deliveredAmount: '8.25', transactionHash: third.transactionHash })
    await settled(first)
    expect(await token().allowance(rich.account.address, scene.spender)).toBe(750_000n)
    expect((await token().balanceOf(shop)) - before).toBe(10_750_000n)
    const { externalWallets } = await admin.delegation.listExternalWallets({ userId: fresh('family') })
    expect(externalWallets.map(({ standing }) => [standing?.allowance, standing?.balance])).toEqual([['9', '0'], ['0.5', '8.5'], ['0.75', '0.75']])
    const refusal = await refusalOf(spend({ userId: 'family', amount: '0.8' }).then(() => spend({ userId: 'family', amount: '0.8' })))
    expect(refusal).toMatchObject({ reason: 'SPEND_NOT_COVERED', metadata: { requested: '0.8', available: '0.75' } })
    expect(await reasonOfSpend({ userId: 'family', amount: '0.1', externalWalletId: poor.wallet.externalWalletId })).toBe('SPEND_NOT_COVERED')
    const { spends } = await admin.delegation.listSpends({ userId: fresh('family'), pageSize: 2 })
    expect(spends.map(({ amount }) => amount)).toEqual(['8.25', '1.5'])
    for (const kind of ['spend.begun', 'spend.settled'])
      expect((await rowsOfKind(admin, kind, 0n)).some(({ subject }) => subject === `spend:${third.spendId}`), kind).toBe(true)
  })

  it('of a hundred at once against an allowance for forty is forty, and the chain agrees', async () => {
    const { account } = await scene.delegate(fresh('crowd'), 40_000_000n, { balance: 100_000_000n })
    const till = personOf(fresh('till')).address
    const outcomes = await Promise.all(Array.from({ length: 100 }, () => settledOutcomeOf(() => spend({ userId: 'crowd', amount: '1', destination: till }))))
    expect(outcomes.filter((one) => one === 'signed')).toHaveLength(40)
    expect([...new Set(outcomes)].filter((one) => !['signed', 'SPEND_NOT_COVERED', 'SPEND_REVOKED'].includes(one))).toEqual([])
    await vi.waitUntil(async () => (await token().balanceOf(till)) === 40_000_000n, { timeout: 20_000, interval: 100 })
    expect(await token().allowance(account.address, scene.spender)).toBe(0n)
    expect(await token().balanceOf(account.address)).toBe(60_000_000n)
  })

  it('under a request id is one', async () => {
    await scene.delegate(fresh('twice'), 5_000_000n)
    const requestId = randomUUID()
    const [one, other] = await Promise.all([1, 2].map(() => spend({ userId: 'twice', amount: '3', requestId })))
    expect(other).toEqual(one)
    expect((await spend({ userId: 'twice', amount: '3', requestId })).spendId).toBe(one?.spendId)
    expect(await reasonOfSpend({ userId: 'twice', amount: '2', requestId })).toBe('IDEMPOTENCY_MISMATCH')
    expect((await admin.delegation.listSpends({ userId: fresh('twice') })).spends).toHaveLength(1)
  })

  it('of a token like USDT works the same, and of one that keeps a toll it is told what arrived', async () => {
    await scene.delegate(fresh('tether'), 5_000_000n, { currency: 'usdt' })
    await scene.delegate(fresh('tolled'), 5_000_000n, { currency: 'toll', balance: 6_000_000n })
    const [tether, tolled] = [await spend({ userId: 'tether', amount: '5', currency: 'usdt' }), await spend({ userId: 'tolled', amount: '5', currency: 'toll' })]
    expect(await settled(tether)).toMatchObject({ state: SpendState.SETTLED, deliveredAmount: '5' })
    expect(await settled(tolled)).toMatchObject({ state: SpendState.SETTLED, amount: '5', deliveredAmount: '4.95' })
  })

  it('that the chain does not carry out is let go of', async () => {
    const { account } = await scene.delegate(fresh('hasty'), 5_000_000n)
    await rpc('evm_setAutomine', [false])
    let made: Spend
    try {
      made = await spend({ userId: 'hasty', amount: '5' })
      expect(await reasonOfSpend({ userId: 'hasty', amount: '1' })).toBe('SPEND_NOT_COVERED')
      // The owner is quicker: the approval is gone in the block in which the transfer was to be.
      const takingBack = token().approve(account, scene.spender, 0n, 100n * GWEI)
      await vi.waitUntil(async () => (await scene.anvil.node.getTransactionCount({ address: account.address, blockTag: 'pending' })) === 2, { timeout: 20_000, interval: 20 })
      await scene.anvil.mine(1)
      await takingBack
    } finally {
      await rpc('evm_setAutomine', [true])
    }
    expect(await settled(made)).toMatchObject({ state: SpendState.FAILED, reason: 'REVERTED' })
    await token().approve(account, scene.spender, 4_000_000n)
    expect(await settled(await spend({ userId: 'hasty', amount: '4' }))).toMatchObject({ state: SpendState.SETTLED })
  })
})

describe('is refused', () => {
  it('where nothing is there to be spent', async () => {
    const { account, wallet } = await scene.delegate(fresh('leaving'), 5_000_000n)
    const after = await headSequence(admin)
    expect(await reasonOfSpend({ userId: 'nobody', amount: '1' })).toBe('SPEND_NO_WALLET')
    expect(await reasonOfSpend({ userId: 'leaving', amount: '1', currency: 'usdt' })).toBe('SPEND_NO_WALLET')
    expect(await reasonOfSpend({ userId: 'nobody', amount: '1', externalWalletId: wallet.externalWalletId })).toBe('EXTERNAL_WALLET_NOT_FOUND')
    expect(await reasonOfSpend({ userId: 'leaving', amount: '5.000001' })).toBe('SPEND_NOT_COVERED')
    for (const amount of ['0', '1.0000001', '1e3']) expect(await reasonOfSpend({ userId: 'leaving', amount })).toBe('INVALID_REQUEST')
    expect(await reasonOfSpend({ userId: 'leaving', amount: '1', destination: `0x${'00'.repeat(20)}` })).toBe('INVALID_REQUEST')
    await token().approve(account, scene.spender, 0n)
    expect(await reasonOfSpend({ userId: 'leaving', amount: '1' })).toBe('SPEND_REVOKED')
    expect(await reasonOf(admin.delegation.getSpend({ spendId: `spd_${'0'.repeat(32)}` }))).toBe('SPEND_NOT_FOUND')
    const rows = await rowsOfKind(admin, 'spend.refused', after)
    expect(rows.map(({ subject, reason }) => [subject, reason])).toEqual([
      ['end_user:nobody', 'SPEND_NO_WALLET'], ['end_user:leaving', 'SPEND_NO_WALLET'], ['end_user:nobody', 'EXTERNAL_WALLET_NOT_FOUND'],
      ['end_user:leaving', 'SPEND_NOT_COVERED'], ['end_user:leaving', 'SPEND_REVOKED'],
    ])
    expect(detailOf(rows[3] as never, 'amount')).toBe('5.000001')
  })

  it('where the token says no without a revert', async () => {
    await scene.delegate(fresh('shut'), 5_000_000n, { currency: 'shut' })
    await token('shut').approve(personOf(fresh('janitor')), shop, 1n)
    expect(await reasonOfSpend({ userId: 'shut', amount: '1', currency: 'shut' })).toBe('SPEND_REFUSED_BY_TOKEN')
    await token('shut').approve(personOf(fresh('janitor')), shop, 1n)
    expect(await settled(await spend({ userId: 'shut', amount: '1', currency: 'shut' }))).toMatchObject({ state: SpendState.SETTLED })
  })

  it('where a reorganisation took the approval out of the chain', async () => {
    const before = await scene.anvil.snapshot()
    await scene.delegate(fresh('reorged'), 5_000_000n)
    await scene.anvil.revert(before)
    await scene.anvil.mine(10)
    expect(await reasonOfSpend({ userId: 'reorged', amount: '1' })).toBe('SPEND_REVOKED')
  })

  it('beyond what the key may, and while something is frozen', async () => {
    await scene.delegate(fresh('careful'), 5_000_000n)
    const cap = (amount: string) => [{ chain: 'eip155:59144', token: token().address, amount }]
    const key = await newKey(admin, [
      { name: 'delegation:spend', destinations: [shop, token().address], maxPerTransaction: cap('2000000'), maxPerDay: cap('3000000') },
    ])
    const client = connect(scene.daemon, key.secret)
    const { walletId: aside } = await newWallet(admin, fresh('not-a-spender'))
    const narrow = connect(scene.daemon, (await newKey(admin, [{ name: 'delegation:spend', wallets: [aside] }])).secret)
    const reader = connect(scene.daemon, (await newKey(admin, [{ name: 'wallet:send' }, { name: 'wallet:sign' }])).secret)
    const other = connect(scene.daemon, (await newKey(admin, [{ name: 'delegation:spend' }], { projectId: await otherProject() })).secret)
    try {
      const what = { userId: 'careful', amount: '2' }
      expect(await reasonOfSpend(what, reader)).toBe('PERMISSION_MISSING')
      expect(await reasonOfSpend(what, narrow)).toBe('PERMISSION_MISSING')
      expect((await rowsOfKind(admin, 'spend.refused', 0n)).at(-1)).toMatchObject({ reason: 'PERMISSION_MISSING', subject: 'end_user:careful' })
      expect(await reasonOfSpend(what, other)).toBe('SPENDER_NOT_CONFIGURED')
      const elsewhere = await refusalOf(spend({ ...what, destination: personOf(fresh('thief')).address }, client))
      expect(elsewhere).toMatchObject({ reason: 'PERMISSION_MISSING', metadata: { narrowedBy: 'destination' } })
      expect(await reasonOfSpend({ ...what, amount: '2.000001' }, client)).toBe('LIMIT_EXCEEDED')
      const made = await spend(what, client)
      expect(await reasonOfSpend(what, client)).toBe('LIMIT_EXCEEDED')
      expect(await reasonOf(other.delegation.getSpend({ spendId: made.spendId }))).toBe('SPEND_NOT_FOUND')
      const { walletId } = (await admin.wallets.getWallet({ wallet: scene.spender })).wallet ?? { walletId: '' }
      for (const target of [{ scope: FreezeScope.WALLET, id: walletId }, { scope: FreezeScope.PROJECT, id: 'default' }, { scope: FreezeScope.API_KEY, id: key.apiKeyId }]) {
        await admin.admin.freeze(target)
        expect(await reasonOfSpend({ ...what, amount: '0.5' }, client), String(target.scope)).toBe('FROZEN')
        await admin.admin.unfreeze(target)
      }
      await spend({ ...what, amount: '0.5' }, client)
    } finally {
      for (const one of [client, reader, other, narrow]) one.close()
    }
  })
})

const otherProject = async (): Promise<string> => {
  await admin.admin.createProject({ projectId: 'other' })
  return 'other'
}

const only =
  (method: string, result: (said: never) => unknown): Bend =>
  ({ method: of }, said) => (of === method ? { result: result(said as never) } : undefined)

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

const SPEND_LIES: readonly (readonly [string, Bend])[] = [
  ['null for the newest block', only('eth_blockNumber', () => null)],
  ['nothing for a call', only('eth_call', () => null)],
  ['a huge body', ({ method }) => (method === 'eth_call' ? { body: 'x'.repeat(2_000_000) } : undefined)],
  ['a block that nobody has', only('eth_blockNumber', (said: string) => `0x${(BigInt(said) + 1_000n).toString(16)}`)],
  ['another chain', ({ method }) => (method === 'eth_chainId' ? { result: '0x1' } : { body: '' })],
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
    const request = await scene.request(fresh('stale'), 5_000_000n, { network: 'lone' })
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

  it('leaves nothing spent', async () => {
    await scene.delegate(fresh('lied-to'), 5_000_000n, { network: 'lone' })
    for (const [name, bend] of SPEND_LIES) {
      scene.lone.bend = bend
      expect(await reasonOfSpend({ userId: 'lied-to', amount: '1', network: 'lone' }), name).toBe('CHAIN_UNAVAILABLE')
    }
    scene.lone.bend = undefined
    expect((await admin.delegation.listSpends({ userId: fresh('lied-to') })).spends).toEqual([])
    expect(await settled(await spend({ userId: 'lied-to', amount: '1', network: 'lone' }))).toMatchObject({ state: SpendState.SETTLED })
  })

  it('and differs from another leaves nothing spent', async () => {
    await scene.delegate(fresh('torn'), 5_000_000n)
    scene.beside.bend = only('eth_call', () => `0x${'ff'.repeat(32)}`)
    expect(await reasonOfSpend({ userId: 'torn', amount: '1' })).toBe('CHAIN_DISAGREEMENT')
    scene.beside.bend = undefined
    expect(await settled(await spend({ userId: 'torn', amount: '1' }))).toMatchObject({ state: SpendState.SETTLED })
  })

  it('by never answering is waited for no longer than it is worth', async () => {
    expect(await stalling).toBe('CHAIN_UNAVAILABLE')
  })
})

describe('a kill', () => {
  it('loses no spend and makes none twice', async () => {
    const { account } = await scene.delegate(fresh('survivor'), 10_000_000n, { balance: 20_000_000n })
    const till = personOf('night till').address
    await rpc('evm_setAutomine', [false])
    const requests = Array.from({ length: 20 }, () => ({ userId: 'survivor', amount: '1', destination: till, requestId: randomUUID() }))
    const first = requests.slice(0, 4).map((request) => spend(request))
    const made = await Promise.all(first)
    const rest = requests.slice(4).map((request) => outcomeOf(spend(request)))
    await Promise.race(rest)
    await scene.daemon.kill('SIGKILL')
    await Promise.all(rest)
    const again = await scene.restart()
    await rpc('evm_setAutomine', [true])
    // The requests that were answered are answered as before; of the others what was cut off goes on, and is asked again.
    const repeated = await Promise.all(requests.map((request) => spend(request, again.admin).catch((error: { reason?: string }) => error.reason)))
    expect(repeated.slice(0, 4).map((one) => (one as Spend).spendId)).toEqual(made.map(({ spendId }) => spendId))
    const spends = repeated.filter((one): one is Spend => typeof one === 'object')
    expect([...new Set(repeated.filter((one) => typeof one !== 'object'))].filter((one) => one !== 'SPEND_NOT_COVERED' && one !== 'SPEND_REVOKED')).toEqual([])
    expect(spends).toHaveLength(10)
    for (const one of spends) expect(await settled(one, again.admin)).toMatchObject({ state: SpendState.SETTLED })
    expect(await token().balanceOf(till)).toBe(10_000_000n)
    expect(await token().allowance(account.address, scene.spender)).toBe(0n)
    const begun = (await rowsOfKind(again.admin, 'spend.begun', 0n)).filter((row) => detailOf(row, 'destination') === till)
    expect(begun).toHaveLength(10)
  })
})
