import { hash } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { canonicalForms, isHashOf } from '../../src/user/request-hash.ts'

const bytes = (text: string): Uint8Array => new TextEncoder().encode(text)
const sha = (text: string | Uint8Array): string => hash('sha256', text, 'hex')
const isHashOfJson = (reqHash: string | undefined, body: string): boolean =>
  isHashOf(reqHash, { encoding: 'json', bytes: bytes(body) })

describe('the hash of a JSON body', () => {
  it('is the published one', () => {
    const reqHash = '69ebf97101229b030d8c754ef3f8906b0972afa08bb19e975f677f3db5dc44f3'
    expect(isHashOfJson(reqHash, '{"message":"hello","address":"0xabc"}')).toBe(true)
    expect(isHashOfJson(reqHash, '{"message":"hellp","address":"0xabc"}')).toBe(false)
  })

  it('may be in the form of JavaScript, of Python or of Go', () => {
    const body = '{"message":"é<&>"}'
    const forms = ['{"message":"é<&>"}', '{"message":"\\u00e9<&>"}', '{"message":"é\\u003c\\u0026\\u003e"}']
    expect(forms.map(sha).map((digest) => digest.slice(0, 8))).toEqual(['03baba4d', '7d93ff0d', '7083d81b'])
    for (const form of forms) {
      expect(isHashOfJson(sha(form), body)).toBe(true)
      expect(isHashOfJson(sha(form), form), 'however the body itself is escaped').toBe(true)
    }
    expect(isHashOfJson(sha('{"message":"\\u00E9<&>"}'), body)).toBe(false)
  })

  it.each([
    ['sorts keys at every depth, and leaves lists', '{"b":[{"y":1,"x":2},3],"a":null}', '{"a":null,"b":[{"x":2,"y":1},3]}'],
    ['takes white space out', ' { "a" : [ true , false ] } ', '{"a":[true,false]}'],
    ['keeps numbers as they were sent', '{"a":1.0,"b":1e21,"c":12345678901234567890}', '{"a":1.0,"b":1e21,"c":12345678901234567890}'],
    ['puts array indices first, by number, as JavaScript does', '{"10":1,"9":2,"a":3,"01":4}', '{"9":2,"10":1,"01":4,"a":3}'],
    ['puts them in the order of their text, as all others do', '{"10":1,"9":2,"a":3,"01":4}', '{"01":4,"10":1,"9":2,"a":3}'],
    ['escapes DEL as Python does', '{"a":"\u007f"}', '{"a":"\\u007f"}'],
    ['writes what is beyond the first plane in two, as Python does', '{"a":"😀"}', '{"a":"\\ud83d\\ude00"}'],
    ['escapes line separators as Go does', '{"a":"\u2028\u2029"}', '{"a":"\\u2028\\u2029"}'],
    ['has the long forms of older Go', '{"a":"\\b\\f\\\\b"}', '{"a":"\\u0008\\u000c\\\\b"}'],
    ['escapes control characters', '{"a":"\\u0001\\u001F\\n"}', '{"a":"\\u0001\\u001f\\n"}'],
  ])('%s', (_what, body, form) => {
    expect([...(canonicalForms(bytes(body)) ?? [])]).toContain(form)
  })

  it('orders keys by UTF-16 for JavaScript and by code point for the others', () => {
    const body = '{"\u{1F600}":1,"\uFF5E":2}'
    const forms = canonicalForms(bytes(body))
    expect(forms).toContain('{"\u{1F600}":1,"\uFF5E":2}')
    expect(forms).toContain('{"\\uff5e":2,"\\ud83d\\ude00":1}')
  })

  it('is none where readers disagree on the body', () => {
    for (const body of ['{"a":1,"a":1}', '{"a":"\\ud800"}', '\ufeff{}', '{"a":1}{}', '', 'nul'])
      expect(canonicalForms(bytes(body)), body).toBeUndefined()
    expect(canonicalForms(new Uint8Array([0x22, 0xff, 0x22]))).toBeUndefined()
    expect(isHashOfJson(sha('{"a":1}'), '{"a":1,"a":1}')).toBe(false)
  })

  it('is absent for an empty object only', () => {
    expect(isHashOfJson(undefined, '{}')).toBe(true)
    expect(isHashOfJson(undefined, '')).toBe(true)
    expect(isHashOfJson(sha('{}'), ' { } ')).toBe(true)
    expect(isHashOfJson(undefined, '{"a":1}')).toBe(false)
    expect(isHashOfJson(undefined, '[]')).toBe(false)
  })
})

describe('the hash of a binary message', () => {
  const raw = (message: Uint8Array) => ({ encoding: 'proto', bytes: message }) as const
  const message = new Uint8Array([10, 3, 97, 98, 99])

  it('is of its bytes exactly', () => {
    expect(isHashOf(sha(message), raw(message))).toBe(true)
    expect(isHashOf(sha(message), raw(message.with(4, 98)))).toBe(false)
    expect(isHashOf(sha(message).toUpperCase(), raw(message))).toBe(false)
  })

  it('is absent for an empty one only', () => {
    expect(isHashOf(undefined, raw(new Uint8Array(0)))).toBe(true)
    expect(isHashOf(sha(''), raw(new Uint8Array(0)))).toBe(true)
    expect(isHashOf(undefined, raw(message))).toBe(false)
  })
})
