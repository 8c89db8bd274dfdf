import { failure } from '../domain/failure.ts'
import type { VaultKind } from './store.ts'

/**
 * What stands before the vault in a backup, inside the encryption: which vault it is of, as of which audit row, and
 * which other backup was made with it.
 *
 *   "countersign backup 1\n" ‖ one line of JSON ‖ "\n" ‖ the SQLite file, `databaseBytes` long
 */
export type BackupManifest = {
  readonly vault: VaultKind
  readonly vaultIdHex: string
  /** 16 bytes, the same in the backups of both parties that were made together. */
  readonly setIdHex: string
  readonly createMs: number
  readonly epoch: number
  readonly schemaVersion: number
  readonly auditSequence: bigint
  readonly auditHashHex: string
  readonly databaseBytes: number
}

export const MANIFEST_MAGIC = 'countersign backup 1'

const corrupt = () => failure('BACKUP_CORRUPT', { where: 'manifest' })

export const encodeManifest = (manifest: BackupManifest): Uint8Array => {
  const text = JSON.stringify({ ...manifest, auditSequence: String(manifest.auditSequence) })
  return Buffer.from(`${MANIFEST_MAGIC}\n${text}\n`, 'utf8')
}

const KINDS: readonly unknown[] = ['daemon', 'cosigner'] satisfies VaultKind[]

const isCount = (value: unknown): value is number => Number.isSafeInteger(value) && (value as number) >= 0
const isHex = (value: unknown, bytes: number): value is string =>
  typeof value === 'string' && value.length === 2 * bytes && /^[0-9a-f]+$/.test(value)

/** The JSON line. Refuses with BACKUP_CORRUPT anything that `encodeManifest` does not make. */
export const parseManifest = (line: string): BackupManifest => {
  let found: Record<string, unknown>
  try {
    found = JSON.parse(line) as Record<string, unknown>
  } catch {
    throw corrupt()
  }
  if (typeof found !== 'object' || found === null) throw corrupt()
  const { vault, vaultIdHex, setIdHex, auditHashHex, auditSequence, ...counts } = found
  const { createMs, epoch, schemaVersion, databaseBytes, ...unknown } = counts
  const sound =
    KINDS.includes(vault) && isHex(vaultIdHex, 16) && isHex(setIdHex, 16) && isHex(auditHashHex, 32) &&
    typeof auditSequence === 'string' && /^\d{1,19}$/.test(auditSequence) &&
    isCount(createMs) && isCount(epoch) && isCount(schemaVersion) && isCount(databaseBytes)
  if (!sound || Object.keys(unknown).length > 0) throw corrupt()
  return {
    vault: vault as VaultKind, vaultIdHex, setIdHex, createMs, epoch, schemaVersion, auditHashHex, databaseBytes,
    auditSequence: BigInt(auditSequence),
  }
}
