/**
 * Reads a compact JWT as strictly as a token that grants power must be read: base64url without padding or anything else
 * in it, JSON without duplicate keys, a header that holds nothing beyond what was agreed. Whose signature it carries is
 * checked against a key of one known kind; nothing in the token chooses key or algorithm.
 */
import { type KeyObject, verify } from 'node:crypto'
import { isJsonArray, isJsonNumber, isJsonObject, type JsonObject, JsonRefused, type JsonValue, parseJson } from '../payload/json.ts'

export type CompactJwt = {
  readonly header: JsonObject
  readonly claims: JsonObject
  readonly signed: Uint8Array
  readonly signature: Uint8Array
}

const MAX_CHARS = 8_192
const SEGMENT = /^[A-Za-z0-9_-]+$/

/** The bytes of a base64url text in its one proper form: bits to spare that are not zero would make a second text. */
const decodeSegment = (text: string): Uint8Array | undefined => {
  if (!SEGMENT.test(text)) return undefined
  const bytes = Buffer.from(text, 'base64url')
  return bytes.toString('base64url') === text ? new Uint8Array(bytes) : undefined
}

const readObject = (text: string): JsonObject | undefined => {
  const bytes = decodeSegment(text)
  if (bytes === undefined) return undefined
  try {
    const value = parseJson(bytes)
    return isJsonObject(value) ? value : undefined
  } catch (error) {
    if (error instanceof JsonRefused) return undefined
    throw error
  }
}

/** The parts of a token; undefined for whatever is not one. Says nothing of who signed it. */
export const readCompactJwt = (text: string): CompactJwt | undefined => {
  if (text.length > MAX_CHARS) return undefined
  const [headerText = '', claimsText = '', signatureText = '', ...rest] = text.split('.')
  const header = readObject(headerText)
  const claims = readObject(claimsText)
  const signature = decodeSegment(signatureText)
  if (rest.length > 0 || header === undefined || claims === undefined || signature === undefined) return undefined
  return { header, claims, signed: Buffer.from(`${headerText}.${claimsText}`, 'ascii'), signature }
}

/** Whether a header holds these members and no others; `typ` may be absent. */
export const isHeader = (header: JsonObject, wanted: Readonly<Record<string, (value: JsonValue) => boolean>>): boolean => {
  const { typ = (value: JsonValue) => value === 'JWT', ...members } = wanted
  const all: Readonly<Record<string, (value: JsonValue) => boolean>> = { typ, ...members }
  for (const [name, value] of header) if (!Object.hasOwn(all, name) || all[name]?.(value) !== true) return false
  return Object.keys(members).every((name) => header.has(name))
}

const ES256_BYTES = 64
const ED25519_BYTES = 64

/** ES256 (RFC 7518 §3.4): the key is on P-256, the signature r ‖ s. */
export const isSignedWithEs256 = ({ signed, signature }: CompactJwt, key: KeyObject): boolean =>
  signature.length === ES256_BYTES && verify('sha256', signed, { key, dsaEncoding: 'ieee-p1363' }, signature)

/** EdDSA with Ed25519 (RFC 8037 §3.1). */
export const isSignedWithEd25519 = ({ signed, signature }: CompactJwt, key: KeyObject): boolean =>
  signature.length === ED25519_BYTES && verify(null, signed, key, signature)

const SECONDS = /^(?:0|[1-9][0-9]{0,11})$/

/** A time claim in Unix milliseconds: whole seconds, written as such. */
export const readTime = (claims: JsonObject, name: string): number | undefined => {
  const value = claims.get(name)
  return isJsonNumber(value) && SECONDS.test(value.numberText) ? Number(value.numberText) * 1_000 : undefined
}

export const readText = (claims: JsonObject, name: string): string | undefined => {
  const value = claims.get(name)
  return typeof value === 'string' ? value : undefined
}

/** The one text in a list of one. */
export const readOnlyText = (claims: JsonObject, name: string): string | undefined => {
  const value = claims.get(name)
  if (!isJsonArray(value) || value.length !== 1) return undefined
  const [text] = value
  return typeof text === 'string' ? text : undefined
}
