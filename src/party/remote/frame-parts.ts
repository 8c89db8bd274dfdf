/**
 * Long frames in pieces, so that nothing short waits behind one: a presign session sends up to 3 MB at once, a signature a
 * few hundred bytes. One piece is handed to the stream at a time, when the stream has taken the one before; pieces of
 * several frames take turns.
 */
import { MAX_FRAME_BYTES } from '../../engine/dkls23/frame.ts'
import { MAX_SHARDS } from '../shards.ts'

export const PART_BYTES = 65_536
/** Frames: a step of a session a link and direction, and room for links that begin anew. */
const MAX_UNDER_WAY = 2 * MAX_SHARDS

export type Part = { readonly data: Uint8Array; readonly more: boolean }
type Leaving = { readonly callId: number; readonly frame: Uint8Array; at: number }

export class PartSender {
  readonly #write: (callId: number, part: Part, taken: () => void) => void
  #leaving: Leaving[] = []
  #isWriting = false

  /** `write` calls `taken` when the stream can take another. */
  constructor(write: (callId: number, part: Part, taken: () => void) => void) {
    this.#write = write
  }

  /** The frame must not be written to until it has left. */
  send(callId: number, frame: Uint8Array): void {
    this.#leaving.push({ callId, frame, at: 0 })
    this.#next()
  }

  clear(): void {
    this.#leaving = []
  }

  /** More wait than links have steps at a time: the other side does not read. */
  get isFull(): boolean {
    return this.#leaving.length >= MAX_UNDER_WAY
  }

  #next(): void {
    if (this.#isWriting) return
    const first = this.#leaving.shift()
    if (first === undefined) return
    const { callId, frame, at } = first
    first.at = Math.min(frame.length, at + PART_BYTES)
    const more = first.at < frame.length
    if (more) this.#leaving.push(first)
    this.#isWriting = true
    this.#write(callId, { data: frame.subarray(at, first.at), more }, () => {
      this.#isWriting = false
      this.#next()
    })
  }
}

/** The other side sends what no frame is made of. */
export class PartsMisspoken extends Error {}

type Arriving = { readonly parts: Uint8Array[]; bytes: number }

export class PartReceiver {
  readonly #arriving = new Map<number, Arriving>()

  /**
   * The frame once it is whole, in memory of its own. @throws PartsMisspoken: an empty part or one that is too long, one
   * that is short and not the last (crumbs take a hundred times their bytes), a frame beyond every frame, more frames
   * under way than links have.
   */
  take(callId: number, { data, more }: Part): Uint8Array | undefined {
    const fits = more ? data.length === PART_BYTES : data.length > 0 && data.length <= PART_BYTES
    if (!fits) throw new PartsMisspoken(`a part of ${data.length} bytes`)
    const known = this.#arriving.get(callId)
    if (known === undefined && this.#arriving.size >= MAX_UNDER_WAY) throw new PartsMisspoken('too many frames in parts')
    const frame = known ?? { parts: [], bytes: 0 }
    frame.parts.push(data)
    frame.bytes += data.length
    if (frame.bytes > MAX_FRAME_BYTES) throw new PartsMisspoken('a frame beyond every frame')
    if (more) {
      this.#arriving.set(callId, frame)
      return undefined
    }
    this.#arriving.delete(callId)
    return joined(frame)
  }
}

const joined = ({ parts, bytes }: Arriving): Uint8Array => {
  const whole = new Uint8Array(bytes)
  let at = 0
  for (const part of parts) {
    whole.set(part, at)
    at += part.length
  }
  return whole
}

/** Bytes in memory of their own, which can be handed to another thread without a copy. */
export const ownBytes = (bytes: Uint8Array): Uint8Array =>
  bytes.length === bytes.buffer.byteLength ? bytes : new Uint8Array(bytes)
