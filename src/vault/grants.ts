import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import type { GrantId, ProjectId, UserId, WalletId } from '../domain/ids.ts'
import { addressKeyOf } from '../domain/ids.ts'
import { allOf } from './conditions.ts'
import { insertInto } from './insert-into.ts'
import { OfStore } from './of-store.ts'
import { getProject, type Project } from './projects.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, SqlParam, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'
import { VerifiedRows } from './verified-rows.ts'

/**
 * Grants: an end user's permission for their project to sign without them, for all of their wallets or for one
 * address, until a time. A grant ends once, by being revoked or by its time, and its row stays, so that what was never
 * granted, what is over and what was taken back stay apart. Rows are under a MAC and in the state index: neither a
 * longer time nor a revocation undone passes.
 */
export type GrantState = 'ACTIVE' | 'REVOKED' | 'EXPIRED'

export type Grant = {
  readonly grantId: GrantId
  readonly project: ProjectId
  readonly userId: UserId
  /** As the wallet shows it; undefined for a grant over all wallets of the end user. */
  readonly address: string | undefined
  /** As stored: an ACTIVE grant whose time is over has ended all the same, see `stateAt`. */
  readonly state: GrantState
  readonly expireMs: number
  readonly createMs: number
  readonly endMs: number | undefined
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  grant_id: string
  project: string
  user_id: string
  address: string
  address_key: string
  state: string
  expire_ms: bigint
  create_ms: bigint
  end_ms: bigint | null
  mac: Buffer
}

const macItems = (row: Omit<Row, 'mac' | 'number'>) => [
  row.grant_id, row.project, row.user_id, row.address, row.address_key, row.state, u64(row.expire_ms),
  u64(row.create_ms), row.end_ms === null ? '' : u64(row.end_ms),
]

/** VAULT_CORRUPT for an altered row. */
const toGrant = (reader: Reader, row: Row): Grant => {
  requireRowMac(reader, 'grants', macItems(row), row.mac)
  return {
    grantId: row.grant_id as GrantId,
    project: row.project as ProjectId,
    userId: row.user_id as UserId,
    address: row.address === '' ? undefined : row.address,
    state: row.state as GrantState,
    expireMs: Number(row.expire_ms),
    createMs: Number(row.create_ms),
    endMs: row.end_ms === null ? undefined : Number(row.end_ms),
    number: row.number,
  }
}

/** What a grant is at a time, whether or not its end has been written down yet. */
export const stateAt = ({ state, expireMs }: Grant, nowMs: number): GrantState =>
  state === 'ACTIVE' && nowMs >= expireMs ? 'EXPIRED' : state

/** '' stands for every address of the user. */
const keyOf = (address: string | undefined): string => (address === undefined ? '' : addressKeyOf(address))

const moved = (tx: Tx, grantId: string, timeMs: number, state: string, before: Buffer | undefined, after: Buffer): void => {
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'grant', id: grantId },
    removed: before === undefined ? [] : [rowLeaf(tx, 'grants', [grantId, before])],
    added: [rowLeaf(tx, 'grants', [grantId, after])],
    details: { state },
  })
}

export type NewGrant = {
  readonly project: ProjectId
  readonly userId: UserId
  /** As the wallet shows it; undefined for all wallets of the end user. */
  readonly address: string | undefined
  readonly expireMs: number
  readonly nowMs: number
}

const ACTIVE_OF_USER = `SELECT * FROM grants WHERE project = ? AND user_id = ? AND state = 'ACTIVE' ORDER BY number`

/**
 * Refuses with GRANT_ALREADY_EXISTS, naming it, while a grant is active that covers the same, or one of the other scope:
 * a grant over all wallets and grants over single addresses exclude each other. Grants of the user whose time is over
 * are to be ended first (`expireGrantsOfUser`).
 */
export const insertGrant = (tx: Tx, grant: NewGrant): Grant => {
  const { project, userId, address } = grant
  const standing = tx.all<Row>(ACTIVE_OF_USER, project, userId).map((row) => toGrant(tx, row))
  const inTheWay = standing.find(
    (other) => address === undefined || other.address === undefined || keyOf(other.address) === keyOf(address),
  )
  if (inTheWay !== undefined) {
    const scope = inTheWay.address === undefined ? 'user' : 'address'
    throw failure('GRANT_ALREADY_EXISTS', { grantId: inTheWay.grantId, scope })
  }
  const row = {
    grant_id: `grant_${randomBytes(16).toString('hex')}`,
    project,
    user_id: userId,
    address: address ?? '',
    address_key: keyOf(address),
    state: 'ACTIVE',
    expire_ms: BigInt(grant.expireMs),
    create_ms: BigInt(grant.nowMs),
    end_ms: null,
  }
  const mac = rowMac(tx, 'grants', macItems(row))
  insertInto(tx, 'grants', { ...row, mac })
  moved(tx, row.grant_id, grant.nowMs, row.state, undefined, mac)
  return requireGrant(tx, row.grant_id as GrantId, project)
}

