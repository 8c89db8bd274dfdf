/** Session keys through the running daemon: made, confirmed, used within what they are for, refused beyond it. */
import { randomUUID } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { recoverAddress } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { RegistrationOutcome,
  ActionOutcome,
  type SessionKey,
  SessionKeyState,
  SessionScope,
  TradeSide,
} from '../../gen/countersign/v1/session_key_pb.ts'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, hex, newKey, newWallet, reasonOf, refusalOf } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { activeKey, createKey, ddxOrder, hlCancel, hlOrder, HOUR_MS, inMs } from './session-daemon.ts'

let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  wallet = await newWallet(client)
})
afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
})

const sign = (key: SessionKey, actionJson = hlOrder(), family = 'order', rest = {}) =>
  client.sessionKeys.signAction({ sessionKeyId: key.sessionKeyId, family, actionJson, ...rest })
const make = (request: Parameters<typeof activeKey>[1] = {}) => activeKey(client, { wallet: wallet.walletId, ...request })

describe('a session key', () => {
  it('is pending until the venue has confirmed it, and signs nothing before', async () => {
    const { sessionKey, registration, receipt, delegatedPayload } = await createKey(client, { wallet: wallet.walletId })
    expect(sessionKey).toMatchObject({
      walletId: wallet.walletId,
      profile: 'hyperliquid',
      network: 'testnet',
      state: SessionKeyState.PENDING,
      scopes: [SessionScope.ORDER, SessionScope.CANCEL_ORDER],
    })
    expect(registration?.path).toBe('/exchange')
    const posted = JSON.parse(registration?.body ?? '') as { action: { agentAddress: string } }
    expect(posted.action.agentAddress).toBe(sessionKey?.address.toLowerCase())
    expect(delegatedPayload).toHaveLength(0)
    expect(receipt?.sequence).toBeGreaterThan(0n)
    const { sessionKeyId } = sessionKey ?? { sessionKeyId: '' }
    const refused = await refusalOf(client.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson: hlOrder() }))
    expect(refused.reason).toBe('SESSION_KEY_NOT_READY')
    const { sessionKey: confirmed } = await client.sessionKeys.confirmSessionKey({ sessionKeyId, outcome: RegistrationOutcome.ACCEPTED })
    expect(confirmed?.state).toBe(SessionKeyState.ACTIVE)
    expect(await reasonOf(client.sessionKeys.confirmSessionKey({ sessionKeyId, outcome: RegistrationOutcome.ACCEPTED }))).toBe('SESSION_KEY_NOT_READY')
  })

  it('that the venue refused is revoked', async () => {
    const { sessionKey } = await createKey(client, { wallet: wallet.walletId })
    const { sessionKeyId } = sessionKey ?? { sessionKeyId: '' }
    expect(await reasonOf(client.sessionKeys.confirmSessionKey({ sessionKeyId })), 'an answer that says nothing').toBe('INVALID_REQUEST')
    const { sessionKey: refused } = await client.sessionKeys.confirmSessionKey({ sessionKeyId, outcome: RegistrationOutcome.REFUSED, venueAnswer: 'no' })
    expect(refused?.state).toBe(SessionKeyState.REVOKED)
    expect(await reasonOf(client.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson: hlOrder() }))).toBe('SESSION_REVOKED')
  })

  it('signs an order that its address recovers from, with a nonce and a receipt of its own each time', async () => {
    const key = await make()
    const answers = await Promise.all(Array.from({ length: 20 }, () => sign(key)))
    for (const { signature, digest, signedActionJson, nonce } of answers) {
      expect(await recoverAddress({ hash: hex(digest), signature: hex(signature?.raw ?? new Uint8Array()) })).toBe(key.address)
      expect((JSON.parse(signedActionJson) as { nonce: number }).nonce).toBe(Number(nonce))
      expect(secp256k1.Signature.fromBytes(signature?.raw.slice(0, 64) ?? new Uint8Array(), 'compact').hasHighS()).toBe(false)
    }
    expect(new Set(answers.map(({ nonce }) => nonce)).size).toBe(20)
    expect(new Set(answers.map(({ receipt }) => receipt?.sequence)).size).toBe(20)
    const { events } = await client.audit.listEvents({ kind: 'session.action', subject: key.sessionKeyId, pageSize: 50 })
    expect(events).toHaveLength(20)
    const details = JSON.parse(events[0]?.detailsJson ?? '{}') as Record<string, unknown>
    expect(details).toMatchObject({ family: 'order', profile: 'hyperliquid', profileHash: `0x${Buffer.from(key.profileHash).toString('hex')}` })
  })

  it('whose payload travels with each request is active at once', async () => {
    const { sessionKey, delegatedPayload, registration } = await createKey(client, {
      wallet: wallet.walletId,
      profile: 'derivadex',
      network: 'sepolia',
      scopes: [SessionScope.ORDER],
    })
    expect(sessionKey?.state).toBe(SessionKeyState.ACTIVE)
    expect(registration).toBeUndefined()
    expect(delegatedPayload[0]).toBe(2)
    const { signedActionJson } = await client.sessionKeys.signAction({
      sessionKeyId: sessionKey?.sessionKeyId ?? '',
      family: 'order',
      actionJson: ddxOrder(),
    })
    expect((JSON.parse(signedActionJson) as { c: { sessionKeySignature: string } }).c.sessionKeySignature).toBe(hex(delegatedPayload))
  })

  it('is found, listed and not known to others', async () => {
    const key = await make()
    expect((await client.sessionKeys.getSessionKey({ sessionKeyId: key.sessionKeyId })).sessionKey).toEqual(key)
    const { sessionKeys } = await client.sessionKeys.listSessionKeys({ walletId: wallet.walletId, pageSize: 500 })
    expect(sessionKeys.map(({ sessionKeyId }) => sessionKeyId)).toContain(key.sessionKeyId)
    const first = await client.sessionKeys.listSessionKeys({ pageSize: 1 })
    const second = await client.sessionKeys.listSessionKeys({ pageSize: 1, pageToken: first.nextPageToken })
    expect(second.sessionKeys[0]?.sessionKeyId).not.toBe(first.sessionKeys[0]?.sessionKeyId)
    const unknown = `ses_${'0'.repeat(32)}`
    expect(await reasonOf(client.sessionKeys.getSessionKey({ sessionKeyId: unknown }))).toBe('SESSION_KEY_NOT_FOUND')
    await client.admin.createProject({ projectId: 'other' })
    const { secret } = await newKey(client, [{ name: 'session:sign' }, { name: 'session:admin' }], { projectId: 'other' })
    using stranger = connect(daemon, secret)
    const { sessionKeyId } = key
    expect(await reasonOf(stranger.sessionKeys.getSessionKey({ sessionKeyId }))).toBe('SESSION_KEY_NOT_FOUND')
    expect(await reasonOf(stranger.sessionKeys.revokeSessionKey({ sessionKeyId }))).toBe('SESSION_KEY_NOT_FOUND')
    const action = { sessionKeyId, family: 'order', actionJson: hlOrder() }
    expect(await reasonOf(stranger.sessionKeys.signAction(action))).toBe('SESSION_KEY_NOT_FOUND')
  })

  it('that the client holds is checked and shown, and signs elsewhere', async () => {
    const publicKey = secp256k1.getPublicKey(secp256k1.utils.randomSecretKey(), true)
    const key = await make({ sessionPublicKey: publicKey })
    expect(key).toMatchObject({ clientHeld: true, publicKey: Buffer.from(secp256k1.Point.fromBytes(publicKey).toBytes(false)).toString('hex') })
    expect(await reasonOf(sign(key))).toBe('SESSION_KEY_NOT_READY')
    expect(await reasonOf(make({ sessionPublicKey: publicKey }))).toBe('PROFILE_INPUT_INVALID')
    expect(await reasonOf(make({ sessionPublicKey: new Uint8Array(33).fill(255) }))).toBe('PROFILE_INPUT_INVALID')
    expect(await reasonOf(make({ sessionPublicKey: new Uint8Array(32).fill(2) }))).toBe('PROFILE_INPUT_INVALID')
  })
})

