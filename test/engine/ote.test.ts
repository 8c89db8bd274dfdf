import { describe, expect, test } from 'vitest'
import { oteReceive, oteSend } from '../../src/engine/dkls23/ot-extension.ts'
import { memory } from '../../src/engine/kernel/load.ts'
import { bitOf, hexOf, seededBytes } from './bigint-reference.ts'
import {
  referenceColumns,
  referenceExtend,
  referenceOteMessage,
  referenceSenderRows,
  rowBytesOf,
} from './multiplication-reference.ts'

function correlation(seed: string, slots: number) {
  const next = seededBytes(seed)
  const [id, seedPairs, delta, x] = [next(32), next(4096), next(16), next(rowBytesOf(slots))]
  const chosen = Array.from({ length: 128 }, (_, i) => {
    const at = 2048 * bitOf(delta, i) + 16 * i
    return seedPairs.subarray(at, at + 16)
  })
  return { id, seedPairs, delta, x, seeds: new Uint8Array(Buffer.concat(chosen)) }
}

const flip = (bytes: Uint8Array, bit: number): Uint8Array => {
  const out = bytes.slice()
  out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (1 << (bit & 7))
  return out
}

describe('the bytes are those of the protocol', () => {
  test.each([1, 2])('%i slots', (slots) => {
    const { id, seedPairs, delta, x, seeds } = correlation(`bytes ${slots}`, slots)
    const { t, u } = referenceExtend(id, seedPairs, x)
    const got = oteReceive(id, slots, seedPairs, x)
    expect(hexOf(got.message)).toBe(hexOf(referenceOteMessage(id, u, t, x)))
    expect(got.message.length).toBe(128 * rowBytesOf(slots) + 2064)
    expect(hexOf(got.rows)).toBe(hexOf(referenceColumns(t, slots)))
    const sent = oteSend(id, slots, seeds, delta, got.message)
    expect(sent.accepted).toBe(true)
    expect(hexOf(sent.rows)).toBe(hexOf(referenceColumns(referenceSenderRows(id, seeds, delta, u), slots)))
  })
})

test.each([1, 3, 16, 64])('q_j = t_j ⊕ x_j·Δ for %i slots', (slots) => {
  const { id, seedPairs, delta, x, seeds } = correlation(`relation ${slots}`, slots)
  const receiver = oteReceive(id, slots, seedPairs, x)
  const sender = oteSend(id, slots, seeds, delta, receiver.message)
  expect(sender.rows.length).toBe(16 * 416 * slots)
  const expected = receiver.rows.map((byte, k) => byte ^ (bitOf(x, k >> 4) * (delta[k & 15] ?? 0)))
  expect(hexOf(sender.rows)).toBe(hexOf(expected))
  expect(memory.every((byte) => byte === 0)).toBe(true)
})

describe('a receiver that cheats', () => {
  const slots = 1
  const honest = correlation('cheat', slots)
  const { message } = oteReceive(honest.id, slots, honest.seedPairs, honest.x)
  const verdict = (body: Uint8Array, id = honest.id) =>
    oteSend(id, slots, honest.seeds, honest.delta, body)

  test('one flipped bit of U is seen, and no rows come out', () => {
    const columns = 8 * rowBytesOf(slots)
    for (let i = 0; i < 128; i += 5) {
      for (const column of [0, 415, columns - 1, (i * 97) % columns]) {
        const result = verdict(flip(message, i * columns + column))
        expect(result.accepted).toBe(false)
        expect(result.rows.length).toBe(0)
      }
    }
  })

  test('one flipped bit of x̂ or t̂ is seen', () => {
    const from = 8 * 128 * rowBytesOf(slots)
    for (let bit = from; bit < 8 * message.length; bit += 61) {
      expect(verdict(flip(message, bit)).accepted).toBe(false)
    }
  })

  test('all zero, and a message of another session, are refused', () => {
    expect(verdict(new Uint8Array(message.length)).accepted).toBe(false)
    const other = oteReceive(new Uint8Array(32).fill(9), slots, honest.seedPairs, honest.x)
    expect(verdict(other.message).accepted).toBe(false)
    expect(verdict(message, new Uint8Array(32).fill(9)).accepted).toBe(false)
  })

  test('with the check recomputed it passes exactly when the bit of Δ is 0: the reason for the burn', () => {
    const { t, u } = referenceExtend(honest.id, honest.seedPairs, honest.x)
    for (let i = 0; i < 128; i++) {
      const bet = u.map((row, k) => (k === i ? flip(row, (i * 53) % 416) : row))
      const forged = referenceOteMessage(honest.id, bet, t, honest.x)
      expect(verdict(forged).accepted).toBe(bitOf(honest.delta, i) === 0)
    }
  })

  test('another x in one row, with the check recomputed, is a bet on that row too', () => {
    const { t, u } = referenceExtend(honest.id, honest.seedPairs, honest.x)
    const mixed = Array.from({ length: 128 }, (_, i) => i).filter((i) => i < 6)
    const other = seededBytes('polychromatic')(honest.x.length)
    const bet = u.map((row, i) =>
      mixed.includes(i) ? row.map((byte, k) => byte ^ (honest.x[k] ?? 0) ^ (other[k] ?? 0)) : row,
    )
    const forged = referenceOteMessage(honest.id, bet, t, honest.x)
    expect(verdict(forged).accepted).toBe(mixed.every((i) => bitOf(honest.delta, i) === 0))
  })
})

test('lengths other than the exact ones are refused before anything is computed', () => {
  const { id, seedPairs, delta, x, seeds } = correlation('lengths', 2)
  const { message } = oteReceive(id, 2, seedPairs, x)
  expect(() => oteReceive(id, 1, seedPairs, x)).toThrow(RangeError)
  expect(() => oteReceive(id, 2, seedPairs.subarray(1), x)).toThrow(RangeError)
  expect(() => oteSend(id, 1, seeds, delta, message)).toThrow(RangeError)
  expect(() => oteSend(id, 2, seeds.subarray(1), delta, message)).toThrow(RangeError)
  expect(() => oteSend(id, 2, seeds, delta.subarray(1), message)).toThrow(RangeError)
  for (const bad of [message.subarray(1), Uint8Array.of(...message, 0), new Uint8Array(0)]) {
    expect(() => oteSend(id, 2, seeds, delta, bad)).toThrow(RangeError)
  }
})
