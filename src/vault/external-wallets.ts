import { randomBytes } from 'node:crypto'
import { failure } from '../domain/failure.ts'
import { addressKeyOf, type ProjectId, type UserId } from '../domain/ids.ts'
import { insertInto } from './insert-into.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

/**
 * Wallets of other people's that let a project's spender spend. One is known by (project, network, currency, address);
 * what it was once stays as a REPLACED row. What may be spent is the chain's to say: `limitUnits` is what was shown when
 * the wallet was registered. Rows are under a MAC, and since version 4 of the vault in the state index, from their first
 * change on: neither a wallet that was replaced nor one that was taken back comes back with an older row.
 */
export type ExternalWalletState = 'ACTIVE' | 'REVOKED' | 'REPLACED'

export type ExternalWallet = {
  readonly externalWalletId: string
  readonly project: ProjectId
  readonly userId: UserId
  readonly network: string
  readonly currency: string
  /** With its checksum. */
  readonly address: string
  readonly tokenAddress: string
  readonly decimals: number
  readonly spender: string
  readonly limitUnits: bigint
  readonly transactionHash: string
  readonly state: ExternalWalletState
  /** Lower comes first. */
  readonly priority: number
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
}

type Row = {
  number: bigint
  external_wallet_id: string
  project: string
  user_id: string
  network: string
  currency: string
  address: string
  address_key: string
  token_address: string
  decimals: bigint
  spender: string
  limit_units: string
  transaction_hash: string
  state: string
  priority: bigint
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
  indexed: bigint
}

/** Of one user. */
const EXTERNAL_WALLETS_MAX = 50

const TABLE = 'external_wallets'
const TABLE_SUBJECT = 'external_wallet'

const macItems = (row: Omit<Row, 'mac' | 'number' | 'indexed'>) => [
  row.external_wallet_id, row.project, row.user_id, row.network, row.currency, row.address, row.address_key,
  row.token_address, u64(row.decimals), row.spender, row.limit_units, row.transaction_hash, row.state, u64(row.priority),
  u64(row.create_ms), u64(row.update_ms),
]

/** VAULT_CORRUPT for an altered row. */
const toWallet = (reader: Reader, row: Row): ExternalWallet => {
  requireRowMac(reader, TABLE, macItems(row), row.mac)
  return {
    externalWalletId: row.external_wallet_id,
    project: row.project as ProjectId,
    userId: row.user_id as UserId,
    network: row.network,
    currency: row.currency,
    address: row.address,
    tokenAddress: row.token_address,
    decimals: Number(row.decimals),
    spender: row.spender,
    limitUnits: BigInt(row.limit_units),
    transactionHash: row.transaction_hash,
    state: row.state as ExternalWalletState,
    priority: Number(row.priority),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
    number: row.number,
  }
}

const index = (tx: Tx, before: Row | undefined, after: Pick<Row, 'external_wallet_id' | 'state' | 'mac' | 'update_ms'>): void => {
  const { external_wallet_id: id, state, mac, update_ms: timeMs } = after
  moveStateIndex(tx, {
    timeMs: Number(timeMs),
    subject: { type: TABLE_SUBJECT, id },
    removed: before?.indexed === 1n ? [rowLeaf(tx, TABLE, [id, before.mac])] : [],
    added: [rowLeaf(tx, TABLE, [id, mac])],
    details: { state },
  })
}

const write = (tx: Tx, row: Row, change: Partial<Pick<Row, 'state' | 'priority'>>, nowMs: number): void => {
  const next = { ...row, ...change, update_ms: BigInt(nowMs) }
  const mac = rowMac(tx, TABLE, macItems(next))
  tx.run(
    'UPDATE external_wallets SET state = ?, priority = ?, update_ms = ?, mac = ?, indexed = 1 WHERE number = ?',
    next.state, next.priority, next.update_ms, mac, row.number,
  )
  index(tx, row, { ...next, mac })
}

/** It is followed no more. */
const replace = (tx: Tx, row: Row, nowMs: number): void => {
  write(tx, row, { state: 'REPLACED' }, nowMs)
  tx.run('DELETE FROM followed_wallets WHERE external_wallet_id = ?', row.external_wallet_id)
}

const LIVE_OF_USER = `SELECT * FROM external_wallets WHERE project = ? AND user_id = ? AND state <> 'REPLACED' ORDER BY priority, number`

/** Of one user, those that count, the first choice first. */
export const externalWalletsOf = (reader: Reader, project: ProjectId, userId: UserId): ExternalWallet[] =>
  reader.all<Row>(LIVE_OF_USER, project, userId).map((row) => toWallet(reader, row))

export type NewExternalWallet = Omit<
  ExternalWallet, 'externalWalletId' | 'state' | 'priority' | 'createMs' | 'updateMs' | 'number'
> & {
  /** The id of another wallet of the user's whose place this takes. */
  readonly replaces: string | undefined
  readonly nowMs: number
}

const requireOwn = (tx: Tx, { project, userId, replaces }: NewExternalWallet): Row | undefined => {
  if (replaces === undefined) return undefined
  const row = tx.one<Row>('SELECT * FROM external_wallets WHERE external_wallet_id = ?', replaces)
  const isOwn = row !== undefined && row.project === project && row.user_id === userId && row.state !== 'REPLACED'
  if (!isOwn) throw failure('EXTERNAL_WALLET_NOT_FOUND', {})
  toWallet(tx, row)
  return row
}

/**
 * Registers a wallet, in the place of the one it is (same network, currency and address) or `replaces`; a new one comes
 * last. Refuses with EXTERNAL_WALLET_TAKEN an address that is another user's of the project, with EXTERNAL_WALLET_NOT_FOUND
 * a `replaces` that is not the user's, with LIMIT_EXCEEDED more than 50 of a user.
 */
