/**
 * The other party of a two-party protocol, wherever it runs: a worker thread (embedded cosigner), a stream to another
 * host (remote cosigner), a delegate. Both sides speak whole protocol frames (docs/protocol.md, "Wire format"); the
 * carrier pairs a frame with its answer, because an error frame to a sign request names no request.
 */
export type Counterparty = {
  /**
   * Sends one frame and waits for the peer's answer; `undefined` where the peer has none to give (an ACK).
   * Rejects with PeerUnavailable when the carrier is gone or `timeoutMs` has passed: the outcome is then unknown.
   */
  readonly exchange: (frame: Uint8Array, timeoutMs: number) => Promise<Uint8Array | undefined>
  readonly close: () => void
}

/** What a party does with a frame that its peer sent. It never throws: a refusal is an error frame. */
export type FrameHandler = (frame: Uint8Array) => Promise<Uint8Array | undefined>

/** The peer did not answer: it is gone, or too slow. Says nothing about what the peer has done. */
export class PeerUnavailable extends Error {
  constructor(why: string) {
    super(why)
    this.name = 'PeerUnavailable'
  }
}
