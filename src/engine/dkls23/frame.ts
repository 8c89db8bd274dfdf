/**
 * The frame around every message (docs/protocol.md §16): a 64-byte header and a body of a length that is known
 * before the body is read. Order of checks for every message: header syntax (C) → link, epoch and session by sid
 * (A) → type (C) → exact body length (C) → sid recomputed where the message carries the peer's nonce (A) →
 * content.
 */
import { concatBytes, equalBytes, plainBytes, readU16, readU32, u16, u32, u8 } from '../hash/encoding.ts'
import { benign, FAULT_CODES, type FaultCode, type ProtocolFault, violation } from './fault.ts'
import {
  ALG_ED25519,
  BASE_OT_BYTES,
  MAX_DKG_WALLETS,
  MAX_REFRESH_WALLETS,
  MAX_SLOTS,
  oteMessageBytes,
  POINT_BYTES,
  ROLE_C,
  ROLE_S,
  type Role,
  RVOLE_SLOT_BYTES,
  SUITE,
} from './suite.ts'

export const HEADER_BYTES = 64
const MAGIC = Uint8Array.of(0x43, 0x53, 0x47, 0x32)

export const FRAME_TYPES = {
  L1: 0x01,
  L2: 0x02,
  L3: 0x03,
  L4: 0x04,
  L5: 0x05,
  W1: 0x08,
  W2: 0x09,
  W3: 0x0a,
  W4: 0x0b,
  W5: 0x0c,
  P1: 0x10,
  P2: 0x11,
  P3: 0x12,
  P4: 0x13,
  E1: 0x18,
  E2: 0x19,
  SIGN_REQUEST: 0x20,
  SIGN_RESPONSE: 0x21,
  ED_SIGN_REQUEST: 0x22,
  ED_SIGN_RESPONSE: 0x23,
  F1: 0x30,
  F2: 0x31,
  F3: 0x32,
  F4: 0x33,
  F5: 0x34,
  OUTCOME_ANSWER: 0x38,
  OUTCOME_QUESTION: 0x39,
  FORK1: 0x40,
  FORK2: 0x41,
  FORK3: 0x42,
  FORK4: 0x43,
  FORK5: 0x44,
  SEALED_SHARE: 0x45,
  IM1: 0x48,
  IM2: 0x49,
  IM3: 0x4a,
  IM4: 0x4b,
  IM5: 0x4c,
  EXPORT_REQUEST: 0x50,
  EXPORT_ANSWER: 0x51,
  REHOME1: 0x58,
  REHOME2: 0x59,
  REHOME3: 0x5a,
  REHOME4: 0x5b,
  REHOME5: 0x5c,
  HELLO: 0x7e,
  ERROR: 0x7f,
} as const

export type FrameType = (typeof FRAME_TYPES)[keyof typeof FRAME_TYPES]

export type Frame = {
  readonly type: FrameType
  /** The sender. */
  readonly role: Role
  readonly linkId: Uint8Array
  readonly lEpoch: number
  /** 32 zero bytes in the first message of an operation and in messages without a session. */
  readonly sid: Uint8Array
  readonly body: Uint8Array
}

/** A message of a session: the header's sid and the body. */
export type SessionMessage = Pick<Frame, 'sid' | 'body'>

export const NO_SID: Uint8Array = new Uint8Array(32)

/** Which side may send a type; both where it is not listed. */
const SENDER: ReadonlyMap<FrameType, Role> = new Map<FrameType, Role>([
  ...fromC('L1', 'L3', 'L5', 'W1', 'W3', 'W5', 'P1', 'P3', 'E1', 'SIGN_REQUEST', 'ED_SIGN_REQUEST'),
  ...fromC('F1', 'F3', 'F5'),
  ...fromC('FORK1', 'FORK3', 'FORK5', 'IM1', 'IM3', 'IM5', 'REHOME1', 'REHOME3', 'REHOME5', 'OUTCOME_ANSWER'),
  ...fromS('L2', 'L4', 'W2', 'W4', 'P2', 'P4', 'E2', 'SIGN_RESPONSE', 'ED_SIGN_RESPONSE', 'F2', 'F4'),
  ...fromS('FORK2', 'FORK4', 'IM2', 'IM4', 'REHOME2', 'REHOME4', 'OUTCOME_QUESTION'),
])

/** Types of the suite that this release does not offer: rehome. */
const NOT_OFFERED: ReadonlySet<FrameType> = new Set(typesOf('REHOME1', 'REHOME2', 'REHOME3', 'REHOME4', 'REHOME5'))

