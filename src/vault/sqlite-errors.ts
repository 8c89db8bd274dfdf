import Database from 'better-sqlite3'

/** SQLite's extended code, or undefined for errors of other origin. */
export const sqliteCode = (error: unknown): string | undefined =>
  error instanceof Database.SqliteError ? error.code : undefined

const DISK_FAULTS = [
  'SQLITE_IOERR',
  'SQLITE_FULL',
  'SQLITE_CORRUPT',
  'SQLITE_READONLY',
  'SQLITE_NOTADB',
  'SQLITE_CANTOPEN',
]

/**
 * After one of these nothing is known about what the disk holds (a failed fsync marks pages clean on Linux, so a
 * second fsync that succeeds proves nothing): the vault stops for good until it is opened again.
 */
export const isDiskFault = (error: unknown): boolean => {
  const code = sqliteCode(error)
  return code !== undefined && DISK_FAULTS.some((fault) => code.startsWith(fault))
}

export const isUniqueViolation = (error: unknown): boolean => {
  const code = sqliteCode(error)
  return code === 'SQLITE_CONSTRAINT_UNIQUE' || code === 'SQLITE_CONSTRAINT_PRIMARYKEY'
}

/** The columns a UNIQUE violation names, as SQLite words it: `table.column, table.column`. */
export const violatedColumns = (error: unknown): string =>
  error instanceof Error ? error.message.replace(/^UNIQUE constraint failed: /, '') : ''
