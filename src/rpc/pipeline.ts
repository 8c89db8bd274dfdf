/**
 * What every call passes, on every listener, before and after its handler: who calls → may they → is there room →
 * is the request valid → how long may it take → was it asked before → the handler → one shape of error → one
 * event. Handlers see a request and a Call and nothing of the transport.
 */
import { createHash } from 'node:crypto'
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type {
  DescMessage,
  DescMethod,
  DescMethodServerStreaming,
  DescMethodUnary,
  MessageInitShape,
  MessageShape,
} from '@bufbuild/protobuf'
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'
import type { Call, Caller } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import type { FailureReason } from '../domain/failure.ts'
import { failure, isFailure } from '../domain/failure.ts'
import type { ApiKeyId, RequestId } from '../domain/ids.ts'
import { parseRequestId } from '../domain/ids.ts'
import type { AccessRule, KeyedRule, Lane, SERVICES } from './access.ts'
import { ACCESS, checkAccess, methodName, SERVICES as services } from './access.ts'
import type { AdmissionLimits } from './admission.ts'
import { Admission } from './admission.ts'
import type { ApiKeyDirectory, Authenticated } from './authenticate.ts'
import { authenticate } from './authenticate.ts'
import { CallLimit } from './call-limit.ts'
import type { IdempotencyStore } from './idempotency.ts'
import { Idempotency } from './idempotency.ts'
import { peerKey } from './peer.ts'
import { RateLimiter } from './rate-limiter.ts'
import { toFailure, toStatusError } from './status.ts'
import type { RequestValidator } from './validate.ts'

export type UnaryHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => Promise<MessageInitShape<O>>

export type StreamHandler<I extends DescMessage, O extends DescMessage> = (
  request: MessageShape<I>,
  call: Call,
) => AsyncIterable<MessageInitShape<O>>

export type Handler<M extends DescMethod> =
  M extends DescMethodUnary<infer I, infer O>
    ? UnaryHandler<I, O>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? StreamHandler<I, O>
      : never

/** The services whose callers are known by an API key. */
export type KeyedService = 'wallet' | 'audit' | 'admin'
export type Handlers<S extends KeyedService> = {
  readonly [M in keyof (typeof SERVICES)[S]['method']]: Handler<
    Extract<(typeof SERVICES)[S]['method'][M], DescMethod>
  >
}

/** One a call, when it has ended. `reason` is absent when it was answered. */
export type CallEvent = {
  readonly method: string
  readonly apiKeyId: ApiKeyId | undefined
  readonly reason: FailureReason | undefined
  readonly tookMs: number
}

export type CallObserver = {
  readonly onCall: (event: CallEvent) => void
  /** A bug: what the caller hears of as `internal error`. */
  readonly onInternalError: (method: string, error: unknown) => void
}

/** An authenticated caller was kept out by the access table. */
export type Denial = {
  readonly caller: Caller
  readonly method: string
  readonly requestId: RequestId | undefined
  readonly reason: FailureReason
}

export type PipelineLimits = {
  readonly unaryTimeoutMs: number
  readonly streamMaxAgeMs: number
  readonly maxStreamsPerKey: number
  /** Each is a row in the audit chain, so a caller gets only so many. */
  readonly maxDenialsPerSecond: number
  readonly admission: AdmissionLimits
}

export const DEFAULT_LIMITS: Omit<PipelineLimits, 'admission'> = {
  unaryTimeoutMs: 30_000,
  streamMaxAgeMs: 12 * 3_600_000,
  maxStreamsPerKey: 64,
  maxDenialsPerSecond: 500,
}

export type PipelineDependencies = {
  readonly directory: ApiKeyDirectory
  readonly idempotency: IdempotencyStore
  readonly validator: RequestValidator
  readonly observer: CallObserver
  /** Writes the audit row of a refusal; the refusal is answered once it is durable. */
  readonly recordDenial: (denial: Denial) => Promise<void>
  readonly clock: Clock
  /** Aborts when the daemon begins to stop: streams end, and no further call is let in. */
  readonly stopSignal: AbortSignal
  /** Aborts when calls in flight are no longer waited for. */
  readonly abandonSignal: AbortSignal
  readonly limits: PipelineLimits
}

type Keyed = { readonly rule: KeyedRule; readonly desc: DescMethod; readonly method: string }
type AnyRequest = MessageShape<DescMessage>
type AnyUnary = UnaryHandler<DescMessage, DescMessage>
type AnyStream = StreamHandler<DescMessage, DescMessage>

const NOT_KEYED = 'assertion: a service with keyed callers has a rule for every method'

const readRequestId = (request: AnyRequest): RequestId | undefined => {
  const text: unknown = (request as { readonly requestId?: unknown }).requestId
  return typeof text === 'string' ? parseRequestId(text) : undefined
}

