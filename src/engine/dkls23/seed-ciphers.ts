/**
 * AES keyed by the seeds of base OTs. A link's seeds are used in every presign session under another IV, so their key
 * schedules are kept for as long as the material is: setting up 384 ciphers costs more than what they encrypt. The
 * ciphers are single-block (ECB); `counterBlocks` makes CTR of them.
 */
import { type Cipheriv, createCipheriv } from 'node:crypto'
import { BLOCK_BYTES } from './suite.ts'

const kept = new WeakMap<Uint8Array, readonly Cipheriv[]>()

/** Keeps the key schedules of these seeds, 16 bytes each, until `dropSeedCiphers`. The seeds do not change meanwhile. */
export function keepSeedCiphers(seeds: Uint8Array): void {
  kept.set(seeds, openCiphers(seeds))
}

/** Frees the key schedules, which overwrites them. */
export function dropSeedCiphers(seeds: Uint8Array): void {
  closeCiphers(kept.get(seeds) ?? [])
  kept.delete(seeds)
}

/** The ciphers of all seeds in order: the kept ones, else some that live for this call. */
export function withSeedCiphers<T>(seeds: Uint8Array, use: (ciphers: readonly Cipheriv[]) => T): T {
  const known = kept.get(seeds)
  if (known !== undefined) return use(known)
  const ciphers = openCiphers(seeds)
  try {
    return use(ciphers)
  } finally {
    closeCiphers(ciphers)
  }
}

/**
 * The counter blocks of AES-CTR: IV, IV + 1, …, a 128-bit big-endian counter. `select(i)` gives those of the IV whose
 * first byte is XORed with i, in the same array.
 */
export function counterBlocks(iv: Uint8Array, bytes: number): { readonly select: (i: number) => Uint8Array } {
  const blocks = new Uint8Array(bytes)
  const carries = new Uint8Array(bytes / BLOCK_BYTES)
  const counter = iv.slice()
  counter[0] = 0
  for (let j = 0; j < carries.length; j++) {
    blocks.set(counter, j * BLOCK_BYTES)
    carries[j] = counter[0]
    increment(counter)
  }
  return {
    select: (i) => {
      const first = (iv[0] ?? 0) ^ i
      for (let j = 0; j < carries.length; j++) blocks[j * BLOCK_BYTES] = first + (carries[j] ?? 0)
      return blocks
    },
  }
}

function increment(counter: Uint8Array): void {
  for (let k = counter.length - 1; k >= 0; k--) {
    const next = ((counter[k] ?? 0) + 1) & 0xff
    counter[k] = next
    if (next !== 0) return
  }
}

function openCiphers(seeds: Uint8Array): readonly Cipheriv[] {
  return Array.from({ length: seeds.length / BLOCK_BYTES }, (_, i) => {
    const seed = seeds.subarray(i * BLOCK_BYTES, (i + 1) * BLOCK_BYTES)
    return createCipheriv('aes-128-ecb', seed, null).setAutoPadding(false)
  })
}

function closeCiphers(ciphers: readonly Cipheriv[]): void {
  for (const cipher of ciphers) cipher.final()
}
