import type { Reader, VaultKeys } from './store.ts'

/** More than any busy set of rows; beyond it all are forgotten and verified again. */
const MAX_ROWS = 10_000

/**
 * What rows under a MAC were found to say, so that a row that is read for every signature is verified once. A row is
 * known again by its MAC: what it said under that MAC is what it says, and columns that were altered in the file since
 * count for nothing.
 */
export class VerifiedRows<T> {
  readonly #ofVault = new WeakMap<VaultKeys, Map<string, { readonly mac: Buffer; readonly value: T }>>()

  /** What the row of this id says, if it was verified before with this MAC. */
  find({ keys }: Reader, id: string, mac: Buffer): T | undefined {
    const known = this.#ofVault.get(keys)?.get(id)
    return known?.mac.equals(mac) === true ? known.value : undefined
  }

  /** `value`: what was read from a row whose MAC was found right. */
  keep({ keys }: Reader, id: string, mac: Buffer, value: T): T {
    const rows = this.#ofVault.get(keys) ?? new Map<string, { readonly mac: Buffer; readonly value: T }>()
    this.#ofVault.set(keys, rows)
    if (rows.size >= MAX_ROWS) rows.clear()
    rows.set(id, { mac, value })
    return value
  }
}
