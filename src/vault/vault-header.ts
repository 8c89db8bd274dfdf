import type Database from 'better-sqlite3'
import { timingSafeEqual } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { RootKey } from './root-key.ts'
import type { RootKeyProvider } from './root-key-provider.ts'
import type { Reader, Tx, VaultKind } from './store.ts'
import { encodeTagged } from './tagged-encoding.ts'

/** The row that says which vault a file is and holds its wrapped root. */
export type VaultHeader = {
  readonly vaultId: Uint8Array
  readonly epoch: number
  readonly provider: string
  readonly wrappedRoot: Uint8Array
  readonly verifier: Uint8Array
  readonly createMs: number
}

type Row = {
  vault_id: Buffer
  epoch: bigint
  provider: string
  wrapped_root: Buffer
  verifier: Buffer
  create_ms: bigint
}

const READ = 'SELECT * FROM vault_header WHERE id = 1'

const toHeader = (row: Row | undefined): VaultHeader => {
  if (row === undefined) throw failure('VAULT_CORRUPT', { where: 'header' })
  return {
    vaultId: Uint8Array.from(row.vault_id),
    epoch: Number(row.epoch),
    provider: row.provider,
    wrappedRoot: row.wrapped_root,
    verifier: row.verifier,
    createMs: Number(row.create_ms),
  }
}

/** Refuses with VAULT_CORRUPT a file without one. */
export const readHeader = (reader: Pick<Reader, 'one'>): VaultHeader => toHeader(reader.one<Row>(READ))

/** As `readHeader`, of a file that has no keys yet. */
export const findHeader = (db: Database.Database): VaultHeader =>
  toHeader(db.prepare(READ).get() as Row | undefined)

/** What a wrapped root is bound to. */
export const rootAad = (kind: VaultKind, vaultId: Uint8Array): Buffer =>
  encodeTagged('countersign/vault/root/v1', [kind, vaultId])

export const insertHeader = (tx: Tx, root: RootKey, provider: string, wrapped: Uint8Array, nowMs: number): void => {
  tx.run(
    `INSERT INTO vault_header (id, vault_id, epoch, provider, wrapped_root, verifier, create_ms, opened)
     VALUES (1, ?, 1, ?, ?, ?, ?, 0)`,
    tx.vaultId, provider, wrapped, root.derive('verifier'), nowMs,
  )
}

/** From this commit on the vault opens with `root` and with no other. */
export const replaceRoot = (tx: Tx, root: RootKey, provider: string, wrapped: Uint8Array): void => {
  tx.run(
    'UPDATE vault_header SET provider = ?, wrapped_root = ?, verifier = ? WHERE id = 1',
    provider, wrapped, root.derive('verifier'),
  )
}

/** When a backup is restored. */
export const raiseEpoch = (tx: Tx): number => {
  tx.run('UPDATE vault_header SET epoch = epoch + 1 WHERE id = 1')
  return readHeader(tx).epoch
}

/** Refuses: ROOT_KEY_WRONG, ROOT_KEY_UNREADABLE. */
export const unwrapRoot = async (
  header: VaultHeader,
  kind: VaultKind,
  provider: RootKeyProvider,
): Promise<RootKey> => {
  const bytes = await provider.unwrap(header.wrappedRoot, rootAad(kind, header.vaultId))
  const wrong = failure('ROOT_KEY_WRONG', { provider: provider.name })
  if (bytes.length !== 32) throw wrong
  const root = new RootKey(bytes, header.vaultId)
  const verifier = root.derive('verifier')
  if (header.verifier.length !== verifier.length || !timingSafeEqual(header.verifier, verifier)) {
    root.wipe()
    throw wrong
  }
  return root
}
