/**
 * The adapter over libsodium against noble's arithmetic, and T61: a library that does not check points is refused.
 */
import { ed25519 } from '@noble/curves/ed25519.js'
import { createHash, sign as nodeSign, generateKeyPairSync } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  addPoints,
  isCanonicalScalar,
  isIdentity,
  isValidPoint,
  mulBase,
  mulPoint,
  scalarAdd,
  scalarMul,
  scalarNegate,
  scalarReduceWide,
  scalarSub,
  subtractPoints,
  verifySignature,
} from '../../src/engine/curve/ed25519.ts'
import { ED25519_GROUP } from '../../src/engine/curve/group.ts'
import { nonceSum } from '../../src/engine/curve/nonce-sum.ts'
import { loadSodium, openSodium, type Sodium } from '../../src/engine/curve/sodium.ts'
import { OperationGenerator } from '../../src/engine/dkls23/operation-generator.ts'
import { hashToScalarOf, taggedHash512 } from '../../src/engine/hash/tagged-hash.ts'
import { BAD_POINTS, bytesOf, encodeNumber, L, numberOf, scalarOf, SMALL_ORDER } from './ed-fixtures.ts'
import { hex } from './link-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

const B = ed25519.Point.BASE
const random = (i: number, label = 'scalar'): Uint8Array =>
  scalarOf(numberOf(new Uint8Array(createHash('sha512').update(`${label}/${i}`).digest())))

describe('points of Ed25519', () => {
  test('multiplication, addition and subtraction are those of noble', () => {
    for (let i = 0; i < 20; i++) {
      const [k, l] = [random(i), random(i, 'other')]
      const [p, q] = [B.multiply(numberOf(k)), B.multiply(numberOf(l))]
      expect(hex(mulBase(k))).toBe(p.toHex())
      expect(hex(mulPoint(l, mulBase(k)))).toBe(p.multiply(numberOf(l)).toHex())
      expect(hex(addPoints([mulBase(k), mulBase(l)]) ?? k)).toBe(p.add(q).toHex())
      expect(hex(subtractPoints(mulBase(k), mulBase(l)) ?? k)).toBe(p.subtract(q).toHex())
      expect(isValidPoint(mulBase(k))).toBe(true)
    }
  })

  test('the identity has no encoding here', () => {
    const point = mulBase(random(1))
    expect(addPoints([point, mulBase(scalarNegate(random(1)))])).toBeUndefined()
    expect(subtractPoints(point, point)).toBeUndefined()
    expect(() => mulBase(new Uint8Array(32))).toThrow()
    expect(() => mulPoint(new Uint8Array(32), point)).toThrow()
    // A sum may pass through it.
    expect(hex(addPoints([point, mulBase(scalarNegate(random(1))), point]) ?? point.slice(1))).toBe(hex(point))
  })

  test.each(BAD_POINTS)('%s is not valid, and nothing multiplies it', (_, point) => {
    expect(isValidPoint(point)).toBe(false)
    expect(() => mulPoint(random(1), point)).toThrow()
  })

  test('only 32 bytes are a point', () => {
    expect(isValidPoint(new Uint8Array(0))).toBe(false)
    expect(isValidPoint(Uint8Array.of(...B.toBytes(), 0))).toBe(false)
    expect(isValidPoint(B.toBytes().subarray(1))).toBe(false)
    expect(() => mulPoint(random(1), B.toBytes().subarray(1))).toThrow(RangeError)
  })
})

