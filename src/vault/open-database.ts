import Database from 'better-sqlite3'
import { existsSync } from 'node:fs'
import { dirname } from 'node:path'
import { assert, failure, isFailure } from '../domain/failure.ts'
import { applyMigration, foundVersion, migrate, refuseNewer } from './migrations.ts'
import type { Schema } from './migrations.ts'
import { createPrivateFile, preparePrivateDirectory, syncDirectory } from './private-file.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { acquireVaultLock } from './vault-lock.ts'

/**
 * Opens a vault file: one connection, one process (vault-lock.ts), settings asserted after they are made. Nothing
 * else in the process may open the file, not even to copy it: closing any descriptor of it drops SQLite's locks.
 */
export type OpenDatabase = {
  readonly db: Database.Database
  readonly path: string
  /** Closes the connection, checkpointing the WAL, and lets go of the lock. */
  readonly close: () => void
}

/**
 * name, value to set, value that must be read back. better-sqlite3 is built with synchronous=NORMAL in WAL mode,
 * so FULL is set on every connection, after the switch to WAL, and asserted again after the first write. Its page cache
 * of 16 MB is cut to 4: what is not in it is in the system's, 2 µs a page away.
 * A checkpoint costs two fsyncs and a write of every page that changed, in the commit that it falls to: at 2 000 pages,
 * 8 MB of WAL, one signature in a hundred and more meets it, at SQLite's own 1 000 or less many more would.
 */
const SETTINGS: readonly (readonly [string, string, string])[] = [
  ['journal_mode', 'WAL', 'wal'],
  ['synchronous', 'FULL', '2'],
  ['secure_delete', 'ON', '1'],
  ['trusted_schema', 'OFF', '0'],
  ['cell_size_check', 'ON', '1'],
  ['mmap_size', '0', '0'],
  ['foreign_keys', 'ON', '1'],
  ['temp_store', 'MEMORY', '2'],
  ['cache_size', '-4000', '-4000'],
  ['wal_autocheckpoint', '2000', '2000'],
  ['busy_timeout', '2000', '2000'],
]

const readSetting = (db: Database.Database, name: string): string => String(db.pragma(name, { simple: true }))

/** Throws when a setting is not what the sheet says: a bug or another SQLite build, never a state to run in. */
const assertSettings = (db: Database.Database): void => {
  for (const [name, , expected] of SETTINGS) {
    const found = readSetting(db, name)
    // SQLite has nothing to say about mmap_size where it is built without.
    const absent = name === 'mmap_size' && found === 'undefined'
    assert(found === expected || absent, `${name} is ${found}, not ${expected}`)
  }
}

/** `vault.db` → `vault.lock`, beside it. */
export const lockPath = (path: string): string => path.replace(/(\.db)?$/, '.lock')

/**
 * Makes a vault file and runs `fill` in the transaction that makes its tables, so that a crash leaves either a
 * whole vault or none. Refuses: VAULT_EXISTS, VAULT_LOCKED, VAULT_UNWRITABLE.
 */
export const createDatabase = (
  path: string,
  schema: Schema,
  fill: (db: Database.Database) => void,
): OpenDatabase => {
  preparePrivateDirectory(dirname(path))
  return withLock(path, () => {
    createPrivateFile(path)
    return refusingDiskFaults(path, () => {
      const db = connect(path)
      return closingOnThrow(db, () => {
        if (!isEmpty(db)) throw failure('VAULT_EXISTS', { path })
        db.pragma(`application_id = ${schema.applicationId}`)
        db.transaction(() => {
          for (const migration of schema.migrations) applyMigration(db, migration)
          fill(db)
        }).immediate()
        assertSettings(db)
        syncDirectory(dirname(path))
        return db
      })
    })
  })
}

/**
 * Opens an existing vault file and examines it; writes nothing yet, so that a wrong root key changes nothing.
 * Refuses: VAULT_MISSING, VAULT_LOCKED, VAULT_UNWRITABLE, VAULT_CORRUPT (not a vault of this kind, a damaged page,
 * a schema that is not exactly ours), VAULT_TOO_NEW.
 */
export const openDatabase = (path: string, schema: Schema): OpenDatabase => {
  refuseMissing(path)
  preparePrivateDirectory(dirname(path))
  return withLock(path, () => connectExamined(path, schema, UNBOUNDED))
}

/** Brings the schema up to date and writes once. Refuses: VAULT_UNWRITABLE; VAULT_CORRUPT for a damaged page. */
export const settleDatabase = ({ db, path }: OpenDatabase, schema: Schema): void =>
  refusingDiskFaults(path, () => {
    migrate(db, schema)
    db.exec('UPDATE vault_header SET opened = opened + 1')
    assertSettings(db)
  })

