/**
 * What a party's thread and its crypto worker say to each other: one call a step, one answer, faults as values. What is
 * large or secret is handed over, so that no second copy of it is made; the rest is small and is copied.
 */
import { ProtocolFault, type FaultClass, type FaultCode, type FaultConsequence } from '../engine/dkls23/fault.ts'
import { HEADER_BYTES } from '../engine/dkls23/frame.ts'
import { type LinkMaterial, makeLinkMaterial } from '../engine/dkls23/link-material.ts'
import type { LinkReason } from '../engine/dkls23/link-setup.ts'
import type { PresignSlot } from '../engine/dkls23/presign-plan.ts'
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import type { Role } from '../engine/dkls23/suite.ts'
import { concatBytes, readU16, readU32, secretBytes, u16, u32, u8 } from '../engine/hash/encoding.ts'

type Message = { readonly sid: Uint8Array; readonly body: Uint8Array }

/** Sessions and materials go by numbers that the worker gives. Slots are packed (`packSlots`); empty: the self-test. */
export type SessionCall =
  | { readonly op: 'startSetupC'; readonly lEpoch: number; readonly reason: LinkReason; readonly replaces: number | undefined }
  | {
      readonly op: 'startSetupS'
      readonly ownLEpoch: number
      readonly replaces: number | undefined
      readonly message: Message & { readonly lEpoch: number }
    }
  | { readonly op: 'startPresignC'; readonly material: number; readonly slots: Uint8Array }
  | { readonly op: 'startPresignS'; readonly material: number; readonly slots: Uint8Array; readonly message: Message }
  | { readonly op: 'startSelfTestS'; readonly material: number; readonly body: Uint8Array }
  /** Takes packed material over (`packMaterial`). */
  | { readonly op: 'adopt'; readonly packed: Uint8Array }
  | { readonly op: 'step'; readonly session: number; readonly message: Message }

/** What has no answer. */
export type SessionNote =
  | { readonly op: 'abandon'; readonly session: number }
  | { readonly op: 'wipeMaterial'; readonly material: number }
  /** Overwrites everything and ends the worker. */
  | { readonly op: 'end' }

/** A session that waits for the peer's next message. */
export type ToldStep = {
  readonly session: number
  readonly body: Uint8Array
  readonly sid?: Uint8Array
  readonly reason?: LinkReason
}
/** A set-up that has given material: `rest` is confC for C and P1 of the self-test for S. `hk` is handed over. */
export type ToldMaterial = {
  readonly material: number
  readonly role: Role
  readonly lEpoch: number
  readonly lctx: Uint8Array
  readonly hk: Uint8Array
  readonly sid: Uint8Array
  readonly rest: Uint8Array
}
/** A finished presign session: packed presignatures (`packPresignatures`), handed over; `body` is P4 of S. */
export type ToldPresignatures = { readonly presignatures: Uint8Array; readonly body: Uint8Array }
export type Told = ToldStep | ToldMaterial | ToldPresignatures

export type ToldFault = {
  readonly faultClass: FaultClass
  readonly codeName: FaultCode
  readonly consequence: FaultConsequence
  readonly detail: Uint8Array
  readonly what: string
}

export type ToWorker = { readonly id: number; readonly call: SessionCall } | { readonly note: SessionNote }
export type FromWorker =
  /** It has loaded, and answers. */
  | { readonly isReady: true }
  | { readonly id: number; readonly told: Told }
  | { readonly id: number; readonly fault: ToldFault }
  /** A bug: its text is for the operator. */
  | { readonly id: number; readonly bug: string }

export const tellFault = ({ faultClass, codeName, consequence, detail, message }: ProtocolFault): ToldFault => ({
  faultClass,
  codeName,
  consequence,
  detail: detail.slice(),
  what: message.slice(message.indexOf(': ') + 2),
})

export const faultOf = ({ faultClass, codeName, consequence, detail, what }: ToldFault): ProtocolFault =>
  new ProtocolFault(faultClass, codeName, what, { detail, consequence })

/** Below this a copy costs less than handing a buffer over. */
const COPIED_BYTES = 4_096

/**
 * The bytes as they may be posted with their buffer: the same ones when they fill it, or are the body of a frame that
 * does, otherwise a copy. A view of something else would take that along.
 */
export const handOver = (bytes: Uint8Array): Uint8Array => {
  const { buffer, byteOffset, length } = bytes
  const ends = byteOffset + length === buffer.byteLength
  const mayGo = ends && (byteOffset === 0 || byteOffset === HEADER_BYTES) && length >= COPIED_BYTES
  if (mayGo) return bytes
  const copy = secretBytes(length)
  copy.set(bytes)
  return copy
}

export const bufferOf = ({ buffer }: Uint8Array): ArrayBuffer => buffer as ArrayBuffer

