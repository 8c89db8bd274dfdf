/**
 * Finished presignatures of one party, in memory only (docs/protocol.md §9.4). Touched is gone: `take` removes before
 * anybody looks, there is no way to put one back, and what is dropped is overwritten.
 */
export type HeldPresignature = {
  readonly presigId: Uint8Array
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly sid: Uint8Array
  /** Overwrites the secrets of the record. */
  readonly wipe: () => void
}

const hex = (bytes: Uint8Array): string =>
  Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')

type Entry<T> = { readonly record: T; readonly expiresAtMs: number }

export class PresignatureMap<T extends HeldPresignature> {
  readonly #entries = new Map<string, Entry<T>>()

  get size(): number {
    return this.#entries.size
  }

  add(record: T, expiresAtMs: number): void {
    this.#entries.set(hex(record.presigId), { record, expiresAtMs })
  }

  /** Removes a presignature and returns it: from here on it exists nowhere else. */
  take(presigId: Uint8Array, nowMs: number): T | undefined {
    const key = hex(presigId)
    const entry = this.#entries.get(key)
    this.#entries.delete(key)
    if (entry === undefined) return undefined
    if (entry.expiresAtMs > nowMs) return entry.record
    entry.record.wipe()
    return undefined
  }

  expire(nowMs: number): void {
    this.#drop((entry) => entry.expiresAtMs <= nowMs)
  }

  wipeWallet(walletId: Uint8Array): void {
    const key = hex(walletId)
    this.#drop(({ record }) => hex(record.walletId) === key)
  }

  wipeSession(sid: Uint8Array): void {
    const key = hex(sid)
    this.#drop(({ record }) => hex(record.sid) === key)
  }

  wipeAll(): void {
    this.#drop(() => true)
  }

  #drop(gone: (entry: Entry<T>) => boolean): void {
    for (const [key, entry] of this.#entries) {
      if (!gone(entry)) continue
      this.#entries.delete(key)
      entry.record.wipe()
    }
  }
}
