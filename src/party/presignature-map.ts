/**
 * Finished presignatures of one party and one protocol, in memory only (docs/protocol.md §9.4, §18). Touched is gone: `take` removes before
 * anybody looks, there is no way to put one back, and what is dropped is overwritten.
 */
import { LINK_SLOTS_HARD } from '../engine/dkls23/suite.ts'

export const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** How long S keeps a presignature. */
export const PRESIGNATURE_TTL_MS = 3_600_000
/** C drops it a minute before. */
export const PRESIGNATURE_TTL_OF_C_MS = PRESIGNATURE_TTL_MS - 60_000

/** How many one link may hold: as many slots as one epoch of it makes. */
export const MAX_PRESIGNATURES = LINK_SLOTS_HARD
/** How often expired ones are looked for, so that an idle process does not keep them. */
const SWEEP_MS = 60_000

/** What presignatures of every protocol are found by. */
type Held = {
  readonly presigId: Uint8Array
  readonly walletId: Uint8Array
  readonly sid: Uint8Array
  readonly lEpoch: number
}
type Entry<P> = { readonly presignature: P; readonly expiresAtMs: number }

export class PresignatureMap<P extends Held> {
  readonly #entries = new Map<string, Entry<P>>()
  readonly #nowMs: () => number
  /** Overwrites the secrets of one. */
  readonly #wipe: (presignature: P) => void
  #sweep: NodeJS.Timeout | undefined

  constructor(nowMs: () => number, wipe: (presignature: P) => void) {
    this.#nowMs = nowMs
    this.#wipe = wipe
  }

  get size(): number {
    return this.#entries.size
  }

  add(presignature: P, expiresAtMs: number): void {
    this.#entries.set(hexOf(presignature.presigId), { presignature, expiresAtMs })
    this.#sweepLater()
  }

  /** Looks at one that stays; undefined when it is unknown or expired. */
  peek(presigId: Uint8Array): P | undefined {
    const entry = this.#entries.get(hexOf(presigId))
    return entry !== undefined && entry.expiresAtMs > this.#nowMs() ? entry.presignature : undefined
  }

  /** Removes a presignature and returns it: from here on it exists nowhere else. */
  take(presigId: Uint8Array): P | undefined {
    const key = hexOf(presigId)
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    if (entry === undefined) return undefined
    if (entry.expiresAtMs > this.#nowMs()) return entry.presignature
    this.#wipe(entry.presignature)
    return undefined
  }

  /** Overwrites one that will not be used. */
  discard(presigId: Uint8Array): void {
    const presignature = this.take(presigId)
    if (presignature !== undefined) this.#wipe(presignature)
  }

  expire(): void {
    const now = this.#nowMs()
    this.#drop((entry) => entry.expiresAtMs <= now)
  }

  /** Room for that many more, once the expired ones are gone. */
  hasRoomFor(slots: number): boolean {
    if (this.size + slots > MAX_PRESIGNATURES) this.expire()
    return this.size + slots <= MAX_PRESIGNATURES
  }

  /** The wallets that have some, in hexadecimal. */
  wallets(): ReadonlySet<string> {
    return new Set([...this.#entries.values()].map(({ presignature }) => hexOf(presignature.walletId)))
  }

  wipeWallet(walletId: Uint8Array): void {
    const key = hexOf(walletId)
    this.#drop(({ presignature }) => hexOf(presignature.walletId) === key)
  }

  wipeSession(sid: Uint8Array): void {
    const key = hexOf(sid)
    this.#drop(({ presignature }) => hexOf(presignature.sid) === key)
  }

  /** Those that were made over material of this epoch and before. */
  wipeUpTo(lEpoch: number): void {
    this.#drop(({ presignature }) => presignature.lEpoch <= lEpoch)
  }

  has(presigId: Uint8Array): boolean {
    return this.#entries.has(hexOf(presigId))
  }

  wipeAll(): void {
    clearTimeout(this.#sweep)
    this.#sweep = undefined
    this.#drop(() => true)
  }

  #sweepLater(): void {
    this.#sweep ??= setTimeout(() => {
      this.#sweep = undefined
      this.expire()
      if (this.size > 0) this.#sweepLater()
    }, SWEEP_MS).unref()
  }

  #drop(gone: (entry: Entry<P>) => boolean): void {
    for (const [key, entry] of this.#entries) {
      if (!gone(entry)) continue
      this.#entries.delete(key)
      this.#wipe(entry.presignature)
    }
  }
}
