/** What a key set may cost, and how long it is believed. */
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import { EgressError } from '../../src/egress/egress-error.ts'
import { createHttpEgress, type EgressResponse, type SendHttp } from '../../src/egress/http.ts'
import { KeySets } from '../../src/user/key-sets.ts'
import { JwtRefused } from '../../src/user/strict-jwt.ts'
import { type Issuer, newSigningKey, type SigningKey, startIssuer } from './support/issuer.ts'

const URL_OF_SET = 'https://keys.example/jwks.json'
const MINUTE = 60_000

/** Key sets over a clock that stands still and a server in this file. */
const scene = (answer: () => Promise<EgressResponse> | EgressResponse) => {
  let nowMs = 1_000_000
  let asked = 0
  const send: SendHttp = async () => {
    asked += 1
    return answer()
  }
  const sets = new KeySets(send, { nowMs: () => nowMs, monotonicNs: () => BigInt(nowMs) * 1_000_000n })
  const find = (kid: string | undefined, url = URL_OF_SET): Promise<string> =>
    sets.find(url, kid, 'ES256').then(
      () => 'found',
      (error: unknown) => (error instanceof JwtRefused ? error.fault : isFailure(error) ? error.reason : String(error)),
    )
  return {
    find,
    pass: (ms: number) => void (nowMs += ms),
    asked: () => asked,
  }
}

const answering = (...keys: SigningKey[]): EgressResponse => ({
  status: 200,
  headers: {},
  body: new TextEncoder().encode(JSON.stringify({ keys: keys.map(({ jwk }) => jwk) })),
})

const down = (): never => {
  throw new EgressError('connect_failed')
}

describe('a key set', () => {
  it('is read once for many tokens, and once by many at a time', async () => {
    const key = newSigningKey('one')
    const { find, asked, pass } = scene(() => answering(key))
    expect(await Promise.all(Array.from({ length: 50 }, () => find('one')))).toEqual(Array.from({ length: 50 }, () => 'found'))
    pass(9 * MINUTE)
    expect(await find('one')).toBe('found')
    expect(asked()).toBe(1)
    pass(MINUTE)
    expect(await find('one')).toBe('found')
    expect(asked()).toBe(2)
  })

  it('that is at hand is read once for many tokens', () => {
    const sets = new KeySets(async () => down(), { nowMs: () => 0, monotonicNs: () => 0n })
    const json = JSON.stringify({ keys: [newSigningKey('one').jwk] })
    const keys = sets.ofText(json)
    expect(keys).toHaveLength(1)
    expect(sets.ofText(json.slice())).toBe(keys)
    expect(sets.ofText('no set')).toEqual([])
    for (let number = 0; number < 300; number++) sets.ofText(String(number))
    expect(sets.ofText(json)).toEqual(keys)
  })

  it('is asked at most twice a minute, whatever tokens say', async () => {
    const { find, asked, pass } = scene(() => answering(newSigningKey('one')))
    for (let second = 0; second < 60; second++) {
      const verdicts = await Promise.all(Array.from({ length: 100 }, (_, number) => find(`flood-${second}-${number}`)))
      expect(new Set(verdicts)).toEqual(new Set(['key_unknown']))
      pass(1_000)
    }
    expect(asked()).toBe(2)
  })

  it('is asked at most twice a minute when it is down, and then known by nobody', async () => {
    const { find, asked, pass } = scene(down)
    for (let second = 0; second < 60; second++) {
      expect(await find(`kid-${second}`)).toBe('KEY_SET_UNAVAILABLE')
      pass(1_000)
    }
    expect(asked()).toBe(2)
  })

  it('takes a new key up when a token names it, half a minute after the last look', async () => {
    const [first, second] = [newSigningKey('first'), newSigningKey('second')]
    let published = [first]
    const { find, asked, pass } = scene(() => answering(...published))
    expect(await find('first')).toBe('found')
    published = [second]
    expect(await find('second')).toBe('key_unknown')
    pass(30_000)
    expect(await find('second')).toBe('found')
    expect(await find('first')).toBe('key_unknown')
    expect(asked()).toBe(2)
  })

  it('forgets a key that was taken out, within ten minutes', async () => {
    const [first, second] = [newSigningKey('first'), newSigningKey('second')]
    let published = [first, second]
    const { find, pass } = scene(() => answering(...published))
    expect(await find('first')).toBe('found')
    published = [second]
    pass(10 * MINUTE)
    expect(await find('first')).toBe('key_unknown')
  })

  it('stays good for an hour when it cannot be read, and no longer', async () => {
    const key = newSigningKey('one')
    let isDown = false
    const { find, pass } = scene(() => (isDown ? down() : answering(key)))
    expect(await find('one')).toBe('found')
    isDown = true
    pass(59 * MINUTE)
    expect(await find('one')).toBe('found')
    pass(MINUTE)
    expect(await find('one')).toBe('KEY_SET_UNAVAILABLE')
    isDown = false
    pass(30_000)
    expect(await find('one')).toBe('found')
  })

  it('is not replaced by what is none, or has no key that can be used', async () => {
    const key = newSigningKey('one')
    const bad: EgressResponse[] = [
      { status: 200, headers: {}, body: new TextEncoder().encode('<html>') },
      { status: 200, headers: {}, body: new TextEncoder().encode('{"keys":[]}') },
      { status: 200, headers: {}, body: new TextEncoder().encode('{"keys":[{"kty":"oct","k":"AA"}]}') },
      { status: 500, headers: {}, body: answering(key).body },
      { status: 302, headers: { location: 'https://evil.example' }, body: new Uint8Array() },
    ]
    let next: EgressResponse | undefined
    const { find, pass } = scene(() => next ?? answering(key))
    expect(await find('one')).toBe('found')
    for (next of bad) {
      pass(10 * MINUTE)
      expect(await find('one')).toBe('found')
    }
  })

  it('of one project says nothing about another’s, and a thousand of them are remembered', async () => {
    const { find, asked } = scene(() => answering(newSigningKey('one')))
    for (let number = 0; number < 1_001; number++) expect(await find('one', `${URL_OF_SET}?${number}`)).toBe('found')
    expect(asked()).toBe(1_001)
    expect(await find('one', `${URL_OF_SET}?1000`)).toBe('found')
    expect(asked()).toBe(1_001)
    expect(await find('one', `${URL_OF_SET}?0`)).toBe('found')
    expect(asked()).toBe(1_002)
  })
})

