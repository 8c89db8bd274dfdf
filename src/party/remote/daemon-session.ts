/**
 * One stream of the paired daemon, at the cosigner. It reads no more while too much is at work or too much waits to be
 * sent, and ends at the first thing that does not belong there.
 */
import { randomBytes } from 'node:crypto'
import { create } from '@bufbuild/protobuf'
import { type ServerDuplexStream, status } from '@grpc/grpc-js'
import { type OpenRequest, OpenRequestSchema, type OpenResponse, OpenResponseSchema } from '../../../gen/countersign/v1/cosigner_pb.ts'
import { PeerUnavailable } from '../counterparty.ts'
import type { LostMaterial } from '../cosigner-links.ts'
import { hexOf } from '../presignature-map.ts'
import { MAX_SHARDS } from '../shards.ts'
import { type Answer, answer, answerCall, DaemonMisspoke, epochPages, refusalOf, type Request } from './answered-calls.ts'
import { RESUME_UNKNOWN } from './asked-calls.ts'
import type { CosignerHost, HostedCosigner } from './cosigner-host.ts'
import { ownBytes, type Part, PART_BYTES, PartReceiver, PartSender, PartsMisspoken } from './frame-parts.ts'
import type { ParkedDaemon } from './parked-daemon.ts'

export type DaemonStream = ServerDuplexStream<OpenRequest, OpenResponse>

type Asked = { readonly settle: (reply: Request | undefined) => void; readonly timer: NodeJS.Timeout }

/** Requests at work; beyond them the stream is not read. */
const MAX_AT_WORK = 256
/** Calls of the cosigner that wait for an answer. */
const MAX_ASKED = 64
const ASK_TIMEOUT_MS = 10_000
const EPOCHS_TIMEOUT_MS = 30_000
const FIRST_CALL_MS = 10_000
/** What an old stream has to make way in. */
const ROTATE_MS = 30_000
const TOKEN_BYTES = 16

export type SessionNeeds = {
  readonly host: CosignerHost
  /** What it made with this daemon over the stream before. */
  readonly parked: ParkedDaemon
  readonly daemonId: Uint8Array
  /** How old the stream gets. */
  readonly maxAgeMs: number
  readonly onMisspoke: (what: string) => void
}

export class DaemonSession {
  readonly #stream: DaemonStream
  readonly #needs: SessionNeeds
  readonly #asked = new Map<number, Asked>()
  readonly ended: Promise<void>
  #end: () => void
  #state: 'new' | 'open' | 'pairing' | 'joined' | 'ended' = 'new'
  #cosigner: HostedCosigner | undefined
  #token: Uint8Array | undefined
  #rotation: NodeJS.Timeout | undefined
  readonly #receiver = new PartReceiver()
  /** Once the daemon has said that it takes parts. */
  #sender: PartSender | undefined
  #nextId = 1
  #atWork = 0
  #isFull = false

  constructor(stream: DaemonStream, needs: SessionNeeds) {
    this.#stream = stream
    this.#needs = needs
    const { promise, resolve } = Promise.withResolvers<void>()
    this.ended = promise
    const late = setTimeout(() => this.close(status.DEADLINE_EXCEEDED, 'nothing was opened'), FIRST_CALL_MS)
    this.#end = () => {
      clearTimeout(late)
      resolve()
    }
    void promise.then(() => clearTimeout(late))
    stream.on('data', (request) => void this.#take(request, late))
    stream.on('drain', () => {
      this.#isFull = false
      this.#pace()
    })
    for (const event of ['cancelled', 'close', 'error', 'end']) stream.on(event, () => this.close(status.OK, ''))
  }

  /** It was paired: the cosigner's thread knows this daemon. */
  get wasPaired(): boolean {
    return this.#cosigner !== undefined
  }

