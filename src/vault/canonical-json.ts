import { assert } from '../domain/failure.ts'

/** Plain JSON data. Bytes are hex text, amounts decimal text: JSON numbers are for small integers. */
export type JsonValue =
  | null
  | boolean
  | number
  | string
  | readonly JsonValue[]
  | { readonly [name: string]: JsonValue | undefined }

/**
 * One text for one value: object members sorted by UTF-16 code units, no white space, numbers and strings as
 * JSON.stringify writes them (RFC 8785). Members that are undefined are left out. Refuses numbers that are not
 * safe integers, and anything that is not plain data: such a value is a bug of its writer.
 */
export const canonicalJson = (value: JsonValue): string => {
  if (value === null || typeof value === 'boolean') return String(value)
  if (typeof value === 'number') {
    assert(Number.isSafeInteger(value), 'canonical JSON holds safe integers only')
    return JSON.stringify(value)
  }
  if (typeof value === 'string') {
    assert(value.isWellFormed(), 'canonical JSON holds well-formed text only')
    return JSON.stringify(value)
  }
  assert(typeof value === 'object', 'canonical JSON holds plain data only')
  if (Array.isArray(value)) return `[${(value as readonly JsonValue[]).map(canonicalJson).join(',')}]`
  const record = value as { readonly [name: string]: JsonValue | undefined }
  const members: string[] = []
  for (const name of Object.keys(record).sort()) {
    const member = record[name]
    if (member !== undefined) members.push(`${canonicalJson(name)}:${canonicalJson(member)}`)
  }
  return `{${members.join(',')}}`
}
