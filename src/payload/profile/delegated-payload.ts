import { fromHex } from '../bytes.ts'
import type { DecodedPayload } from './loaded-profile.ts'
import { ProfileFault } from './profile-fault.ts'
import type { PayloadField } from './profile.ts'

/**
 * Reading a delegated payload by the layout its profile gives. One value has one encoding: constants match, lists
 * ascend without repetition, nothing follows.
 */
class PayloadReader {
  readonly #bytes: Buffer
  #at = 0

  constructor(bytes: Uint8Array) {
    this.#bytes = Buffer.from(bytes)
  }

  take(size: number): Buffer | undefined {
    if (this.#at + size > this.#bytes.length) return undefined
    this.#at += size
    return this.#bytes.subarray(this.#at - size, this.#at)
  }

  get isAtEnd(): boolean {
    return this.#at === this.#bytes.length
  }
}

const readList = (reader: PayloadReader): readonly number[] | undefined => {
  const count = reader.take(1)?.[0]
  const items = count === undefined ? undefined : reader.take(count)
  if (items === undefined) return undefined
  const list = [...items]
  return list.every((item, index) => index === 0 || item > (list[index - 1] ?? 255)) ? list : undefined
}

const readField = (field: Exclude<PayloadField, { constant: string }>, reader: PayloadReader) => {
  if ('list' in field) return readList(reader)
  if ('bytes' in field) {
    const bytes = reader.take(field.bytes)
    return bytes === undefined ? undefined : new Uint8Array(bytes)
  }
  const digits = reader.take(field.uint)
  return digits === undefined ? undefined : BigInt(`0x${digits.toString('hex')}`)
}

/** Undefined for bytes that do not have the layout. Throws `ProfileFault` for a layout that is none. */
export const decodeDelegatedPayload = (layout: readonly PayloadField[], payload: Uint8Array): DecodedPayload | undefined => {
  const reader = new PayloadReader(payload)
  const decoded: Record<string, Uint8Array | bigint | readonly number[]> = {}
  for (const field of layout) {
    if ('constant' in field) {
      const wanted = fromHex(field.constant)
      if (wanted === undefined) throw new ProfileFault('a payload constant is not hex')
      if (reader.take(wanted.length)?.equals(wanted) !== true) return undefined
      continue
    }
    const value = readField(field, reader)
    if (value === undefined) return undefined
    decoded[field.name] = value
  }
  return reader.isAtEnd ? decoded : undefined
}
