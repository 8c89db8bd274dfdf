/**
 * The one sum of Ed25519 points that is computed outside libsodium: D_C + ρ_C·E_C + D_S + ρ_S·E_S of a signature
 * (docs/protocol.md §18.2), in the kernel and in variable time, because points, factors and sum are public. libsodium
 * multiplies in constant time and proves for each product anew that the point is in the prime-order group, which a
 * commitment was shown to be when it entered; that costs three times as much.
 */
import { kernel, memory, reserve, take, withArena } from '../kernel/load.ts'

const POINT_BYTES = 32
const WORK_BYTES = 3840

/**
 * @param points D_C, E_C, D_S, E_S: valid points, nothing is validated here. @param factors ρ_C, ρ_S below L. Public.
 * @returns 32 bytes, the identity's encoding among them, or undefined when a point is not on the curve.
 */
export function nonceSum(
  points: readonly [Uint8Array, Uint8Array, Uint8Array, Uint8Array],
  factors: readonly [Uint8Array, Uint8Array],
): Uint8Array | undefined {
  const inputs = [...points, ...factors]
  if (inputs.some(({ length }) => length !== POINT_BYTES)) throw new RangeError('expected 32 bytes')
  return withArena(() => {
    const at = reserve(inputs.length * POINT_BYTES)
    inputs.forEach((input, i) => memory.set(input, at + i * POINT_BYTES))
    const [work, out] = [reserve(WORK_BYTES), reserve(POINT_BYTES)]
    const isOnCurve = kernel.edwards_nonce_sum(at, at + points.length * POINT_BYTES, work, out) === 1
    return isOnCurve ? take(out, POINT_BYTES) : undefined
  })
}
