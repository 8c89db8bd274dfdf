/** Reads a body of known length field by field, and validates the two kinds of values that a peer may malform. */
import { isPoint } from '../curve/secp256k1.ts'
import { plainBytes, readU16, readU32 } from '../hash/encoding.ts'
import { isCanonicalScalar } from '../kernel/scalar.ts'
import { violation } from './fault.ts'
import { POINT_BYTES, SCALAR_BYTES } from './suite.ts'

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

  /** A compressed point on the curve; there is no encoding of the identity. @throws ProtocolFault class C. */
  point(): Uint8Array {
    return assertPoint(this.take(POINT_BYTES))
  }

  /** A scalar below q, little-endian. @throws ProtocolFault class C. */
  scalar(): Uint8Array {
    return assertScalar(this.take(SCALAR_BYTES))
  }

  /** Asserts that every byte was read. */
  end(): void {
    if (this.#offset !== this.#body.length) throw violation('body length')
  }
}

/** @throws ProtocolFault class C unless 33 bytes, prefix 02 or 03, x < p, on the curve. */
export function assertPoint(point: Uint8Array): Uint8Array {
  if (point.length !== POINT_BYTES || !isPoint(point)) throw violation('point')
  return point
}

/** @throws ProtocolFault class C unless 32 bytes little-endian below q. */
export function assertScalar(scalar: Uint8Array): Uint8Array {
  if (scalar.length !== SCALAR_BYTES || !isCanonicalScalar(scalar)) throw violation('scalar')
  return scalar
}