// ---- material: role u8 ‖ lEpoch u32 ‖ lctx 32 ‖ Δ 16 ‖ chosen seeds 2 048 ‖ seed pairs 4 096 ------------------------------

/** One buffer, to be handed over; the material itself is the caller's to wipe. */
export const packMaterial = ({ role, lEpoch, lctx, delta, chosenSeeds, seedPairs }: LinkMaterial): Uint8Array =>
  concatBytes(u8(role), u32(lEpoch), lctx, delta, chosenSeeds, seedPairs)

/** The packed bytes are overwritten. */
export const unpackMaterial = (packed: Uint8Array): LinkMaterial => {
  const own = (from: number, to: number): Uint8Array => concatBytes(packed.subarray(from, to))
  const material = makeLinkMaterial({
    role: packed[0] as Role,
    lEpoch: readU32(packed, 1),
    lctx: own(5, 37),
    delta: own(37, 53),
    chosenSeeds: own(53, 2_101),
    seedPairs: own(2_101, 6_197),
  })
  packed.fill(0)
  return material
}

// ---- slots: walletId 16 ‖ wEpoch u32 ‖ wctx 32 ‖ X_C 33 ‖ X_S 33 ‖ share 32 ------------------------------------------

const SLOT_BYTES = 150

/** One buffer for all, which holds shares: to be handed over. */
export const packSlots = (slots: readonly PresignSlot[]): Uint8Array => {
  const out = secretBytes(SLOT_BYTES * slots.length)
  slots.forEach(({ walletId, wEpoch, wctx, pointC, pointS, share }, b) => {
    put(out, SLOT_BYTES * b, [walletId, u32(wEpoch), wctx, pointC, pointS, share])
  })
  return out
}

/** Views of the packed bytes, which whoever unpacks them wipes. */
export const unpackSlots = (packed: Uint8Array): readonly PresignSlot[] =>
  Array.from({ length: packed.length / SLOT_BYTES }, (_, b) => {
    const at = packed.subarray(SLOT_BYTES * b, SLOT_BYTES * (b + 1))
    return {
      walletId: at.subarray(0, 16),
      wEpoch: readU32(at, 16),
      wctx: at.subarray(20, 52),
      pointC: at.subarray(52, 85),
      pointS: at.subarray(85, 118),
      share: at.subarray(118, 150),
    }
  })

// ---- presignatures: sid 32 ‖ index u16 ‖ lEpoch u32 ‖ wEpoch u32 ‖ linkId 16 ‖ walletId 16 ‖ presigId 16 ‖ R 33 ‖ R 65 ‖
// ---- φ 32 ‖ u 32 ‖ v 32 -----------------------------------------------------------------------------------------------

const PRESIGNATURE_BYTES = 284

/** One buffer for all, to be handed over; what was packed is overwritten. */
export const packPresignatures = (presignatures: readonly Presignature[]): Uint8Array => {
  const out = secretBytes(PRESIGNATURE_BYTES * presignatures.length)
  presignatures.forEach((one, i) => {
    const { sid, index, lEpoch, wEpoch, linkId, walletId, presigId, noncePoint, noncePointFull, phi, u, v } = one
    const names = [sid, u16(index), u32(lEpoch), u32(wEpoch), linkId, walletId, presigId]
    put(out, PRESIGNATURE_BYTES * i, [...names, noncePoint, noncePointFull, phi, u, v])
    wipePresignature(one)
  })
  return out
}

/** Every field with a buffer of its own, so that a public one takes no secret along; the packed bytes are overwritten. */
export const unpackPresignatures = (packed: Uint8Array): readonly Presignature[] => {
  const own = (at: number, length: number): Uint8Array => {
    const out = secretBytes(length)
    out.set(packed.subarray(at, at + length))
    return out
  }
  const presignatures = Array.from({ length: packed.length / PRESIGNATURE_BYTES }, (_, i) => {
    const at = PRESIGNATURE_BYTES * i
    return {
      sid: own(at, 32),
      index: readU16(packed, at + 32),
      lEpoch: readU32(packed, at + 34),
      wEpoch: readU32(packed, at + 38),
      linkId: own(at + 42, 16),
      walletId: own(at + 58, 16),
      presigId: own(at + 74, 16),
      noncePoint: own(at + 90, 33),
      noncePointFull: own(at + 123, 65),
      phi: own(at + 188, 32),
      u: own(at + 220, 32),
      v: own(at + 252, 32),
    }
  })
  packed.fill(0)
  return presignatures
}

const put = (out: Uint8Array, offset: number, parts: readonly Uint8Array[]): void => {
  let at = offset
  for (const part of parts) {
    out.set(part, at)
    at += part.length
  }
}
