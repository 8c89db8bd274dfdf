import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { DelegateId, ProjectId, WebhookId } from '../domain/ids.ts'
import { insertInto } from './insert-into.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, SqlParam, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

/**
 * Delegates: servers that end users may let sign with them. One is known by the key that it proves itself with; what is
 * sealed to it, by a kid. Keys that were replaced stay, so that a kid is never given twice. Rows are under MACs and in
 * the state index. What the cosigner seals to is in its own register, not here.
 */
export type DelegateKey = {
  readonly kid: string
  /** RSA, the DER of its SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  readonly state: 'ACTIVE' | 'RETIRED'
  readonly createMs: number
  readonly retireMs: number | undefined
}

export type Delegate = {
  readonly delegateId: DelegateId
  readonly project: ProjectId
  readonly name: string
  /** Ed25519, 32 bytes: its party id is the hash. */
  readonly identityKey: Uint8Array
  /** Where it is told of what it is given; undefined: in answers alone. */
  readonly webhookId: WebhookId | undefined
  /** The one that is sealed to is ACTIVE; newest first. */
  readonly keys: readonly DelegateKey[]
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  delegate_id: string
  project: string
  name: string
  identity_key: Buffer
  webhook_id: string | null
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
}
type KeyRow = {
  delegate_id: string
  kid: string
  public_key: Buffer
  state: string
  create_ms: bigint
  retire_ms: bigint | null
  mac: Buffer
}

const DELEGATES_PER_PROJECT = 256
/** Of one delegate, those that were replaced included. */
const KEYS_PER_DELEGATE = 64

const macItems = (row: Omit<Row, 'mac' | 'number'>) => [
  row.delegate_id, row.project, row.name, row.identity_key, row.webhook_id ?? '', u64(row.create_ms), u64(row.update_ms),
]
const keyItems = (row: Omit<KeyRow, 'mac'>) => [
  row.delegate_id, row.kid, row.public_key, row.state, u64(row.create_ms), row.retire_ms === null ? '' : u64(row.retire_ms),
]

const leafOf = (reader: Reader, row: Pick<Row, 'delegate_id' | 'mac'>) =>
  rowLeaf(reader, 'delegates', [row.delegate_id, row.mac])
const leafOfKey = (reader: Reader, row: Pick<KeyRow, 'delegate_id' | 'kid' | 'mac'>) =>
  rowLeaf(reader, 'delegate_keys', [row.delegate_id, row.kid, row.mac])

const toKey = (reader: Reader, row: KeyRow): DelegateKey => {
  requireRowMac(reader, 'delegate_keys', keyItems(row), row.mac)
  return {
    kid: row.kid,
    publicKey: row.public_key,
    state: row.state as DelegateKey['state'],
    createMs: Number(row.create_ms),
    retireMs: row.retire_ms === null ? undefined : Number(row.retire_ms),
  }
}

/** VAULT_CORRUPT for an altered row. */
const toDelegate = (reader: Reader, row: Row): Delegate => {
  requireRowMac(reader, 'delegates', macItems(row), row.mac)
  const keys = reader.all<KeyRow>('SELECT * FROM delegate_keys WHERE delegate_id = ? ORDER BY create_ms DESC, kid', row.delegate_id)
  return {
    delegateId: row.delegate_id as DelegateId,
    project: row.project as ProjectId,
    name: row.name,
    identityKey: row.identity_key,
    webhookId: (row.webhook_id ?? undefined) as WebhookId | undefined,
    keys: keys.map((key) => toKey(reader, key)),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
    number: row.number,
  }
}

export type NewDelegate = Pick<Delegate, 'project' | 'name' | 'identityKey' | 'webhookId'> & {
  readonly key: Pick<DelegateKey, 'kid' | 'publicKey'>
  readonly nowMs: number
}

const TAKEN = 'SELECT identity_key FROM delegates WHERE project = ? AND (identity_key = ? OR name = ?) LIMIT 1'

/**
 * Refuses with DELEGATE_ALREADY_EXISTS a name or an identity that is registered in the project, with LIMIT_EXCEEDED more
 * than 256 of a project. Two projects may have one delegate in common: it is one party, with one link to this daemon.
 */
