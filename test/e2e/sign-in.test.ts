import { randomUUID } from 'node:crypto'
import { connect as connectHttp2 } from 'node:http2'
import { createRemoteJWKSet, decodeJwt, jwtVerify } from 'jose'
import { join } from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { VaultParty } from '../../gen/countersign/v1/admin_pb.ts'
import { createAccessTokens } from '../../src/user/access-tokens.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { getSession, rotateRefreshToken } from '../../src/vault/user-sessions.ts'
import { agreeAt, type Issuer, newSigningKey, OIDC_CLIENT, startIssuer } from '../user/support/issuer.ts'
import { codeIn, type MailServer, startMailServer } from '../user/support/mail-server.ts'
import { rowsOfKind } from './audit-rows.ts'
import { connect, newKey } from './callers.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'
import { callWeb, sendWeb, type WebAnswer } from './web-call.ts'

const PROJECT = 'web'
const ORIGIN = 'https://app.example.com'
const BACK = 'https://app.example.com/back'

let issuer: Issuer
let mail: MailServer
let daemon: TestDaemon
const place = makeDataDir()

const start = (): Promise<TestDaemon> =>
  startDaemon({
    dataDir: place,
    args: [
      '--egress-allow', '127.0.0.1/32', '--smtp-server', `127.0.0.1:${mail.port}`, '--smtp-security', 'none',
      '--smtp-from', 'signin@countersign.example',
    ],
  })

type Tokens = { readonly accessToken: string; readonly refreshToken: string; readonly userId: string; readonly isNew: boolean }

const tokensOf = ({ message, reason }: WebAnswer): Tokens => {
  if (reason !== '') throw new Error(`refused: ${reason}`)
  const signIn = message['signIn'] as Record<string, unknown>
  return {
    accessToken: String(signIn['accessToken']),
    refreshToken: (signIn['refreshToken'] as string | undefined) ?? '',
    userId: (signIn['endUser'] as { userId: string }).userId,
    isNew: signIn['isNewEndUser'] === true,
  }
}

const call = (method: string, message: object, headers: Record<string, string> = {}): Promise<WebAnswer> =>
  callWeb(daemon, `EndUserService/${method}`, { projectId: PROJECT, ...message }, headers)

const asUser = (token: string, method: string, message: object = {}): Promise<WebAnswer> =>
  callWeb(daemon, `EndUserService/${method}`, message, { authorization: `Bearer ${token}` })

const signInByEmail = async (email: string, headers: Record<string, string> = {}): Promise<WebAnswer> => {
  const { message } = await call('StartEmailCode', { email }, headers)
  const received = mail.mails.findLast(({ to }) => to.includes(email.toLowerCase()))
  if (received === undefined) throw new Error('no mail came')
  return call('VerifyEmailCode', { flowId: message['flowId'], code: codeIn(received) }, headers)
}

const anEmail = (): string => `${randomUUID()}@example.com`

const cookieOf = ({ headers }: WebAnswer): string => String(headers['set-cookie'] ?? '')

beforeAll(async () => {
  ;[issuer, mail] = await Promise.all([startIssuer(), startMailServer()])
  daemon = await start()
  using admin = connect(daemon, daemon.adminKey)
  await admin.admin.createProject({ projectId: PROJECT, displayName: 'Web "App"' })
  await admin.admin.createProject({ projectId: 'bare', displayName: '' })
  await admin.admin.updateProject({
    project: {
      projectId: PROJECT,
      allowedOrigins: [ORIGIN],
      jwtSignIn: { issuer: issuer.url, audiences: ['wallets'], jwksUrl: issuer.jwksUrl, userIdClaim: 'user' },
      emailSignIn: {},
      oidcProviders: [
        {
          provider: 'local',
          issuer: issuer.url,
          clientId: OIDC_CLIENT.id,
          clientSecret: OIDC_CLIENT.secret,
          redirectUris: [BACK],
          idTokenAudiences: ['app'],
        },
      ],
    },
    updateMask: { paths: ['allowed_origins', 'jwt_sign_in', 'email_sign_in', 'oidc_providers'] },
  })
})

afterAll(async () => {
  await daemon[Symbol.asyncDispose]()
  await Promise.all([issuer[Symbol.asyncDispose](), mail[Symbol.asyncDispose]()])
})