describe('what makes no session key', () => {
  it.each([
    ['an empty scope', { scopes: [] }, 'SCOPE_REQUIRED'],
    ['an unspecified scope', { scopes: [SessionScope.ORDER, SessionScope.UNSPECIFIED] }, 'SCOPE_REQUIRED'],
    ['an unknown profile', { profile: 'nowhere' }, 'PROFILE_NOT_FOUND'],
    ['an unknown network', { network: 'moonnet' }, 'PROFILE_NETWORK_UNKNOWN'],
    ['an unknown extra family', { extraFamilies: ['teleport'] }, 'PROFILE_FAMILY_UNKNOWN'],
    ['an end that has passed', { expireTime: inMs(-1_000) }, 'PROFILE_INPUT_INVALID'],
    ['an end beyond what the venue takes', { expireTime: inMs(400 * 24 * HOUR_MS) }, 'PROFILE_INPUT_INVALID'],
    ['a label that is too long', { parameters: { label: 'x'.repeat(17) } }, 'PROFILE_INPUT_INVALID'],
    ['a label that means more', { parameters: { label: 'x&canWithdraw=true' } }, 'PROFILE_INPUT_INVALID'],
    ['a label with an end of its own', { parameters: { label: 'a valid_until 9' } }, 'PROFILE_INPUT_INVALID'],
    ['an unknown parameter', { parameters: { lever: '1' } }, 'PROFILE_INPUT_INVALID'],
    ['a fraction where none can be', { parameters: { label: 1.5 } }, 'PROFILE_INPUT_INVALID'],
    ['a limit with an exponent', { limits: { maxSize: '1e9' } }, 'INVALID_REQUEST'],
    ['a limit that is too exact', { limits: { maxSize: `0.${'1'.repeat(19)}` } }, 'INVALID_REQUEST'],
    ['an unknown wallet', { wallet: 'nobody' }, 'WALLET_NOT_FOUND'],
  ])('%s', async (_name, request, reason) => {
    expect(await reasonOf(make(request))).toBe(reason)
  })

  it('a caller without the permission, or with it for another wallet; the unrestricted scope takes one of its own', async () => {
    const other = await newWallet(client)
    const { secret } = await newKey(client, [{ name: 'session:create', wallets: [other.walletId] }])
    using narrow = connect(daemon, secret)
    expect(await reasonOf(createKey(narrow, { wallet: wallet.walletId }))).toBe('PERMISSION_MISSING')
    const { sessionKey } = await createKey(narrow, { wallet: other.walletId })
    expect(sessionKey?.walletId).toBe(other.walletId)
    const whole = { wallet: other.walletId, scopes: [SessionScope.UNRESTRICTED] }
    expect((await refusalOf(createKey(narrow, whole))).metadata['permission']).toBe('session:unrestricted')
    expect((await createKey(client, whole)).sessionKey?.scopes).toEqual([SessionScope.UNRESTRICTED])
  })
})

