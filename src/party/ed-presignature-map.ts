/**
 * Finished Ed25519 presignatures of one party, in memory only (docs/protocol.md §9.4, §18). Touched is gone:
 * `take` removes before anybody looks, there is no way to put one back, and what is dropped is overwritten.
 */
import { LINK_SLOTS_HARD } from '../engine/dkls23/suite.ts'
import { type EdPresignature, wipeEdPresignature } from '../engine/frost/presignature.ts'
import { hexOf } from './presignature-map.ts'

/** How often expired ones are looked for, so that an idle process does not keep them. */
const SWEEP_MS = 60_000

type Entry = { readonly presignature: EdPresignature; readonly expiresAtMs: number }

export class EdPresignatureMap {
  readonly #entries = new Map<string, Entry>()
  readonly #nowMs: () => number
  #sweep: NodeJS.Timeout | undefined

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs
  }

  get size(): number {
    return this.#entries.size
  }

  hasRoomFor(count: number): boolean {
    this.expire()
    return this.#entries.size + count <= LINK_SLOTS_HARD
  }

  add(presignature: EdPresignature, expiresAtMs: number): void {
    this.#entries.set(hexOf(presignature.presigId), { presignature, expiresAtMs })
    this.#sweepLater()
  }

  /** Removes a presignature and returns it: from here on it exists nowhere else. */
  take(presigId: Uint8Array): EdPresignature | undefined {
    const key = hexOf(presigId)
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    if (entry === undefined) return undefined
    if (entry.expiresAtMs > this.#nowMs()) return entry.presignature
    wipeEdPresignature(entry.presignature)
    return undefined
  }

  /** Overwrites one that will not be used. */
  discard(presigId: Uint8Array): void {
    const presignature = this.take(presigId)
    if (presignature !== undefined) wipeEdPresignature(presignature)
  }

  expire(): void {
    const now = this.#nowMs()
    this.#drop((entry) => entry.expiresAtMs <= now)
  }

  wipeWallet(walletId: Uint8Array): void {
    const key = hexOf(walletId)
    this.#drop(({ presignature }) => hexOf(presignature.walletId) === key)
  }

  wipeSession(sid: Uint8Array): void {
    const key = hexOf(sid)
    this.#drop(({ presignature }) => hexOf(presignature.sid) === key)
  }

  wipeAll(): void {
    this.#drop(() => true)
  }

  #drop(gone: (entry: Entry) => boolean): void {
    for (const [key, entry] of this.#entries) {
      if (!gone(entry)) continue
      this.#entries.delete(key)
      wipeEdPresignature(entry.presignature)
    }
  }

  #sweepLater(): void {
    if (this.#sweep !== undefined) return
    this.#sweep = setTimeout(() => {
      this.#sweep = undefined
      this.expire()
      if (this.#entries.size > 0) this.#sweepLater()
    }, SWEEP_MS).unref()
  }
}