const E_MAX = oteMessageBytes(MAX_SLOTS)
const SLOT_TAIL_BYTES = RVOLE_SLOT_BYTES + 3 * POINT_BYTES + 32
/** Room for a typed payload; the policy limit on the payload itself is lower and is class A. */
const SIGN_MAX = 2 * 1024 * 1024

/** Largest body of a type, whatever its counts say. */
const MAX_BODY: ReadonlyMap<FrameType, number> = new Map<FrameType, number>([
  [FRAME_TYPES.L1, 37],
  [FRAME_TYPES.L2, 32 + BASE_OT_BYTES],
  [FRAME_TYPES.L3, 2 * BASE_OT_BYTES],
  [FRAME_TYPES.L4, BASE_OT_BYTES + 32],
  [FRAME_TYPES.L5, 32 + 86],
  [FRAME_TYPES.W1, 67],
  [FRAME_TYPES.W2, 32 + MAX_DKG_WALLETS * 130],
  [FRAME_TYPES.W3, MAX_DKG_WALLETS * 130 + 64],
  [FRAME_TYPES.W4, 32],
  [FRAME_TYPES.W5, 0],
  [FRAME_TYPES.P1, 66 + 20 * MAX_SLOTS],
  [FRAME_TYPES.P2, 64 + E_MAX],
  [FRAME_TYPES.P3, E_MAX + SLOT_TAIL_BYTES * MAX_SLOTS + 32],
  [FRAME_TYPES.P4, SLOT_TAIL_BYTES * MAX_SLOTS + 64],
  [FRAME_TYPES.E1, 34 + 84 * MAX_SLOTS],
  [FRAME_TYPES.E2, 64 + 64 * MAX_SLOTS],
  [FRAME_TYPES.SIGN_REQUEST, SIGN_MAX],
  [FRAME_TYPES.SIGN_RESPONSE, 81],
  [FRAME_TYPES.ED_SIGN_REQUEST, SIGN_MAX],
  [FRAME_TYPES.ED_SIGN_RESPONSE, 80],
  [FRAME_TYPES.F1, 66 + 20 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.F2, 97],
  [FRAME_TYPES.F3, 129 + 65 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.F4, 32 + 65 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.F5, 0],
  [FRAME_TYPES.OUTCOME_ANSWER, 2 + 53 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.OUTCOME_QUESTION, 2 + 52 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.FORK1, 86],
  [FRAME_TYPES.FORK2, 97],
  [FRAME_TYPES.FORK3, 194],
  [FRAME_TYPES.FORK4, 97],
  [FRAME_TYPES.FORK5, 0],
  [FRAME_TYPES.SEALED_SHARE, 4096],
  [FRAME_TYPES.IM1, 1024],
  [FRAME_TYPES.IM2, 97],
  [FRAME_TYPES.IM3, 97],
  [FRAME_TYPES.IM4, 32],
  [FRAME_TYPES.IM5, 0],
  [FRAME_TYPES.EXPORT_REQUEST, 4096],
  [FRAME_TYPES.EXPORT_ANSWER, 4096],
  [FRAME_TYPES.REHOME1, 66 + 36 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.REHOME2, 97],
  [FRAME_TYPES.REHOME3, 129 + 65 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.REHOME4, 32 + 65 * MAX_REFRESH_WALLETS],
  [FRAME_TYPES.REHOME5, 0],
  [FRAME_TYPES.HELLO, 16],
  [FRAME_TYPES.ERROR, 3 + 2 + 2 * MAX_REFRESH_WALLETS],
])

/** The largest frame that any type may have; a transport refuses more before it buffers it. */
export const MAX_FRAME_BYTES = HEADER_BYTES + Math.max(...MAX_BODY.values())

/** Bodies that were made with room for their header in front, until they are framed. */
const roomyBodies = new WeakSet<Uint8Array>()

/** A body of zeros to be filled, that `encodeFrame` frames where it lies: the large ones are not copied. */
export function allocateBody(length: number): Uint8Array {
  const body = new Uint8Array(HEADER_BYTES + length).subarray(HEADER_BYTES)
  roomyBodies.add(body)
  return body
}

/** A body that `allocateBody` gave in another thread, and that came here with its buffer: framed where it lies as well. */
export function adoptBody(body: Uint8Array): Uint8Array {
  const hasRoom = body.byteOffset === HEADER_BYTES && body.buffer.byteLength === HEADER_BYTES + body.length
  if (hasRoom) roomyBodies.add(body)
  return body
}

