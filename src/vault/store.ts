import type Database from 'better-sqlite3'
import type { KeyObject } from 'node:crypto'

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

// Rows are typed by who wrote the SQL; the tables are STRICT, so a column's type is what its table says: every INTEGER a bigint.
/* oxlint-disable typescript/no-unnecessary-type-parameters */

/** Reads. Between two commits it sees exactly what is durable. */
export type Reader = {
  readonly kind: VaultKind
  /** 16 bytes. */
  readonly vaultId: Uint8Array
  readonly keys: VaultKeys
  /** Another number after every statement that may have changed the table; while it stays the same, so do its rows. */
  readonly writesTo: (table: string) => number
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

/** What the group commit holds. */
export type Store = Tx & {
  /** Something was rolled back: any table may be another than it was a moment ago. */
  readonly noteRollback: () => void
}

const WRITTEN_TABLE = /^\s*(?:INSERT(?: OR \w+)? INTO|UPDATE|DELETE FROM)\s+(\w+)/i

/** Counts writes by table. A statement that is none of the plain kinds counts for every table. */
const countWrites = () => {
  const ofTable = new Map<string, number>()
  const tables = new Map<string, string | undefined>()
  let ofAll = 0
  const tableOf = (sql: string): string | undefined => {
    if (!tables.has(sql)) tables.set(sql, WRITTEN_TABLE.exec(sql)?.[1])
    return tables.get(sql)
  }
  return {
    note: (sql: string): void => {
      const table = tableOf(sql)
      if (table === undefined) ofAll += 1
      else ofTable.set(table, (ofTable.get(table) ?? 0) + 1)
    },
    noteAll: (): void => {
      ofAll += 1
    },
    to: (table: string): number => ofAll + (ofTable.get(table) ?? 0),
  }
}

/** Prepared statements of one connection, kept for its life. */
export const createStore = (
  db: Database.Database,
  identity: { readonly kind: VaultKind; readonly vaultId: Uint8Array; readonly keys: VaultKeys },
): Store => {
  const writes = countWrites()
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
    writesTo: writes.to,
    noteRollback: writes.noteAll,
    tuples: <Row extends readonly unknown[]>(sql: string, ...params: SqlParam[]) => preparedBare(sql).all(...params) as Row[],
    one: <Row>(sql: string, ...params: SqlParam[]) => prepared(sql).get(...params) as Row | undefined,
    each: <Row>(sql: string, ...params: SqlParam[]) => prepared(sql).iterate(...params) as Iterable<Row>,
    all: <Row>(sql: string, ...params: SqlParam[]) => prepared(sql).all(...params) as Row[],
    run: (sql: string, ...params: SqlParam[]) => {
      writes.note(sql)
      return prepared(sql).run(...params).changes
    },
  } as Store
}
