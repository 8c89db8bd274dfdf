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
import { OpenSessions } from './open-sessions.ts'
import type { CosignerStore } from './party-store.ts'

type Deps = {
  readonly link: Link
  readonly store: CosignerStore
  readonly entropy: Entropy
  readonly clock: Clock
}

export class DkgResponder {
  readonly #deps: Deps
  readonly sessions: OpenSessions<DkgS2>

  constructor(deps: Deps) {
    this.#deps = deps
    this.sessions = new OpenSessions<DkgS2>({ ...deps, abandon: abandonDkg, what: 'key generation' })
  }

  /** W1 → W2. */
  start(frame: Frame): { readonly sid: Uint8Array; readonly body: Uint8Array } {
    const { link, entropy } = this.#deps
    link.assertUsable('other')
    if (frame.lEpoch !== link.record.lEpoch) throw benign('session', 'another link epoch')
    this.sessions.assertRoom()
    assertBodyLength(frame.body, bodyLengthFromCounts(frame.type, frame.body))
    const hk = link.material?.hk
    const inputs = { link: link.parties, entropy, lEpoch: frame.lEpoch, nowMs: link.nowMs }
    const { state, body } = startDkgS(hk === undefined ? inputs : { ...inputs, hk }, frame)
    this.sessions.add(state, frame.lEpoch)
    return { sid: state.sid, body }
  }

  /** W3 → W4, once the PENDING records are durable. */
  async finish(frame: Frame): Promise<Uint8Array> {
    const { link, store } = this.#deps
    const { pending, body } = advanceDkgS(this.sessions.take(frame), frame.body)
    try {
      await store.savePending(pending)
    } finally {
      for (const { share } of pending.records) share.fill(0)
    }
    link.assertUsable('other')
    return body
  }
}
