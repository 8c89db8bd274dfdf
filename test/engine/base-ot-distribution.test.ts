/**
 * T37: what a base-OT receiver sends is independent of its choice bits, which are Δ. The statistics are taken over
 * many instances with seeded randomness, and the same statistics must reject a sampler that is known to be bad.
 */
import { describe, expect, test } from 'vitest'
import { addPoints, isPoint, mulBase, negatePoint } from '../../src/engine/curve/secp256k1.ts'
import { startBaseOtReceiver } from '../../src/engine/dkls23/base-ot.ts'
import { hashToGroup } from '../../src/engine/dkls23/hash-to-group.ts'
import { OperationGenerator } from '../../src/engine/dkls23/operation-generator.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { seededEntropy } from './seeded-entropy.ts'

// 128 instances each: 10^5 in all.
const RUNS = 782
// Quantiles of χ² at about 10^-9: one degree of freedom, and 255.
const LIMIT_1 = 38
const LIMIT_255 = 410

type Instance = { readonly bit: number; readonly p0: Uint8Array; readonly p1: Uint8Array }
type Sampler = (id: Uint8Array, generator: OperationGenerator) => Iterable<Instance>

function* product(id: Uint8Array, generator: OperationGenerator): Iterable<Instance> {
  const { choices, points } = startBaseOtReceiver(id, generator)
  for (let i = 0; i < 128; i++) {
    const bit = ((choices[i >> 3] ?? 0) >> (i & 7)) & 1
    yield { bit, p0: points.subarray(66 * i, 66 * i + 33), p1: points.subarray(66 * i + 33, 66 * i + 66) }
  }
}

/** Known bad: the free point by try-and-increment with prefix 02 only, next to a chosen point of free parity. */
function* fixedPrefix(id: Uint8Array, generator: OperationGenerator): Iterable<Instance> {
  for (let i = 0; i < 128; i++) {
    const bit = (generator.bytes(1)[0] ?? 0) & 1
    const free = new Uint8Array(33)
    do {
      free.set([2])
      free.set(generator.bytes(32), 1)
    } while (!isPoint(free))
    const mask = hashToGroup(id, i, bit, free)
    const chosen = addPoints([mulBase(generator.nonZeroScalar()), negatePoint(mask)]) ?? new Uint8Array(33)
    yield bit === 0 ? { bit, p0: chosen, p1: free } : { bit, p0: free, p1: chosen }
  }
}

/** Contingency of a byte-valued feature with the choice bit. */
class Table {
  readonly counts = [new Float64Array(256), new Float64Array(256)]

  add(bit: number, value: number): void {
    const row = this.counts[bit]
    if (row !== undefined) row[value] = (row[value] ?? 0) + 1
  }

  chiSquared(): number {
    const [zero, one] = this.counts as [Float64Array, Float64Array]
    const sum = (row: Float64Array) => row.reduce((a, b) => a + b, 0)
    const totals = [sum(zero), sum(one)] as const
    const all = totals[0] + totals[1]
    let chi = 0
    for (let value = 0; value < 256; value++) {
      const column = (zero[value] ?? 0) + (one[value] ?? 0)
      if (column === 0) continue
      const expected = [(column * totals[0]) / all, (column * totals[1]) / all] as const
      chi += ((zero[value] ?? 0) - expected[0]) ** 2 / expected[0]
      chi += ((one[value] ?? 0) - expected[1]) ** 2 / expected[1]
    }
    return chi
  }
}

function measure(sampler: Sampler, runs: number) {
  const prefixes = [new Table(), new Table()] as const
  const bytes = [new Table(), new Table(), new Table(), new Table()] as const
  let oddOnce = 0
  let oddNamesBit = 0
  const entropy = seededEntropy('base-ot-distribution')
  for (let run = 0; run < runs; run++) {
    const id = entropy.nonce32()
    const generator = new OperationGenerator(entropy, { op: 'link', idOwn: id, role: ROLE_C, context: id })
    for (const { bit, p0, p1 } of sampler(id, generator)) {
      prefixes[0].add(bit, p0[0] ?? 0)
      prefixes[1].add(bit, p1[0] ?? 0)
      for (const [n, value] of [p0[1], p0[32], p1[1], p1[32]].entries()) bytes[n]?.add(bit, value ?? 0)
      if (p0[0] !== p1[0]) {
        oddOnce += 1
        if ((p0[0] === 3 ? 0 : 1) === bit) oddNamesBit += 1
      }
    }
  }
  const guess = ((2 * oddNamesBit - oddOnce) ** 2) / oddOnce
  return {
    prefix: Math.max(guess, ...prefixes.map((table) => table.chiSquared())),
    bytes: Math.max(...bytes.map((table) => table.chiSquared())),
    oddOnce,
    oddNamesBit,
  }
}

describe('base-OT receiver message', () => {
  test('is independent of the choice bits', { timeout: 60_000 }, () => {
    const seen = measure(product, RUNS)
    expect(seen.prefix).toBeLessThan(LIMIT_1)
    expect(seen.bytes).toBeLessThan(LIMIT_255)
    expect(seen.oddOnce).toBeGreaterThan(RUNS * 128 * 0.48)
  })

  test('the statistics reject a sampler with a fixed prefix', () => {
    const seen = measure(fixedPrefix, 20)
    expect(seen.prefix).toBeGreaterThan(LIMIT_1)
    expect(seen.oddNamesBit).toBe(seen.oddOnce)
  })
})
