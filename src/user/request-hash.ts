/**
 * Whether a `reqHash` is that of a request. Over gRPC it is the SHA-256 of the message's bytes as they came. Over JSON it
 * is the SHA-256 of the body's compact JSON with the keys of every object sorted, in any of the three forms in which
 * JavaScript, Python and Go write that: they escape differently, and JavaScript puts keys that are array indices first.
 * Numbers count as they were sent.
 */
import { hash } from 'node:crypto'
import {
  isJsonArray,
  isJsonNumber,
  isJsonObject,
  type JsonObject,
  JsonRefused,
  type JsonValue,
  parseJson,
} from '../payload/json.ts'

/** A request as its bytes came, without the frame around it. */
export type RawRequest = { readonly encoding: 'proto' | 'json'; readonly bytes: Uint8Array }

type Form = { readonly text: (text: string) => string; readonly keys: (object: JsonObject) => readonly string[] }

const hex4 = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`
const escapeUnits = (text: string): string => [...Array(text.length).keys()].map((at) => hex4(text.charCodeAt(at))).join('')

/** ES2019 `JSON.stringify`, of well-formed text. */
const quoteForJavaScript = (text: string): string => JSON.stringify(text)

/** `json.dumps` with `ensure_ascii`, its default. */
const quoteForPython = (text: string): string => JSON.stringify(text).replace(/[\u007f-\uffff]/g, escapeUnits)

/** `encoding/json` with HTML escapes, its default. */
const quoteForGo = (text: string): string => JSON.stringify(text).replace(/[<>&\u2028\u2029]/g, escapeUnits)

/** Before Go 1.22, backspace and form feed have no short form. */
const quoteForOldGo = (text: string): string =>
  quoteForGo(text).replace(/\\(?:\\|[bf])/g, (mark) => ({ '\\b': '\\u0008', '\\f': '\\u000c' })[mark] ?? mark)

const MAX_INDEX = 4_294_967_294
const isIndex = (key: string): boolean => /^(?:0|[1-9][0-9]{0,9})$/.test(key) && Number(key) <= MAX_INDEX

/** By UTF-16 units, as `Array.prototype.sort`; array indices by their number before all others, as objects list them. */
const javaScriptKeys = (object: JsonObject): readonly string[] => {
  const keys = [...object.keys()].sort()
  const indices = keys.filter(isIndex).sort((a, b) => Number(a) - Number(b))
  return [...indices, ...keys.filter((key) => !isIndex(key))]
}

/** By code points, which is also the order of their UTF-8. */
const codePointKeys = (object: JsonObject): readonly string[] =>
  [...object.keys()].sort((a, b) => Buffer.compare(Buffer.from(a), Buffer.from(b)))

const FORMS: readonly Form[] = [
  { text: quoteForJavaScript, keys: javaScriptKeys },
  { text: quoteForPython, keys: codePointKeys },
  { text: quoteForGo, keys: codePointKeys },
  { text: quoteForOldGo, keys: codePointKeys },
]

const write = (value: JsonValue, form: Form): string => {
  if (typeof value === 'string') return form.text(value)
  if (isJsonNumber(value)) return value.numberText
  if (isJsonArray(value)) return `[${value.map((item) => write(item, form)).join(',')}]`
  if (!isJsonObject(value)) return String(value)
  const members = form.keys(value).map((key) => `${form.text(key)}:${write(value.get(key) ?? null, form)}`)
  return `{${members.join(',')}}`
}

/** The canonical texts of a JSON body; undefined when it is none, or is one that readers disagree on. */
export const canonicalForms = (body: Uint8Array): ReadonlySet<string> | undefined => {
  try {
    const value = parseJson(body)
    return new Set(FORMS.map((form) => write(value, form)))
  } catch (error) {
    if (error instanceof JsonRefused) return undefined
    throw error
  }
}

/**
 * Whether `reqHash` (64 lower-case hex digits) is the request's. One that is absent stands for an empty request: no bytes,
 * or `{}`.
 */
export const isHashOf = (reqHash: string | undefined, { encoding, bytes }: RawRequest): boolean => {
  if (encoding === 'proto') return reqHash === undefined ? bytes.length === 0 : hash('sha256', bytes, 'hex') === reqHash
  const forms = bytes.length === 0 ? new Set(['{}']) : canonicalForms(bytes)
  if (forms === undefined) return false
  if (reqHash === undefined) return forms.has('{}')
  return [...forms].some((form) => hash('sha256', form, 'hex') === reqHash)
}