describe('an action is refused', () => {
  let key: SessionKey
  beforeAll(async () => {
    key = await make()
  })

  it.each([
    ['of another family than it says', hlCancel(), 'order', 'ACTION_INVALID'],
    ['with an unknown field', hlOrder({ zz: 1 }), 'order', 'ACTION_INVALID'],
    ['without a field', hlOrder({ p: undefined }), 'order', 'ACTION_INVALID'],
    ['with a price in another form', hlOrder({ p: '100.0' }), 'order', 'ACTION_INVALID'],
    ['with a price that is a number', hlOrder({ p: 100 }), 'order', 'ACTION_INVALID'],
    ['with excess precision', hlOrder({ s: '0.123456789' }), 'order', 'ACTION_INVALID'],
    ['with a number beyond 2^53', '{"type":"cancel","cancels":[{"a":1,"o":9007199254740993}]}', 'cancel_order', 'ACTION_INVALID'],
    ['that is no JSON', '{"type":', 'order', 'ACTION_INVALID'],
    ['with a member twice', '{"type":"order","type":"order","orders":[],"grouping":"na"}', 'order', 'ACTION_INVALID'],
    ['of a family that is none', hlOrder(), 'teleport', 'PROFILE_FAMILY_UNKNOWN'],
    ['of a family outside the scope', hlOrder(), 'modify_order', 'SESSION_ACL_VIOLATION'],
    ['of a family that is only named', '{"type":"updateLeverage","asset":1,"isCross":true,"leverage":2}', 'leverage', 'SESSION_ACL_VIOLATION'],
    ['of a family that withdraws', '{"type":"withdraw"}', 'withdraw', 'SESSION_ACL_VIOLATION'],
  ])('%s, and no nonce is used', async (_name, actionJson, family, reason) => {
    const before = await sign(key)
    expect(await reasonOf(sign(key, actionJson, family))).toBe(reason)
    expect(await actionsOf(key)).toBe(before.receipt?.sequence)
  })

  it('after its not_after, or with a venue whose clock is elsewhere', async () => {
    expect(await reasonOf(sign(key, hlOrder(), 'order', { notAfter: inMs(-1) }))).toBe('DEADLINE_EXCEEDED')
    const ddx = await make({ profile: 'derivadex', network: 'sepolia', scopes: [SessionScope.ORDER] })
    const before = await sign(ddx, ddxOrder())
    const refused = await refusalOf(sign(ddx, ddxOrder(), 'order', { venueTime: inMs(-60_000) }))
    expect(refused.reason).toBe('CLOCK_OFFSET')
    expect(Number(refused.metadata['offsetMs'])).toBeGreaterThan(59_000)
    expect(await actionsOf(ddx)).toBe(before.receipt?.sequence)
    // A venue a little ahead of here: the request may take its time to arrive.
    await sign(ddx, ddxOrder(), 'order', { venueTime: inMs(2_000) })
  })

  it('of the unrestricted scope where it must be named, and let through once it is', async () => {
    const whole = await make({ scopes: [SessionScope.UNRESTRICTED] })
    const leverage = '{"type":"updateLeverage","asset":1,"isCross":true,"leverage":2}'
    expect(await reasonOf(sign(whole, leverage, 'leverage'))).toBe('SESSION_ACL_VIOLATION')
    const named = await make({ extraFamilies: ['leverage'] })
    expect((await sign(named, leverage, 'leverage')).nonce).not.toBe('')
  })

  it('once the key has ended', async () => {
    const brief = await make({ expireTime: inMs(6_000) })
    let refused = ''
    for (let i = 0; i < 200 && refused === ''; i++) {
      refused = (await sign(brief).then(() => '', async (error: { reason?: string }) => error.reason ?? 'lost')) ?? ''
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(refused).toBe('SESSION_UNAUTHORIZED')
    const { sessionKey } = await client.sessionKeys.getSessionKey({ sessionKeyId: brief.sessionKeyId })
    expect(sessionKey?.state).toBe(SessionKeyState.EXPIRED)
    expect(await reasonOf(sign(brief, hlCancel(), 'cancel_order'))).toBe('SESSION_UNAUTHORIZED')
  })
})

/** The audit row of the newest action of a key. */
const actionsOf = async (key: SessionKey): Promise<bigint | undefined> => {
  const { events } = await client.audit.listEvents({ kind: 'session.action', subject: key.sessionKeyId, pageSize: 500 })
  return events.at(-1)?.sequence
}

describe('limits', () => {
  it('hold what trades, and let cancels and what only reduces pass', async () => {
    const limits = { markets: ['1'], side: TradeSide.BUY, maxSize: '2', maxNotional: '250', maxNotionalPerDay: '500' }
    const key = await make({ limits })
    expect(key.limits).toMatchObject(limits)
    expect(await reasonOf(sign(key))).toBe('MARK_STALE')
    await client.sessionKeys.setMarkPrices({ profile: 'hyperliquid', network: 'testnet', prices: [{ market: '1', price: '100' }] })
    await sign(key)
    await sign(key)
    const refused = await refusalOf(sign(key))
    expect([refused.reason, refused.metadata['limit']]).toEqual(['LIMIT_EXCEEDED', 'max_notional_per_day'])
    expect((await refusalOf(sign(key, hlOrder({ a: 2 })))).metadata['limit']).toBe('markets')
    expect((await refusalOf(sign(key, hlOrder({ b: false })))).metadata['limit']).toBe('side')
    expect((await refusalOf(sign(key, hlOrder({ s: '2.1' })))).metadata['limit']).toBe('max_size')
    expect((await refusalOf(sign(key, hlOrder({ p: '126' })))).metadata['limit']).toBe('max_notional')
    for (let i = 0; i < 5; i++) await sign(key, hlCancel(i + 1), 'cancel_order')
    await sign(key, hlOrder({ r: true, s: '9', b: true }))
    // Amounts do not hold it back; where it may trade does.
    expect((await refusalOf(sign(key, hlOrder({ r: true, a: 2 })))).metadata['limit']).toBe('markets')
    await sign(key, hlOrder({ r: true, s: '9' }), 'order', { reduceOnly: true })
    expect(await reasonOf(sign(key, hlOrder(), 'order', { reduceOnly: true }))).toBe('ACTION_INVALID')
  })

  it('charge concurrent orders once each, never more than the cap', async () => {
    const key = await make({ limits: { maxNotionalPerDay: '1000' } })
    await client.sessionKeys.setMarkPrices({ profile: 'hyperliquid', network: 'testnet', prices: [{ market: '1', price: '100' }] })
    const outcomes = await Promise.all(Array.from({ length: 20 }, () => sign(key).then(() => 'signed', () => 'refused')))
    expect(outcomes.filter((outcome) => outcome === 'signed')).toHaveLength(5)
  })

  it('of rate stop orders and not cancels', async () => {
    const key = await make({ limits: { maxRate: 2 } })
    const outcomes = await Promise.all(
      Array.from({ length: 10 }, () => sign(key).then(() => 'signed', (error: { reason: string }) => error.reason)),
    )
    expect(outcomes.filter((outcome) => outcome === 'RATE_LIMITED').length).toBeGreaterThan(0)
    const cancels = await Promise.all(Array.from({ length: 30 }, (_, i) => sign(key, hlCancel(i + 1), 'cancel_order')))
    expect(cancels).toHaveLength(30)
  })

  it('of the API key stop orders and not cancels', async () => {
    const key = await make()
    const { secret } = await newKey(client, [{ name: 'session:sign', requestsPerSecond: 1 }], { requestsPerSecond: 3 })
    using slow = connect(daemon, secret)
    const ask = (family: string, actionJson: string) =>
      slow.sessionKeys.signAction({ sessionKeyId: key.sessionKeyId, family, actionJson })
    const orders = await Promise.allSettled(Array.from({ length: 8 }, () => ask('order', hlOrder())))
    expect(orders.some(({ status }) => status === 'rejected')).toBe(true)
    const cancels = await Promise.all(Array.from({ length: 20 }, () => ask('cancel_order', hlCancel())))
    expect(cancels).toHaveLength(20)
  })
})

describe('an API key', () => {
  it('uses only the session keys that it is narrowed to, and nothing it cannot be held to', async () => {
    const [mine, other] = [await make(), await make()]
    const { secret } = await newKey(client, [{ name: 'session:sign', sessionKeys: [mine.sessionKeyId] }])
    using bot = connect(daemon, secret)
    const ask = (key: SessionKey) =>
      bot.sessionKeys.signAction({ sessionKeyId: key.sessionKeyId, family: 'order', actionJson: hlOrder() })
    await ask(mine)
    const refused = await refusalOf(ask(other))
    expect([refused.reason, refused.metadata['narrowedBy']]).toEqual(['PERMISSION_MISSING', 'session_key'])
    const listed = await bot.sessionKeys.listSessionKeys({ pageSize: 500 })
    expect(listed.sessionKeys.map(({ sessionKeyId }) => sessionKeyId)).toEqual([mine.sessionKeyId])
    expect(await reasonOf(bot.sessionKeys.getSessionKey({ sessionKeyId: other.sessionKeyId }))).toBe('SESSION_KEY_NOT_FOUND')
    const capped = await newKey(client, [{ name: 'session:sign', chains: ['eip155:1'] }])
    using chained = connect(daemon, capped.secret)
    const action = { sessionKeyId: mine.sessionKeyId, family: 'order', actionJson: hlOrder() }
    expect(await reasonOf(chained.sessionKeys.signAction(action))).toBe('PERMISSION_MISSING')
  })
})

describe('a request id', () => {
  it('gets the same signature again, and none for another action', async () => {
    const key = await make()
    const requestId = randomUUID()
    const [one, two] = await Promise.all([
      sign(key, hlOrder(), 'order', { requestId }),
      sign(key, hlOrder(), 'order', { requestId }),
    ])
    const three = await sign(key, hlOrder(), 'order', { requestId })
    expect(two).toEqual(one)
    expect(three).toEqual(one)
    expect(await reasonOf(sign(key, hlOrder({ p: '101' }), 'order', { requestId }))).toBe('IDEMPOTENCY_MISMATCH')
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: key.sessionKeyId })
    expect(await reasonOf(sign(key, hlOrder(), 'order', { requestId }))).toBe('SESSION_REVOKED')
  })

  it('makes one session key', async () => {
    const request = { wallet: wallet.walletId, requestId: randomUUID(), expireTime: inMs(HOUR_MS) }
    const [one, two] = await Promise.all([createKey(client, request), createKey(client, request)])
    expect(two.sessionKey?.sessionKeyId).toBe(one.sessionKey?.sessionKeyId)
    expect(two.registration?.body).toBe(one.registration?.body)
  })
})