describe('settings of a project', () => {
  it('come back as they were set, without secrets', async () => {
    using admin = connect(daemon, daemon.adminKey)
    const { project } = await admin.admin.getProject({ projectId: PROJECT })
    expect(project).toMatchObject({
      allowedOrigins: [ORIGIN],
      jwtSignIn: { issuer: issuer.url, audiences: ['wallets'], jwksUrl: issuer.jwksUrl, userIdClaim: 'user' },
      oidcProviders: [{ provider: 'local', clientId: OIDC_CLIENT.id, clientSecret: '', hasClientSecret: true }],
    })
    expect(project?.jwtSignIn?.algorithms).toEqual(['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'])
  })

  it('are refused where they make no sense', async () => {
    const update = (project: object, path: string) =>
      callWeb(daemon, 'AdminService/UpdateProject', { project: { projectId: 'bare', ...project }, updateMask: path }, { authorization: `Bearer ${daemon.adminKey}` })
    const jwt = { issuer: 'https://a.example' }
    const provider = { provider: 'local', issuer: 'https://a.example', clientId: 'c' }
    const refused: [object, string][] = [
      [{ allowedOrigins: ['https://a.example/'] }, 'allowedOrigins'],
      [{ allowedOrigins: ['https://a.example:443'] }, 'allowedOrigins'],
      [{ allowedOrigins: ['http://a.example'] }, 'allowedOrigins'],
      [{ allowedOrigins: ['*'] }, 'allowedOrigins'],
      [{ jwtSignIn: jwt }, 'jwtSignIn'],
      [{ jwtSignIn: { ...jwt, jwksUrl: 'https://a.example', jwksJson: '{"keys":[{}]}' } }, 'jwtSignIn'],
      [{ jwtSignIn: { ...jwt, jwksUrl: 'file:///etc/passwd' } }, 'jwtSignIn'],
      [{ jwtSignIn: { ...jwt, jwksUrl: 'https://u:p@a.example' } }, 'jwtSignIn'],
      [{ jwtSignIn: { ...jwt, jwksJson: '{}' } }, 'jwtSignIn'],
      [{ jwtSignIn: { ...jwt, jwksUrl: 'https://a.example', algorithms: ['HS256'] } }, 'jwtSignIn'],
      [{ oidcProviders: [{ ...provider, issuer: '' }] }, 'oidcProviders'],
      [{ oidcProviders: [{ ...provider, provider: 'google' }] }, 'oidcProviders'],
      [{ oidcProviders: [provider, provider] }, 'oidcProviders'],
      [{ oidcProviders: [{ ...provider, redirectUris: ['javascript:alert(1)'] }] }, 'oidcProviders'],
      [{ emailSignIn: { senderName: 'a\r\nbcc: b' } }, 'emailSignIn'],
    ]
    for (const [project, path] of refused) expect((await update(project, path)).reason, JSON.stringify(project)).toBe('INVALID_REQUEST')
    expect((await update({ oidcProviders: [{ ...provider, provider: 'google', issuer: '' }] }, 'oidcProviders')).reason).toBe('')
  })
})

