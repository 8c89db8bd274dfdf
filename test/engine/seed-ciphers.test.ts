import { type Cipheriv, createCipheriv } from 'node:crypto'
import { expect, test } from 'vitest'
import {
  counterBlocks,
  dropSeedCiphers,
  keepSeedCiphers,
  withSeedCiphers,
} from '../../src/engine/dkls23/seed-ciphers.ts'
import { seededBytes } from './bigint-reference.ts'

const next = seededBytes('seed ciphers')
const ROW_BYTES = 848
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex')

const IVS = [
  next(16),
  new Uint8Array(16),
  // Carries through every byte, out of the first one too.
  new Uint8Array(16).fill(0xff),
  Uint8Array.of(0x7f, ...new Uint8Array(14).fill(0xff), 0xf0),
  Uint8Array.of(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 0, 0xff, 0xfe),
]

test('single blocks over the counters are AES-128-CTR, whatever carries', () => {
  const seeds = next(128 * 16)
  for (const iv of IVS) {
    const counters = counterBlocks(iv, ROW_BYTES)
    withSeedCiphers(seeds, (ciphers) => {
      for (const [i, cipher] of ciphers.entries()) {
        const rowIv = iv.slice()
        rowIv[0] = (iv[0] ?? 0) ^ i
        const reference = createCipheriv('aes-128-ctr', seeds.subarray(16 * i, 16 * i + 16), rowIv)
        const expected = reference.update(new Uint8Array(ROW_BYTES))
        expect(hex(cipher.update(counters.select(i)))).toBe(hex(expected))
      }
    })
  }
})

test('kept ciphers are used again, give the same streams, and end when they are dropped', () => {
  const seeds = next(4 * 16)
  const block = new Uint8Array(16)
  const streams = (): string[] =>
    withSeedCiphers(seeds, (ciphers) => ciphers.map((cipher) => hex(cipher.update(block))))
  const before = streams()
  keepSeedCiphers(seeds)
  const held: (readonly Cipheriv[])[] = []
  for (let round = 0; round < 2; round++) withSeedCiphers(seeds, (ciphers) => void held.push(ciphers))
  expect(held[0]).toBe(held[1])
  expect(streams()).toEqual(before)
  expect(streams()).toEqual(before)
  dropSeedCiphers(seeds)
  for (const cipher of held[0] ?? []) expect(() => cipher.update(block)).toThrow()
  expect(streams()).toEqual(before)
})
