/**
 * Public keys of others who issue tokens, by the URL of their key set (RFC 7517). What tokens say costs nobody a request:
 * a key that is not known is looked for once in half a minute, whoever asks and however often.
 */
import { createPublicKey, type KeyObject } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import type { SignatureAlgorithm } from '../domain/project-settings.ts'
import type { SendHttp } from '../egress/http.ts'
import { faultIn, type OnOutage } from './outage.ts'
import { JwtRefused } from './strict-jwt.ts'

/** A key and what it may be used for. */
type IssuerKey = { readonly kid: string | undefined; readonly algorithms: readonly SignatureAlgorithm[]; readonly key: KeyObject }
export type IssuerKeys = readonly IssuerKey[]

const RSA_ALGORITHMS: readonly SignatureAlgorithm[] = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512']
const RSA_BITS = { least: 2_048, most: 8_192 }
const LEAST_EXPONENT = 65_537n
const CURVES: ReadonlyMap<string, readonly SignatureAlgorithm[]> = new Map([
  ['P-256', ['ES256'] as const],
  ['P-384', ['ES384'] as const],
  ['Ed25519', ['EdDSA'] as const],
])
const MAX_KEYS = 100

type Jwk = Readonly<Record<string, unknown>>

const algorithmsOf = (jwk: Jwk, key: KeyObject): readonly SignatureAlgorithm[] => {
  if (jwk['kty'] !== 'RSA') return (typeof jwk['crv'] === 'string' ? CURVES.get(jwk['crv']) : undefined) ?? []
  const { modulusLength = 0, publicExponent = 0n } = key.asymmetricKeyDetails ?? {}
  const isStrong = modulusLength >= RSA_BITS.least && modulusLength <= RSA_BITS.most && publicExponent >= LEAST_EXPONENT
  return isStrong ? RSA_ALGORITHMS : []
}

/** Undefined for what is no public key for signatures: symmetric, private, weak, malformed, for another use. */
const readKey = (value: unknown): IssuerKey | undefined => {
  const jwk = (typeof value === 'object' && value !== null ? value : {}) as Jwk
  const { kty, kid, alg, use, d: secret, key_ops: operations } = jwk
  const isKnownKind = kty === 'RSA' || kty === 'EC' || kty === 'OKP'
  if (!isKnownKind || secret !== undefined || (use !== undefined && use !== 'sig')) return undefined
  if (operations !== undefined && !(Array.isArray(operations) && operations.includes('verify'))) return undefined
  if (kid !== undefined && typeof kid !== 'string') return undefined
  try {
    const key = createPublicKey({ key: jwk, format: 'jwk' })
    const algorithms = algorithmsOf(jwk, key).filter((name) => alg === undefined || alg === name)
    return algorithms.length === 0 ? undefined : { kid, algorithms, key }
  } catch {
    return undefined
  }
}

/** Undefined when it is no key set. Keys that are not usable are left out. */
const parseKeySet = (bytes: Uint8Array): IssuerKeys | undefined => {
  try {
    const set = JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes)) as { readonly keys?: unknown } | null
    if (!Array.isArray(set?.keys)) return undefined
    return (set.keys as unknown[]).slice(0, MAX_KEYS).flatMap((jwk) => readKey(jwk) ?? [])
  } catch {
    return undefined
  }
}

/**
 * The one key that a token can have been signed with. A token that names none is taken only where there is no choice.
 * Throws JwtRefused.
 */
export const chooseKey = (keys: IssuerKeys, kid: string | undefined, algorithm: SignatureAlgorithm): KeyObject => {
  const named = keys.filter((key) => kid === undefined || key.kid === kid)
  if (named.length === 0) throw new JwtRefused('key_unknown')
  const [key, ...others] = named.filter(({ algorithms }) => algorithms.includes(algorithm))
  if (key === undefined) throw new JwtRefused('algorithm')
  if (others.length > 0) throw new JwtRefused('key_unknown')
  return key.key
}

