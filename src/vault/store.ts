import type Database from 'better-sqlite3'
import type { KeyObject } from 'node:crypto'

/** What SQLite hands out with safe integers on: every INTEGER is a bigint. */
export type SqlValue = bigint | string | Buffer | null
export type SqlParam = bigint | number | string | Uint8Array | null

export type VaultKind = 'daemon' | 'cosigner'

/** Keys the thread that owns the database works with; the share key is not among them. */
export type VaultKeys = {
  readonly rowMac: KeyObject
  readonly stateIndex: KeyObject
  readonly apiKeyPepper: KeyObject
  readonly pageToken: KeyObject
  readonly response: KeyObject
  /** Of answers that were kept before the root was rotated, newest first. */
  readonly previousResponses?: readonly KeyObject[] | undefined
}

// Rows are typed by who wrote the SQL; the tables are STRICT, so a column's type is what its table says.
/* oxlint-disable typescript/no-unnecessary-type-parameters */

/** Reads. Between two commits it sees exactly what is durable. */
export type Reader = {
  readonly kind: VaultKind
  /** 16 bytes. */
  readonly vaultId: Uint8Array
  readonly keys: VaultKeys
  readonly one: <Row>(sql: string, ...params: SqlParam[]) => Row | undefined
  readonly all: <Row>(sql: string, ...params: SqlParam[]) => Row[]
  /** Rows as arrays in the order of their columns, integers as numbers: for reading a whole table, a page at a time. */
  readonly tuples: <Row extends readonly unknown[]>(sql: string, ...params: SqlParam[]) => Row[]
  /** Row by row. Nothing else may use the connection before the last one. */
  readonly each: <Row>(sql: string, ...params: SqlParam[]) => Iterable<Row>
}

declare const writing: unique symbol

/** Reads and writes inside one unit of a group commit. Exists only as the argument of committed work. */
export type Tx = Reader & {
  readonly [writing]: true
  /** Answers how many rows changed. */
  readonly run: (sql: string, ...params: SqlParam[]) => number
}

/** Prepared statements of one connection, kept for its life. */
export const createStore = (
  db: Database.Database,
  identity: { readonly kind: VaultKind; readonly vaultId: Uint8Array; readonly keys: VaultKeys },
): Tx => {
  const statements = new Map<string, Database.Statement>()
  const prepared = (sql: string): Database.Statement => {
    let statement = statements.get(sql)
    if (statement === undefined) {
      statement = db.prepare(sql)
      statements.set(sql, statement)
    }
    return statement
  }
  const bare = new Map<string, Database.Statement>()
  const preparedBare = (sql: string): Database.Statement => {
    const statement = bare.get(sql) ?? db.prepare(sql).raw(true).safeIntegers(false)
    bare.set(sql, statement)
    return statement
  }
  return {
    ...identity,
    tuples: <Row extends readonly unknown[]>(sql: string, ...params: SqlParam[]) => preparedBare(sql).all(...params) as Row[],
    one: <Row>(sql: string, ...params: SqlParam[]) => prepared(sql).get(...params) as Row | undefined,
    each: <Row>(sql: string, ...params: SqlParam[]) => prepared(sql).iterate(...params) as Iterable<Row>,
    all: <Row>(sql: string, ...params: SqlParam[]) => prepared(sql).all(...params) as Row[],
    run: (sql: string, ...params: SqlParam[]) => prepared(sql).run(...params).changes,
  } as Tx
}
