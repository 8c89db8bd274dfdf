/**
 * The OT extension and the random vector OLE once more (docs/protocol.md §7, §8), from the text, in BigInt and loops.
 * Shares nothing with the engine but node:crypto.
 */
import { createCipheriv, createHash } from 'node:crypto'
import { bitOf, fromLe, mod, polyHash, toLe, transposeSlow } from './bigint-reference.ts'

const u8 = (value: number) => Uint8Array.of(value)
const u16 = (value: number) => toLe(BigInt(value), 2)
const u32 = (value: number) => toLe(BigInt(value), 4)

function preimage(tag: string, items: readonly Uint8Array[]): Buffer {
  const name = Buffer.from(`countersign/dkls2p/v2/${tag}`, 'ascii')
  const parts = items.flatMap((item) => [u32(item.length), item])
  return Buffer.concat([u8(name.length), name, u8(items.length), ...parts])
}

const th = (tag: string, ...items: readonly Uint8Array[]): Uint8Array =>
  createHash('sha256').update(preimage(tag, items)).digest()

const h2s = (tag: string, ...items: readonly Uint8Array[]): bigint =>
  mod(fromLe(createHash('sha512').update(preimage(tag, items)).digest()))

const xor = (a: Uint8Array, b: Uint8Array): Uint8Array => a.map((byte, i) => byte ^ (b[i] ?? 0))

const times = (bytes: Uint8Array, bit: number): Uint8Array => (bit === 1 ? bytes : new Uint8Array(bytes.length))

export const rowBytesOf = (slots: number): number => 16 * (Math.ceil((416 * slots) / 128) + 1)

function prg(id: Uint8Array, i: number, key: Uint8Array, length: number): Uint8Array {
  const iv = new Uint8Array(th('ote/prg', id).slice(0, 16))
  iv[0] = (iv[0] ?? 0) ^ i
  return new Uint8Array(createCipheriv('aes-128-ctr', key, iv).update(new Uint8Array(length)))
}

const seedOf = (seeds: Uint8Array, i: number) => seeds.subarray(16 * i, 16 * i + 16)

export type ReferenceReceiver = { readonly u: Uint8Array[]; readonly t: Uint8Array[] }

export function referenceExtend(id: Uint8Array, seedPairs: Uint8Array, x: Uint8Array): ReferenceReceiver {
  const t = Array.from({ length: 128 }, (_, i) => prg(id, i, seedOf(seedPairs, i), x.length))
  const u = t.map((row, i) => xor(xor(row, prg(id, i, seedOf(seedPairs, 128 + i), x.length)), x))
  return { t, u }
}

/** U ‖ x̂ ‖ t̂ for whatever U, T and x are given. */
export function referenceOteMessage(id: Uint8Array, u: Uint8Array[], t: Uint8Array[], x: Uint8Array): Uint8Array {
  const joined = Buffer.concat(u)
  const chi = fromLe(th('ote/chi', id, joined).subarray(0, 16))
  const hashes = [x, ...t].map((row) => toLe(polyHash(row, chi), 16))
  return new Uint8Array(Buffer.concat([joined, ...hashes]))
}

/** t_j or q_j of the first 416·B columns. */
export const referenceColumns = (rows: readonly Uint8Array[], slots: number): Uint8Array =>
  transposeSlow(rows, 416 * slots)

export function referenceSenderRows(
  id: Uint8Array,
  seeds: Uint8Array,
  delta: Uint8Array,
  u: readonly Uint8Array[],
): Uint8Array[] {
  return u.map((row, i) => xor(prg(id, i, seedOf(seeds, i), row.length), times(row, bitOf(delta, i))))
}

/** H_b(j, v): three scalars. */
export function referenceHash(id: Uint8Array, slot: number, j: number, v: Uint8Array): bigint[] {
  const key = th('ote/tccr', id, u16(slot)).subarray(0, 16)
  const pi = (block: Uint8Array) => {
    const cipher = createCipheriv('aes-128-ecb', key, null).setAutoPadding(false)
    return new Uint8Array(cipher.update(block))
  }
  const y = pi(v)
  const blocks = [0, 1, 2, 3, 4, 5].map((c) => xor(pi(xor(y, toLe(BigInt(8 * j + c), 16))), y))
  return [0, 1, 2].map((i) => mod(fromLe(Buffer.concat(blocks.slice(2 * i, 2 * i + 2)))))
}

export function referenceGadget(): bigint[] {
  const key = th('gadget', u8(1)).subarray(0, 16)
  const stream = createCipheriv('aes-128-ctr', key, new Uint8Array(16)).update(new Uint8Array(416 * 32))
  return Array.from({ length: 416 }, (_, j) => mod(fromLe(stream.subarray(32 * j, 32 * j + 32))))
}

export type ReferenceSender = { readonly message: Uint8Array; readonly c: readonly [bigint, bigint] }

/**
 * The RVOLE sender. `inputAt` may give another input in some rows, and `etaShift` a wrong η: what a cheater does who
 * recomputes everything that depends on it.
 */
export function referenceRvoleSend(
  id: Uint8Array,
  slot: number,
  delta: Uint8Array,
  q: Uint8Array,
  inputAt: (j: number) => readonly [bigint, bigint, bigint],
  etaShift = 0n,
): ReferenceSender {
  const row = (j: number) => q.subarray(16 * j, 16 * j + 16)
  const rows = Array.from({ length: 416 }, (_, j) => j)
  const alpha0 = rows.map((j) => referenceHash(id, slot, j, row(j)))
  const alpha1 = rows.map((j) => referenceHash(id, slot, j, xor(row(j), delta)))
  const at = (values: bigint[][], j: number, i: number) => values[j]?.[i] ?? 0n
  const corrections = Buffer.concat(
    rows.flatMap((j) =>
      [0, 1, 2].map((i) => toLe(mod(at(alpha0, j, i) - at(alpha1, j, i) + (inputAt(j)[i] ?? 0n)))),
    ),
  )
  const digest = th('rvole/atilde', id, u16(slot), corrections)
  const theta = [0, 1].map((i) => h2s('rvole/theta', id, u16(slot), digest, u8(i)))
  const honest = inputAt(-1)
  const eta = mod(honest[2] + (theta[0] ?? 0n) * honest[0] + (theta[1] ?? 0n) * honest[1] + etaShift)
  const mu = rows.map((j) =>
    toLe(mod(at(alpha0, j, 2) + (theta[0] ?? 0n) * at(alpha0, j, 0) + (theta[1] ?? 0n) * at(alpha0, j, 1))),
  )
  const mh = th('rvole/mu', id, u16(slot), Buffer.concat(mu))
  const gadget = referenceGadget()
  const c = (i: number) => mod(-rows.reduce((sum, j) => sum + (gadget[j] ?? 0n) * at(alpha0, j, i), 0n))
  return { message: new Uint8Array(Buffer.concat([corrections, toLe(eta), mh])), c: [c(0), c(1)] }
}