export const registerExternalWallet = (tx: Tx, wallet: NewExternalWallet): ExternalWallet => {
  const { project, userId, network, currency, address, nowMs } = wallet
  const addressKey = addressKeyOf(address)
  const known = tx.all<Row>(
    `SELECT * FROM external_wallets WHERE project = ? AND address_key = ? AND state <> 'REPLACED'`, project, addressKey,
  )
  if (known.some((row) => row.user_id !== userId)) throw failure('EXTERNAL_WALLET_TAKEN', {})
  const same = known.find((row) => row.network === network && row.currency === currency)
  const replaced = requireOwn(tx, wallet)
  const place = replaced ?? same
  const held = externalWalletsOf(tx, project, userId).length
  if (place === undefined && held >= EXTERNAL_WALLETS_MAX) {
    throw failure('LIMIT_EXCEEDED', { limit: 'external wallets of a user', seen: String(held + 1), allowed: String(EXTERNAL_WALLETS_MAX) })
  }
  for (const row of new Set([same, replaced])) if (row !== undefined) replace(tx, row, nowMs)
  const last = tx.one<{ last: bigint | null }>(
    `SELECT max(priority) AS last FROM external_wallets WHERE project = ? AND user_id = ? AND state <> 'REPLACED'`, project, userId,
  )?.last
  const row = {
    external_wallet_id: `ext_${randomBytes(16).toString('hex')}`,
    project,
    user_id: userId,
    network,
    currency,
    address,
    address_key: addressKey,
    token_address: wallet.tokenAddress,
    decimals: BigInt(wallet.decimals),
    spender: wallet.spender,
    limit_units: wallet.limitUnits.toString(),
    transaction_hash: wallet.transactionHash,
    state: 'ACTIVE',
    priority: place?.priority ?? (last ?? 0n) + 1n,
    create_ms: BigInt(nowMs),
    update_ms: BigInt(nowMs),
  }
  const mac = rowMac(tx, TABLE, macItems(row))
  insertInto(tx, TABLE, { ...row, mac, indexed: 1n })
  index(tx, undefined, { ...row, mac })
  const made = tx.one<Row>('SELECT * FROM external_wallets WHERE external_wallet_id = ?', row.external_wallet_id)
  return toWallet(tx, made as Row)
}

/**
 * Puts a user's wallets into an order. Refuses with PRIORITIES_INVALID a list that leaves one out, names one that is not
 * the user's, or says a number twice.
 */
export const reorderExternalWallets = (
  tx: Tx,
  { project, userId, nowMs }: { readonly project: ProjectId; readonly userId: UserId; readonly nowMs: number },
  priorities: ReadonlyMap<string, number>,
): ExternalWallet[] => {
  const rows = tx.all<Row>(LIVE_OF_USER, project, userId)
  for (const row of rows) toWallet(tx, row)
  const isComplete = rows.length === priorities.size && rows.every((row) => priorities.has(row.external_wallet_id))
  if (!isComplete) throw failure('PRIORITIES_INVALID', { why: 'the list names every wallet of the user, and no other' })
  if (new Set(priorities.values()).size !== priorities.size) throw failure('PRIORITIES_INVALID', { why: 'two wallets have the same priority' })
  for (const row of rows) {
    const priority = BigInt(priorities.get(row.external_wallet_id) ?? 0)
    if (priority !== row.priority) write(tx, row, { priority }, nowMs)
  }
  return externalWalletsOf(tx, project, userId)
}

/** What the chain says of it now. Answers whether that is news. */
export const setExternalWalletState = (tx: Tx, externalWalletId: string, state: 'ACTIVE' | 'REVOKED', nowMs: number): boolean => {
  const row = tx.one<Row>('SELECT * FROM external_wallets WHERE external_wallet_id = ?', externalWalletId)
  if (row === undefined || row.state === 'REPLACED' || row.state === state) return false
  toWallet(tx, row)
  write(tx, row, { state }, nowMs)
  return true
}

export const getExternalWallet = (reader: Reader, externalWalletId: string): ExternalWallet | undefined => {
  const row = reader.one<Row>('SELECT * FROM external_wallets WHERE external_wallet_id = ?', externalWalletId)
  return row && toWallet(reader, row)
}

/** Networks on which wallets are registered. */
export const followedNetworks = (reader: Reader): readonly string[] =>
  reader
    .all<{ network: string }>(`SELECT DISTINCT network FROM external_wallets WHERE state <> 'REPLACED' ORDER BY network`)
    .map(({ network }) => network)

export type WatchedWallet = Pick<ExternalWallet, 'externalWalletId' | 'address' | 'tokenAddress' | 'spender'> & {
  /** The block at which the chain was looked at for it last, if it was. */
  readonly seenBlock: bigint | undefined
}

const WATCHED = `SELECT external_wallet_id, address, token_address, spender, s.block AS seen
  FROM external_wallets LEFT JOIN followed_wallets s USING (external_wallet_id)
  WHERE network = ? AND state <> 'REPLACED' ORDER BY number`

/** What is to be watched of a network; rows that are acted on are read whole, and verified, by their ids. */
export const watchedOn = (reader: Reader, network: string): readonly WatchedWallet[] =>
  reader
    .all<Pick<Row, 'external_wallet_id' | 'address' | 'token_address' | 'spender'> & { seen: bigint | null }>(WATCHED, network)
    .map((row) => ({
      externalWalletId: row.external_wallet_id,
      address: row.address,
      tokenAddress: row.token_address,
      spender: row.spender,
      seenBlock: row.seen ?? undefined,
    }))
