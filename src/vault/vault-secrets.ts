import { failure } from '../domain/failure.ts'
import { openCell, sealCell } from './sealed-record.ts'
import type { CellPlace, SealedCell } from './sealed-record.ts'
import type { RootKey } from './root-key.ts'
import type { Reader, Tx } from './store.ts'

/**
 * The vault's own secrets, by name, each sealed under the root's `secret` key: the audit signing key, what the use cases
 * keep (`KeptSecrets`), and, once the root was rotated, the keys that outlive a root (vault-keys.ts).
 */
type Row = SealedCell & { readonly version: bigint }

const READ = `SELECT record_version AS version, wrapped_key AS wrappedKey, nonce, ciphertext
  FROM vault_secrets WHERE name = ?`

const placeOf = (reader: Reader, name: string, recordVersion: bigint): CellPlace => ({
  vaultId: reader.vaultId,
  table: 'vault_secrets',
  rowId: Buffer.from(name),
  column: 'ciphertext',
  schemaVersion: 1,
  recordVersion,
})

/** The caller wipes the answer. undefined when there is none; VAULT_CORRUPT for one that does not open. */
export const readSecret = (reader: Reader, wrapKey: Uint8Array, name: string): Uint8Array | undefined => {
  const row = reader.one<Row>(READ, name)
  return row && openCell(wrapKey, placeOf(reader, name, row.version), row)
}

/** Refuses with VAULT_CORRUPT. */
export const requireSecret = (reader: Reader, wrapKey: Uint8Array, name: string): Uint8Array => {
  const secret = readSecret(reader, wrapKey, name)
  if (secret === undefined) throw failure('VAULT_CORRUPT', { where: 'vault_secrets' })
  return secret
}

/** In the place of one that is there. `secret` stays the caller's. */
export const writeSecret = (tx: Tx, wrapKey: Uint8Array, name: string, secret: Uint8Array): void => {
  const version = (tx.one<Row>(READ, name)?.version ?? 0n) + 1n
  const cell = sealCell(wrapKey, placeOf(tx, name, version), secret)
  tx.run(
    `INSERT OR REPLACE INTO vault_secrets (name, record_version, wrapped_key, nonce, ciphertext)
     VALUES (?, ?, ?, ?, ?)`,
    name, version, cell.wrappedKey, cell.nonce, cell.ciphertext,
  )
}

/** Moves every secret from one `secret` key to another. */
export const resealSecrets = (tx: Tx, from: Uint8Array, to: Uint8Array): void => {
  for (const { name } of tx.all<{ name: string }>('SELECT name FROM vault_secrets ORDER BY name')) {
    const secret = requireSecret(tx, from, name)
    writeSecret(tx, to, name, secret)
    secret.fill(0)
  }
}

/** Secrets of use cases: few, because a rotation of the root seals every one of them anew in its one transaction. */
export type KeptSecrets = {
  /** The caller wipes the answer. VAULT_CORRUPT for one that does not open. */
  readonly read: (name: string) => Uint8Array | undefined
  /** In the place of one that is there. `secret` stays the caller's. */
  readonly write: (tx: Tx, name: string, secret: Uint8Array) => void
  readonly remove: (tx: Tx, name: string) => void
}

/** Beside the names of the vault's own. */
const KEPT_PREFIX = 'kept:'

export const keepSecrets = (reader: Reader, rootNow: () => RootKey): KeptSecrets => {
  const withKey = <T>(use: (wrapKey: Uint8Array) => T): T => {
    const wrapKey = rootNow().derive('secret')
    try {
      return use(wrapKey)
    } finally {
      wrapKey.fill(0)
    }
  }
  return {
    read: (name) => withKey((wrapKey) => readSecret(reader, wrapKey, KEPT_PREFIX + name)),
    write: (tx, name, secret) => withKey((wrapKey) => writeSecret(tx, wrapKey, KEPT_PREFIX + name, secret)),
    remove: (tx, name) => void tx.run('DELETE FROM vault_secrets WHERE name = ?', KEPT_PREFIX + name),
  }
}
