/**
 * Finished presignatures of one party, in memory only (docs/protocol.md §9.4). Touched is gone: `take` removes before
 * anybody looks, there is no way to put one back, and what is dropped is overwritten.
 */
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'

export const hexOf = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

/** How long S keeps a presignature; C drops it a minute before. */
export const PRESIGNATURE_TTL_MS = 3_600_000

type Entry = { readonly presignature: Presignature; readonly expiresAtMs: number }

export class PresignatureMap {
  readonly #entries = new Map<string, Entry>()

  get size(): number {
    return this.#entries.size
  }

  add(presignature: Presignature, expiresAtMs: number): void {
    this.#entries.set(hexOf(presignature.presigId), { presignature, expiresAtMs })
  }

  /** Removes a presignature and returns it: from here on it exists nowhere else. */
  take(presigId: Uint8Array, nowMs: number): Presignature | undefined {
    const key = hexOf(presigId)
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    if (entry === undefined) return undefined
    if (entry.expiresAtMs > nowMs) return entry.presignature
    wipePresignature(entry.presignature)
    return undefined
  }

  expire(nowMs: number): void {
    this.#drop((entry) => entry.expiresAtMs <= nowMs)
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
      wipePresignature(entry.presignature)
    }
  }
}