/** Header and body as one frame, which shares no memory with the body unless that came from `allocateBody`. */
export function encodeFrame(frame: Frame): Uint8Array {
  const { body } = frame
  const header = concatBytes(
    MAGIC,
    Uint8Array.of(SUITE, frame.type, frame.role, 0),
    frame.linkId,
    u32(frame.lEpoch),
    frame.sid,
    u32(body.length),
  )
  if (!roomyBodies.delete(body)) return concatBytes(header, body)
  const whole = new Uint8Array(body.buffer)
  whole.set(header)
  return whole
}

/**
 * Reads one frame. The returned arrays are views of it: nothing is copied.
 * @param peer the role of the party at the other end of the authenticated channel.
 * @throws ProtocolFault class C: magic, suite, type, role, flags, a body length other than the bytes that follow,
 *   or one above the type's maximum.
 */
export function decodeFrame(frame: Uint8Array, peer: Role): Frame {
  const bytes = plainBytes(frame)
  if (bytes.length < HEADER_BYTES) throw violation('frame shorter than its header')
  if (!equalBytes(bytes.subarray(0, 4), MAGIC)) throw violation('frame magic')
  if (bytes[4] !== SUITE) throw violation('suite')
  const type = parseFrameType(bytes[5] ?? 0)
  if (bytes[6] !== peer) throw violation('sender role')
  if (bytes[7] !== 0) throw violation('flags')
  const bodyLength = readU32(bytes, 60)
  if (bodyLength !== bytes.length - HEADER_BYTES) throw violation('frame length')
  if (bodyLength > (MAX_BODY.get(type) ?? 0)) throw violation('body over the maximum of its type')
  return {
    type,
    role: peer,
    linkId: bytes.subarray(8, 24),
    lEpoch: readU32(bytes, 24),
    sid: bytes.subarray(28, 60),
    body: bytes.subarray(HEADER_BYTES),
  }
}

/**
 * The length that a body with counts must have, computed from the counts alone; undefined
 * for a type whose length follows from the session instead. A body too short to hold its counts gives a length
 * that it does not have.
 */
export function bodyLengthFromCounts(type: FrameType, body: Uint8Array): number | undefined {
  const count = (offset: number) => (body.length < offset + 2 ? 0 : readU16(body, offset))
  /** A point of Ed25519 has one byte less; the algorithm stands in front of it. */
  const narrower = (algOffset: number): 0 | 1 => (body[algOffset] === ALG_ED25519 ? 1 : 0)
  switch (type) {
    case FRAME_TYPES.W1:
      return 67
    case FRAME_TYPES.P1:
      return 66 + 20 * count(32)
    case FRAME_TYPES.E1:
      return 34 + 84 * count(32)
    case FRAME_TYPES.SIGN_REQUEST: {
      const depthBytes = 4 * (body[100] ?? 0)
      if (body.length < 218 + depthBytes) return 218 + depthBytes
      return 218 + depthBytes + readU32(body, 214 + depthBytes)
    }
    case FRAME_TYPES.ED_SIGN_REQUEST:
      return body.length < 136 ? 136 : 136 + readU32(body, 132)
    case FRAME_TYPES.F1:
    case FRAME_TYPES.FORK1:
      return 66 + 20 * count(32)
    case FRAME_TYPES.REHOME1:
      return 66 + 36 * count(32)
    case FRAME_TYPES.OUTCOME_ANSWER:
      return 2 + 53 * count(0)
    case FRAME_TYPES.OUTCOME_QUESTION:
      return 2 + 52 * count(0)
    case FRAME_TYPES.SEALED_SHARE: {
      const less = 3 * narrower(0)
      return 263 - less + count(261 - less)
    }
    case FRAME_TYPES.IM1: {
      const less = 3 * narrower(32)
      return 262 - less + count(260 - less)
    }
    case FRAME_TYPES.EXPORT_REQUEST: {
      const less = narrower(16)
      const keyBytes = count(71 - less)
      return 116 - less + keyBytes + count(114 - less + keyBytes)
    }
    case FRAME_TYPES.EXPORT_ANSWER: {
      const less = narrower(16)
      return 74 - less + count(72 - less)
    }
    case FRAME_TYPES.ERROR:
      return 3 + count(1)
    default:
      return undefined
  }
}

/** @throws ProtocolFault class C unless the body has exactly this length. */
export function assertBodyLength(body: Uint8Array, length: number | undefined): void {
  if (body.length !== length) throw violation('body length')
}

