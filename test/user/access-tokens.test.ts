import { createHmac, createPublicKey, generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import type { UserId } from '../../src/domain/ids.ts'
import { isFailure } from '../../src/domain/failure.ts'
import { type AccessTokens, createAccessTokens } from '../../src/user/access-tokens.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { findOrCreateEndUser } from '../../src/vault/end-users.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { openTokenKey } from '../../src/vault/token-keys.ts'
import { endSession, insertSession, type UserSession } from '../../src/vault/user-sessions.ts'
import { makePlace, makeVault, NOW, openVaultAt } from '../vault/fixture.ts'

const ALICE = 'alice' as UserId
const LIFE = 1_800_000

type Scene = {
  readonly vault: DaemonVault
  readonly tokens: AccessTokens
  readonly session: UserSession
  readonly token: string
  readonly keyId: string
  readonly key: KeyObject
}

const scene = async (place = makePlace()): Promise<Scene> => {
  const vault = await makeVault(place)
  const tokens = createAccessTokens(vault)
  const { session, draft } = await vault.commit((tx) => {
    findOrCreateEndUser(tx, { project: DEFAULT_PROJECT, method: 'jwt', subject: ALICE, userId: ALICE, nowMs: NOW })
    const made = insertSession(tx, { project: DEFAULT_PROJECT, userId: ALICE, method: 'jwt', nowMs: NOW, expireMs: NOW + LIFE })
    return { session: made, draft: tokens.draft(tx, made, NOW) }
  })
  const token = await tokens.sign(draft)
  return { vault, tokens, session, token, keyId: draft.keyId, key: openTokenKey(vault.secrets, draft.keyId) }
}

const verdict = (run: Promise<unknown>): Promise<string> =>
  run.then(
    () => 'good',
    (error: unknown) => (isFailure(error) ? error.reason : `threw ${String(error)}`),
  )

const part = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

const claimsOf = (token: string): Record<string, unknown> =>
  JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString()) as Record<string, unknown>

type Forgery = { readonly header?: unknown; readonly claims?: unknown; readonly key?: KeyObject; readonly der?: boolean }

const forge = ({ token, keyId, key }: Scene, forgery: Forgery): string => {
  const header = part(forgery.header ?? { alg: 'ES256', kid: keyId, typ: 'JWT' })
  const body = `${header}.${part(forgery.claims ?? claimsOf(token))}`
  const dsaEncoding = forgery.der === true ? 'der' : 'ieee-p1363'
  return `${body}.${sign('sha256', Buffer.from(body), { key: forgery.key ?? key, dsaEncoding }).toString('base64url')}`
}

