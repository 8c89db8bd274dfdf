import type { DelegateCaller } from '../domain/call.ts'
import type { Failure } from '../domain/failure.ts'
import type { ReceiptView } from './use-cases.ts'

/** What the daemon may want of a delegate while its stream is open. */
export type CosignPeer = {
  /** A question of party S: a frame. Rejects when it is not answered in time. */
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  /** Nothing more leaves over the stream. */
  readonly end: (why: Failure) => void
}

export type CosignChallenge = {
  readonly publicKey: Uint8Array
  readonly nonce: Uint8Array
  readonly signature: Uint8Array
}

export type CosignJoined = {
  readonly projectId: string
  readonly walletId: string
  readonly expireTimeMs: number | undefined
}

export type CosignAnswer = {
  readonly frame: Uint8Array | undefined
  /** Where the frame refuses by the daemon's own decision. */
  readonly refusal?: Failure | undefined
  readonly receipt?: ReceiptView | undefined
}

/** One stream of a delegate. What it throws ends the stream. */
export type CosignSession = {
  readonly hello: (said: {
    readonly accessId: string
    readonly publicKey: Uint8Array
    readonly nonce: Uint8Array
  }) => CosignChallenge
  readonly prove: (signature: Uint8Array) => Promise<CosignJoined>
  /** The answer is made in the turn in which it leaves. */
  readonly frame: (frame: Uint8Array) => Promise<() => CosignAnswer>
  readonly close: () => void
}

export type CosignUseCases = {
  readonly openCosign: (caller: DelegateCaller, peer: CosignPeer) => CosignSession
}
