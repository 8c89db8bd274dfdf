/**
 * Who gets in: who calls → may they call this → does their rate allow it → do they prove what the call asks for. And
 * who may still hear what comes out.
 */
import type { Message } from '@bufbuild/protobuf'
import type { HandlerContext } from '@connectrpc/connect'
import type { ApiKeyCaller, Caller, EndUserCaller } from '../domain/call.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { parseRequestId, type RequestId } from '../domain/ids.ts'
import { networkOf } from '../domain/network-address.ts'
import type { RateLimiter } from '../signing/rate-limiter.ts'
import { apiKeyIdOf } from '../user/api-key-token.ts'
import { readCompactJwt } from '../user/compact-jwt.ts'
import type { ShownProof } from '../user/prove-request.ts'
import { isHashOf } from '../user/request-hash.ts'
import { checkAccess, type KeyedRule, methodName, usesWallets } from './access.ts'
import { type Authenticated, authenticate, authenticateToken, type KeyDuty } from './authenticate.ts'
import { readAuthority, readAuthorization, readHeader, readRawRequest } from './call-transport.ts'
import { bearerWalletKeyOf } from './delegates.ts'
import { bearerJwtOf, toEndUser } from './end-users.ts'
import { peerKey } from './peer.ts'
import type { PipelineDependencies } from './pipeline-needs.ts'
import { toFailure } from './status.ts'
import { isOrder } from './urgent-requests.ts'

/** What is asked for. */
export type Asked = {
  readonly rule: KeyedRule
  /** `countersign.v1.WalletService/SignMessage` */
  readonly method: string
  /** Of a stream of requests the empty one. */
  readonly request: Message
}

export const readRequestId = (request: Message): RequestId | undefined => {
  const text: unknown = (request as { readonly requestId?: unknown }).requestId
  return typeof text === 'string' ? parseRequestId(text) : undefined
}

const uriOf = (context: HandlerContext, method: string): string => `POST ${readAuthority(context)}/${method}`

/** What came with a request beside who calls, and the request as it came. */
const readProof = (context: HandlerContext, method: string): ShownProof | undefined => {
  const token = readHeader(context, 'x-wallet-auth')
  if (token === null || token === '') return undefined
  return {
    token,
    walletSecretId: readHeader(context, 'x-wallet-secret-id') ?? undefined,
    uri: uriOf(context, method),
    raw: readRawRequest(context),
  }
}

type DoorNeeds = Pick<
  PipelineDependencies,
  'directory' | 'keyProofs' | 'users' | 'delegates' | 'recordDenial' | 'clock' | 'stopSignal' | 'limits'
>

export class Door {
  readonly #needs: DoorNeeds
  readonly #rates: RateLimiter
  readonly #streams = new Map<string, number>()

  constructor(needs: DoorNeeds, rates: RateLimiter) {
    this.#needs = needs
    this.#rates = rates
  }

  /** Who calls. An API key's secret is known at once: no call that shows one waits for anything here. */
  identify(context: HandlerContext): Authenticated | Promise<Authenticated> {
    const { directory, clock } = this.#needs
    if (this.#needs.stopSignal.aborted) throw failure('SHUTTING_DOWN', {})
    const peer = context.values.get(peerKey)
    const authorization = readAuthorization(context)
    const isTold = peer.boundApiKeyId !== undefined || peer.needsCertificateIdentity
    const walletKey = isTold ? undefined : bearerWalletKeyOf(authorization)
    if (walletKey !== undefined) return this.#identifyDelegate(walletKey)
    const token = isTold ? undefined : bearerJwtOf(authorization)
    if (token === undefined) return authenticate(directory, peer, authorization, clock.nowMs())
    const jwt = readCompactJwt(token)
    if (jwt === undefined || apiKeyIdOf(jwt) === undefined) return this.#identifyEndUser(token)
    const uri = uriOf(context, methodName(context.method))
    return authenticateToken(this.#needs, peer, { jwt, uri }, clock.nowMs())
  }

  #identifyDelegate(walletKey: string): Authenticated {
    const { delegates, clock, limits } = this.#needs
    const caller = delegates.findByKey(walletKey, clock.nowMs())
    return { caller, requestsPerSecond: limits.maxEndUserRequestsPerSecond }
  }

  async #identifyEndUser(token: string): Promise<Authenticated> {
    const { users, clock, limits } = this.#needs
    const caller = toEndUser(await users.verifyAccessToken(token, clock.nowMs()))
    return { caller, requestsPerSecond: limits.maxEndUserRequestsPerSecond }
  }

  /**
   * Lets a caller in who may call this, at their rate, and who shows what the call asks for: the caller as proven. An item
   * of a stream shows nothing of its own (`context` absent): its caller was proven when the stream was opened.
   */
  async letIn(asked: Asked, known: Authenticated, context?: HandlerContext): Promise<Caller> {
    const { rule, method } = asked
    const { caller, requestsPerSecond, duty } = known
    try {
      checkAccess(rule, caller, method)
    } catch (error) {
      return this.#deny(asked, caller, error)
    }
    // What stops things is not held up by how much was asked before.
    if (rule.lane === 'normal' && requestsPerSecond > 0) this.#rates.take(`calls ${caller.principal}`, requestsPerSecond)
    if (caller.kind === 'delegate' || (caller.kind !== 'end_user' && duty === undefined)) return caller
    try {
      if (caller.kind === 'end_user') return await this.#prove(asked, caller, context)
      if (duty !== undefined && context !== undefined) await this.#doDuty(asked, caller, duty, context)
      return caller
    } catch (error) {
      return isFailure(error) ? this.#deny(asked, caller, error) : Promise.reject(error)
    }
  }

