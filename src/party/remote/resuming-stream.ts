/**
 * The daemon's hold on its cosigner across streams. One that breaks is followed by another that goes on with what both
 * parties made together in memory; one that is old gives way without anybody noticing. It ends for good where the cosigner
 * has nothing to go on with, and before it was paired.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { failure, isFailure } from '../../domain/failure.ts'
import type { CosignerCalls } from '../cosigner.ts'
import { DistanceMeter, isSmall } from '../distance-meter.ts'
import type { PeerEpochs } from '../epoch-check.ts'
import { hexOf } from '../presignature-map.ts'
import { RESUME_UNKNOWN, type WireCall } from './asked-calls.ts'
import type { ClientIdentity } from './channel-credentials.ts'
import { CosignerStream, type StreamEvents } from './cosigner-stream.ts'

export type RemoteCosigner = ClientIdentity & {
  /** `host:port`. */
  readonly address: string
  /** Who it is, 32 bytes: what its certificate was pinned with. */
  readonly partyId: Uint8Array
}

export type ResumingEvents = Pick<StreamEvents, 'question' | 'alert' | 'lost'> & {
  readonly away: (why: string) => void
  /** It is joined again, and has lost nothing but what was under way. */
  readonly back: () => void
  /** What a round trip takes at least, lately: when it has changed. */
  readonly distance: (ms: number) => void
  readonly ended: () => void
}

type Args<M extends keyof CosignerCalls> = Parameters<CosignerCalls[M]>[0]
type Result<M extends keyof CosignerCalls> = Awaited<ReturnType<CosignerCalls[M]>>
type Pairing = { readonly args: Args<'pair'>; readonly token: Uint8Array }

const OPEN_WITHIN_MS = 8_000
const FIRST_PAUSE_MS = 50
const LONGEST_PAUSE_MS = 5_000
/** What is at work over a stream that gives way is waited for this long. */
const DRAIN_MS = 5_000
const LEAVE_MS = 500
/** What the cosigner answers without much work tells how far away it is. */
const QUICK: ReadonlySet<WireCall> = new Set(['rememberHead', 'status'])
const NONE = new Uint8Array()

export class ResumingStream {
  readonly #cosigner: RemoteCosigner
  readonly #events: ResumingEvents
  #stream: CosignerStream
  #paired: Pairing | undefined
  /** While an old stream gives way: what comes waits. */
  #moving: Promise<void> | undefined
  readonly #distance: DistanceMeter
  #isStopped = false

  constructor(cosigner: RemoteCosigner, events: ResumingEvents) {
    this.#cosigner = cosigner
    this.#events = events
    this.#distance = new DistanceMeter((ms) => events.distance(ms))
    this.#stream = this.#connect()
  }

  /** Refuses with COSIGNER_UNAVAILABLE, another than was paired too. */
  open(): Promise<Result<'open'>> {
    return this.#openOver(this.#stream)
  }

  async pair(args: Args<'pair'>): Promise<Result<'pair'>> {
    const { head, resumeToken } = await this.#stream.pair(args, NONE)
    if (resumeToken.length > 0) this.#paired = { args, token: resumeToken }
    return { head }
  }

  call<M extends WireCall>(method: M, args: Args<M>): Promise<Result<M>> {
    const work = (stream: CosignerStream): Promise<Result<M>> => stream.call(method, args)
    return this.#over(QUICK.has(method) ? (stream) => this.#distance.timed(work(stream)) : work)
  }

  shareEpochs(): Promise<PeerEpochs> {
    return this.#over((stream) => stream.shareEpochs())
  }

  frame(bytes: Uint8Array): Promise<Uint8Array | undefined> {
    const work = (stream: CosignerStream): Promise<Uint8Array | undefined> => stream.frame(bytes)
    return this.#over(isSmall(bytes) ? (stream) => this.#distance.timed(work(stream)) : work)
  }

  /** The cosigner keeps nothing for this daemon, where it can still be told. */
  async stop(): Promise<void> {
    this.#isStopped = true
    await Promise.race([this.#stream.leave().catch(() => undefined), sleep(LEAVE_MS, undefined, { ref: false })])
    this.#stream.close()
    this.#events.ended()
  }

  #over<T>(work: (stream: CosignerStream) => Promise<T>): Promise<T> {
    return this.#moving === undefined ? work(this.#stream) : this.#moving.then(() => work(this.#stream))
  }

  #connect(): CosignerStream {
    const { question, alert, lost } = this.#events
    const stream: CosignerStream = new CosignerStream(this.#cosigner.address, this.#cosigner, {
      question,
      alert,
      lost,
      rotate: () => this.#rotate(stream),
      ended: ({ facts }) => this.#lose(stream, (facts as { readonly why: string }).why),
    })
    return stream
  }

  async #openOver(stream: CosignerStream): Promise<Result<'open'>> {
    const late = setTimeout(() => stream.close(), OPEN_WITHIN_MS)
    const opened = await stream.call('open', undefined).finally(() => clearTimeout(late))
    if (hexOf(opened.ownId) === hexOf(this.#cosigner.partyId)) return opened
    stream.close()
    throw failure('COSIGNER_UNAVAILABLE', { why: 'it is another than its certificate was pinned for' })
  }

  /** Another stream, over which the cosigner goes on. */
  async #resume({ args, token }: Pairing): Promise<CosignerStream> {
    const stream = this.#connect()
    try {
      await this.#openOver(stream)
      await stream.pair(args, token)
      return stream
    } catch (error) {
      stream.close()
      throw error
    }
  }

  /** Of a stream that is not in use, or gives way, nobody hears. */
  #lose(stream: CosignerStream, why: string): void {
    if (stream !== this.#stream || this.#moving !== undefined) return
    if (this.#isStopped) return
    if (this.#paired === undefined) return this.#events.ended()
    this.#events.away(why)
    void this.#comeBack(this.#paired)
  }

  async #comeBack(paired: Pairing): Promise<void> {
    for (let pauseMs = 0; !this.#isStopped; pauseMs = Math.min(LONGEST_PAUSE_MS, 2 * pauseMs || FIRST_PAUSE_MS)) {
      await sleep(pauseMs)
      try {
        const stream = await this.#resume(paired)
        if (stream.isEnded) continue
        this.#stream = stream
        return this.#events.back()
      } catch (error) {
        if (isNothingKept(error)) return this.#events.ended()
      }
    }
  }

  #rotate(stream: CosignerStream): void {
    const paired = this.#paired
    if (stream !== this.#stream || this.#moving !== undefined || paired === undefined) return
    this.#moving = this.#move(stream, paired).finally(() => (this.#moving = undefined))
  }

  async #move(former: CosignerStream, paired: Pairing): Promise<void> {
    await Promise.race([former.drained(), sleep(DRAIN_MS, undefined, { ref: false })])
    former.close()
    try {
      this.#stream = await this.#resume(paired)
    } catch (error) {
      if (isNothingKept(error)) return this.#events.ended()
    }
    if (!this.#stream.isEnded) return
    this.#events.away('its stream was old, and another one could not be opened')
    void this.#comeBack(paired)
  }
}

const isNothingKept = (error: unknown): boolean =>
  isFailure(error) && error.reason === 'COSIGNER_REFUSED' && (error.facts as { readonly why: string }).why === RESUME_UNKNOWN
