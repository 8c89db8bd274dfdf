/** What is accepted as a JWT of a project, row by row. */
import { constants, createHmac, createPublicKey, generateKeyPairSync, type KeyObject, privateEncrypt, sign } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import { DEFAULT_ALGORITHMS, type JwtSignIn } from '../../src/domain/project-settings.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { createAccessTokens } from '../../src/user/access-tokens.ts'
import { authenticateWithJwt } from '../../src/user/authenticate-with-jwt.ts'
import { KeySets } from '../../src/user/key-sets.ts'
import { OidcServers } from '../../src/user/oidc-servers.ts'
import { RateWindows } from '../../src/user/rate-windows.ts'
import type { SignInNeeds } from '../../src/user/sign-in-needs.ts'
import { createDaemonVault } from '../../src/vault/daemon-vault.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { DEFAULT_PROJECT, updateProject } from '../../src/vault/projects.ts'
import { createRootKeyFile, createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

const NOW = 1_800_000_000_000
const SECONDS = NOW / 1_000
const ISSUER = 'https://issuer.example'

type Key = { readonly kid: string; readonly alg: string; readonly key: KeyObject; readonly jwk: Record<string, unknown> }

const pair = (kid: string, alg: string): Key => {
  const made =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg.startsWith('ES')
        ? generateKeyPairSync('ec', { namedCurve: alg === 'ES384' ? 'P-384' : 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: kid === 'short' ? 1_024 : 2_048, publicExponent: kid === 'exponent' ? 3 : 65_537 })
  return { kid, alg, key: made.privateKey, jwk: { ...made.publicKey.export({ format: 'jwk' }), kid } }
}

const KEYS = {
  ec: pair('ec', 'ES256'),
  ec384: pair('ec384', 'ES384'),
  rsa: pair('rsa', 'RS256'),
  ed: pair('ed', 'EdDSA'),
  short: pair('short', 'RS256'),
  exponent: pair('exponent', 'RS256'),
  pinned: pair('pinned', 'RS256'),
  encryption: pair('encryption', 'ES256'),
  outsider: pair('ec', 'ES256'),
  proto: pair('__proto__', 'ES256'),
} as const
const { outsider, ...KNOWN } = KEYS
const OCT = 'c2VjcmV0IHNlY3JldCBzZWNyZXQgc2VjcmV0IHNlY3JldA'

const KEY_SET = {
  keys: [
    ...Object.values(KNOWN).map(({ kid, jwk }) => ({
      ...jwk,
      ...(kid === 'pinned' ? { alg: 'RS512' } : {}),
      ...(kid === 'encryption' ? { use: 'enc' } : {}),
    })),
    { kty: 'oct', kid: 'oct', k: OCT },
    { ...KEYS.ec.key.export({ format: 'jwk' }), kid: 'private' },
    { kty: 'EC', crv: 'P-256', kid: 'broken', x: 'AA', y: 'AA' },
    null,
    7,
  ],
}

const b64 = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const CLAIMS = { iss: ISSUER, aud: 'wallets', sub: 'alice', iat: SECONDS - 10, nbf: SECONDS - 10, exp: SECONDS + 300 }

const signature = ({ alg, key }: Key, input: string): Buffer => {
  const data = Buffer.from(input)
  if (alg === 'EdDSA') return sign(null, data, key)
  const hash = `sha${alg.slice(2)}`
  if (alg.startsWith('ES')) return sign(hash, data, { key, dsaEncoding: 'ieee-p1363' })
  const padding = alg.startsWith('PS') ? { padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: constants.RSA_PSS_SALTLEN_DIGEST } : {}
  return sign(hash, data, { key, ...padding })
}

type Parts = { readonly key?: Key; readonly header?: unknown; readonly claims?: unknown; readonly sign?: (input: string) => Uint8Array }

const token = ({ key = KEYS.ec, header, claims, sign: by = (input) => signature(key, input) }: Parts = {}): string => {
  const input = `${b64(header ?? { alg: key.alg, kid: key.kid, typ: 'JWT' })}.${b64(claims ?? CLAIMS)}`
  return `${input}.${Buffer.from(by(input)).toString('base64url')}`
}

const withHeader = (more: Record<string, unknown>, key: Key = KEYS.ec): string => token({ key, header: { alg: key.alg, kid: key.kid, ...more } })
const withClaims = (more: Record<string, unknown>): string => token({ claims: { ...CLAIMS, ...more } })
/** The JSON of the claims with one piece of its text changed. */
const withText = (from: string, to: string): string => {
  const text = JSON.stringify(CLAIMS)
  if (!text.includes(from)) throw new Error(`${from} is not in ${text}`)
  return token({ claims: text.replace(from, to) })
}

const place = mkdtempSync(join(tmpdir(), 'countersign-jwt-'))
let vault: DaemonVault
let needs: SignInNeeds

beforeAll(async () => {
  createRootKeyFile(join(place, 'root.key'))
  vault = await createDaemonVault({ path: join(place, 'vault.db'), provider: createRootKeyProvider(`file:${join(place, 'root.key')}`), nowMs: NOW })
  const clock = { nowMs: () => NOW, monotonicNs: () => process.hrtime.bigint() }
  const send = createHttpEgress({ allow: [] })
  needs = {
    vault,
    clock,
    tokens: createAccessTokens(vault),
    keySets: new KeySets(send, clock),
    oidcServers: new OidcServers(send, clock),
    sendMail: undefined,
    onOutage: () => {},
    rates: new RateLimiter(() => 0),
    windows: new RateWindows(() => 0),
  }
})

afterAll(async () => {
  await vault.close()
  rmSync(place, { recursive: true, force: true })
})

const settings: JwtSignIn = {
  issuer: ISSUER,
  audiences: ['wallets'],
  jwksUrl: '',
  jwksJson: JSON.stringify(KEY_SET),
  userIdClaim: 'sub',
  algorithms: DEFAULT_ALGORITHMS,
}

const verdict = async (jwt: string, changes: Partial<JwtSignIn> = {}): Promise<string> => {
  await vault.commit((tx) => updateProject(tx, DEFAULT_PROJECT, { settings: { jwt_sign_in: { ...settings, ...changes } } }, { nowMs: NOW }))
  const fresh = { ...needs, rates: new RateLimiter(() => 0) }
  const visitor = { projectId: DEFAULT_PROJECT, origin: undefined, peerAddress: undefined }
  return authenticateWithJwt(fresh, visitor, { jwt }).then(
    ({ endUser }) => `in: ${endUser.userId}`,
    (error: unknown) => {
      if (!isFailure(error)) throw error
      return error.reason === 'ID_TOKEN_INVALID' ? (error.facts as { detail: string }).detail : error.reason
    },
  )
}

describe('a JWT that is accepted', () => {
  it.each([
    ['ES256', () => token()],
    ['ES384', () => token({ key: KEYS.ec384 })],
    ['RS256', () => token({ key: KEYS.rsa })],
    ['PS256 of the same key', () => token({ key: { ...KEYS.rsa, alg: 'PS256' } })],
    ['EdDSA', () => token({ key: KEYS.ed })],
    ['without typ', () => token({ header: { alg: 'ES256', kid: 'ec' } })],
    ['typ at+jwt', () => withHeader({ typ: 'at+jwt' })],
    ['typ in lower case', () => withHeader({ typ: 'jwt' })],
    ['x5t, which names nothing that is used', () => withHeader({ x5t: 'abc' })],
    ['aud a list', () => withClaims({ aud: ['other', 'wallets'] })],
    ['times with fractions', () => withText(`"iat":${SECONDS - 10}`, `"iat":${SECONDS - 10}.25`)],
    ['without nbf', () => withClaims({ nbf: undefined })],
    ['over by less than clocks differ', () => withClaims({ iat: SECONDS - 300, exp: SECONDS - 29 })],
    ['from a clock that is ahead', () => withClaims({ iat: SECONDS + 29, nbf: SECONDS + 29 })],
    ['a kid that is a word of JavaScript', () => token({ key: KEYS.proto })],
  ])('%s', async (_what, make) => expect(await verdict(make())).toBe('in: alice'))
})

describe('a JWT that is not', () => {
  const hmac = (secret: string | Buffer, alg = 'HS256') => (input: string): Buffer => createHmac(alg.replace('HS', 'sha'), secret).update(input).digest()
  const publicPem = createPublicKey(KEYS.rsa.key).export({ type: 'spki', format: 'pem' })
  const publicDer = createPublicKey(KEYS.rsa.key).export({ type: 'spki', format: 'der' })
  const good = token()
  const [header = '', payload = '', tail = ''] = good.split('.')
  const raw = Buffer.from(tail, 'base64url')
  const resigned = (bytes: Uint8Array): string => `${header}.${payload}.${Buffer.from(bytes).toString('base64url')}`

  it.each<[string, () => string, string]>([
    // Algorithms
    ['alg none, unsigned', () => `${b64({ alg: 'none' })}.${b64(CLAIMS)}.`, 'malformed'],
    ['alg none, signed', () => withHeader({ alg: 'none' }), 'algorithm'],
    ['alg None', () => withHeader({ alg: 'None' }), 'algorithm'],
    ['alg nOnE', () => withHeader({ alg: 'nOnE' }), 'algorithm'],
    ['no alg', () => token({ header: { kid: 'ec' } }), 'algorithm'],
    ['alg a list', () => withHeader({ alg: ['ES256'] }), 'algorithm'],
    ['alg in lower case', () => withHeader({ alg: 'es256' }), 'algorithm'],
    ['HS256 under the public key as PEM', () => token({ header: { alg: 'HS256', kid: 'rsa' }, sign: hmac(publicPem) }), 'algorithm'],
    ['HS256 under the public key as DER', () => token({ header: { alg: 'HS256', kid: 'rsa' }, sign: hmac(publicDer) }), 'algorithm'],
    ['HS256 under the public key as JWK', () => token({ header: { alg: 'HS256', kid: 'rsa' }, sign: hmac(JSON.stringify(KEYS.rsa.jwk)) }), 'algorithm'],
    ['HS256 under a symmetric key of the set', () => token({ header: { alg: 'HS256', kid: 'oct' }, sign: hmac(Buffer.from(OCT, 'base64url')) }), 'algorithm'],
    ['HS256 under the empty key', () => token({ header: { alg: 'HS256', kid: '' }, sign: hmac('') }), 'malformed'],
    ['RS512, which is not in the list', () => token({ key: { ...KEYS.rsa, alg: 'RS512' } }), 'algorithm'],
    ['RSA under a name for EC', () => token({ header: { alg: 'RS256', kid: 'ec' }, key: { ...KEYS.rsa, kid: 'ec' } }), 'algorithm'],
    ['EC under a name for RSA', () => token({ header: { alg: 'ES256', kid: 'rsa' } }), 'algorithm'],
    ['ES256 under a P-384 key', () => token({ header: { alg: 'ES256', kid: 'ec384' } }), 'algorithm'],
    ['a key that is for another algorithm', () => token({ key: KEYS.pinned }), 'algorithm'],
    // Keys
    ['a key of 1024 bits', () => token({ key: KEYS.short }), 'key_unknown'],
    ['a key of exponent 3', () => token({ key: KEYS.exponent }), 'key_unknown'],
    ['a key for encryption', () => token({ key: KEYS.encryption }), 'key_unknown'],
    ['a private key in the set', () => token({ key: { ...KEYS.ec, kid: 'private' } }), 'key_unknown'],
    ['a point that is on no curve', () => token({ key: { ...KEYS.ec, kid: 'broken' } }), 'key_unknown'],
    ['an unknown kid', () => withHeader({ kid: 'nobody' }), 'key_unknown'],
    ['no kid, among several keys', () => token({ header: { alg: 'ES256' } }), 'key_unknown'],
    ['kid a path', () => withHeader({ kid: '../../dev/null' }), 'key_unknown'],
    ['kid SQL', () => withHeader({ kid: "' OR 1=1 --" }), 'key_unknown'],
    ['kid constructor', () => withHeader({ kid: 'constructor' }), 'key_unknown'],
    ['kid 10 KB', () => withHeader({ kid: 'k'.repeat(10_240) }), 'malformed'],
    ['kid 300 characters', () => withHeader({ kid: 'k'.repeat(300) }), 'malformed'],
    ['kid a number', () => withHeader({ kid: 1 }), 'malformed'],
    ['kid null', () => withHeader({ kid: null }), 'malformed'],
    ['another key under the same kid', () => token({ key: outsider }), 'signature'],
    // Headers that choose keys or change what is signed
    ['jwk', () => withHeader({ jwk: outsider.jwk }, outsider), 'malformed'],
    ['jku', () => withHeader({ jku: 'https://evil.example/jwks' }, outsider), 'malformed'],
    ['x5u', () => withHeader({ x5u: 'https://evil.example/cert' }, outsider), 'malformed'],
    ['x5c', () => withHeader({ x5c: ['AA'] }, outsider), 'malformed'],
    ['crit', () => withHeader({ crit: ['exp'] }), 'malformed'],
    ['crit of nothing', () => withHeader({ crit: [] }), 'malformed'],
    ['b64 false', () => withHeader({ b64: false, crit: ['b64'] }), 'malformed'],
    ['b64 true', () => withHeader({ b64: true }), 'malformed'],
    ['cty JWT: a token in a token', () => withHeader({ cty: 'JWT' }), 'malformed'],
    ['zip', () => withHeader({ zip: 'DEF' }), 'malformed'],
    ['typ logout+jwt', () => withHeader({ typ: 'logout+jwt' }), 'malformed'],
    ['typ dpop+jwt', () => withHeader({ typ: 'dpop+jwt' }), 'malformed'],
    ['typ a number', () => withHeader({ typ: 1 }), 'malformed'],
    ['alg twice', () => token({ header: '{"alg":"none","alg":"ES256","kid":"ec"}' }), 'malformed'],
    ['a header that is a list', () => token({ header: ['ES256'] }), 'malformed'],
    ['a header that is no JSON', () => token({ header: '{' }), 'malformed'],
    ['a header with something behind it', () => token({ header: '{"alg":"ES256","kid":"ec"}x' }), 'malformed'],
    // Signatures
    ['63 bytes', () => resigned(raw.subarray(1)), 'signature'],
    ['65 bytes', () => resigned(Buffer.concat([raw, Buffer.alloc(1)])), 'signature'],
    ['DER', () => token({ sign: (input) => sign('sha256', Buffer.from(input), KEYS.ec.key) }), 'signature'],
    ['r and s zero', () => resigned(Buffer.alloc(64)), 'signature'],
    ['r zero', () => resigned(Buffer.concat([Buffer.alloc(32), raw.subarray(32)])), 'signature'],
    ['s zero', () => resigned(Buffer.concat([raw.subarray(0, 32), Buffer.alloc(32)])), 'signature'],
    ['one bit changed', () => resigned(raw.map((byte, index) => (index === 40 ? byte ^ 1 : byte))), 'signature'],
    ['PKCS#1 without a hash name', () => token({ key: KEYS.rsa, sign: (input) => privateEncrypt(KEYS.rsa.key, Buffer.from(input.slice(0, 32))) }), 'signature'],
    ['of another token', () => `${header}.${b64({ ...CLAIMS, sub: 'bob' })}.${tail}`, 'signature'],
    // The text
    ['empty', () => '.', 'malformed'],
    ['two parts', () => `${header}.${payload}`, 'malformed'],
    ['four parts', () => `${good}.x`, 'malformed'],
    ['five parts, as JWE', () => `${header}.a.b.c.d`, 'malformed'],
    ['no signature', () => `${header}.${payload}.`, 'malformed'],
    ['padding', () => `${good}==`, 'malformed'],
    ['white space inside', () => `${header}.${payload}.${tail.slice(0, 20)} ${tail.slice(20)}`, 'malformed'],
    ['a line end inside', () => `${header}.${payload.slice(0, 8)}\n${payload.slice(8)}.${tail}`, 'malformed'],
    ['white space in front', () => ` ${good}`, 'malformed'],
    ['the other base64', () => `${header}.${payload}.${tail.replaceAll('-', '+').replaceAll('_', '/')}+`, 'malformed'],
    ['spare bits', () => `${header}.${payload}.${tail.slice(0, -1)}${String.fromCharCode(tail.charCodeAt(85) + 1)}`, 'malformed'],
    ['9 KB', () => withClaims({ more: 'x'.repeat(9_000) }), 'malformed'],
    ['a zero byte', () => `${good}\0`, 'malformed'],
    // Claims
    ['claims that are text', () => token({ claims: '"alice"' }), 'malformed'],
    ['claims that are a list', () => token({ claims: [CLAIMS] }), 'malformed'],
    ['sub twice', () => withText('"sub":', '"sub":"bob","sub":'), 'malformed'],
    ['sub twice, once escaped', () => withText('"sub":', String.raw`"su\u0062":"bob","sub":`), 'malformed'],
    ['no exp', () => withClaims({ exp: undefined }), 'time'],
    ['exp text', () => withClaims({ exp: String(SECONDS + 300) }), 'time'],
    ['exp null', () => withClaims({ exp: null }), 'time'],
    ['exp 1e99', () => withText(`"exp":${SECONDS + 300}`, '"exp":1e99'), 'time'],
    ['exp 1e10', () => withText(`"exp":${SECONDS + 300}`, '"exp":1e10'), 'time'],
    ['exp negative', () => withClaims({ exp: -1 }), 'time'],
    ['exp NaN', () => withText(`"exp":${SECONDS + 300}`, '"exp":NaN'), 'malformed'],
    ['exp in milliseconds of year 50000', () => withText(`"exp":${SECONDS + 300}`, '"exp":1800000000000000'), 'time'],
    ['exp a list', () => withClaims({ exp: [SECONDS + 300] }), 'time'],
    ['exp before iat', () => withClaims({ exp: SECONDS - 20 }), 'time'],
    ['over', () => withClaims({ iat: SECONDS - 400, exp: SECONDS - 31 }), 'ID_TOKEN_EXPIRED'],
    ['no iat', () => withClaims({ iat: undefined }), 'time'],
    ['iat text', () => withClaims({ iat: String(SECONDS) }), 'time'],
    ['iat to come', () => withClaims({ iat: SECONDS + 31 }), 'not_yet_valid'],
    ['nbf to come', () => withClaims({ nbf: SECONDS + 31 }), 'not_yet_valid'],
    ['nbf text', () => withClaims({ nbf: 'now' }), 'time'],
    ['nbf true', () => withClaims({ nbf: true }), 'time'],
    ['another issuer', () => withClaims({ iss: 'https://other.example' }), 'issuer'],
    ['the issuer with a slash', () => withClaims({ iss: `${ISSUER}/` }), 'issuer'],
    ['an issuer that is a list', () => withClaims({ iss: [ISSUER] }), 'issuer'],
    ['no issuer', () => withClaims({ iss: undefined }), 'issuer'],
    ['another audience', () => withClaims({ aud: 'other' }), 'audience'],
    ['audiences none of which is meant', () => withClaims({ aud: ['a', 'b'] }), 'audience'],
    ['an audience list with a number', () => withClaims({ aud: ['wallets', 1] }), 'audience'],
    ['an audience that is an object', () => withClaims({ aud: { 0: 'wallets' } }), 'audience'],
    ['no audience', () => withClaims({ aud: undefined }), 'audience'],
    ['no user', () => withClaims({ sub: undefined }), 'claim'],
    ['an empty user', () => withClaims({ sub: '' }), 'claim'],
    ['a user that is a number', () => withClaims({ sub: 7 }), 'claim'],
    ['a user with a space', () => withClaims({ sub: 'alice ' }), 'claim'],
    ['a user of 129 characters', () => withClaims({ sub: 'a'.repeat(129) }), 'claim'],
    ['a user with a letter that looks like another', () => withClaims({ sub: 'аlice' }), 'claim'],
    ['a user that is an address', () => withClaims({ sub: `0x${'ab'.repeat(20)}` }), 'claim'],
    ['a user that is a wallet', () => withClaims({ sub: `wal_${'ab'.repeat(16)}` }), 'claim'],
    ['a user as we generate them', () => withClaims({ sub: `usr_${'ab'.repeat(16)}` }), 'claim'],
    ['a user as we generate them, in capitals', () => withClaims({ sub: 'USR_x' }), 'claim'],
  ])('%s', async (_what, make, detail) => expect(await verdict(make())).toBe(detail))
})

describe('settings', () => {
  it('say which algorithms, audiences and claim', async () => {
    expect(await verdict(token(), { algorithms: ['RS256'] })).toBe('algorithm')
    expect(await verdict(token({ key: { ...KEYS.rsa, alg: 'RS512' } }), { algorithms: ['RS512'] })).toBe('in: alice')
    expect(await verdict(withClaims({ aud: 'x' }), { audiences: [] })).toBe('in: alice')
    expect(await verdict(withClaims({ uid: 'carol' }), { userIdClaim: 'uid' })).toBe('in: carol')
    expect(await verdict(withClaims({}), { userIdClaim: 'constructor' })).toBe('claim')
  })

  it('of one key need no kid', async () => {
    const jwksJson = JSON.stringify({ keys: [KEYS.ec.jwk] })
    expect(await verdict(token({ header: { alg: 'ES256' } }), { jwksJson })).toBe('in: alice')
    expect(await verdict(token({ header: { alg: 'ES256' }, key: outsider }), { jwksJson })).toBe('signature')
  })

  it('with one kid for two keys accept neither', async () => {
    const jwksJson = JSON.stringify({ keys: [KEYS.ec.jwk, outsider.jwk] })
    expect(await verdict(token(), { jwksJson })).toBe('key_unknown')
  })
})
