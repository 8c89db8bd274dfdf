import { createRequire } from 'node:module'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, test } from 'vitest'
import { openBinding } from '../../src/engine/curve/binding.ts'
import {
  addPoints,
  addPointsUncompressed,
  contextRandomize,
  decompress,
  isPoint,
  mulBase,
  mulBaseUncompressed,
  mulPublic,
  mulSecret,
  mulSecretUncompressed,
  negatePoint,
  parsePoint,
  pointFromX,
  pointX,
  recoverPoint,
  verifySignature,
} from '../../src/engine/curve/secp256k1.ts'
import { scalarAdd, scalarMul } from '../../src/engine/kernel/scalar.ts'
import { fromLe, hexOf, MAX_256, mod, Q, seededBytes, toLe } from './bigint-reference.ts'

const P = 2n ** 256n - 2n ** 32n - 977n
const next = seededBytes('curve')
const scalar = () => toLe(mod(fromLe(next(32))))
const toBe = (value: bigint) => toLe(value).toReversed()

describe('the binding', () => {
  test('is the native one: the JavaScript curve is not even loaded', () => {
    const loaded = Object.keys(createRequire(import.meta.url).cache)
    expect(loaded.some((path) => path.includes('secp256k1/lib/index.js'))).toBe(true)
    expect(loaded.filter((path) => path.includes('elliptic'))).toEqual([])
    expect(loaded.filter((path) => path.endsWith('secp256k1/index.js'))).toEqual([])
  })

  test('that does not load stops the start', () => {
    const load = (name: string) => {
      throw new Error(`no native build for ${name}`)
    }
    expect(() => openBinding(load)).toThrow('no native build for secp256k1/bindings.js')
  })

  test('that loads and computes something else stops the start', () => {
    const real = createRequire(import.meta.url)('secp256k1/bindings.js') as ReturnType<typeof openBinding>
    const wrong = { ...real, publicKeyCreate: () => new Uint8Array(33).fill(2) }
    expect(() => openBinding(() => wrong)).toThrow('does not compute')
    expect(() => openBinding(() => real)).not.toThrow()
  })
})

describe('points agree with another implementation', () => {
  const point = (k: bigint) => secp256k1.Point.BASE.multiply(k)

  test('multiplication of the base and of a point', () => {
    contextRandomize(next(32))
    for (const k of [1n, 2n, 3n, Q - 1n, Q - 2n, (Q - 1n) / 2n, mod(fromLe(next(32)))]) {
      const base = mulBase(toLe(k))
      expect(hexOf(base)).toBe(point(k).toHex(true))
      expect(hexOf(mulBaseUncompressed(toLe(k)))).toBe(point(k).toHex(false))
      const other = scalar()
      const product = hexOf(mulBase(scalarMul(other, toLe(k))))
      expect(hexOf(mulSecret(other, base))).toBe(product)
      expect(hexOf(mulPublic(other, base))).toBe(product)
      expect(hexOf(mulSecretUncompressed(other, decompress(base)))).toBe(hexOf(decompress(mulSecret(other, base))))
    }
  })

  test('sums, and the identity as a sum', () => {
    const [a, b] = [scalar(), scalar()]
    const [pointA, pointB] = [mulBase(a), mulBase(b)]
    const sum = mulBase(scalarAdd(a, b))
    expect(hexOf(addPoints([pointA, pointB]) ?? next(1))).toBe(hexOf(sum))
    expect(hexOf(addPoints([decompress(pointA), pointB]) ?? next(1))).toBe(hexOf(sum))
    expect(hexOf(addPointsUncompressed([pointA, pointB]) ?? next(1))).toBe(hexOf(decompress(sum)))
    expect(addPoints([pointA, negatePoint(pointA)])).toBeUndefined()
    expect(addPoints([pointA, pointB, negatePoint(sum)])).toBeUndefined()
    expect(addPointsUncompressed([pointA, negatePoint(pointA)])).toBeUndefined()
    expect(() => addPoints([pointA, new Uint8Array(33)])).toThrow()
    expect(() => addPoints([])).toThrow()
  })

  test('from an x coordinate', () => {
    const base = mulBase(scalar())
    const x = pointX(base)
    expect(hexOf(pointFromX(x, base[0] === 3) ?? next(1))).toBe(hexOf(base))
    expect(hexOf(pointFromX(x, base[0] !== 3) ?? next(1))).toBe(hexOf(negatePoint(base)))
    // x = 5 is on no point of the curve.
    expect(pointFromX(toBe(5n), false)).toBeUndefined()
    expect(pointFromX(toBe(P), false)).toBeUndefined()
    expect(() => pointFromX(new Uint8Array(31), false)).toThrow(RangeError)
  })
})

