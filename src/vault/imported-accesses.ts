import { failure } from '../domain/failure.ts'
import { accessIdFromBytes, addressKeyOf } from '../domain/ids.ts'
import type { ProjectId } from '../domain/ids.ts'
import { requireProject } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'
import type { KeyType } from './wallets.ts'

/**
 * What another daemon, or another system, delegated to this one. A row says whose key the share is of, under a MAC. The
 * share of a daemon's access is in wallet_shares under the access id, its wallet API key in imported-secrets.ts. Rows are in the
 * state index: neither what was given back nor what was suspended signs again with an older row.
 *
 * PENDING: its share is the one that came in the envelope, and signs nothing before it was refreshed with who delegated.
 */
export type ImportedAccessState = 'PENDING' | 'ACTIVE' | 'REVOKED' | 'SUSPENDED'

export type ImportedAccess = {
  /** 16 bytes; of a daemon's, the wallet id of the pair of shares. */
  readonly accessId: Uint8Array
  readonly project: ProjectId
  /** Party id of the daemon that delegated, 32 bytes; undefined: another system did, and its share is not usable here. */
  readonly grantingId: Uint8Array | undefined
  readonly keyType: KeyType
  /** As it is shown: EIP-55 or base58. */
  readonly address: string
  /** As the engine encodes it; empty where another system did not say. */
  readonly publicKey: Uint8Array
  /** Of whoever delegated, as they name them; may be empty. */
  readonly userId: string
  readonly state: ImportedAccessState
  /** When it was delegated, as the envelope's carrier says; of two of one id the later counts. */
  readonly grantedMs: number
  readonly createMs: number
  readonly revokeMs: number | undefined
  /** Pages go on after this. */
  readonly number: bigint
}

export type NewImportedAccess = Omit<ImportedAccess, 'revokeMs' | 'number'>

type Row = {
  number: bigint
  access_id: Buffer
  project: string
  granting_id: Buffer
  key_type: string
  address: string
  address_key: string
  public_key: Buffer
  user_id: string
  state: string
  granted_ms: bigint
  create_ms: bigint
  revoke_ms: bigint
  revision: bigint
  mac: Buffer
}

const macItems = (row: Omit<Row, 'mac' | 'number'>) => [
  row.access_id, row.project, row.granting_id, row.key_type, row.address, row.address_key, row.public_key, row.user_id,
  row.state, u64(row.granted_ms), u64(row.create_ms), u64(row.revoke_ms), u64(row.revision),
]

const toAccess = (reader: Reader, row: Row): ImportedAccess => {
  requireRowMac(reader, 'imported_accesses', macItems(row), row.mac)
  return {
    accessId: new Uint8Array(row.access_id),
    project: row.project as ProjectId,
    grantingId: row.granting_id.length === 0 ? undefined : new Uint8Array(row.granting_id),
    keyType: row.key_type as KeyType,
    address: row.address,
    publicKey: new Uint8Array(row.public_key),
    userId: row.user_id,
    state: row.state as ImportedAccessState,
    grantedMs: Number(row.granted_ms),
    createMs: Number(row.create_ms),
    revokeMs: row.revoke_ms === 0n ? undefined : Number(row.revoke_ms),
    number: row.number,
  }
}

const findRow = (reader: Reader, accessId: Uint8Array): Row | undefined =>
  reader.one<Row>('SELECT * FROM imported_accesses WHERE access_id = ?', accessId)

const verified = new VerifiedRows<ImportedAccess>('imported_accesses')

/** Of any project. VAULT_CORRUPT for an altered row. */
export const getImportedAccess = (reader: Reader, accessId: Uint8Array): ImportedAccess | undefined => {
  const id = Buffer.from(accessId).toString('hex')
  const readMac = (): Buffer | undefined =>
    reader.one<{ mac: Buffer }>('SELECT mac FROM imported_accesses WHERE access_id = ?', accessId)?.mac
  const known = verified.find(reader, id, readMac)
  if (known !== undefined) return known
  const row = findRow(reader, accessId)
  return row && verified.keep(reader, id, row.mac, toAccess(reader, row))
}

const MATCHES_MAX = 16

/** Those that are over come last. */
export const findImportedByAddress = (reader: Reader, project: ProjectId, address: string): ImportedAccess[] =>
  reader
    .all<Row>(
      `SELECT * FROM imported_accesses WHERE address_key = ? AND project = ?
       ORDER BY state = 'REVOKED', number DESC LIMIT ?`,
      addressKeyOf(address), project, MATCHES_MAX,
    )
    .map((row) => toAccess(reader, row))

export type ImportedPage = { readonly project: ProjectId; readonly after?: bigint | undefined; readonly limit: number }

/** In the order in which they came. */
export const listImportedAccesses = (reader: Reader, { project, after, limit }: ImportedPage): ImportedAccess[] => {
  const sql = 'SELECT * FROM imported_accesses WHERE project = ? AND number > ? ORDER BY number LIMIT ?'
  return reader.all<Row>(sql, project, after ?? 0n, limit).map((row) => toAccess(reader, row))
}

