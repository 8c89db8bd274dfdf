import type Database from 'better-sqlite3'
import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { copyPathOf, createCopies } from './copy-database.ts'
import { createAuditSigner, generateAuditKey } from './audit-signer.ts'
import type { AuditSigner } from './audit-signer.ts'
import { createGroupCommit } from './group-commit.ts'
import type { GroupCommit } from './group-commit.ts'
import { latestVersion } from './migrations.ts'
import type { Schema } from './migrations.ts'
import { createDatabase, openDatabase, settleDatabase } from './open-database.ts'
import type { OpenDatabase } from './open-database.ts'
import { rewrapShares } from './rewrap-shares.ts'
import { generateRootKey, ROOT_KEY_BYTES } from './root-key.ts'
import type { RootKey } from './root-key.ts'
import type { RootKeyProvider } from './root-key-provider.ts'
import { rotateRoot } from './rotate-root.ts'
import type { RootRotation } from './rotate-root.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { verifyStateIndex } from './state-index.ts'
import { createStore } from './store.ts'
import type { Reader, Tx, VaultKind } from './store.ts'
import { findHeader, insertHeader, rootAad, unwrapRoot } from './vault-header.ts'
import { deriveKeys, isRingFull, loadKeys, loadShareRing, shortenShareRing } from './vault-keys.ts'
import { keepSecrets, requireSecret, writeSecret } from './vault-secrets.ts'
import type { KeptSecrets } from './vault-secrets.ts'
import { rewrapImportedSecrets } from './imported-secrets.ts'
import { rewrapSessionSecrets } from './session-secrets.ts'
import { wipeFile } from './wipe-file.ts'

