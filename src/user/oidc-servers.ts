/** OpenID providers: what they say of themselves (discovery), and the exchange of a code for an ID token. */
import {
  allowInsecureRequests,
  authorizationCodeGrant,
  type ClientAuth,
  ClientSecretBasic,
  ClientSecretPost,
  Configuration,
  type CustomFetch,
  customFetch,
  discovery,
  None,
  ResponseBodyError,
  type ServerMetadata,
} from 'openid-client'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { EgressError } from '../egress/egress-error.ts'
import type { SendHttp } from '../egress/http.ts'
import { faultIn, type OnOutage } from './outage.ts'

const TIMEOUT_MS = 5_000
const MAX_BYTES = 65_536
const FRESH_MS = 3_600_000
const COOLDOWN_MS = 30_000
const MAX_SERVERS = 1_000

/** `fetch` as the library calls it, over our way out: what that refuses is not reached. */
const guardedFetch =
  (send: SendHttp): CustomFetch =>
  async (url, { method, headers, body }) => {
    const isText = body === undefined || body === null || typeof body === 'string' || body instanceof URLSearchParams
    if ((method !== 'GET' && method !== 'POST') || !isText) throw new EgressError('url_refused')
    const bytes = body === undefined || body === null ? undefined : new TextEncoder().encode(body.toString())
    const names = Object.entries(headers).map(([name, value]) => [name.toLowerCase(), value] as const)
    const answer = await send({
      url,
      method,
      headers: Object.fromEntries(names.filter(([name]) => name !== 'user-agent')),
      body: bytes,
      timeoutMs: TIMEOUT_MS,
      maxResponseBytes: MAX_BYTES,
    })
    const isEmpty = answer.status === 204 || answer.status === 304
    // A Response takes only a status that a whole answer can have.
    if (answer.status < 200) throw new EgressError('broken')
    return new Response(isEmpty ? null : Buffer.from(answer.body), { status: answer.status, headers: answer.headers })
  }

type Known = { metadata: ServerMetadata | undefined; readMs: number; triedMs: number; reading: Promise<void> | undefined }

export type OidcClient = {
  readonly provider: string
  readonly issuer: string
  readonly clientId: string
  readonly clientSecret: string | undefined
}

export type CodeExchange = {
  /** The page the provider sent the person back to, with what it added. */
  readonly returnUrl: URL
  readonly state: string
  readonly nonce: string
  readonly codeVerifier: string
}

const authenticationOf = ({ clientSecret }: OidcClient, metadata: ServerMetadata): ClientAuth => {
  if (clientSecret === undefined) return None()
  const methods = metadata.token_endpoint_auth_methods_supported ?? ['client_secret_basic']
  return methods.includes('client_secret_post') ? ClientSecretPost(clientSecret) : ClientSecretBasic(clientSecret)
}

/** As the provider named it, if it looks like a name. */
const nameOf = (text: string): string => (/^[a-z_]{1,64}$/.test(text) ? text : 'error')

const isFromEgress = (error: unknown): boolean =>
  error instanceof EgressError || (error instanceof Error && error.cause !== undefined && isFromEgress(error.cause))

export class OidcServers {
  readonly #fetch: CustomFetch
  readonly #onOutage: OnOutage
  readonly #nowMs: () => number
  readonly #servers = new Map<string, Known>()

  constructor(send: SendHttp, clock: Clock, onOutage: OnOutage = () => {}) {
    this.#fetch = guardedFetch(send)
    this.#onOutage = onOutage
    this.#nowMs = () => Number(clock.monotonicNs() / 1_000_000n)
  }

  /** Refuses with OIDC_PROVIDER_UNAVAILABLE. */
  async metadata({ provider, issuer }: Pick<OidcClient, 'provider' | 'issuer'>): Promise<ServerMetadata> {
    const known = this.#knownOf(issuer)
    if (known.metadata === undefined || this.#nowMs() - known.readMs >= FRESH_MS) await this.#read(issuer, known)
    if (known.metadata === undefined) throw failure('OIDC_PROVIDER_UNAVAILABLE', { provider })
    return known.metadata
  }

  /** The client at the provider. */
  async configure(client: OidcClient): Promise<Configuration> {
    const metadata = await this.metadata(client)
    const configuration = new Configuration(metadata, client.clientId, {}, authenticationOf(client, metadata))
    configuration[customFetch] = this.#fetch
    // Where plain text is allowed is the way out's to say, and it says no unless it was told so.
    allowInsecureRequests(configuration)
    return configuration
  }

  /** The ID token, unverified but for what the library checks. Refuses: OIDC_PROVIDER_UNAVAILABLE, OIDC_REFUSED. */
  async exchange(client: OidcClient, { returnUrl, state, nonce, codeVerifier }: CodeExchange): Promise<string> {
    const configuration = await this.configure(client)
    const { provider } = client
    try {
      const checks = { pkceCodeVerifier: codeVerifier, expectedState: state, expectedNonce: nonce, idTokenExpected: true }
      const { id_token: idToken } = await authorizationCodeGrant(configuration, returnUrl, checks)
      if (idToken === undefined) throw failure('OIDC_REFUSED', { provider, detail: 'no_id_token' })
      return idToken
    } catch (error) {
      if (isFromEgress(error)) {
        this.#onOutage('oidc_provider', faultIn(error))
        throw failure('OIDC_PROVIDER_UNAVAILABLE', { provider })
      }
      if (error instanceof ResponseBodyError) throw failure('OIDC_REFUSED', { provider, detail: nameOf(error.error) })
      if (error instanceof Error && error.name !== 'Failure') throw failure('OIDC_REFUSED', { provider, detail: 'response' })
      throw error
    }
  }

  #knownOf(issuer: string): Known {
    const known = this.#servers.get(issuer) ?? { metadata: undefined, readMs: -Infinity, triedMs: -Infinity, reading: undefined }
    this.#servers.delete(issuer)
    this.#servers.set(issuer, known)
    const [oldest] = this.#servers.keys()
    if (this.#servers.size > MAX_SERVERS && oldest !== undefined) this.#servers.delete(oldest)
    return known
  }

  /** Reads it, unless it was tried a moment ago; whoever asks meanwhile waits for the same. Never rejects. */
  #read(issuer: string, known: Known): Promise<void> {
    if (known.reading !== undefined) return known.reading
    if (this.#nowMs() - known.triedMs < COOLDOWN_MS) return Promise.resolve()
    known.triedMs = this.#nowMs()
    known.reading = this.#discover(issuer, known).finally(() => {
      known.reading = undefined
    })
    return known.reading
  }

  async #discover(issuer: string, known: Known): Promise<void> {
    try {
      // The library sees to it that the document is of the issuer that was asked for.
      const options = { [customFetch]: this.#fetch, execute: [allowInsecureRequests], timeout: TIMEOUT_MS / 1_000 }
      const configuration = await discovery(new URL(issuer), 'discovery', undefined, None(), options)
      known.metadata = configuration.serverMetadata()
      known.readMs = this.#nowMs()
    } catch (error) {
      // What was read before stays; without it the provider is unavailable.
      this.#onOutage('oidc_provider', faultIn(error))
    }
  }
}