describe('sign-in with a JWT of the project', () => {
  const jwt = (claims: Record<string, unknown> = {}) => issuer.token({ aud: 'wallets', user: `u-${randomUUID()}`, ...claims })

  it('gives an access token for half an hour that anybody can check, and no refresh token', async () => {
    const token = await jwt({ user: 'alice' })
    const first = tokensOf(await call('AuthenticateWithJwt', { jwt: token }))
    expect(first).toMatchObject({ userId: 'alice', refreshToken: '', isNew: true })
    expect(tokensOf(await call('AuthenticateWithJwt', { jwt: token }))).toMatchObject({ userId: 'alice', isNew: false })
    const keys = createRemoteJWKSet(new URL(`http://${daemon.endpoints.connect}/.well-known/jwks.json`))
    const { payload } = await jwtVerify(first.accessToken, keys, { issuer: 'countersign', audience: 'countersign', algorithms: ['ES256'] })
    expect(payload).toMatchObject({ sub: 'alice', project_id: PROJECT, auth_type: 'jwt' })
    expect((payload.exp ?? 0) - (payload.iat ?? 0)).toBe(1_800)
    expect((await asUser(first.accessToken, 'GetEndUser')).message['endUser']).toMatchObject({
      userId: 'alice',
      identities: [{ method: 'SIGN_IN_METHOD_JWT', subject: 'alice' }],
    })
  })

  it('is validated for the project’s own servers and no other’s', async () => {
    using admin = connect(daemon, daemon.adminKey)
    const { accessToken, userId } = tokensOf(await call('AuthenticateWithJwt', { jwt: await jwt() }))
    const validate = (secret: string, token = accessToken) => asUser(secret, 'ValidateAccessToken', { accessToken: token })
    const own = await newKey(admin, [{ name: 'wallet:read' }], { projectId: PROJECT })
    expect((await validate(own.secret)).message).toMatchObject({ endUser: { userId }, method: 'SIGN_IN_METHOD_JWT' })
    expect((await asUser(own.secret, 'GetEndUser', { userId })).message).toMatchObject({ endUser: { userId } })
    expect((await asUser(own.secret, 'GetEndUser', { userId: 'nobody' })).reason).toBe('END_USER_NOT_FOUND')
    expect((await asUser(own.secret, 'GetEndUser')).reason).toBe('INVALID_REQUEST')
    expect((await validate(own.secret, `${accessToken}a`)).reason).toBe('ACCESS_TOKEN_INVALID')
    const other = await newKey(admin, [{ name: 'wallet:read' }], { projectId: 'bare' })
    expect((await validate(other.secret)).reason).toBe('ACCESS_TOKEN_INVALID')
    expect((await asUser(other.secret, 'GetEndUser', { userId })).reason).toBe('END_USER_NOT_FOUND')
    expect((await validate(accessToken)).reason).toBe('CALLER_NOT_ALLOWED')
    const signer = await newKey(admin, [{ name: 'wallet:sign' }], { projectId: PROJECT })
    expect((await validate(signer.secret)).reason).toBe('PERMISSION_MISSING')
  })

  it('is refused, and says what is wrong', async () => {
    const other = newSigningKey()
    const cases: [Promise<string> | string, string, string?][] = [
      ['nonsense', 'ID_TOKEN_INVALID', 'malformed'],
      [jwt({ iss: 'https://other.example' }), 'ID_TOKEN_INVALID', 'issuer'],
      [jwt({ aud: 'other' }), 'ID_TOKEN_INVALID', 'audience'],
      [jwt({ nbf: Math.floor(Date.now() / 1_000) + 600 }), 'ID_TOKEN_INVALID', 'not_yet_valid'],
      [jwt({ user: 'usr_00000000000000000000000000000000' }), 'ID_TOKEN_INVALID', 'claim'],
      [jwt({ user: '0x52908400098527886E0F7030069857D2E4169EE7' }), 'ID_TOKEN_INVALID', 'claim'],
      [jwt({ user: undefined }), 'ID_TOKEN_INVALID', 'claim'],
      [jwt({ iat: 1_000, exp: 2_000 }), 'ID_TOKEN_EXPIRED'],
      [issuer.token({ aud: 'wallets', user: 'x' }, other), 'ID_TOKEN_INVALID', 'key_unknown'],
      [issuer.token({ aud: 'wallets', user: 'x' }, { ...other, kid: issuer.key.kid }), 'ID_TOKEN_INVALID', 'signature'],
    ]
    for (const [token, reason, detail] of cases) {
      const refused = await call('AuthenticateWithJwt', { jwt: await token })
      expect([refused.reason, refused.metadata['detail']], `${reason} ${detail}`).toEqual([reason, detail])
    }
    expect((await call('AuthenticateWithJwt', { projectId: 'bare', jwt: await jwt() })).reason).toBe('SIGN_IN_NOT_ENABLED')
    expect((await call('AuthenticateWithJwt', { projectId: 'nothing', jwt: await jwt() })).reason).toBe('PROJECT_NOT_FOUND')
  })

  it('reads no key set on a machine that is not for it', async () => {
    using admin = connect(daemon, daemon.adminKey)
    const token = await jwt()
    for (const jwksUrl of ['https://169.254.169.254/latest', 'https://[::1]/jwks', 'https://10.0.0.1/jwks', 'http://192.168.0.1/', 'https://2130706434/']) {
      const jwtSignIn = { issuer: issuer.url, jwksUrl }
      await admin.admin.updateProject({ project: { projectId: 'bare', jwtSignIn }, updateMask: { paths: ['jwt_sign_in'] } })
      expect((await call('AuthenticateWithJwt', { projectId: 'bare', jwt: token })).reason, jwksUrl).toBe('KEY_SET_UNAVAILABLE')
    }
    await admin.admin.updateProject({ project: { projectId: 'bare' }, updateMask: { paths: ['jwt_sign_in'] } })
  })
})