describe('the sum of the nonce commitments', () => {
  type Points = Parameters<typeof nonceSum>[0]
  const sumOf = (points: readonly Uint8Array[], factors: readonly [Uint8Array, Uint8Array]) =>
    nonceSum(points as unknown as Points, factors)
  const reference = (points: readonly Uint8Array[], [c, s]: readonly [Uint8Array, Uint8Array]) => {
    const [dC, eC, dS, eS] = points.map((bytes) => ed25519.Point.fromBytes(bytes)) as [
      typeof B, typeof B, typeof B, typeof B,
    ]
    return dC.add(eC.multiplyUnsafe(numberOf(c))).add(dS).add(eS.multiplyUnsafe(numberOf(s))).toHex()
  }
  const pointsOf = (label: string) => [0, 1, 2, 3].map((i) => mulBase(random(i, label)))

  test('is that of noble, for factors of every shape', () => {
    const small = [1n, 2n, 3n, 15n, 16n, 17n, 31n, 32n, 33n, L - 1n, L - 2n, (L - 1n) / 2n, (L + 1n) / 2n]
    const runs = [(1n << 252n) - 1n, 1n << 251n, 0x5555555555555555n, (1n << 252n) / 3n, (1n << 252n) / 31n]
    const shapes = [...small, ...runs].map(scalarOf)
    for (const [i, factor] of shapes.entries()) {
      const points = pointsOf(`shape ${i}`)
      for (const factors of [[factor, random(i)], [random(i), factor], [factor, factor]] as const) {
        expect(hex(sumOf(points, factors) ?? factor)).toBe(reference(points, factors))
      }
    }
    for (let i = 0; i < 60; i++) {
      const factors = [random(i, 'first'), random(i, 'second')] as const
      expect(hex(sumOf(pointsOf(`${i}`), factors) ?? factors[0])).toBe(reference(pointsOf(`${i}`), factors))
    }
  })

  test('holds where terms are equal or cancel, up to the identity', () => {
    const [k, l] = [random(1), random(2)]
    const [p, q] = [mulBase(k), mulBase(l)]
    const minus = mulBase(scalarNegate(k))
    const [one, two] = [scalarOf(1n), scalarOf(2n)]
    for (const points of [[p, p, p, p], [p, minus, p, minus], [p, q, p, q], [q, p, p, q]]) {
      for (const factors of [[one, one], [two, one], [k, k], [k, scalarNegate(k)]] as const) {
        expect(hex(sumOf(points, factors) ?? k)).toBe(reference(points, factors))
      }
    }
    const identity = sumOf([p, minus, q, mulBase(scalarNegate(l))], [one, one])
    expect(identity !== undefined && isIdentity(identity)).toBe(true)
    expect(isIdentity(p)).toBe(false)
  })

  test('what is no point has no sum', () => {
    const points = pointsOf('off')
    const offCurve = encodeNumber(2n)
    expect(isValidPoint(offCurve)).toBe(false)
    for (let i = 0; i < 4; i++) {
      expect(sumOf(points.with(i, offCurve), [scalarOf(1n), scalarOf(1n)])).toBeUndefined()
      expect(() => sumOf(points.with(i, offCurve.subarray(1)), [scalarOf(1n), scalarOf(1n)])).toThrow(RangeError)
    }
  })
})

describe('scalars modulo L', () => {
  const edges = [0n, 1n, 2n, L - 1n, L - 2n, (L - 1n) / 2n].map(scalarOf)
  const samples = [...edges, ...Array.from({ length: 20 }, (_, i) => random(i))]

  test('sum, difference, product and negation are exact', () => {
    for (const a of samples) {
      expect(numberOf(scalarNegate(a))).toBe((L - numberOf(a)) % L)
      for (const b of samples) {
        expect(numberOf(scalarAdd(a, b))).toBe((numberOf(a) + numberOf(b)) % L)
        expect(numberOf(scalarSub(a, b))).toBe((L + numberOf(a) - numberOf(b)) % L)
        expect(numberOf(scalarMul(a, b))).toBe((numberOf(a) * numberOf(b)) % L)
      }
    }
  })

  test('64 bytes are reduced as a little-endian integer', () => {
    for (let i = 0; i < 20; i++) {
      const wide = new Uint8Array(createHash('sha512').update(`wide/${i}`).digest())
      expect(numberOf(scalarReduceWide(wide))).toBe(numberOf(wide) % L)
    }
    expect(numberOf(scalarReduceWide(new Uint8Array(64).fill(0xff)))).toBe((2n ** 512n - 1n) % L)
    expect(() => scalarReduceWide(new Uint8Array(63))).toThrow(RangeError)
  })

  test('canonical is exactly below L', () => {
    for (const a of samples) expect(isCanonicalScalar(a)).toBe(true)
    for (const value of [L, L + 1n, 2n * L, 2n ** 253n, 2n ** 255n, 2n ** 256n - 1n]) {
      expect(isCanonicalScalar(encodeNumber(value))).toBe(false)
    }
    expect(isCanonicalScalar(new Uint8Array(31))).toBe(false)
  })

  test('H2S is TH512 modulo L, and the generator draws below L, over the whole range', () => {
    const items = [bytesOf('00'), bytesOf('0102')]
    const expected = numberOf(taggedHash512('dkg/pok', ...items)) % L
    expect(numberOf(hashToScalarOf(ED25519_GROUP, 'dkg/pok', ...items))).toBe(expected)
    const inputs = { op: 'test', idOwn: new Uint8Array(32), role: 1 as const, context: new Uint8Array(32) }
    const generator = new OperationGenerator(seededEntropy('range'), inputs)
    const drawn = Array.from({ length: 400 }, () => numberOf(generator.nonZeroScalar(ED25519_GROUP)))
    expect(drawn.every((value) => value > 0n && value < L)).toBe(true)
    const quarters = [0, 0, 0, 0]
    for (const value of drawn) quarters[Number((4n * value) / L)]! += 1
    for (const count of quarters) expect(count).toBeGreaterThan(60)
    expect(new Set(drawn).size).toBe(400)
  })
})

