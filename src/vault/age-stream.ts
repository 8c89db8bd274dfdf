import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { openChaCha, sealChaCha, TAG_BYTES } from './aead.ts'
import { FILE_KEY_BYTES, headerCorrupt, hkdf, makeHeader, openHeader, readHeader } from './age-header.ts'
import type { Identity, Recipient } from './backup-keys.ts'

/**
 * age files (C2SP age, "age-encryption.org/v1") as streams. The payload is cut into chunks of 64 KiB, each
 * ChaCha20-Poly1305 under a key of its own file with nonce = chunk number (11 bytes) ‖ 1 for the last, else 0
 * (STREAM): a chunk that is altered, moved, left out or added, and an end that was cut off, does not open. What a
 * decrypting reader has been given before the failure is true as far as it goes, and is to be thrown away.
 */
const CHUNK_BYTES = 65_536
const NONCE_BYTES = 16

const damaged = () => failure('BACKUP_CORRUPT', { where: 'payload' })

const chunkNonce = (number: number, isLast: boolean): Buffer => {
  const nonce = Buffer.alloc(12)
  nonce.writeUIntBE(number, 5, 6)
  nonce[11] = isLast ? 1 : 0
  return nonce
}

/** Takes a stream apart into the sizes its reader asks for. */
class ByteReader {
  readonly #source: AsyncIterator<Uint8Array>
  #held = Buffer.alloc(0)
  #ended = false

  constructor(source: AsyncIterable<Uint8Array>) {
    this.#source = source[Symbol.asyncIterator]()
  }

  async #fill(bytes: number): Promise<void> {
    const parts = [this.#held]
    let length = this.#held.length
    while (!this.#ended && length < bytes) {
      const next = await this.#source.next()
      if (next.done === true) {
        this.#ended = true
      } else {
        parts.push(Buffer.from(next.value))
        length += next.value.length
      }
    }
    if (parts.length > 1) this.#held = Buffer.concat(parts)
  }

  /** At most `bytes`; fewer only at the end. */
  async take(bytes: number): Promise<Buffer> {
    await this.#fill(bytes)
    const taken = this.#held.subarray(0, bytes)
    this.#held = this.#held.subarray(bytes)
    return taken
  }

  async isAtEnd(): Promise<boolean> {
    await this.#fill(1)
    return this.#held.length === 0
  }

  /** Up to the next line feed, which is passed over. */
  async line(maxBytes: number): Promise<string> {
    let size = 128
    for (;;) {
      await this.#fill(size)
      const end = this.#held.indexOf(0x0a)
      if (end >= 0 && end < maxBytes) {
        const text = this.#held.toString('latin1', 0, end)
        this.#held = this.#held.subarray(end + 1)
        return text
      }
      if (this.#ended || size >= maxBytes) throw headerCorrupt()
      size = Math.min(2 * size, maxBytes)
    }
  }
}

const openChunk = (key: Uint8Array, number: number, isLast: boolean, sealed: Uint8Array): Uint8Array => {
  const plaintext = openChaCha(key, chunkNonce(number, isLast), sealed)
  if (plaintext === undefined) throw damaged()
  return plaintext
}

/** The age file of `plaintext` for one recipient, part by part. */
export async function* encryptAge(
  recipient: Recipient,
  plaintext: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const fileKey = randomBytes(FILE_KEY_BYTES)
  const nonce = randomBytes(NONCE_BYTES)
  const key = hkdf(fileKey, nonce, 'payload')
  try {
    yield makeHeader(fileKey, recipient)
    yield nonce
    const reader = new ByteReader(plaintext)
    let isLast = false
    for (let number = 0; !isLast; number++) {
      const chunk = await reader.take(CHUNK_BYTES)
      isLast = await reader.isAtEnd()
      yield sealChaCha(key, chunkNonce(number, isLast), chunk)
    }
  } finally {
    fileKey.fill(0)
    key.fill(0)
  }
}

/** What an age file holds, chunk by chunk. Refuses: BACKUP_KEY_WRONG, BACKUP_CORRUPT. */
export async function* decryptAge(
  identities: readonly Identity[],
  file: AsyncIterable<Uint8Array>,
): AsyncIterable<Uint8Array> {
  const reader = new ByteReader(file)
  const fileKey = openHeader(await readHeader((maxBytes) => reader.line(maxBytes)), identities)
  const nonce = await reader.take(NONCE_BYTES)
  const key = hkdf(fileKey, nonce, 'payload')
  fileKey.fill(0)
  try {
    if (nonce.length !== NONCE_BYTES) throw headerCorrupt()
    let isLast = false
    for (let number = 0; !isLast; number++) {
      const sealed = await reader.take(CHUNK_BYTES + TAG_BYTES)
      isLast = await reader.isAtEnd()
      // Only an empty payload ends with an empty chunk.
      if (number > 0 && sealed.length === TAG_BYTES) throw damaged()
      yield openChunk(key, number, isLast, sealed)
    }
  } finally {
    key.fill(0)
  }
}
