/**
 * What every call passes, on every listener, before and after its handler: who calls → may they → is there room →
 * is the request valid → how long may it take → was it asked before → the handler → one shape of error → one
 * event. Handlers see a request and a Call and nothing of the transport.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf'
import type { HandlerContext, ServiceImpl } from '@connectrpc/connect'
import type { Call, Caller, PublicCall } from '../domain/call.ts'
import { type Failure, failure, isFailure } from '../domain/failure.ts'
import { StageTimes } from '../domain/stages.ts'
import { PoolMode } from '../../gen/countersign/v1/wallet_pb.ts'
import type { AccessRule, KeyedRule, Lane, PublicRule, SERVICES } from './access.ts'
import { ACCESS, isPublic, methodName, SERVICES as services } from './access.ts'
import { Admission } from './admission.ts'
import type { Authenticated } from './authenticate.ts'
import { CallLimit, type Ending, endingOf } from './call-limit.ts'
import { clientOf, setTrailer } from './call-transport.ts'
import { Door, readRequestId } from './door.ts'
import type { BidiHandler, Handlers, KeyedService, PublicHandler, StreamHandler, UnaryHandler } from './handlers.ts'
import { afterFirst } from './first-message.ts'
import { bodyHashOf, Idempotency } from './idempotency.ts'
import { peerKey } from './peer.ts'
import type { CallEvent, PipelineDependencies } from './pipeline-needs.ts'
import { RateLimiter } from '../signing/rate-limiter.ts'
import { inRegion } from './region-metadata.ts'
import { toFailure, toStatusError } from './status.ts'
import { type ItemAnswer, OpenStreamCall } from './stream-call.ts'
import { webExchangeOf } from './web-exchange.ts'
import { isUrgentRequest } from './urgent-requests.ts'
import { fromTimestamp } from './wire-words.ts'

type Keyed<Rule = KeyedRule> = {
  readonly rule: Rule
  readonly desc: DescMethod
  readonly method: string
  /** Its answer is a signature. */
  readonly signs: boolean
}
type AnyRequest = MessageShape<DescMessage>
type AnyUnary = UnaryHandler<DescMessage, DescMessage>
type AnyStream = StreamHandler<DescMessage, DescMessage>
type AnyPublic = PublicHandler<DescMessage, DescMessage>
type AnyBidi = BidiHandler<DescMessage, DescMessage>

/** Where a unary request comes from: a call of its own, or a stream it is an item of. */
type Origin = {
  readonly authenticated: Authenticated
  /** Of a call of its own. */
  readonly context?: HandlerContext
  readonly client: Ending
  /** What the client leaves; undefined where it does not say. */
  readonly timeoutMs: number | undefined
  readonly stages: StageTimes
  /** The serialized request, where it is at hand. */
  readonly bytes?: Uint8Array | undefined
}

/** Every request for a signature says what to do without a presignature, or which action it is of. */
const signs = ({ input }: DescMethod): boolean =>
  input.fields.some(({ localName }) => localName === 'poolMode' || localName === 'venueTime')
/** In Server-Timing's syntax. */
const TIMING_TRAILER = 'countersign-timing'

/** What the pipeline makes of an RPC. */
const ruleOf = (service: KeyedService, desc: DescMethod): PublicRule | KeyedRule => {
  const rules: { readonly [method: string]: AccessRule } = ACCESS[service]
  const rule = rules[desc.localName]
  if (rule === undefined || rule === 'anyone') throw new Error('assertion: every method of the service has a rule')
  return rule
}

type Timed = { readonly signal: AbortSignal; readonly timeoutMs: number; readonly stages: StageTimes }
const inLane = (keyed: Keyed, lane: Lane): Keyed => ({ ...keyed, rule: { ...keyed.rule, lane } })

type RunItem = (desc: DescMethod, request: AnyRequest, origin: Origin) => Promise<ItemAnswer>
type SigningFields = { readonly poolMode?: PoolMode; readonly notAfter?: Parameters<typeof fromTimestamp>[0] }

export type { Handlers, KeyedService } from './handlers.ts'
export type { CallEvent, CallObserver, Denial, PipelineDependencies, PipelineLimits } from './pipeline-needs.ts'
export { DEFAULT_LIMITS } from './pipeline-needs.ts'

export class Pipeline {
  readonly #needs: PipelineDependencies
  readonly #admission: Admission
  readonly #idempotency: Idempotency
  readonly #door: Door

  constructor(needs: PipelineDependencies) {
    this.#needs = needs
    this.#admission = new Admission(needs.limits.admission)
    this.#door = new Door(needs, new RateLimiter(() => this.#monotonicMs()))
    this.#idempotency = new Idempotency(needs.idempotency)
  }