describe('stops', () => {
  it('revoke for good: nothing is released, and the private half is gone', async () => {
    const key = await make()
    const { sessionKeyId } = key
    const running = Array.from({ length: 30 }, () => sign(key).then(() => 'signed', (error: { reason: string }) => error.reason))
    const { sessionKey } = await client.sessionKeys.revokeSessionKey({ sessionKeyId })
    expect(sessionKey?.state).toBe(SessionKeyState.REVOKED)
    expect(await reasonOf(sign(key))).toBe('SESSION_REVOKED')
    expect(await reasonOf(sign(key, hlCancel(), 'cancel_order'))).toBe('SESSION_REVOKED')
    for (const outcome of await Promise.all(running)) expect(['signed', 'SESSION_REVOKED', 'FROZEN']).toContain(outcome)
    expect((await client.sessionKeys.revokeSessionKey({ sessionKeyId })).sessionKey?.state).toBe(SessionKeyState.REVOKED)
    expect(await reasonOf(client.sessionKeys.rotateSessionKey({ sessionKeyId, expireTime: inMs(HOUR_MS) }))).toBe('SESSION_REVOKED')
  })

  it.each([
    ['the session key', FreezeScope.SESSION_KEY, (key: SessionKey) => key.sessionKeyId],
    ['its venue profile', FreezeScope.VENUE_PROFILE, (key: SessionKey) => key.profile],
    ['its wallet', FreezeScope.WALLET, (key: SessionKey) => key.walletId],
    ['everything', FreezeScope.EVERYTHING, () => ''],
  ])('freeze %s until it is lifted, cancels too', async (_name, scope, idOf) => {
    const key = await make()
    const target = { scope, id: idOf(key) }
    await client.admin.freeze(target)
    expect(await reasonOf(sign(key))).toBe('FROZEN')
    expect(await reasonOf(sign(key, hlCancel(), 'cancel_order'))).toBe('FROZEN')
    await client.admin.unfreeze(target)
    await sign(key)
  })

  it('freeze the API key that asks, and no other', async () => {
    const key = await make()
    const { secret, apiKeyId } = await newKey(client, [{ name: 'session:sign' }])
    using bot = connect(daemon, secret)
    const action = { sessionKeyId: key.sessionKeyId, family: 'order', actionJson: hlOrder() }
    await bot.sessionKeys.signAction(action)
    await client.admin.freeze({ scope: FreezeScope.API_KEY, id: apiKeyId })
    expect(await reasonOf(bot.sessionKeys.signAction(action))).toBe('FROZEN')
    await sign(key)
  })

  it('know what they freeze', async () => {
    expect(await reasonOf(client.admin.freeze({ scope: FreezeScope.VENUE_PROFILE, id: 'nowhere' }))).toBe('PROFILE_NOT_FOUND')
    const unknown = { scope: FreezeScope.SESSION_KEY, id: `ses_${'0'.repeat(32)}` }
    expect(await reasonOf(client.admin.freeze(unknown))).toBe('SESSION_KEY_NOT_FOUND')
  })

  it('of the wallet stop its session keys', async () => {
    const own = await newWallet(client)
    const key = await activeKey(client, { wallet: own.walletId })
    await client.wallets.archiveWallet({ wallet: own.walletId })
    expect(await reasonOf(sign(key))).toBe('WALLET_ARCHIVED')
  })
})

