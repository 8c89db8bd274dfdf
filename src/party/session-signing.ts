/**
 * What the thread of session keys does: it makes keys, seals and opens them, and signs. A key is open from the first to
 * the last signature of one batch, in buffers that are overwritten then; nothing secret leaves the thread.
 */
import { createHmac, createPrivateKey, createPublicKey, randomBytes, sign, type KeyObject } from 'node:crypto'
import { isSecretKey, publicKeyOf, signRecoverable, uncompressedKey } from '../engine/curve/ecdsa.ts'
import type { SessionKeyId } from '../domain/ids.ts'
import { packBytes, type PackedBytes, unpackBytes } from './packed-bytes.ts'
import { decodeBase64, decodeHex } from './secret-text.ts'
import {
  KEY_SECRET,
  openSessionSecret,
  type SealedSecret,
  sealSessionSecret,
  type SessionSecretKind,
  type SessionSecretPlace,
} from '../vault/session-secrets.ts'

/** A secret that was handed over once and is named by its number from then on. */
export type KnownSecret = { readonly number: number; readonly sealed: SealedSecret; readonly publicKey: Uint8Array }
/** What each of some orders is signed with, and their inputs: 32 bytes of digest for secp256k1, otherwise the message. */
export type SignOrders = { readonly secrets: readonly number[]; readonly inputs: PackedBytes }
/** r ‖ s ‖ v, Ed25519 signatures, or MACs, in the order of the orders; empty where the secret does not open or sign. */
export type SignResults = PackedBytes

export type MadeKey = { readonly publicKey: Uint8Array; readonly sealed: SealedSecret }
export type SecretEncoding = 'base64' | 'hex' | 'utf8'

const NOTHING = new Uint8Array(0)
const ED25519_PKCS8 = Buffer.from('302e020100300506032b657004220420', 'hex')
const SEED_BYTES = 32

const ed25519KeyOf = (seed: Uint8Array): KeyObject => {
  const pkcs8 = Buffer.concat([ED25519_PKCS8, seed])
  try {
    return createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' })
  } finally {
    pkcs8.fill(0)
  }
}

const ed25519PublicOf = (seed: Uint8Array): Uint8Array => {
  const der = createPublicKey(ed25519KeyOf(seed)).export({ format: 'der', type: 'spki' })
  return new Uint8Array(der.subarray(der.length - SEED_BYTES))
}

const drawSecret = (): Buffer => {
  for (;;) {
    const secret = randomBytes(SEED_BYTES)
    if (isSecretKey(secret)) return secret
    secret.fill(0)
  }
}

const openSignerOf = (kind: SessionSecretKind, secret: Uint8Array, publicKey: Uint8Array): ((input: Uint8Array) => Uint8Array) => {
  if (kind === 'secp256k1') return (input) => signRecoverable(input, secret, publicKey)
  if (kind === 'hmac') return (input) => new Uint8Array(createHmac('sha256', secret).update(input).digest())
  const key = ed25519KeyOf(secret)
  return (input) => new Uint8Array(sign(null, input, key))
}

const DECODERS: { readonly [E in SecretEncoding]: (text: Uint8Array) => Uint8Array | undefined } = {
  base64: decodeBase64,
  hex: decodeHex,
  utf8: (text) => Uint8Array.from(text),
}

export class SessionSigning {
  readonly #vaultId: Uint8Array
  #ring: Uint8Array
  readonly #known = new Map<number, KnownSecret>()

  /** `ring`: its own copy, which it wipes. */
  constructor(vaultId: Uint8Array, ring: Uint8Array) {
    this.#vaultId = vaultId
    this.#ring = ring
  }

  renewRing(ring: Uint8Array): void {
    this.#ring.fill(0)
    this.#ring = ring
  }

  close(): void {
    this.#ring.fill(0)
  }

  make(sessionKeyId: SessionKeyId, kind: 'secp256k1' | 'ed25519'): MadeKey {
    const secret = drawSecret()
    try {
      const publicKey = kind === 'secp256k1' ? publicKeyOf(secret) : ed25519PublicOf(secret)
      const place = { sessionKeyId, name: KEY_SECRET, kind, recordVersion: 1n }
      return { publicKey, sealed: sealSessionSecret(this.#ring, this.#vaultId, place, secret) }
    } finally {
      secret.fill(0)
    }
  }

  /** Undefined for text that is not of its encoding. `text` is wiped. */
  seal(place: SessionSecretPlace, text: Uint8Array, encoding: SecretEncoding): SealedSecret | undefined {
    const secret = DECODERS[encoding](text)
    text.fill(0)
    if (secret === undefined || secret.length === 0) return undefined
    try {
      return sealSessionSecret(this.#ring, this.#vaultId, place, secret)
    } finally {
      secret.fill(0)
    }
  }

  /** A credential that goes into requests as it is; of another kind nothing is answered. */
  reveal(sealed: SealedSecret): string | undefined {
    if (sealed.kind !== 'text') return undefined
    const text = openSessionSecret(this.#ring, this.#vaultId, sealed)
    try {
      return Buffer.from(text.buffer, text.byteOffset, text.byteLength).toString('utf8')
    } finally {
      text.fill(0)
    }
  }

  learn(secrets: readonly KnownSecret[]): void {
    for (const secret of secrets) {
      const isPoint = secret.sealed.kind === 'secp256k1'
      this.#known.set(secret.number, isPoint ? { ...secret, publicKey: uncompressedKey(secret.publicKey) } : secret)
    }
  }

  forget(numbers: readonly number[]): void {
    for (const number of numbers) this.#known.delete(number)
  }

  /** In the order of `orders`. Each secret is opened once for all of its orders. */
  sign({ secrets, inputs }: SignOrders): SignResults {
    const messages = unpackBytes(inputs)
    const results: Uint8Array[] = secrets.map(() => NOTHING)
    const bySecret = new Map<number, number[]>()
    for (const [at, secret] of secrets.entries()) {
      const places = bySecret.get(secret)
      if (places === undefined) bySecret.set(secret, [at])
      else places.push(at)
    }
    for (const [number, places] of bySecret) this.#signWith(number, places, messages, results)
    return packBytes(results)
  }

  #signWith(number: number, places: readonly number[], messages: readonly Uint8Array[], results: Uint8Array[]): void {
    const known = this.#known.get(number)
    if (known === undefined || known.sealed.kind === 'text') return
    let secret: Uint8Array | undefined
    try {
      secret = openSessionSecret(this.#ring, this.#vaultId, known.sealed)
      const signOne = openSignerOf(known.sealed.kind, secret, known.publicKey)
      for (const at of places) results[at] = signOne(messages[at] ?? NOTHING)
    } catch {
      // What has no result is refused by who asked; the secret itself is never part of an error.
    } finally {
      secret?.fill(0)
    }
  }
}
