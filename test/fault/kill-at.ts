/**
 * Loaded before a program with `--import`: counts every step by which the program changes the disk (files of node:fs and
 * node:fs/promises, SQLite statements that write) and kills the process with SIGKILL before step KILL_AT. Each step's
 * name goes to the file KILL_LOG, one a line. What a process does between two of these steps leaves no trace, so killing
 * before each of them, and after the last, is killing everywhere.
 */
import { createRequire, syncBuiltinESMExports } from 'node:module'

const require = createRequire(import.meta.url)
type Callable = (this: unknown, ...args: unknown[]) => unknown
type Methods = Record<string, Callable>
const fs = require('node:fs') as Methods & { appendFileSync: (path: string, text: string) => void; promises: Methods }
const Database = require('better-sqlite3') as new (path: string) => {
  prepare: (sql: string) => object
  close: () => void
}

const killAt = Number(process.env.KILL_AT ?? '0')
const log = process.env.KILL_LOG
const append = fs.appendFileSync.bind(fs)
let step = 0
let isCounting = true

const count = (name: string): void => {
  if (!isCounting) return
  step += 1
  isCounting = false
  if (log !== undefined) append(log, `${name}\n`)
  isCounting = true
  if (step === killAt) process.kill(process.pid, 'SIGKILL')
}

const watch = (owner: Methods, kind: string, names: readonly string[]): void => {
  for (const name of names) {
    const original = owner[name]
    if (original === undefined) throw new Error(`${kind} has no ${name}`)
    owner[name] = function (this: unknown, ...args: unknown[]): unknown {
      count(`${kind}.${name}`)
      return Reflect.apply(original, this, args)
    }
  }
}

const CHANGES = /^\s*(INSERT|UPDATE|DELETE|REPLACE|BEGIN|COMMIT|ROLLBACK|CREATE|DROP|ALTER|VACUUM)/i

const WRITING_PRAGMA = /^(journal_mode|wal_checkpoint|user_version|application_id)\b/

const watchDatabase = (): void => {
  const memory = new Database(':memory:')
  const statement = Object.getPrototypeOf(memory.prepare('SELECT 1')) as Methods
  const run = statement.run
  if (run === undefined) throw new Error('a statement has no run')
  statement.run = function (this: unknown, ...args: unknown[]): unknown {
    const verb = CHANGES.exec((this as { readonly source: string }).source)?.[1]
    if (verb !== undefined) count(`sqlite.${verb.toUpperCase()}`)
    return Reflect.apply(run, this, args)
  }
  const connection = Database.prototype as Methods
  watch(connection, 'sqlite', ['exec', 'close', 'backup'])
  const pragma = connection.pragma
  if (pragma === undefined) throw new Error('a connection has no pragma')
  connection.pragma = function (this: unknown, ...args: unknown[]): unknown {
    const name = WRITING_PRAGMA.exec(String(args[0]))?.[0]
    if (name !== undefined) count(`sqlite.${name}`)
    return Reflect.apply(pragma, this, args)
  }
  isCounting = false
  memory.close()
  isCounting = true
}

const watchFiles = async (): Promise<void> => {
  watch(fs, 'fs', ['writeSync', 'fsyncSync', 'renameSync', 'rmSync', 'mkdirSync'])
  const open = fs.promises.open
  const handle = (await open?.('/dev/null', 'r')) as { close: () => Promise<void> }
  const methods = Object.getPrototypeOf(handle) as Methods
  await handle.close()
  watch(methods, 'file', ['write', 'writeFile', 'sync', 'datasync'])
  watch(fs.promises, 'fs', ['open', 'rename', 'rm', 'mkdir'])
  syncBuiltinESMExports()
}

watchDatabase()
await watchFiles()
