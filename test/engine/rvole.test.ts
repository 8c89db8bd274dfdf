import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { GADGET } from '../../src/engine/dkls23/gadget.ts'
import { oteReceive, oteSend } from '../../src/engine/dkls23/ot-extension.ts'
import {
  isRvoleMessageCanonical,
  rvoleFactor,
  rvoleReceive,
  rvoleSend,
} from '../../src/engine/dkls23/rvole.ts'
import { memory } from '../../src/engine/kernel/load.ts'
import { bitOf, fromLe, hexOf, MAX_256, mod, Q, seededBytes, toLe } from './bigint-reference.ts'
import { referenceGadget, referenceRvoleSend, rowBytesOf } from './multiplication-reference.ts'

const SLOTS = 2
const SLOT = 1

function extended(seed: string) {
  const next = seededBytes(seed)
  const [id, seedPairs, delta, x] = [next(32), next(4096), next(16), next(rowBytesOf(SLOTS))]
  const chosen = Array.from({ length: 128 }, (_, i) => {
    const at = 2048 * bitOf(delta, i) + 16 * i
    return seedPairs.subarray(at, at + 16)
  })
  const receiver = oteReceive(id, SLOTS, seedPairs, x)
  const sender = oteSend(id, SLOTS, new Uint8Array(Buffer.concat(chosen)), delta, receiver.message)
  const rows = (all: Uint8Array) => all.subarray(6656 * SLOT, 6656 * (SLOT + 1))
  const scalar = () => mod(fromLe(next(32)))
  const beta = x.subarray(52 * SLOT, 52 * SLOT + 52)
  return { id, delta, q: rows(sender.rows), t: rows(receiver.rows), beta, scalar }
}

function send(of: ReturnType<typeof extended>, a: readonly [bigint, bigint, bigint]) {
  const message = new Uint8Array(40_000)
  const [a0, a1, eta] = [toLe(a[0]), toLe(a[1]), toLe(a[2])]
  const { c } = rvoleSend(of.id, SLOT, of.delta, of.q, [a0, a1, eta], message)
  return { message, c: [fromLe(c[0]), fromLe(c[1])] as const }
}

const receive = (of: ReturnType<typeof extended>, message: Uint8Array) => {
  const { accepted, d } = rvoleReceive(of.id, SLOT, of.t, of.beta, message)
  return { accepted, d: [fromLe(d[0]), fromLe(d[1])] as const }
}

describe('the gadget', () => {
  test('is the constant of the suite', () => {
    const reference = referenceGadget()
    expect(Array.from({ length: 416 }, (_, j) => fromLe(GADGET.subarray(32 * j, 32 * j + 32)))).toEqual(reference)
    expect(hexOf(GADGET.subarray(0, 32))).toBe('e53ecb5c7b49cc6ecacdf3bbe33b46a8558afac7d1819d0548f3877f247a8960')
    const digest = createHash('sha256').update(GADGET).digest('hex')
    expect(digest).toBe('59b4c7287c392c8b5045df61d315197dabda0a1a85b7e7759f935d9fbb880e71')
  })
})

describe('honest multiplication', () => {
  test('has the bytes of the protocol', () => {
    const of = extended('bytes')
    const input = [of.scalar(), of.scalar(), of.scalar()] as const
    const got = send(of, input)
    const expected = referenceRvoleSend(of.id, SLOT, of.delta, of.q, () => input)
    expect(hexOf(got.message)).toBe(hexOf(expected.message))
    expect(got.c).toEqual(expected.c)
  })

  test('c_i + d_i = a_i·χ, random inputs and edges', () => {
    const of = extended('relation')
    const chi = fromLe(rvoleFactor(of.beta))
    const gadget = referenceGadget()
    expect(chi).toBe(mod(gadget.reduce((sum, g, j) => sum + g * BigInt(bitOf(of.beta, j)), 0n)))
    const edges = [0n, 1n, Q - 1n].flatMap((a0) => [0n, 1n, Q - 1n].map((a1) => [a0, a1] as const))
    for (const [a0, a1] of [...edges, ...Array.from({ length: 8 }, () => [of.scalar(), of.scalar()] as const)]) {
      const { message, c } = send(of, [a0, a1, of.scalar()])
      const { accepted, d } = receive(of, message)
      expect(accepted).toBe(true)
      expect(mod(c[0] + d[0])).toBe(mod(a0 * chi))
      expect(mod(c[1] + d[1])).toBe(mod(a1 * chi))
    }
    expect(memory.every((byte) => byte === 0)).toBe(true)
  })
})

