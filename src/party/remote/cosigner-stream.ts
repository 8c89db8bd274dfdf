/**
 * The daemon's end of the stream to a remote cosigner: calls with ids of their own, answered in any order, and the
 * cosigner's own. It ends once and for all at the first thing that does not belong there; who uses it opens another.
 */
import { create } from '@bufbuild/protobuf'
import { Client, type ClientDuplexStream } from '@grpc/grpc-js'
import {
  type OpenRequest,
  OpenRequestSchema,
  type OpenResponse,
  OpenResponseSchema,
} from '../../../gen/countersign/v1/cosigner_pb.ts'
import { type Failure, failure } from '../../domain/failure.ts'
import { MAX_SHARDS } from '../shards.ts'
import {
  type Answered,
  type Asked,
  CosignerMisspoke,
  EpochPages,
  EPOCHS_CALL,
  LEAVE_CALL,
  type Paired,
  pairCall,
  readPaired,
  readRefusal,
  WIRE_CALLS,
  type WireCall,
} from './asked-calls.ts'
import { type ClientIdentity, pinnedClient } from './channel-credentials.ts'
import { CLIENT_OPTIONS, COSIGNER_RPCS } from './cosigner-service.ts'
import { ownBytes, type Part, PART_BYTES, PartReceiver, PartSender, PartsMisspoken } from './frame-parts.ts'
import type { CosignerCalls } from '../cosigner.ts'
import type { LostMaterial } from '../cosigner-links.ts'
import type { PeerEpochs } from '../epoch-check.ts'

export type StreamEvents = {
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  readonly alert: (what: string, detail: string) => void
  readonly lost: (lost: LostMaterial) => void
  /** It is old: another one is to take its place. */
  readonly rotate: () => void
  readonly ended: (why: Failure) => void
}

type Waiting = {
  /** Whether that was all. @throws CosignerMisspoke */
  readonly take: (answer: Answered) => boolean
  readonly fail: (error: Error) => void
}

type Args<M extends WireCall> = Parameters<CosignerCalls[M]>[0]
type Result<M extends WireCall> = Awaited<ReturnType<CosignerCalls[M]>>

/** More than any daemon has under way: a cosigner that answers nothing is given up, not fed. */
const MAX_WAITING = 10_000
/** Questions of the cosigner at work. */
const MAX_QUESTIONS = 64
/** Alerts, and as many losses, that are passed on in a minute: what an honest cosigner has to say. */
const MAX_NOTICES = 1_000
const MINUTE_MS = 60_000
/** What is not sent yet, in messages: the network is slower than the work for too long. */
const MAX_UNSENT = 4_096

export class CosignerStream {
  readonly #client: Client
  readonly #stream: ClientDuplexStream<OpenRequest, OpenResponse>
  readonly #events: StreamEvents
  readonly #waiting = new Map<number, Waiting>()
  #nextId = 1
  #questions = 0
  #notices = { sinceMs: performance.now(), alert: 0, lost: 0 }
  /** Frames that are longer than a part, once the cosigner has said that it takes them. */
  #sender: PartSender | undefined
  readonly #receiver = new PartReceiver()
  #end: Failure | undefined
  #onSettled: () => void = () => undefined

  constructor(address: string, identity: ClientIdentity, events: StreamEvents) {
    this.#events = events
    this.#client = new Client(address, pinnedClient(identity), CLIENT_OPTIONS)
    const { path, requestSerialize, responseDeserialize } = COSIGNER_RPCS.open
    this.#stream = this.#client.makeBidiStreamRequest(path, requestSerialize, responseDeserialize)
    this.#stream.on('data', (response) => this.#take(response))
    this.#stream.on('error', (error: { readonly code?: number }) => this.#lose(whyOf(error.code)))
    this.#stream.on('end', () => this.#lose('it closed the stream'))
  }

  async call<M extends WireCall>(method: M, args: Args<M>): Promise<Result<M>> {
    const row = WIRE_CALLS[method] as { ask: (args: Args<M>) => Asked; read: (answer: Answered) => Result<M> }
    return this.#ask(row.ask(args), (answer) => ({ value: row.read(answer) }))
  }

  /** `resumeToken`: of the stream before, or empty. Refuses with COSIGNER_REFUSED, RESUME_UNKNOWN, what is not there any more. */
  async pair(args: Parameters<CosignerCalls['pair']>[0], resumeToken: Uint8Array): Promise<Paired> {
    const paired = await this.#ask(pairCall(args, resumeToken), (answer) => ({ value: readPaired(answer) }))
    if (paired.takesParts) this.#sender = new PartSender((...part) => this.#sendPart(...part))
    return paired
  }

  /** Does not come back to what was made over this stream. */
  async leave(): Promise<void> {
    await this.#ask(LEAVE_CALL, () => ({ value: undefined }))
  }

