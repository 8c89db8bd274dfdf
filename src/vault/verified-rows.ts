import type { Reader } from './store.ts'
import { OfStore } from './of-store.ts'

/** More than any busy set of rows; beyond it all are forgotten and verified again. */
const MAX_ROWS = 10_000

type Known<T> = { readonly mac: Buffer; readonly value: T; writes: number }

/**
 * What rows under a MAC were found to say, so that a row that is read for every signature is verified once, and read
 * again only after something was written to its table. A row is known again by its MAC: what it said under that MAC is
 * what it says, and columns that were altered in the file since count for nothing.
 */
export class VerifiedRows<T> {
  readonly #table: string
  readonly #rows = new OfStore(() => new Map<string, Known<T>>())

  constructor(table: string) {
    this.#table = table
  }

  /** What the row of this id says, if it was verified before; `readMac` reads the MAC that it has now. */
  find(reader: Reader, id: string, readMac: () => Buffer | undefined): T | undefined {
    const known = this.#rows.of(reader).get(id)
    if (known === undefined) return undefined
    const writes = reader.writesTo(this.#table)
    if (known.writes === writes) return known.value
    if (readMac()?.equals(known.mac) !== true) return undefined
    known.writes = writes
    return known.value
  }

  /** `value`: what was read just now from a row whose MAC was found right. */
  keep(reader: Reader, id: string, mac: Buffer, value: T): T {
    const rows = this.#rows.of(reader)
    if (rows.size >= MAX_ROWS) rows.clear()
    rows.set(id, { mac, value, writes: reader.writesTo(this.#table) })
    return value
  }
}
