/** The group oracle HG of the base OT (docs/protocol.md §4.1): try-and-increment with a hashed parity bit. */
import { compressPoint, parsePoint } from '../curve/secp256k1.ts'
import { u8 } from '../hash/encoding.ts'
import { taggedHash512 } from '../hash/tagged-hash.ts'
import { degenerate } from './fault.ts'

/**
 * HG(id; i, branch, P): for ctr = 0, 1, … h = TH512("eot/hg"; id, u8 i, u8 branch, u8 ctr, P), the first
 * (02 + (h[32] & 1)) ‖ h[0..32] that is a point. Two tries on average; the inputs are public values of the
 * transcript.
 */
export function hashToGroup(id: Uint8Array, index: number, branch: number, point: Uint8Array): Uint8Array {
  return compressPoint(hashToGroupUncompressed(id, index, branch, point))
}

/** As `hashToGroup`, 65 bytes: what was found by its square root need not be decompressed again. */
export function hashToGroupUncompressed(
  id: Uint8Array,
  index: number,
  branch: number,
  point: Uint8Array,
): Uint8Array {
  const candidate = new Uint8Array(33)
  for (let ctr = 0; ctr < 256; ctr++) {
    const h = taggedHash512('eot/hg', id, u8(index), u8(branch), u8(ctr), point)
    candidate[0] = 2 + ((h[32] ?? 0) & 1)
    candidate.set(h.subarray(0, 32), 1)
    const found = parsePoint(candidate)
    if (found !== undefined) return found
  }
  throw degenerate('hash to group found no point')
}
