import { createHmac } from 'node:crypto'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { type AttemptFacts, formatMessage, generateWebhookSecret, pingData, type SigningSecrets } from '../../src/delegation/webhook-format.ts'
import type { ProjectId, WebhookId } from '../../src/domain/ids.ts'
import type { WebhookFormat } from '../../src/domain/webhook-events.ts'
import type { WebhookEvent } from '../../src/vault/webhook-outbox.ts'

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const EVENT_ID = '0d9e6b3a-8d8a-4a6a-bb0e-0d6d8a1d4b44'
const TIME = '2026-05-01T09:30:00.000Z'
const project = 'trading' as ProjectId
const GRANT = {
  grant_id: `grant_${'0123456789abcdef'.repeat(2)}`,
  user_id: 'alice',
  create_time: TIME,
  expire_time: '2026-06-01T00:00:00.000Z',
}

const facts = (format: WebhookFormat, type: WebhookEvent['type'], data: WebhookEvent['data'], more: Partial<AttemptFacts> = {}): AttemptFacts => ({
  webhook: { webhookId: 'whk_9f0c5f648f5e4b649c8b6a2fd5a8a733' as WebhookId, project, format },
  event: { eventId: EVENT_ID, project, type, data, timeMs: Date.parse(TIME) },
  isRedelivery: false,
  nowMs: Date.now(),
  messageId: '3f3b6f0e-4d7e-4a0f-9f2b-0d0b7d9a1c11',
  ...more,
})

const sent = (attempt: AttemptFacts, secrets: SigningSecrets) => {
  const message = formatMessage(attempt, secrets)
  if (message === undefined) throw new Error('nothing is sent')
  return { headers: message.headers, body: Buffer.from(message.body).toString('utf8') }
}

describe('COUNTERSIGN', () => {
  const data = { ...GRANT, address: `0x${'Ab'.repeat(20)}`, note: 'é<&> " \u2028 😀' }
  const attempt = facts('COUNTERSIGN', 'grant.created', data)

  test('is Standard Webhooks, as another implementation verifies it', () => {
    const current = generateWebhookSecret('COUNTERSIGN')
    const { headers, body } = sent(attempt, { current })
    const told = { type: 'grant.created', timestamp: TIME, event_id: EVENT_ID, project_id: 'trading', data }
    expect(new StandardWebhook(current).verify(body, headers)).toEqual(told)
    expect(() => new StandardWebhook(generateWebhookSecret('COUNTERSIGN')).verify(body, headers)).toThrow('No matching signature')
    expect(() => new StandardWebhook(current).verify(body.replace('alice', 'alicf'), headers)).toThrow('No matching signature')
    for (const name of ['webhook-id', 'webhook-timestamp']) {
      const other = { ...headers, [name]: `${Number(headers['webhook-timestamp']) + 1}` }
      expect(() => new StandardWebhook(current).verify(body, other)).toThrow('No matching signature')
    }
  })

  test('is signed with both secrets while one gives way to the other', () => {
    const [current, previous] = [generateWebhookSecret('COUNTERSIGN'), generateWebhookSecret('COUNTERSIGN')]
    const { headers, body } = sent(attempt, { current, previous })
    expect(headers['webhook-signature']).toMatch(/^v1,[A-Za-z0-9+/]{43}= v1,[A-Za-z0-9+/]{43}=$/)
    for (const secret of [current, previous]) expect(new StandardWebhook(secret).verify(body, headers)).toMatchObject({ type: 'grant.created' })
  })
})

/** As Hook0's clients read it: every part is taken from the header and the request. */
const verifyHook0 = (headers: Readonly<Record<string, string>>, body: string, secret: string): boolean => {
  const parts = new Map((headers['x-hook0-signature'] ?? '').split(',').map((part) => part.split(/=(.*)/s).slice(0, 2) as [string, string]))
  const names = parts.get('h')?.split(' ') ?? []
  const signed = [parts.get('t'), parts.get('h'), names.map((name) => headers[name]).join('.'), body].join('.')
  return createHmac('sha256', Buffer.from(secret, 'utf8')).update(signed, 'utf8').digest('hex') === parts.get('v1')
}

describe('CDP', () => {
  const current = generateWebhookSecret('CDP')

  test.each([
    ['grant.created', GRANT, 'wallet.delegation.created', { expires_at: GRANT.expire_time, created_at: TIME }],
    ['grant.revoked', { ...GRANT, revoke_time: TIME }, 'wallet.delegation.revoked', { revoked_at: TIME }],
  ] as const)('tells %s under its own name', (type, data, name, rest) => {
    const { headers, body } = sent(facts('CDP', type, data), { current })
    expect(JSON.parse(body)).toEqual({ delegation_id: 'delegation_01234567-89ab-cdef-0123-456789abcdef', user_id: 'alice', ...rest })
    expect(headers).toMatchObject({ 'content-type': 'application/json', 'x-event-id': EVENT_ID, 'x-event-type': name })
    expect(headers['x-hook0-signature']).toMatch(/^t=\d+,h=content-type x-event-id x-event-type,v1=[0-9a-f]{64}$/)
    expect(verifyHook0(headers, body, current)).toBe(true)
    expect(verifyHook0(headers, body.replace('alice', 'alicf'), current)).toBe(false)
    expect(verifyHook0({ ...headers, 'x-event-type': 'wallet.delegation.other' }, body, current)).toBe(false)
    expect(verifyHook0(headers, body, generateWebhookSecret('CDP'))).toBe(false)
  })

  test('has one signature: the old secret’s until its time is over', () => {
    const { headers, body } = sent(facts('CDP', 'grant.created', GRANT), { current, previous: 'the old one' })
    expect([verifyHook0(headers, body, 'the old one'), verifyHook0(headers, body, current)]).toEqual([true, false])
  })

  test('has no name for other events', () => {
    expect(formatMessage(facts('CDP', 'wallet.created', { user_id: 'alice' }), { current })).toBeUndefined()
  })
})

