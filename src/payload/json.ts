/**
 * A strict JSON reader for bytes that are going to be signed. Unlike `JSON.parse` it refuses duplicate keys, keeps
 * numbers as the text that was sent, puts objects into Maps (no prototype to reach), refuses text that is not
 * well-formed Unicode, and bounds the depth before it recurses.
 */
export type JsonNumber = { readonly numberText: string }
export type JsonObject = ReadonlyMap<string, JsonValue>
export type JsonValue = null | boolean | string | JsonNumber | readonly JsonValue[] | JsonObject

/** What is wrong and where: an offset into the text, or the path of a member. */
export class JsonRefused extends Error {
  readonly why: string

  constructor(why: string) {
    super(why)
    this.name = 'JsonRefused'
    this.why = why
  }
}

export const isJsonObject = (value: JsonValue | undefined): value is JsonObject => value instanceof Map
export const isJsonArray = (value: JsonValue | undefined): value is readonly JsonValue[] => Array.isArray(value)
export const isJsonNumber = (value: JsonValue | undefined): value is JsonNumber =>
  typeof value === 'object' && value !== null && 'numberText' in value

const MAX_DEPTH = 32
const ESCAPES: ReadonlyMap<string, string> = new Map([
  ['"', '"'],
  ['\\', '\\'],
  ['/', '/'],
  ['b', '\b'],
  ['f', '\f'],
  ['n', '\n'],
  ['r', '\r'],
  ['t', '\t'],
])

const QUOTE = 0x22
const BACKSLASH = 0x5c
/** JSON forbids raw control characters in strings. */
const FIRST_PLAIN = 0x20

const isSpace = (code: number): boolean => code === 0x20 || code === 0x0a || code === 0x0d || code === 0x09

class Reader {
  readonly #text: string
  #at = 0

  constructor(text: string) {
    this.#text = text
  }

  document(): JsonValue {
    const value = this.#value(0)
    this.#space()
    if (this.#at < this.#text.length) throw this.#refused('something follows the value')
    return value
  }

  #refused(why: string): JsonRefused {
    return new JsonRefused(`${why} (offset ${this.#at})`)
  }

  /** Takes what the sticky pattern matches here. */
  #take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.#at
    const match = pattern.exec(this.#text)?.[0]
    if (match !== undefined) this.#at += match.length
    return match
  }

  #space(): void {
    while (isSpace(this.#text.charCodeAt(this.#at))) this.#at += 1
  }

  #takeMark(mark: string): boolean {
    this.#space()
    if (this.#text[this.#at] !== mark) return false
    this.#at += 1
    return true
  }

  #value(depth: number): JsonValue {
    if (depth > MAX_DEPTH) throw this.#refused(`is nested deeper than ${MAX_DEPTH}`)
    this.#space()
    const mark = this.#text[this.#at]
    if (mark === '{') return this.#object(depth)
    if (mark === '[') return this.#array(depth)
    if (mark === '"') return this.#string()
    const word = this.#take(/true|false|null/y)
    if (word !== undefined) return word === 'null' ? null : word === 'true'
    const numberText = this.#take(/-?(?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?/y)
    if (numberText !== undefined) return { numberText }
    throw this.#refused('is not JSON')
  }

  #object(depth: number): JsonObject {
    const members = new Map<string, JsonValue>()
    this.#takeMark('{')
    if (this.#takeMark('}')) return members
    do {
      this.#space()
      const key = this.#string()
      if (members.has(key)) throw this.#refused('has a duplicate key')
      if (!this.#takeMark(':')) throw this.#refused('lacks a colon')
      members.set(key, this.#value(depth + 1))
    } while (this.#takeMark(','))
    if (!this.#takeMark('}')) throw this.#refused('lacks the end of an object')
    return members
  }

  #array(depth: number): readonly JsonValue[] {
    const items: JsonValue[] = []
    this.#takeMark('[')
    if (this.#takeMark(']')) return items
    do items.push(this.#value(depth + 1))
    while (this.#takeMark(','))
    if (!this.#takeMark(']')) throw this.#refused('lacks the end of an array')
    return items
  }

  #string(): string {
    if (this.#text[this.#at] !== '"') throw this.#refused('lacks a string')
    this.#at += 1
    let text = this.#plain()
    for (;;) {
      const mark = this.#text[this.#at]
      if (mark === '\\') text += this.#escape() + this.#plain()
      else if (mark === '"') break
      else throw this.#refused('has an unfinished string or a control character in one')
    }
    this.#at += 1
    if (!text.isWellFormed()) throw this.#refused('has a string that is not well-formed Unicode')
    return text
  }

  /** What stands before the next quote, escape or control character: mostly the whole string. */
  #plain(): string {
    const from = this.#at
    let code = this.#text.charCodeAt(this.#at)
    while (code !== QUOTE && code !== BACKSLASH && code >= FIRST_PLAIN) code = this.#text.charCodeAt((this.#at += 1))
    return this.#text.slice(from, this.#at)
  }

  #escape(): string {
    const unicode = this.#take(/\\u[0-9a-fA-F]{4}/y)
    if (unicode !== undefined) return String.fromCharCode(Number.parseInt(unicode.slice(2), 16))
    const plain = ESCAPES.get(this.#text[this.#at + 1] ?? '')
    if (plain === undefined) throw this.#refused('has an unknown escape')
    this.#at += 2
    return plain
  }
}

const decodeUtf8 = (bytes: Uint8Array): string => {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes)
  } catch {
    throw new JsonRefused('is not UTF-8')
  }
}

/**
 * Reads one JSON document (RFC 8259) from its bytes. Throws `JsonRefused` for anything else, and for what RFC 8259
 * leaves open and readers disagree on: duplicate keys, a byte order mark, lone surrogates, nesting over 32. The
 * caller bounds the length; time and memory are linear in it.
 */
export const parseJson = (bytes: Uint8Array): JsonValue => new Reader(decodeUtf8(bytes)).document()
