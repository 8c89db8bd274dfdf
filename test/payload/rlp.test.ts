import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { toRlp } from 'viem'
import { fromHex, toHex } from '../../src/payload/bytes.ts'
import type { RlpItem } from '../../src/payload/rlp.ts'
import { decodeRlp, encodeRlp, rlpInteger, RlpRefused } from '../../src/payload/rlp.ts'

const bytes = (hex: string) => fromHex(hex) as Uint8Array

type HexItem = `0x${string}` | readonly HexItem[]
const asHex = (item: RlpItem): HexItem => (item instanceof Uint8Array ? toHex(item) : item.map(asHex))

const leaf = fc.oneof(fc.uint8Array({ maxLength: 70 }), fc.uint8Array({ minLength: 250, maxLength: 300 }))
const item: fc.Arbitrary<RlpItem> = fc.letrec<{ item: RlpItem; list: RlpItem[] }>((tie) => ({
  item: fc.oneof({ maxDepth: 4, withCrossShrink: true }, leaf, tie('list')),
  list: fc.array(tie('item'), { maxLength: 5 }),
})).item

describe('RLP', () => {
  it('encodes as viem does and reads it back', () => {
    fc.assert(
      fc.property(item, (value) => {
        const encoded = encodeRlp(value)
        expect(toHex(encoded)).toBe(toRlp(asHex(value) as never))
        expect(asHex(decodeRlp(encoded))).toEqual(asHex(value))
      }),
      { numRuns: 300, seed: 5 },
    )
  })

  it('accepts no bytes but those it writes', () => {
    const random = fc.oneof(
      fc.uint8Array({ maxLength: 60 }),
      fc.tuple(item, fc.nat(), fc.integer({ min: 0, max: 255 })).map(([value, at, byte]) => {
        const encoded = new Uint8Array(encodeRlp(value))
        encoded[at % encoded.length] = byte
        return encoded
      }),
    )
    fc.assert(
      fc.property(random, (candidate) => {
        let decoded: RlpItem
        try {
          decoded = decodeRlp(candidate)
        } catch (error) {
          expect(error).toBeInstanceOf(RlpRefused)
          return
        }
        expect(toHex(encodeRlp(decoded))).toBe(toHex(candidate))
      }),
      { numRuns: 2000, seed: 6 },
    )
  })

  it.each([
    ['nothing', '0x'],
    ['a byte that follows', '0x8000'],
    ['a truncated string', '0x82ff'],
    ['a truncated list', '0xc2ff'],
    ['a member that leaves its list', '0xc182ffff'],
    ['a single byte with a length', '0x8101'],
    ['a long form for a short string', `0xb801ff`],
    ['a long form for 55 bytes', `0xb837${'ff'.repeat(55)}`],
    ['a length with a leading zero', `0xb90038${'ff'.repeat(56)}`],
    ['a list length with a leading zero', `0xf90038${'01'.repeat(56)}`],
    ['a truncated length', '0xb9ff'],
    ['a length of eight bytes', '0xbfffffffffffffffff'],
    ['nesting over 6', '0xc7c6c5c4c3c2c1c0'],
  ])('refuses %s', (_what, hex) => {
    expect(() => decodeRlp(bytes(hex))).toThrow(RlpRefused)
  })

  it('bounds the number of items', () => {
    const list = concat(Uint8Array.of(0xfa, 0x01, 0x11, 0x70), new Uint8Array(70_000).fill(0x80))
    expect(() => decodeRlp(list)).toThrow('more than')
  })

  it('reads integers only in their shortest form', () => {
    expect(rlpInteger(bytes('0x'))).toBe(0n)
    expect(rlpInteger(bytes('0x0100'))).toBe(256n)
    expect(() => rlpInteger(bytes('0x00'))).toThrow(RlpRefused)
    expect(() => rlpInteger(bytes('0x0001'))).toThrow(RlpRefused)
    expect(() => rlpInteger(new Uint8Array(33).fill(1))).toThrow(RlpRefused)
    expect(() => rlpInteger([])).toThrow(RlpRefused)
  })
})

const concat = (a: Uint8Array, b: Uint8Array) => new Uint8Array(Buffer.concat([a, b]))
