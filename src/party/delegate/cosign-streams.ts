/**
 * The streams of a delegate to one daemon that delegated, one an access, as the carrier of one link. A frame that names a
 * wallet goes over that wallet's stream, with what follows in its session; one that names none over whichever is open.
 */
import { decodeFrame, FRAME_TYPES } from '../../engine/dkls23/frame.ts'
import { ROLE_C } from '../../engine/dkls23/suite.ts'
import { PeerUnavailable } from '../counterparty.ts'
import { isSignFrame, walletsNamedIn } from '../delegate-gate.ts'
import { hexOf } from '../presignature-map.ts'
import { type CosignIdentity, CosignStream, type CosignTarget, type DaemonRefusal, type Joined } from './cosign-stream.ts'

export type CosignStreamsDeps = {
  readonly identity: CosignIdentity
  /** How an access joins. Rejects where it may not any more. */
  readonly targetOf: (accessId: Uint8Array) => CosignTarget
  /** Accesses that may be joined, for frames that name none. */
  readonly accesses: () => readonly Uint8Array[]
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
}

type Open = { readonly stream: CosignStream; readonly joined: Promise<Joined>; isJoined: boolean }
type Refused = { readonly refusal: DaemonRefusal; readonly atMs: number }

/** After a stream ended: so long the same reason is told, and the daemon left alone. */
const RETRY_AFTER_MS = 500
const MAX_SESSIONS = 256
const MAX_REFUSALS = 1_024
const HEADER_BYTES = 64
const SID_AT = 28
const SID_BYTES = 32
const REQ_ID_AT = HEADER_BYTES + 52
const REQ_ID_BYTES = 16

const sidOf = (frame: Uint8Array): string => hexOf(frame.subarray(SID_AT, SID_AT + SID_BYTES))
const NO_SESSION = '00'.repeat(SID_BYTES)

export class CosignStreams {
  readonly #deps: CosignStreamsDeps
  readonly #open = new Map<string, Open>()
  readonly #ended = new Map<string, Refused>()
  /** Session → wallet, for the messages that name a session only. */
  readonly #sessions = new Map<string, Uint8Array>()
  /** What the daemon refused to sign, by request id. */
  readonly #refusals = new Map<string, DaemonRefusal>()
  #last: string | undefined
  #losses = 0
  #closed = false

  constructor(deps: CosignStreamsDeps) {
    this.#deps = deps
  }

  /** Rises whenever a stream ended that had been joined: what the other side had in memory may be gone. */
  get losses(): number {
    return this.#losses
  }

