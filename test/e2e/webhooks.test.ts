/** Webhooks of a running daemon: kept by operators, told what happens, whatever ends the daemon meanwhile. */
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest'
import type { Webhook } from '../../gen/countersign/v1/admin_pb.ts'
import { VaultParty, WebhookDeliveryState, WebhookFormat, WebhookState } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { verifyWebhook } from '../../src/client/verify-webhook.ts'
import { listenReceiver, type Received, type Receiver, type Respond } from '../delegation/webhook-receiver.ts'
import { rowsOfKind } from './audit-rows.ts'
import { createKey, inMs } from '../session/session-daemon.ts'
import { connect, newKey, newWallet, refusalOf } from './callers.ts'
import { connectWithDevice, makePeople, type Person } from './end-users.ts'
import { fresh } from './fresh.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const ARGS = ['--egress-allow', '127.0.0.1/32']
const WAIT = { timeout: 30_000, interval: 20 }

const base = makeDataDir()
const receivers: Receiver[] = []
let daemon: TestDaemon
let admin: CountersignClient
let people: readonly Person[] = []

const receive = async (respond?: Respond): Promise<Receiver> => {
  const receiver = await listenReceiver(respond)
  receivers.push(receiver)
  return receiver
}

const make = async (url: string, rest: object = {}): Promise<{ webhook: Webhook; secret: string }> => {
  const { webhook, secret } = await admin.admin.createWebhook({ url, ...rest })
  if (webhook === undefined) throw new Error('no webhook in the answer')
  return { webhook, secret }
}

const readBy = (secrets: readonly string[], { headers, body }: Received) => {
  const read = verifyWebhook({ headers, body, secrets })
  if (!read.ok) throw new Error(read.reason)
  return read.event
}

const deliveriesOf = async ({ webhookId }: Webhook, rest: object = {}) =>
  (await admin.admin.listWebhookDeliveries({ webhookId, ...rest })).deliveries

