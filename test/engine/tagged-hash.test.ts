import { createHash } from 'node:crypto'
import * as fc from 'fast-check'
import { describe, expect, test } from 'vitest'
import {
  commitment,
  hashToScalar,
  taggedHash,
  taggedHash512,
  taggedPreimage,
} from '../../src/engine/hash/tagged-hash.ts'
import { TAGS } from '../../src/engine/hash/tags.ts'

const text = (value: string) => new TextEncoder().encode(value)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const Q = 0xfffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141n

describe('tags', () => {
  test('appear once each and fit into one length byte', () => {
    expect(new Set(TAGS).size).toBe(TAGS.length)
    for (const tag of TAGS) expect(`countersign/dkls2p/v2/${tag}`.length).toBeLessThan(256)
  })
})

describe('tagged hash', () => {
  test('hashes exactly u8(|T|) ‖ T ‖ u8(n) ‖ Π u32le(|x|) ‖ x', () => {
    const tag = 'countersign/dkls2p/v2/sid'
    const preimage = Buffer.concat([
      Buffer.from([tag.length]),
      Buffer.from(tag),
      Buffer.from([2, 3, 0, 0, 0]),
      Buffer.from('abc'),
      Buffer.from([0, 0, 0, 0]),
    ])
    const by = (algorithm: string) => createHash(algorithm).update(preimage).digest('hex')
    expect(hex(taggedHash('sid', text('abc'), text('')))).toBe(by('sha256'))
    expect(hex(taggedHash512('sid', text('abc'), text('')))).toBe(by('sha512'))
  })

  test('gives one answer for large items, whichever way they are fed', () => {
    const items = [new Uint8Array(5000).fill(7), text('x')]
    const whole = createHash('sha256').update(taggedPreimage('ote/chi', ...items)).digest('hex')
    expect(hex(taggedHash('ote/chi', ...items))).toBe(whole)
  })

  test('separates what a bare concatenation confuses', () => {
    const tuples = [['a', 'b$'], ['a$', 'b'], ['ab$'], ['ab$', ''], ['', 'ab$'], [], ['']]
    const digests = tuples.map((items) => hex(taggedHash('ctx', ...items.map(text))))
    expect(new Set(digests).size).toBe(tuples.length)
  })

  test('is injective on tuples of items and on tags', () => {
    const tuple = fc.tuple(fc.constantFrom(...TAGS), fc.array(fc.uint8Array({ maxLength: 6 }), { maxLength: 5 }))
    const canonical = ([tag, items]: [string, Uint8Array[]]) => JSON.stringify([tag, items.map(hex)])
    fc.assert(
      fc.property(tuple, tuple, (a, b) => {
        const same = canonical(a) === canonical(b)
        expect(hex(taggedPreimage(a[0], ...a[1])) === hex(taggedPreimage(b[0], ...b[1]))).toBe(same)
      }),
      { numRuns: 2000 },
    )
  })

  test('moving a byte across an item boundary changes the preimage', () => {
    const items = fc.array(fc.uint8Array({ minLength: 1, maxLength: 8 }), { minLength: 2, maxLength: 4 })
    fc.assert(
      fc.property(items, (list) => {
        const [first, second, ...rest] = list as [Uint8Array, Uint8Array, ...Uint8Array[]]
        const moved = [first.slice(0, -1), Uint8Array.from([...first.slice(-1), ...second]), ...rest]
        expect(hex(taggedHash('ctx', ...list))).not.toBe(hex(taggedHash('ctx', ...moved)))
      }),
    )
  })

  test('refuses more than 255 items and a salt of another length', () => {
    const many = Array.from({ length: 256 }, () => text(''))
    expect(() => taggedHash('ctx', ...many)).toThrow(RangeError)
    expect(() => commitment('R', 1, text('c'), text('v'), new Uint8Array(31))).toThrow(RangeError)
  })
})

describe('hash to scalar', () => {
  test('reads the 64 bytes little-endian modulo q', () => {
    for (let i = 0; i < 50; i++) {
      const wide = taggedHash512('dkg/pok', Uint8Array.of(i))
      const expected = BigInt(`0x${hex(wide.toReversed())}`) % Q
      expect(BigInt(`0x${hex(hashToScalar('dkg/pok', Uint8Array.of(i)).toReversed())}`)).toBe(expected)
    }
  })
})

describe('commitment', () => {
  test('is bound to tag, role, context, value and salt', () => {
    const salt = new Uint8Array(32).fill(1)
    const base = hex(commitment('R', 1, text('ctx'), text('v'), salt))
    const others = [
      commitment('dkg', 1, text('ctx'), text('v'), salt),
      commitment('R', 2, text('ctx'), text('v'), salt),
      commitment('R', 1, text('cty'), text('v'), salt),
      commitment('R', 1, text('ctx'), text('w'), salt),
      commitment('R', 1, text('ctx'), text('v'), new Uint8Array(32).fill(2)),
      commitment('R', 1, text('ct'), text('xv'), salt),
    ].map(hex)
    expect(new Set([base, ...others]).size).toBe(7)
  })
})