describe('DYNAMIC', () => {
  const envelope = { alg: 'HYBRID-RSA-AES-256', iv: 'I'.repeat(22), ct: 'c', tag: 't'.repeat(22), ek: 'e'.repeat(512) }
  const access = {
    delegated_access_id: '5b1f5a3e-7a52-4b0c-9d3a-0f3a1c9e7d21',
    wallet_id: 'wal_c7d0a3c16a3b4f599d3a3c9f0b1d2e66',
    key_type: 'secp256k1',
    address: '0x1a642f0E3c3aF545E7AcBD38b07251B3990914F1',
    user_id: 'alice',
  }
  const current = 'dyn_test_secret'

  test('tells of delegated access in its envelope, byte for byte as it was sealed', () => {
    const data = { ...access, encrypted_delegated_share: envelope, encrypted_wallet_api_key: { ...envelope, kid: 'k1' } }
    const { body } = sent(facts('DYNAMIC', 'delegated_access.created', data, { isRedelivery: true }), { current })
    const told = JSON.parse(body) as Record<string, unknown>
    expect(told['environmentId']).toMatch(UUID)
    expect(told).toEqual({
      messageId: '3f3b6f0e-4d7e-4a0f-9f2b-0d0b7d9a1c11',
      eventId: EVENT_ID,
      eventName: 'wallet.delegation.created',
      timestamp: TIME,
      webhookId: '9f0c5f64-8f5e-4b64-9c8b-6a2fd5a8a733',
      userId: 'alice',
      environmentId: told['environmentId'],
      environmentName: 'trading',
      redelivery: true,
      data: {
        chain: 'EVM',
        walletId: access.delegated_access_id,
        publicKey: access.address,
        userId: 'alice',
        encryptedDelegatedShare: envelope,
        encryptedWalletApiKey: { ...envelope, kid: 'k1' },
      },
    })
    expect(body).toBe(JSON.stringify(told))
  })

  test('tells of its end without envelopes, and of Solana as SVM', () => {
    const { body } = sent(facts('DYNAMIC', 'delegated_access.revoked', { ...access, key_type: 'ed25519' }), { current })
    const told = JSON.parse(body) as { eventName: string; redelivery: boolean; data: object }
    expect([told.eventName, told.redelivery]).toEqual(['wallet.delegation.revoked', false])
    expect(Object.keys(told.data)).toEqual(['chain', 'walletId', 'publicKey', 'userId'])
    expect(told.data).toMatchObject({ chain: 'SVM' })
  })

  test('begins with a ping', () => {
    const data = pingData({ webhookId: 'whk_9f0c5f648f5e4b649c8b6a2fd5a8a733' as WebhookId, url: 'https://a.example/' })
    const told = JSON.parse(sent(facts('DYNAMIC', 'ping', data), { current }).body) as Record<string, unknown>
    expect(told).toMatchObject({ eventName: 'ping', userId: null, data: { url: 'https://a.example/', isEnabled: true } })
    expect(Object.keys(told['data'] as object).toSorted()).toEqual(['events', 'isEnabled', 'message', 'url', 'webhookId'])
  })

  test('is signed over the body with the secret as it is', () => {
    const sign = (secret: string, body: string): string => `sha256=${createHmac('sha256', secret).update(body).digest('hex')}`
    // The published form, with a vector of its own.
    expect(sign(current, '{"eventName":"ping"}')).toBe('sha256=58b782e41a8a74b1a06f19bbfca9eb5f122f8b64104d3c055747d7f650bef702')
    const now = sent(facts('DYNAMIC', 'delegated_access.revoked', access), { current })
    expect(now.headers['x-dynamic-signature-256']).toBe(sign(current, now.body))
    const then = sent(facts('DYNAMIC', 'delegated_access.revoked', access), { current, previous: 'dyn_old' })
    expect(then.headers['x-dynamic-signature-256']).toBe(sign('dyn_old', then.body))
  })
})

test('secrets have the form of their format and are never the same', () => {
  expect(generateWebhookSecret('COUNTERSIGN')).toMatch(/^whsec_[A-Za-z0-9+/]{43}=$/)
  expect(generateWebhookSecret('CDP')).toMatch(UUID)
  expect(generateWebhookSecret('DYNAMIC')).toMatch(/^dyn_[A-Za-z0-9_-]{43}$/)
  for (const format of ['COUNTERSIGN', 'CDP', 'DYNAMIC'] as const) expect(generateWebhookSecret(format)).not.toBe(generateWebhookSecret(format))
})
