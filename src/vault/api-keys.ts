import { timingSafeEqual } from 'node:crypto'
import { assert, failure, invalidField } from '../domain/failure.ts'
import type { ApiKeyId, ProjectId } from '../domain/ids.ts'
import type { Secret } from '../domain/secret.ts'
import { apiKeyMac, generateApiKeyId, generateApiKeySecret, parseApiKeySecret } from './api-key-secret.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonValue } from './canonical-json.ts'
import { requireProject } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { etagOf, requireEtag } from './settings.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

/**
 * API keys. Everything that decides what a key may do is under the row's MAC. Permissions are stored as the JSON
 * they were given as; their meaning belongs to the policy ring.
 */
export type ApiKeyState = 'ACTIVE' | 'REVOKED'

export type ApiKey = {
  readonly keyId: ApiKeyId
  readonly project: ProjectId
  readonly name: string
  readonly state: ApiKeyState
  readonly permissions: JsonValue
  /** Empty: any address. */
  readonly allowedCidrs: readonly string[]
  readonly mtlsIdentity: string | undefined
  readonly expireMs: number | undefined
  readonly etag: string
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  key_id: string
  project: string
  name: string
  state: string
  secret_mac: Buffer
  previous_mac: Buffer | null
  previous_until_ms: bigint
  permissions: string
  allowed_cidrs: string
  mtls_identity: string | null
  expire_ms: bigint | null
  revision: bigint
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
}
type Unsigned = Omit<Row, 'mac' | 'number'>

const macItems = (row: Unsigned) => [
  row.key_id,
  row.project,
  row.state,
  row.secret_mac,
  row.previous_mac ?? '',
  u64(row.previous_until_ms),
  row.permissions,
  row.allowed_cidrs,
  row.mtls_identity ?? '',
  row.expire_ms === null ? '' : u64(row.expire_ms),
  u64(row.revision),
]

const checked = (reader: Reader, row: Row): Row => {
  requireRowMac(reader, 'api_keys', macItems(row), row.mac)
  return row
}

const toKey = (row: Row): ApiKey => ({
  keyId: row.key_id as ApiKeyId,
  project: row.project as ProjectId,
  name: row.name,
  state: row.state as ApiKeyState,
  permissions: JSON.parse(row.permissions) as JsonValue,
  allowedCidrs: JSON.parse(row.allowed_cidrs) as string[],
  mtlsIdentity: row.mtls_identity ?? undefined,
  expireMs: row.expire_ms === null ? undefined : Number(row.expire_ms),
  etag: etagOf(row.revision),
  createMs: Number(row.create_ms),
  updateMs: Number(row.update_ms),
  number: row.number,
})

/** Who holds the key, as its row says under the MAC, and what its holder shows. */
type Verified = {
  readonly key: ApiKey
  readonly secretMac: Buffer
  readonly previousMac: Buffer | undefined
  readonly previousUntilMs: number
}

const verifiedKeys = new VerifiedRows<Verified>('api_keys')

const findVerified = (reader: Reader, keyId: ApiKeyId): Verified | undefined =>
  verifiedKeys.find(reader, keyId, () => reader.one<{ mac: Buffer }>(READ_MAC, keyId)?.mac)

/** VAULT_CORRUPT for an altered row. */
const verify = (reader: Reader, row: Row): Verified =>
  verifiedKeys.keep(reader, row.key_id, row.mac, { ...presentedOf(row), key: toKey(checked(reader, row)) })

const presentedOf = (row: Row): Omit<Verified, 'key'> => ({
  secretMac: row.secret_mac,
  previousMac: row.previous_mac ?? undefined,
  previousUntilMs: Number(row.previous_until_ms),
})

const READ = 'SELECT * FROM api_keys WHERE key_id = ?'
const READ_MAC = 'SELECT mac FROM api_keys WHERE key_id = ?'
const WRITE_COLUMNS = `project = ?, name = ?, state = ?, secret_mac = ?, previous_mac = ?, previous_until_ms = ?,
  permissions = ?, allowed_cidrs = ?, mtls_identity = ?, expire_ms = ?, revision = ?, create_ms = ?, update_ms = ?,
  mac = ?`

