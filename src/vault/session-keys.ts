import { failure } from '../domain/failure.ts'
import type { GrantId, ProjectId, RequestId, SessionKeyId, WalletId } from '../domain/ids.ts'
import { walletIdFromBytes, walletIdToBytes } from '../domain/ids.ts'
import { canonicalJson, type JsonValue } from './canonical-json.ts'
import { allOf } from './conditions.ts'
import { insertInto } from './insert-into.ts'
import { REQUEST_LIFE_MS } from './intents.ts'
import { requireProject } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { etagOf } from './settings.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

/**
 * CREATING: its key is there and the wallet has not signed for it yet. PENDING: the venue has not confirmed it. A key
 * past its end, or past the time it overlaps with its successor, stays ACTIVE here: the clock tells.
 */
export type SessionKeyState = 'CREATING' | 'PENDING' | 'ACTIVE' | 'REVOKED'
/** `hmac-sha256`: it has no key of its own, only what the venue handed out. */
export type SessionScheme = 'secp256k1' | 'ed25519' | 'hmac-sha256'

/** Everything that decides what a session key may sign. The row is under a MAC and in the state index. */
export type SessionKey = {
  readonly sessionKeyId: SessionKeyId
  readonly project: ProjectId
  readonly walletId: WalletId
  readonly profile: string
  /** 32 bytes: the version of the profile that it was made under. */
  readonly profileHash: Uint8Array
  readonly network: string
  readonly scheme: SessionScheme
  /** `client`: only the public key is here; the daemon checks and records, and signs nothing. */
  readonly custody: 'daemon' | 'client'
  /** 33 bytes compressed, 32, or none. */
  readonly publicKey: Uint8Array
  /** EVM, EIP-55; base58 of an Ed25519 key. */
  readonly address: string
  /** Scopes, limits and parameters, in the use case's own words. */
  readonly terms: JsonValue
  readonly expireMs: number
  readonly state: SessionKeyState
  readonly grantId: string | undefined
  readonly replaces: SessionKeyId | undefined
  /** Replaced: signs until then. */
  readonly retireMs: number | undefined
  /** The delegated payload; empty where the profile has none, and before the wallet has signed. */
  readonly payload: Uint8Array
  /** JSON: what was built for the venue, and what is kept for later requests. */
  readonly registration: JsonValue
  readonly caller: string
  readonly requestId: RequestId | undefined
  readonly etag: string
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

export type NewSessionKey = Omit<SessionKey, 'etag' | 'number' | 'updateMs'>

type Row = {
  number: bigint
  session_key_id: string
  project: string
  wallet_id: Buffer
  profile: string
  profile_hash: Buffer
  network: string
  scheme: string
  custody: string
  public_key: Buffer
  address: string
  terms: string
  expire_ms: bigint
  state: string
  grant_id: string | null
  replaces: string | null
  retire_ms: bigint | null
  payload: Buffer
  registration: string
  caller: string
  request_id: string
  revision: bigint
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
}
type Unsigned = Omit<Row, 'number' | 'mac'>

const macItems = (row: Unsigned) => [
  row.session_key_id, row.project, row.wallet_id, row.profile, row.profile_hash, row.network, row.scheme, row.custody,
  row.public_key, row.address, row.terms, u64(row.expire_ms), row.state, row.grant_id ?? '', row.replaces ?? '',
  row.retire_ms === null ? '' : u64(row.retire_ms), row.payload, row.registration, row.caller, row.request_id,
  u64(row.revision), u64(row.create_ms), u64(row.update_ms),
]

const toKey = (reader: Reader, row: Row): SessionKey => {
  requireRowMac(reader, 'session_keys', macItems(row), row.mac)
  return {
    sessionKeyId: row.session_key_id as SessionKeyId,
    project: row.project as ProjectId,
    walletId: walletIdFromBytes(row.wallet_id),
    profile: row.profile,
    profileHash: row.profile_hash,
    network: row.network,
    scheme: row.scheme as SessionScheme,
    custody: row.custody as 'daemon' | 'client',
    publicKey: row.public_key,
    address: row.address,
    terms: JSON.parse(row.terms) as JsonValue,
    expireMs: Number(row.expire_ms),
    state: row.state as SessionKeyState,
    grantId: row.grant_id ?? undefined,
    replaces: (row.replaces ?? undefined) as SessionKeyId | undefined,
    retireMs: row.retire_ms === null ? undefined : Number(row.retire_ms),
    payload: row.payload,
    registration: JSON.parse(row.registration) as JsonValue,
    caller: row.caller,
    requestId: row.request_id === '' ? undefined : (row.request_id as RequestId),
    etag: etagOf(row.revision),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
    number: row.number,
  }
}

const toRow = (key: Omit<NewSessionKey, never>, revision: bigint, updateMs: number): Unsigned => ({
  session_key_id: key.sessionKeyId,
  project: key.project,
  wallet_id: Buffer.from(walletIdToBytes(key.walletId)),
  profile: key.profile,
  profile_hash: Buffer.from(key.profileHash),
  network: key.network,
  scheme: key.scheme,
  custody: key.custody,
  public_key: Buffer.from(key.publicKey),
  address: key.address,
  terms: canonicalJson(key.terms),
  expire_ms: BigInt(key.expireMs),
  state: key.state,
  grant_id: key.grantId ?? null,
  replaces: key.replaces ?? null,
  retire_ms: key.retireMs === undefined ? null : BigInt(key.retireMs),
  payload: Buffer.from(key.payload),
  registration: canonicalJson(key.registration),
  caller: key.caller,
  request_id: key.requestId ?? '',
  revision,
  create_ms: BigInt(key.createMs),
  update_ms: BigInt(updateMs),
})

const moved = (tx: Tx, id: string, state: string, before: Buffer | undefined, after: Buffer | undefined): void => {
  const leaf = (mac: Buffer | undefined) => (mac === undefined ? [] : [rowLeaf(tx, 'session_keys', [id, mac])])
  moveStateIndex(tx, {
    subject: { type: 'session_key', id },
    removed: leaf(before),
    added: leaf(after),
    details: { sessionKey: state },
  })
}

/** Refuses with PROJECT_NOT_FOUND. */
export const insertSessionKey = (tx: Tx, key: NewSessionKey): SessionKey => {
  requireProject(tx, key.project)
  const row = toRow(key, 1n, key.createMs)
  const mac = rowMac(tx, 'session_keys', macItems(row))
  insertInto(tx, 'session_keys', { ...row, mac })
  moved(tx, row.session_key_id, row.state, undefined, mac)
  return requireSessionKey(tx, key.sessionKeyId)
}

export type SessionKeyChange = Partial<
  Pick<SessionKey, 'state' | 'payload' | 'registration' | 'retireMs' | 'expireMs'>
>

const READ = 'SELECT * FROM session_keys WHERE session_key_id = ?'

/** Refuses with SESSION_KEY_NOT_FOUND. */
export const updateSessionKey = (tx: Tx, id: SessionKeyId, change: SessionKeyChange, nowMs: number): SessionKey => {
  const before = tx.one<Row>(READ, id)
  if (before === undefined) throw failure('SESSION_KEY_NOT_FOUND', {})
  const row = toRow({ ...toKey(tx, before), ...change }, before.revision + 1n, nowMs)
  const mac = rowMac(tx, 'session_keys', macItems(row))
  tx.run(
    `UPDATE session_keys SET state = ?, payload = ?, registration = ?, retire_ms = ?, expire_ms = ?, revision = ?,
       update_ms = ?, mac = ? WHERE number = ?`,
    row.state, row.payload, row.registration, row.retire_ms, row.expire_ms, row.revision, row.update_ms, mac,
    before.number,
  )
  moved(tx, id, row.state, before.mac, mac)
  return requireSessionKey(tx, id)
}

/** Removes a key that the wallet never signed for, with its secret. Answers whether it was there. */
export const deleteCreatingSessionKey = (tx: Tx, id: SessionKeyId): boolean => {
  const row = tx.one<Row>(`${READ} AND state = 'CREATING'`, id)
  if (row === undefined) return false
  tx.run('DELETE FROM session_secrets WHERE session_key_id = ?', id)
  tx.run('DELETE FROM session_keys WHERE session_key_id = ?', id)
  moved(tx, id, 'DELETED', row.mac, undefined)
  return true
}

/** What the index of ends is over. */
const END = 'min(expire_ms, coalesce(retire_ms, expire_ms))'

/** Keys whose making was cut off and that no repeat comes back for. Answers how many. */
export const dropAbandonedSessionKeys = (tx: Tx, nowMs: number): number => {
  const abandoned = tx.all<{ session_key_id: string }>(
    `SELECT session_key_id FROM session_keys WHERE state = 'CREATING' AND (request_id = '' OR create_ms <= ?)`,
    nowMs - REQUEST_LIFE_MS,
  )
  for (const { session_key_id: id } of abandoned) deleteCreatingSessionKey(tx, id as SessionKeyId)
  return abandoned.length
}

const verifiedKeys = new VerifiedRows<SessionKey>('session_keys')

/** Of any project. VAULT_CORRUPT for an altered row. */
export const getSessionKey = (reader: Reader, id: SessionKeyId): SessionKey | undefined => {
  const readMac = () =>
    reader.one<{ mac: Buffer }>('SELECT mac FROM session_keys WHERE session_key_id = ?', id)?.mac
  const known = verifiedKeys.find(reader, id, readMac)
  if (known !== undefined) return known
  const row = reader.one<Row>(READ, id)
  return row && verifiedKeys.keep(reader, id, row.mac, toKey(reader, row))
}

/** Refuses with SESSION_KEY_NOT_FOUND, also for one of another project when `project` is given. */
export const requireSessionKey = (reader: Reader, id: SessionKeyId, project?: ProjectId): SessionKey => {
  const key = getSessionKey(reader, id)
  if (key === undefined || (project !== undefined && key.project !== project)) throw failure('SESSION_KEY_NOT_FOUND', {})
  return key
}

/** The key that a request of this caller made, whatever became of it since. */
export const findSessionKeyOfRequest = (reader: Reader, caller: string, requestId: RequestId): SessionKey | undefined => {
  const row = reader.one<Row>(
    `SELECT * FROM session_keys WHERE caller = ? AND request_id = ? AND request_id <> ''`,
    caller,
    requestId,
  )
  return row && toKey(reader, row)
}

/** Active keys of one wallet that have not ended by time before `nowMs`, every one of them, in order of creation. */
export const listActiveOfWallet = (reader: Reader, walletId: WalletId, nowMs: number): SessionKey[] =>
  reader
    .all<Row>(
      `SELECT * FROM session_keys WHERE wallet_id = ? AND state = 'ACTIVE' AND ${END} >= ? ORDER BY number`,
      walletIdToBytes(walletId),
      Math.trunc(nowMs),
    )
    .map((row) => toKey(reader, row))

/** Not revoked, made under one grant, those that are being made included. */
export const listKeysOfGrant = (reader: Reader, grantId: GrantId): SessionKey[] =>
  reader
    .all<Row>(`SELECT * FROM session_keys WHERE grant_id = ? AND state <> 'REVOKED' ORDER BY number`, grantId)
    .map((row) => toKey(reader, row))

/** Of every project, not revoked. */
export const listLiveSessionKeys = (reader: Reader): SessionKey[] =>
  reader.all<Row>(`SELECT * FROM session_keys WHERE state <> 'REVOKED' ORDER BY number`).map((row) => toKey(reader, row))

const ENDED = `SELECT * FROM session_keys WHERE state IN ('PENDING', 'ACTIVE') AND ${END} >= ? AND ${END} < ?
  AND (${END} > ? OR number > ?) ORDER BY ${END}, number LIMIT ?`

export type EndedPage = {
  /** Those that ended then go on after `afterNumber`. */
  readonly afterMs: number
  readonly afterNumber: bigint
  readonly beforeMs: number
  readonly limit: number
}

/** Of any project, keys that ended by time, in the order of their ends. */
export const listEndedSessionKeys = (reader: Reader, { afterMs, afterNumber, beforeMs, limit }: EndedPage): SessionKey[] =>
  reader.all<Row>(ENDED, afterMs, beforeMs, afterMs, afterNumber, limit).map((row) => toKey(reader, row))

/** Keys of a project with this address, of one wallet where one is given, newest first. */
export const findSessionKeysByAddress = (reader: Reader, project: ProjectId, address: string, walletId?: WalletId): SessionKey[] => {
  const { sql, params } = allOf({ 'address = ?': address, 'project = ?': project, 'wallet_id = ?': walletId && walletIdToBytes(walletId) })
  return reader
    .all<Row>(`SELECT * FROM session_keys WHERE ${sql} AND state <> 'CREATING' ORDER BY number DESC LIMIT 256`, ...params)
    .map((row) => toKey(reader, row))
}

export type SessionKeyPage = {
  readonly project: ProjectId
  readonly walletId?: WalletId | undefined
  readonly profile?: string | undefined
  readonly after?: bigint | undefined
  readonly limit: number
}

/** In order of creation, after `after` (a key's `number`), without those that are being made. */
export const listSessionKeys = (reader: Reader, page: SessionKeyPage): SessionKey[] => {
  const { sql, params } = allOf({
    'project = ?': page.project,
    'number > ?': page.after ?? 0n,
    'wallet_id = ?': page.walletId && walletIdToBytes(page.walletId),
    'profile = ?': page.profile,
  })
  return reader
    .all<Row>(`SELECT * FROM session_keys WHERE ${sql} AND state <> 'CREATING' ORDER BY number LIMIT ?`, ...params, page.limit)
    .map((row) => toKey(reader, row))
}
