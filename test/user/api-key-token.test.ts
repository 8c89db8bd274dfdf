import { generateKeyPairSync, hash, type KeyObject, randomBytes, sign } from 'node:crypto'
import { generateJwt } from '@coinbase/cdp-sdk/auth'
import { describe, expect, it } from 'vitest'
import { type ApiKeyVerifier, parseApiKeyVerifier } from '../../src/signing/public-keys.ts'
import { apiKeyIdOf, isApiKeyTokenHeader, verifyApiKeyToken } from '../../src/user/api-key-token.ts'
import { readCompactJwt } from '../../src/user/compact-jwt.ts'
import { makeToken, type TokenParts } from './tokens.ts'

const NOW = 1_700_000_000_500
const now = Math.floor(NOW / 1_000)
const URI = 'POST daemon.example:50052/countersign.v1.WalletService/SignMessage'
const KEY_ID = 'key_0123456789abcdef'

const pair = (kind: 'ed25519' | 'ec') =>
  kind === 'ed25519' ? generateKeyPairSync('ed25519') : generateKeyPairSync('ec', { namedCurve: 'P-256' })
const spkiOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'der' }).toString('base64')
const verifierOf = (key: KeyObject): ApiKeyVerifier => parseApiKeyVerifier(spkiOf(key))!

const ed = pair('ed25519')
const ec = pair('ec')
const signEd = (signed: Buffer) => sign(null, signed, ed.privateKey)

const claims = (changes: object = {}) => ({ sub: KEY_ID, iss: 'cdp', uris: [URI], iat: now, nbf: now, exp: now + 120, ...changes })
const header = (changes: object = {}) => ({ alg: 'EdDSA', kid: KEY_ID, typ: 'JWT', nonce: randomBytes(16).toString('hex'), ...changes })
const token = (parts: TokenParts = {}) =>
  makeToken({ privateKey: ec.privateKey }, { header: header(), claims: claims(), signWith: signEd, ...parts })

const judge = (text: string, verifier = verifierOf(ed.publicKey), uri = URI, nowMs = NOW) => {
  const jwt = readCompactJwt(text)
  if (jwt === undefined || !isApiKeyTokenHeader(jwt) || apiKeyIdOf(jwt) === undefined) return 'no such token'
  const verdict = verifyApiKeyToken(jwt, verifier, uri, nowMs)
  return verdict === undefined ? 'not signed' : typeof verdict === 'string' ? verdict : 'good'
}