/** Writes the row under a new MAC and moves the state index from the row before it. */
const store = (tx: Tx, row: Unsigned, before: Row | undefined): ApiKey => {
  const mac = rowMac(tx, 'api_keys', macItems(row))
  moveStateIndex(tx, {
    timeMs: Number(row.update_ms),
    subject: { type: 'api_key', id: row.key_id },
    removed: before === undefined ? [] : [rowLeaf(tx, 'api_keys', [before.key_id, before.mac])],
    added: [rowLeaf(tx, 'api_keys', [row.key_id, mac])],
    details: { state: row.state, revision: String(row.revision) },
  })
  tx.run(
    `UPDATE api_keys SET ${WRITE_COLUMNS} WHERE key_id = ?`,
    row.project, row.name, row.state, row.secret_mac, row.previous_mac, row.previous_until_ms, row.permissions,
    row.allowed_cidrs, row.mtls_identity, row.expire_ms, row.revision, row.create_ms, row.update_ms, mac,
    row.key_id,
  )
  return requireApiKey(tx, row.key_id as ApiKeyId)
}

export type NewApiKey = {
  readonly project: ProjectId
  readonly name: string
  readonly permissions: JsonValue
  readonly allowedCidrs?: readonly string[] | undefined
  readonly mtlsIdentity?: string | undefined
  readonly expireMs?: number | undefined
  readonly nowMs: number
}

export type ApiKeyWithSecret = { readonly key: ApiKey; readonly secret: Secret<string> }

/**
 * Makes a key. The secret is in the answer and nowhere else.
 * Refuses: PROJECT_NOT_FOUND; INVALID_REQUEST for an mTLS identity that a live key has.
 */
export const createApiKey = (tx: Tx, fresh: NewApiKey): ApiKeyWithSecret => {
  requireProject(tx, fresh.project)
  requireUnusedIdentity(tx, fresh.mtlsIdentity)
  const keyId = generateApiKeyId()
  const secret = generateApiKeySecret(keyId)
  tx.run(
    `INSERT INTO api_keys (key_id, project, name, state, secret_mac, previous_until_ms, permissions, allowed_cidrs,
       revision, create_ms, update_ms, mac) VALUES (?, ?, '', 'ACTIVE', zeroblob(32), 0, '', '', 0, 0, 0, x'')`,
    keyId,
    fresh.project,
  )
  const row: Unsigned = {
    key_id: keyId,
    project: fresh.project,
    name: fresh.name,
    state: 'ACTIVE',
    secret_mac: macOf(tx, secret),
    previous_mac: null,
    previous_until_ms: 0n,
    permissions: canonicalJson(fresh.permissions),
    allowed_cidrs: canonicalJson(fresh.allowedCidrs ?? []),
    mtls_identity: fresh.mtlsIdentity ?? null,
    expire_ms: fresh.expireMs === undefined ? null : BigInt(fresh.expireMs),
    revision: 1n,
    create_ms: BigInt(fresh.nowMs),
    update_ms: BigInt(fresh.nowMs),
  }
  const key = store(tx, row, undefined)
  return { key, secret }
}

const requireUnusedIdentity = (reader: Reader, mtlsIdentity: string | undefined): void => {
  if (mtlsIdentity === undefined || findApiKeyByIdentity(reader, mtlsIdentity) === undefined) return
  const description = 'another API key has this identity'
  throw invalidField('mtls_identity', description)
}

const macOf = (reader: Reader, secret: Secret<string>): Buffer => {
  const parts = parseApiKeySecret(secret.reveal())
  assert(parts, 'a generated secret has the form that is parsed')
  return apiKeyMac(reader, parts.keyId, parts.secret)
}

/** Any project's, whatever its state: the caller decides what it may see. VAULT_CORRUPT for an altered row. */
export const getApiKey = (reader: Reader, keyId: ApiKeyId): ApiKey | undefined => {
  const known = findVerified(reader, keyId)
  if (known !== undefined) return known.key
  const row = reader.one<Row>(READ, keyId)
  return row && verify(reader, row).key
}

/** Refuses with API_KEY_NOT_FOUND. */
export const requireApiKey = (reader: Reader, keyId: ApiKeyId): ApiKey => {
  const key = getApiKey(reader, keyId)
  if (key === undefined) throw failure('API_KEY_NOT_FOUND', {})
  return key
}

/** The ACTIVE key of a client certificate's identity. */
export const findApiKeyByIdentity = (reader: Reader, mtlsIdentity: string): ApiKey | undefined => {
  const row = reader.one<Row>(`SELECT * FROM api_keys WHERE mtls_identity = ? AND state = 'ACTIVE'`, mtlsIdentity)
  return row && toKey(checked(reader, row))
}

/** In order of creation, after `after` (a key's `number`). */
export const listApiKeys = (
  reader: Reader,
  page: { readonly project: ProjectId; readonly after?: bigint | undefined; readonly limit: number },
): ApiKey[] =>
  reader
    .all<Row>(
      'SELECT * FROM api_keys WHERE project = ? AND number > ? ORDER BY number LIMIT ?',
      page.project,
      page.after ?? 0n,
      page.limit,
    )
    .map((row) => toKey(checked(reader, row)))

