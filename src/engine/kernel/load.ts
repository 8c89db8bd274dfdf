/**
 * The WebAssembly kernel and its memory. Secrets enter the memory only inside `withArena`, which overwrites all it
 * handed out, and the kernel's own scratch page, before it returns or throws.
 */
import { readFileSync } from 'node:fs'
import { secretBytes } from '../hash/encoding.ts'

/**
 * Pointers are byte addresses in the kernel's memory. The AssemblyScript sources say what each function computes.
 */
export type Kernel = {
  readonly memory: { readonly buffer: ArrayBuffer }
  readonly scalar_add: (a: number, b: number, out: number) => void
  readonly scalar_sub: (a: number, b: number, out: number) => void
  readonly scalar_mul: (a: number, b: number, out: number) => void
  readonly scalar_negate: (a: number, out: number) => void
  readonly scalar_reduce: (a: number, out: number) => void
  readonly scalar_reduce_wide: (a: number, out: number) => void
  readonly scalar_invert: (a: number, out: number) => void
  readonly scalar_high: (a: number) => number
  readonly scalars_canonical: (a: number, count: number) => number
  readonly is_zero: (a: number, bytes: number) => number
  readonly ote_mask_rows: (t: number, u: number, x: number, rowBytes: number) => void
  readonly ote_select_rows: (q: number, u: number, delta: number, rowBytes: number) => void
  readonly transpose: (rows: number, rowBytes: number, out: number) => void
  readonly poly_hash_rows: (rows: number, blocks: number, count: number, chi: number, out: number) => void
  readonly poly_hash_columns: (columns: number, blocks: number, chi: number, work: number, out: number) => void
  readonly ote_check: (hashes: number, t: number, x: number, delta: number) => number
  readonly xor_block: (rows: number, block: number, count: number, out: number) => void
  readonly tccr_expand: (y: number, count: number, out: number) => void
  readonly tccr_finish: (e: number, y: number, count: number, out: number) => void
  readonly to_montgomery_limbs: (scalars: number, count: number, limbs: number) => void
  readonly dot: (limbs: number, scalars: number, stride: number, count: number, out: number) => void
  readonly choice_sum: (scalars: number, choices: number, count: number, out: number) => void
  readonly rvole_correct: (alpha0: number, alpha1: number, input: number, count: number, out: number) => void
  readonly rvole_apply: (
    gamma: number,
    corrections: number,
    choices: number,
    count: number,
    out: number,
  ) => void
  readonly rvole_combine: (
    rows: number,
    theta: number,
    extra: number,
    choices: number,
    count: number,
    out: number,
  ) => void
  readonly edwards_nonce_sum: (commitments: number, factors: number, memory: number, out: number) => number
}

/** The language's standard types do not name WebAssembly without the browser's. */
declare const WebAssembly: {
  readonly Module: new (code: Uint8Array) => object
  readonly Instance: new (module: object, imports: object) => { readonly exports: unknown }
}

/** The kernel's scratch lies below this address, the arena above. */
const ARENA_START = 512

const module = new WebAssembly.Module(readFileSync(new URL('kernel.wasm', import.meta.url)))

/** One instance a thread; its memory never grows, so views of it stay valid. */
export const kernel = new WebAssembly.Instance(module, {}).exports as Kernel

/** The whole memory of the kernel. */
export const memory = new Uint8Array(kernel.memory.buffer)

let top = ARENA_START

/** Runs `work` and then overwrites everything it reserved. Nests. */
export function withArena<T>(work: () => T): T {
  const mark = top
  try {
    return work()
  } finally {
    memory.fill(0, mark, top)
    memory.fill(0, 0, ARENA_START)
    top = mark
  }
}

/** Reserves zeroed bytes until the surrounding `withArena` ends; the address is a multiple of 16. */
export function reserve(bytes: number): number {
  const address = top
  const end = address + ((bytes + 15) & ~15)
  if (end > memory.length) throw new RangeError('the kernel arena is full')
  top = end
  return address
}

/** Reserves and copies `bytes` in. */
export function place(bytes: Uint8Array): number {
  const address = reserve(bytes.length)
  memory.set(bytes, address)
  return address
}

/** A copy of kernel memory, owned by the caller. */
export function take(address: number, length: number): Uint8Array {
  const out = secretBytes(length)
  out.set(memory.subarray(address, address + length))
  return out
}
