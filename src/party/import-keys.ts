/**
 * The keys that halves of imported keys are sealed to, in one party's thread and in memory alone: a restart ends them, and
 * so does an hour. A client that comes with an older one asks for the keys again.
 */
import type { Clock } from '../domain/clock.ts'
import type { Entropy } from '../engine/dkls23/operation-generator.ts'
import { secretBytes } from '../engine/hash/encoding.ts'
import { x25519PublicKey } from '../engine/sealing/hpke.ts'
import { IMPORT_KEY_MAX_MS } from '../engine/sealing/import-key.ts'
import { KIND_X25519, openShareOf } from '../engine/sealing/share-envelope.ts'

export type OwnImportKey = { readonly key: Uint8Array; readonly expireMs: number }
type Held = OwnImportKey & { readonly secret: Uint8Array; readonly timer: NodeJS.Timeout }

/** Less than a client takes, whose clock may be behind. */
const LIFE_MS = IMPORT_KEY_MAX_MS - 600_000
/** A key that is handed out is good for half of its life at least. */
const RENEW_MS = LIFE_MS / 2

export class ImportKeys {
  readonly #entropy: Pick<Entropy, 'osRandom64'>
  readonly #clock: Clock
  readonly #held: Held[] = []

  constructor(entropy: Pick<Entropy, 'osRandom64'>, clock: Clock) {
    this.#entropy = entropy
    this.#clock = clock
  }

  current(): OwnImportKey {
    const nowMs = Math.trunc(this.#clock.nowMs())
    const newest = this.#held.at(-1)
    const { key, expireMs } = newest !== undefined && newest.expireMs - nowMs > RENEW_MS ? newest : this.#make(nowMs)
    return { key: key.slice(), expireMs }
  }

  /** The half inside, which the caller wipes; undefined when no key of the last hour opens it. */
  open(aad: Uint8Array, envelope: Uint8Array): Uint8Array | undefined {
    const nowMs = this.#clock.nowMs()
    for (const { secret, expireMs } of this.#held) {
      if (expireMs <= nowMs) continue
      const share = openShareOf({ kind: KIND_X25519, secret }, { purpose: 'import', aad }, envelope)
      if (share !== undefined) return share
    }
    return undefined
  }

  wipe(): void {
    for (const { secret, timer } of this.#held.splice(0)) {
      clearTimeout(timer)
      secret.fill(0)
    }
  }

  #make(nowMs: number): Held {
    const random = this.#entropy.osRandom64()
    const secret = secretBytes(32)
    secret.set(random.subarray(0, 32))
    random.fill(0)
    const timer = setTimeout(() => this.#end(held), LIFE_MS).unref()
    const held: Held = { key: x25519PublicKey(secret), secret, expireMs: nowMs + LIFE_MS, timer }
    this.#held.push(held)
    return held
  }

  #end(held: Held): void {
    held.secret.fill(0)
    this.#held.splice(this.#held.indexOf(held), 1)
  }
}