const FRESH_MS = 600_000
const STALE_MS = 3_600_000
const COOLDOWN_MS = 30_000
const FETCH_MS = 5_000
const MAX_BYTES = 65_536
const MAX_SETS = 1_000
const MAX_TEXTS = 256
/** Fetches at once, of all sets. */
const MAX_FETCHES = 16

type Known = {
  keys: IssuerKeys
  /** When they were read; -Infinity before. */
  readMs: number
  triedMs: number
  reading: Promise<void> | undefined
}

export class KeySets {
  readonly #send: SendHttp
  readonly #onOutage: OnOutage
  readonly #nowMs: () => number
  readonly #sets = new Map<string, Known>()
  readonly #texts = new Map<string, IssuerKeys>()
  #fetches = 0

  constructor(send: SendHttp, clock: Clock, onOutage: OnOutage = () => {}) {
    this.#send = send
    this.#onOutage = onOutage
    this.#nowMs = () => Number(clock.monotonicNs() / 1_000_000n)
  }

  /** The key of a token. Throws JwtRefused; KEY_SET_UNAVAILABLE when there is nothing to look it up in. */
  async find(url: string, kid: string | undefined, algorithm: SignatureAlgorithm): Promise<KeyObject> {
    const known = this.#knownOf(url)
    const hasKey = kid === undefined || known.keys.some((key) => key.kid === kid)
    if (!hasKey || this.#nowMs() - known.readMs >= FRESH_MS) await this.#read(url, known)
    const age = this.#nowMs() - known.readMs
    if (age >= STALE_MS)
      throw failure('KEY_SET_UNAVAILABLE', { retryAfterMs: Math.max(1, known.triedMs + COOLDOWN_MS - this.#nowMs()) })
    return chooseKey(known.keys, kid, algorithm)
  }

  /** The keys of a set that is at hand. Reading a hundred takes milliseconds, and anybody may have it done: it is done once. */
  ofText(json: string): IssuerKeys {
    const known = this.#texts.get(json)
    if (known !== undefined) return known
    const keys = parseKeySet(new TextEncoder().encode(json)) ?? []
    const [oldest] = this.#texts.keys()
    if (this.#texts.size >= MAX_TEXTS && oldest !== undefined) this.#texts.delete(oldest)
    this.#texts.set(json, keys)
    return keys
  }

  #knownOf(url: string): Known {
    const known = this.#sets.get(url) ?? { keys: [], readMs: -Infinity, triedMs: -Infinity, reading: undefined }
    // The one that was asked for longest ago gives way.
    this.#sets.delete(url)
    this.#sets.set(url, known)
    const [oldest] = this.#sets.keys()
    if (this.#sets.size > MAX_SETS && oldest !== undefined) this.#sets.delete(oldest)
    return known
  }

  /** Reads it, unless it was tried a moment ago; whoever asks meanwhile waits for the same. Never rejects. */
  #read(url: string, known: Known): Promise<void> {
    if (known.reading !== undefined) return known.reading
    if (this.#nowMs() - known.triedMs < COOLDOWN_MS || this.#fetches >= MAX_FETCHES) return Promise.resolve()
    known.triedMs = this.#nowMs()
    this.#fetches += 1
    known.reading = this.#fetch(url, known).finally(() => {
      this.#fetches -= 1
      known.reading = undefined
    })
    return known.reading
  }

  async #fetch(url: string, known: Known): Promise<void> {
    try {
      const request = { url, method: 'GET', headers: { accept: 'application/json' } } as const
      const { status, body } = await this.#send({ ...request, timeoutMs: FETCH_MS, maxResponseBytes: MAX_BYTES })
      const keys = status === 200 ? parseKeySet(body) : undefined
      // A set without a single usable key is somebody's mistake; what was there before is kept for its hour.
      if (keys === undefined || keys.length === 0) {
        this.#onOutage('key_set', status === 200 ? 'no usable key' : `status ${status}`)
        return
      }
      known.keys = keys
      known.readMs = this.#nowMs()
    } catch (error) {
      // Whether what is known will do is decided by its age.
      this.#onOutage('key_set', faultIn(error))
    }
  }
}
