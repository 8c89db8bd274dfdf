import { describe, expect, test } from 'vitest'
import { addPoints, mulBase, negatePoint } from '../../src/engine/curve/secp256k1.ts'
import {
  answerBaseOt,
  type BaseOtReceiver,
  finishBaseOtReceiver,
  startBaseOtReceiver,
} from '../../src/engine/dkls23/base-ot.ts'
import { hashToGroup } from '../../src/engine/dkls23/hash-to-group.ts'
import { OperationGenerator } from '../../src/engine/dkls23/operation-generator.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { expectFault } from './expect-fault.ts'
import { seededEntropy } from './seeded-entropy.ts'

const ID = new Uint8Array(32).fill(1)
const NONE = new Uint8Array(0)
const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')

function generatorOf(seed: string): OperationGenerator {
  return new OperationGenerator(seededEntropy(seed), { op: 'link', idOwn: ID, role: ROLE_C, context: ID })
}

function run(receiverId = ID, senderId = ID) {
  const receiver = startBaseOtReceiver(receiverId, generatorOf('receiver'))
  const { answer, seedPairs } = answerBaseOt(senderId, receiver.points, NONE, generatorOf('sender'))
  return { receiver, answer, seedPairs }
}

function bitOf(state: BaseOtReceiver, i: number): number {
  return ((state.choices[i >> 3] ?? 0) >> (i & 7)) & 1
}

function block(bytes: Uint8Array, n: number): string {
  return hex(bytes.subarray(16 * n, 16 * n + 16))
}

/** How many of the 128 instances end with the receiver holding the seed of its own branch. */
function agreements(receiver: BaseOtReceiver, seeds: Uint8Array, seedPairs: Uint8Array): number {
  let agreed = 0
  for (let i = 0; i < 128; i++) {
    if (block(seeds, i) === block(seedPairs, 128 * bitOf(receiver, i) + i)) agreed += 1
    expect(block(seeds, i)).not.toBe(block(seedPairs, 128 * (1 - bitOf(receiver, i)) + i))
  }
  return agreed
}

describe('base OT', () => {
  test('the receiver ends with exactly the seed of its choice', () => {
    const { receiver, answer, seedPairs } = run()
    const seeds = finishBaseOtReceiver(receiver, answer)
    expect(agreements(receiver, seeds, seedPairs)).toBe(128)
    expect(new Set(Array.from({ length: 256 }, (_, n) => block(seedPairs, n))).size).toBe(256)
    expect(receiver.blinds.every((byte) => byte === 0)).toBe(true)
  })

  test('keys differ when the two sides disagree on the sid', () => {
    const { receiver, answer, seedPairs } = run(ID, new Uint8Array(32).fill(2))
    const seeds = finishBaseOtReceiver(receiver, answer)
    expect(agreements(receiver, seeds, seedPairs)).toBe(0)
  })

  test('keys differ when instances or branches are swapped', () => {
    const { receiver, answer, seedPairs } = run()
    const swapped = answer.slice()
    swapped.copyWithin(0, 66, 132)
    swapped.set(answer.subarray(0, 66), 66)
    const seeds = finishBaseOtReceiver(receiver, swapped)
    expect(agreements(receiver, seeds, seedPairs)).toBe(126)
  })

  test('one Y for both branches gives the right key on one of them only', () => {
    const { receiver, answer, seedPairs } = run()
    const same = answer.slice()
    for (let i = 0; i < 128; i++) same.copyWithin(66 * i + 33, 66 * i, 66 * i + 33)
    const seeds = finishBaseOtReceiver(receiver, same)
    const zeros = Array.from({ length: 128 }, (_, i) => 1 - bitOf(receiver, i)).reduce((a, b) => a + b, 0)
    expect(agreements(receiver, seeds, seedPairs)).toBe(zeros)
  })

  test('equal points in both branches still give two different seeds', () => {
    const { receiver } = run()
    const points = receiver.points.slice()
    points.copyWithin(33, 0, 33)
    const { seedPairs } = answerBaseOt(ID, points, NONE, generatorOf('sender'))
    expect(block(seedPairs, 0)).not.toBe(block(seedPairs, 128))
  })

  test('refuses an invalid Y on either branch, whatever the choice', () => {
    for (const branch of [0, 1]) {
      for (const index of [0, 77, 127]) {
        const { receiver, answer } = run()
        const bad = answer.slice()
        bad.fill(0xff, 66 * index + 33 * branch + 1, 66 * index + 33 * branch + 33)
        expectFault(() => finishBaseOtReceiver(receiver, bad), { faultClass: 'C', consequence: 'strike' })
        expect(receiver.blinds.every((byte) => byte === 0)).toBe(true)
      }
    }
  })

  test('refuses points off the curve, hybrid and uncompressed prefixes, and other lengths', () => {
    const { receiver } = run()
    for (const prefix of [0, 1, 4, 5, 6, 7, 0xff]) {
      const points = receiver.points.slice()
      points[66 * 5] = prefix
      expectFault(() => answerBaseOt(ID, points, NONE, generatorOf('s')), { faultClass: 'C' })
    }
    const short = receiver.points.subarray(33)
    expectFault(() => answerBaseOt(ID, short, NONE, generatorOf('s')), { faultClass: 'C' })
    expectFault(() => answerBaseOt(ID, NONE, NONE, generatorOf('s')), { faultClass: 'C' })
  })

  test('refuses one own point returned in any place', () => {
    const { receiver } = run()
    const own = startBaseOtReceiver(ID, generatorOf('own')).points
    const reflected = receiver.points.slice()
    reflected.set(own.subarray(33 * 200, 33 * 201), 33 * 9)
    expectFault(() => answerBaseOt(ID, reflected, own, generatorOf('s')), { faultClass: 'C' })
    expectFault(() => answerBaseOt(ID, own, own, generatorOf('s')), { faultClass: 'C' })
  })

  test('refuses a pair whose target is the identity', () => {
    const { receiver } = run()
    const points = receiver.points.slice()
    const free = mulBase(new Uint8Array(32).fill(3))
    points.set(free, 33)
    points.set(negatePoint(hashToGroup(ID, 0, 0, free)), 0)
    expect(addPoints([points.subarray(0, 33), hashToGroup(ID, 0, 0, free)])).toBeUndefined()
    expectFault(() => answerBaseOt(ID, points, NONE, generatorOf('s')), { faultClass: 'C' })
  })

  test('a repeating generator repeats nothing once the sid moved the transcript', () => {
    const runs = [1, 2].map((nonce) => {
      const generator = generatorOf('stuck')
      generator.mix(new Uint8Array(32).fill(nonce))
      return startBaseOtReceiver(ID, generator)
    }) as [BaseOtReceiver, BaseOtReceiver]
    const each = (points: Uint8Array) =>
      Array.from({ length: 256 }, (_, n) => hex(points.subarray(33 * n, 33 * n + 33)))
    expect(new Set(runs.flatMap(({ points }) => each(points))).size).toBe(512)
    expect(hex(runs[0].choices)).not.toBe(hex(runs[1].choices))
  })
})
