/**
 * The gadget vector g (docs/protocol.md §4.2): 416 uniform scalars from a hash of a fixed tag. A constant of the
 * suite that nobody can choose, expanded once a process.
 */
import { createCipheriv } from 'node:crypto'
import { u8 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import { kernel, place, reserve, take, withArena } from '../kernel/load.ts'
import { BLOCK_BYTES, SCALAR_BYTES, SUITE, XI } from './suite.ts'

/** Nine 29-bit limbs as u32: the form in which the kernel multiplies. */
const LIMB_BYTES = 36

/** g_0‖…‖g_415, 32 bytes little-endian each. */
export const GADGET: Uint8Array = expand()

/** The same times 2^261, in limbs. */
export const GADGET_LIMBS: Uint8Array = withArena(() => {
  const limbs = reserve(XI * LIMB_BYTES)
  kernel.to_montgomery_limbs(place(GADGET), XI, limbs)
  return take(limbs, XI * LIMB_BYTES)
})

function expand(): Uint8Array {
  const key = taggedHash('gadget', u8(SUITE)).subarray(0, BLOCK_BYTES)
  const stream = createCipheriv('aes-128-ctr', key, new Uint8Array(BLOCK_BYTES)).update(
    new Uint8Array(XI * SCALAR_BYTES),
  )
  return withArena(() => {
    const scalars = place(stream)
    for (let j = 0; j < XI; j++) kernel.scalar_reduce(scalars + j * SCALAR_BYTES, scalars + j * SCALAR_BYTES)
    return take(scalars, XI * SCALAR_BYTES)
  })
}
