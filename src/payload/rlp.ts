import { bytesToBigint } from './bytes.ts'

/** Ethereum's RLP (Yellow Paper, appendix B), canonical in both directions: one value has one encoding. */
export type RlpItem = Uint8Array | readonly RlpItem[]

export class RlpRefused extends Error {
  readonly why: string

  constructor(why: string) {
    super(why)
    this.name = 'RlpRefused'
    this.why = why
  }
}

const MAX_DEPTH = 6
/** A full access list in the largest request has 48 thousand items. */
const MAX_ITEMS = 65_536

type Header = { readonly list: boolean; readonly start: number; readonly end: number }

class Reader {
  readonly #bytes: Uint8Array
  #items = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = bytes
  }

  document(): RlpItem {
    const { item, end } = this.#item(0, this.#bytes.length, 0)
    if (end !== this.#bytes.length) throw new RlpRefused('bytes follow the RLP item')
    return item
  }

  #item(at: number, limit: number, depth: number): { item: RlpItem; end: number } {
    this.#items += 1
    if (this.#items > MAX_ITEMS) throw new RlpRefused(`has more than ${MAX_ITEMS} RLP items`)
    const { list, start, end } = this.#header(at, limit)
    if (!list) return { item: this.#bytes.subarray(start, end), end }
    if (depth >= MAX_DEPTH) throw new RlpRefused(`has RLP lists deeper than ${MAX_DEPTH}`)
    const items: RlpItem[] = []
    let next = start
    while (next < end) {
      const member = this.#item(next, end, depth + 1)
      items.push(member.item)
      next = member.end
    }
    return { item: items, end }
  }

  #header(at: number, limit: number): Header {
    const first = this.#bytes[at]
    if (first === undefined || at >= limit) throw new RlpRefused('is truncated RLP')
    if (first < 0x80) return { list: false, start: at, end: at + 1 }
    const list = first >= 0xc0
    const short = first - (list ? 0xc0 : 0x80)
    const { start, length } = short <= 55 ? { start: at + 1, length: short } : this.#longLength(at + 1, short - 55)
    const end = start + length
    if (end > limit) throw new RlpRefused('is truncated RLP')
    if (!list && length === 1 && (this.#bytes[start] ?? 0) < 0x80)
      throw new RlpRefused('has a single byte with an RLP length')
    return { list, start, end }
  }

  #longLength(at: number, size: number): { start: number; length: number } {
    const digits = this.#bytes.subarray(at, at + size)
    if (digits.length !== size || size > 4) throw new RlpRefused('is truncated RLP')
    const length = digits.reduce((sum, digit) => sum * 256 + digit, 0)
    if (digits[0] === 0 || length <= 55) throw new RlpRefused('has an RLP length that is not minimal')
    return { start: at + size, length }
  }
}

/**
 * One RLP item that fills the bytes. Byte strings are views of the input. Throws `RlpRefused` for truncated input,
 * bytes that follow, lengths in a longer form than needed, single bytes below 0x80 with a length, nesting over 6,
 * more than 65,536 items.
 */
export const decodeRlp = (bytes: Uint8Array): RlpItem => new Reader(bytes).document()

/** A byte that stands for itself. */
const isBare = (bytes: Uint8Array): boolean => bytes.length === 1 && (bytes[0] ?? 0) < 0x80

/** Bytes of the header before a body of `length` bytes. */
const headerSize = (length: number): number => {
  if (length <= 55) return 1
  let size = 1
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) size += 1
  return size
}

/** Measured first and written once: copying at each level would hold the thread up for the largest lists. */
export const encodeRlp = (item: RlpItem): Uint8Array => {
  const bodies = new Map<readonly RlpItem[], number>()
  const sizeOf = (one: RlpItem): number => {
    if (one instanceof Uint8Array) return isBare(one) ? 1 : headerSize(one.length) + one.length
    let body = 0
    for (const member of one) body += sizeOf(member)
    bodies.set(one, body)
    return headerSize(body) + body
  }
  const out = new Uint8Array(sizeOf(item))
  let at = 0
  const writeHeader = (offset: number, length: number): void => {
    const size = headerSize(length) - 1
    out[at++] = size === 0 ? offset + length : offset + 55 + size
    for (let rest = size - 1; rest >= 0; rest--) out[at++] = Math.floor(length / 256 ** rest) % 256
  }
  const write = (one: RlpItem): void => {
    if (!(one instanceof Uint8Array)) {
      writeHeader(0xc0, bodies.get(one) ?? 0)
      for (const member of one) write(member)
      return
    }
    if (!isBare(one)) writeHeader(0x80, one.length)
    out.set(one, at)
    at += one.length
  }
  write(item)
  return out
}

/** An RLP integer: big-endian without leading zeros, at most 32 bytes. Throws `RlpRefused`. */
export const rlpInteger = (item: RlpItem | undefined): bigint => {
  if (!(item instanceof Uint8Array)) throw new RlpRefused('is not an integer')
  if (item.length > 32) throw new RlpRefused('is longer than 32 bytes')
  if (item[0] === 0) throw new RlpRefused('has a leading zero')
  return bytesToBigint(item)
}