/** An open vault: one party's file, its keys and its commits. Owned by one thread. */
export type Vault = Omit<GroupCommit, 'close'> & {
  readonly kind: VaultKind
  readonly path: string
  /** 16 random bytes, made with the vault. */
  readonly vaultId: Uint8Array
  /** Rises when a backup is restored. */
  readonly epoch: number
  readonly schemaVersion: number
  /** How the root key's provider is named; no secret. */
  readonly rootKeyProvider: string
  readonly createMs: number
  readonly read: Reader
  readonly signer: AuditSigner
  /**
   * The key that seals shares, 32 bytes, for the thread that holds shares (`sealShare`, `openShare`); after a rotation
   * of the root a ring of them, newest first. A fresh copy at each call: its receiver owns and wipes it.
   */
  readonly shareKey: () => Uint8Array
  /** Secrets that the vault keeps for others, by name, sealed under the root and carried along when that is rotated. */
  readonly secrets: KeptSecrets
  /**
   * Completes the erasure of deleted rows: the WAL, which still holds their old pages, is written back and
   * emptied. Called after the commit that deleted a share and before the deletion is acknowledged.
   * AUDIT_UNAVAILABLE on a fault.
   */
  readonly eraseDeleted: () => void
  /**
   * Copies the vault as of one moment into a new file, some pages at a time, while it goes on being written. The copy
   * is a whole vault file under the same root. BACKUP_FAILED, SHUTTING_DOWN.
   */
  readonly copyTo: (path: string) => Promise<void>
  /**
   * Puts a new root in the place of this one, durably; the old one then opens nothing. The caller hands the new
   * `shareKey` to who holds shares, then calls `rewrapShares`. Refuses as `rotateRoot` of rotate-root.ts.
   */
  readonly rotateRoot: (rotation: RootRotation) => Promise<void>
  /**
   * Brings every share record under the newest share key, in small commits, and overwrites what the older ones opened;
   * answers how many there were to bring. AUDIT_UNAVAILABLE on a fault.
   */
  readonly rewrapShares: () => Promise<number>
  /** Settles what is queued, then closes the file and lets go of the lock. */
  readonly close: () => Promise<void>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export type VaultOptions = {
  /** The file; its lock and WAL lie beside it. */
  readonly path: string
  readonly provider: RootKeyProvider
  readonly nowMs: number
  /** The caller runs `verifyStateIndex`, before anything is read for somebody or signed: beside other work, it is long. */
  readonly indexIsVerifiedLater?: boolean
}

/**
 * Makes a vault with a new root, and what `fill` puts into it, in one transaction.
 * Refuses: VAULT_EXISTS, VAULT_LOCKED, VAULT_UNWRITABLE, ROOT_KEY_UNREADABLE.
 */
export const createVault = async (
  schema: Schema,
  options: VaultOptions,
  fill: (tx: Tx) => void,
): Promise<Vault> => {
  const vaultId = randomBytes(16)
  const root = generateRootKey(vaultId)
  try {
    const wrapped = await root.useRoot((bytes) => options.provider.wrap(bytes, rootAad(schema.kind, vaultId)))
    const file = createDatabase(options.path, schema, (db) => {
      db.defaultSafeIntegers(true)
      const { store } = openStore(db, schema.kind, vaultId, root)
      insertHeader(store, root, options.provider.name, wrapped, options.nowMs)
      writeAuditKey(store, root)
      fill(store)
    })
    return assemble(schema, file, root)
  } catch (error) {
    root.wipe()
    throw error
  }
}

/**
 * Opens a vault, checks it and settles what a crash left (`recover`), durably, before it is handed out.
 * Refuses: VAULT_MISSING, VAULT_LOCKED, VAULT_UNWRITABLE, VAULT_CORRUPT, VAULT_TOO_NEW, ROOT_KEY_WRONG,
 * ROOT_KEY_UNREADABLE.
 */
export const openVault = async (
  schema: Schema,
  options: VaultOptions,
  recover: (tx: Tx) => void,
): Promise<Vault> => {
  const file = openDatabase(options.path, schema)
  try {
    const root = await unwrapRoot(findHeader(file.db), schema.kind, options.provider)
    settleDatabase(file, schema)
    // Of a backup that was cut off.
    await wipeFile(copyPathOf(file.path))
    const vault = assemble(schema, file, root)
    try {
      if (options.indexIsVerifiedLater !== true) verifyStateIndex(vault.read)
      vault.commitNow(recover)
      finishRotation(vault, root)
      return vault
    } catch (error) {
      root.wipe()
      throw error
    }
  } catch (error) {
    file.close()
    throw error
  }
}

const AUDIT_KEY = 'audit_key'

const writeAuditKey = (tx: Tx, root: RootKey): void => {
  const wrapKey = root.derive('secret')
  const pkcs8 = generateAuditKey()
  writeSecret(tx, wrapKey, AUDIT_KEY, pkcs8)
  pkcs8.fill(0)
  wrapKey.fill(0)
}

const loadSigner = (reader: Reader, root: RootKey): AuditSigner => {
  const wrapKey = root.derive('secret')
  try {
    const pkcs8 = requireSecret(reader, wrapKey, AUDIT_KEY)
    const signer = createAuditSigner(reader.vaultId, pkcs8)
    pkcs8.fill(0)
    return signer
  } finally {
    wrapKey.fill(0)
  }
}

/** A store over the keys of `root`, which a rotation replaces in place. */
const openStore = (db: Database.Database, kind: VaultKind, vaultId: Uint8Array, root: RootKey) => {
  const keys = deriveKeys(root)
  const store = createStore(db, { kind, vaultId, keys })
  return { store, reload: (current: RootKey) => Object.assign(keys, loadKeys(store, current)) }
}

const assemble = (schema: Schema, file: OpenDatabase, opened: RootKey): Vault => {
  const { db } = file
  let root = opened
  const header = findHeader(db)
  const { vaultId } = header
  const { store, reload } = openStore(db, schema.kind, vaultId, root)
  reload(root)
  const commits = createGroupCommit(db, store)
  const copies = createCopies(db)
  let rotating: Promise<unknown> = Promise.resolve()
  const rewrap = async (): Promise<number> => {
    const count = await rewrapAll(commits, () => loadShareRing(store, root))
    // Until then the file holds the data keys as the older root opens them. Closing it does the same.
    if (count > 0 && db.open) eraseDeleted(db, commits)
    return count
  }
  const rotate = async (rotation: RootRotation): Promise<void> => {
    // The oldest key of a full ring is about to go: no record may need it.
    if (isRingFull(store, root)) await rewrap()
    const adopt = (fresh: RootKey): void => {
      root.wipe()
      root = fresh
      reload(root)
    }
    const rotated = await rotateRoot({ reader: store, commits, root, adopt }, rotation)
    rotated.settle()
    eraseDeleted(db, commits)
  }
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= Promise.all([commits.close(), copies.stop(), rotating.catch(() => undefined)]).then(() => {
      root.wipe()
      file.close()
    })
    return closing
  }
  return {
    ...commits,
    kind: schema.kind,
    path: file.path,
    vaultId,
    epoch: header.epoch,
    schemaVersion: latestVersion(schema),
    rootKeyProvider: header.provider,
    createMs: header.createMs,
    read: store,
    signer: loadSigner(store, root),
    shareKey: () => loadShareRing(store, root),
    secrets: keepSecrets(store, () => root),
    eraseDeleted: () => eraseDeleted(db, commits),
    copyTo: copies.copyTo,
    rotateRoot: (rotation) => {
      const turn = rotating.catch(() => undefined).then(() => rotate(rotation))
      rotating = turn
      return turn
    },
    rewrapShares: rewrap,
    close,
    [Symbol.asyncDispose]: close,
  }
}