  /** Resolves when every call was answered, or the stream has ended. */
  async drained(): Promise<void> {
    while (this.#waiting.size > 0) await new Promise<void>((wake) => (this.#onSettled = wake))
  }

  shareEpochs(): Promise<PeerEpochs> {
    const pages = new EpochPages()
    return this.#ask(EPOCHS_CALL, (answer) => {
      const value = pages.add(answer)
      return value && { value }
    })
  }

  get isEnded(): boolean {
    return this.#end !== undefined
  }

  /** A frame of party C, and the answer of party S. */
  frame(frame: Uint8Array): Promise<Uint8Array | undefined> {
    return this.#ask({ case: 'frame', value: frame }, (answer) => {
      if (answer.case !== 'frame') throw new CosignerMisspoke('no frame')
      const { frame: reply } = answer.value
      return { value: reply === undefined ? undefined : ownBytes(reply) }
    })
  }

  close(): void {
    this.#stream.end()
    this.#lose('it is closed')
  }

  #ask<T>(content: Asked, read: (answer: Answered) => { readonly value: T } | undefined): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.#end !== undefined) return reject(this.#end)
      if (this.#waiting.size >= MAX_WAITING) return reject(failure('OVERLOADED', { retryAfterMs: 1_000 }))
      const callId = this.#nextId
      this.#nextId = callId >= LAST_ID ? 1 : callId + 1
      const take = (answer: Answered): boolean => {
        if (answer.case === 'refused') {
          reject(readRefusal(answer.value))
          return true
        }
        const whole = read(answer)
        if (whole === undefined) return false
        resolve(whole.value)
        return true
      }
      this.#waiting.set(callId, { take, fail: reject })
      const isLong = content.case === 'frame' && content.value.length > PART_BYTES
      if (isLong && this.#sender !== undefined) this.#sender.send(callId, content.value)
      else this.#send(callId, content)
    })
  }

  #sendPart(callId: number, part: Part, taken: () => void): void {
    if (this.#end !== undefined) return
    const { content } = create(OpenRequestSchema, { content: { case: 'framePart', value: part } })
    this.#stream.write(create(OpenRequestSchema, { callId, content: content as Asked }), taken)
  }

  #send(callId: number, content: Asked): void {
    if (this.#end !== undefined) return
    this.#stream.write(create(OpenRequestSchema, { callId, content }))
    if (this.#stream.writableLength > MAX_UNSENT) this.#lose('the network to it is too slow')
  }

  #take({ callId, content }: OpenResponse): void {
    if (this.#end !== undefined) return
    try {
      switch (content.case) {
        case 'ping':
          return this.#send(callId, { case: 'pong', value: PONG })
        case 'question':
          return this.#answer(callId, content.value)
        case 'alert':
          if (this.#isFlood('alert')) return
          return this.#events.alert(content.value.what.slice(0, 64), content.value.detail.slice(0, 512))
        case 'lost': {
          if (this.#isFlood('lost')) throw new CosignerMisspoke('losses without end')
          const { shard, epoch } = content.value
          if (shard >= MAX_SHARDS) throw new CosignerMisspoke('a link')
          return this.#events.lost({ shard, lEpoch: epoch })
        }
        case 'rotate':
          return this.#events.rotate()
        case 'framePart':
          return this.#takePart(callId, content.value)
        default:
          return this.#settle(callId, content)
      }
    } catch (error) {
      if (!(error instanceof CosignerMisspoke || error instanceof PartsMisspoken)) throw error
      this.#events.alert('misspoke', error.message)
      this.#lose('it answered what it may not')
    }
  }

  /** One that never stops would fill the daemon's log and memory. */
  #isFlood(what: 'alert' | 'lost'): boolean {
    const nowMs = performance.now()
    if (nowMs - this.#notices.sinceMs >= MINUTE_MS) this.#notices = { sinceMs: nowMs, alert: 0, lost: 0 }
    this.#notices[what] += 1
    return this.#notices[what] > MAX_NOTICES
  }

  #takePart(callId: number, part: Part): void {
    if (!this.#waiting.has(callId)) throw new CosignerMisspoke('a part of an answer that nobody waits for')
    const frame = this.#receiver.take(callId, part)
    if (frame === undefined) return
    this.#settle(callId, create(OpenResponseSchema, { content: { case: 'frame', value: { frame } } }).content)
  }

  #settle(callId: number, content: Answered): void {
    const waiting = this.#waiting.get(callId)
    if (waiting === undefined) throw new CosignerMisspoke('an answer that nobody waits for')
    if (!waiting.take(content)) return
    this.#waiting.delete(callId)
    this.#onSettled()
  }

  #answer(callId: number, frame: Uint8Array): void {
    if (this.#questions >= MAX_QUESTIONS) throw new CosignerMisspoke('too many questions')
    this.#questions += 1
    const reply = (answer: { frame?: Uint8Array }): void => {
      this.#questions -= 1
      const { content } = create(OpenRequestSchema, { content: { case: 'questionAnswer', value: answer } })
      this.#send(callId, content as Asked)
    }
    this.#events.question(new Uint8Array(frame)).then(
      (answer) => reply(answer === undefined ? {} : { frame: answer }),
      () => reply({}),
    )
  }

  #lose(why: string): void {
    if (this.#end !== undefined) return
    const end = failure('COSIGNER_UNAVAILABLE', { why })
    this.#end = end
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    this.#sender?.clear()
    for (const { fail } of waiting) fail(end)
    this.#onSettled()
    this.#stream.cancel()
    this.#client.close()
    this.#events.ended(end)
  }
}

const LAST_ID = 2 ** 32 - 1
const { content: pong } = create(OpenRequestSchema, { content: { case: 'pong', value: {} } })
const PONG = (pong as Extract<Asked, { case: 'pong' }>).value

/** gRPC's codes; the text that comes with them is the other side's. */
const WHYS: Readonly<Record<number, string>> = {
  3: 'it does not understand this daemon',
  4: 'it does not answer in time',
  6: 'another stream of this daemon is open there',
  7: 'it is paired with another daemon',
  8: 'a message is too large',
  14: 'it cannot be reached, or is not the one this daemon was paired with',
}

const whyOf = (code: number | undefined): string => WHYS[code ?? -1] ?? 'the stream to it ended'
