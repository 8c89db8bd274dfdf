/**
 * Who gets in: who calls → may they call this → does their rate allow it → do they prove what the call asks for. And
 * who may still hear what comes out.
 */
import type { HandlerContext } from '@connectrpc/connect'
import type { Caller } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { RequestId } from '../domain/ids.ts'
import type { RateLimiter } from '../signing/rate-limiter.ts'
import { checkAccess, type KeyedRule } from './access.ts'
import { type Authenticated, authenticate } from './authenticate.ts'
import { readAuthorization } from './call-transport.ts'
import { bearerJwtOf, toEndUser } from './end-users.ts'
import { peerKey } from './peer.ts'
import type { PipelineDependencies } from './pipeline-needs.ts'
import { toFailure } from './status.ts'

/** What is asked for. */
export type Asked = {
  readonly rule: KeyedRule
  /** `countersign.v1.WalletService/SignMessage` */
  readonly method: string
  readonly requestId: RequestId | undefined
}

type DoorNeeds = Pick<
  PipelineDependencies,
  'directory' | 'users' | 'recordDenial' | 'clock' | 'stopSignal' | 'limits'
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
    const token = isTold ? undefined : bearerJwtOf(authorization)
    if (token === undefined) return authenticate(directory, peer, authorization, clock.nowMs())
    return this.#identifyEndUser(token)
  }

  async #identifyEndUser(token: string): Promise<Authenticated> {
    const { users, clock, limits } = this.#needs
    const caller = toEndUser(await users.verifyAccessToken(token, clock.nowMs()))
    return { caller, requestsPerSecond: limits.maxEndUserRequestsPerSecond }
  }

  /** Lets a caller in who may call this, at their rate, and who shows what the call asks for: the caller as proven. */
  async letIn(asked: Asked, { caller, requestsPerSecond }: Authenticated): Promise<Caller> {
    const { rule, method } = asked
    try {
      checkAccess(rule, caller, method)
      if (caller.kind === 'end_user' && rule.endUsers !== 'token' && caller.walletSecretId === undefined)
        throw failure('WALLET_SECRET_REQUIRED', {})
    } catch (error) {
      await this.#deny(asked, caller, error)
    }
    // What stops things is not held up by how much was asked before.
    if (rule.lane === 'normal' && requestsPerSecond > 0) this.#rates.take(`calls ${caller.principal}`, requestsPerSecond)
    return caller
  }

  async #deny({ method, requestId }: Asked, caller: Caller, error: unknown): Promise<never> {
    const { reason } = toFailure(error)
    this.#rates.take(`denials ${caller.principal}`, this.#needs.limits.maxDenialsPerSecond)
    await this.#needs.recordDenial({ caller, method, requestId, reason })
    throw error
  }

  /** Who is not known is told apart by address. */
  letAnyoneIn(address: string | undefined): void {
    if (this.#needs.stopSignal.aborted) throw failure('SHUTTING_DOWN', {})
    this.#rates.take(`public ${address ?? 'unix'}`, this.#needs.limits.maxPublicRequestsPerSecond)
  }

  /** The caller still stands: nothing is released under a key or a token that was revoked, or is over, meanwhile. */
  assertStands({ lane }: KeyedRule, caller: Caller): void {
    if (lane === 'reserved') return
    const { directory, users, clock } = this.#needs
    if (caller.kind === 'end_user') return users.assertStands(caller, clock.nowMs())
    const record = directory.findById(caller.apiKeyId)
    if (record === undefined) throw failure('API_KEY_INVALID', {})
    const { expireTimeMs } = record
    if (expireTimeMs !== undefined && expireTimeMs <= clock.nowMs())
      throw failure('API_KEY_EXPIRED', { expireTime: new Date(expireTimeMs).toISOString() })
  }

  /** A place for one more open stream; it is given up when disposed of. */
  takeStreamPlace({ principal }: Caller): Disposable {
    const open = this.#streams.get(principal) ?? 0
    if (open >= this.#needs.limits.maxStreamsPerKey)
      throw failure('RATE_LIMITED', { limit: 'open streams', retryAfterMs: 1_000 })
    this.#streams.set(principal, open + 1)
    return { [Symbol.dispose]: () => this.#giveUpPlace(principal) }
  }

  #giveUpPlace(principal: string): void {
    const open = (this.#streams.get(principal) ?? 1) - 1
    if (open > 0) this.#streams.set(principal, open)
    else this.#streams.delete(principal)
  }
}
