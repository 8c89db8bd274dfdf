import { describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import { authenticate, isAddressAllowed } from '../../src/rpc/authenticate.ts'
import type { ApiKeyRecord } from '../../src/rpc/authenticate.ts'
import type { Peer } from '../../src/rpc/peer.ts'
import { tcpPeer, unixPeer } from '../../src/rpc/peer.ts'
import { apiKeyId, testKey } from './support/test-edge.ts'

const NOW = 1_000_000

const decide = (
  record: ApiKeyRecord | undefined,
  shown: { readonly authorization?: string | null; readonly peer?: Peer } = {},
) => {
  const { authorization = 'Bearer csk_good', peer = tcpPeer('10.1.2.3', undefined, new Map()) } = shown
  const directory = {
    findBySecret: (secret: string) => (secret === 'csk_good' ? record : undefined),
    findById: (id: string) => (id === record?.apiKeyId ? record : undefined),
  }
  try {
    return authenticate(directory, peer, authorization, NOW).caller.kind
  } catch (error) {
    return isFailure(error) ? error.reason : error
  }
}

const good = testKey(1, ['wallet:sign']).record

describe('an API key', () => {
  it('lets its holder in', () => {
    expect(decide(good)).toBe('project')
    expect(decide(good, { authorization: 'bearer  csk_good' })).toBe('project')
    expect(decide(testKey(2, ['admin', 'wallet:sign']).record)).toBe('operator')
  })

  it.each([null, ''])('is missing: %j', (authorization) => {
    expect(decide(good, { authorization })).toBe('API_KEY_MISSING')
  })

  it.each([
    'csk_good',
    'Basic csk_good',
    'Bearer',
    'Bearer ',
    'Bearer csk_bad',
    'Bearer csk_good ',
    ' Bearer csk_good',
    'Bearer csk_good, Bearer csk_good',
    'Bearer csk_good\u0000',
    `Bearer csk_${'x'.repeat(300)}`,
  ])('is not valid: %j', (authorization) => {
    expect(decide(good, { authorization })).toBe('API_KEY_INVALID')
  })

  it('ends at its expiry, to the millisecond', () => {
    expect(decide({ ...good, expireTimeMs: NOW + 1 })).toBe('project')
    expect(decide({ ...good, expireTimeMs: NOW })).toBe('API_KEY_EXPIRED')
  })

  it('does not tell of its expiry to who does not hold it', () => {
    expect(decide({ ...good, expireTimeMs: 1 }, { authorization: 'Bearer csk_bad' })).toBe('API_KEY_INVALID')
  })

  it('is bound to its networks on TCP, and not on a unix socket', () => {
    const narrow = { ...good, allowedCidrs: ['192.0.2.0/24'] }
    expect(decide(narrow)).toBe('API_KEY_INVALID')
    expect(decide(narrow, { peer: tcpPeer('192.0.2.77', undefined, new Map()) })).toBe('project')
    expect(decide(narrow, { peer: tcpPeer(undefined, undefined, new Map()) })).toBe('API_KEY_INVALID')
    expect(decide(narrow, { peer: unixPeer(undefined) })).toBe('project')
  })
})

describe('a bound socket', () => {
  const peer = unixPeer(good.apiKeyId)
  it('is its API key, whatever is presented', () => {
    for (const authorization of [null, 'Bearer csk_good', 'Bearer csk_bad', 'nonsense'])
      expect(decide(good, { peer, authorization })).toBe('sidecar')
  })

  it('is nobody once the key is gone', () => {
    expect(decide(undefined, { peer, authorization: 'Bearer csk_good' })).toBe('API_KEY_INVALID')
    expect(decide({ ...good, expireTimeMs: 1 }, { peer })).toBe('API_KEY_EXPIRED')
  })
})

describe('a certificate listener', () => {
  const identities = new Map([['CN=bot', good.apiKeyId]])
  it('knows only mapped certificates', () => {
    expect(
      decide(good, { peer: tcpPeer('10.0.0.1', { subject: { CN: 'bot' } }, identities), authorization: null }),
    ).toBe('project')
    for (const certificate of [undefined, { subject: { CN: 'other' } }])
      expect(decide(good, { peer: tcpPeer('10.0.0.1', certificate, identities) })).toBe('API_KEY_INVALID')
  })

  it('holds the mapped key to its networks', () => {
    const narrow = { ...good, allowedCidrs: ['192.0.2.0/24'] }
    expect(decide(narrow, { peer: tcpPeer('10.0.0.1', { subject: { CN: 'bot' } }, identities) })).toBe(
      'API_KEY_INVALID',
    )
    expect(apiKeyId(1)).toBe(good.apiKeyId)
  })
})

describe('networks', () => {
  it.each([
    [['10.0.0.0/8'], '10.255.0.1', true],
    [['10.0.0.0/8'], '11.0.0.1', false],
    [['10.0.0.0/8'], '::ffff:10.1.1.1', true],
    [['10.0.0.0/8'], '::FFFF:11.1.1.1', false],
    [['2001:db8::/32'], '2001:db8:1::1', true],
    [['2001:db8::/32'], '2001:db9::1', false],
    [['fe80::/10'], 'fe80::1%eth0', true],
    [['0.0.0.0/0'], '2001:db8::1', false],
    [['192.0.2.1/32', '::1/128'], '::1', true],
    [['192.0.2.1/32'], 'unknown', false],
    [['192.0.2.1/32'], '', false],
    [[], undefined, true],
  ])('%j and %s: %s', (cidrs, address, wanted) => {
    expect(isAddressAllowed(cidrs, address)).toBe(wanted)
  })
})
