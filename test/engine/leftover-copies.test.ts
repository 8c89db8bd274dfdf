import { createRequire } from 'node:module'
import { afterEach, beforeEach, describe, expect, test, vi } from 'vitest'
import type { EcdhOptions, Secp256k1Binding } from '../../src/engine/curve/binding.ts'
import { contextRandomize, mulBase, mulSecret, mulSecretUncompressed } from '../../src/engine/curve/secp256k1.ts'
import { answerBaseOt, finishBaseOtReceiver, startBaseOtReceiver } from '../../src/engine/dkls23/base-ot.ts'
import { OperationGenerator } from '../../src/engine/dkls23/operation-generator.ts'
import { startPresignC } from '../../src/engine/dkls23/presign.ts'
import { presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { activate, LINK, makeMaterial, makeWallets } from './link-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

/** The same object that the engine calls: what passes between the two is seen here. */
const binding = createRequire(import.meta.url)('secp256k1/bindings.js') as {
  -readonly [K in keyof Secp256k1Binding]: Secp256k1Binding[K]
}
const genuine = { ...binding }
const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

/** Every array that went into or came out of a product, but for the results themselves. */
let temporaries: Uint8Array[]
/** What is made of own scalars on the way to a point that is sent. */
let points: Uint8Array[]
/** What secrets were multiplied with. */
let factors: Uint8Array[]

beforeEach(() => {
  temporaries = []
  points = []
  factors = []
  binding.ecdh = (point, secret, options, output) => {
    const { hashfn, xbuf, ybuf } = options
    const watched: EcdhOptions['hashfn'] = (x, y) => {
      const encoded = hashfn(x, y)
      temporaries.push(encoded)
      return encoded
    }
    temporaries.push(secret, xbuf, ybuf)
    factors.push(point)
    return genuine.ecdh(point, secret, { ...options, hashfn: watched }, output)
  }
  binding.publicKeyCreate = (secret, compressed, output) => {
    temporaries.push(secret)
    points.push(output)
    return genuine.publicKeyCreate(secret, compressed, output)
  }
  binding.publicKeyNegate = (point, compressed, output) => {
    points.push(output)
    return genuine.publicKeyNegate(point, compressed, output)
  }
})
afterEach(() => {
  Object.assign(binding, genuine)
  vi.restoreAllMocks()
})

describe('copies on the way', () => {
  test('a product with a secret lies in the result and nowhere else', () => {
    const scalar = new Uint8Array(32).fill(7)
    const point = mulBase(new Uint8Array(32).fill(9))
    const products = [mulSecret(scalar, point), mulSecretUncompressed(scalar, point)]
    expect(products.map(isZero)).toEqual([false, false])
    expect(temporaries).toHaveLength(1 + 2 * 4)
    expect(temporaries.every(isZero)).toBe(true)
  })

  test('the seed that blinds the library is overwritten', () => {
    const seed = new Uint8Array(32).fill(5)
    contextRandomize(seed)
    expect(isZero(seed)).toBe(true)
  })

  test('of a base OT nothing stays that names a choice bit next to what was sent', () => {
    const id = new Uint8Array(32).fill(1)
    const generatorOf = (seed: string) =>
      new OperationGenerator(seededEntropy(seed), { op: 'link', idOwn: id, role: ROLE_C, context: id })
    const receiver = startBaseOtReceiver(id, generatorOf('receiver'))
    const sent = new Set(Array.from({ length: 256 }, (_, n) => hex(receiver.points.subarray(33 * n, 33 * n + 33))))
    expect(points).toHaveLength(3 * 128)
    // s·G is sent as it is; t·G and the mask that is taken from it are not.
    expect(points.filter((point) => !isZero(point)).every((point) => sent.has(hex(point)))).toBe(true)
    expect(points.filter(isZero)).toHaveLength(2 * 128)

    const { answer } = answerBaseOt(id, receiver.points, new Uint8Array(0), generatorOf('sender'))
    factors = []
    finishBaseOtReceiver(receiver, answer)
    expect(factors).toHaveLength(128)
    expect(factors.every(isZero)).toBe(true)
    expect(temporaries.every(isZero)).toBe(true)
  })

  test('a presign session that gets no randomness keeps no copy of a share', () => {
    const { c: material } = makeMaterial('starved')
    const [record] = activate(makeWallets(1).c)
    const slot = presignSlotOf(LINK, material, record as NonNullable<typeof record>)
    if (slot === undefined) throw new Error('the wallet may not presign')
    const copies: Uint8Array[] = []
    const set: (from: ArrayLike<number>, offset?: number) => void = Reflect.get(Uint8Array.prototype, 'set')
    vi.spyOn(Uint8Array.prototype, 'set').mockImplementation(function (this: Uint8Array, from, offset) {
      if (from === slot.share) copies.push(this)
      set.call(this, from, offset)
    })
    const osRandom64 = () => {
      throw new Error('no randomness')
    }
    const entropy = { ...seededEntropy('none'), osRandom64 }
    expect(() => startPresignC({ link: LINK, material, entropy, slots: [slot] })).toThrow('no randomness')
    expect(copies).toHaveLength(1)
    expect(copies.every(isZero)).toBe(true)
    expect(isZero(slot.share)).toBe(false)
  })
})
