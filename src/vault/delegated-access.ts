import { randomBytes } from 'node:crypto'
import { assert, failure } from '../domain/failure.ts'
import type { DelegatedTerms } from '../domain/delegated-terms.ts'
import type { AccessId, DelegateId, GrantId, ProjectId, RequestId, UserId, WalletId } from '../domain/ids.ts'
import { accessIdFromBytes, accessIdToBytes, walletIdFromBytes, walletIdToBytes } from '../domain/ids.ts'
import { Secret } from '../domain/secret.ts'
import { canonicalJson } from './canonical-json.ts'
import { allOf } from './conditions.ts'
import { insertInto } from './insert-into.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { macTagged, u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

/**
 * What delegates were given. An access has its own share pair of the wallet's key, whose half at this daemon is the row
 * of `wallet_shares` by the access's id, and its own API key, of which there is a MAC. Rows are under a MAC and in the
 * state index: neither more than was given nor a revocation undone passes. A row stays when its access has ended.
 *
 * MAKING: the shares are decided, and nobody has been given the delegate's. PENDING: it was delivered; the delegate has
 * not replaced it yet. ACTIVE: shares that only the delegate and this daemon know. REVOKED, EXPIRED: the daemon's half
 * is gone for good; `EXPIRED` may still be said ACTIVE here, the clock tells (`accessStateAt`).
 */
export type AccessState = 'MAKING' | 'PENDING' | 'ACTIVE' | 'REVOKED' | 'EXPIRED'

export type DelegatedAccess = {
  readonly accessId: AccessId
  readonly project: ProjectId
  /** The wallet that was delegated. */
  readonly walletId: WalletId
  readonly userId: UserId
  readonly delegateId: DelegateId
  /** The key that the first share was sealed to. */
  readonly kid: string
  /** Between the delegate (C) and this daemon (S), 16 bytes. */
  readonly linkId: Uint8Array
  readonly terms: DelegatedTerms
  readonly expireMs: number
  /** It ends with this grant. */
  readonly grantId: GrantId | undefined
  readonly state: AccessState
  /** Of the public shares that were made first, 32 bytes. */
  readonly publicShares: Uint8Array
  readonly caller: string
  readonly requestId: RequestId | undefined
  readonly createMs: number
  readonly activateMs: number | undefined
  readonly endMs: number | undefined
  /** Why it ended; empty while it has not. */
  readonly endReason: string
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  access_id: Buffer
  project: string
  wallet_id: Buffer
  user_id: string
  delegate_id: string
  kid: string
  link_id: Buffer
  terms: string
  expire_ms: bigint
  grant_id: string | null
  state: string
  api_key_mac: Buffer
  public_shares: Buffer
  caller: string
  request_id: string
  create_ms: bigint
  activate_ms: bigint | null
  end_ms: bigint | null
  end_reason: string
  mac: Buffer
}

const TABLE = 'delegated_access'
const orEmpty = (time: bigint | null) => (time === null ? '' : u64(time))

const macItems = (row: Omit<Row, 'mac' | 'number'>) => [
  row.access_id, row.project, row.wallet_id, row.user_id, row.delegate_id, row.kid, row.link_id, row.terms,
  u64(row.expire_ms), row.grant_id ?? '', row.state, row.api_key_mac, row.public_shares, row.caller, row.request_id,
  u64(row.create_ms), orEmpty(row.activate_ms), orEmpty(row.end_ms), row.end_reason,
]

const orAbsent = (time: bigint | null): number | undefined => (time === null ? undefined : Number(time))

/** VAULT_CORRUPT for an altered row. */
const toAccess = (reader: Reader, row: Row): DelegatedAccess => {
  requireRowMac(reader, TABLE, macItems(row), row.mac)
  return {
    accessId: accessIdFromBytes(row.access_id),
    project: row.project as ProjectId,
    walletId: walletIdFromBytes(row.wallet_id),
    userId: row.user_id as UserId,
    delegateId: row.delegate_id as DelegateId,
    kid: row.kid,
    linkId: row.link_id,
    terms: JSON.parse(row.terms) as DelegatedTerms,
    expireMs: Number(row.expire_ms),
    grantId: (row.grant_id ?? undefined) as GrantId | undefined,
    state: row.state as AccessState,
    publicShares: row.public_shares,
    caller: row.caller,
    requestId: row.request_id === '' ? undefined : (row.request_id as RequestId),
    createMs: Number(row.create_ms),
    activateMs: orAbsent(row.activate_ms),
    endMs: orAbsent(row.end_ms),
    endReason: row.end_reason,
    number: row.number,
  }
}

/** What an access is at a time, whether or not its end has been written down yet. */
export const accessStateAt = ({ state, expireMs }: Pick<DelegatedAccess, 'state' | 'expireMs'>, nowMs: number): AccessState =>
  state !== 'REVOKED' && nowMs >= expireMs ? 'EXPIRED' : state

const leafOf = (reader: Reader, row: Pick<Row, 'access_id' | 'mac'>) => rowLeaf(reader, TABLE, [row.access_id, row.mac])