describe('a JWT of an API key', () => {
  it('is taken in both algorithms', () => {
    expect(judge(token())).toBe('good')
    const es256 = makeToken({ privateKey: ec.privateKey }, { header: header({ alg: 'ES256' }), claims: claims() })
    expect(judge(es256, verifierOf(ec.publicKey))).toBe('good')
  })

  it('made by the published SDK, unmodified, is taken', async () => {
    const seed = ed.privateKey.export({ format: 'jwk' })
    const edSecret = Buffer.concat([Buffer.from(seed.d ?? '', 'base64url'), Buffer.from(seed.x ?? '', 'base64url')])
    const request = { apiKeyId: KEY_ID, requestMethod: 'POST', requestHost: 'daemon.example:50052', requestPath: '/countersign.v1.WalletService/SignMessage' }
    const byEd = await generateJwt({ ...request, apiKeySecret: edSecret.toString('base64') })
    expect(judge(byEd, verifierOf(ed.publicKey), URI, Date.now())).toBe('good')
    const pem = ec.privateKey.export({ type: 'pkcs8', format: 'pem' })
    const byEc = await generateJwt({ ...request, apiKeySecret: pem, audience: ['countersign'] })
    expect(judge(byEc, verifierOf(ec.publicKey), URI, Date.now())).toBe('good')
    expect(judge(byEc, verifierOf(ec.publicKey), URI, Date.now() + 121_000)).toBe('expired')
    const noRequest = await generateJwt({ apiKeyId: KEY_ID, apiKeySecret: pem })
    expect(judge(noRequest, verifierOf(ec.publicKey), URI, Date.now())).toBe('malformed')
  })

  it.each([
    ['without iat, as Python makes them', { iat: undefined, aud: null }, 'good'],
    ['for this audience', { aud: 'countersign' }, 'good'],
    ['for this audience among others', { aud: ['x', 'countersign'] }, 'good'],
    ['for another audience', { aud: 'cdp_service' }, 'audience'],
    ['for no audience of a list', { aud: [] }, 'audience'],
    ['for an audience that is a number', { aud: 1 }, 'audience'],
    ['that has ended', { nbf: now - 120, iat: now - 120, exp: now }, 'expired'],
    ['that is about to end', { nbf: now - 119, iat: now - 119, exp: now + 1 }, 'good'],
    ['that lives too long', { exp: now + 121 }, 'malformed'],
    ['that lives too long from its iat', { iat: now - 10, nbf: now, exp: now + 115 }, 'malformed'],
    ['of the future', { nbf: now + 6, iat: now + 6, exp: now + 66 }, 'not_yet_valid'],
    ['without an end', { exp: undefined }, 'malformed'],
    ['without nbf', { nbf: undefined }, 'malformed'],
    ['with an end as text', { exp: String(now + 60) }, 'malformed'],
    ['without uris', { uris: undefined }, 'malformed'],
    ['for two requests', { uris: [URI, URI] }, 'malformed'],
    ['for another method', { uris: [URI.replace('SignMessage', 'SignDigest')] }, 'uris'],
    ['for another host', { uris: [URI.replace('daemon', 'other')] }, 'uris'],
    ['of another key, as its sub says', { sub: 'key_fedcba9876543210' }, 'malformed'],
    ['without an issuer', { iss: undefined }, 'malformed'],
    ['with a malformed reqHash', { reqHash: 'abc' }, 'malformed'],
    ['with a reqHash', { reqHash: hash('sha256', 'x', 'hex') }, 'good'],
  ])('%s', (_what, changes, verdict) => {
    expect(judge(token({ claims: claims(changes) }))).toBe(verdict)
  })

  it.each([
    ['alg none', { alg: 'none' }],
    ['HS256', { alg: 'HS256' }],
    ['Ed25519 by its other name', { alg: 'Ed25519' }],
    ['a kid that is no key id', { kid: '../../dev/null' }],
    ['no nonce', { nonce: undefined }],
    ['a short nonce', { nonce: 'short' }],
    ['a jwk', { jwk: ed.publicKey.export({ format: 'jwk' }) }],
    ['crit', { crit: ['b64'] }],
  ])('with %s is none', (_what, changes) => {
    expect(judge(token({ header: header(changes) }))).toBe('no such token')
  })

  it('is none of a key that did not sign it, or not in its own algorithm', () => {
    expect(judge(token(), verifierOf(pair('ed25519').publicKey))).toBe('not signed')
    expect(judge(token({ header: header({ alg: 'ES256' }) }))).toBe('not signed')
    expect(judge(token(), verifierOf(ec.publicKey))).toBe('not signed')
    expect(judge(token({ signWith: () => Buffer.alloc(64) }))).toBe('not signed')
    expect(judge(token({ signWith: (signed) => signEd(signed).subarray(0, 63) }))).toBe('not signed')
  })
})

describe('the public key of an API key', () => {
  it('is Ed25519 or P-256, in the one form it has', () => {
    expect(verifierOf(ed.publicKey).algorithm).toBe('EdDSA')
    expect(verifierOf(ec.publicKey).algorithm).toBe('ES256')
    const rsa = generateKeyPairSync('rsa', { modulusLength: 2048 }).publicKey
    const k1 = generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey
    const x25519 = generateKeyPairSync('x25519').publicKey
    for (const key of [rsa, k1, x25519]) expect(parseApiKeyVerifier(spkiOf(key))).toBeUndefined()
    const text = spkiOf(ed.publicKey)
    for (const bad of ['', 'AAAA', `${text}\n`, text.replaceAll('=', ''), ` ${text}`, ed.publicKey.export({ type: 'spki', format: 'pem' })])
      expect(parseApiKeyVerifier(bad)).toBeUndefined()
  })
})
