import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { MAX_FRAME_BYTES } from '../../src/engine/dkls23/frame.ts'
import { type Part, PART_BYTES, PartReceiver, PartSender, PartsMisspoken } from '../../src/party/remote/frame-parts.ts'

type Written = { readonly callId: number; readonly part: Part; readonly taken: () => void }

/** A stream that takes a part when it is told to. */
const slowStream = () => {
  const written: Written[] = []
  const sender = new PartSender((callId, part, taken) => void written.push({ callId, part, taken }))
  return { written, sender, take: () => written.at(-1)?.taken() }
}

const bytesOf = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

describe('a long frame', () => {
  it.each([PART_BYTES + 1, 2 * PART_BYTES, MAX_FRAME_BYTES])('of %i bytes arrives as it was', (length) => {
    const { written, sender, take } = slowStream()
    const frame = bytesOf(length)
    sender.send(7, frame)
    while (written.at(-1)?.part.more === true) take()
    expect(written).toHaveLength(Math.ceil(length / PART_BYTES))
    const receiver = new PartReceiver()
    const whole = written.map(({ callId, part }) => receiver.take(callId, part))
    expect(whole.slice(0, -1).every((one) => one === undefined)).toBe(true)
    expect(Buffer.from(frame).equals(whole.at(-1) ?? new Uint8Array())).toBe(true)
    expect(whole.at(-1)?.buffer.byteLength).toBe(length)
  })

  it('has one part on its way at a time, and takes turns with others', () => {
    const { written, sender, take } = slowStream()
    const frames = new Map([1, 2, 3].map((callId) => [callId, bytesOf(3 * PART_BYTES)]))
    for (const [callId, frame] of frames) sender.send(callId, frame)
    expect(written).toHaveLength(1)
    while (written.length < 9) take()
    expect(written.map(({ callId }) => callId)).toEqual([1, 1, 2, 3, 1, 2, 3, 2, 3])
    take()
    expect(written).toHaveLength(9)
    const receiver = new PartReceiver()
    for (const { callId, part } of written) {
      const whole = receiver.take(callId, part)
      if (whole !== undefined) expect(Buffer.from(whole).equals(frames.get(callId) ?? new Uint8Array())).toBe(true)
    }
  })

  it('says when more of them wait than is right, and when that is over', () => {
    const { sender, take } = slowStream()
    for (let callId = 0; !sender.isFull; callId++) {
      if (callId > 1_000) throw new Error('without end')
      sender.send(callId, bytesOf(1))
    }
    take()
    expect(sender.isFull).toBe(false)
  })

  it('that was given up leaves nothing more', () => {
    const { written, sender, take } = slowStream()
    sender.send(1, bytesOf(3 * PART_BYTES))
    sender.clear()
    take()
    expect(written).toHaveLength(1)
  })
})

describe('what is no frame', () => {
  const part = (length: number, more = true): Part => ({ data: new Uint8Array(length), more })

  it.each([0, PART_BYTES + 1])('is refused: a part of %i bytes', (length) => {
    expect(() => new PartReceiver().take(1, part(length))).toThrow(PartsMisspoken)
  })

  it.each([1, PART_BYTES - 1])('is refused: a part of %i bytes that others are to follow, which would cost more than its bytes', (length) => {
    expect(() => new PartReceiver().take(1, part(length))).toThrow(PartsMisspoken)
    expect(new PartReceiver().take(1, part(length, false))).toHaveLength(length)
  })

  it('is refused: parts without end', () => {
    const receiver = new PartReceiver()
    const sent = (): void => {
      for (let i = 0; i <= MAX_FRAME_BYTES / PART_BYTES + 1; i++) receiver.take(1, part(PART_BYTES))
    }
    expect(sent).toThrow('a frame beyond every frame')
  })

  it('is refused: more frames under way than there can be', () => {
    const receiver = new PartReceiver()
    const sent = (): void => {
      for (let callId = 1; callId < 100; callId++) receiver.take(callId, part(PART_BYTES))
    }
    expect(sent).toThrow('too many frames in parts')
  })
})