  /** What a further stream may go on with; undefined where nothing was agreed, or the daemon goes for good. */
  get resumable(): { readonly cosigner: HostedCosigner; readonly token: Uint8Array } | undefined {
    const [cosigner, token] = [this.#cosigner, this.#token]
    return cosigner === undefined || token === undefined ? undefined : { cosigner, token }
  }

  get isEnded(): boolean {
    return this.#state === 'ended'
  }

  get isJoined(): boolean {
    return this.#state === 'joined'
  }

  /** Whether the daemon still answers. */
  async isAlive(timeoutMs: number): Promise<boolean> {
    return (await this.#ask({ case: 'ping', value: {} }, timeoutMs))?.case === 'pong'
  }

  /** What party S asks. */
  async question(frame: Uint8Array): Promise<Uint8Array | undefined> {
    const reply = this.isJoined ? await this.#ask({ case: 'question', value: frame }, ASK_TIMEOUT_MS) : undefined
    if (reply?.case !== 'questionAnswer') throw new PeerUnavailable('the daemon does not answer')
    return reply.value.frame === undefined ? undefined : new Uint8Array(reply.value.frame)
  }

  alert(what: string, detail: string): void {
    this.#tell({ case: 'alert', value: { what: what.slice(0, 64), detail: detail.slice(0, 512) } })
  }

  lost({ shard, lEpoch }: LostMaterial): void {
    this.#tell({ case: 'lost', value: { shard, epoch: lEpoch } })
  }

  close(code: status, details: string): void {
    if (this.#state === 'ended') return
    this.#state = 'ended'
    clearTimeout(this.#rotation)
    for (const { settle, timer } of this.#asked.values()) {
      clearTimeout(timer)
      settle(undefined)
    }
    this.#asked.clear()
    this.#sender?.clear()
    if (code === status.OK) this.#stream.end()
    else this.#stream.emit('error', { code, details })
    this.#end()
  }

  #tell(content: Parameters<typeof answer>[0]): void {
    if (this.#state === 'joined') this.#send(this.#nextId++, answer(content))
  }

  #ask(content: Parameters<typeof answer>[0], timeoutMs: number): Promise<Request | undefined> {
    if (this.#state === 'ended' || this.#asked.size >= MAX_ASKED) return Promise.resolve(undefined)
    return new Promise((settle) => {
      const callId = this.#nextId++
      const timer = setTimeout(() => {
        this.#asked.delete(callId)
        settle(undefined)
      }, timeoutMs)
      this.#asked.set(callId, { settle, timer })
      this.#send(callId, answer(content))
    })
  }

  #send(callId: number, content: Answer): void {
    if (this.#state === 'ended') return
    if (this.#stream.write(create(OpenResponseSchema, { callId, content }))) return
    this.#isFull = true
    this.#stream.pause()
  }

  #pace(): void {
    if (this.#state === 'ended') return
    if (this.#isFull || this.#sender?.isFull === true || this.#atWork >= MAX_AT_WORK) this.#stream.pause()
    else this.#stream.resume()
  }

  async #take({ callId, content }: OpenRequest, late: NodeJS.Timeout): Promise<void> {
    if (this.#state === 'ended') return
    if (content.case === 'questionAnswer' || content.case === 'pong') return this.#settle(callId, content)
    this.#atWork += 1
    this.#pace()
    try {
      const request = content.case === 'framePart' ? this.#joinParts(callId, content.value) : content
      if (request === undefined) return
      for (const reply of await this.#answer(request, late)) this.#reply(callId, reply)
    } catch (error) {
      if (error instanceof DaemonMisspoke || error instanceof PartsMisspoken) {
        this.#token = undefined
        this.#needs.onMisspoke(error.message)
        this.close(status.INVALID_ARGUMENT, error.message)
      } else {
        this.#send(callId, refusalOf(error))
      }
    } finally {
      this.#atWork -= 1
      this.#pace()
    }
  }

  /** The frame that this is the last part of. */
  #joinParts(callId: number, part: Part): Request | undefined {
    if (this.#state !== 'joined') throw new DaemonMisspoke('a part before it is paired')
    const value = this.#receiver.take(callId, part)
    return value && create(OpenRequestSchema, { content: { case: 'frame', value } }).content
  }

  #reply(callId: number, reply: Answer): void {
    const frame = reply.case === 'frame' ? reply.value.frame : undefined
    if (this.#sender === undefined || frame === undefined || frame.length <= PART_BYTES) return this.#send(callId, reply)
    this.#sender.send(callId, frame)
  }

  #sendPart(callId: number, part: Part, taken: () => void): void {
    if (this.#state === 'ended') return
    this.#stream.write(create(OpenResponseSchema, { callId, content: answer({ case: 'framePart', value: part }) }), () => {
      taken()
      this.#pace()
    })
  }

  /** One that nobody waits for any more came late. */
  #settle(callId: number, content: Request): void {
    const waiting = this.#asked.get(callId)
    if (waiting === undefined) return
    this.#asked.delete(callId)
    clearTimeout(waiting.timer)
    waiting.settle(content)
  }

  async #answer(request: Request, late: NodeJS.Timeout): Promise<Answer[]> {
    if (request.case === 'open') return [await this.#open(late)]
    const cosigner = this.#cosigner
    if (request.case === 'pair') return [await this.#pair(request.value)]
    if (this.#state !== 'joined' || cosigner === undefined) throw new DaemonMisspoke('a call before it is paired')
    if (request.case === 'leave') {
      this.#token = undefined
      return [answer({ case: 'done', value: {} })]
    }
    if (request.case === 'frame') {
      // What is long is handed over, what is short travels with others.
      const gather = request.value.length <= PART_BYTES
      const frame = await cosigner.frames.call('frame', ownBytes(request.value), { gather })
      return [answer({ case: 'frame', value: frame === undefined ? {} : { frame } })]
    }
    if (request.case === 'getShareEpochs') {
      return epochPages(await cosigner.calls.call('shareEpochs', undefined, { timeoutMs: EPOCHS_TIMEOUT_MS }))
    }
    return [await answerCall(request, cosigner.calls, () => this.#needs.host.nowMs)]
  }

  async #open(late: NodeJS.Timeout): Promise<Answer> {
    if (this.#state !== 'new') throw new DaemonMisspoke('a second opening')
    this.#state = 'open'
    clearTimeout(late)
    const { calls } = await this.#needs.host.ready()
    const { ownId, publicKey, head } = await calls.call('open', undefined, { timeoutMs: ASK_TIMEOUT_MS })
    return answer({ case: 'opened', value: { partyId: ownId, publicKey, head } })
  }

  async #pair({ partyId, shards, resumeToken, takesParts }: Pairing): Promise<Answer> {
    const { host, parked, daemonId } = this.#needs
    if (this.#state !== 'open') throw new DaemonMisspoke('a pairing out of its turn')
    this.#state = 'pairing'
    if (hexOf(partyId) !== hexOf(daemonId)) throw new DaemonMisspoke('an id that is not of its certificate')
    const isSet = new Set(shards).size === shards.length && shards.length > 0 && shards.length <= MAX_SHARDS
    if (!isSet || shards.some((shard) => shard >= MAX_SHARDS)) throw new DaemonMisspoke('links that there are not')
    if (takesParts) this.#sender = new PartSender((...part) => this.#sendPart(...part))
    if (resumeToken.length > 0) return this.#resume(resumeToken)
    await parked.clear()
    const cosigner = await host.ready()
    // What nobody takes back is not done for one that is gone: the thread pairs once.
    if (this.isEnded) throw new PeerUnavailable('the daemon left')
    this.#cosigner = cosigner
    const { head } = await cosigner.calls.call('pair', { idC: daemonId, shards }, { timeoutMs: ASK_TIMEOUT_MS })
    const next = { resumeToken: this.#join(new Uint8Array(randomBytes(TOKEN_BYTES))) }
    const known = head && { head: { sequence: head.sequence, hash: head.hash } }
    return answer({ case: 'paired', value: { ...next, ...known, takesParts: true } })
  }

  /** Goes on with what the stream before left. */
  async #resume(token: Uint8Array): Promise<Answer> {
    const cosigner = await this.#needs.parked.take(token)
    if (cosigner === undefined) {
      this.#state = 'open'
      return answer({ case: 'refused', value: { reason: RESUME_UNKNOWN, facts: {} } })
    }
    // It is not there any more, and comes again.
    if (this.isEnded) {
      this.#needs.parked.keep(cosigner, token)
      throw new PeerUnavailable('the daemon left')
    }
    this.#cosigner = cosigner
    return answer({ case: 'paired', value: { resumeToken: this.#join(token), takesParts: true } })
  }

  /** `token`: of the stream that may follow. It stays the same: the daemon may not have heard of another. */
  #join(token: Uint8Array): Uint8Array {
    this.#token = token.slice()
    if (this.isEnded) return token
    this.#state = 'joined'
    this.#rotation = setTimeout(() => {
      this.#tell({ case: 'rotate', value: {} })
      this.#rotation = setTimeout(() => this.close(status.ABORTED, 'STREAM_ROTATE'), ROTATE_MS).unref()
    }, this.#needs.maxAgeMs).unref()
    return token
  }
}

type Pairing = {
  readonly partyId: Uint8Array
  readonly shards: readonly number[]
  readonly resumeToken: Uint8Array
  readonly takesParts: boolean
}
