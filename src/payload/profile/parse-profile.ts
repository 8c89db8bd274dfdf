import type { JsonValue } from '../json.ts'
import { isJsonArray, isJsonNumber, isJsonObject, JsonRefused, parseJson } from '../json.ts'
import { ProfileFault } from './profile-fault.ts'
import type { Profile } from './profile.ts'
import { FAMILIES } from './profile.ts'

/**
 * A profile from a file. Its form is checked to the last member: one that is misspelt must not pass for one left out.
 * Expressions, names and sizes are checked when the profile is compiled, its meaning by its self-test.
 */

const MAX_PROFILE_BYTES = 256 * 1024

type Plain = null | boolean | number | string | readonly Plain[] | { readonly [name: string]: Plain }
type Check = (value: Plain, path: string) => void

const fault = (path: string, why: string) => new ProfileFault(`${path === '' ? 'the profile' : path} ${why}`)

const isObject = (value: Plain): value is { readonly [name: string]: Plain } =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

const any: Check = () => undefined
const text: Check = (value, path) => {
  if (typeof value !== 'string') throw fault(path, 'is not a string')
}
const integer: Check = (value, path) => {
  if (typeof value !== 'number') throw fault(path, 'is not an integer')
}
const flag: Check = (value, path) => {
  if (typeof value !== 'boolean') throw fault(path, 'is neither true nor false')
}
const word = (...words: readonly string[]): Check => (value, path) => {
  if (typeof value !== 'string' || !words.includes(value)) throw fault(path, `is none of ${words.join(', ')}`)
}
const scalar: Check = (value, path) => {
  if (typeof value !== 'string' && typeof value !== 'number') throw fault(path, 'is neither text nor an integer')
}
const listOf = (item: Check): Check => (value, path) => {
  if (!Array.isArray(value)) throw fault(path, 'is not a list')
  for (const [index, each] of (value as readonly Plain[]).entries()) item(each, `${path}[${index}]`)
}
const recordOf = (item: Check): Check => (value, path) => {
  if (!isObject(value)) throw fault(path, 'is not an object')
  for (const [name, each] of Object.entries(value)) item(each, `${path}.${name}`)
}

type Members = { readonly [name: string]: Check }

const object = (required: Members, optional: Members = {}): Check => (value, path) => {
  if (!isObject(value)) throw fault(path, 'is not an object')
  for (const name of Object.keys(required)) if (!Object.hasOwn(value, name)) throw fault(`${path}.${name}`, 'is missing')
  for (const [name, each] of Object.entries(value)) {
    const members = Object.hasOwn(required, name) ? required : optional
    const check = Object.hasOwn(members, name) ? members[name] : undefined
    if (check === undefined) throw fault(`${path}.${name}`, 'is not a known member')
    check(each, path === '' ? name : `${path}.${name}`)
  }
}

/** Objects of several forms: the member `tag` says which. */
const tagged = (tag: string, forms: { readonly [word: string]: Check }): Check => (value, path) => {
  const name = isObject(value) ? value[tag] : undefined
  const check = typeof name === 'string' && Object.hasOwn(forms, name) ? forms[name] : undefined
  if (check === undefined) throw fault(`${path}.${tag}`, `is none of ${Object.keys(forms).join(', ')}`)
  check(value, path)
}

/** Objects of several forms: the first whose distinguishing member is there. */
const having = (forms: readonly (readonly [member: string, check: Check])[]): Check => (value, path) => {
  const form = forms.find(([member]) => isObject(value) && Object.hasOwn(value, member))
  if (form === undefined) throw fault(path, `has none of ${forms.map(([member]) => member).join(', ')}`)
  form[1](value, path)
}

const shape: Check = (value, path) => shapes(value, path)
const member: Check = (value, path) =>
  isObject(value) && Object.hasOwn(value, 'optional') ? object({ optional: shape })(value, path) : shape(value, path)
const kind = text

const shapes = tagged('kind', {
  text: object({ kind, max: integer, pattern: text }),
  word: object({ kind, of: listOf(text) }),
  constant: object({ kind, value: any }),
  boolean: object({ kind }),
  integer: object({ kind, min: integer, max: integer }),
  big: object({ kind, bits: integer }, { min: integer }),
  decimal: object({ kind, digits: integer, places: integer, range: word('any', 'unsigned', 'positive') }),
  address: object({ kind, write: word('lower', 'checksum') }, { zero: flag }),
  hex: object({ kind }, { bytes: integer, max: integer }),
  base64: object({ kind, max: integer }),
  list: object({ kind, of: shape, min: integer, max: integer }),
  object: object({ kind, members: recordOf(member) }),
  either: object({ kind, of: listOf(shape) }),
  nullable: object({ kind, of: shape }),
})

const binding: Check = (value, path) => {
  if (!Array.isArray(value) || value.length !== 2) throw fault(path, 'is not a name and a value')
  text((value as readonly Plain[])[0] ?? null, `${path}[0]`)
}