  /** Calls that are being worked on. */
  get inFlight(): number {
    return this.#admission.inFlight
  }

  /** The implementation of a service that both kinds of listener mount. */
  wrap<S extends KeyedService>(service: S, handlers: Handlers<S>): ServiceImpl<(typeof SERVICES)[S]> {
    const keyedOf = (desc: DescMethod, rule: KeyedRule): Keyed => ({ rule, desc, method: methodName(desc), signs: signs(desc) })
    const handlerOf = (desc: DescMethod): unknown => handlers[desc.localName as keyof typeof handlers]
    const runItem: RunItem = (desc, request, origin) => {
      const rule = ruleOf(service, desc)
      if (isPublic(rule)) throw new Error('assertion: the items of a stream are of its caller')
      return this.#item(keyedOf(desc, rule), handlerOf(desc) as AnyUnary, request, origin)
    }
    const wrapped = services[service].methods.map((desc) => {
      const handler = handlerOf(desc)
      const rule = ruleOf(service, desc)
      if (isPublic(rule)) {
        const open = { rule, desc, method: methodName(desc), signs: false }
        return [
          desc.localName,
          (input: AnyRequest, context: HandlerContext) => this.#public(open, handler as AnyPublic, input, context),
        ]
      }
      const keyed = keyedOf(desc, rule)
      const run = (input: unknown, context: HandlerContext): unknown => {
        if (desc.methodKind === 'unary') return this.#unary(keyed, handler as AnyUnary, input as AnyRequest, context)
        if (desc.methodKind === 'bidi_streaming')
          return this.#bidi(keyed, handler as AnyBidi, input as AsyncIterable<AnyRequest>, context, runItem)
        return this.#stream(keyed, handler as AnyStream, input as AnyRequest, context)
      }
      return [desc.localName, run]
    })
    return Object.fromEntries(wrapped) as ServiceImpl<(typeof SERVICES)[S]>
  }

  /** Refuses callers that would be refused anyway, before their body is read. Changes and counts nothing. */
  async gate(service: KeyedService, context: HandlerContext): Promise<void> {
    if (isPublic(ruleOf(service, context.method))) return
    try {
      await this.#door.identify(context)
    } catch (error) {
      throw toStatusError(toFailure(error))
    }
  }

  #monotonicMs(): number {
    return Number(this.#needs.clock.monotonicNs() / 1_000n) / 1_000
  }

