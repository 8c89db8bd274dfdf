import { randomBytes } from 'node:crypto'
import { assert } from '../domain/failure.ts'
import { addressKeyOf, type ProjectId, type RequestId, type UserId } from '../domain/ids.ts'
import { allOf } from './conditions.ts'
import { insertInto } from './insert-into.ts'
import { REQUEST_LIFE_MS } from './intents.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, SqlParam, Tx } from './store.ts'
import { type Item, u64 } from './tagged-encoding.ts'

/**
 * What is spent from external wallets. A row is there from the transaction that leases the nonce and records the intent of
 * its transfer, so it holds its amount before anything is signed: OPEN while the transfer may still come to pass, CONFIRMED
 * when the chain has it deep enough, SETTLED when it is known what arrived, FAILED when nothing will move. Rows are under a
 * MAC. They keep the daemon from signing what the chain would refuse; what may be spent is the chain's to say.
 */
export type SpendState = 'OPEN' | 'CONFIRMED' | 'SETTLED' | 'FAILED'

export type Spend = {
  /** `spd_` and 32 hexadecimal digits. */
  readonly spendId: string
  readonly sendId: string
  readonly project: ProjectId
  readonly userId: UserId
  readonly externalWalletId: string
  readonly network: string
  readonly currency: string
  readonly decimals: number
  /** CAIP-2: networks of one chain draw on the same tokens. */
  readonly chain: string
  /** Addresses of the chain; EVM in lower case. */
  readonly token: string
  readonly owner: string
  readonly spender: string
  readonly destination: string
  /** Base units. */
  readonly units: bigint
  readonly principal: string
  readonly requestId: RequestId | undefined
  readonly state: SpendState
  /** Why it is FAILED; '' otherwise. */
  readonly reason: string
  /** That has it, once CONFIRMED. */
  readonly block: bigint | undefined
  readonly transactionHash: string
  /** What arrived; undefined until it is SETTLED. */
  readonly delivered: bigint | undefined
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  spend_id: string
  send_id: string
  project: string
  user_id: string
  external_wallet_id: string
  network: string
  currency: string
  decimals: bigint
  chain: string
  token: string
  owner: string
  spender: string
  destination: string
  units: string
  principal: string
  request_id: string
  state: string
  reason: string
  block: bigint | null
  transaction_hash: string
  delivered: string
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
}

const TABLE = 'spends'

const macItems = (row: Omit<Row, 'mac' | 'number'>): readonly Item[] => [
  row.spend_id, row.send_id, row.project, row.user_id, row.external_wallet_id, row.network, row.currency, u64(row.decimals),
  row.chain, row.token, row.owner, row.spender, row.destination, row.units, row.principal, row.request_id, row.state, row.reason,
  row.block === null ? '' : u64(row.block), row.transaction_hash, row.delivered, u64(row.create_ms), u64(row.update_ms),
]

/** VAULT_CORRUPT for an altered row. */
const toSpend = (reader: Reader, row: Row): Spend => {
  requireRowMac(reader, TABLE, macItems(row), row.mac)
  return {
    spendId: row.spend_id,
    sendId: row.send_id,
    project: row.project as ProjectId,
    userId: row.user_id as UserId,
    externalWalletId: row.external_wallet_id,
    network: row.network,
    currency: row.currency,
    decimals: Number(row.decimals),
    chain: row.chain,
    token: row.token,
    owner: row.owner,
    spender: row.spender,
    destination: row.destination,
    units: BigInt(row.units),
    principal: row.principal,
    requestId: row.request_id === '' ? undefined : (row.request_id as RequestId),
    state: row.state as SpendState,
    reason: row.reason,
    block: row.block ?? undefined,
    transactionHash: row.transaction_hash,
    delivered: row.delivered === '' ? undefined : BigInt(row.delivered),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
    number: row.number,
  }
}

export type NewSpend = Omit<
  Spend, 'spendId' | 'state' | 'reason' | 'block' | 'transactionHash' | 'delivered' | 'createMs' | 'updateMs' | 'number'
> & { readonly nowMs: number }

/** Holds the amount from here on. */
export const insertSpend = (tx: Tx, spend: NewSpend): Spend => {
  const now = BigInt(spend.nowMs)
  const row: Omit<Row, 'mac' | 'number'> = {
    spend_id: `spd_${randomBytes(16).toString('hex')}`, send_id: spend.sendId, project: spend.project, user_id: spend.userId,
    external_wallet_id: spend.externalWalletId, network: spend.network, currency: spend.currency, decimals: BigInt(spend.decimals),
    chain: spend.chain, token: addressKeyOf(spend.token), owner: addressKeyOf(spend.owner), spender: addressKeyOf(spend.spender),
    destination: spend.destination, units: String(spend.units), principal: spend.principal, request_id: spend.requestId ?? '',
    state: 'OPEN', reason: '', block: null, transaction_hash: '', delivered: '', create_ms: now, update_ms: now,
  }
  insertInto(tx, TABLE, { ...row, mac: rowMac(tx, TABLE, macItems(row)) })
  const made = findSpendOfSend(tx, spend.sendId)
  assert(made, 'the spend is there')
  return made
}

