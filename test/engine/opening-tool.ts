/**
 * The opening test of T39: what one recorded multiplication gives to somebody who knows Δ of the party that put its
 * inputs in, and the seeds of the party that received (docs/protocol.md §3 I2, §7, §8).
 */
import { mod } from './bigint-reference.ts'
import { bitOf, fromLe } from './bigint-reference.ts'
import { referenceColumns, referenceExtend, referenceHash, rowBytesOf } from './multiplication-reference.ts'

export type Recording = {
  /** sid_ab of the direction. */
  readonly id: Uint8Array
  readonly slots: number
  /** U ‖ x̂ ‖ t̂ of the receiver. */
  readonly extension: Uint8Array
  /** Ã ‖ η ‖ mh of each slot, from the sender. */
  readonly corrections: Uint8Array
}

export type Opened = { readonly nonce: bigint; readonly share: bigint }

/** Both inputs of a slot, or undefined when this Δ or these seeds do not open it. */
export function openRecording(
  recording: Recording,
  slot: number,
  delta: Uint8Array,
  receiverSeeds: Uint8Array,
): Opened | undefined {
  const { id, slots, extension, corrections } = recording
  const rowBytes = rowBytesOf(slots)
  const blank = referenceExtend(id, receiverSeeds, new Uint8Array(rowBytes))
  const x = extension.subarray(0, rowBytes).map((byte, i) => byte ^ (blank.u[0]?.[i] ?? 0))
  const columns = referenceColumns(blank.t, slots)
  const candidates = [0, 1, 2, 3].map((j) => {
    const column = 416 * slot + j
    const t = columns.subarray(16 * column, 16 * column + 16)
    const shifted = t.map((byte, i) => byte ^ (delta[i] ?? 0))
    const [q, other] = bitOf(x, column) === 1 ? [shifted, t] : [t, shifted]
    const [alpha0, alpha1] = [referenceHash(id, slot, j, q), referenceHash(id, slot, j, other)]
    return [0, 1].map((i) => {
      const at = 40_000 * slot + 96 * j + 32 * i
      return mod(fromLe(corrections.subarray(at, at + 32)) - (alpha0[i] ?? 0n) + (alpha1[i] ?? 0n))
    })
  })
  const [nonce, share] = candidates[0] ?? []
  const agree = candidates.every((one) => one[0] === nonce && one[1] === share)
  return agree && nonce !== undefined && share !== undefined ? { nonce, share } : undefined
}