export const insertDelegate = (tx: Tx, fresh: NewDelegate): Delegate => {
  const { project, name, nowMs } = fresh
  const taken = tx.one<Pick<Row, 'identity_key'>>(TAKEN, project, fresh.identityKey, name)
  if (taken !== undefined) {
    throw failure('DELEGATE_ALREADY_EXISTS', { what: taken.identity_key.equals(fresh.identityKey) ? 'identity' : 'name' })
  }
  const held = Number(tx.one<{ n: bigint }>('SELECT count(*) AS n FROM delegates WHERE project = ?', project)?.n ?? 0n)
  if (held >= DELEGATES_PER_PROJECT) throw limit('delegates of a project', held + 1, DELEGATES_PER_PROJECT)
  const row = {
    delegate_id: `dlg_${randomBytes(16).toString('hex')}`,
    project,
    name,
    identity_key: Buffer.from(fresh.identityKey),
    webhook_id: fresh.webhookId ?? null,
    create_ms: BigInt(nowMs),
    update_ms: BigInt(nowMs),
  }
  const mac = rowMac(tx, 'delegates', macItems(row))
  insertInto(tx, 'delegates', { ...row, mac })
  moved(tx, row.delegate_id, nowMs, 'REGISTERED', [], [leafOf(tx, { ...row, mac })])
  addKey(tx, row.delegate_id, fresh.key, nowMs)
  return requireDelegate(tx, row.delegate_id as DelegateId, project)
}

const limit = (what: string, seen: number, allowed: number) =>
  failure('LIMIT_EXCEEDED', { limit: what, seen: String(seen), allowed: String(allowed) })

const moved = (tx: Tx, id: string, timeMs: number, state: string, removed: Buffer[], added: Buffer[]): void =>
  moveStateIndex(tx, { timeMs, subject: { type: 'delegate', id }, removed, added, details: { state } })

const addKey = (tx: Tx, delegateId: string, key: Pick<DelegateKey, 'kid' | 'publicKey'>, nowMs: number): void => {
  const row = {
    delegate_id: delegateId,
    kid: key.kid,
    public_key: Buffer.from(key.publicKey),
    state: 'ACTIVE',
    create_ms: BigInt(nowMs),
    retire_ms: null,
  }
  const mac = rowMac(tx, 'delegate_keys', keyItems(row))
  insertInto(tx, 'delegate_keys', { ...row, mac })
  moved(tx, delegateId, nowMs, 'KEY_ADDED', [], [leafOfKey(tx, { ...row, mac })])
}

/**
 * A new key in the place of the one that is sealed to. Refuses: DELEGATE_NOT_FOUND; DELEGATE_ALREADY_EXISTS for a kid or key
 * that the delegate has or had; LIMIT_EXCEEDED for more than 64 keys in its life.
 */
export const rotateDelegateKey = (
  tx: Tx,
  delegate: Pick<Delegate, 'delegateId' | 'project'>,
  key: Pick<DelegateKey, 'kid' | 'publicKey'>,
  nowMs: number,
): Delegate => {
  const { delegateId, project } = delegate
  const { keys } = requireDelegate(tx, delegateId, project)
  const isKnown = keys.some(({ kid, publicKey }) => kid === key.kid || Buffer.compare(publicKey, key.publicKey) === 0)
  if (isKnown) throw failure('DELEGATE_ALREADY_EXISTS', { what: 'key' })
  if (keys.length >= KEYS_PER_DELEGATE) throw limit('keys of a delegate', keys.length + 1, KEYS_PER_DELEGATE)
  for (const row of tx.all<KeyRow>(`SELECT * FROM delegate_keys WHERE delegate_id = ? AND state = 'ACTIVE'`, delegateId)) {
    const next = { ...row, state: 'RETIRED', retire_ms: BigInt(nowMs) }
    const mac = rowMac(tx, 'delegate_keys', keyItems(next))
    tx.run(
      'UPDATE delegate_keys SET state = ?, retire_ms = ?, mac = ? WHERE delegate_id = ? AND kid = ?',
      next.state, next.retire_ms, mac, delegateId, row.kid,
    )
    moved(tx, delegateId, nowMs, 'KEY_RETIRED', [leafOfKey(tx, row)], [leafOfKey(tx, { ...next, mac })])
  }
  addKey(tx, delegateId, key, nowMs)
  return requireDelegate(tx, delegateId, project)
}

/** Of any project. */
export const getDelegate = (reader: Reader, delegateId: DelegateId): Delegate | undefined => {
  const row = reader.one<Row>('SELECT * FROM delegates WHERE delegate_id = ?', delegateId)
  return row && toDelegate(reader, row)
}

/** Refuses with DELEGATE_NOT_FOUND, also one of another project. */
export const requireDelegate = (reader: Reader, delegateId: DelegateId, project: ProjectId): Delegate => {
  const delegate = getDelegate(reader, delegateId)
  if (delegate === undefined || delegate.project !== project) throw failure('DELEGATE_NOT_FOUND', {})
  return delegate
}

export type DelegatePage = { readonly project: ProjectId; readonly after?: bigint | undefined; readonly limit: number }

/** In order of registration. */
export const listDelegates = (reader: Reader, page: DelegatePage): Delegate[] => {
  const params: SqlParam[] = [page.project, page.after ?? 0n, page.limit]
  const rows = reader.all<Row>('SELECT * FROM delegates WHERE project = ? AND number > ? ORDER BY number LIMIT ?', ...params)
  return rows.map((row) => toDelegate(reader, row))
}
