/**
 * The answering side of key generation (docs/protocol.md §5): W1 → W2, W3 → W4 once the new records are durable as
 * PENDING. What becomes of them is C's to say (undecided-wallets.ts).
 */
import { abandonDkg, advanceDkgS, type DkgS2, startDkgS } from '../engine/dkls23/dkg.ts'
import { assertBodyLength, bodyLengthFromCounts, type Frame } from '../engine/dkls23/frame.ts'
import { type OpenedSession, OpenSessions } from './open-sessions.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import { savePending } from './session-wallets.ts'

type Deps = Omit<AnsweringDeps, 'alert'>

export class DkgResponder {
  readonly #deps: Deps
  readonly sessions: OpenSessions<DkgS2>

  constructor(deps: Deps) {
    this.#deps = deps
    this.sessions = new OpenSessions<DkgS2>({ ...deps, abandon: abandonDkg, what: 'key generation' })
  }

  /** W1 → W2. */
  start(frame: Frame): OpenedSession {
    const { link, entropy } = this.#deps
    link.assertAt(frame.lEpoch)
    this.sessions.assertRoom()
    assertBodyLength(frame.body, bodyLengthFromCounts(frame.type, frame.body))
    const inputs = { link: link.parties, entropy, lEpoch: frame.lEpoch, nowMs: link.nowMs, ...link.hedge }
    const { state, body } = startDkgS(inputs, frame)
    this.sessions.add(state, frame.lEpoch)
    return { sid: state.sid, body }
  }

  /** W3 → W4, once the PENDING records are durable. */
  async finish(frame: Frame): Promise<Uint8Array> {
    const { link, store } = this.#deps
    const { pending, body } = advanceDkgS(this.sessions.take(frame), frame.body)
    await savePending(store, pending)
    link.assertUsable('other')
    return body
  }
}
