/** Reads a body of known length field by field, and validates the two kinds of values that a peer may malform. */
import { type Group, SECP256K1_GROUP } from '../curve/group.ts'
import { plainBytes, readU16, readU32 } from '../hash/encoding.ts'
import { violation } from './fault.ts'
import { SCALAR_BYTES } from './suite.ts'

/** A cursor over a body whose total length was checked; reads are views. */
export class BodyReader {
  readonly #body: Uint8Array
  #offset = 0

  constructor(body: Uint8Array) {
    this.#body = plainBytes(body)
  }

  take(length: number): Uint8Array {
    const end = this.#offset + length
    if (end > this.#body.length) throw violation('body length')
    const view = this.#body.subarray(this.#offset, end)
    this.#offset = end
    return view
  }

  u8(): number {
    return this.take(1)[0] ?? 0
  }

  u16(): number {
    return readU16(this.take(2), 0)
  }

  u32(): number {
    return readU32(this.take(4), 0)
  }

  /** A valid point of the group, never the identity. @throws ProtocolFault class C. */
  point(group: Group = SECP256K1_GROUP): Uint8Array {
    return assertPoint(this.take(group.pointBytes), group)
  }

  /** A scalar below the group's order, little-endian. @throws ProtocolFault class C. */
  scalar(group: Group = SECP256K1_GROUP): Uint8Array {
    return assertScalar(this.take(SCALAR_BYTES), group)
  }

  /** Asserts that every byte was read. */
  end(): void {
    if (this.#offset !== this.#body.length) throw violation('body length')
  }
}

/**
 * @throws ProtocolFault class C unless the bytes are a valid point: on secp256k1 33 bytes, prefix 02 or 03, x < p.
 */
export function assertPoint(point: Uint8Array, group: Group = SECP256K1_GROUP): Uint8Array {
  if (point.length !== group.pointBytes || !group.isPoint(point)) throw violation('point')
  return point
}

/** @throws ProtocolFault class C unless 32 bytes little-endian below the group's order. */
export function assertScalar(scalar: Uint8Array, group: Group = SECP256K1_GROUP): Uint8Array {
  if (scalar.length !== SCALAR_BYTES || !group.isCanonicalScalar(scalar)) throw violation('scalar')
  return scalar
}
