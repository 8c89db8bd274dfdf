import { timingSafeEqual } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { Reader } from './store.ts'
import { encodeTagged, macTagged } from './tagged-encoding.ts'
import type { Item } from './tagged-encoding.ts'

/**
 * A MAC over a row that decides what may be signed, so that whoever can write the file cannot widen a permission
 * or move a wallet to another project. A row put back whole to an older state still verifies; state-index.ts
 * covers the tables where that matters most.
 */
export const rowMac = (reader: Reader, table: string, items: readonly Item[]): Buffer =>
  macTagged(reader.keys.rowMac, 'countersign/vault/row/v1', [reader.vaultId, table, encodeTagged('row', items)])

/** Refuses with VAULT_CORRUPT a row that is not the one the MAC was made for. */
export const requireRowMac = (reader: Reader, table: string, items: readonly Item[], mac: Uint8Array): void => {
  const expected = rowMac(reader, table, items)
  if (mac.length !== expected.length || !timingSafeEqual(expected, mac)) {
    throw failure('VAULT_CORRUPT', { where: `${table} row` })
  }
}
