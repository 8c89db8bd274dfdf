/**
 * DelegationService.Cosign: frames of a delegate to its session, answers back as they get ready, and the daemon's own
 * questions between them. What is at work and what is ready but not yet taken count together, so a delegate that does
 * not read is soon not read from either.
 */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { CosignRequest, CosignResponseSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import { delegateOf } from '../domain/call.ts'
import { type Failure, failure, invalidField, isFailure } from '../domain/failure.ts'
import type { CosignAnswer, CosignSession, CosignUseCases } from './cosign-use-cases.ts'
import { readingFailure } from './item-stream.ts'
import type { StreamCall } from './stream-call.ts'
import { toWireStatus } from './stream-item.ts'
import { optionalTimestamp, toWireReceipt } from './wire-words.ts'

type Response = MessageInitShape<typeof CosignResponseSchema>
type Content = NonNullable<Response['content']>
type Make = () => Response

const MAX_AT_WORK = 64
const MAX_BYTES_AT_WORK = 4 * 1024 * 1024
const MAX_ASKED = 16
const ASK_TIMEOUT_MS = 10_000
/** Whoever has the wallet API key alone holds no place for long that its delegate wants. */
const PROVE_WITHIN_MS = 10_000
const MAX_FRAME_BYTES = 1_048_576
const LAST_ID = 2 ** 32 - 1

const misspoke = (field: string, why: string): Failure => invalidField(field, why)

const bounded = (frame: Uint8Array): Uint8Array => {
  if (frame.length > MAX_FRAME_BYTES) throw misspoke('frame', `is larger than ${MAX_FRAME_BYTES} bytes`)
  // In memory of its own: what is handed on takes nothing else along.
  return frame.slice()
}

const toWireAnswer = ({ frame, refusal, receipt }: CosignAnswer): Content => ({
  case: 'frame',
  value: {
    ...(frame === undefined ? {} : { frame }),
    ...(refusal === undefined ? {} : { refusal: toWireStatus(refusal) }),
    ...(receipt === undefined ? {} : { receipt: toWireReceipt(receipt) }),
  },
})

type Asked = { readonly settle: (frame: Uint8Array | undefined) => void; readonly fail: () => void }

class CosignRelay {
  readonly #stream: StreamCall
  readonly #session: CosignSession
  readonly #ready: { readonly make: Make; readonly isWork: boolean; readonly bytes: number }[] = []
  readonly #asked = new Map<number, Asked>()
  #change = Promise.withResolvers<void>()
  #atWork = 0
  #bytes = 0
  #nextId = 1
  #state: 'new' | 'challenged' | 'joined' = 'new'
  #isDone = false
  #wrong: Failure | undefined
  readonly #unproven: NodeJS.Timeout

  constructor(stream: StreamCall, open: CosignUseCases['openCosign'], proveWithinMs: number) {
    this.#stream = stream
    this.#unproven = setTimeout(() => this.#fail(failure('DELEGATE_NOT_PROVEN', {})), proveWithinMs).unref()
    this.#session = open(delegateOf(stream.caller), { question: (frame) => this.#ask(frame), end: (why) => this.#fail(why) })
    stream.onEnd(this.#notify)
  }

  readonly #notify = (): void => {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  #fail(why: Failure): void {
    this.#wrong ??= why
    this.#notify()
  }

  get #isFull(): boolean {
    return this.#atWork >= MAX_AT_WORK || this.#bytes >= MAX_BYTES_AT_WORK
  }

  get #isOver(): boolean {
    return this.#isDone || this.#wrong !== undefined || this.#stream.ending !== undefined || this.#stream.signal.aborted
  }

  /** Reads until there is nothing more to read. */
  async read(source: AsyncIterator<CosignRequest>): Promise<void> {
    try {
      for (;;) {
        while (this.#isFull && !this.#isOver) await this.#change.promise
        if (this.#isOver) return
        const next = await source.next()
        if (next.done === true || this.#isOver) return
        this.#stream.touch()
        await this.#take(next.value)
      }
    } catch (error) {
      this.#fail(isFailure(error) ? error : readingFailure(error))
    } finally {
      this.#isDone = true
      this.#notify()
    }
  }

  /** Waits for nothing but the proof: what comes before it is not answered. */
  async #take({ callId, content }: CosignRequest): Promise<void> {
    if (callId === 0) throw misspoke('call_id', 'is missing')
    switch (content.case) {
      case 'hello': {
        if (this.#state !== 'new') throw misspoke('hello', 'is the first request')
        const { delegatedAccessId, publicKey, nonce } = content.value
        if (publicKey.length !== 32 || nonce.length !== 32) throw misspoke('hello', 'its bytes are 32')
        this.#state = 'challenged'
        const challenge = this.#session.hello({ accessId: delegatedAccessId.toLowerCase(), publicKey, nonce })
        return this.#push(callId, { case: 'challenge', value: challenge })
      }
      case 'proof': {
        if (this.#state !== 'challenged') throw misspoke('proof', 'is the second request')
        const { projectId, walletId, expireTimeMs } = await this.#session.prove(content.value)
        this.#state = 'joined'
        clearTimeout(this.#unproven)
        const value = { projectId, walletId, ...optionalTimestamp('expireTime', expireTimeMs) }
        return this.#push(callId, { case: 'joined', value })
      }
      case 'frame':
        if (this.#state !== 'joined') throw misspoke('frame', 'comes after the proof')
        return this.#begin(callId, bounded(content.value))
      case 'questionAnswer':
        if (this.#state !== 'joined') throw misspoke('question_answer', 'comes after the proof')
        return this.#settle(callId, content.value.frame)
      case 'ping':
        if (this.#state !== 'joined') throw misspoke('ping', 'comes after the proof')
        return this.#push(callId, { case: 'pong', value: {} })
      default:
        throw misspoke('content', 'exactly one field is required in oneof')
    }
  }

  /** Counts as work until it is taken: pings without end are not read without end. */
  #push(callId: number, content: Content): void {
    this.#atWork += 1
    this.#ready.push({ make: () => ({ callId, content }), isWork: true, bytes: 0 })
    this.#notify()
  }

  #begin(callId: number, frame: Uint8Array): void {
    this.#atWork += 1
    // What is handed on is no longer this one's to measure; its answer is until the delegate has taken it.
    const { length } = frame
    const bytes = this.#session.answerBytes(frame)
    this.#bytes += length + bytes
    this.#session.frame(frame).then(
      (answer) => {
        this.#bytes -= length
        this.#ready.push({ make: () => ({ callId, content: toWireAnswer(answer()) }), isWork: true, bytes })
        this.#notify()
      },
      (error: unknown) => this.#fail(isFailure(error) ? error : failure('INTERNAL', {})),
    )
  }

  #ask(frame: Uint8Array): Promise<Uint8Array | undefined> {
    const unanswered = (): Error => new Error('the delegate does not answer')
    if (this.#isOver || this.#state !== 'joined' || this.#asked.size >= MAX_ASKED) return Promise.reject(unanswered())
    return new Promise((resolve, reject) => {
      const callId = this.#nextId
      this.#nextId = callId >= LAST_ID ? 1 : callId + 1
      const fail = (): void => {
        clearTimeout(timer)
        this.#asked.delete(callId)
        reject(unanswered())
      }
      const timer = setTimeout(fail, ASK_TIMEOUT_MS)
      const settle = (answer: Uint8Array | undefined): void => {
        clearTimeout(timer)
        resolve(answer)
      }
      this.#asked.set(callId, { settle, fail })
      this.#ready.push({ make: () => ({ callId, content: { case: 'question', value: frame } }), isWork: false, bytes: 0 })
      this.#notify()
    })
  }

  /** One that nobody waits for any more came late. */
  #settle(callId: number, frame: Uint8Array | undefined): void {
    const waiting = this.#asked.get(callId)
    this.#asked.delete(callId)
    waiting?.settle(frame === undefined ? undefined : bounded(frame))
  }

  async *answers(): AsyncGenerator<Response> {
    for (;;) {
      this.#stream.signal.throwIfAborted()
      if (this.#wrong !== undefined) throw this.#wrong
      const next = this.#ready.shift()
      if (next !== undefined) {
        this.#stream.assertGood()
        yield next.make()
        if (!next.isWork) continue
        this.#stream.touch()
        this.#atWork -= 1
        this.#bytes -= next.bytes
        this.#notify()
      } else if (this.#isOver && this.#atWork === 0) {
        if (this.#stream.ending !== undefined) throw this.#stream.ending
        return
      } else await this.#change.promise
    }
  }

  close(): void {
    this.#isDone = true
    clearTimeout(this.#unproven)
    for (const { fail } of this.#asked.values()) fail()
    this.#session.close()
    this.#notify()
  }
}

export const cosignStream = (openCosign: CosignUseCases['openCosign'], proveWithinMs = PROVE_WITHIN_MS) =>
  async function* (requests: AsyncIterable<CosignRequest>, stream: StreamCall): AsyncGenerator<Response> {
    const relay = new CosignRelay(stream, openCosign, proveWithinMs)
    const source = requests[Symbol.asyncIterator]()
    void relay.read(source)
    try {
      yield* relay.answers()
    } finally {
      relay.close()
      // Not awaited: it may wait for the client.
      void source.return?.()
    }
  }
