import { failure } from '../domain/failure.ts'
import { appendAudit, auditHead, requireRememberedHead } from './audit-chain.ts'
import type { AuditHead } from './audit-chain.ts'
import type { BackupManifest } from './backup-manifest.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { getSetting, putSetting } from './settings.ts'
import { type Leaf, moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { raiseEpoch, readHeader } from './vault-header.ts'

/**
 * What a vault knows of its last restore. A vault that was restored is sealed until an operator acknowledges it: it may
 * hold what was revoked, lifted or spent since the backup was made, and only a person can say. The row is under a MAC
 * and in the state index, and a vault whose epoch says that it was restored does not do without it.
 */
export type RestoreState = {
  /** 16 bytes, the same in both parties' vaults. */
  readonly restoreIdHex: string
  readonly epoch: number
  readonly restoreMs: number
  readonly backupMs: number
  /** The chain's head when the vault was sealed: what is refreshed since then is behind it. */
  readonly auditSequence: bigint
  /** undefined while sealed. */
  readonly acknowledgeMs: number | undefined
}

const SETTING = 'restore'
const FIRST_EPOCH = 1
const MAC_BYTES = 32

const encode = (state: RestoreState): Buffer =>
  Buffer.from(JSON.stringify({ ...state, auditSequence: String(state.auditSequence) }))

/** Under the state index too: the row of an earlier restore of the same backup has a MAC and an epoch that fit. */
const write = (tx: Tx, state: RestoreState, nowMs: number): void => {
  const text = encode(state)
  const value = Buffer.concat([rowMac(tx, 'settings', [SETTING, text]), text])
  const before = getSetting(tx, SETTING)?.value
  const leaf = (row: Uint8Array): Leaf => rowLeaf(tx, 'settings', [SETTING, row])
  putSetting(tx, SETTING, value, nowMs)
  moveStateIndex(tx, {
    timeMs: nowMs,
    subject: { type: 'vault', id: state.restoreIdHex },
    removed: before === undefined ? [] : [leaf(before)],
    added: [leaf(value)],
    details: { state: state.acknowledgeMs === undefined ? 'SEALED' : 'ACKNOWLEDGED' },
  })
}

/** undefined for a vault that was never restored. VAULT_CORRUPT where the row was altered or taken away. */
export const getRestoreState = (reader: Reader): RestoreState | undefined => {
  const { epoch } = readHeader(reader)
  const value = getSetting(reader, SETTING)?.value
  if (value === undefined && epoch === FIRST_EPOCH) return undefined
  if (value === undefined) throw failure('VAULT_CORRUPT', { where: 'settings.restore' })
  const text = Buffer.from(value.subarray(MAC_BYTES))
  requireRowMac(reader, 'settings', [SETTING, text], value.subarray(0, MAC_BYTES))
  const found = JSON.parse(text.toString('utf8')) as Omit<RestoreState, 'auditSequence'> & { auditSequence: string }
  if (found.epoch !== epoch) throw failure('VAULT_CORRUPT', { where: 'settings.restore' })
  return { ...found, acknowledgeMs: found.acknowledgeMs, auditSequence: BigInt(found.auditSequence) }
}

/** The restore that no operator has acknowledged yet. */
export const findSeal = (reader: Reader): RestoreState | undefined => {
  const state = getRestoreState(reader)
  return state === undefined || state.acknowledgeMs !== undefined ? undefined : state
}

/** Refuses with RESTORE_UNACKNOWLEDGED while the vault is sealed. */
export const requireUnsealed = (reader: Reader): void => {
  const seal = findSeal(reader)
  if (seal === undefined) return
  throw failure('RESTORE_UNACKNOWLEDGED', { restoreTime: new Date(seal.restoreMs).toISOString() })
}

/** One-time state, by vault: what must not be answered, counted or awaited again from before the backup. */
// Sessions with it: which of their refresh tokens were used since, and which were ended, nobody knows.
const ONE_TIME: { readonly [kind in Reader['kind']]: readonly string[] } = {
  daemon: ['requests', 'peer_heads', 'refresh_tokens', 'user_sessions', 'email_codes', 'oidc_flows', 'delegation_tokens'],
  cosigner: ['replies', 'peer_heads', 'forks'],
}

export type Restore = {
  readonly manifest: BackupManifest
  readonly restoreIdHex: string
  readonly nowMs: number
}

/**
 * Seals a vault that was just restored: a new epoch, no one-time state, and a row in the chain that says so. Intents
 * stay: what was signed with stays used. Refuses with BACKUP_CORRUPT when the vault is not the one of the manifest.
 */
export const sealRestored = (tx: Tx, { manifest, restoreIdHex, nowMs }: Restore): void => {
  requireManifest(tx, manifest)
  for (const table of ONE_TIME[tx.kind]) tx.run(`DELETE FROM ${table}`)
  const epoch = raiseEpoch(tx)
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'vault.restored',
    actor: { kind: 'operator', id: '' },
    details: {
      epoch,
      restore: restoreIdHex,
      set: manifest.setIdHex,
      backupTime: new Date(manifest.createMs).toISOString(),
      backupSequence: String(manifest.auditSequence),
    },
  })
  const auditSequence = auditHead(tx).sequence
  const backupMs = manifest.createMs
  write(tx, { restoreIdHex, epoch, restoreMs: nowMs, backupMs, auditSequence, acknowledgeMs: undefined }, nowMs)
}

const requireManifest = (reader: Reader, manifest: BackupManifest): void => {
  const isSame = Buffer.from(reader.vaultId).toString('hex') === manifest.vaultIdHex
  if (!isSame || readHeader(reader).epoch !== manifest.epoch) {
    throw failure('BACKUP_CORRUPT', { where: 'it holds another vault than it says' })
  }
  const head: AuditHead = { sequence: manifest.auditSequence, hash: Buffer.from(manifest.auditHashHex, 'hex') }
  try {
    requireRememberedHead(reader, head)
  } catch {
    throw failure('BACKUP_CORRUPT', { where: 'its audit chain is not the one it says' })
  }
}

/** Takes the seal off. Chained; doing it twice is doing it once. */
export const acknowledgeRestore = (tx: Tx, nowMs: number): void => {
  const state = findSeal(tx)
  if (state === undefined) return
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'vault.restore_acknowledged',
    actor: { kind: 'operator', id: '' },
    details: { epoch: state.epoch, restore: state.restoreIdHex },
  })
  write(tx, { ...state, acknowledgeMs: nowMs }, nowMs)
}