const moved = (tx: Tx, row: Row, timeMs: number, removed: readonly Buffer[]): void =>
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'delegated_access', id: accessIdFromBytes(row.access_id) },
    removed,
    added: [leafOf(tx, row)],
    details: { state: row.state },
  })

/** `cdk_` and base64url of 32 random bytes. Shown to nobody but its delegate, sealed. */
export const generateWalletApiKey = (): Secret<string> => new Secret(`cdk_${randomBytes(32).toString('base64url')}`)

const API_KEY = /^cdk_[A-Za-z0-9_-]{43}$/

/** 32 bytes; undefined for a text that is no wallet API key. */
export const walletApiKeyMac = (reader: Reader, apiKey: string): Buffer | undefined =>
  API_KEY.test(apiKey) ? macTagged(reader.keys.apiKeyPepper, 'countersign/wallet-api-key/v1', [apiKey]) : undefined

export type NewDelegatedAccess = Omit<
  DelegatedAccess, 'state' | 'activateMs' | 'endMs' | 'endReason' | 'number'
> & { readonly apiKeyMac: Uint8Array }

/** In the transaction that decides its shares; MAKING. */
export const insertDelegatedAccess = (tx: Tx, fresh: NewDelegatedAccess): DelegatedAccess => {
  const row = {
    access_id: Buffer.from(accessIdToBytes(fresh.accessId)),
    project: fresh.project,
    wallet_id: Buffer.from(walletIdToBytes(fresh.walletId)),
    user_id: fresh.userId,
    delegate_id: fresh.delegateId,
    kid: fresh.kid,
    link_id: Buffer.from(fresh.linkId),
    terms: canonicalJson(fresh.terms),
    expire_ms: BigInt(fresh.expireMs),
    grant_id: fresh.grantId ?? null,
    state: 'MAKING',
    api_key_mac: Buffer.from(fresh.apiKeyMac),
    public_shares: Buffer.from(fresh.publicShares),
    caller: fresh.caller,
    request_id: fresh.requestId ?? '',
    create_ms: BigInt(fresh.createMs),
    activate_ms: null,
    end_ms: null,
    end_reason: '',
  }
  insertInto(tx, TABLE, { ...row, mac: rowMac(tx, TABLE, macItems(row)) })
  const stored = readRow(tx, fresh.accessId)
  assert(stored, 'the row that was just written')
  moved(tx, stored, fresh.createMs, [])
  return toAccess(tx, stored)
}

const readRow = (reader: Reader, accessId: AccessId): Row | undefined =>
  reader.one<Row>('SELECT * FROM delegated_access WHERE access_id = ?', accessIdToBytes(accessId))

const LIFE: { readonly [S in AccessState]: readonly AccessState[] } = {
  MAKING: ['PENDING', 'REVOKED', 'EXPIRED'],
  PENDING: ['ACTIVE', 'REVOKED', 'EXPIRED'],
  ACTIVE: ['REVOKED', 'EXPIRED'],
  REVOKED: [],
  EXPIRED: [],
}

export type AccessChange =
  | { readonly state: 'PENDING' | 'ACTIVE' }
  | { readonly state: 'REVOKED' | 'EXPIRED'; readonly reason: string }

/**
 * Moves an access on in its life; one that has ended, or is so already, stays as it is. Answers it, and whether this
 * changed it. The audit row and the shares are the caller's, in the same transaction. Refuses with
 * DELEGATED_ACCESS_NOT_FOUND.
 */
export const changeDelegatedAccess = (
  tx: Tx,
  accessId: AccessId,
  change: AccessChange,
  nowMs: number,
): { readonly access: DelegatedAccess; readonly changed: boolean } => {
  const row = readRow(tx, accessId)
  if (row === undefined) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
  const access = toAccess(tx, row)
  if (!LIFE[access.state].includes(change.state)) return { access, changed: false }
  const times = 'reason' in change
    ? { end_ms: BigInt(nowMs), end_reason: change.reason }
    : change.state === 'ACTIVE' ? { activate_ms: BigInt(nowMs) } : {}
  const unsigned = { ...row, ...times, state: change.state }
  const next = { ...unsigned, mac: rowMac(tx, TABLE, macItems(unsigned)) }
  tx.run(
    'UPDATE delegated_access SET state = ?, activate_ms = ?, end_ms = ?, end_reason = ?, mac = ? WHERE number = ?',
    next.state, next.activate_ms, next.end_ms, next.end_reason, next.mac, row.number,
  )
  moved(tx, next, nowMs, [leafOf(tx, row)])
  if (change.state !== 'PENDING') tx.run('DELETE FROM delegated_deliveries WHERE access_id = ?', row.access_id)
  return { access: toAccess(tx, next), changed: true }
}

/**
 * The envelopes of an access, until its delegate has taken it into use or it has ended: a request that is repeated is
 * answered the same. Ciphertext for the delegate, under no MAC: what was altered does not open there.
 */
export const keepDelivery = (tx: Tx, accessId: AccessId, envelopesJson: string): void => {
  tx.run('INSERT INTO delegated_deliveries (access_id, envelopes) VALUES (?, ?)', accessIdToBytes(accessId), envelopesJson)
}