describe('a server of key sets', () => {
  let issuer: Issuer
  beforeEach(async () => {
    issuer = await startIssuer()
  })
  afterEach(() => issuer[Symbol.asyncDispose]())

  const verdict = async (): Promise<string> => {
    const clock = { nowMs: () => Date.now(), monotonicNs: () => process.hrtime.bigint() }
    const sets = new KeySets(createHttpEgress({ allow: ['127.0.0.1/32'] }), clock)
    return sets.find(issuer.jwksUrl, issuer.key.kid, 'ES256').then(
      () => 'found',
      (error: unknown) => (isFailure(error) ? error.reason : String(error)),
    )
  }

  it('is read', async () => expect(await verdict()).toBe('found'))

  it('is given up at 64 KiB of a gigabyte', async () => {
    let sent = 0
    issuer.instead.set('/jwks.json', (_request, response) => {
      const more = (): void => {
        if (response.destroyed || sent >= 2 ** 30) return
        sent += 65_536
        if (response.write(Buffer.alloc(65_536, ' '))) setImmediate(more)
        else response.once('drain', more)
      }
      more()
    })
    expect(await verdict()).toBe('KEY_SET_UNAVAILABLE')
    expect(sent).toBeLessThan(2 ** 27)
  })

  it('is given up when it drips', async () => {
    issuer.instead.set('/jwks.json', (_request, response) => {
      const timer = setInterval(() => response.write(' '), 50)
      response.on('close', () => clearInterval(timer))
    })
    const startMs = performance.now()
    expect(await verdict()).toBe('KEY_SET_UNAVAILABLE')
    expect(performance.now() - startMs).toBeGreaterThan(4_900)
  })

  it('is not followed elsewhere', async () => {
    issuer.instead.set('/jwks.json', (_request, response) => response.writeHead(301, { location: `${issuer.url}/elsewhere` }).end())
    expect(await verdict()).toBe('KEY_SET_UNAVAILABLE')
    expect(issuer.asked.get('/elsewhere')).toBeUndefined()
  })
})