/** A batch takes about a millisecond. */
const REWRAP_AT_ONCE = 32

type RewrapTable<Cursor> = (
  tx: Tx,
  ring: Uint8Array,
  after: Cursor | undefined,
  limit: number,
) => { readonly next: Cursor | undefined; readonly rewrapped: number }

/** The cosigner has no such table. */
const ofDaemon =
  <Cursor>(rewrap: RewrapTable<Cursor>): RewrapTable<Cursor> =>
  (tx, ring, after, limit) =>
    tx.kind === 'daemon' ? rewrap(tx, ring, after, limit) : { next: undefined, rewrapped: 0 }

const rewrapAll = async (commits: GroupCommit, ringNow: () => Uint8Array): Promise<number> =>
  (await rewrapTable(commits, ringNow, rewrapShares)) +
  (await rewrapTable(commits, ringNow, ofDaemon(rewrapSessionSecrets))) +
  (await rewrapTable(commits, ringNow, ofDaemon(rewrapImportedSecrets)))

const rewrapTable = async <Cursor>(
  commits: GroupCommit,
  ringNow: () => Uint8Array,
  rewrap: RewrapTable<Cursor>,
): Promise<number> => {
  let count = 0
  let after: Cursor | undefined
  do {
    const { next, rewrapped } = await commits.commit((tx) => {
      const ring = ringNow()
      const done = rewrap(tx, ring, after, REWRAP_AT_ONCE)
      ring.fill(0)
      return done
    })
    count += rewrapped
    after = next
  } while (after !== undefined)
  return count
}

const REWRAP_AT_OPEN = 1_000

/** What a rotation left to do when the process ended. Afterwards nothing needs the older share keys. */
const finishRotation = (vault: Vault, root: RootKey): void => {
  const ring = vault.shareKey()
  try {
    if (ring.length === ROOT_KEY_BYTES) return
    finishTable(vault, ring, rewrapShares)
    finishTable(vault, ring, ofDaemon(rewrapSessionSecrets))
    finishTable(vault, ring, ofDaemon(rewrapImportedSecrets))
    vault.commitNow((tx) => shortenShareRing(tx, root))
    vault.eraseDeleted()
  } finally {
    ring.fill(0)
  }
}

const finishTable = <Cursor>(vault: Vault, ring: Uint8Array, rewrap: RewrapTable<Cursor>): void => {
  let after: Cursor | undefined
  do {
    after = vault.commitNow((tx) => rewrap(tx, ring, after, REWRAP_AT_OPEN)).next
  } while (after !== undefined)
}

const eraseDeleted = (db: Database.Database, commits: GroupCommit): void => {
  if (commits.fault() !== undefined) throw failure('AUDIT_UNAVAILABLE', {})
  try {
    const [result] = db.pragma('wal_checkpoint(TRUNCATE)') as { busy: bigint }[]
    if (result?.busy !== 0n && Number(result?.busy) !== 0) throw failure('AUDIT_UNAVAILABLE', {})
  } catch (error) {
    if (sqliteCode(error) !== undefined) throw failure('AUDIT_UNAVAILABLE', {})
    throw error
  }
}