/** Every key of every project that is not revoked, in order of creation, at most `limit`. */
export const listLiveApiKeys = (reader: Reader, limit: number): ApiKey[] =>
  reader
    .all<Row>(`SELECT * FROM api_keys WHERE state = 'ACTIVE' ORDER BY number LIMIT ?`, limit)
    .map((row) => toKey(checked(reader, row)))

const NO_MAC = Buffer.alloc(32)

/**
 * The key a presented secret belongs to. The comparison takes the same time for unknown ids and wrong secrets.
 * Refuses: API_KEY_INVALID for anything that is not a live key's secret (revoked included), API_KEY_EXPIRED only
 * to who holds the right secret.
 */
export const authenticateApiKey = (reader: Reader, text: string, nowMs: number): ApiKey => {
  const parts = parseApiKeySecret(text)
  if (parts === undefined) throw failure('API_KEY_INVALID', {})
  const known = findVerified(reader, parts.keyId)
  const row = known === undefined ? reader.one<Row>(READ, parts.keyId) : undefined
  const expected = known ?? (row && presentedOf(row))
  const presented = apiKeyMac(reader, parts.keyId, parts.secret)
  const isCurrent = timingSafeEqual(presented, expected?.secretMac ?? NO_MAC)
  const isPrevious =
    timingSafeEqual(presented, expected?.previousMac ?? NO_MAC) && nowMs < (expected?.previousUntilMs ?? 0)
  const found = known ?? (row && (isCurrent || isPrevious) ? verify(reader, row) : undefined)
  if (found === undefined || !(isCurrent || isPrevious)) throw failure('API_KEY_INVALID', {})
  return requireLive(found.key, nowMs)
}

/** Refuses with API_KEY_INVALID a revoked key, with API_KEY_EXPIRED one whose time is over. */
export const requireLive = (key: ApiKey, nowMs: number): ApiKey => {
  if (key.state !== 'ACTIVE') throw failure('API_KEY_INVALID', {})
  if (key.expireMs !== undefined && nowMs >= key.expireMs) {
    throw failure('API_KEY_EXPIRED', { expireTime: new Date(key.expireMs).toISOString() })
  }
  return key
}

type At = { readonly nowMs: number; readonly etag?: string | undefined }

const change = (tx: Tx, keyId: ApiKeyId, at: At, edit: (row: Row) => Partial<Unsigned>): ApiKey => {
  const row = tx.one<Row>(READ, keyId)
  if (row === undefined) throw failure('API_KEY_NOT_FOUND', {})
  checked(tx, row)
  requireEtag('API key', row.revision, at.etag)
  const next = { ...row, ...edit(row), revision: row.revision + 1n, update_ms: BigInt(at.nowMs) }
  return store(tx, next, row)
}

/**
 * A new secret for the same key; the old one goes on for `overlapMs`, 0 for not at all. Refuses as `updateApiKey`.
 */
export const rotateApiKey = (
  tx: Tx,
  keyId: ApiKeyId,
  at: At & { readonly overlapMs: number },
): ApiKeyWithSecret => {
  const secret = generateApiKeySecret(keyId)
  const key = change(tx, keyId, at, (row) => ({
    secret_mac: macOf(tx, secret),
    previous_mac: at.overlapMs > 0 ? row.secret_mac : null,
    previous_until_ms: at.overlapMs > 0 ? BigInt(at.nowMs + at.overlapMs) : 0n,
  }))
  return { key, secret }
}

export type ApiKeyChange = {
  readonly name?: string | undefined
  readonly permissions?: JsonValue | undefined
  readonly allowedCidrs?: readonly string[] | undefined
}

/** What is absent stays. Refuses: API_KEY_NOT_FOUND; ETAG_MISMATCH. */
export const updateApiKey = (tx: Tx, keyId: ApiKeyId, edit: ApiKeyChange, at: At): ApiKey =>
  change(tx, keyId, at, (row) => ({
    name: edit.name ?? row.name,
    permissions: edit.permissions === undefined ? row.permissions : canonicalJson(edit.permissions),
    allowed_cidrs: edit.allowedCidrs === undefined ? row.allowed_cidrs : canonicalJson(edit.allowedCidrs),
  }))

/** For good. Revoking twice is allowed. */
export const revokeApiKey = (tx: Tx, keyId: ApiKeyId, at: At): ApiKey =>
  change(tx, keyId, at, () => ({ state: 'REVOKED', previous_mac: null, previous_until_ms: 0n }))