const READ = 'SELECT * FROM grants WHERE grant_id = ?'

const verifiedGrants = new VerifiedRows<Grant>('grants')

/** Of any project. VAULT_CORRUPT for an altered row. */
export const getGrant = (reader: Reader, grantId: GrantId): Grant | undefined => {
  const readMac = (): Buffer | undefined =>
    reader.one<{ mac: Buffer }>('SELECT mac FROM grants WHERE grant_id = ?', grantId)?.mac
  const known = verifiedGrants.find(reader, grantId, readMac)
  if (known !== undefined) return known
  const row = reader.one<Row>(READ, grantId)
  return row && verifiedGrants.keep(reader, grantId, row.mac, toGrant(reader, row))
}

/** Refuses with GRANT_NOT_FOUND, also a grant of another project, and of another user when `userId` is given. */
export const requireGrant = (reader: Reader, grantId: GrantId, project: ProjectId, userId?: UserId): Grant => {
  const grant = getGrant(reader, grantId)
  if (grant === undefined || grant.project !== project || (userId !== undefined && grant.userId !== userId)) {
    throw failure('GRANT_NOT_FOUND', {})
  }
  return grant
}

const end = (tx: Tx, row: Row, state: 'REVOKED' | 'EXPIRED', nowMs: number): Grant => {
  toGrant(tx, row)
  const next = { ...row, state, end_ms: BigInt(nowMs) }
  const mac = rowMac(tx, 'grants', macItems(next))
  tx.run('UPDATE grants SET state = ?, end_ms = ?, mac = ? WHERE number = ?', state, next.end_ms, mac, row.number)
  moved(tx, row.grant_id, nowMs, state, row.mac, mac)
  return toGrant(tx, { ...next, mac })
}

/**
 * Ends a grant for good. One that has ended stays as it is. Answers it, and whether this ended it. Refuses with
 * GRANT_NOT_FOUND.
 */
export const revokeGrant = (tx: Tx, grantId: GrantId, nowMs: number): { readonly grant: Grant; readonly ended: boolean } => {
  const row = tx.one<Row>(READ, grantId)
  if (row === undefined) throw failure('GRANT_NOT_FOUND', {})
  const grant = toGrant(tx, row)
  if (grant.state !== 'ACTIVE') return { grant, ended: false }
  return { grant: end(tx, row, stateAt(grant, nowMs) === 'EXPIRED' ? 'EXPIRED' : 'REVOKED', nowMs), ended: true }
}

/** Ends every grant that stands, whoever gave it; answers them. For a vault that no longer knows what was taken back. */
export const revokeAllGrants = (tx: Tx, nowMs: number): Grant[] =>
  tx
    .all<Row>(`SELECT * FROM grants WHERE state = 'ACTIVE' ORDER BY number`)
    .map((row) => end(tx, row, row.expire_ms <= BigInt(nowMs) ? 'EXPIRED' : 'REVOKED', nowMs))

/** Ends the grants whose time is over, in the order of their times, at most `limit`; answers them. */
export const expireGrants = (tx: Tx, nowMs: number, limit: number): Grant[] =>
  tx
    .all<Row>(`SELECT * FROM grants WHERE state = 'ACTIVE' AND expire_ms <= ? ORDER BY expire_ms LIMIT ?`, nowMs, limit)
    .map((row) => end(tx, row, 'EXPIRED', nowMs))

/** As `expireGrants`, those of one end user. */
export const expireGrantsOfUser = (tx: Tx, project: ProjectId, userId: UserId, nowMs: number): Grant[] =>
  tx
    .all<Row>(ACTIVE_OF_USER, project, userId)
    .filter(({ expire_ms: expireMs }) => expireMs <= BigInt(nowMs))
    .map((row) => end(tx, row, 'EXPIRED', nowMs))

/** Whether a grant waits for `expireGrants`. */
export const isGrantDue = (reader: Reader, nowMs: number): boolean =>
  reader.one(`SELECT 1 FROM grants WHERE state = 'ACTIVE' AND expire_ms <= ? LIMIT 1`, nowMs) !== undefined

export type GrantPage = {
  readonly project: ProjectId
  readonly userId?: UserId | undefined
  readonly address?: string | undefined
  /** As it is at `nowMs`. */
  readonly state?: GrantState | undefined
  readonly nowMs: number
  readonly after?: bigint | undefined
  readonly newestFirst?: boolean
  readonly limit: number
}

