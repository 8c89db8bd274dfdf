import type { ErrorMessage } from '../engine/dkls23/frame.ts'

/** The peer answered with an error frame. */
export class PeerRefusal extends Error {
  readonly refusal: ErrorMessage

  constructor(refusal: ErrorMessage) {
    super(refusal.code)
    this.name = 'PeerRefusal'
    this.refusal = refusal
  }
}