  /** Reports how a call ended. Answers with what it is refused with. */
  #report(event: Omit<CallEvent, 'reason' | 'tookMs'>, startMs: number, error?: unknown): Failure | undefined {
    const refusal = error === undefined ? undefined : toFailure(error)
    if (error !== undefined && !isFailure(error)) this.#needs.observer.onInternalError(event.method, error)
    const tookMs = this.#monotonicMs() - startMs
    this.#needs.observer.onCall({ ...event, reason: refusal?.reason, tookMs })
    return refusal
  }

  /** Reports how a call ended and gives the error its shape on the wire. */
  #conclude(method: string, startMs: number, callerId: string | undefined, error?: unknown): void {
    const refusal = this.#report({ method, callerId, isItem: false, stages: undefined }, startMs, error)
    if (refusal !== undefined) throw toStatusError(refusal)
  }

  async #unary(keyed: Keyed, handler: AnyUnary, request: AnyRequest, context: HandlerContext) {
    const startMs = this.#monotonicMs()
    const stages = new StageTimes()
    const event = { method: keyed.method, isItem: false, stages: keyed.signs ? stages : undefined }
    const tellTime = (): void => {
      if (keyed.signs) setTrailer(context, TIMING_TRAILER, stages.format(this.#monotonicMs() - startMs))
    }
    let authenticated: Authenticated | undefined
    try {
      const known = this.#door.identify(context)
      authenticated = known instanceof Promise ? await known : known
      const origin = { authenticated, context, client: clientOf(context), timeoutMs: context.timeoutMs(), stages }
      const { response, call } = await this.#perform(keyed, handler, inRegion(keyed.desc, request, context), origin)
      this.#door.assertStands(keyed.rule, call.caller)
      for (const check of call.releaseChecks) check()
      tellTime()
      const answered = { ...event, callerId: call.caller.principal, reason: undefined, tookMs: this.#monotonicMs() - startMs }
      // The answer goes first.
      setImmediate(() => this.#needs.observer.onCall(answered))
      return response
    } catch (error) {
      const refusal = this.#report({ ...event, callerId: authenticated?.caller.principal }, startMs, error)
      tellTime()
      throw refusal === undefined ? error : toStatusError(refusal)
    }
  }

  /** As `#unary`, for whoever asks. A request id means nothing here: there is nobody it would be the id of. */
  async #public(open: Keyed<PublicRule>, handler: AnyPublic, request: AnyRequest, context: HandlerContext) {
    const startMs = this.#monotonicMs()
    const { rule, desc, method } = open
    try {
      const { address: peerAddress } = context.values.get(peerKey)
      this.#door.letAnyoneIn(peerAddress)
      const timeoutMs = Math.min(this.#needs.limits.unaryTimeoutMs, context.timeoutMs() ?? Infinity)
      if (timeoutMs <= 0) throw failure('DEADLINE_EXCEEDED', {})
      const { abandonSignal: stopSignal } = this.#needs
      using limit = new CallLimit({ client: clientOf(context), stopSignal, timeoutMs, kind: 'unary' })
      const timed = { signal: limit.signal, timeoutMs, stages: new StageTimes() }
      const call: PublicCall = { ...this.#openWork(open, request, timed), requestId: undefined, peerAddress }
      const response = await limit.race(this.#withPlace(rule.lane, call.signal, () => handler(request, call, webExchangeOf(context))))
      for (const check of call.releaseChecks) check()
      this.#conclude(method, startMs, undefined)
      return create(desc.output, response)
    } catch (error) {
      this.#conclude(method, startMs, undefined, error)
      throw error
    }
  }

  /** What one request passes between authentication and release, whether it came alone or on a stream. */
  async #perform(keyed: Keyed, handler: AnyUnary, request: AnyRequest, origin: Origin) {
    const { authenticated, client, stages } = origin
    const isUrgent = isUrgentRequest(keyed.desc, request)
    const laned = isUrgent ? inLane(keyed, 'reserved') : keyed
    const placed = isUrgent ? inLane(keyed, this.#admission.laneOfUrgent()) : keyed
    const caller = await this.#door.letIn({ ...laned, request }, authenticated, origin.context)
    const notAfterMs = fromTimestamp((request as SigningFields).notAfter) ?? Infinity
    const leftMs = Math.min(origin.timeoutMs ?? Infinity, notAfterMs - this.#needs.clock.nowMs())
    const timeoutMs = Math.min(this.#needs.limits.unaryTimeoutMs, leftMs)
    if (timeoutMs <= 0) throw failure('DEADLINE_EXCEEDED', {})
    const { abandonSignal: stopSignal } = this.#needs
    using limit = new CallLimit({ client, stopSignal, timeoutMs, kind: 'unary' })
    const call = this.#openCall(keyed, caller, request, { signal: limit.signal, timeoutMs, stages })
    return { response: await limit.race(this.#work(placed, handler, request, call, origin.bytes)), call }
  }

  /** One item of a stream. Never rejects; what it may be released on is the stream's to check. */
  async #item(keyed: Keyed, handler: AnyUnary, request: AnyRequest, origin: Origin): Promise<ItemAnswer> {
    const startMs = this.#monotonicMs()
    const { stages, authenticated } = origin
    const callerId = authenticated.caller.principal
    const event = { method: keyed.method, callerId, isItem: true, stages: keyed.signs ? stages : undefined }
    try {
      const { response, call } = await this.#perform(keyed, handler, request, origin)
      const timing = stages.format(this.#monotonicMs() - startMs)
      this.#report(event, startMs)
      const check = (): void => {
        for (const one of call.releaseChecks) one()
      }
      return { response, timing, check }
    } catch (error) {
      const refusal = this.#report(event, startMs, error) ?? failure('INTERNAL', {})
      return { refusal, timing: stages.format(this.#monotonicMs() - startMs) }
    }
  }

  #openCall(keyed: Keyed, caller: Caller, request: AnyRequest, timed: Timed): Call {
    return { caller, ...this.#openWork(keyed, request, timed) }
  }

  #openWork(
    { desc, method }: Omit<Keyed, 'rule'>,
    request: AnyRequest,
    { signal, timeoutMs, stages }: Timed,
  ): Omit<Call, 'caller'> {
    this.#needs.validator.check(desc.input, request)
    return {
      method,
      requestId: readRequestId(request),
      isRepeat: false,
      whenPoolIsEmpty: (request as SigningFields).poolMode === PoolMode.FAIL ? 'fail' : 'wait',
      deadlineMs: this.#needs.clock.nowMs() + timeoutMs,
      signal,
      stages,
      releaseChecks: [],
    }
  }

  async #withPlace<T>(lane: Lane, signal: AbortSignal, work: () => Promise<T>): Promise<T> {
    await this.#enter(lane)
    try {
      signal.throwIfAborted()
      return await work()
    } finally {
      this.#admission.leave(lane)
    }
  }

  /** Runs for as long as the handler does, whoever still waits for it, and keeps its place for as long. */
  async #work({ rule, desc }: Keyed, handler: AnyUnary, request: AnyRequest, call: Call, serialized?: Uint8Array) {
    const { requestId, stages } = call
    const startMs = this.#monotonicMs()
    const begin = (): void => stages.add('queue', this.#monotonicMs() - startMs)
    await this.#enter(rule.lane)
    try {
      call.signal.throwIfAborted()
      if (requestId === undefined) {
        begin()
        return create(desc.output, await handler(request, call))
      }
      const key = { caller: call.caller.principal, method: call.method, requestId }
      let isOwn = false
      const bytes = await this.#idempotency.once(key, bodyHashOf(desc, request, requestId, serialized), async (isRepeat) => {
        isOwn = true
        begin()
        const response = await handler(request, { ...call, isRepeat })
        return toBinary(desc.output, create(desc.output, response))
      })
      // What another call made has passed that one's checks, and leaves by this one.
      if (!isOwn) call.releaseChecks.push(() => this.#needs.idempotency.assertReleasable(key))
      return fromBinary(desc.output, bytes)
    } finally {
      this.#admission.leave(rule.lane)
    }
  }

  async #enter(lane: Lane): Promise<void> {
    const admitted = this.#admission.enter(lane)
    if (admitted !== undefined) await admitted
  }

  async *#stream(keyed: Keyed, handler: AnyStream, request: AnyRequest, context: HandlerContext) {
    const startMs = this.#monotonicMs()
    let authenticated: Authenticated | undefined
    try {
      authenticated = await this.#door.identify(context)
      const caller = await this.#door.letIn({ ...keyed, request }, authenticated, context)
      const maxAgeMs = this.#needs.limits.streamMaxAgeMs
      const { stopSignal } = this.#needs
      using limit = new CallLimit({ client: endingOf(context.signal), stopSignal, timeoutMs: maxAgeMs, kind: 'stream' })
      const timed = { signal: limit.signal, timeoutMs: maxAgeMs, stages: new StageTimes() }
      const call = this.#openCall(keyed, caller, request, timed)
      using _place = this.#door.takeStreamPlace(caller, keyed.rule)
      yield* this.#relay(keyed, handler, request, call, limit)
      this.#conclude(keyed.method, startMs, caller.principal)
    } catch (error) {
      this.#conclude(keyed.method, startMs, authenticated?.caller.principal, error)
    }
  }

  async *#bidi(
    keyed: Keyed,
    handler: AnyBidi,
    requests: AsyncIterable<AnyRequest>,
    context: HandlerContext,
    runItem: RunItem,
  ) {
    const startMs = this.#monotonicMs()
    let authenticated: Authenticated | undefined
    try {
      authenticated = await this.#door.identify(context)
      const { requestsPerSecond, duty } = authenticated
      // Whoever signs a stream signs its first message.
      const isSigned = authenticated.caller.kind === 'end_user' || duty !== undefined
      const signed = isSigned ? await afterFirst(requests) : requests
      const caller = await this.#door.letIn({ ...keyed, request: create(keyed.desc.input) }, authenticated, context)
      using _place = this.#door.takeStreamPlace(caller, keyed.rule)
      using stream = this.#openStreamCall(keyed, { caller, requestsPerSecond }, context, runItem)
      yield* handler(signed, stream)
      this.#conclude(keyed.method, startMs, caller.principal)
    } catch (error) {
      this.#conclude(keyed.method, startMs, authenticated?.caller.principal, error)
    }
  }

  #openStreamCall(keyed: Keyed, authenticated: Authenticated, context: HandlerContext, runItem: RunItem) {
    const { stopSignal, abandonSignal, limits } = this.#needs
    const { streamMaxAgeMs: maxAgeMs, streamIdleMs: idleMs, streamDrainMs: drainMs } = limits
    const assertGood = (): void => this.#door.assertStands(keyed.rule, authenticated.caller)
    const { signal } = context
    const stream: OpenStreamCall = new OpenStreamCall({
      caller: authenticated.caller,
      run: (desc, request, bytes) => {
        const client = endingOf(stream.signal)
        const origin = { authenticated, client, timeoutMs: context.timeoutMs(), stages: new StageTimes(), bytes }
        return runItem(desc, request, origin)
      },
      clientSignal: signal,
      stopSignal,
      abandonSignal,
      assertGood,
      maxAgeMs,
      idleMs,
      drainMs,
    })
    return stream
  }

  /** What the handler yields, until the limit ends it or the caller may no longer hear it. */
  async *#relay(keyed: Keyed, handler: AnyStream, request: AnyRequest, call: Call, limit: CallLimit) {
    const responses = handler(request, call)[Symbol.asyncIterator]()
    try {
      for (;;) {
        const next = await limit.race(responses.next())
        this.#door.assertStands(keyed.rule, call.caller)
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
