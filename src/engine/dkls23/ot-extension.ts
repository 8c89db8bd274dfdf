/**
 * OT extension (docs/protocol.md §7): the corrected KOS with a polynomial check. One call per presign session and
 * direction makes 416 OTs for each of B slots. The receiver ends with a row t_j for every choice bit x_j, the
 * sender with q_j = t_j ⊕ x_j·Δ.
 */
import { createCipheriv } from 'node:crypto'
import { discardBytes, u16 } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import { kernel, memory, place, reserve, take, withArena } from '../kernel/load.ts'
import { counterBlocks, withSeedCiphers } from './seed-ciphers.ts'
import { BLOCK_BYTES, LAMBDA_C, oteMessageBytes, oteRowBytes, XI } from './suite.ts'

/** Bytes of the choice bits β and of the rows of one slot. */
export const SLOT_CHOICE_BYTES = XI / 8
export const SLOT_ROW_BYTES = XI * BLOCK_BYTES
/** Blocks of hash output of one row: three scalars. */
const HASH_BLOCKS = 6
const POLY_HASH_WORK_BYTES = 5312

export type OteReceiver = {
  /** U_0‖…‖U_127 ‖ x̂ ‖ t̂_0‖…‖t̂_127, E bytes, for the peer. */
  readonly message: Uint8Array
  /** t_j, 16 bytes each, 416 a slot. Secret; the caller wipes it. */
  readonly rows: Uint8Array
}

export type OteSender = {
  /** The verdict of the check. False is class D: the caller burns the link. */
  readonly accepted: boolean
  /** q_j, 16 bytes each, 416 a slot; empty when not accepted. Secret; the caller wipes it. */
  readonly rows: Uint8Array
}

/**
 * Receiver's extension (§7.1, §7.2).
 * @param id sid_ab of the direction.
 * @param seedPairs k0_0‖…‖k0_127‖k1_0‖…‖k1_127, 4 096 bytes.
 * @param choices x, L'/8 fresh random bytes: β of slot b in bytes 52b…52b+51, then padding and mask.
 */
export function oteReceive(
  id: Uint8Array,
  slots: number,
  seedPairs: Uint8Array,
  choices: Uint8Array,
): OteReceiver {
  const rowBytes = oteRowBytes(slots)
  assertLength(choices, rowBytes)
  assertLength(seedPairs, 2 * LAMBDA_C * BLOCK_BYTES)
  const iv = streamIv(id)
  return withArena(() => {
    const t = reserve(2 * LAMBDA_C * rowBytes)
    const u = t + LAMBDA_C * rowBytes
    writeStreams(seedPairs, iv, rowBytes, t)
    const x = place(choices)
    kernel.ote_mask_rows(t, u, x, rowBytes)
    const message = new Uint8Array(oteMessageBytes(slots))
    const uBytes = LAMBDA_C * rowBytes
    message.set(memory.subarray(u, u + uBytes), 0)
    const chi = place(challenge(id, message.subarray(0, uBytes)))
    const hashes = reserve((1 + LAMBDA_C) * BLOCK_BYTES)
    kernel.poly_hash_rows(x, rowBytes / BLOCK_BYTES, 1, chi, hashes)
    const columns = transposed(t, rowBytes)
    hashColumns(columns, rowBytes, chi, hashes + BLOCK_BYTES)
    message.set(memory.subarray(hashes, hashes + (1 + LAMBDA_C) * BLOCK_BYTES), uBytes)
    return { message, rows: takeRows(columns, slots) }
  })
}

/**
 * Sender's extension and check (§7.3). The whole check is always evaluated.
 * @param seeds k_0‖…‖k_127, 2 048 bytes, chosen by Δ.
 * @param message the peer's message of exactly E bytes.
 */
