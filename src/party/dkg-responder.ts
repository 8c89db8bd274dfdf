/**
 * The answering side of key generation (docs/protocol.md §5): W1 → W2, W3 → W4 once the new records are durable as
 * PENDING. What becomes of them is C's to say (undecided-wallets.ts).
 */
import type { Clock } from '../domain/clock.ts'
import { abandonDkg, advanceDkgS, type DkgS2, startDkgS } from '../engine/dkls23/dkg.ts'
import { benign } from '../engine/dkls23/fault.ts'
import { assertBodyLength, bodyLengthFromCounts, type Frame } from '../engine/dkls23/frame.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import type { Link } from './link.ts'
import { SESSION_MS } from './live-operation.ts'
import type { CosignerStore } from './party-store.ts'
import { hexOf } from './presignature-map.ts'

type Deps = {
  readonly link: Link
  readonly store: CosignerStore
  readonly entropy: Entropy
  readonly clock: Clock
}
type Session = { readonly state: DkgS2; readonly lEpoch: number; readonly startedMs: number; readonly timer: NodeJS.Timeout }

const MAX_SESSIONS = 64

export class DkgResponder {
  readonly #deps: Deps
  readonly #sessions = new Map<string, Session>()

  constructor(deps: Deps) {
    this.#deps = deps
  }

  has(sid: Uint8Array): boolean {
    return this.#sessions.has(hexOf(sid))
  }

  drop(sid: Uint8Array): void {
    const session = this.#take(sid)
    if (session !== undefined) abandonDkg(session.state)
  }

  dropAll(): void {
    for (const { state } of this.#sessions.values()) this.drop(state.sid)
  }

  /** W1 → W2. */
  start(frame: Frame): { readonly sid: Uint8Array; readonly body: Uint8Array } {
    const { link, clock, entropy } = this.#deps
    link.assertUsable('other')
    if (frame.lEpoch !== link.record.lEpoch) throw benign('session', 'another link epoch')
    if (this.#sessions.size >= MAX_SESSIONS) this.#expire()
    if (this.#sessions.size >= MAX_SESSIONS) throw benign('busy', 'too many key generations')
    assertBodyLength(frame.body, bodyLengthFromCounts(frame.type, frame.body))
    const hk = link.material?.hk
    const inputs = { link: link.parties, entropy, lEpoch: frame.lEpoch, nowMs: link.nowMs }
    const { state, body } = startDkgS(hk === undefined ? inputs : { ...inputs, hk }, frame)
    const { sid } = state
    const timer = setTimeout(() => this.drop(sid), SESSION_MS).unref()
    this.#sessions.set(hexOf(sid), { state, lEpoch: frame.lEpoch, startedMs: clock.nowMs(), timer })
    return { sid, body }
  }

  /** W3 → W4, once the PENDING records are durable. */
  async finish(frame: Frame): Promise<Uint8Array> {
    const { link, store } = this.#deps
    const session = this.#live(frame)
    const { pending, body } = advanceDkgS(session.state, frame.body)
    try {
      await store.savePending(pending)
    } finally {
      for (const { share } of pending.records) share.fill(0)
    }
    link.assertUsable('other')
    return body
  }

  /** The session of a W3, which is over whatever follows. */
  #live(frame: Frame): Session {
    const { link, clock } = this.#deps
    const session = this.#take(frame.sid)
    if (session === undefined) throw benign('session', 'no such key generation')
    try {
      link.assertUsable('other')
      if (session.lEpoch !== frame.lEpoch) throw benign('session', 'another link epoch')
      if (clock.nowMs() - session.startedMs > SESSION_MS) throw benign('session', 'the session is over')
    } catch (error) {
      abandonDkg(session.state)
      throw error
    }
    return session
  }

  #take(sid: Uint8Array): Session | undefined {
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