/** @throws ProtocolFault class A (session) unless the header's sid is the recomputed one. */
export function assertSid(headerSid: Uint8Array, sid: Uint8Array): void {
  if (!equalBytes(headerSid, sid)) throw benign('session', 'sid mismatch')
}

/** The first message of an operation carries no sid yet. @throws ProtocolFault class C. */
export function assertNoSid(headerSid: Uint8Array): void {
  if (!equalBytes(headerSid, NO_SID)) throw violation('sid in a first message')
}

/**
 * @throws ProtocolFault class C when this role never sends the type. Part of the check of the type, after the
 *   session.
 */
export function assertSender(type: FrameType, sender: Role): void {
  if ((SENDER.get(type) ?? sender) !== sender) throw violation('type of the other role')
}

/** @throws ProtocolFault class A policy_denied for a type of the suite that this release does not offer. */
export function assertOffered(type: FrameType): void {
  if (NOT_OFFERED.has(type)) throw benign('policy_denied', 'message type not offered')
}

/** A refusal as the peer reads it. The body of an error frame; never answered by a frame. */
export type ErrorMessage =
  | { readonly code: Exclude<FaultCode, 'link_stale' | 'plan_refused' | 'epoch_rejected'> }
  | { readonly code: 'link_stale' | 'epoch_rejected'; readonly lEpoch: number }
  | { readonly code: 'plan_refused'; readonly slots: readonly number[] }

const CODE_NAMES: ReadonlyMap<number, FaultCode> = new Map(
  Object.entries(FAULT_CODES).map(([name, code]) => [code, name as FaultCode]),
)

export function encodeError(message: ErrorMessage): Uint8Array {
  const detail = errorDetail(message)
  return concatBytes(u8(FAULT_CODES[message.code]), u16(detail.length), detail)
}

/** The error body that answers a fault. */
export function encodeFault(fault: ProtocolFault): Uint8Array {
  return concatBytes(u8(fault.code), u16(fault.detail.length), fault.detail)
}

/** @throws ProtocolFault class C on a wrong length, an unknown code, or a detail where there is none. */
export function decodeError(body: Uint8Array): ErrorMessage {
  if (body.length < 3) throw violation('error frame length')
  assertBodyLength(body, bodyLengthFromCounts(FRAME_TYPES.ERROR, body))
  const code = CODE_NAMES.get(body[0] ?? 0)
  if (code === undefined) throw violation('error code')
  const detail = body.subarray(3)
  if (code === 'link_stale' || code === 'epoch_rejected') {
    assertBodyLength(detail, 4)
    return { code, lEpoch: readU32(detail, 0) }
  }
  if (code === 'plan_refused') {
    if (detail.length < 2) throw violation('error detail')
    assertBodyLength(detail, 2 + 2 * readU16(detail, 0))
    const count = readU16(detail, 0)
    return { code, slots: Array.from({ length: count }, (_, i) => readU16(detail, 2 + 2 * i)) }
  }
  assertBodyLength(detail, 0)
  return { code }
}

/** Detail of plan_refused for a fault: u16 n ‖ n × u16 slot. */
export function encodeRefusedSlots(slots: readonly number[]): Uint8Array {
  return concatBytes(u16(slots.length), ...slots.map((slot) => u16(slot)))
}

/** The hello body: the incarnation id of this process. */
export function encodeHello(incarnationId: Uint8Array): Uint8Array {
  if (incarnationId.length !== 16) throw new RangeError('an incarnation id has 16 bytes')
  return incarnationId.slice()
}

/** @throws ProtocolFault class C on another length. */
export function decodeHello(body: Uint8Array): Uint8Array {
  assertBodyLength(body, 16)
  return body.slice()
}

function errorDetail(message: ErrorMessage): Uint8Array {
  if (message.code === 'plan_refused') return encodeRefusedSlots(message.slots)
  return 'lEpoch' in message ? u32(message.lEpoch) : new Uint8Array(0)
}

function parseFrameType(byte: number): FrameType {
  if (!MAX_BODY.has(byte as FrameType)) throw violation('message type')
  return byte as FrameType
}

function typesOf(...names: readonly (keyof typeof FRAME_TYPES)[]): FrameType[] {
  return names.map((name) => FRAME_TYPES[name])
}

function fromC(...names: readonly (keyof typeof FRAME_TYPES)[]): [FrameType, Role][] {
  return typesOf(...names).map((type) => [type, ROLE_C])
}

function fromS(...names: readonly (keyof typeof FRAME_TYPES)[]): [FrameType, Role][] {
  return typesOf(...names).map((type) => [type, ROLE_S])
}
