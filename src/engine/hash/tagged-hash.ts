/**
 * TH, TH512, H2S and Com of the protocol (docs/protocol.md §2). Each item carries its own length, so that no two
 * tuples of items share a preimage; nothing is added to the items a formula lists.
 */
import { createHash, hash } from 'node:crypto'
import { ProtocolFault } from '../dkls23/fault.ts'
import type { Group } from '../curve/group.ts'
import { isZeroScalar, scalarReduceWide } from '../kernel/scalar.ts'
import { ascii, concatBytes, secretBytes, u32, u8 } from './encoding.ts'
import { type CommitmentTag, TAG_PREFIX, TAGS, type Tag } from './tags.ts'

/**
 * Above this size the items are streamed into the hash instead of being copied into one preimage. A streamed hash leaves
 * its result behind in freed memory, so secrets stay below; and a call into the hash costs as much as a kilobyte in it.
 */
const ONE_SHOT_BYTES = 49_152

/** Items up to this size are joined in front of a streamed one. */
const SMALL_BYTES = 256

/** Where preimages are joined: one place for all of them, outside V8's heap and overwritten after each. */
const JOINED = secretBytes(ONE_SHOT_BYTES)
const JOINED_VIEW = new DataView(JOINED.buffer)

const TAG_BYTES: ReadonlyMap<string, Uint8Array> = new Map(TAGS.map((tag) => [tag, encodeTag(tag)]))

/**
 * TH(tag; items…): SHA-256 over u8(|T|) ‖ T ‖ u8(n) ‖ Π u32le(|item|) ‖ item, T the suite's prefix plus the tag.
 * @returns 32 bytes, fresh. The preimage is wiped. At most 255 items.
 */
export function taggedHash(tag: Tag, ...items: readonly Uint8Array[]): Uint8Array {
  return digest('sha256', tag, items)
}

/** TH512: as TH with SHA-512; 64 bytes. */
export function taggedHash512(tag: Tag, ...items: readonly Uint8Array[]): Uint8Array {
  return digest('sha512', tag, items)
}

/**
 * H2S(tag; items…): TH512 read little-endian, modulo the group order.
 * @returns a non-zero scalar, 32 bytes little-endian.
 * @throws ProtocolFault class B when the result is zero.
 */
export function hashToScalar(tag: Tag, ...items: readonly Uint8Array[]): Uint8Array {
  return hashToScalarOf({ scalarReduceWide }, tag, ...items)
}

/** As `hashToScalar`, modulo the order of the group given. */
export function hashToScalarOf(
  group: Pick<Group, 'scalarReduceWide'>,
  tag: Tag,
  ...items: readonly Uint8Array[]
): Uint8Array {
  const wide = taggedHash512(tag, ...items)
  const scalar = group.scalarReduceWide(wide)
  wide.fill(0)
  if (isZeroScalar(scalar)) throw new ProtocolFault('B', 'internal', 'hash to scalar is zero')
  return scalar
}

/**
 * Com(tag; role, ctx, v, salt) = TH("com/"+tag; u8 role, ctx, v, salt): a commitment is bound to role and context.
 */
export function commitment(
  tag: CommitmentTag,
  role: number,
  ctx: Uint8Array,
  v: Uint8Array,
  salt: Uint8Array,
): Uint8Array {
  if (salt.length !== 32) throw new RangeError('a commitment salt has 32 bytes')
  return taggedHash(`com/${tag}`, u8(role), ctx, v, salt)
}

/** The exact bytes that TH hashes; the additional data of the sealed envelopes (tags `aad/…`). */
export function taggedPreimage(tag: Tag, ...items: readonly Uint8Array[]): Uint8Array {
  const head = headOf(tag, items.length)
  let length = head.length
  for (const item of items) length += 4 + item.length
  const out = new Uint8Array(length)
  out.set(head, 0)
  const view = new DataView(out.buffer)
  let offset = head.length
  for (const item of items) {
    view.setUint32(offset, item.length, true)
    out.set(item, offset + 4)
    offset += 4 + item.length
  }
  return out
}

/**
 * SHA-256 or SHA-512 over the parts one after the other, fresh bytes. Where the parts lie joined is overwritten.
 */
export function hashJoined(algorithm: 'sha256' | 'sha512', parts: readonly Uint8Array[]): Uint8Array {
  let length = 0
  for (const part of parts) length += part.length
  if (length > ONE_SHOT_BYTES) return hashStreamed(algorithm, parts)
  let offset = 0
  for (const part of parts) {
    JOINED.set(part, offset)
    offset += part.length
  }
  return hashAndWipe(algorithm, length)
}

function digest(algorithm: 'sha256' | 'sha512', tag: Tag, items: readonly Uint8Array[]): Uint8Array {
  const head = headOf(tag, items.length)
  let length = head.length
  for (const item of items) length += 4 + item.length
  if (length > ONE_SHOT_BYTES) return hashStreamed(algorithm, prefixed(head, items))
  JOINED.set(head)
  let offset = head.length
  for (const item of items) {
    JOINED_VIEW.setUint32(offset, item.length, true)
    JOINED.set(item, offset + 4)
    offset += 4 + item.length
  }
  return hashAndWipe(algorithm, length)
}

/** The first bytes of the joined parts. */
function hashAndWipe(algorithm: 'sha256' | 'sha512', length: number): Uint8Array {
  const joined = JOINED.subarray(0, length)
  try {
    return plainBytes(hash(algorithm, joined, 'buffer'))
  } finally {
    joined.fill(0)
  }
}

function prefixed(head: Uint8Array, items: readonly Uint8Array[]): Uint8Array[] {
  const parts: Uint8Array[] = []
  let small: Uint8Array[] = [head]
  for (const item of items) {
    small.push(u32(item.length))
    if (item.length <= SMALL_BYTES) {
      small.push(item)
      continue
    }
    parts.push(concatBytes(...small), item)
    small = []
  }
  return [...parts, concatBytes(...small)]
}

function hashStreamed(algorithm: 'sha256' | 'sha512', parts: readonly Uint8Array[]): Uint8Array {
  const state = createHash(algorithm)
  for (const part of parts) state.update(part)
  return plainBytes(state.digest())
}

function headOf(tag: Tag, count: number): Uint8Array {
  if (count > 255) throw new RangeError('a tagged hash takes at most 255 items')
  const bytes = TAG_BYTES.get(tag)
  if (bytes === undefined) throw new RangeError('the tag is not in the registry')
  bytes[bytes.length - 1] = count
  return bytes
}

/** u8(|T|) ‖ T and a place for the number of items. */
function encodeTag(tag: Tag): Uint8Array {
  const text = ascii(TAG_PREFIX + tag)
  const out = new Uint8Array(2 + text.length)
  out.set(u8(text.length), 0)
  out.set(text, 1)
  return out
}

function plainBytes(buffer: Buffer): Uint8Array {
  return new Uint8Array(buffer.buffer, buffer.byteOffset, buffer.byteLength)
}
