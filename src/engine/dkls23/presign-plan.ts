/**
 * Which wallets fill the slots of a presign session (docs/protocol.md §9.1). Both sides build the plan from their
 * own records: different points, chain codes, ids or epochs give different sids, never a failed check.
 */
import { type Group, SECP256K1_GROUP } from '../curve/group.ts'
import { concatBytes, equalBytes, secretBytes } from '../hash/encoding.ts'
import { type LinkParties, walletContext } from './contexts.ts'
import { benign, damagedRecord, violation } from './fault.ts'
import { encodeRefusedSlots, FRAME_TYPES, type SessionMessage } from './frame.ts'
import type { LinkMaterial } from './link-material.ts'
import type { WalletRecord } from './records.ts'
import { encodeSlotNames, readSlotNames } from './slot-names.ts'
import { ALG_SECP256K1, MAX_SLOTS, ROLE_C, SHORT_ID_BYTES } from './suite.ts'

/** One slot as a session holds it. `share` belongs to the record; a session copies it. */
export type PresignSlot = {
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly wctx: Uint8Array
  readonly pointC: Uint8Array
  readonly pointS: Uint8Array
  readonly share: Uint8Array
}

/** What P1 says about a slot. */
export type SlotName = Pick<PresignSlot, 'walletId' | 'wEpoch'>

export type P1 = {
  readonly nonceC: Uint8Array
  readonly names: readonly SlotName[]
  readonly comC: Uint8Array
}

/** The only entry of the self-test's P1: 20 zero bytes, outside of it the name of no wallet. */
const NULL_SLOT: SlotName = { walletId: new Uint8Array(SHORT_ID_BYTES), wEpoch: 0 }

/**
 * The slot of a wallet, or undefined when it may not be in a session over this material: another algorithm, link
 * or role, not ACTIVE, or a share that is younger than the material allows (minLinkEpoch).
 */
export function presignSlotOf(
  link: LinkParties,
  material: Pick<LinkMaterial, 'role' | 'lEpoch'>,
  record: WalletRecord,
): PresignSlot | undefined {
  const { walletId, wEpoch, pointC, pointS, share } = record
  if (record.alg !== ALG_SECP256K1 || record.role !== material.role || record.state !== 'ACTIVE') return undefined
  if (!equalBytes(record.linkId, link.linkId) || record.minLinkEpoch > material.lEpoch) return undefined
  return { walletId, wEpoch, wctx: walletContext(link, record), pointC, pointS, share }
}

/** P1 = N_C ‖ u16 B ‖ B×(walletId ‖ u32 wEpoch) ‖ com_C. */
export function encodeP1(
  nonceC: Uint8Array,
  slots: readonly SlotName[] | 'self-test',
  comC: Uint8Array,
): Uint8Array {
  const names = slots === 'self-test' ? [NULL_SLOT] : slots
  return concatBytes(encodeSlotNames(nonceC, names), comC)
}

/** @throws ProtocolFault class C: a sid in the header, B = 0 or above 64, length. */
export function decodeP1(message: SessionMessage): P1 {
  const { nonce, names, rest } = readSlotNames(FRAME_TYPES.P1, message, MAX_SLOTS)
  return { nonceC: nonce, names, comC: rest.take(32) }
}

/**
 * The slots that P1 names.
 * @param resolve the own record's slot at that epoch (`presignSlotOf`), undefined for everything that may not
 * presign.
 * @throws ProtocolFault class A plan_refused with the numbers of all refused slots.
 */
export function resolvePlan(
  p1: Pick<P1, 'names'>,
  resolve: (name: SlotName) => PresignSlot | undefined,
): readonly PresignSlot[] {
  const found = p1.names.map((name) => (isNullSlot(name) ? undefined : matching(name, resolve(name))))
  const refused = found.flatMap((slot, index) => (slot === undefined ? [index] : []))
  if (refused.length > 0) throw benign('plan_refused', 'slots refused', encodeRefusedSlots(refused))
  return found.filter((slot) => slot !== undefined)
}

/** @throws ProtocolFault class C unless P1 names the null slot alone. */
export function assertSelfTestPlan(p1: P1): void {
  const [name] = p1.names
  const isNull = name !== undefined && isNullSlot(name) && name.wEpoch === 0
  if (p1.names.length !== 1 || !isNull) throw violation('self-test plan')
}

/**
 * A session's copy of the shares, B×32 bytes, each verified against the own pinned point.
 * @throws ProtocolFault class B, before anything was sent.
 */
export function copyShares(
  role: LinkMaterial['role'],
  slots: readonly PresignSlot[],
  group: Group = SECP256K1_GROUP,
): Uint8Array {
  const shares = secretBytes(32 * slots.length)
  slots.forEach((slot, b) => {
    const share = shares.subarray(32 * b, 32 * b + 32)
    share.set(slot.share)
    const first = slots.findIndex((other) => equalBytes(other.wctx, slot.wctx))
    if (first < b && equalBytes(share, shares.subarray(32 * first, 32 * first + 32))) return
    if (!provesPoint(group, share, role === ROLE_C ? slot.pointC : slot.pointS)) {
      shares.fill(0)
      throw damagedRecord('share and point differ')
    }
  })
  return shares
}

function provesPoint(group: Group, share: Uint8Array, point: Uint8Array): boolean {
  try {
    return equalBytes(group.mulBase(share), point)
  } catch {
    return false
  }
}

function matching(name: SlotName, slot: PresignSlot | undefined): PresignSlot | undefined {
  if (slot === undefined || slot.wEpoch !== name.wEpoch) return undefined
  return equalBytes(slot.walletId, name.walletId) ? slot : undefined
}

function isNullSlot(name: SlotName): boolean {
  return name.walletId.every((byte) => byte === 0)
}