describe('sign-in with a code by e-mail', () => {
  it('sends a code that is good once', async () => {
    const email = `Anna.${randomUUID()}@Example.com`
    const { message } = await call('StartEmailCode', { email })
    const received = mail.mails.at(-1)
    expect(received).toMatchObject({ from: 'signin@countersign.example', to: [email.toLowerCase()] })
    expect(received?.text).toContain('Web')
    const code = received === undefined ? '' : codeIn(received)
    const flowId = message['flowId']
    const wrong = code === '00000000' ? '00000001' : '00000000'
    expect((await call('VerifyEmailCode', { flowId, code: wrong })).reason).toBe('EMAIL_CODE_INVALID')
    expect((await call('VerifyEmailCode', { projectId: 'bare', flowId, code })).reason).toBe('SIGN_IN_NOT_ENABLED')
    const first = tokensOf(await call('VerifyEmailCode', { flowId, code }))
    expect(first).toMatchObject({ isNew: true, userId: expect.stringMatching(/^usr_[0-9a-f]{32}$/) as string })
    expect(first.refreshToken).toMatch(/^crt_/)
    expect((await call('VerifyEmailCode', { flowId, code })).reason).toBe('EMAIL_CODE_INVALID')
    expect(tokensOf(await signInByEmail(email.toLowerCase()))).toMatchObject({ userId: first.userId, isNew: false })
  })

  it('takes five tries and no more, also all at once', async () => {
    const email = anEmail()
    const { message } = await call('StartEmailCode', { email })
    const received = mail.mails.at(-1)
    const code = received === undefined ? '' : codeIn(received)
    const wrong = code === '00000000' ? '00000001' : '00000000'
    const flowId = message['flowId']
    const refused = await Promise.all(Array.from({ length: 5 }, () => call('VerifyEmailCode', { flowId, code: wrong })))
    expect(refused.map(({ reason }) => reason)).toEqual(Array.from({ length: 5 }, () => 'EMAIL_CODE_INVALID'))
    expect((await call('VerifyEmailCode', { flowId, code })).reason).toBe('EMAIL_CODE_INVALID')
  })

  it('answers the same for an address that takes no mail, and refuses what is no address', async () => {
    const email = anEmail()
    mail.refused.add(email)
    const answer = await call('StartEmailCode', { email })
    expect([answer.reason, Object.keys(answer.message).toSorted()]).toEqual(['', ['expireTime', 'flowId']])
    for (const text of ['a@b', 'a b@example.com', 'a@example.com\r\nbcc: x@example.com', '"a"@example.com', 'ä@example.com', '.a@example.com', 'a..b@example.com'])
      expect((await call('StartEmailCode', { email: text })).reason, text).toBe('INVALID_REQUEST')
  })

  it('goes to one address five times, however it is written', async () => {
    const email = anEmail()
    for (let number = 0; number < 5; number++) expect((await call('StartEmailCode', { email })).reason).toBe('')
    const refused = await call('StartEmailCode', { email: email.toUpperCase() })
    expect([refused.reason, refused.metadata['limit']]).toEqual(['RATE_LIMITED', 'emails_per_address'])
    expect(Number(refused.metadata['retryAfterMs'])).toBeGreaterThan(600_000)
    expect((await call('StartEmailCode', { email: anEmail() })).reason).toBe('')
  })

  it('is refused in a project without it', async () => {
    expect((await call('StartEmailCode', { projectId: 'bare', email: anEmail() })).reason).toBe('SIGN_IN_NOT_ENABLED')
  })
})

