import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import type { JsonValue } from '../../src/payload/json.ts'
import { isJsonArray, isJsonNumber, isJsonObject, JsonRefused, parseJson } from '../../src/payload/json.ts'

const parse = (text: string) => parseJson(Buffer.from(text, 'utf8'))

/** Back to what JSON.parse makes of the same text. */
const plain = (value: JsonValue): unknown => {
  if (isJsonNumber(value)) return Number(value.numberText)
  if (isJsonArray(value)) return value.map(plain)
  if (isJsonObject(value))
    return Object.fromEntries([...value].map(([key, member]) => [key, plain(member)] as const))
  return value
}

describe('parseJson', () => {
  it('reads what JSON.parse reads', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.boolean(), (text, spaced) => {
        const value: unknown = JSON.parse(text)
        const written = spaced ? JSON.stringify(value, null, 2) : text
        expect(JSON.stringify(plain(parse(written)))).toBe(JSON.stringify(value))
      }),
      { numRuns: 500, seed: 12 },
    )
  })

  it('keeps numbers as they were written', () => {
    expect(parse('[1, -0, 1.50, 1e400, 123456789012345678901234567890]')).toEqual([
      { numberText: '1' },
      { numberText: '-0' },
      { numberText: '1.50' },
      { numberText: '1e400' },
      { numberText: '123456789012345678901234567890' },
    ])
  })

  it('decodes escapes, surrogate pairs included', () => {
    expect(parse(String.raw`"\"\\\/\b\f\n\r\t\u00e9\uD83D\uDE80"`)).toBe('"\\/\b\f\n\r\té🚀')
  })

  it('treats __proto__ as a key like any other', () => {
    const value = parse('{"__proto__": {"polluted": true}, "constructor": 1}')
    expect(isJsonObject(value) && [...value.keys()]).toEqual(['__proto__', 'constructor'])
    expect(({} as { polluted?: unknown }).polluted).toBeUndefined()
  })

  it.each([
    ['nothing', ''],
    ['two values', '1 2'],
    ['a trailing comma in an array', '[1,]'],
    ['a trailing comma in an object', '{"a":1,}'],
    ['a duplicate key', '{"a":1,"a":1}'],
    ['a duplicate key written with an escape', String.raw`{"a":1,"\u0061":1}`],
    ['a key without quotes', '{a:1}'],
    ['single quotes', "{'a':1}"],
    ['a comment', '{/* */}'],
    ['NaN', 'NaN'],
    ['a plus sign', '+1'],
    ['a leading zero', '01'],
    ['a bare fraction', '.5'],
    ['an unfinished fraction', '[1.]'],
    ['a hex number', '0x10'],
    ['a lone high surrogate', String.raw`"\uD83D"`],
    ['a lone low surrogate', String.raw`"\uDE80"`],
    ['an unknown escape', String.raw`"\x41"`],
    ['a short unicode escape', String.raw`"\u12"`],
    ['a raw line feed in a string', '"a\nb"'],
    ['an unfinished string', '"abc'],
    ['an unfinished object', '{"a":1'],
    ['an unfinished array', '[1'],
    ['a missing colon', '{"a" 1}'],
    ['a byte order mark', '\uFEFF{}'],
    ['a space that is not JSON space', '\u00a0{}'],
    ['nesting over 32', '['.repeat(34) + ']'.repeat(34)],
  ])('refuses %s', (_what, text) => {
    expect(() => parse(text)).toThrow(JsonRefused)
  })

  it('refuses bytes that are not UTF-8', () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xc3, 0x28, 0x22))).toThrow(JsonRefused)
    expect(() => parseJson(Uint8Array.of(0x22, 0xed, 0xa0, 0x80, 0x22))).toThrow(JsonRefused)
  })

  it('accepts nesting of 32 and stops before a deeper one', () => {
    expect(() => parse('['.repeat(33) + ']'.repeat(33))).not.toThrow()
    expect(() => parse('['.repeat(1_000_000))).toThrow('deeper than 32')
  })
})