describe('a sender that cheats', () => {
  const of = extended('cheat')
  const honest = [of.scalar(), of.scalar(), of.scalar()] as const
  const { message } = send(of, honest)
  const refused = (changed: Uint8Array) => {
    const { accepted, d } = receive(of, changed)
    expect(accepted).toBe(false)
    expect(d).toEqual([0n, 0n])
  }
  const flipped = (bit: number) => {
    const out = message.slice()
    out[bit >> 3] = (out[bit >> 3] ?? 0) ^ (1 << (bit & 7))
    return out
  }

  test('one bit of Ã, of η, of the μ hash', () => {
    for (let bit = 3; bit < 8 * message.length; bit += 7919) refused(flipped(bit))
    for (const byte of [39_936, 39_967, 39_968, 39_999]) refused(flipped(8 * byte))
  })

  test('wrong η with everything else consistent', () => {
    refused(referenceRvoleSend(of.id, SLOT, of.delta, of.q, () => honest, 1n).message)
  })

  test('another input in one row passes exactly when its choice bit is 0, and then changes nothing', () => {
    for (const j of [0, 1, 2, 3, 100, 415]) {
      const other = [honest[0], mod(honest[1] + 5n), honest[2]] as const
      const forged = referenceRvoleSend(of.id, SLOT, of.delta, of.q, (row) => (row === j ? other : honest))
      const { accepted, d } = receive(of, forged.message)
      expect(accepted).toBe(bitOf(of.beta, j) === 0)
      if (accepted) expect(mod(forged.c[1] + d[1])).toBe(mod(honest[1] * fromLe(rvoleFactor(of.beta))))
    }
  })

  test('another input in half of the rows', () => {
    const other = [mod(honest[0] + 1n), honest[1], honest[2]] as const
    refused(referenceRvoleSend(of.id, SLOT, of.delta, of.q, (row) => (row % 2 === 1 ? other : honest)).message)
  })

  test('another input in all rows is consistent and left to the checks of the session', () => {
    const other = [mod(honest[0] + 1n), honest[1], honest[2]] as const
    expect(receive(of, referenceRvoleSend(of.id, SLOT, of.delta, of.q, () => other).message).accepted).toBe(true)
  })

  test('a message of another slot, of another session', () => {
    const [a0, a1, eta] = [toLe(honest[0]), toLe(honest[1]), toLe(honest[2])]
    const slot0 = new Uint8Array(40_000)
    rvoleSend(of.id, 0, of.delta, of.q, [a0, a1, eta], slot0)
    refused(slot0)
    const elsewhere = new Uint8Array(40_000)
    rvoleSend(new Uint8Array(32).fill(7), SLOT, of.delta, of.q, [a0, a1, eta], elsewhere)
    refused(elsewhere)
  })
})

describe('malformed messages', () => {
  const of = extended('malformed')
  const { message } = send(of, [1n, 2n, 3n])

  test.each([Q, Q + 1n, MAX_256])('the value %i in any scalar is not canonical', (value) => {
    expect(isRvoleMessageCanonical(message)).toBe(true)
    for (const index of [0, 1, 2, 623, 1247, 1248]) {
      const broken = message.slice()
      broken.set(toLe(value), 32 * index)
      expect(isRvoleMessageCanonical(broken)).toBe(false)
    }
  })

  test('the scalar 0 is canonical and fails the check', () => {
    for (const index of [0, 623, 1248]) {
      const broken = message.slice()
      broken.set(toLe(0n), 32 * index)
      expect(isRvoleMessageCanonical(broken)).toBe(true)
      // Another Ã gives another θ, so the change is seen whatever the choice bit.
      expect(receive(of, broken).accepted).toBe(false)
    }
  })

  test('the μ hash may be any 32 bytes', () => {
    const broken = message.slice()
    broken.fill(0xff, 39_968)
    expect(isRvoleMessageCanonical(broken)).toBe(true)
  })

  test('other lengths are refused', () => {
    for (const bad of [message.subarray(1), Uint8Array.of(...message, 0), new Uint8Array(0)]) {
      expect(isRvoleMessageCanonical(bad)).toBe(false)
      expect(() => rvoleReceive(of.id, SLOT, of.t, of.beta, bad)).toThrow(RangeError)
    }
    expect(() => rvoleReceive(of.id, SLOT, of.t.subarray(16), of.beta, message)).toThrow(RangeError)
    expect(() => rvoleReceive(of.id, SLOT, of.t, of.beta.subarray(1), message)).toThrow(RangeError)
    expect(() => rvoleFactor(of.beta.subarray(1))).toThrow(RangeError)
  })
})
