import { describe, expect, it } from 'vitest'
import { BUILT_IN_PROFILES } from '../../../src/payload/profile/built-in-profiles.ts'
import { loadProfile } from '../../../src/payload/profile/load-profiles.ts'
import { parseProfile } from '../../../src/payload/profile/parse-profile.ts'
import { DERIVADEX } from '../../../src/payload/profile/venues/derivadex.ts'

const bytes = (value: unknown) => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value), 'utf8')

describe('a profile from a file', () => {
  it.each(BUILT_IN_PROFILES)('$id is the same as text', (profile) => {
    const read = parseProfile(bytes(profile))
    expect(read).toEqual(JSON.parse(JSON.stringify(profile)))
    expect(loadProfile(read).profileHash).toBe(loadProfile(profile).profileHash)
  })

  /** A copy of the profile as plain data, changed. */
  const changed = (change: (copy: Record<string, never>) => unknown): Uint8Array => {
    const copy = JSON.parse(JSON.stringify(DERIVADEX)) as Record<string, never>
    change(copy)
    return bytes(copy)
  }
  type Loose = Record<string, Record<string, Record<string, unknown>>>
  const loose = (copy: unknown) => copy as Loose

  it.each<[string, (copy: Loose) => unknown, string]>([
    ['a misspelt member', (copy) => ((copy['actions'] ?? {})['order'] ?? {})['rule'] = [], 'actions.order.rule is not a known member'],
    ['a member too many at the top', (copy) => (copy['scopeCode'] = {}), '.scopeCode is not a known member'],
    ['a missing part', (copy) => delete copy['nonce'], '.nonce is missing'],
    ['an unknown family', (copy) => ((copy['actions'] ?? {})['order'] ?? {})['family'] = 'orders', 'actions.order.family is none of'],
    ['an unknown scheme', (copy) => ((copy['flows'] ?? {})['order'] ?? {})['sign'] = [{ scheme: 'raw' }], 'flows.order.sign[0].scheme is none of'],
    ['an unknown shape', (copy) => ((copy['actions'] ?? {})['order'] ?? {})['shape'] = { kind: 'anything' }, 'actions.order.shape.kind is none of'],
    ['a nonce of no style', (copy) => (copy['nonce'] = { style: {} }), 'nonce.style is none of'],
    ['a fraction', (copy) => (copy['version'] = 1.5 as never), '1.5 is no integer'],
    ['a number beyond 2^53', (copy) => (copy['version'] = 2 ** 60 as never), 'is no integer within 2^53'],
  ])('refuses %s', (_, change, why) => {
    expect(() => parseProfile(changed((copy) => change(loose(copy))))).toThrow(why)
  })

  it.each([
    ['[]', 'is not an object'],
    ['{', 'the profile'],
    ['{"id":"a","id":"b"}', 'duplicate key'],
    ['{"toString":1}', 'a member is named toString'],
    [`"${'x'.repeat(300_000)}"`, 'is larger than'],
  ])('refuses %.20s', (text, why) => {
    expect(() => parseProfile(bytes(text))).toThrow(why)
  })

  it('puts another codec in the place of ours: other struct, other bytes', () => {
    const copy = JSON.parse(JSON.stringify(DERIVADEX)) as typeof DERIVADEX
    const register = copy.flows['register']
    const other = {
      ...copy,
      version: 2,
      payload: [{ constant: '0xff' }, { name: 'walletSignature', bytes: 65 }, { name: 'expiry', uint: 4 }],
      flows: {
        ...copy.flows,
        register: {
          ...register,
          sign: [{ ...register?.sign[0], types: { Delegation: 'uint32 until' }, primaryType: 'Delegation', message: { until: ['@div', '$expireMs', 1000] } }],
          keep: { payload: ['@cat', '0xff', '$sig.bytes', ['@u', 4, ['@div', '$expireMs', 1000]]] },
        },
      },
      selfTest: [DERIVADEX.selfTest[0]],
    }
    const loaded = loadProfile(parseProfile(bytes(other)))
    const step = loaded.buildFlow('register', { network: 'sepolia', parameters: {}, timeMs: 0, expireTimeMs: 1800000000000, scopes: ['order'] })
    const signature = new Uint8Array([...new Uint8Array(64).fill(0x11), 27])
    const done = step.kind === 'sign' ? step.finish(signature) : step
    const payload = done.kind === 'done' ? Buffer.from((done.keep['payload'] ?? '').slice(2), 'hex') : Buffer.alloc(0)
    expect(loaded.decodePayload(payload)).toEqual({ walletSignature: signature, expiry: 1800000000n })
  })
})
