import { createHmac } from 'node:crypto'
import { Webhook as StandardWebhook } from 'standardwebhooks'
import { describe, expect, test } from 'vitest'
import { verifyWebhook } from '../../src/client/verify-webhook.ts'

const SECRET = `whsec_${Buffer.alloc(32, 7).toString('base64')}`
const OTHER = `whsec_${Buffer.alloc(32, 8).toString('base64')}`
const NOW = 1_800_000_000_000
const ID = '0d9e6b3a-8d8a-4a6a-bb0e-0d6d8a1d4b44'
const TOLD = {
  type: 'wallet.created',
  timestamp: '2026-05-01T09:30:00.000Z',
  event_id: ID,
  project_id: 'default',
  data: { user_id: 'é<&>😀' },
}

const signed = (told: unknown = TOLD, secret = SECRET, atMs = NOW) => {
  const body = typeof told === 'string' ? told : JSON.stringify(told)
  const signature = new StandardWebhook(secret).sign(ID, new Date(atMs), body)
  return { body, headers: { 'webhook-id': ID, 'webhook-timestamp': String(Math.floor(atMs / 1_000)), 'webhook-signature': signature } }
}

const judge = (message: { headers: object; body: string | Uint8Array }, secrets: readonly string[] = [SECRET], nowMs = NOW): string => {
  const verified = verifyWebhook({ headers: message.headers as Record<string, string>, body: message.body, secrets, nowMs })
  return verified.ok ? 'ok' : verified.reason
}

describe('a message that another implementation signed', () => {
  const { headers, body } = signed()

  test('is read', () => {
    const { data, type, project_id: projectId } = TOLD
    const event = { eventId: ID, type, timestamp: new Date(TOLD.timestamp), projectId, data }
    expect(verifyWebhook({ headers, body, secrets: [SECRET], nowMs: NOW })).toEqual({ ok: true, event })
  })

  test('is read from bytes, with headers in any letter case, and from a Headers', () => {
    expect(judge({ headers, body: Buffer.from(body) })).toBe('ok')
    const loud = Object.fromEntries(Object.entries(headers).map(([name, value]) => [name.toUpperCase(), value]))
    expect(judge({ headers: loud, body })).toBe('ok')
    expect(judge({ headers: new Headers(headers), body })).toBe('ok')
  })

  test('is read with any of the secrets, and among several signatures', () => {
    expect(judge({ headers, body }, [OTHER, SECRET])).toBe('ok')
    const several = { ...headers, 'webhook-signature': `v1a,xyz v1,${'A'.repeat(43)}= ${headers['webhook-signature']}` }
    expect(judge({ headers: several, body })).toBe('ok')
  })

  test('is refused when anything of it was changed', () => {
    for (let at = 0; at < body.length; at += 7) {
      const bytes = Buffer.from(body)
      bytes[at]! ^= 1
      expect(judge({ headers, body: bytes })).toBe('signature_wrong')
    }
    expect(judge({ headers, body: `${body} ` })).toBe('signature_wrong')
    expect(judge({ headers: { ...headers, 'webhook-id': `${ID}0` }, body })).toBe('signature_wrong')
    expect(judge({ headers: { ...headers, 'webhook-timestamp': String(NOW / 1_000 + 1) }, body })).toBe('signature_wrong')
    expect(judge({ headers, body }, [OTHER])).toBe('signature_wrong')
    expect(judge({ headers, body }, [])).toBe('signature_wrong')
  })

  test.each([
    ['v1,', 'signature_wrong'],
    ['', 'signature_wrong'],
    [headers['webhook-signature'].replace('v1,', 'v2,'), 'signature_wrong'],
    [headers['webhook-signature'].slice(0, -6), 'signature_wrong'],
    [`${'v1,AAAA '.repeat(16)}${headers['webhook-signature']}`, 'signature_wrong'],
  ])('is refused with the signature %j', (signature, reason) => {
    expect(judge({ headers: { ...headers, 'webhook-signature': signature }, body })).toBe(reason)
  })

  test.each(Object.keys(headers))('is refused without %s, and with two of it', (name) => {
    const { [name as keyof typeof headers]: value, ...rest } = headers
    expect(judge({ headers: rest, body })).toBe('headers_missing')
    expect(judge({ headers: { ...rest, [name]: [value, value] }, body })).toBe('headers_missing')
    expect(judge({ headers: { ...headers, [name.toUpperCase()]: value }, body })).toBe('headers_missing')
  })

  test('is refused when it was signed too long ago, or later than now', () => {
    expect(judge({ headers, body }, [SECRET], NOW + 300_000)).toBe('ok')
    expect(judge({ headers, body }, [SECRET], NOW + 300_001)).toBe('timestamp_out_of_range')
    expect(judge({ headers, body }, [SECRET], NOW - 300_001)).toBe('timestamp_out_of_range')
    for (const timestamp of ['', '-1', '1e9', 'NaN', '0x10', `${NOW}.0`, ' 1'])
      expect(judge({ headers: { ...headers, 'webhook-timestamp': timestamp }, body })).toBe('timestamp_out_of_range')
  })
})

test.each([
  ['not JSON'],
  ['null'],
  ['[]'],
  [JSON.stringify({ ...TOLD, event_id: 'another' })],
  [JSON.stringify({ ...TOLD, data: [] })],
  [JSON.stringify({ ...TOLD, data: null })],
  [JSON.stringify({ ...TOLD, timestamp: 'soon' })],
  [JSON.stringify({ ...TOLD, type: 1 })],
])('%s, rightly signed, is no event', (body) => {
  expect(judge(signed(body))).toBe('malformed')
})

test('what is not UTF-8 is no event', () => {
  const body = Buffer.from([0x22, 0xff, 0x22])
  const mac = createHmac('sha256', Buffer.alloc(32, 7)).update(`${ID}.${NOW / 1_000}.`).update(body).digest('base64')
  const headers = { 'webhook-id': ID, 'webhook-timestamp': String(NOW / 1_000), 'webhook-signature': `v1,${mac}` }
  expect(judge({ headers, body })).toBe('malformed')
})

test('a secret that is none is a mistake of the caller', () => {
  const { headers, body } = signed()
  for (const secret of ['', 'whsec_', 'whsec_c2hvcnQ=', SECRET.slice(6), 'csk_abc'])
    expect(() => judge({ headers, body }, [secret])).toThrow(TypeError)
})