describe('an access token', () => {
  it('says who signed in, how and when, for half an hour', async () => {
    const { tokens, token, session } = await scene()
    expect(await tokens.verify(token, NOW)).toEqual({
      projectId: DEFAULT_PROJECT,
      userId: ALICE,
      sessionId: session.sessionId,
      tokenId: expect.stringMatching(new RegExp(`^${session.sessionId}\\.[0-9a-f]{16}$`)) as string,
      authMethod: 'jwt',
      authTimeMs: NOW,
      expireTimeMs: NOW + LIFE,
    })
    expect(claimsOf(token)).toMatchObject({ iss: 'countersign', aud: 'countersign', sub: ALICE, project_id: 'default', auth_type: 'jwt' })
    expect(await verdict(tokens.verify(token, NOW + LIFE - 1))).toBe('good')
    expect(await verdict(tokens.verify(token, NOW + LIFE))).toBe('ACCESS_TOKEN_EXPIRED')
  })

  it('can be checked by anybody with the published keys', async () => {
    const { tokens, token, keyId } = await scene()
    const { keys } = tokens.keySet(NOW)
    expect(keys).toHaveLength(1)
    expect(Object.keys(keys[0] ?? {}).toSorted()).toEqual(['alg', 'crv', 'kid', 'kty', 'use', 'x', 'y'])
    expect(keys[0]).toMatchObject({ kid: keyId, alg: 'ES256', use: 'sig', kty: 'EC', crv: 'P-256' })
    const { createLocalJWKSet, jwtVerify } = await import('jose')
    const set = createLocalJWKSet(tokens.keySet(NOW) as Parameters<typeof createLocalJWKSet>[0])
    const { payload } = await jwtVerify(token, set, { issuer: 'countersign', audience: 'countersign', currentDate: new Date(NOW) })
    expect(payload.sub).toBe(ALICE)
  })

  it('ends with its session, also for calls under way', async () => {
    const { vault, tokens, token, session } = await scene()
    const verified = await tokens.verify(token, NOW)
    tokens.assertStands(verified, NOW)
    await vault.commit((tx) => endSession(tx, session, 'SIGNED_OUT'))
    expect(await verdict(tokens.verify(token, NOW))).toBe('ACCESS_TOKEN_INVALID')
    expect(await verdict((async () => tokens.assertStands(verified, NOW))())).toBe('ACCESS_TOKEN_INVALID')
    expect(await verdict(tokens.verify(token, NOW + LIFE))).toBe('ACCESS_TOKEN_EXPIRED')
  })

  it('stops standing when its time is over', async () => {
    const { tokens, token } = await scene()
    const verified = await tokens.verify(token, NOW)
    expect(await verdict((async () => tokens.assertStands(verified, NOW + LIFE))())).toBe('ACCESS_TOKEN_EXPIRED')
  })

  it('is still good after the vault was opened again', async () => {
    const place = makePlace()
    const { vault, token } = await scene(place)
    await vault.close()
    expect(await verdict(createAccessTokens(await openVaultAt(place)).verify(token, NOW))).toBe('good')
  })

  it('of another daemon is none of this one', async () => {
    const { tokens } = await scene()
    const { token } = await scene()
    expect(await verdict(tokens.verify(token, NOW))).toBe('ACCESS_TOKEN_INVALID')
  })

  it('is exactly one text', async () => {
    const given = await scene()
    const { tokens, token, key } = given
    const [header = '', payload = '', signature = ''] = token.split('.')
    const variants = [
      '', '.', '..', token.slice(0, -1), `${token}=`, ` ${token}`, `${token} `, `${token}\n`, `${token}.x`,
      `${header}=.${payload}.${signature}`, `${header}.${payload}.`, `.${payload}.${signature}`, `${header}..${signature}`,
      `${header}.${payload}.${signature.slice(0, 40)} ${signature.slice(40)}`,
      `${header}.${payload}.${signature.replaceAll('-', '+').replaceAll('_', '/')}+`,
      // 63 and 65 bytes, all zeros, DER.
      `${header}.${payload}.${Buffer.from(signature, 'base64url').subarray(1).toString('base64url')}`,
      `${header}.${payload}.${Buffer.concat([Buffer.from(signature, 'base64url'), Buffer.alloc(1)]).toString('base64url')}`,
      `${header}.${payload}.${Buffer.alloc(64).toString('base64url')}`,
      forge(given, { der: true }),
      // The last character's spare bits.
      `${header}.${payload}.${signature.slice(0, -1)}${String.fromCharCode(signature.charCodeAt(85) + 1)}`,
    ]
    expect(forge(given, { key }).split('.').slice(0, 2)).toEqual([header, payload])
    for (const text of variants) expect(await verdict(tokens.verify(text, NOW)), text).toBe('ACCESS_TOKEN_INVALID')
  })

  it('is not what says so with another algorithm, key, header or claim', async () => {
    const given = await scene()
    const { tokens, token, keyId, key } = given
    const claims = claimsOf(token)
    const other = generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey
    const head = (more: object): object => ({ alg: 'ES256', kid: keyId, typ: 'JWT', ...more })
    const pem = createPublicKey(key).export({ type: 'spki', format: 'pem' })
    const hmacBody = `${part({ alg: 'HS256', kid: keyId, typ: 'JWT' })}.${part(claims)}`
    const forged: Record<string, string> = {
      'alg none': `${part({ alg: 'none', kid: keyId })}.${part(claims)}.`,
      'alg none, signed': forge(given, { header: head({ alg: 'none' }) }),
      'HS256 under the public key': `${hmacBody}.${createHmac('sha256', pem).update(hmacBody).digest('base64url')}`,
      'another key': forge(given, { key: other }),
      'no kid': forge(given, { header: { alg: 'ES256', typ: 'JWT' } }),
      'an unknown kid': forge(given, { header: head({ kid: 'x' }) }),
      'its own key': forge(given, { header: head({ jwk: createPublicKey(other).export({ format: 'jwk' }) }), key: other }),
      crit: forge(given, { header: head({ crit: ['exp'] }) }),
      'a type that is none': forge(given, { header: head({ typ: 'logout+jwt' }) }),
      'a member twice': forge(given, { claims: JSON.stringify(claims).replace('{', '{"sub":"bob",') }),
      'another user': forge(given, { claims: { ...claims, sub: 'bob' } }),
      'another project': forge(given, { claims: { ...claims, project_id: 'other' } }),
      'no session': forge(given, { claims: { ...claims, jti: 'x' } }),
      'another issuer': forge(given, { claims: { ...claims, iss: 'x' } }),
      'another audience': forge(given, { claims: { ...claims, aud: ['x'] } }),
      'no end': forge(given, { claims: { ...claims, exp: undefined } }),
      'an end that is text': forge(given, { claims: { ...claims, exp: '9999999999' } }),
      'an end out of bounds': forge(given, { claims: JSON.stringify({ ...claims, exp: 0 }).replace('"exp":0', '"exp":1e99') }),
      'a beginning to come': forge(given, { claims: { ...claims, iat: NOW / 1_000 + 1 } }),
      'claims that are a list': forge(given, { claims: [claims] }),
    }
    expect(await verdict(tokens.verify(forge(given, {}), NOW))).toBe('good')
    for (const [what, text] of Object.entries(forged)) expect(await verdict(tokens.verify(text, NOW)), what).toBe('ACCESS_TOKEN_INVALID')
  })
})
