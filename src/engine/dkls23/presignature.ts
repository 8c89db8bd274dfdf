import { equalBytes } from '../hash/encoding.ts'
import { benign } from './fault.ts'

/**
 * One finished presignature of one party (docs/protocol.md §9.4). It lives in memory only, signs at most once, and
 * is gone once it was touched. It does not depend on the message or on the derivation path.
 */
export type Presignature = {
  readonly linkId: Uint8Array
  readonly lEpoch: number
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly sid: Uint8Array
  readonly index: number
  /** TH("presig"; sid, u16 index)[0..16]. */
  readonly presigId: Uint8Array
  /** R = R_C + R_S, 33 bytes. */
  readonly noncePoint: Uint8Array
  /** The same point in 65 bytes, which spares the online step a square root. */
  readonly noncePointFull: Uint8Array
  /** φ_i, u_i, v_i: secret scalars. */
  readonly phi: Uint8Array
  readonly u: Uint8Array
  readonly v: Uint8Array
}

/** Overwrites the secrets in place. */
export function wipePresignature(presignature: Presignature): void {
  presignature.phi.fill(0)
  presignature.u.fill(0)
  presignature.v.fill(0)
}

/**
 * The presignature that a request named, of either kind of key, is this wallet's at this epoch. @throws ProtocolFault
 * class A unknown_presig.
 */
export function assertBelongs<P extends Pick<Presignature, 'linkId' | 'walletId' | 'wEpoch'>>(
  presignature: P | undefined,
  linkId: Uint8Array,
  walletId: Uint8Array,
  wEpoch: number,
): asserts presignature is P {
  if (
    presignature === undefined ||
    !equalBytes(presignature.linkId, linkId) ||
    !equalBytes(presignature.walletId, walletId) ||
    presignature.wEpoch !== wEpoch
  ) {
    throw benign('unknown_presig', 'presignature unknown')
  }
}