const by = word('wallet', 'session', 'credential')
const spoken = object({ by, scheme: text, message: any }, { let: listOf(binding) })
const sign = tagged('scheme', {
  eip712: object(
    { by, scheme: text, domain: any, types: recordOf(text), primaryType: text, message: any },
    { let: listOf(binding) },
  ),
  eip191: spoken,
  ed25519: spoken,
  'hmac-sha256': spoken,
})

const PURPOSES = ['account', 'register', 'credentials', 'revoke', 'wallet_action', 'auth', 'action', 'query']

const flow = object(
  { purpose: word(...PURPOSES), confidence: word('published', 'sdk', 'rule'), sign: listOf(sign) },
  {
    input: recordOf(member),
    let: listOf(binding),
    signedAction: any,
    http: object(
      { method: word('GET', 'POST', 'PUT', 'DELETE'), path: any },
      { headers: recordOf(any), body: any },
    ),
    keep: recordOf(any),
    answer: recordOf(text),
  },
)

const leg = object({ market: any }, { side: any, size: any, price: any, trigger: any, notional: any, reduceOnly: any })

const action = object(
  { family: word(...FAMILIES), shape, flow: text },
  {
    rules: listOf(object({ ok: any, path: text, why: text })),
    legs: having([
      ['each', object({ each: any, leg })],
      ['one', object({ one: leg })],
    ]),
  },
)

const nonce = tagged('style', {
  clock: object({
    style: text,
    unit: word('ms', 'us', 'ns'),
    rule: word('unique', 'increasing'),
    backMs: integer,
    aheadMs: integer,
  }),
  counter: object({ style: text, bits: integer }),
  random: object({ style: text, bits: integer }),
  none: object({ style: text, backMs: integer, aheadMs: integer }),
})

const enforcer = word('daemon', 'venue', 'both')

const request = object(
  { network: text },
  {
    parameters: any,
    family: text,
    action: any,
    input: any,
    nonce: scalar,
    timeMs: integer,
    notAfterMs: integer,
    expireTimeMs: integer,
    scopes: listOf(text),
    walletAddress: text,
    sessionPublicKey: text,
    sessionAddress: text,
    credentials: recordOf(text),
    kept: recordOf(text),
  },
)

const selfTest = object(
  { name: text, flow: text, request, signs: listOf(text) },
  { signatures: listOf(text), signedAction: text, body: text, headers: recordOf(text), keep: recordOf(text) },
)

const payloadField = having([
  ['constant', object({ constant: text })],
  ['bytes', object({ name: text, bytes: integer })],
  ['uint', object({ name: text, uint: integer })],
  ['list', object({ name: text, list: flag })],
])

const profile = object(
  {
    id: text,
    version: integer,
    title: text,
    networks: recordOf(recordOf(scalar)),
    sessionKey: object(
      { curve: word('secp256k1', 'ed25519', 'hmac-sha256'), publicForm: word('address', 'compressed', 'base58', 'none') },
      { maxLifeMs: integer, singleUse: flag },
    ),
    params: recordOf(member),
    nonce,
    enforcedBy: object({ expiry: enforcer, scope: enforcer }),
    unsignedFields: listOf(text),
    actions: recordOf(action),
    flows: recordOf(flow),
    selfTest: listOf(selfTest),
  },
  {
    credentials: recordOf(member),
    hmacSecret: object({ credential: text, encoding: word('base64', 'hex', 'utf8') }),
    scopeCodes: recordOf(scalar),
    tag: text,
    payload: listOf(payloadField),
  },
)

/** Plain data: profiles hold integers within 2^53, and larger ones as text. */
const toPlain = (value: JsonValue): Plain => {
  if (isJsonNumber(value)) {
    const number = Number(value.numberText)
    if (!Number.isSafeInteger(number)) throw new ProfileFault(`${value.numberText.slice(0, 40)} is no integer within 2^53`)
    return number
  }
  if (isJsonArray(value)) return value.map(toPlain)
  if (!isJsonObject(value)) return value
  const names = [...value.keys()]
  const reserved = names.find((name) => name in Object.prototype)
  if (reserved !== undefined) throw new ProfileFault(`a member is named ${reserved}`)
  return Object.fromEntries([...value].map(([name, each]) => [name, toPlain(each)]))
}

/** Throws `ProfileFault` for what is not a profile of this form. */
export const parseProfile = (json: Uint8Array): Profile => {
  if (json.length > MAX_PROFILE_BYTES) throw new ProfileFault(`the profile is larger than ${MAX_PROFILE_BYTES} bytes`)
  try {
    const plain = toPlain(parseJson(json))
    profile(plain, '')
    return plain as unknown as Profile
  } catch (error) {
    if (error instanceof JsonRefused) throw new ProfileFault(`the profile ${error.why}`)
    throw error
  }
}