describe('a rotation', () => {
  it('lets the old key sign for the overlap and no longer', async () => {
    const old = await make({ parameters: { label: 'a' } })
    const request = { sessionKeyId: old.sessionKeyId, expireTime: inMs(HOUR_MS), overlap: { seconds: 6n }, parameters: { label: 'b' } }
    const { sessionKey: next } = await client.sessionKeys.rotateSessionKey(request)
    expect(next).toMatchObject({ replaces: old.sessionKeyId, scopes: old.scopes, parameters: { label: 'b' } })
    await sign(old)
    await client.sessionKeys.confirmSessionKey({ sessionKeyId: next?.sessionKeyId ?? '', outcome: RegistrationOutcome.ACCEPTED })
    await sign(old)
    if (next !== undefined) await sign(next)
    expect(await reasonOf(client.sessionKeys.rotateSessionKey(request))).toBe('SESSION_KEY_NOT_READY')
    let refused = ''
    for (let i = 0; i < 200 && refused === ''; i++) {
      refused = await sign(old).then(() => '', (error: { reason?: string }) => error.reason ?? 'lost')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(refused).toBe('SESSION_UNAUTHORIZED')
    if (next !== undefined) await sign(next)
  })
})

describe('what signs nothing', () => {
  it('tests the scope of every family', async () => {
    const key = await make({ scopes: [SessionScope.CANCEL_ALL], profile: 'derivadex', network: 'sepolia' })
    const { families } = await client.sessionKeys.testScope({ sessionKeyId: key.sessionKeyId })
    expect(families.map(({ family, accepted }) => [family, accepted])).toEqual([
      ['order', false],
      ['modify_order', false],
      ['cancel_order', false],
      ['cancel_all', true],
    ])
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: key.sessionKeyId })
    const after = await client.sessionKeys.testScope({ sessionKeyId: key.sessionKeyId })
    expect(after.families.every(({ reason }) => reason === 'SESSION_REVOKED')).toBe(true)
  })

  it('explains an action and judges it', async () => {
    const key = await make({ limits: { maxSize: '1' } })
    const ask = (actionJson: string) =>
      client.sessionKeys.explainAction({ sessionKeyId: key.sessionKeyId, family: 'order', actionJson })
    const refused = await ask(hlOrder())
    expect(refused).toMatchObject({ accepted: false, reason: 'LIMIT_EXCEEDED' })
    expect(refused.sentence).toContain('buy')
    expect(await ask(hlOrder({ s: '1' }))).toMatchObject({ accepted: true, reason: '' })
    expect(await reasonOf(ask('{}'))).toBe('ACTION_INVALID')
    expect(await actionsOf(key)).toBeUndefined()
  })

  it('lists the profiles, each with what it does not sign', async () => {
    const { profiles } = await client.sessionKeys.listProfiles({})
    const ids = profiles.map(({ profile }) => profile)
    expect(ids).toEqual(expect.arrayContaining(['hyperliquid', 'derivadex']))
    const derivadex = profiles.find(({ profile }) => profile === 'derivadex')
    expect(derivadex).toMatchObject({ curve: 'secp256k1', nonceStyle: 'clock', confidence: { order: 'rule' } })
    expect(derivadex?.profileHash).toHaveLength(32)
  })

  it('records outcomes and streams what happened, from a cursor', async () => {
    const key = await make()
    const { sessionKeyId } = key
    const { receipt } = await sign(key)
    const actionSequence = receipt?.sequence ?? 0n
    const outcome = { sessionKeyId, actionSequence, outcome: ActionOutcome.FILLED, venueReference: 'oid 7' }
    await client.sessionKeys.recordOutcome(outcome)
    expect(await reasonOf(client.sessionKeys.recordOutcome({ ...outcome, actionSequence: 1n }))).toBe('AUDIT_EVENT_NOT_FOUND')
    const kinds: string[] = []
    for await (const row of client.sessionKeys.watchReceipts({ sessionKeyId })) {
      kinds.push(row.kind)
      if (row.kind === 'session.outcome') break
    }
    expect(kinds).toEqual(['session.created', 'session.confirmed', 'session.action', 'session.outcome'])
    for await (const row of client.sessionKeys.watchReceipts({ sessionKeyId, afterSequence: actionSequence })) {
      expect(JSON.parse(row.detailsJson)).toMatchObject({ action: String(actionSequence), outcome: 'filled' })
      break
    }
  })
})