export function oteSend(
  id: Uint8Array,
  slots: number,
  seeds: Uint8Array,
  delta: Uint8Array,
  message: Uint8Array,
): OteSender {
  const rowBytes = oteRowBytes(slots)
  assertLength(message, oteMessageBytes(slots))
  assertLength(seeds, LAMBDA_C * BLOCK_BYTES)
  assertLength(delta, BLOCK_BYTES)
  const uBytes = LAMBDA_C * rowBytes
  return withArena(() => {
    const q = reserve(LAMBDA_C * rowBytes)
    writeStreams(seeds, streamIv(id), rowBytes, q)
    const u = place(message)
    const key = place(delta)
    kernel.ote_select_rows(q, u, key, rowBytes)
    const chi = place(challenge(id, message.subarray(0, uBytes)))
    const hashes = reserve(LAMBDA_C * BLOCK_BYTES)
    const columns = transposed(q, rowBytes)
    hashColumns(columns, rowBytes, chi, hashes)
    const x = u + uBytes
    const accepted = kernel.ote_check(hashes, x + BLOCK_BYTES, x, key) === 1
    return { accepted, rows: accepted ? takeRows(columns, slots) : new Uint8Array(0) }
  })
}

/**
 * H_b (§7.4) over kernel memory: for each of the `vectors` runs of 416 blocks at `v`, row j becomes the three
 * scalars of H_b(j, v_j), 96 bytes, at the returned address. Call inside `withArena`.
 */
export function hashRows(id: Uint8Array, slot: number, v: number, vectors: number): number {
  const key = taggedHash('ote/tccr', id, u16(slot)).subarray(0, BLOCK_BYTES)
  const permutation = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
  const count = vectors * XI
  const encrypt = (from: number, bytes: number, to: number) => {
    const out = permutation.update(memory.subarray(from, from + bytes))
    memory.set(out, to)
    discardBytes(out)
  }
  const y = reserve(count * BLOCK_BYTES)
  encrypt(v, count * BLOCK_BYTES, y)
  const bytes = count * HASH_BLOCKS * BLOCK_BYTES
  const out = reserve(bytes)
  // The tweak is local to the slot, so every vector counts its rows from zero.
  for (let k = 0; k < vectors; k++) {
    kernel.tccr_expand(y + k * SLOT_ROW_BYTES, XI, out + k * HASH_BLOCKS * SLOT_ROW_BYTES)
  }
  encrypt(out, bytes, out)
  kernel.tccr_finish(out, y, count, out)
  permutation.final()
  return out
}

/**
 * PRG_i(k) for runs of 128 seeds: AES-128-CTR of zeros, the row index i in the first byte of the IV, one row after the
 * other to `start`.
 */
function writeStreams(seeds: Uint8Array, iv: Uint8Array, rowBytes: number, start: number): void {
  const counters = counterBlocks(iv, rowBytes)
  withSeedCiphers(seeds, (ciphers) => {
    for (const [row, cipher] of ciphers.entries()) {
      const stream = cipher.update(counters.select(row % LAMBDA_C))
      memory.set(stream, start + row * rowBytes)
      discardBytes(stream)
    }
  })
}

function streamIv(id: Uint8Array): Uint8Array {
  return taggedHash('ote/prg', id).slice(0, BLOCK_BYTES)
}

function challenge(id: Uint8Array, u: Uint8Array): Uint8Array {
  return taggedHash('ote/chi', id, u).subarray(0, BLOCK_BYTES)
}

/** The columns of 128 rows, 16 bytes each. */
function transposed(rows: number, rowBytes: number): number {
  const columns = reserve(8 * rowBytes * BLOCK_BYTES)
  kernel.transpose(rows, rowBytes, columns)
  return columns
}

/** h_χ of the 128 rows whose columns are given. */
function hashColumns(columns: number, rowBytes: number, chi: number, out: number): void {
  kernel.poly_hash_columns(columns, rowBytes / BLOCK_BYTES, chi, reserve(POLY_HASH_WORK_BYTES), out)
}

/** Columns of the B slots; those of padding and mask are dropped. */
function takeRows(columns: number, slots: number): Uint8Array {
  return take(columns, slots * SLOT_ROW_BYTES)
}

function assertLength(bytes: Uint8Array, length: number): void {
  if (bytes.length !== length) throw new RangeError(`expected ${length} bytes`)
}