describe('verification', () => {
  test('takes what node signs and refuses every change, S + L included', () => {
    const { privateKey, publicKey } = generateKeyPairSync('ed25519')
    const key = Uint8Array.from(Buffer.from(publicKey.export({ format: 'jwk' }).x ?? '', 'base64url'))
    const message = Buffer.from('message')
    const signature = new Uint8Array(nodeSign(null, message, privateKey))
    expect(verifySignature(signature, message, key)).toBe(true)
    expect(verifySignature(signature, Buffer.from('massage'), key)).toBe(false)
    for (let at = 0; at < 64; at++) {
      const bad = signature.slice()
      bad[at] = (bad[at] ?? 0) ^ 1
      expect(verifySignature(bad, message, key)).toBe(false)
    }
    const high = encodeNumber(numberOf(signature.slice(32)) + L)
    expect(verifySignature(Uint8Array.of(...signature.subarray(0, 32), ...high), message, key)).toBe(false)
    expect(verifySignature(signature.subarray(1), message, key)).toBe(false)
    expect(verifySignature(new Uint8Array(0), message, key)).toBe(false)
  })
})

describe('T61: a library that is not safe is refused at start', () => {
  const broken = (change: (sodium: Sodium) => Partial<Sodium>) => async (): Promise<Sodium> => {
    const sodium = await loadSodium()
    const changed = change(sodium)
    return new Proxy(sodium, { get: (target, key) => Reflect.get(changed, key) ?? Reflect.get(target, key) })
  }
  /** Takes one more encoding for valid. */
  const accepting = (point: Uint8Array) =>
    broken((sodium) => ({
      _crypto_core_ed25519_is_valid_point: (p) => {
        const same = hex(sodium.HEAPU8.slice(p, p + 32)) === hex(point)
        return same ? 1 : sodium._crypto_core_ed25519_is_valid_point(p)
      },
    }))

  test('the one that is installed passes', async () => {
    await openSodium()
    await openSodium(broken(() => ({})))
  })

  test.each([1, 2, 3, 4, 5, 6, 7])('B + %i·T8 taken for valid', async (i) => {
    const point = B.add(SMALL_ORDER[i] ?? B).toBytes()
    await expect(openSodium(accepting(point))).rejects.toThrow('a point with torsion')
  })

  test('B + (0, −1) is B + 4·T8', () => {
    const minusOne = encodeNumber(2n ** 255n - 20n)
    expect(hex(SMALL_ORDER[4]?.toBytes() ?? minusOne.slice(1))).toBe(hex(minusOne))
  })

  const small = SMALL_ORDER.map((point, i) => [i, point.toBytes()] as const)
  test.each(small)('%i·T8 taken for valid', async (_, point) => {
    await expect(openSodium(accepting(point))).rejects.toThrow('small order')
  })

  test('another encoding of a point, a valid base refused, a wrong product', async () => {
    await expect(openSodium(accepting(bytesOf(`ee${'ff'.repeat(30)}7f`)))).rejects.toThrow('non-canonical')
    const refusing = broken(() => ({ _crypto_core_ed25519_is_valid_point: () => 0 }))
    await expect(openSodium(refusing)).rejects.toThrow('does not compute')
    const wrong = broken(() => ({ _crypto_scalarmult_ed25519_base_noclamp: () => 0 }))
    await expect(openSodium(wrong)).rejects.toThrow('does not compute')
    const noSum = broken(() => ({ _crypto_core_ed25519_add: () => -1 }))
    await expect(openSodium(noSum)).rejects.toThrow('does not add')
  })

  test('scalars do not stay in the memory of the library', async () => {
    const { HEAPU8 } = await loadSodium()
    const holds = (secret: Uint8Array) => Buffer.from(HEAPU8.buffer).includes(secret.subarray(0, 16))
    // Several of each: some leave a sum behind only where it needs no reduction.
    for (let i = 0; i < 8; i++) {
      const [secret, other] = [random(77 + i, 'secret'), random(78 + i, 'other secret')]
      const wide = new Uint8Array(64).fill(i + 1)
      wide.set(secret, 16)
      mulBase(secret)
      const results = [
        scalarMul(secret, other),
        scalarNegate(secret),
        scalarReduceWide(wide),
        scalarAdd(secret, other),
        scalarSub(secret, other),
      ]
      expect(isCanonicalScalar(other)).toBe(true)
      for (const value of [secret, other, ...results]) expect(holds(value)).toBe(false)
    }
  })
})
