import type { Decipheriv } from 'node:crypto'
import { secretBytes } from '../hash/encoding.ts'

/**
 * What an authenticating cipher opens, in memory of its own that the caller wipes; undefined, and nothing of it left, when
 * anything at all differs. `keyed` has the key, the tag and the additional data.
 */
export const decipher = (keyed: Decipheriv, ciphertext: Uint8Array): Uint8Array | undefined => {
  const plaintext = secretBytes(ciphertext.length)
  try {
    const opened = keyed.update(ciphertext)
    plaintext.set(opened)
    opened.fill(0)
    keyed.final()
    return plaintext
  } catch {
    plaintext.fill(0)
    return undefined
  }
}