const one = (reader: Reader, where: string, ...params: SqlParam[]): Spend | undefined => {
  const row = reader.one<Row>(`SELECT * FROM spends WHERE ${where}`, ...params)
  return row && toSpend(reader, row)
}

export const getSpend = (reader: Reader, spendId: string): Spend | undefined => one(reader, 'spend_id = ?', spendId)

export const findSpendOfSend = (reader: Reader, sendId: string): Spend | undefined => one(reader, 'send_id = ?', sendId)

/** What a caller spent under a request id less than a day ago. */
export const findSpendByRequest = (reader: Reader, principal: string, requestId: RequestId, nowMs: number): Spend | undefined =>
  one(reader, `principal = ? AND request_id = ? AND request_id <> '' AND create_ms > ? ORDER BY number DESC`, principal, requestId, nowMs - REQUEST_LIFE_MS)

export type Purse = { readonly chain: string; readonly token: string; readonly owner: string }

const HELD = `SELECT * FROM spends WHERE chain = ? AND token = ? AND owner = ? AND state = 'OPEN'
  UNION ALL SELECT * FROM spends WHERE chain = ? AND token = ? AND owner = ? AND block > ?`

/** What is held of an owner's tokens, by any spender, and is not in what the chain said at `block`; of every project. */
export const spendsHeld = (reader: Reader, { chain, token, owner }: Purse, block: bigint): readonly Spend[] => {
  const purse = [chain, addressKeyOf(token), addressKeyOf(owner)]
  return reader.all<Row>(HELD, ...purse, ...purse, block).map((row) => toSpend(reader, row))
}

export type SpendChange = {
  readonly state: SpendState
  readonly reason?: string
  readonly block?: bigint | undefined
  readonly transactionHash?: string
  readonly delivered?: bigint | undefined
}

/** Answers the spend as it is then. What is absent from `change` is forgotten. */
export const changeSpend = (tx: Tx, spendId: string, change: SpendChange, nowMs: number): Spend => {
  const row = tx.one<Row>('SELECT * FROM spends WHERE spend_id = ?', spendId)
  assert(row, 'the spend is there')
  toSpend(tx, row)
  const next: Row = {
    ...row,
    state: change.state,
    reason: change.reason ?? '',
    block: change.block ?? null,
    transaction_hash: change.transactionHash ?? '',
    delivered: change.delivered === undefined ? '' : String(change.delivered),
    update_ms: BigInt(nowMs),
  }
  const mac = rowMac(tx, TABLE, macItems(next))
  tx.run(
    'UPDATE spends SET state = ?, reason = ?, block = ?, transaction_hash = ?, delivered = ?, update_ms = ?, mac = ? WHERE number = ?',
    next.state, next.reason, next.block, next.transaction_hash, next.delivered, next.update_ms, mac, row.number,
  )
  return toSpend(tx, { ...next, mac })
}

const NETWORKS_CONFIRMED = `SELECT DISTINCT network FROM spends WHERE state = 'CONFIRMED' ORDER BY network`
const CONFIRMED_ON = `SELECT * FROM spends WHERE state = 'CONFIRMED' AND network = ? AND number > ? ORDER BY number LIMIT ?`

/** Networks with spends of which it is not known yet what arrived. */
export const networksConfirmed = (reader: Reader): readonly string[] =>
  reader.all<{ network: string }>(NETWORKS_CONFIRMED).map(({ network }) => network)

/** Of one network, those of which it is not known yet what arrived, the oldest behind `after` first. */
export const confirmedSpends = (reader: Reader, network: string, after: bigint, limit: number): readonly Spend[] =>
  reader.all<Row>(CONFIRMED_ON, network, after, limit).map((row) => toSpend(reader, row))

export type SpendFilter = { readonly project: ProjectId; readonly userId: UserId | undefined }

/** Newest first, before `beforeNumber`. */
export const listSpends = (reader: Reader, { project, userId }: SpendFilter, beforeNumber: bigint, limit: number): readonly Spend[] => {
  const { sql, params } = allOf({ 'project = ?': project, 'user_id = ?': userId, 'number < ?': beforeNumber })
  return reader
    .all<Row>(`SELECT * FROM spends WHERE ${sql} ORDER BY number DESC LIMIT ?`, ...params, limit)
    .map((row) => toSpend(reader, row))
}

/** So long what was spent can be looked up; the audit chain keeps it for good. */
const KEPT_MS = 90 * 86_400_000

/** Forgets what was over long ago, at most `limit`; answers how many. */
export const pruneSpends = (tx: Tx, nowMs: number, limit: number): number => {
  const sql = `SELECT number FROM spends WHERE state IN ('SETTLED', 'FAILED') AND update_ms <= ? ORDER BY update_ms LIMIT ?`
  const old = tx.all<{ number: bigint }>(sql, nowMs - KEPT_MS, limit)
  for (const { number } of old) tx.run('DELETE FROM spends WHERE number = ?', number)
  return old.length
}
