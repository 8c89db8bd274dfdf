import Database from 'better-sqlite3'
import { dirname } from 'node:path'
import { failure } from '../domain/failure.ts'
import { createPrivateFile } from './private-file.ts'
import { sqliteCode } from './sqlite-errors.ts'

/**
 * Keeps a second process off a vault: an empty SQLite file beside it, held with BEGIN EXCLUSIVE for as long as the
 * vault is open. The operating system drops the lock with the process, however it dies, so there is no pid to
 * guess and nothing stale to clean up. It is a file of its own because POSIX drops every lock a process has on a
 * file when it closes any descriptor of that file.
 */
export type VaultLock = { readonly release: () => void }

/** Refuses with VAULT_LOCKED when another holder lives, VAULT_UNWRITABLE when the file cannot be made. */
export const acquireVaultLock = (path: string): VaultLock => {
  createPrivateFile(path)
  let db: Database.Database | undefined
  try {
    db = new Database(path, { timeout: 0 })
    db.pragma('journal_mode = MEMORY')
    db.exec('BEGIN EXCLUSIVE')
    const held = db
    return { release: () => held.close() }
  } catch (error) {
    db?.close()
    const code = sqliteCode(error)
    if (code?.startsWith('SQLITE_BUSY') === true) throw failure('VAULT_LOCKED', { dataDir: dirname(path) })
    if (code !== undefined) throw failure('VAULT_UNWRITABLE', { path, why: code })
    throw error
  }
}