const stateCondition = ({ state, nowMs }: GrantPage): { readonly [condition: string]: SqlParam } => {
  switch (state) {
    case undefined:
      return {}
    case 'REVOKED':
      return { 'state = ?': state }
    case 'ACTIVE':
      return { "state = 'ACTIVE' AND expire_ms > ?": nowMs }
    case 'EXPIRED':
      return { "(state = 'EXPIRED' OR (state = 'ACTIVE' AND expire_ms <= ?))": nowMs }
  }
}

/** In order of creation, after `after` (a grant's `number`), or the other way round. */
export const listGrants = (reader: Reader, page: GrantPage): Grant[] => {
  const { sql, params } = allOf({
    'project = ?': page.project,
    'number > ?': page.after ?? 0n,
    'user_id = ?': page.userId,
    'address_key = ?': page.address === undefined ? undefined : keyOf(page.address),
    ...stateCondition(page),
  })
  const order = page.newestFirst === true ? 'DESC' : 'ASC'
  return reader
    .all<Row>(`SELECT * FROM grants WHERE ${sql} ORDER BY number ${order} LIMIT ?`, ...params, page.limit)
    .map((row) => toGrant(reader, row))
}

/** A project's switch, off until it is turned on. */
export const isDelegationEnabled = ({ settings }: Project): boolean =>
  (settings as { readonly delegation_enabled?: unknown }).delegation_enabled === true

/** What decides over one wallet: asked for every signature, read again only after something was written. */
type Standing = { readonly enabled: boolean; readonly covering: readonly Grant[]; readonly elsewhere: readonly Grant[] }

const STANDINGS_MAX = 10_000
const standings = new OfStore(() => ({ grants: -1, projects: -1, of: new Map<string, Standing>() }))

const NEWEST = 'SELECT * FROM grants WHERE project = ? AND user_id = ? AND address_key = ? ORDER BY number DESC LIMIT 1'

export type GrantedWallet = {
  readonly project: ProjectId
  readonly userId: UserId
  readonly walletId: WalletId
  readonly address: string
}

/** Of one scope the newest is the active one, if any is. */
const readStanding = (reader: Reader, { project, userId, address }: GrantedWallet): Standing => {
  const found = getProject(reader, project)
  const covering = ['', keyOf(address)].flatMap((key) => reader.all<Row>(NEWEST, project, userId, key))
  return {
    enabled: found !== undefined && isDelegationEnabled(found),
    covering: covering.map((row) => toGrant(reader, row)),
    elsewhere: reader.all<Row>(ACTIVE_OF_USER, project, userId).map((row) => toGrant(reader, row)),
  }
}

const standingOf = (reader: Reader, wallet: GrantedWallet): Standing => {
  const known = standings.of(reader)
  const [grants, projects] = [reader.writesTo('grants'), reader.writesTo('projects')]
  if (known.grants !== grants || known.projects !== projects || known.of.size >= STANDINGS_MAX) {
    known.of.clear()
    Object.assign(known, { grants, projects })
  }
  const kept = known.of.get(wallet.walletId)
  if (kept !== undefined) return kept
  const standing = readStanding(reader, wallet)
  known.of.set(wallet.walletId, standing)
  return standing
}

/**
 * The grant under which a project may use a wallet of an end user now. Refuses, in this order: DELEGATION_NOT_ENABLED;
 * where grants covered the wallet once, GRANT_REVOKED or GRANT_EXPIRED, as the newest of them ended; where the user has
 * granted other addresses only, GRANT_NOT_AUTHORIZED; GRANT_NOT_FOUND.
 */
export const requireActiveGrant = (reader: Reader, wallet: GrantedWallet, nowMs: number): Grant => {
  const { enabled, covering, elsewhere } = standingOf(reader, wallet)
  if (!enabled) throw failure('DELEGATION_NOT_ENABLED', {})
  const active = covering.find((grant) => stateAt(grant, nowMs) === 'ACTIVE')
  if (active !== undefined) return active
  const [last] = covering.toSorted((one, other) => (one.number < other.number ? 1 : -1))
  if (last !== undefined) throw failureOfEnded(last)
  if (elsewhere.some((grant) => stateAt(grant, nowMs) === 'ACTIVE')) {
    throw failure('GRANT_NOT_AUTHORIZED', { walletId: wallet.walletId })
  }
  throw failure('GRANT_NOT_FOUND', {})
}

/** GRANT_REVOKED or GRANT_EXPIRED, of a grant that has ended. */
export const failureOfEnded = ({ grantId, state, expireMs }: Grant) =>
  state === 'REVOKED'
    ? failure('GRANT_REVOKED', { grantId })
    : failure('GRANT_EXPIRED', { grantId, expireTime: new Date(expireMs).toISOString() })
