/**
 * Frames over a byte stream: u32 little-endian length, then that many bytes. Every frame has one answer in the other
 * direction, in order; the length zero is the answer that the protocol does not have.
 */
import { MAX_FRAME_BYTES } from '../engine/dkls23/frame.ts'

const PREFIX_BYTES = 4
/** Of a frame that no type can have, this much is kept: enough to be refused as what it is. */
const KEPT_OF_OVERSIZED = 64

/** Bytes of a stream in pieces of a wanted size, without joining what is not asked for yet. */
class ByteSource {
  readonly #chunks: AsyncIterator<Uint8Array>
  #rest: Uint8Array = new Uint8Array(0)

  constructor(chunks: AsyncIterable<Uint8Array>) {
    this.#chunks = chunks[Symbol.asyncIterator]()
  }

  /** Fills `into` from the front. Answers how much of it there was before the stream ended. */
  async read(into: Uint8Array): Promise<number> {
    let filled = 0
    while (filled < into.length) {
      if (this.#rest.length === 0 && !(await this.#more())) break
      const piece = this.#rest.subarray(0, into.length - filled)
      into.set(piece, filled)
      filled += piece.length
      this.#rest = this.#rest.subarray(piece.length)
    }
    return filled
  }

  /** Passes over `count` bytes. Answers how many there were. */
  async skip(count: number): Promise<number> {
    let skipped = 0
    while (skipped < count) {
      if (this.#rest.length === 0 && !(await this.#more())) break
      const piece = Math.min(this.#rest.length, count - skipped)
      this.#rest = this.#rest.subarray(piece)
      skipped += piece
    }
    return skipped
  }

  async #more(): Promise<boolean> {
    const next = await this.#chunks.next()
    if (next.done === true) return false
    this.#rest = new Uint8Array(next.value.buffer, next.value.byteOffset, next.value.byteLength)
    return true
  }
}

/**
 * The frames of a stream until it ends. A length above MAX_FRAME_BYTES is never buffered: its bytes are passed over and
 * the first 64 stand for the frame. @throws Error when the stream ends inside a frame.
 */
export async function* readFrames(stream: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array, void, undefined> {
  const source = new ByteSource(stream)
  for (;;) {
    const prefix = new Uint8Array(PREFIX_BYTES)
    const started = await source.read(prefix)
    if (started === 0) return
    const length = new DataView(prefix.buffer).getUint32(0, true)
    const frame = new Uint8Array(length > MAX_FRAME_BYTES ? KEPT_OF_OVERSIZED : length)
    const read = (await source.read(frame)) + (await source.skip(length - frame.length))
    if (started < PREFIX_BYTES || read < length) throw new Error('the input ended inside a frame')
    yield frame
  }
}

/** Writes one frame, or the length zero. Resolves when the stream has taken it. */
export const writeFrame = (stream: NodeJS.WritableStream, frame: Uint8Array | undefined): Promise<void> =>
  new Promise((resolve, reject) => {
    const body = frame ?? new Uint8Array(0)
    const bytes = new Uint8Array(PREFIX_BYTES + body.length)
    new DataView(bytes.buffer).setUint32(0, body.length, true)
    bytes.set(body, PREFIX_BYTES)
    stream.write(bytes, (error) => (error ? reject(error) : resolve()))
  })
