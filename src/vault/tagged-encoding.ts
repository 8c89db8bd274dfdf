import { createHmac, hash } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

/**
 * One unambiguous byte encoding for everything the vault hashes, MACs or binds as additional data: u8 |tag| ‖ tag
 * ‖ u8 n ‖ for each item (u32 little-endian |item| ‖ item). Text is UTF-8, integers are big-endian u64 (`u64`) or
 * u32 (`u32`). Every item is length-prefixed, so no two different lists share an encoding.
 */
export type Item = Uint8Array | string

export const encodeTagged = (tag: string, items: readonly Item[]): Buffer => {
  if (tag.length > 255 || items.length > 255) throw new RangeError('tag or item list is too long to encode')
  let size = 2 + tag.length
  for (const item of items) size += 4 + (typeof item === 'string' ? Buffer.byteLength(item) : item.length)
  const out = Buffer.allocUnsafe(size)
  let at = out.writeUInt8(tag.length, 0)
  at += out.write(tag, at, 'ascii')
  at = out.writeUInt8(items.length, at)
  for (const item of items) {
    if (typeof item === 'string') {
      const length = out.write(item, at + 4, 'utf8')
      out.writeUInt32LE(length, at)
      at += 4 + length
    } else {
      out.writeUInt32LE(item.length, at)
      out.set(item, at + 4)
      at += 4 + item.length
    }
  }
  return out
}

export const hashTagged = (tag: string, items: readonly Item[]): Buffer =>
  hash('sha256', encodeTagged(tag, items), 'buffer')

export const macTagged = (key: KeyObject, tag: string, items: readonly Item[]): Buffer =>
  macEncoded(key, encodeTagged(tag, items))

/** Of what `encodeTagged` made, or would have. */
export const macEncoded = (key: KeyObject, encoded: Uint8Array): Buffer => createHmac('sha256', key).update(encoded).digest()

export const u64 = (value: bigint | number): Buffer => {
  const out = Buffer.allocUnsafe(8)
  out.writeBigUInt64BE(BigInt(value))
  return out
}

export const u32 = (value: number): Buffer => {
  const out = Buffer.allocUnsafe(4)
  out.writeUInt32BE(value)
  return out
}