beforeAll(async () => {
  people = await makePeople(base, ['alice'])
  daemon = await startDaemon({ dataDir: base, keepData: true, args: ARGS })
  admin = connect(daemon, daemon.adminKey)
})
afterAll(async () => {
  admin.close()
  for (const receiver of receivers) receiver.close()
  await daemon.kill('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})

/** What a test that failed has left. */
afterEach(async () => {
  for (const { webhookId } of (await admin.admin.listWebhooks({})).webhooks) await admin.admin.deleteWebhook({ webhookId })
})

describe('a webhook', () => {
  it('is told of wallets made, refreshed and archived, each once, signed', async () => {
    const receiver = await receive()
    const { webhook, secret } = await make(receiver.url, { eventTypes: ['wallet.*'], displayName: 'books' })
    expect(webhook).toMatchObject({ projectId: 'default', displayName: 'books', eventTypes: ['wallet.*'], format: WebhookFormat.COUNTERSIGN, state: WebhookState.ACTIVE })
    // Shares of this type are refreshed without a link to wait for.
    const wallet = await newWallet(admin, fresh('told'), '', KeyType.ED25519)
    await admin.wallets.refreshShares({ wallet: wallet.walletId })
    await admin.wallets.archiveWallet({ wallet: wallet.walletId })
    await admin.wallets.archiveWallet({ wallet: wallet.walletId })
    await vi.waitFor(() => expect(receiver.received).toHaveLength(3), WAIT)
    for (const { headers, body } of receiver.received) new StandardWebhook(secret).verify(body, headers as Record<string, string>)
    const events = receiver.received.map((received) => readBy([secret], received))
    expect(new Set(events.map(({ type }) => type))).toEqual(new Set(['wallet.created', 'wallet.refreshed', 'wallet.archived']))
    expect(events[0]).toMatchObject({ type: 'wallet.created', projectId: 'default' })
    expect(events[0]?.data).toEqual({
      wallet_id: wallet.walletId,
      user_id: wallet.userId,
      key_type: 'ed25519',
      owner_type: 'project',
      label: '',
      address: wallet.address,
    })
    await vi.waitFor(async () => {
      const states = (await deliveriesOf(webhook)).map(({ eventType, state }) => [eventType, state])
      expect(states).toEqual(['wallet.archived', 'wallet.refreshed', 'wallet.created'].map((type) => [type, WebhookDeliveryState.DELIVERED]))
    }, WAIT)
    expect(receiver.received).toHaveLength(3)
  })

  it('is told of session keys made, revoked and over', async () => {
    const receiver = await receive()
    const { webhook, secret } = await make(receiver.url, { eventTypes: ['session_key.*'] })
    const wallet = await newWallet(admin)
    const kept = await createKey(admin, { wallet: wallet.walletId })
    const brief = await createKey(admin, { wallet: wallet.walletId, expireTime: inMs(5_000) })
    const { sessionKeyId = '' } = kept.sessionKey ?? {}
    for (let time = 0; time < 2; time++) await admin.sessionKeys.revokeSessionKey({ sessionKeyId })
    await vi.waitFor(() => expect(receiver.received).toHaveLength(4), WAIT)
    const told = receiver.received.map((received) => readBy([secret], received)).map(({ type, data }) => `${type} ${String(data['session_key_id'])}`)
    const briefId = brief.sessionKey?.sessionKeyId ?? ''
    expect(new Set(told)).toEqual(
      new Set([
        `session_key.created ${sessionKeyId}`,
        `session_key.created ${briefId}`,
        `session_key.revoked ${sessionKeyId}`,
        `session_key.expired ${briefId}`,
      ]),
    )
    const { data } = readBy([secret], receiver.received[0]!)
    expect(data).toMatchObject({ wallet_id: wallet.walletId, user_id: wallet.userId, profile: 'hyperliquid', network: 'testnet' })
    // Another look finds nothing new.
    await sleep(1_500)
    expect(receiver.received).toHaveLength(4)
    await admin.admin.deleteWebhook({ webhookId: webhook.webhookId })
  })

  it('is told of grants made, revoked and over, in the words of its format', async () => {
    const [own, cdp] = [await receive(), await receive()]
    const { webhook, secret } = await make(own.url, { eventTypes: ['grant.*'] })
    const asCdp = await make(cdp.url, { format: WebhookFormat.CDP })
    await admin.admin.updateProject({ project: { projectId: 'default', delegationEnabled: true }, updateMask: { paths: ['delegation_enabled'] } })
    const alice = await connectWithDevice(daemon, people[0]!)
    const scope = { case: 'userId', value: 'alice' } as const
    const { grant } = await alice.delegation.createGrant({ scope, expireTime: inMs(60_000) })
    const grantId = grant?.grantId ?? ''
    for (let time = 0; time < 2; time++) await alice.delegation.revokeGrant({ grantId })
    const { grant: brief } = await alice.delegation.createGrant({ scope, expireTime: inMs(4_000) })
    alice.close()
    await vi.waitFor(() => expect([own.received.length, cdp.received.length]).toEqual([4, 3]), WAIT)
    const told = own.received.map((received) => readBy([secret], received))
    const briefId = brief?.grantId ?? ''
    expect(new Set(told.map(({ type, data }) => `${type} ${String(data['grant_id'])}`))).toEqual(
      new Set([`grant.created ${grantId}`, `grant.revoked ${grantId}`, `grant.created ${briefId}`, `grant.expired ${briefId}`]),
    )
    expect(told.find(({ type }) => type === 'grant.revoked')?.data).toMatchObject({ user_id: 'alice', revoke_time: expect.any(String) })
    const inCdp = cdp.received.map(({ headers, body }) => [headers['x-event-type'], Object.keys(JSON.parse(body) as object).toSorted()])
    const [created, revoked] = [['created_at', 'delegation_id', 'expires_at', 'user_id'], ['delegation_id', 'revoked_at', 'user_id']]
    expect(inCdp.filter(([name]) => name === 'wallet.delegation.created').map(([, members]) => members)).toEqual([created, created])
    expect(inCdp.filter(([name]) => name === 'wallet.delegation.revoked').map(([, members]) => members)).toEqual([revoked])
    // An event has one id, whoever is told of it.
    const ids = new Set(told.map(({ eventId }) => eventId))
    for (const { headers } of cdp.received) expect(ids.has(String(headers['x-event-id']))).toBe(true)
    for (const { webhookId } of [webhook, asCdp.webhook]) await admin.admin.deleteWebhook({ webhookId })
  })

  it('of format DYNAMIC is pinged when it is made', async () => {
    const receiver = await receive()
    const { webhook, secret } = await make(receiver.url, { format: WebhookFormat.DYNAMIC })
    expect(secret).toMatch(/^dyn_/)
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    expect(JSON.parse(receiver.received[0]?.body ?? '')).toMatchObject({ eventName: 'ping', redelivery: false, data: { url: receiver.url } })
    await admin.admin.deleteWebhook({ webhookId: webhook.webhookId })
  })

  it('that was asked for twice under one request id is one, with one secret', async () => {
    const request = { url: 'https://receiver.example/', requestId: randomUUID() }
    const [first, second] = await Promise.all([make(request.url, request), make(request.url, request)])
    expect(second).toEqual(first)
    await admin.admin.deleteWebhook({ webhookId: first.webhook.webhookId })
  })

  it('changes in the fields that are named, for who has seen it last', async () => {
    const { webhook } = await make('https://receiver.example/', { eventTypes: ['wallet.created'] })
    const { webhookId, etag } = webhook
    const update = (fields: object, paths: string[], rest: object = {}) =>
      admin.admin.updateWebhook({ webhook: { webhookId, ...fields }, updateMask: { paths }, ...rest })
    const changed = await update({ displayName: 'n', url: 'https://other.example/', etag }, ['display_name', 'url'])
    expect(changed.secret).toBe('')
    expect(changed.webhook).toMatchObject({ displayName: 'n', url: 'https://other.example/', eventTypes: ['wallet.created'] })
    expect((await refusalOf(update({ displayName: 'x', etag }, ['display_name']))).reason).toBe('ETAG_MISMATCH')
    expect((await refusalOf(admin.admin.deleteWebhook({ webhookId, etag }))).reason).toBe('ETAG_MISMATCH')
    const refused = [
      update({ url: 'https://10.0.0.1/' }, ['url']),
      update({ eventTypes: ['wallet'] }, ['event_types']),
      update({ state: WebhookState.GONE }, ['state']),
      update({ format: WebhookFormat.CDP }, ['format']),
      update({}, []),
      update({}, ['url']),
      admin.admin.updateWebhook({ webhook: { webhookId }, updateMask: { paths: ['display_name'] }, secretOverlapSeconds: 5 }),
      admin.admin.updateWebhook({ webhook: { webhookId }, rotateSecret: true, secretOverlapSeconds: 604_801 }),
    ]
    const reasons = await Promise.all(refused.map(async (call) => (await refusalOf(call)).reason))
    expect(reasons).toEqual(['WEBHOOK_URL_REFUSED', ...Array.from({ length: 4 }, () => 'INVALID_REQUEST'), 'WEBHOOK_URL_REFUSED', 'INVALID_REQUEST', 'INVALID_REQUEST'])
    await admin.admin.deleteWebhook({ webhookId })
    expect((await refusalOf(admin.admin.deleteWebhook({ webhookId }))).reason).toBe('WEBHOOK_NOT_FOUND')
  })

  it('that is off is told when it is on again', async () => {
    const receiver = await receive()
    const { webhook } = await make(receiver.url)
    const { webhookId } = webhook
    const set = (state: WebhookState) => admin.admin.updateWebhook({ webhook: { webhookId, state }, updateMask: { paths: ['state'] } })
    await set(WebhookState.DISABLED)
    await newWallet(admin)
    await sleep(200)
    expect(receiver.received).toEqual([])
    expect(await deliveriesOf(webhook)).toMatchObject([{ state: WebhookDeliveryState.PENDING, attemptCount: 0 }])
    const { status } = await admin.admin.getStatus({})
    expect(status?.webhooks?.pendingCount).toBe(1n)
    expect(status?.webhooks?.oldestPendingTime).toBeDefined()
    await set(WebhookState.ACTIVE)
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    await admin.admin.deleteWebhook({ webhookId })
  })

  it('gets a new secret, beside which the old one goes on for a while, also under a new root key', async () => {
    const receiver = await receive()
    const { webhook, secret: old } = await make(receiver.url)
    const { webhookId } = webhook
    const rotated = await admin.admin.updateWebhook({ webhook: { webhookId }, rotateSecret: true, secretOverlapSeconds: 3_600 })
    expect(rotated.webhook?.previousSecretExpireTime).toBeDefined()
    await admin.admin.rotateVaultKey({ vault: VaultParty.DAEMON })
    await newWallet(admin)
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    for (const secret of [old, rotated.secret]) readBy([secret], receiver.received[0]!)
    const again = await admin.admin.updateWebhook({ webhook: { webhookId }, rotateSecret: true })
    expect(again.webhook?.previousSecretExpireTime).toBeUndefined()
    await newWallet(admin)
    await vi.waitFor(() => expect(receiver.received).toHaveLength(2), WAIT)
    readBy([again.secret], receiver.received[1]!)
    expect(() => readBy([old, rotated.secret], receiver.received[1]!)).toThrow('signature_wrong')
    await admin.admin.deleteWebhook({ webhookId })
  })

  it('is sent an event again when it is asked for, under the same id; deliveries go by pages', async () => {
    const receiver = await receive()
    const { webhook } = await make(receiver.url)
    const { webhookId } = webhook
    for (let index = 0; index < 3; index++) await newWallet(admin)
    await vi.waitFor(async () => expect(await deliveriesOf(webhook, { state: WebhookDeliveryState.DELIVERED })).toHaveLength(3), WAIT)
    const one = await admin.admin.listWebhookDeliveries({ webhookId, pageSize: 2 })
    const two = await admin.admin.listWebhookDeliveries({ webhookId, pageSize: 2, pageToken: one.nextPageToken })
    expect([one.deliveries.length, two.deliveries.length, two.nextPageToken]).toEqual([2, 1, ''])
    const crooked = admin.admin.listWebhookDeliveries({ webhookId, state: WebhookDeliveryState.FAILED, pageToken: one.nextPageToken })
    expect((await refusalOf(crooked)).reason).toBe('PAGE_TOKEN_INVALID')
    const [{ eventId } = { eventId: '' }] = two.deliveries
    const { delivery } = await admin.admin.redeliverWebhook({ webhookId, eventId: eventId.toUpperCase() })
    expect(delivery).toMatchObject({ eventId, state: WebhookDeliveryState.PENDING, redeliveryCount: 1 })
    await vi.waitFor(() => expect(receiver.received.map(({ headers }) => headers['webhook-id']).filter((id) => id === eventId)).toHaveLength(2), WAIT)
    const unknown = await refusalOf(admin.admin.redeliverWebhook({ webhookId, eventId: randomUUID() }))
    expect(unknown.reason).toBe('WEBHOOK_DELIVERY_NOT_FOUND')
    await admin.admin.deleteWebhook({ webhookId })
  })
})

describe('what does not exist, or may not', () => {
  it.each(['https://169.254.169.254/latest/meta-data/', 'https://[::1]/', 'https://user:word@receiver.example/', 'receiver.example'])(
    'is a webhook at %s',
    async (url) => {
      const refusal = await refusalOf(make(url))
      expect(refusal.reason).toBe('WEBHOOK_URL_REFUSED')
      expect(refusal.metadata['why']).toBeTruthy()
    },
  )

  it('is an event the format has no name for', async () => {
    const reasons = [
      make('https://a.example/', { eventTypes: ['wallet'] }),
      make('https://a.example/', { eventTypes: ['*'] }),
      make('https://a.example/', { format: WebhookFormat.CDP, eventTypes: ['wallet.created'] }),
      make('https://a.example/', { format: WebhookFormat.DYNAMIC, eventTypes: ['grant.*'] }),
    ].map(async (call) => (await refusalOf(call)).reason)
    expect(await Promise.all(reasons)).toEqual(Array.from({ length: 4 }, () => 'INVALID_REQUEST'))
  })

  it('is a webhook of another project, which is told nothing of this one', async () => {
    await admin.admin.createProject({ projectId: 'elsewhere' })
    const receiver = await receive()
    const { webhook } = await make(receiver.url, { projectId: 'elsewhere' })
    const { webhookId } = webhook
    const asked = [
      admin.admin.updateWebhook({ webhook: { webhookId }, rotateSecret: true }),
      admin.admin.deleteWebhook({ webhookId }),
      admin.admin.listWebhookDeliveries({ webhookId }),
      admin.admin.redeliverWebhook({ webhookId, eventId: randomUUID() }),
      admin.admin.deleteWebhook({ webhookId: `whk_${'0'.repeat(32)}` }),
    ].map(async (call) => (await refusalOf(call)).reason)
    expect(await Promise.all(asked)).toEqual(Array.from({ length: 5 }, () => 'WEBHOOK_NOT_FOUND'))
    const own = (await admin.admin.listWebhooks({})).webhooks.map((known) => known.webhookId)
    expect(own).not.toContain(webhookId)
    expect((await admin.admin.listWebhooks({ projectId: 'elsewhere' })).webhooks).toMatchObject([{ webhookId }])
    expect((await refusalOf(admin.admin.listWebhooks({ projectId: 'nowhere' }))).reason).toBe('PROJECT_NOT_FOUND')
    await newWallet(admin)
    const key = await newKey(admin, [{ name: 'wallet:create' }], { projectId: 'elsewhere' })
    const there = connect(daemon, key.secret)
    const wallet = await newWallet(there)
    there.close()
    await vi.waitFor(() => expect(receiver.received).toHaveLength(1), WAIT)
    expect(receiver.received[0]?.body).toContain(wallet.walletId)
    expect(await deliveriesOf(webhook, { projectId: 'elsewhere' })).toHaveLength(1)
  })
})

it('secrets are in the answer that shows them and nowhere else; every change is in the chain', async () => {
  const { webhook, secret } = await make('https://receiver.example/')
  const { webhookId } = webhook
  const { secret: next } = await admin.admin.updateWebhook({ webhook: { webhookId }, rotateSecret: true, secretOverlapSeconds: 60 })
  const listed = await admin.admin.listWebhooks({})
  await admin.admin.deleteWebhook({ webhookId })
  const kinds = ['webhook.created', 'webhook.updated', 'webhook.deleted']
  const rows = await Promise.all(kinds.map((kind) => rowsOfKind(admin, kind, 0n)))
  for (const of of rows) expect(of.filter(({ subject }) => subject.endsWith(webhookId))).toHaveLength(1)
  const text = JSON.stringify([listed, rows], (_name, value: unknown) => (typeof value === 'bigint' ? String(value) : value))
  const files = readdirSync(join(base, 'data')).filter((name) => /\.db(-wal)?$/.test(name))
  const stored = files.map((name) => readFileSync(join(base, 'data', name)).toString('latin1'))
  for (const shown of [secret, next])
    for (const place of [text, daemon.output(), ...stored]) expect(place.includes(shown.slice('whsec_'.length, -1))).toBe(false)
})