export const keptDelivery = (reader: Reader, accessId: AccessId): string | undefined => {
  const sql = 'SELECT envelopes FROM delegated_deliveries WHERE access_id = ?'
  return reader.one<{ envelopes: string }>(sql, accessIdToBytes(accessId))?.envelopes
}

/** Nobody is handed what has ended. */
export const dropDelivery = (tx: Tx, accessId: AccessId): void => {
  tx.run('DELETE FROM delegated_deliveries WHERE access_id = ?', accessIdToBytes(accessId))
}

const verified = new VerifiedRows<DelegatedAccess>(TABLE)

/** Of any project. VAULT_CORRUPT for an altered row. */
export const getDelegatedAccess = (reader: Reader, accessId: AccessId): DelegatedAccess | undefined => {
  const bytes = accessIdToBytes(accessId)
  const readMac = (): Buffer | undefined =>
    reader.one<{ mac: Buffer }>('SELECT mac FROM delegated_access WHERE access_id = ?', bytes)?.mac
  const known = verified.find(reader, accessId, readMac)
  if (known !== undefined) return known
  const row = readRow(reader, accessId)
  return row && verified.keep(reader, accessId, row.mac, toAccess(reader, row))
}

/** The access that this wallet API key is of, ended ones included; undefined for a key that is none. */
export const findAccessByApiKey = (reader: Reader, apiKey: string): DelegatedAccess | undefined => {
  const mac = walletApiKeyMac(reader, apiKey)
  if (mac === undefined) return undefined
  const row = reader.one<Row>('SELECT * FROM delegated_access WHERE api_key_mac = ?', mac)
  return row && toAccess(reader, row)
}

/** What a request of a caller made; the newest, when an earlier one came to nothing. */
export const accessOfRequest = (reader: Reader, caller: string, requestId: RequestId): DelegatedAccess | undefined => {
  const sql = `SELECT * FROM delegated_access WHERE caller = ? AND request_id = ? AND request_id <> ''
    ORDER BY number DESC LIMIT 1`
  const row = reader.one<Row>(sql, caller, requestId)
  return row && toAccess(reader, row)
}

export type AccessPage = {
  readonly project: ProjectId
  readonly userId?: UserId | undefined
  readonly walletId?: WalletId | undefined
  readonly delegateId?: DelegateId | undefined
  /** Those that have not ended by this time. */
  readonly openAtMs?: number | undefined
  readonly after?: bigint | undefined
  readonly limit: number
}

const OPEN = `state IN ('MAKING', 'PENDING', 'ACTIVE')`

/** In order of creation, after `after` (an access's `number`). */
export const listDelegatedAccess = (reader: Reader, page: AccessPage): DelegatedAccess[] => {
  const { sql, params } = allOf({
    'project = ?': page.project,
    'number > ?': page.after ?? 0n,
    'user_id = ?': page.userId,
    'wallet_id = ?': page.walletId && walletIdToBytes(page.walletId),
    'delegate_id = ?': page.delegateId,
    [`${OPEN} AND expire_ms > ?`]: page.openAtMs,
  })
  return reader
    .all<Row>(`SELECT * FROM delegated_access WHERE ${sql} ORDER BY number LIMIT ?`, ...params, page.limit)
    .map((row) => toAccess(reader, row))
}

/** Those that have not been ended, of one grant, in order of creation. */
export const openAccessOfGrant = (reader: Reader, grantId: GrantId): DelegatedAccess[] =>
  reader
    .all<Row>(`SELECT * FROM delegated_access WHERE grant_id = ? AND ${OPEN} ORDER BY number`, grantId)
    .map((row) => toAccess(reader, row))

/** Those whose time is over and that have not been ended, in the order of their times. */
export const dueAccess = (reader: Reader, nowMs: number, limit: number): DelegatedAccess[] =>
  reader
    .all<Row>(`SELECT * FROM delegated_access WHERE ${OPEN} AND expire_ms <= ? ORDER BY expire_ms LIMIT ?`, nowMs, limit)
    .map((row) => toAccess(reader, row))

/** Every one that has not been ended. */
export const openAccess = (reader: Reader): DelegatedAccess[] =>
  reader.all<Row>(`SELECT * FROM delegated_access WHERE ${OPEN} ORDER BY number`).map((row) => toAccess(reader, row))

/** What a stop left between the share and its delivery. */
export const undeliveredAccess = (reader: Reader): DelegatedAccess[] =>
  reader.all<Row>(`SELECT * FROM delegated_access WHERE state = 'MAKING' ORDER BY number`).map((row) => toAccess(reader, row))

/** Whether an access over the link has not been ended: its delegate has one link for all of them. */
export const hasOpenAccess = (reader: Reader, linkId: Uint8Array): boolean =>
  reader.one(`SELECT 1 AS found FROM delegated_access WHERE link_id = ? AND ${OPEN} LIMIT 1`, linkId) !== undefined

/** Whether there is one that has ended. */
export const hasEndedAccess = (reader: Reader): boolean =>
  reader.one(`SELECT 1 AS found FROM delegated_access WHERE state IN ('REVOKED', 'EXPIRED') LIMIT 1`) !== undefined
