/**
 * One finished Ed25519 presignature of one party (docs/protocol.md §18): a nonce pair and the four commitments
 * that presigId names. It lives in memory only and signs at most once. A wiped pair is marked, because a signature
 * share over nonces of zero would be c·x.
 */
import { isZeroScalar } from '../kernel/scalar.ts'
import { benign } from '../dkls23/fault.ts'
import { type OneShot, spend } from '../dkls23/one-shot.ts'
import type { CommitmentPair } from './ciphersuite.ts'

export type EdPresignature = OneShot & {
  readonly linkId: Uint8Array
  /** The durable link epoch at E1. */
  readonly lEpoch: number
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly sid: Uint8Array
  readonly index: number
  /** TH("ed/presig"; sid, u16 index)[0..16]. */
  readonly presigId: Uint8Array
  /** Fixed here: online neither side takes a commitment from a message. */
  readonly commitments: CommitmentPair
  /** d_i, e_i: secret scalars. */
  readonly hidingNonce: Uint8Array
  readonly bindingNonce: Uint8Array
}

/** Overwrites the nonces in place; the presignature signs nothing any more. */
export function wipeEdPresignature(presignature: EdPresignature): void {
  presignature.spent = true
  presignature.hidingNonce.fill(0)
  presignature.bindingNonce.fill(0)
}

/** Takes the one use. @throws ProtocolFault class A unknown_presig when it was taken or wiped before. */
export function spendEdPresignature(presignature: EdPresignature): void {
  spendOrUnknown(presignature)
  if (isZeroScalar(presignature.hidingNonce) || isZeroScalar(presignature.bindingNonce)) {
    throw benign('unknown_presig', 'the nonces are gone')
  }
}

function spendOrUnknown(state: OneShot): void {
  try {
    spend(state)
  } catch {
    throw benign('unknown_presig', 'the presignature was used')
  }
}
