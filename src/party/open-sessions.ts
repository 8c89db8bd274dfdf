/**
 * The sessions of one kind that party S has begun and not finished: one-shot, in memory, and gone with their secrets when
 * their time is over, whether or not another message comes.
 */
import type { Clock } from '../domain/clock.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { Frame } from '../engine/dkls23/frame.ts'
import type { Link } from './link.ts'
import { SESSION_MS } from './live-operation.ts'
import { hexOf } from './presignature-map.ts'

type Deps<State> = {
  readonly link: Link
  readonly clock: Clock
  /** Overwrites the secrets of a state that will not go on. */
  readonly abandon: (state: State) => void
  /** As a refusal names it: `key generation`. */
  readonly what: string
}
type Session<State> = {
  readonly state: State
  /** Of the header of every message of it. */
  readonly lEpoch: number
  readonly startedMs: number
  readonly timer: NodeJS.Timeout
}

/** What answers the first message of a session. */
export type OpenedSession = { readonly sid: Uint8Array; readonly body: Uint8Array }

const MAX_SESSIONS = 64

export class OpenSessions<State extends { readonly sid: Uint8Array }> {
  readonly #deps: Deps<State>
  readonly #sessions = new Map<string, Session<State>>()

  constructor(deps: Deps<State>) {
    this.#deps = deps
  }

  has(sid: Uint8Array): boolean {
    return this.#sessions.has(hexOf(sid))
  }

  add(state: State, lEpoch: number): void {
    const timer = setTimeout(() => this.drop(state.sid), SESSION_MS).unref()
    this.#sessions.set(hexOf(state.sid), { state, lEpoch, startedMs: this.#deps.clock.nowMs(), timer })
  }

  drop(sid: Uint8Array): void {
    const session = this.#release(sid)
    if (session !== undefined) this.#deps.abandon(session.state)
  }

  dropAll(): void {
    this.dropWhere(() => true)
  }

  dropWhere(isOver: (state: State) => boolean): void {
    for (const { state } of this.#sessions.values()) if (isOver(state)) this.drop(state.sid)
  }

  /** @throws ProtocolFault class A busy when as many are open as may be, none of them over. */
  assertRoom(): void {
    if (this.#sessions.size >= MAX_SESSIONS) this.#expire()
    if (this.#sessions.size >= MAX_SESSIONS) throw benign('busy', `too many of: ${this.#deps.what}`)
  }

  /**
   * The session that this frame finishes: it is over whatever follows, and its state is the caller's to spend.
   * @throws ProtocolFault class A: none goes by this sid, the link may not be used, another epoch, its time is over.
   */
  take(frame: Pick<Frame, 'sid' | 'lEpoch'>): State {
    const { link, clock, what, abandon } = this.#deps
    const session = this.#release(frame.sid)
    if (session === undefined) throw benign('session', `no such ${what}`)
    try {
      link.assertUsable('other')
      if (session.lEpoch !== frame.lEpoch) throw benign('session', 'another link epoch')
      if (clock.nowMs() - session.startedMs > SESSION_MS) throw benign('session', 'the session is over')
    } catch (error) {
      abandon(session.state)
      throw error
    }
    return session.state
  }

  #release(sid: Uint8Array): Session<State> | undefined {
    const session = this.#sessions.get(hexOf(sid))
    this.#sessions.delete(hexOf(sid))
    clearTimeout(session?.timer)
    return session
  }

  #expire(): void {
    const oldest = this.#deps.clock.nowMs() - SESSION_MS
    for (const { state, startedMs } of this.#sessions.values()) if (startedMs <= oldest) this.drop(state.sid)
  }
}
