/**
 * How far a chain was followed, and what it said last of each external wallet: memories that save reading, and tell what is
 * news. Nothing is spent on their word.
 */
import type { Reader, Tx } from './store.ts'

/** A block by its number and hash, so that one that the chain has taken back is noticed. */
export type Cursor = { readonly block: bigint; readonly hash: string }

export const findCursor = (reader: Reader, network: string): Cursor | undefined =>
  reader.one<Cursor>('SELECT block, block_hash AS hash FROM followed_chains WHERE network = ?', network)

export const saveCursor = (tx: Tx, network: string, { block, hash }: Cursor): void => {
  tx.run('INSERT OR REPLACE INTO followed_chains (network, block, block_hash) VALUES (?, ?, ?)', network, block, hash)
}

/** In base units, at a block. */
export type SeenStanding = { readonly allowance: bigint; readonly balance: bigint; readonly block: bigint }

export const findSeen = (reader: Reader, externalWalletId: string): SeenStanding | undefined => {
  const sql = 'SELECT allowance, balance, block FROM followed_wallets WHERE external_wallet_id = ?'
  const row = reader.one<{ allowance: string; balance: string; block: bigint }>(sql, externalWalletId)
  return row && { allowance: BigInt(row.allowance), balance: BigInt(row.balance), block: row.block }
}

export const saveSeen = (tx: Tx, externalWalletId: string, { allowance, balance, block }: SeenStanding): void => {
  tx.run(
    'INSERT OR REPLACE INTO followed_wallets (external_wallet_id, allowance, balance, block) VALUES (?, ?, ?, ?)',
    externalWalletId, String(allowance), String(balance), block,
  )
}

/** What was seen is older than whatever is seen next: there was something that could not be read. */
export const BEFORE_ALL_BLOCKS = -1n

export const markUnread = (tx: Tx, externalWalletId: string): void => {
  tx.run('UPDATE followed_wallets SET block = ? WHERE external_wallet_id = ?', BEFORE_ALL_BLOCKS, externalWalletId)
}
