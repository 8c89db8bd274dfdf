/** Many short byte strings in one buffer: one object to hand to another thread instead of as many. */
export type PackedBytes = { readonly lengths: readonly number[]; readonly bytes: Uint8Array }

export const packBytes = (items: readonly Uint8Array[]): PackedBytes => {
  const lengths = items.map(({ length }) => length)
  const bytes = new Uint8Array(lengths.reduce((sum, length) => sum + length, 0))
  let at = 0
  for (const item of items) {
    bytes.set(item, at)
    at += item.length
  }
  return { lengths, bytes }
}

/** Views of the one buffer. */
export const unpackBytes = ({ lengths, bytes }: PackedBytes): Uint8Array[] => {
  let at = 0
  return lengths.map((length) => bytes.subarray(at, (at += length)))
}