describe('sign-in at an OpenID provider', () => {
  const begin = async (redirectUri = BACK): Promise<Record<string, string>> => {
    const { message, reason } = await call('StartOidc', { provider: 'local', redirectUri })
    if (reason !== '') throw new Error(reason)
    return message as Record<string, string>
  }
  const finish = (flowId: string | undefined, proof: object) => call('AuthenticateWithOidc', { flowId, ...proof })

  it('goes there with state, nonce and PKCE, and ends once', async () => {
    const begun = await begin()
    const url = new URL(begun['authorizationUrl'] ?? '')
    expect(`${url.origin}${url.pathname}`).toBe(`${issuer.url}/authorize`)
    expect(Object.fromEntries(url.searchParams)).toMatchObject({
      client_id: OIDC_CLIENT.id, redirect_uri: BACK, response_type: 'code', scope: 'openid', code_challenge_method: 'S256',
      state: begun['state'], nonce: begun['nonce'],
    })
    expect(url.href).not.toContain(begun['flowId'])
    const code = agreeAt(issuer, url.href, { sub: 'bob' })
    const first = tokensOf(await finish(begun['flowId'], { code }))
    expect(first).toMatchObject({ isNew: true, userId: expect.stringMatching(/^usr_/) as string, refreshToken: expect.stringMatching(/^crt_/) as string })
    expect((await asUser(first.accessToken, 'GetEndUser')).message).toMatchObject({ endUser: { identities: [{ subject: `${issuer.url} bob` }] } })
    expect((await finish(begun['flowId'], { code })).reason).toBe('OIDC_STATE_INVALID')
    const again = await begin()
    expect(tokensOf(await finish(again['flowId'], { code: agreeAt(issuer, again['authorizationUrl'] ?? '', { sub: 'bob' }) }))).toMatchObject({
      userId: first.userId,
      isNew: false,
    })
  })

  it('takes the ID token of an app, with the nonce of the sign-in', async () => {
    const begun = await begin('')
    const idToken = await issuer.token({ aud: 'app', nonce: begun['nonce'], sub: 'carol' })
    expect(tokensOf(await finish(begun['flowId'], { idToken })).isNew).toBe(true)
    expect((await finish(begun['flowId'], { idToken })).reason).toBe('OIDC_STATE_INVALID')
  })

  it('is refused while the provider does not answer', async () => {
    using admin = connect(daemon, daemon.adminKey)
    await using other = await startIssuer()
    const oidcProviders = [{ provider: 'gone', issuer: other.url, clientId: OIDC_CLIENT.id, clientSecret: OIDC_CLIENT.secret, redirectUris: [BACK] }]
    await admin.admin.updateProject({ project: { projectId: 'bare', oidcProviders }, updateMask: { paths: ['oidc_providers'] } })
    const start = () => call('StartOidc', { projectId: 'bare', provider: 'gone', redirectUri: BACK })
    const { message: begun } = (await start()) as { message: Record<string, string> }
    other.instead.set('/token', (_request, response) => response.writeHead(301, { location: 'https://evil.example/' }).end())
    const proof = { code: agreeAt(other, begun['authorizationUrl'] ?? '') }
    expect((await call('AuthenticateWithOidc', { projectId: 'bare', flowId: begun['flowId'], ...proof })).reason).toBe('OIDC_REFUSED')
    other.instead.set('/token', (request) => request.destroy())
    const { message: again } = (await start()) as { message: Record<string, string> }
    const late = { code: agreeAt(other, again['authorizationUrl'] ?? '') }
    expect((await call('AuthenticateWithOidc', { projectId: 'bare', flowId: again['flowId'], ...late })).reason).toBe('OIDC_PROVIDER_UNAVAILABLE')
    const [first] = oidcProviders
    await admin.admin.updateProject({
      project: { projectId: 'bare', oidcProviders: [{ ...first, issuer: 'https://169.254.169.254/' }] },
      updateMask: { paths: ['oidc_providers'] },
    })
    expect((await start()).reason).toBe('OIDC_PROVIDER_UNAVAILABLE')
    expect(daemon.output()).toContain('address_refused')
    await admin.admin.updateProject({ project: { projectId: 'bare' }, updateMask: { paths: ['oidc_providers'] } })
    expect((await start()).reason).toBe('SIGN_IN_NOT_ENABLED')
  })

  it('is refused with anything of another sign-in, client or provider', async () => {
    const refusalOf = async (proofOf: (begun: Record<string, string>) => Promise<object> | object) => {
      const begun = await begin()
      const { reason, metadata } = await finish(begun['flowId'], await proofOf(begun))
      return [reason, metadata['detail']].filter((word) => word !== undefined).join(' ')
    }
    const other = await begin()
    expect(await refusalOf(({ authorizationUrl = '' }) => ({ code: { ...agreeAt(issuer, authorizationUrl), state: other['state'] } }))).toBe('OIDC_STATE_INVALID')
    expect(await refusalOf(() => ({ code: agreeAt(issuer, other['authorizationUrl'] ?? '') }))).toBe('OIDC_STATE_INVALID')
    expect(await refusalOf(({ state }) => ({ code: { code: 'nonsense', state } }))).toBe('OIDC_REFUSED invalid_grant')
    expect(await refusalOf(({ state }) => ({ code: { ...agreeAt(issuer, other['authorizationUrl'] ?? ''), state } }))).toBe('OIDC_REFUSED invalid_grant')
    expect(await refusalOf(async () => ({ idToken: await issuer.token({ nonce: other['nonce'] }) }))).toBe('ID_TOKEN_INVALID nonce')
    expect(await refusalOf(async () => ({ idToken: await issuer.token() }))).toBe('ID_TOKEN_INVALID nonce')
    expect(await refusalOf(async ({ nonce }) => ({ idToken: await issuer.token({ nonce, aud: 'else' }) }))).toBe('ID_TOKEN_INVALID audience')
    expect(await refusalOf(async ({ nonce }) => ({ idToken: await issuer.token({ nonce, aud: [OIDC_CLIENT.id, 'else'] }) }))).toBe('ID_TOKEN_INVALID audience')
    expect(await refusalOf(async ({ nonce }) => ({ idToken: await issuer.token({ nonce, iss: 'https://else.example' }) }))).toBe('ID_TOKEN_INVALID issuer')
    expect(await refusalOf(async ({ nonce }) => ({ idToken: await issuer.token({ nonce }, { ...newSigningKey(), kid: issuer.key.kid }) }))).toBe('ID_TOKEN_INVALID signature')
    expect((await finish('oidc_unknown', { idToken: await issuer.token() })).reason).toBe('OIDC_STATE_INVALID')
    expect((await call('StartOidc', { provider: 'local', redirectUri: 'https://evil.example/' })).reason).toBe('INVALID_REQUEST')
    expect((await call('StartOidc', { provider: 'else' })).reason).toBe('OIDC_PROVIDER_NOT_FOUND')
  })
})