describe('what is no point or no scalar is refused', () => {
  const valid = mulBase(toLe(7n))
  const invalid: [string, Uint8Array][] = [
    ['all zero', new Uint8Array(33)],
    ['empty', new Uint8Array(0)],
    ['x of no point', Uint8Array.of(2, ...toBe(5n))],
    ['x = p', Uint8Array.of(2, ...toBe(P))],
    ['x = p + 1, the unreduced form of a valid x', Uint8Array.of(2, ...toBe(P + 1n))],
    ['x = 2^256 - 1', Uint8Array.of(3, ...toBe(MAX_256))],
    ['prefix 00', Uint8Array.of(0, ...pointX(valid))],
    ['prefix 01', Uint8Array.of(1, ...pointX(valid))],
    ['prefix 04 on 33 bytes', Uint8Array.of(4, ...pointX(valid))],
    ['prefix 06', Uint8Array.of(6, ...pointX(valid))],
    ['uncompressed', decompress(valid)],
    ['hybrid', Uint8Array.of(6 + (valid[0] === 3 ? 1 : 0), ...decompress(valid).subarray(1))],
    ['truncated', valid.subarray(0, 32)],
    ['extended', Uint8Array.of(...valid, 0)],
  ]

  test.each(invalid)('point: %s', (_name, bytes) => {
    expect(isPoint(bytes)).toBe(false)
    expect(parsePoint(bytes)).toBeUndefined()
  })

  test('x = 1 is a point, so that x = p + 1 above is refused for its encoding', () => {
    expect(isPoint(Uint8Array.of(2, ...toBe(1n)))).toBe(true)
  })

  test.each([0n, Q, Q + 1n, MAX_256])('scalar %i', (value) => {
    expect(() => mulBase(toLe(value))).toThrow()
    expect(() => mulBaseUncompressed(toLe(value))).toThrow()
    expect(() => mulSecret(toLe(value), valid)).toThrow()
    expect(() => mulPublic(toLe(value), valid)).toThrow()
  })

  test('scalars of another length, multiplication of no point', () => {
    expect(() => mulBase(new Uint8Array(31))).toThrow(RangeError)
    expect(() => mulSecret(toLe(1n), new Uint8Array(33))).toThrow()
    expect(() => mulPublic(toLe(1n), new Uint8Array(33))).toThrow()
  })
})

describe('signatures', () => {
  const secret = scalar()
  const key = mulBase(secret)
  const digest = next(32)
  const signed = secp256k1.sign(digest, secret.toReversed(), { prehash: false, format: 'recovered' })
  const [recid, r, s] = [signed[0] ?? 0, signed.slice(1, 33), signed.slice(33)]
  const negated = (value: Uint8Array) => toBe(Q - fromLe(value.toReversed()))

  test('a low-s signature verifies and recovers its key', () => {
    expect(verifySignature(r, s, digest, key)).toBe(true)
    expect(hexOf(recoverPoint(r, s, recid, digest) ?? next(1))).toBe(hexOf(key))
    expect(hexOf(recoverPoint(r, s, recid ^ 1, digest) ?? next(1))).not.toBe(hexOf(key))
  })

  test('high s, other digest, other key, r and s at the edges do not', () => {
    expect(verifySignature(r, negated(s), digest, key)).toBe(false)
    expect(verifySignature(r, s, next(32), key)).toBe(false)
    expect(verifySignature(r, s, digest, mulBase(toLe(9n)))).toBe(false)
    expect(verifySignature(s, r, digest, key)).toBe(false)
    for (const edge of [0n, 1n, Q - 1n, Q, Q + 1n, MAX_256]) {
      expect(verifySignature(toBe(edge), s, digest, key)).toBe(false)
      expect(verifySignature(r, toBe(edge), digest, key)).toBe(false)
    }
  })

  test('recovery from values that name no key is undefined', () => {
    expect(recoverPoint(toBe(0n), s, 0, digest)).toBeUndefined()
    expect(recoverPoint(r, toBe(0n), 0, digest)).toBeUndefined()
    expect(recoverPoint(toBe(Q), s, 0, digest)).toBeUndefined()
    for (const bad of [-1, 4, 0.5, Number.NaN]) expect(recoverPoint(r, s, bad, digest)).toBeUndefined()
  })

  test('wrong lengths are refused', () => {
    expect(() => verifySignature(r.subarray(1), s, digest, key)).toThrow(RangeError)
    expect(() => verifySignature(r, s, digest.subarray(1), key)).toThrow(RangeError)
    expect(() => verifySignature(r, s, digest, decompress(key).subarray(1))).toThrow(RangeError)
    expect(() => verifySignature(r, s, digest, decompress(key).with(64, 0))).toThrow(RangeError)
    expect(verifySignature(r, s, digest, decompress(key))).toBe(true)
  })
})