export class Pipeline {
  readonly #needs: PipelineDependencies
  readonly #admission: Admission
  readonly #rates: RateLimiter
  readonly #idempotency: Idempotency
  readonly #streams = new Map<ApiKeyId, number>()

  constructor(needs: PipelineDependencies) {
    this.#needs = needs
    this.#admission = new Admission(needs.limits.admission)
    this.#rates = new RateLimiter(() => this.#monotonicMs())
    this.#idempotency = new Idempotency(needs.idempotency)
  }

  /** Calls that are being worked on. */
  get inFlight(): number {
    return this.#admission.inFlight
  }

  /** The implementation of a service that both kinds of listener mount. */
  wrap<S extends KeyedService>(service: S, handlers: Handlers<S>): ServiceImpl<(typeof SERVICES)[S]> {
    const rules: { readonly [method: string]: AccessRule } = ACCESS[service]
    const wrapped = services[service].methods.map((desc) => {
      const rule = rules[desc.localName]
      if (rule === undefined || rule === 'anyone') throw new Error(NOT_KEYED)
      const keyed: Keyed = { rule, desc, method: methodName(desc) }
      const handler: unknown = handlers[desc.localName as keyof typeof handlers]
      const isUnary = desc.methodKind === 'unary'
      return [
        desc.localName,
        isUnary
          ? (request: AnyRequest, context: HandlerContext) =>
              this.#unary(keyed, handler as AnyUnary, request, context)
          : (request: AnyRequest, context: HandlerContext) =>
              this.#stream(keyed, handler as AnyStream, request, context),
      ]
    })
    return Object.fromEntries(wrapped) as ServiceImpl<(typeof SERVICES)[S]>
  }

  /** Refuses callers that would be refused anyway, before their body is read. Changes and counts nothing. */
  gate(service: KeyedService, context: HandlerContext): void {
    const rules: { readonly [method: string]: AccessRule } = ACCESS[service]
    const rule = rules[context.method.localName]
    if (rule === undefined || rule === 'anyone') throw new Error(NOT_KEYED)
    try {
      this.#authenticate(context)
    } catch (error) {
      throw toStatusError(toFailure(error))
    }
  }

  #monotonicMs(): number {
    return Number(this.#needs.clock.monotonicNs() / 1_000n) / 1_000
  }

  #authenticate(context: HandlerContext): Authenticated {
    const { directory, clock } = this.#needs
    if (this.#needs.stopSignal.aborted) throw failure('SHUTTING_DOWN', {})
    const authorization = context.requestHeader.get('authorization')
    return authenticate(directory, context.values.get(peerKey), authorization, clock.nowMs())
  }

