/** T15 and T53: a repeating generator repeats nothing once one received byte differs. */
import { createCipheriv, createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import {
  type Entropy,
  OperationGenerator,
  type OperationInputs,
} from '../../src/engine/dkls23/operation-generator.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { taggedPreimage } from '../../src/engine/hash/tagged-hash.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const fill = (value: number, length = 32) => new Uint8Array(length).fill(value)

const STUCK: Entropy = {
  osRandom64: () => fill(7, 64),
  clock: () => ({ wallNs: 5n, monotonicNs: 6n }),
  nonce32: () => fill(8),
}
const INPUTS: OperationInputs = { op: 'presign', idOwn: fill(1), role: ROLE_C, context: fill(2) }

describe('operation generator', () => {
  test('is AES-256-CTR under the first half of TH512 over its inputs', () => {
    const u64le = (value: number) => Buffer.from([value, 0, 0, 0, 0, 0, 0, 0])
    const preimage = taggedPreimage(
      'og/start',
      Buffer.from('presign'),
      fill(1),
      Uint8Array.of(1),
      fill(7, 64),
      Buffer.concat([u64le(5), u64le(6)]),
      fill(2),
      Uint8Array.of(1, 0),
      fill(3),
      fill(4),
      fill(9),
    )
    const og = createHash('sha512').update(preimage).digest()
    const stream = createCipheriv('aes-256-ctr', og.subarray(0, 32), new Uint8Array(16))
    const generator = new OperationGenerator(STUCK, {
      ...INPUTS,
      walletContexts: [fill(3)],
      ownShares: [fill(4)],
      hk: fill(9),
    })
    expect(hex(generator.bytes(100))).toBe(hex(stream.update(new Uint8Array(100))))
    expect(hex(generator.bytes(7))).toBe(hex(stream.update(new Uint8Array(7))))
  })

  test('many scalars are those that would be drawn one by one', () => {
    const [many, one] = [new OperationGenerator(STUCK, INPUTS), new OperationGenerator(STUCK, INPUTS)]
    for (const kind of ['any', 'non-zero'] as const) {
      const each = Array.from({ length: 300 }, () => hex(kind === 'any' ? one.scalar() : one.nonZeroScalar()))
      expect(hex(many.scalars(300, kind))).toBe(each.join(''))
    }
    expect(hex(many.bytes(32))).toBe(hex(one.bytes(32)))
  })

  test.each([
    ['any', [fill(0), fill(1), fill(2)], 1],
    ['non-zero', [fill(1), fill(2), fill(3)], 3],
  ] as const)('of many scalars, those out of range are left out and drawn anew: %s', (kind, expected, more) => {
    const stream = [fill(0xff), fill(0), fill(1), fill(0xff), fill(2), fill(0), fill(3)]
    if (kind === 'any') stream.splice(3, 1)
    class Scripted extends OperationGenerator {
      draws = 0
      override bytes(length: number): Uint8Array {
        this.draws += 1
        return Uint8Array.from(Buffer.concat(stream.splice(0, length / 32)))
      }
    }
    const generator = new Scripted(STUCK, INPUTS)
    expect(hex(generator.scalars(3, kind))).toBe(expected.map(hex).join(''))
    expect(generator.draws).toBeGreaterThan(more)
  })

  test('with stuck randomness, another transcript gives other values from there on', () => {
    const [a, b] = [new OperationGenerator(STUCK, INPUTS), new OperationGenerator(STUCK, INPUTS)]
    expect(hex(a.scalar())).toBe(hex(b.scalar()))
    a.mix(fill(1))
    const other = fill(1)
    other[31] = 0
    b.mix(other)
    const drawn = [a, b].flatMap((generator) => [hex(generator.scalar()), hex(generator.bytes(32))])
    expect(new Set(drawn).size).toBe(4)
  })

  test('negative control: without the mix the second run repeats the first', () => {
    const [a, b] = [new OperationGenerator(STUCK, INPUTS), new OperationGenerator(STUCK, INPUTS)]
    expect(hex(a.bytes(64))).toBe(hex(b.bytes(64)))
  })

  test('every input changes the stream', () => {
    const kernel: Entropy = { ...STUCK, osRandom64: () => Uint8Array.from([...fill(7, 63), 0]) }
    const clock: Entropy = { ...STUCK, clock: () => ({ wallNs: 5n, monotonicNs: 7n }) }
    const streams = [
      new OperationGenerator(STUCK, INPUTS),
      new OperationGenerator(kernel, INPUTS),
      new OperationGenerator(clock, INPUTS),
      new OperationGenerator(STUCK, { ...INPUTS, op: 'link' }),
      new OperationGenerator(STUCK, { ...INPUTS, idOwn: fill(9) }),
      new OperationGenerator(STUCK, { ...INPUTS, role: ROLE_S }),
      new OperationGenerator(STUCK, { ...INPUTS, context: fill(9) }),
      new OperationGenerator(STUCK, { ...INPUTS, walletContexts: [fill(9)] }),
      new OperationGenerator(STUCK, { ...INPUTS, ownShares: [fill(9)] }),
      new OperationGenerator(STUCK, { ...INPUTS, hk: fill(9) }),
    ].map((generator) => hex(generator.bytes(32)))
    expect(new Set(streams).size).toBe(streams.length)
  })

  test('does not touch the shares it hashes, and draws nothing after it was wiped', () => {
    const share = fill(4)
    const generator = new OperationGenerator(STUCK, { ...INPUTS, ownShares: [share] })
    expect(hex(share)).toBe(hex(fill(4)))
    generator.wipe()
    generator.wipe()
    expect(() => generator.bytes(1)).toThrow()
  })
})
