import type Database from 'better-sqlite3'
import { randomBytes, timingSafeEqual } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { createAuditSigner, generateAuditKey } from './audit-signer.ts'
import type { AuditSigner } from './audit-signer.ts'
import { createGroupCommit } from './group-commit.ts'
import type { GroupCommit } from './group-commit.ts'
import { latestVersion } from './migrations.ts'
import type { Schema } from './migrations.ts'
import { createDatabase, openDatabase, settleDatabase } from './open-database.ts'
import type { OpenDatabase } from './open-database.ts'
import { generateRootKey, RootKey } from './root-key.ts'
import type { RootKeyProvider } from './root-key-provider.ts'
import { openCell, sealCell } from './sealed-record.ts'
import type { CellPlace, SealedCell } from './sealed-record.ts'
import { sqliteCode } from './sqlite-errors.ts'
import { verifyStateIndex } from './state-index.ts'
import { createStore } from './store.ts'
import type { Reader, Tx, VaultKeys, VaultKind } from './store.ts'
import { encodeTagged } from './tagged-encoding.ts'

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
   * The key that seals shares, 32 bytes, for the thread that holds shares (`sealShare`, `openShare`). A fresh copy
   * at each call: its receiver owns and wipes it.
   */
  readonly shareKey: () => Uint8Array
  /**
   * Completes the erasure of deleted rows: the WAL, which still holds their old pages, is written back and
   * emptied. Called after the commit that deleted a share and before the deletion is acknowledged.
   * AUDIT_UNAVAILABLE on a fault.
   */
  readonly eraseDeleted: () => void
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

type Header = {
  vault_id: Buffer
  epoch: bigint
  provider: string
  wrapped_root: Buffer
  verifier: Buffer
  create_ms: bigint
}

const rootAad = (kind: VaultKind, vaultId: Uint8Array): Buffer =>
  encodeTagged('countersign/vault/root/v1', [kind, vaultId])

const deriveKeys = (root: RootKey): VaultKeys => ({
  rowMac: root.deriveHandle('row-mac'),
  stateIndex: root.deriveHandle('state-index'),
  apiKeyPepper: root.deriveHandle('api-key'),
  pageToken: root.deriveHandle('page-token'),
  response: root.deriveHandle('response'),
})

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
    const keys = deriveKeys(root)
    const file = createDatabase(options.path, schema, (db) => {
      writeHeader(db, vaultId, root, wrapped, options)
      writeAuditKey(db, vaultId, root)
      db.defaultSafeIntegers(true)
      fill(createStore(db, { kind: schema.kind, vaultId, keys }))
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
    const root = await unwrapRoot(file.db, schema.kind, options.provider)
    settleDatabase(file, schema)
    const vault = assemble(schema, file, root)
    try {
      if (options.indexIsVerifiedLater !== true) verifyStateIndex(vault.read)
      vault.commitNow(recover)
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

const writeHeader = (
  db: Database.Database,
  vaultId: Uint8Array,
  root: RootKey,
  wrapped: Uint8Array,
  options: VaultOptions,
): void => {
  db.prepare(
    `INSERT INTO vault_header (id, vault_id, epoch, provider, wrapped_root, verifier, create_ms, opened)
     VALUES (1, ?, 1, ?, ?, ?, ?, 0)`,
  ).run(vaultId, options.provider.name, wrapped, root.derive('verifier'), options.nowMs)
}

const readHeader = (db: Database.Database): Header => {
  const header = db.prepare('SELECT * FROM vault_header WHERE id = 1').get() as Header | undefined
  if (header === undefined) throw failure('VAULT_CORRUPT', { where: 'header' })
  return header
}

const unwrapRoot = async (db: Database.Database, kind: VaultKind, provider: RootKeyProvider): Promise<RootKey> => {
  const header = readHeader(db)
  const bytes = await provider.unwrap(header.wrapped_root, rootAad(kind, header.vault_id))
  const wrong = failure('ROOT_KEY_WRONG', { provider: provider.name })
  if (bytes.length !== 32) throw wrong
  const root = new RootKey(bytes, header.vault_id)
  const verifier = root.derive('verifier')
  if (header.verifier.length !== verifier.length || !timingSafeEqual(header.verifier, verifier)) {
    root.wipe()
    throw wrong
  }
  return root
}

const AUDIT_KEY = 'audit_key'

const secretPlace = (vaultId: Uint8Array, name: string): CellPlace => ({
  vaultId,
  table: 'vault_secrets',
  rowId: Buffer.from(name),
  column: 'ciphertext',
  schemaVersion: 1,
  recordVersion: 1n,
})

const writeAuditKey = (db: Database.Database, vaultId: Uint8Array, root: RootKey): void => {
  const wrapKey = root.derive('secret')
  const pkcs8 = generateAuditKey()
  const cell = sealCell(wrapKey, secretPlace(vaultId, AUDIT_KEY), pkcs8)
  pkcs8.fill(0)
  wrapKey.fill(0)
  db.prepare(
    'INSERT INTO vault_secrets (name, record_version, wrapped_key, nonce, ciphertext) VALUES (?, 1, ?, ?, ?)',
  ).run(AUDIT_KEY, cell.wrappedKey, cell.nonce, cell.ciphertext)
}

const loadSigner = (db: Database.Database, vaultId: Uint8Array, root: RootKey): AuditSigner => {
  const row = db
    .prepare('SELECT wrapped_key AS wrappedKey, nonce, ciphertext FROM vault_secrets WHERE name = ?')
    .get(AUDIT_KEY) as SealedCell | undefined
  if (row === undefined) throw failure('VAULT_CORRUPT', { where: 'vault_secrets' })
  const wrapKey = root.derive('secret')
  try {
    const pkcs8 = openCell(wrapKey, secretPlace(vaultId, AUDIT_KEY), row)
    const signer = createAuditSigner(vaultId, pkcs8)
    pkcs8.fill(0)
    return signer
  } finally {
    wrapKey.fill(0)
  }
}

const assemble = (schema: Schema, file: OpenDatabase, root: RootKey): Vault => {
  const { db } = file
  const header = readHeader(db)
  const vaultId = Uint8Array.from(header.vault_id)
  const store = createStore(db, { kind: schema.kind, vaultId, keys: deriveKeys(root) })
  const commits = createGroupCommit(db, store)
  let closing: Promise<void> | undefined
  const close = (): Promise<void> => {
    closing ??= commits.close().then(() => {
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
    epoch: Number(header.epoch),
    schemaVersion: latestVersion(schema),
    rootKeyProvider: header.provider,
    createMs: Number(header.create_ms),
    read: store,
    signer: loadSigner(db, vaultId, root),
    shareKey: () => root.derive('share'),
    eraseDeleted: () => eraseDeleted(db, commits),
    close,
    [Symbol.asyncDispose]: close,
  }
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