/** Opens a vault file for looking only: same lock, same refusals, every page read, no migration and no write. */
export const openDatabaseForReading = (path: string, schema: Schema): OpenDatabase => {
  refuseMissing(path)
  return withLock(path, () => {
    const db = connectExamined(path, schema, new Set())
    db.pragma('query_only = ON')
    return db
  })
}

const connectExamined = (path: string, schema: Schema, trusted: ReadonlySet<string>): Database.Database =>
  refusingDiskFaults(path, () => {
    const db = connect(path)
    return closingOnThrow(db, () => {
      examine(db, path, schema, trusted)
      return db
    })
  })

const refuseMissing = (path: string): void => {
  if (!existsSync(path)) throw failure('VAULT_MISSING', { path })
}

/**
 * Refuses with VAULT_EXISTS a log that lies where a vault is about to be put and is no longer there: SQLite would play it
 * into the new file, whatever it was written for.
 */
export const refuseStrayLog = (path: string): void => {
  if (existsSync(path)) return
  const stray = [`${path}-wal`, `${path}-journal`].find((log) => existsSync(log))
  if (stray !== undefined) throw failure('VAULT_EXISTS', { path: stray })
}

const connect = (path: string): Database.Database => {
  const db = new Database(path, { fileMustExist: true, timeout: 2000 })
  return closingOnThrow(db, () => {
    for (const [name, value] of SETTINGS) db.pragma(`${name} = ${value}`)
    db.defaultSafeIntegers(true)
    return db
  })
}

const isEmpty = (db: Database.Database): boolean =>
  foundVersion(db) === 0 && db.prepare('SELECT 1 FROM sqlite_schema LIMIT 1').get() === undefined

/** `trusted`: tables whose pages are not read through. */
const examine = (db: Database.Database, path: string, schema: Schema, trusted: ReadonlySet<string>): void => {
  if (isEmpty(db)) throw failure('VAULT_MISSING', { path })
  if (Number(db.pragma('application_id', { simple: true })) !== schema.applicationId) {
    throw failure('VAULT_CORRUPT', { where: `not a ${schema.kind} vault` })
  }
  const version = refuseNewer(db, schema)
  refuseForeignSchema(db, schema, version)
  for (const table of tablesOf(db)) {
    const intact = trusted.has(table) || db.pragma(`quick_check(${table})`, { simple: true }) === 'ok'
    if (!intact) throw failure('VAULT_CORRUPT', { where: 'quick_check' })
  }
}

/**
 * Tables that grow with every request, and are not read through at each start: it would take longer every day. A
 * damaged page of theirs is met where it is read; `audit verify` reads them all.
 */
const UNBOUNDED: ReadonlySet<string> = new Set(['audit', 'intents', 'requests', 'replies'])

const tablesOf = (db: Database.Database): readonly string[] =>
  db.prepare(`SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name`).pluck().all() as string[]

const schemaText = (db: Database.Database): string =>
  JSON.stringify(
    db
      .prepare(`SELECT type, name, tbl_name, sql FROM sqlite_schema WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\'
        ORDER BY type, name`)
      .raw()
      .all(),
  )

/** A trigger or table that is not ours could undo what this program writes. */
const refuseForeignSchema = (db: Database.Database, schema: Schema, version: number): void => {
  const fresh = new Database(':memory:')
  try {
    const applied = schema.migrations.filter((migration) => migration.version <= version)
    for (const migration of applied) applyMigration(fresh, migration)
    if (schemaText(fresh) !== schemaText(db)) throw failure('VAULT_CORRUPT', { where: 'schema' })
  } finally {
    fresh.close()
  }
}

const withLock = (path: string, open: () => Database.Database): OpenDatabase => {
  const lock = acquireVaultLock(lockPath(path))
  try {
    const db = open()
    return {
      db,
      path,
      close: () => {
        db.close()
        lock.release()
      },
    }
  } catch (error) {
    lock.release()
    throw error
  }
}

const closingOnThrow = <T>(db: Database.Database, use: () => T): T => {
  try {
    return use()
  } catch (error) {
    db.close()
    throw error
  }
}

const refusingDiskFaults = <T>(path: string, use: () => T): T => {
  try {
    return use()
  } catch (error) {
    const code = sqliteCode(error)
    if (isFailure(error) || code === undefined) throw error
    if (/^SQLITE_(CORRUPT|NOTADB|SCHEMA|ERROR)/.test(code)) throw failure('VAULT_CORRUPT', { where: code })
    if (code.startsWith('SQLITE_BUSY')) throw failure('VAULT_LOCKED', { dataDir: dirname(path) })
    throw failure('VAULT_UNWRITABLE', { path, why: code })
  }
}
