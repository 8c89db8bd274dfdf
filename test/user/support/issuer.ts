/** An OpenID provider and a key set of a project's own, on a port of this machine, that misbehave when told to. */
import { createHash, generateKeyPairSync, type KeyObject, randomUUID } from 'node:crypto'
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { SignJWT } from 'jose'

export type SigningKey = { readonly kid: string; readonly alg: string; readonly key: KeyObject; readonly jwk: Record<string, unknown> }

export const newSigningKey = (kid: string = randomUUID(), alg = 'ES256'): SigningKey => {
  const pair =
    alg === 'EdDSA'
      ? generateKeyPairSync('ed25519')
      : alg.startsWith('ES')
        ? generateKeyPairSync('ec', { namedCurve: alg === 'ES384' ? 'P-384' : 'P-256' })
        : generateKeyPairSync('rsa', { modulusLength: 2_048 })
  return { kid, alg, key: pair.privateKey, jwk: { ...pair.publicKey.export({ format: 'jwk' }), kid, alg, use: 'sig' } }
}

export type Grant = { readonly nonce: string; readonly challenge: string; readonly redirectUri: string; readonly claims: object }

export type Issuer = {
  readonly url: string
  readonly jwksUrl: string
  readonly key: SigningKey
  /** What is published; change it to rotate. */
  readonly published: SigningKey[]
  /** Requests by path. */
  readonly asked: Map<string, number>
  /** Codes that can be exchanged, once. */
  readonly codes: Map<string, Grant>
  /** Answers in the place of the usual ones, by path. */
  readonly instead: Map<string, (request: IncomingMessage, response: ServerResponse) => void>
  /** A token of this issuer; its own claims can be changed or taken away (undefined). */
  readonly token: (claims?: Record<string, unknown>, key?: SigningKey) => Promise<string>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

const CLIENT = { id: 'client', secret: 'client secret/+&' }
export const OIDC_CLIENT = CLIENT

const json = (response: ServerResponse, body: unknown, status = 200): void => {
  response.writeHead(status, { 'content-type': 'application/json' }).end(JSON.stringify(body))
}

const readBody = async (request: IncomingMessage): Promise<URLSearchParams> => {
  const chunks: Buffer[] = []
  for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk)
  return new URLSearchParams(Buffer.concat(chunks).toString())
}

const now = (): number => Math.floor(Date.now() / 1_000)

export const startIssuer = async (): Promise<Issuer> => {
  const key = newSigningKey()
  const published = [key]
  const asked = new Map<string, number>()
  const codes = new Map<string, Grant>()
  const instead: Issuer['instead'] = new Map()
  let url = ''
  const token: Issuer['token'] = (claims = {}, by = key) => {
    const all = { iss: url, aud: CLIENT.id, sub: 'person', iat: now(), exp: now() + 300, ...claims }
    return new SignJWT(all).setProtectedHeader({ alg: by.alg, kid: by.kid, typ: 'JWT' }).sign(by.key)
  }
  const exchange = async (request: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await readBody(request)
    const grant = codes.get(body.get('code') ?? '')
    const challenge = createHash('sha256').update(body.get('code_verifier') ?? '').digest('base64url')
    const isClient = body.get('client_id') === CLIENT.id && body.get('client_secret') === CLIENT.secret
    const isGood = grant?.challenge === challenge && grant.redirectUri === body.get('redirect_uri')
    codes.delete(body.get('code') ?? '')
    if (!isClient) return json(response, { error: 'invalid_client' }, 401)
    if (!isGood) return json(response, { error: 'invalid_grant' }, 400)
    const idToken = await token({ nonce: grant.nonce, ...grant.claims })
    json(response, { access_token: 'at', token_type: 'Bearer', id_token: idToken, expires_in: 300 })
  }
  const server = createServer((request, response) => {
    const path = (request.url ?? '').split('?', 1)[0] ?? ''
    asked.set(path, (asked.get(path) ?? 0) + 1)
    const replacement = instead.get(path)
    if (replacement !== undefined) return replacement(request, response)
    if (path === '/jwks.json') return json(response, { keys: published.map(({ jwk }) => jwk) })
    if (path === '/token') return void exchange(request, response)
    if (path !== '/.well-known/openid-configuration') return json(response, {}, 404)
    json(response, {
      issuer: url,
      authorization_endpoint: `${url}/authorize`,
      token_endpoint: `${url}/token`,
      jwks_uri: `${url}/jwks.json`,
      response_types_supported: ['code'],
      subject_types_supported: ['public'],
      id_token_signing_alg_values_supported: ['ES256'],
      token_endpoint_auth_methods_supported: ['client_secret_post', 'client_secret_basic'],
    })
  })
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done))
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`
  return {
    url,
    jwksUrl: `${url}/jwks.json`,
    key,
    published,
    asked,
    codes,
    instead,
    token,
    [Symbol.asyncDispose]: () =>
      new Promise((done) => {
        server.close(() => done())
        server.closeAllConnections()
      }),
  }
}

/** What the person does at the provider: agrees, and is sent back with a code. */
export const agreeAt = ({ codes }: Issuer, authorizationUrl: string, claims: object = {}): { code: string; state: string } => {
  const { searchParams } = new URL(authorizationUrl)
  const code = randomUUID()
  const of = (name: string): string => searchParams.get(name) ?? ''
  codes.set(code, { nonce: of('nonce'), challenge: of('code_challenge'), redirectUri: of('redirect_uri'), claims })
  return { code, state: of('state') }
}
