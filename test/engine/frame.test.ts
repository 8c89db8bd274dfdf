/** T19, T20: what a frame parser refuses, and with which class. */
import { describe, expect, test } from 'vitest'
import { benign, cheating, FAULT_CODES } from '../../src/engine/dkls23/fault.ts'
import {
  allocateBody,
  assertOffered,
  assertSender,
  bodyLengthFromCounts,
  decodeError,
  decodeFrame,
  decodeHello,
  encodeError,
  encodeFault,
  encodeFrame,
  encodeHello,
  encodeRefusedSlots,
  type Frame,
  FRAME_TYPES,
  type FrameType,
  MAX_FRAME_BYTES,
} from '../../src/engine/dkls23/frame.ts'
import {
  decodeOutcomeAnswers,
  decodeOutcomeQuestions,
  encodeOutcomeAnswers,
  encodeOutcomeQuestions,
} from '../../src/engine/dkls23/outcome.ts'
import { oteMessageBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { concatBytes, u16, u32 } from '../../src/engine/hash/encoding.ts'
import { expectFault } from './expect-fault.ts'

const hex = (bytes: Uint8Array) => Buffer.from(bytes).toString('hex')
const FRAME: Frame = {
  type: FRAME_TYPES.W4,
  role: ROLE_S,
  linkId: new Uint8Array(16).fill(1),
  lEpoch: 0x01020304,
  sid: new Uint8Array(32).fill(2),
  body: new Uint8Array(32).fill(3),
}
const encoded = (change: Partial<Frame> = {}) => encodeFrame({ ...FRAME, ...change })
const patched = (offset: number, ...bytes: number[]) => {
  const out = encoded()
  out.set(bytes, offset)
  return out
}

test('a body with room for its header is framed where it lies, once', () => {
  const filled = (body: Uint8Array): Uint8Array => {
    body.set([1, 2, 3])
    return body
  }
  const header = {
    type: FRAME_TYPES.L1, role: ROLE_C, linkId: new Uint8Array(16).fill(5), lEpoch: 7, sid: new Uint8Array(32).fill(6),
  } as const
  const roomy = filled(allocateBody(3))
  const frame = encodeFrame({ ...header, body: roomy })
  expect(frame).toEqual(encodeFrame({ ...header, body: filled(new Uint8Array(3)) }))
  expect(frame.buffer).toBe(roomy.buffer)
  expect(frame.length).toBe(frame.buffer.byteLength)
  const again = encodeFrame({ ...header, body: roomy })
  expect(again).toEqual(frame)
  expect(again.buffer).not.toBe(roomy.buffer)
  // The body of a received frame lies behind a header as well; framing it anew leaves that frame alone.
  const received = decodeFrame(again, ROLE_C)
  expect(encodeFrame({ ...header, lEpoch: 8, body: received.body }).buffer).not.toBe(again.buffer)
  expect(decodeFrame(again, ROLE_C).lEpoch).toBe(7)
})

describe('frame', () => {
  test('has exactly the bytes of the layout', () => {
    const expected = [
      '43534732', '010b0200', '01'.repeat(16), '04030201', '02'.repeat(32), '20000000', '03'.repeat(32),
    ].join('')
    expect(hex(encoded())).toBe(expected)
  })

  test('round trip, without copying the body', () => {
    const bytes = encoded()
    const frame = decodeFrame(bytes, ROLE_S)
    expect({ ...frame, linkId: hex(frame.linkId), sid: hex(frame.sid), body: hex(frame.body) }).toEqual({
      ...FRAME, linkId: hex(FRAME.linkId), sid: hex(FRAME.sid), body: hex(FRAME.body),
    })
    expect(frame.body.buffer).toBe(bytes.buffer)
  })

  test.each([
    ['magic', patched(0, 0x44)],
    ['the magic of another version', patched(3, 0x31)],
    ['suite 0', patched(4, 0)],
    ['suite 2', patched(4, 2)],
    ['type 0', patched(5, 0)],
    ['a type between two ranges', patched(5, 0x06)],
    ['type 0xff', patched(5, 0xff)],
    ['role 0', patched(6, 0)],
    ['the own role', patched(6, 1)],
    ['role 3', patched(6, 3)],
    ['flags', patched(7, 1)],
    ['a body length too short', patched(60, 31)],
    ['a body length too long', patched(60, 33)],
    ['a huge body length', patched(60, 0xff, 0xff, 0xff, 0xff)],
    ['a trailing byte', concatBytes(encoded(), new Uint8Array(1))],
    ['a missing byte', encoded().subarray(0, -1)],
    ['half a header', encoded().subarray(0, 32)],
    ['nothing', new Uint8Array(0)],
    ['a body above the maximum of its type', encoded({ body: new Uint8Array(33) })],
  ])('refuses %s as a violation', (_, bytes) => {
    expectFault(() => decodeFrame(bytes, ROLE_S), { faultClass: 'C', code: 'protocol', consequence: 'strike' })
  })

  test('a type that this role never sends is a violation of its own', () => {
    assertSender(FRAME_TYPES.L2, ROLE_S)
    assertSender(FRAME_TYPES.ERROR, ROLE_C)
    expectFault(() => assertSender(FRAME_TYPES.L2, ROLE_C), { faultClass: 'C' })
    expectFault(() => assertSender(FRAME_TYPES.P3, ROLE_S), { faultClass: 'C' })
  })

  test('a type of the suite that is not offered is refused without a strike', () => {
    for (const type of [FRAME_TYPES.REHOME1, FRAME_TYPES.REHOME4, FRAME_TYPES.REHOME5]) {
      expectFault(() => assertOffered(type), { faultClass: 'A', code: 'policy_denied', consequence: 'none' })
    }
    const offered = [FRAME_TYPES.FORK1, FRAME_TYPES.SEALED_SHARE, FRAME_TYPES.L1, FRAME_TYPES.P4, FRAME_TYPES.E1, FRAME_TYPES.ED_SIGN_REQUEST, FRAME_TYPES.HELLO]
    for (const type of offered) assertOffered(type)
  })

  test('the largest frame is P3 with 64 slots', () => {
    expect(oteMessageBytes(1)).toBe(80 * 128 + 2064)
    expect(oteMessageBytes(16)).toBe(848 * 128 + 2064)
    expect(oteMessageBytes(64)).toBe(3344 * 128 + 2064)
    expect(MAX_FRAME_BYTES).toBe(64 + oteMessageBytes(64) + 40_131 * 64 + 32)
  })

  test('body lengths follow from the counts alone', () => {
    const counted = (type: FrameType, offset: number, count: number, length = offset + 2) => {
      const body = new Uint8Array(length)
      body.set(u16(count), offset)
      return bodyLengthFromCounts(type, body)
    }
    expect(counted(FRAME_TYPES.P1, 32, 16)).toBe(66 + 20 * 16)
    expect(counted(FRAME_TYPES.F1, 32, 3)).toBe(126)
    expect(counted(FRAME_TYPES.REHOME1, 32, 3)).toBe(174)
    expect(counted(FRAME_TYPES.E1, 32, 2)).toBe(34 + 168)
    expect(counted(FRAME_TYPES.OUTCOME_ANSWER, 0, 2)).toBe(108)
    expect(counted(FRAME_TYPES.OUTCOME_QUESTION, 0, 2)).toBe(106)
    expect(counted(FRAME_TYPES.IM1, 260, 7)).toBe(269)
    expect(bodyLengthFromCounts(FRAME_TYPES.W1, new Uint8Array(0))).toBe(67)
    const request = new Uint8Array(218 + 8)
    request[100] = 2
    request.set(u32(0xffff_ffff), 214 + 8)
    expect(bodyLengthFromCounts(FRAME_TYPES.SIGN_REQUEST, request)).toBe(226 + 0xffff_ffff)
    expect(bodyLengthFromCounts(FRAME_TYPES.SIGN_REQUEST, new Uint8Array(3))).toBe(218)
    expect(bodyLengthFromCounts(FRAME_TYPES.L3, new Uint8Array(3))).toBeUndefined()
  })
})

describe('error frame', () => {
  test('round trip of every code, with a detail for three of them', () => {
    for (const code of Object.keys(FAULT_CODES) as (keyof typeof FAULT_CODES)[]) {
      if (code === 'link_stale' || code === 'epoch_rejected') {
        expect(decodeError(encodeError({ code, lEpoch: 77 }))).toEqual({ code, lEpoch: 77 })
      } else if (code === 'plan_refused') {
        expect(decodeError(encodeError({ code, slots: [0, 63] }))).toEqual({ code, slots: [0, 63] })
      } else expect(decodeError(encodeError({ code }))).toEqual({ code })
    }
    expect(hex(encodeError({ code: 'plan_refused', slots: [3, 258] }))).toBe('030600020003000201')
    expect(hex(encodeError({ code: 'link_stale', lEpoch: 5 }))).toBe('02040005000000')
  })

  test('a fault becomes its frame; evidence of cheating is one constant', () => {
    expect(hex(encodeFault(cheating()))).toBe('080000')
    expect(hex(encodeFault(benign('plan_refused', 'x', encodeRefusedSlots([1]))))).toBe('03040001000100')
  })

  test.each([
    ['an unknown code', '100000'],
    ['code 0', '000000'],
    ['a detail where there is none', '0101000f'],
    ['a detail shorter than its length', '02040005'],
    ['a stale epoch of two bytes', '0202000500'],
    ['a slot list longer than its count', '030600010003000201'],
    ['two bytes', '0100'],
  ])('refuses %s', (_, body) => {
    expectFault(() => decodeError(Uint8Array.from(Buffer.from(body, 'hex'))), { faultClass: 'C' })
  })
})

describe('hello and outcome', () => {
  test('hello is 16 bytes', () => {
    const id = new Uint8Array(16).fill(9)
    expect(hex(decodeHello(encodeHello(id)))).toBe(hex(id))
    expectFault(() => decodeHello(new Uint8Array(15)), { faultClass: 'C' })
  })

  test('outcome questions and answers round trip', () => {
    const question = { walletId: new Uint8Array(16).fill(1), wEpoch: 7, sid: new Uint8Array(32).fill(2) }
    const answers = [{ ...question, verdict: 'COMMITTED' as const }, { ...question, verdict: 'ABORTED' as const }]
    expect(decodeOutcomeQuestions(encodeOutcomeQuestions([question]))).toEqual([question])
    expect(decodeOutcomeAnswers(encodeOutcomeAnswers(answers))).toEqual(answers)
    expect(hex(encodeOutcomeAnswers(answers.slice(0, 1)))).toBe(
      '0100' + '01'.repeat(16) + '07000000' + '02'.repeat(32) + '01',
    )
  })

  test('refuses wrong counts and verdicts', () => {
    const one = encodeOutcomeAnswers([
      { walletId: new Uint8Array(16), wEpoch: 0, sid: new Uint8Array(32), verdict: 'ABORTED' },
    ])
    expectFault(() => decodeOutcomeAnswers(Uint8Array.from([...one.slice(0, -1), 3])), { faultClass: 'C' })
    expectFault(() => decodeOutcomeAnswers(Uint8Array.from([2, ...one.slice(1)])), { faultClass: 'C' })
    expectFault(() => decodeOutcomeAnswers(u16(0)), { faultClass: 'C' })
    expectFault(() => decodeOutcomeQuestions(one), { faultClass: 'C' })
    expect(() => encodeOutcomeQuestions([])).toThrow(RangeError)
  })
})
