import { type ProjectId, type RequestId, type WalletId, walletIdToBytes } from '../domain/ids.ts'
import { allOf } from './conditions.ts'
import { REQUEST_LIFE_MS } from './intents.ts'
import { type SentRow, type SentTransaction, toSent, toVersion, type VersionRow } from './sent-transactions.ts'
import type { Reader, SqlParam } from './store.ts'
import { AMONG_WALLETS } from './wallets.ts'

/** Look-ups of what was sent. */
export const getSent = (reader: Reader, sendId: string): SentTransaction | undefined => {
  const row = reader.one<SentRow>('SELECT * FROM sent_transactions WHERE send_id = ?', sendId)
  return row && toSent(reader, row)
}

const all = (reader: Reader, where: string, ...params: SqlParam[]): readonly SentTransaction[] =>
  reader.all<SentRow>(`SELECT * FROM sent_transactions WHERE ${where}`, ...params).map((row) => toSent(reader, row))

/** The version that a caller asked for under a request id less than a day ago, and the send it is of. */
export const findSentByRequest = (
  reader: Reader,
  principal: string,
  requestId: RequestId,
  nowMs: number,
): { readonly sendId: string; readonly bodyHash: Uint8Array } | undefined => {
  const row = reader.one<VersionRow>(
    `SELECT * FROM sent_versions WHERE principal = ? AND request_id = ? AND request_id <> '' ORDER BY create_ms DESC LIMIT 1`,
    principal,
    requestId,
  )
  if (row === undefined || row.create_ms <= nowMs - REQUEST_LIFE_MS) return undefined
  return { sendId: row.send_id, bodyHash: toVersion(reader, row).bodyHash }
}

/** What is not over; what the indexes of what is open are over. */
const OPEN = `state IN ('SIGNING', 'SIGNED', 'BROADCAST', 'INCLUDED')`

/** Networks with something to follow. */
export const openNetworks = (reader: Reader): readonly string[] =>
  reader.all<{ network: string }>(`SELECT DISTINCT network FROM sent_transactions WHERE ${OPEN}`).map(({ network }) => network)

/** What is followed on a network, the oldest first. */
export const openSent = (reader: Reader, network: string): readonly SentTransaction[] =>
  all(reader, `network = ? AND ${OPEN} ORDER BY number`, network)

export const countOpen = (reader: Reader, chain: string, sender: string): number =>
  Number(
    reader.one<{ count: bigint }>(
      `SELECT count(*) AS count FROM sent_transactions
         WHERE chain = ? AND sender = ? AND ${OPEN}`,
      chain,
      sender,
    )?.count ?? 0n,
  )

/** What is under way on a network. */
export type OpenOnNetwork = { readonly network: string; readonly open: number; readonly stuck: number; readonly oldestMs: number }

const OPEN_BY_NETWORK = `SELECT network, count(*) AS open, min(create_ms) AS oldest,
    sum(stuck_version IS NOT NULL AND stuck_version = (SELECT max(version) FROM sent_versions v WHERE v.send_id = s.send_id)) AS stuck
  FROM sent_transactions s WHERE ${OPEN} GROUP BY network ORDER BY network`

export const openByNetwork = (reader: Reader): readonly OpenOnNetwork[] =>
  reader
    .all<{ network: string; open: bigint; oldest: bigint; stuck: bigint }>(OPEN_BY_NETWORK)
    .map(({ network, open, oldest, stuck }) => ({ network, open: Number(open), stuck: Number(stuck), oldestMs: Number(oldest) }))

/** How many bytes all versions have of what one sender has under way. */
export const bytesOpen = (reader: Reader, chain: string, sender: string): number =>
  Number(
    reader.one<{ bytes: bigint | null }>(
      `SELECT sum(length(unsigned)) AS bytes FROM sent_versions WHERE send_id IN (SELECT send_id FROM sent_transactions
         WHERE chain = ? AND sender = ? AND ${OPEN})`,
      chain,
      sender,
    )?.bytes ?? 0n,
  )

/** Of one sender, what still waits for its signature: one at most, because leases are taken one after the other. */
export const unsignedOf = (reader: Reader, chain: string, sender: string): readonly SentTransaction[] =>
  all(
    reader,
    `chain = ? AND sender = ? AND ${OPEN}
       AND send_id IN (SELECT send_id FROM sent_versions WHERE raw IS NULL)`,
    chain,
    sender,
  )

/** The lowest nonce from `from` that no send of the sender's holds. */
export const lowestFreeNonce = (reader: Reader, chain: string, sender: string, from: bigint): bigint => {
  const held = reader.all<{ nonce: bigint }>(
    'SELECT nonce FROM sent_transactions WHERE chain = ? AND sender = ? AND nonce >= ? ORDER BY nonce', chain, sender, from,
  )
  let free = from
  for (const { nonce } of held) {
    if (nonce !== free) break
    free += 1n
  }
  return free
}

/**
 * Those of a sender that were over before `beforeMs`, from a nonce on: what a chain that counts fewer has taken back.
 */
export const overFrom = (
  reader: Reader,
  { chain, sender, from, beforeMs }: { readonly chain: string; readonly sender: string; readonly from: bigint; readonly beforeMs: number },
  limit: number,
): readonly SentTransaction[] =>
  all(
    reader,
    `chain = ? AND sender = ? AND nonce >= ? AND state IN ('CONFIRMED', 'REPLACED', 'FAILED') AND update_ms < ? ORDER BY nonce LIMIT ?`,
    chain, sender, from, beforeMs, limit,
  )

export type SentFilter = {
  readonly project: ProjectId
  /** Undefined: of every wallet of the project. */
  readonly wallets: readonly WalletId[] | undefined
  readonly network: string | undefined
  readonly openOnly: boolean
}

/** A page ends with what goes beyond so many bytes. */
const PAGE_BYTES = 4 * 1024 * 1024

/** `isCut`: it ends before `limit`, and there are more. */
export type SentPage = { readonly items: readonly SentTransaction[]; readonly isCut: boolean }

/** What is open is little, and what a wallet has sent is less than what its project has. */
const indexFor = ({ wallets, openOnly }: SentFilter): string => {
  if (openOnly) return 'INDEXED BY sent_transactions_open'
  return wallets === undefined ? '' : 'INDEXED BY sent_transactions_by_wallet'
}

/** Newest first, before `beforeNumber`. */
export const listSent = (reader: Reader, filter: SentFilter, beforeNumber: bigint, limit: number): SentPage => {
  const { project, wallets, network, openOnly } = filter
  // One wallet's are read in their order, and no further than the page.
  const wallet = wallets?.length === 1 ? wallets[0] : undefined
  const { sql, params } = allOf({
    'project = ?': project,
    'number < ?': beforeNumber,
    'wallet_id = ?': wallet && walletIdToBytes(wallet),
    [AMONG_WALLETS]: wallet === undefined ? wallets && JSON.stringify(wallets) : undefined,
    'network = ?': network,
  })
  const open = openOnly ? `AND ${OPEN}` : ''
  const query = `SELECT * FROM sent_transactions ${indexFor(filter)} WHERE ${sql} ${open} ORDER BY number DESC LIMIT ?`
  const rows = reader.all<SentRow>(query, ...params, limit)
  const items: SentTransaction[] = []
  let bytes = 0
  for (const row of rows) {
    if (bytes > PAGE_BYTES) return { items, isCut: true }
    const sent = toSent(reader, row)
    items.push(sent)
    for (const { unsigned } of sent.versions) bytes += unsigned.length
  }
  return { items, isCut: false }
}
