import { getBase58Decoder } from '@solana/kit'
import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { decodeBase58, encodeBase58 } from '../../src/domain/base58.ts'

describe('base58', () => {
  it('is written as the Solana kit writes it, and read back', () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 64 }),
      fc
        .tuple(fc.nat(8), fc.uint8Array({ maxLength: 32 }))
        .map(([n, rest]) => Uint8Array.from([...Array(n).fill(0), ...rest])),
    )
    fc.assert(
      fc.property(bytes, (value) => {
        const text = encodeBase58(value)
        expect(text).toBe(getBase58Decoder().decode(value))
        expect(decodeBase58(text)).toEqual(value)
      }),
      { numRuns: 2000 },
    )
  })

  it('of nothing is nothing, of zeros ones', () => {
    expect(encodeBase58(new Uint8Array())).toBe('')
    expect(encodeBase58(new Uint8Array(32))).toBe('1'.repeat(32))
  })
})