  /** Who calls, once it is clear that they may and that their rate allows it. */
  async #letIn({ rule, method }: Keyed, { caller, record }: Authenticated, request: AnyRequest): Promise<void> {
    try {
      checkAccess(rule, caller, method)
    } catch (error) {
      const { reason } = toFailure(error)
      this.#rates.take(`denials ${caller.apiKeyId}`, this.#needs.limits.maxDenialsPerSecond)
      await this.#needs.recordDenial({ caller, method, requestId: readRequestId(request), reason })
      throw error
    }
    // What stops things is not held up by how much was asked before.
    if (rule.lane === 'normal' && record.requestsPerSecond > 0)
      this.#rates.take(`calls ${caller.apiKeyId}`, record.requestsPerSecond)
  }

  /** The key still stands: nothing is released under one that was revoked, or is over, meanwhile. */
  #checkStillGood({ rule }: Keyed, caller: Caller): void {
    if (rule.lane === 'reserved') return
    const record = this.#needs.directory.findById(caller.apiKeyId)
    if (record === undefined) throw failure('API_KEY_INVALID', {})
    const { expireTimeMs } = record
    if (expireTimeMs !== undefined && expireTimeMs <= this.#needs.clock.nowMs())
      throw failure('API_KEY_EXPIRED', { expireTime: new Date(expireTimeMs).toISOString() })
  }

  /** Reports how a call ended and gives the error its shape on the wire. */
  #conclude(method: string, startMs: number, apiKeyId: ApiKeyId | undefined, error?: unknown): void {
    const refusal = error === undefined ? undefined : toFailure(error)
    if (error !== undefined && !isFailure(error)) this.#needs.observer.onInternalError(method, error)
    const tookMs = this.#monotonicMs() - startMs
    this.#needs.observer.onCall({ method, apiKeyId, reason: refusal?.reason, tookMs })
    if (refusal !== undefined) throw toStatusError(refusal)
  }

  async #unary(keyed: Keyed, handler: AnyUnary, request: AnyRequest, context: HandlerContext) {
    const startMs = this.#monotonicMs()
    let authenticated: Authenticated | undefined
    try {
      authenticated = this.#authenticate(context)
      const { caller } = authenticated
      await this.#letIn(keyed, authenticated, request)
      const timeoutMs = Math.min(this.#needs.limits.unaryTimeoutMs, context.timeoutMs() ?? Infinity)
      if (timeoutMs <= 0) throw failure('DEADLINE_EXCEEDED', {})
      using limit = this.#openLimit(context, timeoutMs, 'unary')
      const call = this.#openCall(keyed, caller, request, limit, timeoutMs)
      const response = await limit.race(this.#work(keyed, handler, request, call))
      this.#checkStillGood(keyed, caller)
      this.#conclude(keyed.method, startMs, caller.apiKeyId)
      return response
    } catch (error) {
      this.#conclude(keyed.method, startMs, authenticated?.caller.apiKeyId, error)
      throw error
    }
  }

  #openLimit(context: HandlerContext, timeoutMs: number, kind: 'unary' | 'stream'): CallLimit {
    const { stopSignal, abandonSignal } = this.#needs
    const clientSignal = context.signal
    return new CallLimit({
      clientSignal,
      stopSignal: kind === 'stream' ? stopSignal : abandonSignal,
      timeoutMs,
      kind,
    })
  }

  #openCall(
    { desc, method }: Keyed,
    caller: Caller,
    request: AnyRequest,
    limit: CallLimit,
    timeoutMs: number,
  ): Call {
    this.#needs.validator.check(desc.input, request)
    const requestId = readRequestId(request)
    // The body is hashed with the id as it is kept: letter case does not make it another request.
    if (requestId !== undefined) Object.assign(request, { requestId })
    return {
      caller,
      method,
      requestId,
      isRepeat: false,
      bodyHash: createHash('sha256').update(toBinary(desc.input, request)).digest(),
      deadlineMs: this.#needs.clock.nowMs() + timeoutMs,
      signal: limit.signal,
    }
  }

  /** Runs for as long as the handler does, whoever still waits for it, and keeps its place for as long. */
  async #work({ rule, desc }: Keyed, handler: AnyUnary, request: AnyRequest, call: Call) {
    await this.#enter(rule.lane)
    try {
      call.signal.throwIfAborted()
      const { requestId } = call
      if (requestId === undefined) return create(desc.output, await handler(request, call))
      const key = { caller: call.caller.apiKeyId, method: call.method, requestId }
      const bytes = await this.#idempotency.once(key, call.bodyHash, async (isRepeat) => {
        const response = await handler(request, { ...call, isRepeat })
        return toBinary(desc.output, create(desc.output, response))
      })
      return fromBinary(desc.output, bytes)
    } finally {
      this.#admission.leave(rule.lane)
    }
  }

  async #enter(lane: Lane): Promise<void> {
    const admitted = this.#admission.enter(lane)
    if (admitted !== undefined) await admitted
  }

  #openStream(apiKeyId: ApiKeyId): void {
    const open = this.#streams.get(apiKeyId) ?? 0
    if (open >= this.#needs.limits.maxStreamsPerKey)
      throw failure('RATE_LIMITED', { limit: 'open streams', retryAfterMs: 1_000 })
    this.#streams.set(apiKeyId, open + 1)
  }

  #closeStream(apiKeyId: ApiKeyId): void {
    const open = (this.#streams.get(apiKeyId) ?? 1) - 1
    if (open > 0) this.#streams.set(apiKeyId, open)
    else this.#streams.delete(apiKeyId)
  }

  async *#stream(keyed: Keyed, handler: AnyStream, request: AnyRequest, context: HandlerContext) {
    const startMs = this.#monotonicMs()
    let authenticated: Authenticated | undefined
    try {
      authenticated = this.#authenticate(context)
      const { caller } = authenticated
      await this.#letIn(keyed, authenticated, request)
      const maxAgeMs = this.#needs.limits.streamMaxAgeMs
      using limit = this.#openLimit(context, maxAgeMs, 'stream')
      const call = this.#openCall(keyed, caller, request, limit, maxAgeMs)
      this.#openStream(caller.apiKeyId)
      try {
        yield* this.#relay(keyed, handler, request, call, limit)
      } finally {
        this.#closeStream(caller.apiKeyId)
      }
      this.#conclude(keyed.method, startMs, caller.apiKeyId)
    } catch (error) {
      this.#conclude(keyed.method, startMs, authenticated?.caller.apiKeyId, error)
    }
  }

  /** What the handler yields, until the limit ends it or the caller may no longer hear it. */
  async *#relay(keyed: Keyed, handler: AnyStream, request: AnyRequest, call: Call, limit: CallLimit) {
    const responses = handler(request, call)[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await limit.race(responses.next())
        this.#checkStillGood(keyed, call.caller)
        if (next.done === true) {
          // A handler ends its stream quietly when the signal aborts; the caller is told why.
          limit.signal.throwIfAborted()
          return
        }
        yield next.value
      }
    } finally {
      // Not awaited: a handler that does not heed the signal must not hold the call up.
      responses.return?.().catch(() => {})
    }
  }
}
