import Database from 'better-sqlite3'
import { createReadStream } from 'node:fs'
import { mkdir, open, readdir, rename, rm, stat } from 'node:fs/promises'
import { join } from 'node:path'
import { failure, isFailure } from '../domain/failure.ts'
import { encryptAge } from './age-stream.ts'
import { appendAudit, auditHead } from './audit-chain.ts'
import type { ActorKind } from './audit-chain.ts'
import type { Recipient } from './backup-keys.ts'
import { encodeManifest } from './backup-manifest.ts'
import type { BackupManifest } from './backup-manifest.ts'
import { copyPathOf } from './copy-database.ts'
import { noteBackup } from './last-backup.ts'
import { foundVersion } from './migrations.ts'
import { syncDirectory } from './private-file.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { createStore } from './store.ts'
import { stripDelegatedShares } from './strip-backup.ts'
import type { Tx, VaultKeys } from './store.ts'
import type { Vault } from './vault.ts'
import { readHeader } from './vault-header.ts'
import { wipeFile } from './wipe-file.ts'

/**
 * A backup of one vault while it is used: copied as of one moment, encrypted to a recipient, under its final name only
 * when all of it is on disk. The copy lies beside the vault until it is encrypted, then it is overwritten: it is what
 * the vault file is, and holds what the vault erases later.
 */
export type BackupTarget = {
  /** Made with mode 0700 when it is not there. */
  readonly directory: string
  readonly recipient: Recipient
  /** 16 bytes; names the backups of both parties that belong together. */
  readonly setId: Uint8Array
  readonly nowMs: number
}

export type BackupMade = {
  readonly vault: Vault['kind']
  readonly fileName: string
  readonly bytes: number
  /** The last audit row that it holds. */
  readonly auditSequence: bigint
  readonly createMs: number
}

const NO_KEYS = {} as VaultKeys

/** `countersign-daemon-20260131T120000Z-0011223344556677.age`: both parts of a set sort together by time and set. */
const backupFileName = (kind: Vault['kind'], { nowMs, setId }: BackupTarget): string => {
  const time = new Date(nowMs).toISOString().replace(/\.\d+Z$/, 'Z').replaceAll(/[-:]/g, '')
  return `countersign-${kind}-${time}-${Buffer.from(setId).toString('hex').slice(0, 16)}.age`
}

/** Turns the copy into one plain file without a WAL and reads what it is. */
const settleCopy = (path: string, vault: Vault, { setId, nowMs }: BackupTarget): Omit<BackupManifest, 'databaseBytes'> => {
  const db = new Database(path, { fileMustExist: true })
  try {
    db.pragma('journal_mode = DELETE')
    const schemaVersion = foundVersion(db)
    db.defaultSafeIntegers(true)
    if (vault.kind === 'daemon') stripCopy(db, vault, nowMs)
    const store = createStore(db, { kind: vault.kind, vaultId: vault.vaultId, keys: NO_KEYS })
    const head = auditHead(store)
    return {
      vault: vault.kind,
      vaultIdHex: Buffer.from(vault.vaultId).toString('hex'),
      setIdHex: Buffer.from(setId).toString('hex'),
      createMs: nowMs,
      epoch: readHeader(store).epoch,
      schemaVersion,
      auditSequence: head.sequence,
      auditHashHex: Buffer.from(head.hash).toString('hex'),
    }
  } finally {
    db.close()
  }
}

/** What is deleted is overwritten in the copy, and no journal beside it keeps what was there. */
const stripCopy = (db: Database.Database, vault: Vault, nowMs: number): void => {
  db.pragma('secure_delete = ON')
  db.pragma('journal_mode = MEMORY')
  const { keys } = vault.read
  const store = createStore(db, { kind: vault.kind, vaultId: vault.vaultId, keys })
  db.transaction(() => stripDelegatedShares(store, nowMs)).immediate()
}

async function* contentOf(path: string, facts: Omit<BackupManifest, 'databaseBytes'>): AsyncIterable<Uint8Array> {
  const { size } = await stat(path)
  yield encodeManifest({ ...facts, databaseBytes: size })
  yield* createReadStream(path, { highWaterMark: 262_144 }) as AsyncIterable<Uint8Array>
}

const stagedName = (name: string): string => `.${name}.part`

/** What a backup that was cut off left behind. */
const clearStaged = async (directory: string, kind: Vault['kind']): Promise<void> => {
  const stale = (await readdir(directory)).filter((name) => name.startsWith(`.countersign-${kind}-`))
  for (const name of stale) await rm(join(directory, name), { force: true })
}

/** Whole and on disk under its name, or not there. Answers its size. */
const writeWhole = async (directory: string, name: string, parts: AsyncIterable<Uint8Array>): Promise<number> => {
  const staged = join(directory, stagedName(name))
  const file = await open(staged, 'wx', 0o600)
  let bytes = 0
  try {
    for await (const part of parts) {
      await file.writeFile(part)
      bytes += part.length
    }
    await file.sync()
    await file.close()
    await rename(staged, join(directory, name))
  } catch (error) {
    await file.close().catch(() => undefined)
    await rm(staged, { force: true })
    throw error
  }
  syncDirectory(directory)
  return bytes
}

const refusalOf = (error: unknown): unknown => {
  if (isFailure(error)) return error
  const code = sqliteCode(error) ?? (error as NodeJS.ErrnoException).code
  return code === undefined ? error : failure('BACKUP_FAILED', { why: `a file cannot be written (${code})` })
}

/** Refuses: BACKUP_FAILED, SHUTTING_DOWN. One at a time for a vault; the caller records it with `recordBackup`. */
export const writeBackup = async (vault: Vault, target: BackupTarget): Promise<BackupMade> => {
  const copy = copyPathOf(vault.path)
  const fileName = backupFileName(vault.kind, target)
  try {
    await mkdir(target.directory, { recursive: true, mode: 0o700 })
    await clearStaged(target.directory, vault.kind)
    await vault.copyTo(copy)
    const facts = settleCopy(copy, vault, target)
    const bytes = await writeWhole(target.directory, fileName, encryptAge(target.recipient, contentOf(copy, facts)))
    await wipeFile(copy)
    return { vault: vault.kind, fileName, bytes, auditSequence: facts.auditSequence, createMs: target.nowMs }
  } catch (error) {
    await wipeFile(copy).catch(() => undefined)
    throw refusalOf(error)
  }
}

export type BackupRecord = {
  readonly recipient: Recipient
  readonly actor: { readonly kind: ActorKind; readonly id: string }
  readonly nowMs: number
}

/** Chains a backup that is on disk, and remembers it as the newest. */
export const recordBackup = (tx: Tx, made: BackupMade, { recipient, actor, nowMs }: BackupRecord): void => {
  const { fileName, bytes, auditSequence } = made
  noteBackup(tx, made)
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'backup.created',
    actor,
    details: { file: fileName, bytes, sequence: String(auditSequence), recipient: recipient.text },
  })
}

/** A backup that the other party has no counterpart of. */
export const removeBackup = async (directory: string, made: BackupMade): Promise<void> => {
  await rm(join(directory, made.fileName), { force: true })
  syncDirectory(directory)
}
