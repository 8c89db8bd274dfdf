/**
 * The input file of `npm run profile`: a request of an exchange profile with a test key, or an entry of a vector file.
 * It is read strictly, and the action is kept as the text that was sent: a number beyond 2^53 must be refused by the
 * profile, not rounded here.
 */
import type { JsonObject, JsonValue } from '../payload/json.ts'
import { isJsonArray, isJsonNumber, isJsonObject, JsonRefused, parseJson } from '../payload/json.ts'
import type { Profile, RequestJson } from '../payload/profile/profile.ts'
import { UsageRefusal } from './terminal.ts'

/** Test keys, by what they sign. */
export type TestKeys = {
  readonly privateKey?: string
  readonly ed25519Seed?: string
  readonly hmacSecret?: string
}

export type ProfileInput = { readonly keys: TestKeys; readonly request: RequestJson }

const KEY_MEMBERS = ['privateKey', 'ed25519Seed', 'hmacSecret'] as const
const REQUEST_MEMBERS = new Set([
  'network', 'parameters', 'family', 'action', 'input', 'nonce', 'timeMs', 'notAfterMs', 'expireTimeMs', 'scopes',
  'walletAddress', 'sessionPublicKey', 'sessionAddress', 'credentials', 'kept',
])

/** The JSON text of a value that was read, numbers as they were sent. */
const writeJsonText = (value: JsonValue): string => {
  if (isJsonNumber(value)) return value.numberText
  if (isJsonArray(value)) return `[${value.map(writeJsonText).join(',')}]`
  if (!isJsonObject(value)) return JSON.stringify(value)
  return `{${[...value].map(([name, member]) => `${JSON.stringify(name)}:${writeJsonText(member)}`).join(',')}}`
}

/** An entry of a vector file: its `input`, with its key. */
const unwrapVector = (document: JsonObject): JsonObject => {
  const inner = document.get('input')
  if (!document.has('expected') || !isJsonObject(inner)) return document
  const keys = KEY_MEMBERS.flatMap((name) => {
    const value = document.get(name)
    return value === undefined ? [] : [[name, value] as const]
  })
  return new Map([...inner, ...keys])
}

/** Other words that vectors have for the same: parameters of the profile at the top, and the venue's own expiry. */
const normalise = (document: JsonObject, profile: Profile): JsonObject => {
  const result = new Map<string, JsonValue>()
  const parameters = new Map<string, JsonValue>()
  for (const [name, value] of document) {
    if (value === null) continue
    if (name === 'expiresAfter') result.set('notAfterMs', value)
    else if (Object.hasOwn(profile.params, name) && !REQUEST_MEMBERS.has(name)) parameters.set(name, value)
    else result.set(name, value)
  }
  if (parameters.size > 0) {
    const given = result.get('parameters')
    result.set('parameters', new Map([...(isJsonObject(given) ? given : []), ...parameters]))
  }
  if (!result.has('network')) result.set('network', Object.keys(profile.networks)[0] ?? '')
  return result
}

const parseDocument = (bytes: Uint8Array): JsonObject => {
  try {
    const document = parseJson(bytes)
    if (isJsonObject(document)) return document
  } catch (error) {
    if (error instanceof JsonRefused) throw new UsageRefusal(`the input file ${error.why}`)
    throw error
  }
  throw new UsageRefusal('the input file is not a JSON object')
}

const keysOf = (document: JsonObject): TestKeys => {
  const keys: Record<string, string> = {}
  for (const name of KEY_MEMBERS) {
    const value = document.get(name)
    if (value === undefined) continue
    if (typeof value !== 'string') throw new UsageRefusal(`${name} is not a string`)
    keys[name] = value
  }
  return keys
}

/** Refuses (UsageRefusal) what is not an object or has members that mean nothing here. */
export const parseProfileInput = (bytes: Uint8Array, profile: Profile): ProfileInput => {
  const document = normalise(unwrapVector(parseDocument(bytes)), profile)
  const keys = keysOf(document)
  const members: Record<string, unknown> = {}
  for (const [name, value] of document) {
    if (KEY_MEMBERS.some((key) => key === name)) continue
    if (!REQUEST_MEMBERS.has(name)) throw new UsageRefusal(`the input file has an unknown member ${name.slice(0, 64)}`)
    const text = writeJsonText(value)
    members[name] = name === 'action' || name === 'input' || name === 'parameters' ? text : (JSON.parse(text) as unknown)
  }
  return { keys, request: members as RequestJson }
}
