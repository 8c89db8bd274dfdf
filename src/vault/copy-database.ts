import type Database from 'better-sqlite3'
import { closeSync, existsSync, openSync, rmSync } from 'node:fs'
import { failure } from '../domain/failure.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { wipeFile } from './wipe-file.ts'

/**
 * Online copies of an open vault by SQLite's backup API over the vault's own connection: what is committed meanwhile
 * goes into the copy too, so the copy is the vault as it was when the last page was copied, and a busy vault cannot
 * make the copy begin again. Commits run between two steps.
 */
export type Copies = {
  readonly copyTo: (path: string) => Promise<void>
  /** Ends copies that run, before the connection is closed. */
  readonly stop: () => Promise<void>
}

/** Where a copy lies until it is encrypted: beside the vault, so on its disk and in its private directory. */
export const copyPathOf = (vaultPath: string): string => `${vaultPath}.copy`

/** A quarter of a megabyte: well under a millisecond. */
const PAGES_AT_ONCE = 64

export const createCopies = (db: Database.Database): Copies => {
  const running = new Set<Promise<unknown>>()
  let stopped = false
  const copy = async (path: string): Promise<void> => {
    try {
      await wipeFile(path)
      closeSync(openSync(path, 'wx', 0o600))
      await db.backup(path, {
        progress: () => {
          if (stopped) throw failure('SHUTTING_DOWN', {})
          return PAGES_AT_ONCE
        },
      })
    } catch (error) {
      if (existsSync(path)) await wipeFile(path).catch(() => rmSync(path, { force: true }))
      const code = sqliteCode(error) ?? (error as NodeJS.ErrnoException).code
      throw code === undefined ? error : failure('BACKUP_FAILED', { why: `the copy cannot be written (${code})` })
    }
  }
  return {
    copyTo: (path) => {
      if (stopped) return Promise.reject(failure('SHUTTING_DOWN', {}))
      const work = copy(path)
      running.add(work)
      const done = (): void => void running.delete(work)
      work.then(done, done)
      return work
    },
    stop: async () => {
      stopped = true
      await Promise.allSettled(running)
    },
  }
}