describe('refresh tokens', () => {
  const refresh = (refreshToken: string, more: object = {}) => call('RefreshAccessToken', { refreshToken, ...more })

  it('are good for one use; a second one ends the sign-in, access tokens with it', async () => {
    const first = tokensOf(await signInByEmail(anEmail()))
    const second = tokensOf(await refresh(first.refreshToken))
    expect(second.userId).toBe(first.userId)
    expect((await asUser(first.accessToken, 'GetEndUser')).reason).toBe('')
    expect((await asUser(second.accessToken, 'GetEndUser')).reason).toBe('')
    expect((await refresh(second.refreshToken, { projectId: 'bare' })).reason).toBe('REFRESH_TOKEN_INVALID')
    expect((await refresh(first.refreshToken)).reason).toBe('REFRESH_TOKEN_REUSED')
    expect((await refresh(second.refreshToken)).reason).toBe('REFRESH_TOKEN_INVALID')
    for (const { accessToken } of [first, second]) expect((await asUser(accessToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
    expect((await refresh('')).reason).toBe('REFRESH_TOKEN_INVALID')
  })

  it('give one answer to three who ask at once, and end for all', async () => {
    const { refreshToken } = tokensOf(await signInByEmail(anEmail()))
    const answers = await Promise.all([refresh(refreshToken), refresh(refreshToken), refresh(refreshToken)])
    expect(answers.map(({ reason }) => reason).toSorted()).toEqual(['', 'REFRESH_TOKEN_INVALID', 'REFRESH_TOKEN_REUSED'])
    const won = answers.find(({ reason }) => reason === '')
    if (won === undefined) throw new Error('nobody won')
    expect((await refresh(tokensOf(won).refreshToken)).reason).toBe('REFRESH_TOKEN_INVALID')
  })

  it('are of no use where the project has turned that way of signing in off', async () => {
    using admin = connect(daemon, daemon.adminKey)
    const change = (emailSignIn?: object) =>
      admin.admin.updateProject({ project: { projectId: PROJECT, ...(emailSignIn === undefined ? {} : { emailSignIn }) }, updateMask: { paths: ['email_sign_in'] } })
    const { refreshToken } = tokensOf(await signInByEmail(anEmail()))
    await change()
    expect((await refresh(refreshToken)).reason).toBe('SIGN_IN_NOT_ENABLED')
    await change({})
    expect((await refresh(refreshToken)).reason).toBe('')
  })

  it('survive a lost answer: the same request again gets other tokens', async () => {
    const { refreshToken } = tokensOf(await signInByEmail(anEmail()))
    const requestId = randomUUID()
    const lost = tokensOf(await refresh(refreshToken, { requestId }))
    const again = tokensOf(await refresh(refreshToken, { requestId }))
    expect((await refresh(again.refreshToken)).reason).toBe('')
    // Where the answer was not lost, two go on with one token.
    expect((await refresh(lost.refreshToken)).reason).toBe('REFRESH_TOKEN_REUSED')
    expect((await asUser(again.accessToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
  })

  it('end with the sign-in, by either token', async () => {
    const first = tokensOf(await signInByEmail(anEmail()))
    expect((await call('SignOut', { refreshToken: first.refreshToken })).reason).toBe('')
    expect((await call('SignOut', { refreshToken: first.refreshToken })).reason).toBe('')
    expect((await refresh(first.refreshToken)).reason).toBe('REFRESH_TOKEN_INVALID')
    expect((await asUser(first.accessToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
    const later = tokensOf(await signInByEmail(anEmail()))
    // That of the first sign-in is good for nothing any more, and what it comes with is ended all the same.
    expect((await call('SignOut', { accessToken: first.accessToken })).reason).toBe('ACCESS_TOKEN_INVALID')
    expect((await call('SignOut', { refreshToken: later.refreshToken, accessToken: first.accessToken })).reason).toBe('')
    expect((await refresh(later.refreshToken)).reason).toBe('REFRESH_TOKEN_INVALID')
    const { accessToken } = tokensOf(await call('AuthenticateWithJwt', { jwt: await issuer.token({ aud: 'wallets', user: 'zoe' }) }))
    expect((await call('SignOut', { accessToken })).reason).toBe('')
    expect((await asUser(accessToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
  })
})

describe('a browser', () => {
  it('keeps its refresh token in a cookie that no page reads', async () => {
    const signedIn = await signInByEmail(anEmail(), { origin: ORIGIN })
    expect(tokensOf(signedIn).refreshToken).toBe('')
    const set = cookieOf(signedIn)
    expect(set).toMatch(
      /^countersign_refresh_token=crt_[A-Za-z0-9_-]{43}; Max-Age=60\d{4}; Path=\/countersign\.v1\.EndUserService\/; HttpOnly; Secure; SameSite=Strict$/,
    )
    expect(signedIn.headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, 'access-control-allow-credentials': 'true', vary: 'Origin' })
    const cookie = set.split(';', 1)[0] ?? ''
    const refreshed = await call('RefreshAccessToken', {}, { origin: ORIGIN, cookie: `a=b; ${cookie}; c=d` })
    expect(tokensOf(refreshed).refreshToken).toBe('')
    const next = cookieOf(refreshed).split(';', 1)[0] ?? ''
    expect(next).not.toBe(cookie)
    const out = await call('SignOut', {}, { origin: ORIGIN, cookie: next })
    expect(cookieOf(out)).toContain('countersign_refresh_token=; Max-Age=0')
    expect((await call('RefreshAccessToken', {}, { origin: ORIGIN, cookie: next })).reason).toBe('REFRESH_TOKEN_INVALID')
  })

  it('calls for pages of the project alone, and its cookie for nobody else', async () => {
    const cookie = cookieOf(await signInByEmail(anEmail(), { origin: ORIGIN })).split(';', 1)[0] ?? ''
    for (const origin of ['https://evil.example', 'null', `${ORIGIN}.evil.example`, ORIGIN.toUpperCase(), 'http://app.example.com']) {
      const refused = await call('RefreshAccessToken', {}, { origin, cookie })
      expect([refused.reason, refused.headers['access-control-allow-origin']], origin).toEqual(['ORIGIN_NOT_ALLOWED', undefined])
    }
    expect((await call('RefreshAccessToken', { projectId: 'bare' }, { origin: ORIGIN, cookie })).reason).toBe('ORIGIN_NOT_ALLOWED')
    expect((await call('RefreshAccessToken', {}, { cookie })).reason).toBe('REFRESH_TOKEN_INVALID')
    expect((await call('RefreshAccessToken', {}, { origin: ORIGIN, cookie: `${cookie}; ${cookie}` })).reason).toBe('REFRESH_TOKEN_INVALID')
    expect((await call('RefreshAccessToken', {}, { origin: ORIGIN, cookie })).reason).toBe('')
  })

  it('asks first, and is told of listed origins only', async () => {
    const ask = (origin: string) =>
      sendWeb(daemon, '/countersign.v1.EndUserService/SignOut', { method: 'OPTIONS', headers: { origin, 'access-control-request-method': 'POST' } })
    const allowed = await ask(ORIGIN)
    expect([allowed.status, allowed.text]).toEqual([204, ''])
    expect(allowed.headers).toMatchObject({ 'access-control-allow-origin': ORIGIN, 'access-control-allow-methods': 'POST' })
    expect(String(allowed.headers['access-control-allow-headers'])).toContain('x-wallet-auth')
    const refused = await ask('https://evil.example')
    expect([refused.status, refused.headers['access-control-allow-origin']]).toEqual([403, undefined])
    using admin = connect(daemon, daemon.adminKey)
    const change = (allowedOrigins: string[]) =>
      admin.admin.updateProject({ project: { projectId: 'bare', allowedOrigins }, updateMask: { paths: ['allowed_origins'] } })
    await change(['http://localhost:3000'])
    expect((await ask('http://localhost:3000')).status).toBe(204)
    await change([])
    expect((await ask('http://localhost:3000')).status).toBe(403)
  })

  it('is told the same over HTTP/2', async () => {
    const session = connectHttp2(`http://${daemon.endpoints.connect}`)
    try {
      const ask = (path: string, method: string, headers: Record<string, string>, body = '') =>
        new Promise<Record<string, unknown>>((resolve, reject) => {
          const stream = session.request({ ':path': path, ':method': method, ...headers })
          stream.on('response', (found) => {
            stream.resume()
            resolve(found)
          })
          stream.on('error', reject)
          if (method !== 'GET') stream.end(body)
        })
      const path = '/countersign.v1.EndUserService/SignOut'
      const preflight = await ask(path, 'OPTIONS', { origin: ORIGIN, 'access-control-request-method': 'POST' })
      expect([preflight[':status'], preflight['access-control-allow-origin']]).toEqual([204, ORIGIN])
      const answer = await ask(path, 'POST', { origin: ORIGIN, 'content-type': 'application/json' }, JSON.stringify({ projectId: PROJECT }))
      expect([answer[':status'], answer['access-control-allow-origin'], answer['vary']]).toEqual([200, ORIGIN, 'Origin'])
      expect(String(answer['set-cookie'])).toContain('countersign_refresh_token=; Max-Age=0')
      expect((await ask('/.well-known/jwks.json', 'GET', {}))[':status']).toBe(200)
    } finally {
      session.destroy()
    }
  })

  it('finds the keys of access tokens, and nothing to change there', async () => {
    const { status, headers, text } = await sendWeb(daemon, '/.well-known/jwks.json')
    expect([status, headers['content-type'], headers['access-control-allow-origin']]).toEqual([200, 'application/json', '*'])
    expect(text).not.toContain('"d"')
    expect((await sendWeb(daemon, '/.well-known/jwks.json', { method: 'POST' })).status).toBe(405)
  })
})

it('leaves an audit row of everything, and no secret anywhere in it or in the log', async () => {
  const email = anEmail()
  const { accessToken, refreshToken, userId } = tokensOf(await signInByEmail(email))
  await call('SignOut', { refreshToken })
  using admin = connect(daemon, daemon.adminKey)
  for (const kind of ['user.created', 'user.signed_in', 'user.signed_out'])
    expect((await rowsOfKind(admin, kind, 0n)).filter((row) => JSON.stringify(row, (_, value: unknown) => (typeof value === 'bigint' ? String(value) : value)).includes(userId)).length, kind).toBe(1)
  const everything = daemon.output()
  for (const secret of [accessToken, refreshToken, email, OIDC_CLIENT.secret, codeIn(mail.mails.at(-1) ?? { from: '', to: [], text: '', isSecure: false, user: '' })])
    expect(everything).not.toContain(secret)
})

it('goes on under a new root key, with the same keys and secrets', async () => {
  using admin = connect(daemon, daemon.adminKey)
  const { accessToken, refreshToken } = tokensOf(await signInByEmail(anEmail()))
  const { text: keys } = await sendWeb(daemon, '/.well-known/jwks.json')
  const begun = (await call('StartOidc', { provider: 'local', redirectUri: BACK })).message as Record<string, string>
  await admin.admin.rotateVaultKey({ vault: VaultParty.DAEMON })
  expect((await asUser(accessToken, 'GetEndUser')).reason).toBe('')
  expect((await call('RefreshAccessToken', { refreshToken })).reason).toBe('')
  const code = agreeAt(issuer, begun['authorizationUrl'] ?? '')
  expect((await call('AuthenticateWithOidc', { flowId: begun['flowId'], code })).reason).toBe('')
  expect((await sendWeb(daemon, '/.well-known/jwks.json')).text).toBe(keys)
})

/** On the stopped daemon's vault: an access token of an hour ago, and the next refresh token, which ended a while ago. */
const makeOverdue = async ({ accessToken, refreshToken: text }: Tokens): Promise<readonly [string, string]> => {
  const provider = createRootKeyProvider(`file:${join(daemon.dataDir, 'root.key')}`)
  const path = join(daemon.dataDir, 'vault.db')
  const vault = await openDaemonVault({ path, provider, nowMs: Date.now() })
  const session = getSession(vault.read, (decodeJwt(accessToken).jti ?? '').split('.', 1)[0] ?? '')
  if (session === undefined) throw new Error('no session')
  const tokens = createAccessTokens(vault)
  const token = await tokens.sign(await vault.commit((tx) => tokens.draft(tx, session, Date.now() - 3_600_000)))
  const ended = { project: session.project, requestId: undefined, text, nowMs: Date.now() - 3_600_000, expireMs: Date.now() - 1_000 }
  const { issued } = await vault.commit((tx) => rotateRefreshToken(tx, session, ended))
  await vault.close()
  return [token, issued.token.reveal()]
}

it('knows users, sessions and keys again after it was killed', async () => {
  const first = tokensOf(await signInByEmail(anEmail()))
  const second = tokensOf(await call('RefreshAccessToken', { refreshToken: first.refreshToken }))
  const out = tokensOf(await signInByEmail(anEmail()))
  await call('SignOut', { refreshToken: out.refreshToken })
  const overdue = tokensOf(await signInByEmail(anEmail()))
  await daemon.kill('SIGKILL')
  const [[oldToken, oldRefreshToken], oldUserToken] = [await makeOverdue(overdue), out.accessToken]
  daemon = await start()
  expect((await asUser(oldToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_EXPIRED')
  expect((await call('RefreshAccessToken', { refreshToken: oldRefreshToken })).reason).toBe('REFRESH_TOKEN_EXPIRED')
  expect((await asUser(oldUserToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
  expect((await asUser(first.accessToken, 'GetEndUser')).reason).toBe('')
  expect((await asUser(out.accessToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
  expect((await call('RefreshAccessToken', { refreshToken: first.refreshToken })).reason).toBe('REFRESH_TOKEN_REUSED')
  expect((await call('RefreshAccessToken', { refreshToken: second.refreshToken })).reason).toBe('REFRESH_TOKEN_INVALID')
  expect((await asUser(second.accessToken, 'GetEndUser')).reason).toBe('ACCESS_TOKEN_INVALID')
  expect(decodeJwt(first.accessToken).sub).toBe(first.userId)
})

it('sends no mail without a server, and says so', async () => {
  await mail[Symbol.asyncDispose]()
  expect((await call('StartEmailCode', { email: anEmail() })).reason).toBe('EMAIL_UNAVAILABLE')
  expect(daemon.output()).toMatch(/"event":"sign_in\.outage".*"what":"email","why":"connect_failed"/)
})
