/** API keys that sign JWTs, and projects that sign requests a second time, at the running daemon over both ports. */
import { generateKeyPairSync, hash, type KeyObject, randomBytes, randomUUID } from 'node:crypto'
import { create, toBinary } from '@bufbuild/protobuf'
import { type Client, createClient, type Interceptor } from '@connectrpc/connect'
import { createGrpcTransport } from '@connectrpc/connect-node'
import { generateJwt, generateWalletJwt } from '@coinbase/cdp-sdk/auth'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { SignStreamRequestSchema, WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { makeToken, requestClaims, walletKey } from '../user/tokens.ts'
import { reasonOf as reasonOfCall } from '../rpc/support/refusal.ts'
import { connect, newKey, newWallet, reasonOf } from './callers.ts'
import { runCli, startDaemon, type TestDaemon } from './start-daemon.ts'
import { callWeb } from './web-call.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

let daemon: TestDaemon
let admin: CountersignClient
let wallet: string

beforeAll(async () => {
  daemon = await startDaemon()
  admin = connect(daemon, daemon.adminKey)
  wallet = (await newWallet(admin)).walletId
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

const PERMISSIONS = [{ name: 'wallet:read' }, { name: 'wallet:sign' }]
const SIGN = 'WalletService/SignMessage'
const spkiOf = (key: KeyObject): string => key.export({ type: 'spki', format: 'der' }).toString('base64')

const ed25519 = () => {
  const { privateKey, publicKey } = generateKeyPairSync('ed25519')
  const { d = '', x = '' } = privateKey.export({ format: 'jwk' })
  // As the SDKs keep it: seed and public key, 64 bytes.
  const apiKeySecret = Buffer.concat([Buffer.from(d, 'base64url'), Buffer.from(x, 'base64url')]).toString('base64')
  return { privateKey, publicKey: spkiOf(publicKey), apiKeySecret }
}

const signingKey = async (publicKey: string, rest: object = {}) => {
  const { apiKeyId, secret } = await newKey(admin, PERMISSIONS, { publicKey, ...rest })
  expect(secret).toBe('')
  return apiKeyId
}

const jwtFor = (apiKeyId: string, apiKeySecret: string, method = SIGN) =>
  generateJwt({
    apiKeyId,
    apiKeySecret,
    requestMethod: 'POST',
    requestHost: daemon.endpoints.connect,
    requestPath: `/countersign.v1.${method}`,
  })

const text = () => ({ wallet, text: `hello ${randomUUID()}` })
const bearer = (jwt: string) => ({ authorization: `Bearer ${jwt}` })

describe('an API key with a public key', () => {
  it('calls with the JWTs of the published SDK over Connect JSON, each once', async () => {
    const key = ed25519()
    const apiKeyId = await signingKey(key.publicKey)
    const jwt = await jwtFor(apiKeyId, key.apiKeySecret)
    expect((await callWeb(daemon, SIGN, text(), bearer(jwt))).reason).toBe('')
    expect((await callWeb(daemon, SIGN, text(), bearer(jwt))).reason).toBe('API_KEY_TOKEN_REPLAYED')
    const other = await jwtFor(apiKeyId, key.apiKeySecret)
    expect((await callWeb(daemon, 'WalletService/GetWallet', { wallet }, bearer(other))).reason).toBe('API_KEY_TOKEN_INVALID')
    const raced = await Promise.all(Array.from({ length: 10 }, () => callWeb(daemon, SIGN, text(), bearer(other))))
    expect(raced.filter(({ reason }) => reason === '')).toHaveLength(1)
    const stranger = await jwtFor(apiKeyId, ed25519().apiKeySecret)
    expect((await callWeb(daemon, SIGN, text(), bearer(stranger))).reason).toBe('API_KEY_INVALID')
    const nobody = await jwtFor('key_ffffffffffffffff', key.apiKeySecret)
    expect((await callWeb(daemon, SIGN, text(), bearer(nobody))).reason).toBe('API_KEY_INVALID')
    const beyond = await jwtFor(apiKeyId, key.apiKeySecret, 'AdminService/GetStatus')
    expect((await callWeb(daemon, 'AdminService/GetStatus', {}, bearer(beyond))).reason).toBe('PERMISSION_MISSING')
  })

  it('calls over gRPC with P-256, for one body where the token says so', async () => {
    const key = walletKey()
    const apiKeyId = await signingKey(key.spki)
    const client = (changes: object = {}): Client<typeof WalletService> => {
      const authority = daemon.endpoints.grpc
      const show: Interceptor = (next) => (request) => {
        if (request.stream) return next(request)
        const now = Math.floor(Date.now() / 1_000)
        const reqHash = hash('sha256', toBinary(request.method.input, request.message), 'hex')
        const uris = [`POST ${authority}/countersign.v1.WalletService/${request.method.name}`]
        const claims = { sub: apiKeyId, iss: 'cdp', aud: null, uris, nbf: now, exp: now + 60, reqHash, ...changes }
        const header = { alg: 'ES256', kid: apiKeyId, typ: 'JWT', nonce: randomBytes(16).toString('hex') }
        request.header.set('authorization', `Bearer ${makeToken(key, { header, claims })}`)
        return next(request)
      }
      return createClient(WalletService, createGrpcTransport({ baseUrl: `http://${authority}`, interceptors: [show] }))
    }
    const ask = (changes?: object) => client(changes).signMessage({ wallet, content: { case: 'text', value: 'hello' } })
    await ask()
    await ask({ reqHash: undefined })
    const refusals: readonly (readonly [object, string])[] = [
      [{ reqHash: hash('sha256', 'another', 'hex') }, 'API_KEY_TOKEN_INVALID'],
      [{ exp: Math.floor(Date.now() / 1_000) + 200 }, 'API_KEY_TOKEN_INVALID'],
      [{ aud: 'somebody' }, 'API_KEY_TOKEN_INVALID'],
      [{ uris: ['POST elsewhere/countersign.v1.WalletService/SignMessage'] }, 'API_KEY_TOKEN_INVALID'],
    ]
    for (const [changes, reason] of refusals) expect(await reasonOfCall(ask(changes))).toBe(reason)
  })

  it('has no secret to rotate, is told with its public key, and ends when it is revoked', async () => {
    const key = ed25519()
    const apiKeyId = await signingKey(key.publicKey)
    expect((await admin.admin.getApiKey({ apiKeyId })).apiKey?.publicKey).toBe(key.publicKey)
    expect(await reasonOf(admin.admin.rotateApiKey({ apiKeyId }))).toBe('INVALID_REQUEST')
    await admin.admin.revokeApiKey({ apiKeyId })
    const jwt = await jwtFor(apiKeyId, key.apiKeySecret)
    expect((await callWeb(daemon, SIGN, text(), bearer(jwt))).reason).toBe('API_KEY_INVALID')
    for (const publicKey of ['AAAA', walletKey('secp256k1').spki, `${key.publicKey}=`])
      expect(await reasonOf(newKey(admin, PERMISSIONS, { publicKey }))).toBe('INVALID_REQUEST')
  })

  it('is made from the command line', async () => {
    const key = ed25519()
    const create = (...args: string[]) => runCli(['api-key', 'create', '--data-dir', daemon.dataDir, '--permission', 'wallet:read', ...args])
    const made = await create('--public-key', key.publicKey, '--developer-auth', '--json')
    expect(made.code).toBe(0)
    const { apiKey, secret } = JSON.parse(made.stdout) as { apiKey: Record<string, unknown>; secret?: string }
    expect([apiKey['publicKey'], apiKey['developerAuthRequired'], secret]).toEqual([key.publicKey, true, undefined])
    expect((await create('--public-key', key.publicKey, '--secret-file', '/nowhere')).code).toBe(2)
    expect((await create('--public-key', 'AAAA')).stderr).toContain('INVALID_REQUEST')
  })

  it('is held to its networks', async () => {
    const key = ed25519()
    const apiKeyId = await signingKey(key.publicKey, { allowedCidrs: ['192.0.2.0/24'] })
    const jwt = await jwtFor(apiKeyId, key.apiKeySecret)
    expect((await callWeb(daemon, SIGN, text(), bearer(jwt))).reason).toBe('API_KEY_INVALID')
  })
})

describe('a second signature by the project', () => {
  const developer = walletKey()
  const change = (project: object, paths: string[]) =>
    admin.admin.updateProject({ project: { projectId: 'default', ...project }, updateMask: { paths } })
  const secondFactor = (body: object, key = developer, method = SIGN) =>
    generateWalletJwt({
      walletSecret: key.walletSecret,
      requestMethod: 'POST',
      requestHost: daemon.endpoints.connect,
      requestPath: `/countersign.v1.${method}`,
      requestData: { ...body },
    })

  it('is asked of keys that need it, for what uses wallets', async () => {
    const { secret } = await newKey(admin, PERMISSIONS, { developerAuthRequired: true })
    const plain = await newKey(admin, PERMISSIONS)
    const body = text()
    const ask = (headers: Record<string, string> = {}, sent: object = body) => callWeb(daemon, SIGN, sent, { ...bearer(secret), ...headers })
    expect((await ask()).reason).toBe('DEVELOPER_AUTH_REQUIRED')
    expect((await ask({ 'x-developer-auth': await secondFactor(body) })).reason).toBe('DEVELOPER_AUTH_INVALID')
    await change({ developerPublicKey: developer.spki }, ['developer_public_key'])
    const proof = { 'x-developer-auth': await secondFactor(body) }
    expect((await ask(proof, { ...body, text: 'another' })).reason).toBe('DEVELOPER_AUTH_INVALID')
    expect((await ask(proof)).reason).toBe('')
    expect((await ask(proof)).reason).toBe('DEVELOPER_AUTH_REPLAYED')
    expect((await ask({ 'x-developer-auth': await secondFactor(body, walletKey()) })).reason).toBe('DEVELOPER_AUTH_INVALID')
    expect((await callWeb(daemon, 'WalletService/GetWallet', { wallet }, bearer(secret))).reason).toBe('')
    expect((await callWeb(daemon, SIGN, body, bearer(plain.secret))).reason).toBe('')
    // An order, also one that is said to reduce a position only, but no cancel: that stops something.
    const bot = await newKey(admin, [{ name: 'session:sign' }], { developerAuthRequired: true })
    const act = async (family: string, reduceOnly: boolean) => {
      const action = { sessionKeyId: `ses_${'0'.repeat(32)}`, family, actionJson: '{}', reduceOnly }
      return (await callWeb(daemon, 'SessionKeyService/SignAction', action, bearer(bot.secret))).reason
    }
    expect([await act('order', false), await act('order', true)]).toEqual(['DEVELOPER_AUTH_REQUIRED', 'DEVELOPER_AUTH_REQUIRED'])
    expect(await act('cancel_order', false)).toBe('SESSION_KEY_NOT_FOUND')
  })

  it('is asked of every key of a project that asks for it', async () => {
    await change({ developerPublicKey: developer.spki, developerAuthRequired: true }, ['developer_public_key', 'developer_auth_required'])
    const { secret } = await newKey(admin, PERMISSIONS)
    const body = text()
    expect((await callWeb(daemon, SIGN, body, bearer(secret))).reason).toBe('DEVELOPER_AUTH_REQUIRED')
    const proof = { ...bearer(secret), 'x-developer-auth': await secondFactor(body) }
    expect((await callWeb(daemon, SIGN, body, proof)).reason).toBe('')
    const key = ed25519()
    const both = { ...bearer(await jwtFor(await signingKey(key.publicKey), key.apiKeySecret)), 'x-developer-auth': await secondFactor(body) }
    expect((await callWeb(daemon, SIGN, body, both)).reason).toBe('')
    expect(await reasonOf(change({ developerPublicKey: '' }, ['developer_public_key']))).toBe('INVALID_REQUEST')
    expect(await reasonOf(change({ developerPublicKey: 'AAAA' }, ['developer_public_key']))).toBe('INVALID_REQUEST')
    const { project } = await admin.admin.getProject({ projectId: 'default' })
    expect([project?.developerPublicKey, project?.developerAuthRequired]).toEqual([developer.spki, true])
    await change({ developerAuthRequired: false }, ['developer_auth_required'])
    expect((await callWeb(daemon, SIGN, body, bearer(secret))).reason).toBe('')
  })

  it('signs a stream by its first message', async () => {
    const { secret } = await newKey(admin, PERMISSIONS, { developerAuthRequired: true })
    const authority = daemon.endpoints.grpc
    const client = createClient(WalletService, createGrpcTransport({ baseUrl: `http://${authority}` }))
    const first = { itemId: '1', request: { case: 'signMessage', value: { wallet, content: { case: 'text', value: 'a' } } } } as const
    const ask = async (signed: Uint8Array) => {
      async function* requests() {
        yield first
      }
      const claims = requestClaims(`POST ${authority}/countersign.v1.WalletService/SignStream`, signed, Date.now())
      const headers = { ...bearer(secret), 'x-developer-auth': makeToken(developer, { claims }) }
      const kinds: (string | undefined)[] = []
      for await (const { result } of client.signStream(requests(), { headers })) kinds.push(result.case)
      return kinds
    }
    expect(await ask(toBinary(SignStreamRequestSchema, create(SignStreamRequestSchema, first)))).toEqual(['signMessage'])
    expect(await reasonOfCall(ask(new Uint8Array(3)))).toBe('DEVELOPER_AUTH_INVALID')
  })
})
