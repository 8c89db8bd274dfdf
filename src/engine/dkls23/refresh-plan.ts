/**
 * Which wallets one refresh renews (docs/protocol.md §12): F1 names them, both sides take their own records, and two
 * sides whose records differ disagree on the sid first, which is benign.
 */
import { concatBytes, equalBytes } from '../hash/encoding.ts'
import { type LinkParties, walletContext } from './contexts.ts'
import { benign, violation } from './fault.ts'
import { encodeRefusedSlots, type FRAME_TYPES, type SessionMessage } from './frame.ts'
import type { SlotName } from './presign-plan.ts'
import type { WalletRecord } from './records.ts'
import { encodeSlotName, encodeSlotNames, readSlotNames } from './slot-names.ts'
import type { Role } from './suite.ts'

/** Of the messages that have F1's layout. */
export type FirstType = (typeof FRAME_TYPES)['F1' | 'FORK1']

export type F1 = {
  readonly nonceC: Uint8Array
  readonly names: readonly SlotName[]
  readonly comC: Uint8Array
}

/** F1 = N_C ‖ u16 n ‖ n×(walletId ‖ u32 wEpoch, the present one) ‖ com_C. */
export function encodeF1(nonceC: Uint8Array, names: readonly SlotName[], comC: Uint8Array): Uint8Array {
  return concatBytes(encodeSlotNames(nonceC, names), comC)
}

/**
 * F1, or another message of its layout.
 * @throws ProtocolFault class C: a sid in the header, n = 0 or above `maxWallets`, length, a wallet named twice.
 */
export function decodeF1(message: SessionMessage, type: FirstType, maxWallets: number): F1 {
  const { nonce, names, rest } = readSlotNames(type, message, maxWallets)
  if (!areDistinct(names)) throw violation('a wallet is named twice')
  return { nonceC: nonce, names, comC: rest.take(32) }
}

/**
 * The own records of the wallets that F1 names, in its order.
 * @param offered what this side may refresh now: ACTIVE or about to be so, in no other operation. What is missing or
 *   at another epoch is refused.
 * @throws ProtocolFault class C when records of two algorithms are named; class A plan_refused with the numbers of
 *   all entries that are refused.
 */
export function resolveRefresh(
  link: LinkParties,
  role: Role,
  names: readonly SlotName[],
  offered: readonly WalletRecord[],
): readonly WalletRecord[] {
  const byId = new Map(offered.map((record) => [keyOf(record), record]))
  const known = names.map((name) => byId.get(keyOf(name)))
  const algs = new Set(known.flatMap((record) => (record === undefined ? [] : [record.alg])))
  if (algs.size > 1) throw violation('wallets of two algorithms')
  const found = known.map((record, i) =>
    record !== undefined && record.wEpoch === names[i]?.wEpoch && isOfLink(link, role, record) ? record : undefined,
  )
  const refused = found.flatMap((record, index) => (record === undefined ? [index] : []))
  if (refused.length > 0) throw benign('plan_refused', 'wallets refused', encodeRefusedSlots(refused))
  return found.filter((record) => record !== undefined)
}

/** Whether a record is this side's half of a wallet over this link. */
export function isOfLink(link: LinkParties, role: Role, record: WalletRecord): boolean {
  return record.role === role && equalBytes(record.linkId, link.linkId)
}

export function areDistinct(names: readonly Pick<SlotName, 'walletId'>[]): boolean {
  return new Set(names.map(keyOf)).size === names.length
}

/** Π(walletId ‖ u32 wEpoch ‖ wctx): one item of the sid. */
export function refreshProduct(link: LinkParties, records: readonly WalletRecord[]): Uint8Array {
  return concatBytes(...records.map((record) => concatBytes(encodeSlotName(record), walletContext(link, record))))
}

function keyOf({ walletId }: Pick<SlotName, 'walletId'>): string {
  return Buffer.from(walletId).toString('latin1')
}