  /** What an end user shows is looked at wherever they show it: what is wrong is refused also where nothing is asked for. */
  async #prove({ rule, method, request }: Asked, caller: EndUserCaller, context?: HandlerContext): Promise<EndUserCaller> {
    const proof = context === undefined ? undefined : readProof(context, method)
    if (proof === undefined) {
      const isProven = rule.endUsers === 'token' || (rule.endUsers === 'wallet_secret' && caller.walletSecret !== undefined)
      if (!isProven) throw failure('WALLET_SECRET_REQUIRED', {})
      return caller
    }
    const { users } = this.#needs
    if (rule.endUsers !== 'new_wallet_secret')
      return { ...caller, walletSecret: await users.proveWalletSecret(caller, proof) }
    const { publicKey } = request as { readonly publicKey?: unknown }
    await users.proveNewWalletSecret(typeof publicKey === 'string' ? publicKey : '', proof)
    return caller
  }

  /** What an API key has to show beside itself, or shows of itself that counts once. */
  async #doDuty({ rule, method, request: asked }: Asked, { projectId }: ApiKeyCaller, duty: KeyDuty, context: HandlerContext): Promise<void> {
    const { keyProofs } = this.#needs
    const { token, needsDeveloperAuth } = duty
    if (token !== undefined) {
      const { reqHash, publicKey, tokenId, issuedMs, expireMs: untilMs } = token
      const raw = reqHash === undefined ? undefined : readRawRequest(context)
      if (reqHash !== undefined && (raw === undefined || !isHashOf(reqHash, raw)))
        throw failure('API_KEY_TOKEN_INVALID', { detail: 'body' })
      if (!(await keyProofs.useToken({ publicKey, tokenId, issuedMs, untilMs }))) throw failure('API_KEY_TOKEN_REPLAYED', {})
    }
    if (!needsDeveloperAuth || !(usesWallets(rule) || isOrder(asked))) return
    const shown = readHeader(context, 'x-developer-auth')
    if (shown === null || shown === '') throw failure('DEVELOPER_AUTH_REQUIRED', {})
    const request = { uri: uriOf(context, method), raw: readRawRequest(context) }
    await keyProofs.proveDeveloper(projectId, { token: shown, ...request })
  }

  async #deny({ method, request }: Asked, caller: Caller, error: unknown): Promise<never> {
    const { reason } = toFailure(error)
    this.#rates.take(`denials ${caller.principal}`, this.#needs.limits.maxDenialsPerSecond)
    await this.#needs.recordDenial({ caller, method, requestId: readRequestId(request), reason })
    throw error
  }

  /** Who is not known is told apart by address. */
  letAnyoneIn(address: string | undefined): void {
    if (this.#needs.stopSignal.aborted) throw failure('SHUTTING_DOWN', {})
    this.#rates.take(`public ${networkOf(address)}`, this.#needs.limits.maxPublicRequestsPerSecond)
  }

  /** The caller still stands: nothing is released under a key or a token that was revoked, or is over, meanwhile. */
  assertStands({ lane }: KeyedRule, caller: Caller): void {
    if (lane === 'reserved') return
    const { directory, users, delegates, clock } = this.#needs
    if (caller.kind === 'delegate') return delegates.assertStands(caller, clock.nowMs())
    if (caller.kind === 'end_user') return users.assertStands(caller, clock.nowMs())
    const record = directory.findById(caller.apiKeyId)
    if (record === undefined) throw failure('API_KEY_INVALID', {})
    const { expireTimeMs } = record
    if (expireTimeMs !== undefined && expireTimeMs <= clock.nowMs())
      throw failure('API_KEY_EXPIRED', { expireTime: new Date(expireTimeMs).toISOString() })
  }

  /** A place for one more open stream; it is given up when disposed of. */
  takeStreamPlace({ principal }: Caller, { isOneAnswer }: Pick<KeyedRule, 'isOneAnswer'>): Disposable {
    const { maxStreamsPerKey, maxAnswersPerKey } = this.#needs.limits
    const name = isOneAnswer === true ? `answers ${principal}` : principal
    const open = this.#streams.get(name) ?? 0
    if (open >= (isOneAnswer === true ? maxAnswersPerKey : maxStreamsPerKey))
      throw failure('RATE_LIMITED', { limit: 'open streams', retryAfterMs: 1_000 })
    this.#streams.set(name, open + 1)
    return { [Symbol.dispose]: () => this.#giveUpPlace(name) }
  }

  #giveUpPlace(name: string): void {
    const open = (this.#streams.get(name) ?? 1) - 1
    if (open > 0) this.#streams.set(name, open)
    else this.#streams.delete(name)
  }
}
