import type { SqlParam, Tx } from './store.ts'

/** Writes a row: its members are the columns of the table, all that have no default. */
export const insertInto = (tx: Tx, table: string, row: { readonly [column: string]: SqlParam }): void => write(tx, `INSERT INTO ${table}`, row)

/** In the place of a row of the same key. */
export const replaceInto = (tx: Tx, table: string, row: { readonly [column: string]: SqlParam }): void =>
  write(tx, `INSERT OR REPLACE INTO ${table}`, row)

const write = (tx: Tx, verb: string, row: { readonly [column: string]: SqlParam }): void => {
  const columns = Object.keys(row)
  tx.run(`${verb} (${columns.join(', ')}) VALUES (${columns.map(() => '?').join(', ')})`, ...Object.values(row))
}
