import type Database from 'better-sqlite3'
import { failure } from '../domain/failure.ts'
import type { VaultKind } from './store.ts'

/** One step of a schema. Numbers rise by one from 1; a step that has been released is never edited. */
export type Migration = { readonly version: number; readonly sql: string }

/** What a vault file is: its SQLite application id and its steps. */
export type Schema = {
  readonly kind: VaultKind
  readonly applicationId: number
  readonly migrations: readonly Migration[]
}

export const latestVersion = (schema: Schema): number => schema.migrations.at(-1)?.version ?? 0

export const foundVersion = (db: Database.Database): number => Number(db.pragma('user_version', { simple: true }))

/**
 * Brings the file to the latest version, each step in one transaction with its number.
 * Refuses with VAULT_TOO_NEW a file of a newer program.
 */
export const migrate = (db: Database.Database, schema: Schema): void => {
  const found = refuseNewer(db, schema)
  for (const migration of schema.migrations) {
    if (migration.version <= found) continue
    db.transaction(() => applyMigration(db, migration)).immediate()
  }
}

export const refuseNewer = (db: Database.Database, schema: Schema): number => {
  const found = foundVersion(db)
  const supported = latestVersion(schema)
  if (found > supported) throw failure('VAULT_TOO_NEW', { found, supported })
  return found
}

export const applyMigration = (db: Database.Database, migration: Migration): void => {
  db.exec(migration.sql)
  db.pragma(`user_version = ${migration.version}`)
}