/** The oldest of those of a daemon that sign, or will. */
export const oldestAccessesOf = (reader: Reader, grantingId: Uint8Array, limit: number): ImportedAccess[] => {
  const sql = `SELECT * FROM imported_accesses WHERE granting_id = ? AND state IN ('PENDING', 'ACTIVE') ORDER BY number LIMIT ?`
  return reader.all<Row>(sql, grantingId, limit).map((row) => toAccess(reader, row))
}

const leafOf = (reader: Reader, row: Pick<Row, 'access_id' | 'mac'>) => rowLeaf(reader, 'imported_accesses', [row.access_id, row.mac])

const moved = (tx: Tx, before: Row | undefined, after: Pick<Row, 'access_id' | 'state' | 'mac'>, timeMs: number): void =>
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'delegated_access', id: accessIdFromBytes(after.access_id) },
    removed: before === undefined ? [] : [leafOf(tx, before)],
    added: [leafOf(tx, after)],
    details: { state: after.state },
  })

const INSERT = `INSERT INTO imported_accesses (access_id, project, granting_id, key_type, address, address_key, public_key,
  user_id, state, granted_ms, create_ms, revoke_ms, revision, mac) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, 0, 1, ?)`

/** In the place of one of another system's that has the id. Refuses: PROJECT_NOT_FOUND. */
export const insertImportedAccess = (tx: Tx, access: NewImportedAccess): ImportedAccess => {
  requireProject(tx, access.project)
  const before = findRow(tx, access.accessId)
  const foreign = before?.granting_id.length === 0 ? before : undefined
  if (foreign !== undefined) tx.run('DELETE FROM imported_accesses WHERE number = ?', foreign.number)
  const row = {
    access_id: Buffer.from(access.accessId),
    project: access.project,
    granting_id: Buffer.from(access.grantingId ?? new Uint8Array(0)),
    key_type: access.keyType,
    address: access.address,
    address_key: addressKeyOf(access.address),
    public_key: Buffer.from(access.publicKey),
    user_id: access.userId,
    state: access.state,
    granted_ms: BigInt(access.grantedMs),
    create_ms: BigInt(access.createMs),
    revoke_ms: 0n,
    revision: 1n,
  }
  const mac = rowMac(tx, 'imported_accesses', macItems(row))
  tx.run(
    INSERT, row.access_id, row.project, row.granting_id, row.key_type, row.address, row.address_key, row.public_key,
    row.user_id, row.state, row.granted_ms, row.create_ms, mac,
  )
  moved(tx, foreign, { ...row, mac }, access.createMs)
  return requireImportedAccess(tx, access.accessId)
}

/** Refuses with IMPORTED_ACCESS_NOT_FOUND, also for another project's when `project` is given. */
export const requireImportedAccess = (reader: Reader, accessId: Uint8Array, project?: ProjectId): ImportedAccess => {
  const access = getImportedAccess(reader, accessId)
  if (access === undefined || (project !== undefined && access.project !== project)) throw failure('IMPORTED_ACCESS_NOT_FOUND', {})
  return access
}

export const setImportedState = (tx: Tx, accessId: Uint8Array, state: ImportedAccessState, nowMs: number): ImportedAccess => {
  const row = findRow(tx, accessId)
  if (row === undefined) throw failure('IMPORTED_ACCESS_NOT_FOUND', {})
  const before = toAccess(tx, row)
  if (before.state === state || before.state === 'REVOKED') return before
  const revokeMs = state === 'REVOKED' ? BigInt(nowMs) : row.revoke_ms
  const next = { ...row, state, revoke_ms: revokeMs, revision: row.revision + 1n }
  const mac = rowMac(tx, 'imported_accesses', macItems(next))
  tx.run(
    'UPDATE imported_accesses SET state = ?, revoke_ms = ?, revision = ?, mac = ? WHERE number = ?',
    state, revokeMs, next.revision, mac, row.number,
  )
  moved(tx, row, { ...next, mac }, nowMs)
  return requireImportedAccess(tx, accessId)
}

/** What was taken back; `from`: the party id of the daemon that its sender speaks for, or undefined. */
export type Revocation = { readonly project: ProjectId; readonly accessId: Uint8Array; readonly from: Uint8Array | undefined }

/** Remembers that it was taken back, whether it came already or comes later. */
export const noteRevocation = (tx: Tx, { project, accessId, from }: Revocation, eventMs: number): void => {
  tx.run(
    `INSERT INTO access_revocations (project, access_id, sent_for, event_ms) VALUES (?, ?, ?, ?)
     ON CONFLICT (project, access_id, sent_for) DO UPDATE SET event_ms = max(event_ms, excluded.event_ms)`,
    project, accessId, from ?? new Uint8Array(0), eventMs,
  )
}

/** When it was taken back last, as senders say that `counts`: by the party id of the daemon that they speak for. */
export const revokedAt = (
  reader: Reader,
  project: ProjectId,
  accessId: Uint8Array,
  counts: (from: Uint8Array | undefined) => boolean,
): number | undefined => {
  const sql = 'SELECT sent_for, event_ms FROM access_revocations WHERE project = ? AND access_id = ?'
  const rows = reader.all<{ sent_for: Buffer; event_ms: bigint }>(sql, project, accessId)
  const heard = rows.filter(({ sent_for: from }) => counts(from.length === 0 ? undefined : from))
  return heard.length === 0 ? undefined : Math.max(...heard.map(({ event_ms }) => Number(event_ms)))
}