  /** Opens the stream of an access, if it is not. Rejects with PeerUnavailable; `refusalOf` then says what the daemon said. */
  async join(accessId: Uint8Array): Promise<Joined> {
    return (await this.#streamOf(accessId)).joined
  }

  /** Why the daemon ended the stream of an access last. */
  refusalOf(accessId: Uint8Array): DaemonRefusal | undefined {
    return this.#ended.get(hexOf(accessId))?.refusal
  }

  /** What the daemon said as it refused to sign this request. Once. */
  takeRefusal(reqId: Uint8Array): DaemonRefusal | undefined {
    const key = hexOf(reqId)
    const refusal = this.#refusals.get(key)
    this.#refusals.delete(key)
    return refusal
  }

  /** A frame of party C, and the answer of party S. */
  async frame(frame: Uint8Array): Promise<Uint8Array | undefined> {
    const accessId = this.#accessFor(frame)
    if (accessId === undefined) throw new PeerUnavailable('there is nothing that it delegated')
    const { stream, joined } = await this.#streamOf(accessId)
    await joined
    const { frame: answer, refusal } = await stream.frame(frame)
    if (refusal !== undefined && isSignFrame(frame)) this.#noteRefusal(frame, refusal)
    if (answer !== undefined) this.#noteSession(answer, accessId)
    return answer
  }

  drop(accessId: Uint8Array): void {
    const key = hexOf(accessId)
    this.#open.get(key)?.stream.close()
    this.#open.delete(key)
    this.#ended.delete(key)
  }

  close(): void {
    this.#closed = true
    for (const { stream } of this.#open.values()) stream.close()
    this.#open.clear()
  }

  #accessFor(bytes: Uint8Array): Uint8Array | undefined {
    const frame = decodeFrame(bytes, ROLE_C)
    // A set-up tests itself with a wallet that there is not.
    const [named] = frame.type === FRAME_TYPES.L5 ? [] : walletsNamedIn(frame)
    const known = named ?? this.#sessions.get(sidOf(bytes))
    if (known !== undefined) return new Uint8Array(known)
    const joined = this.#joinedOne()
    if (joined !== undefined) return Uint8Array.from(Buffer.from(joined, 'hex'))
    const accesses = this.#deps.accesses()
    return accesses.find((accessId) => !this.#isRefused(accessId)) ?? accesses[0]
  }

  /** The one that was used last, if it can be. What is only being joined, by whom ever, carries nothing of the others'. */
  #joinedOne(): string | undefined {
    const last = this.#last
    if (last !== undefined && this.#open.get(last)?.isJoined === true) return last
    for (const [key, { isJoined }] of this.#open) if (isJoined) return key
    return undefined
  }

  /** The daemon said no, and why. */
  #isRefused(accessId: Uint8Array): boolean {
    const ended = this.#ended.get(hexOf(accessId))
    return ended !== undefined && ended.refusal.reason !== ''
  }

  async #streamOf(accessId: Uint8Array): Promise<Open> {
    const key = hexOf(accessId)
    const open = this.#open.get(key)
    if (open !== undefined && !open.stream.isOver) {
      if (open.isJoined) this.#last = key
      return open
    }
    if (this.#closed) throw new PeerUnavailable('the daemon stops')
    const ended = this.#ended.get(key)
    if (ended !== undefined && performance.now() - ended.atMs < RETRY_AFTER_MS) throw new PeerUnavailable(ended.refusal.message)
    return this.#openStream(key, accessId)
  }

  #openStream(key: string, accessId: Uint8Array): Open {
    const stream: CosignStream = new CosignStream(this.#deps.targetOf(accessId), this.#deps.identity, {
      question: this.#deps.question,
      ended: (why, refusal) => this.#noteEnd(key, why, refusal),
    })
    const opened: Open = { stream, joined: stream.joined, isJoined: false }
    this.#open.set(key, opened)
    const noteJoined = (): void => {
      opened.isJoined = true
      this.#ended.delete(key)
      this.#last = key
    }
    stream.joined.then(noteJoined).catch(() => undefined)
    return opened
  }

  #noteEnd(key: string, why: string, refusal: DaemonRefusal | undefined): void {
    if (this.#open.get(key)?.isJoined === true) this.#losses += 1
    this.#open.delete(key)
    if (this.#closed) return
    this.#ended.set(key, { refusal: refusal ?? { reason: '', message: why }, atMs: performance.now() })
  }

  #noteRefusal(frame: Uint8Array, refusal: DaemonRefusal): void {
    const [oldest] = this.#refusals.size >= MAX_REFUSALS ? this.#refusals.keys() : []
    if (oldest !== undefined) this.#refusals.delete(oldest)
    this.#refusals.set(hexOf(frame.subarray(REQ_ID_AT, REQ_ID_AT + REQ_ID_BYTES)), refusal)
  }

  #noteSession(answer: Uint8Array, accessId: Uint8Array): void {
    const sid = sidOf(answer)
    if (sid === NO_SESSION) return
    this.#sessions.delete(sid)
    const [oldest] = this.#sessions.size >= MAX_SESSIONS ? this.#sessions.keys() : []
    if (oldest !== undefined) this.#sessions.delete(oldest)
    this.#sessions.set(sid, accessId)
  }
}
