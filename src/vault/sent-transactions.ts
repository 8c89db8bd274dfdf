import { randomBytes } from 'node:crypto'
import { assert } from '../domain/failure.ts'
import { type ProjectId, type RequestId, type WalletId, walletIdFromBytes, walletIdToBytes } from '../domain/ids.ts'
import { insertInto, replaceInto } from './insert-into.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import type { Reader, Tx } from './store.ts'
import { type Item, u64 } from './tagged-encoding.ts'

/**
 * Transactions that the daemon sends, whatever the chain. A row is a send: what somebody asked for once. It holds its nonce
 * (EVM) from the transaction that records the intent to sign until it is over without having been let out; two rows of one
 * sender never hold the same. Each signed form of it is a version: the original, and what replaces it at the same nonce.
 * Rows are under a MAC, because a version that is not signed yet is signed on their word.
 */
export type SentState = 'SIGNING' | 'SIGNED' | 'BROADCAST' | 'INCLUDED' | 'CONFIRMED' | 'REPLACED' | 'FAILED' | 'EXPIRED'
export type SentPurpose = 'SEND' | 'SPEND'
export type FamilyName = 'EVM' | 'SOLANA'
export type VersionKind = 'ORIGINAL' | 'SPEED_UP' | 'CANCEL'

export type SentVersion = {
  /** From 1. */
  readonly version: number
  readonly kind: VersionKind
  /** Who asked for it, as JSON: what is cut off before it is signed is signed on their permission. */
  readonly caller: string
  readonly principal: string
  readonly requestId: RequestId | undefined
  /** 32 bytes: what was asked for under the request id. */
  readonly bodyHash: Uint8Array
  readonly unsigned: Uint8Array
  /** Solana: the blockhash, and the last block height at which it counts. */
  readonly anchor: string
  readonly lastValid: bigint | undefined
  /** As it is broadcast; absent until it is signed. */
  readonly raw: Uint8Array | undefined
  /** As the network names it: EVM 0x and 64 hex digits, Solana base58; '' until it is signed. */
  readonly hash: string
  /** The audit row that authorised it. */
  readonly intent: bigint | undefined
  readonly createMs: number
}

export type SentTransaction = {
  /** `snd_` and 32 hexadecimal digits. */
  readonly sendId: string
  readonly project: ProjectId
  readonly walletId: WalletId
  readonly network: string
  /** CAIP-2. */
  readonly chain: string
  readonly family: FamilyName
  /** Nonces are counted by this: the address, EVM in lower case. */
  readonly sender: string
  readonly purpose: SentPurpose
  /** What a SPEND belongs to; '' for a SEND. */
  readonly subject: string
  /** How deep it must be to count. */
  readonly confirmations: number
  readonly nonce: bigint | undefined
  readonly state: SentState
  /** Why it is FAILED, REPLACED or EXPIRED, or not taken by any provider; '' otherwise. */
  readonly reason: string
  /** The version that is in a block. */
  readonly minedVersion: number | undefined
  readonly block: bigint | undefined
  readonly blockHash: string
  readonly succeeded: boolean | undefined
  /** How deep it is. */
  readonly depth: number
  /** The version of which it was told that nothing moves it. */
  readonly stuckVersion: number | undefined
  readonly createMs: number
  readonly updateMs: number
  /** Pages go on after this. */
  readonly number: bigint
  /** The newest last. */
  readonly versions: readonly SentVersion[]
}

/** Of the version that is in a block, or of the newest that is signed; '' where none is. */
export const transactionHashOf = ({ versions, minedVersion }: Pick<SentTransaction, 'versions' | 'minedVersion'>): string =>
  (versions.find(({ version }) => version === minedVersion) ?? versions.findLast(({ hash }) => hash !== ''))?.hash ?? ''

export type SentRow = {
  number: bigint
  send_id: string
  project: string
  wallet_id: Buffer
  network: string
  chain: string
  family: string
  sender: string
  purpose: string
  subject: string
  confirmations: bigint
  nonce: bigint | null
  state: string
  reason: string
  mined_version: bigint | null
  block: bigint | null
  block_hash: string
  succeeded: bigint | null
  depth: bigint
  stuck_version: bigint | null
  create_ms: bigint
  update_ms: bigint
  mac: Buffer
}

export type VersionRow = {
  send_id: string
  version: bigint
  kind: string
  caller: string
  principal: string
  request_id: string
  body_hash: Buffer
  unsigned: Buffer
  anchor: string
  last_valid: bigint | null
  raw: Buffer | null
  hash: string
  intent: bigint | null
  create_ms: bigint
  mac: Buffer
}

const TABLE = 'sent_transactions'
const VERSIONS = 'sent_versions'

const optional = (value: bigint | null): Item => (value === null ? '' : u64(value))

const macItems = (row: Omit<SentRow, 'mac' | 'number'>): readonly Item[] => [
  row.send_id, row.project, row.wallet_id, row.network, row.chain, row.family, row.sender, row.purpose, row.subject,
  u64(row.confirmations), optional(row.nonce), row.state, row.reason,
  optional(row.mined_version), optional(row.block), row.block_hash, optional(row.succeeded), u64(row.depth), optional(row.stuck_version), u64(row.create_ms),
  u64(row.update_ms),
]

const versionItems = (row: Omit<VersionRow, 'mac'>): readonly Item[] => [
  row.send_id, u64(row.version), row.kind, row.caller, row.principal, row.request_id, row.body_hash, row.unsigned, row.anchor, optional(row.last_valid),
  row.raw ?? new Uint8Array(0), row.hash, optional(row.intent), u64(row.create_ms),
]

export const toVersion = (reader: Reader, row: VersionRow): SentVersion => {
  requireRowMac(reader, VERSIONS, versionItems(row), row.mac)
  return {
    version: Number(row.version),
    kind: row.kind as VersionKind,
    caller: row.caller,
    principal: row.principal,
    requestId: row.request_id === '' ? undefined : (row.request_id as RequestId),
    bodyHash: row.body_hash,
    unsigned: row.unsigned,
    anchor: row.anchor,
    lastValid: row.last_valid ?? undefined,
    raw: row.raw ?? undefined,
    hash: row.hash,
    intent: row.intent ?? undefined,
    createMs: Number(row.create_ms),
  }
}

/** VAULT_CORRUPT for an altered row. */
export const toSent = (reader: Reader, row: SentRow): SentTransaction => {
  requireRowMac(reader, TABLE, macItems(row), row.mac)
  const versions = reader.all<VersionRow>('SELECT * FROM sent_versions WHERE send_id = ? ORDER BY version', row.send_id)
  return {
    sendId: row.send_id,
    project: row.project as ProjectId,
    walletId: walletIdFromBytes(row.wallet_id),
    network: row.network,
    chain: row.chain,
    family: row.family as FamilyName,
    sender: row.sender,
    purpose: row.purpose as SentPurpose,
    subject: row.subject,
    confirmations: Number(row.confirmations),
    nonce: row.nonce ?? undefined,
    state: row.state as SentState,
    reason: row.reason,
    minedVersion: row.mined_version === null ? undefined : Number(row.mined_version),
    block: row.block ?? undefined,
    blockHash: row.block_hash,
    succeeded: row.succeeded === null ? undefined : row.succeeded === 1n,
    depth: Number(row.depth),
    stuckVersion: row.stuck_version === null ? undefined : Number(row.stuck_version),
    createMs: Number(row.create_ms),
    updateMs: Number(row.update_ms),
    number: row.number,
    versions: versions.map((version) => toVersion(reader, version)),
  }
}

export const newSendId = (): string => `snd_${randomBytes(16).toString('hex')}`

export type NewVersion = Omit<SentVersion, 'version' | 'raw' | 'hash' | 'intent' | 'createMs'>

export type NewSent = Pick<
  SentTransaction,
  | 'sendId' | 'project' | 'walletId' | 'network' | 'chain' | 'family' | 'sender' | 'purpose' | 'subject' | 'confirmations' | 'nonce'
> & { readonly version: NewVersion; readonly nowMs: number }

/** A send that is about to be signed, with the lease of its nonce. Throws where another row of the sender holds it. */
export const insertSent = (tx: Tx, sent: NewSent): void => {
  const now = BigInt(sent.nowMs)
  const row: Omit<SentRow, 'mac' | 'number'> = {
    send_id: sent.sendId, project: sent.project, wallet_id: Buffer.from(walletIdToBytes(sent.walletId)), network: sent.network,
    chain: sent.chain, family: sent.family, sender: sent.sender, purpose: sent.purpose, subject: sent.subject,
    confirmations: BigInt(sent.confirmations), nonce: sent.nonce ?? null, state: 'SIGNING', reason: '', mined_version: null,
    block: null, block_hash: '', succeeded: null, depth: 0n, stuck_version: null, create_ms: now, update_ms: now,
  }
  insertInto(tx, TABLE, { ...row, mac: rowMac(tx, TABLE, macItems(row)) })
  addVersion(tx, sent.sendId, sent.version, sent.nowMs)
}

const writeVersion = (tx: Tx, row: Omit<VersionRow, 'mac'>): void =>
  replaceInto(tx, VERSIONS, { ...row, mac: rowMac(tx, VERSIONS, versionItems(row)) })

const LAST_VERSION = 'SELECT max(version) AS last FROM sent_versions WHERE send_id = ?'

/** Another form of a send, not signed yet. Answers its number. */
export const addVersion = (tx: Tx, sendId: string, version: NewVersion, nowMs: number): number => {
  const number = (tx.one<{ last: bigint | null }>(LAST_VERSION, sendId)?.last ?? 0n) + 1n
  writeVersion(tx, {
    send_id: sendId, version: number, kind: version.kind, caller: version.caller, principal: version.principal,
    request_id: version.requestId ?? '', body_hash: Buffer.from(version.bodyHash), unsigned: Buffer.from(version.unsigned),
    anchor: version.anchor, last_valid: version.lastValid ?? null, raw: null, hash: '', intent: null, create_ms: BigInt(nowMs),
  })
  return Number(number)
}

const requireVersion = (reader: Reader, sendId: string, version: number): VersionRow => {
  const row = reader.one<VersionRow>('SELECT * FROM sent_versions WHERE send_id = ? AND version = ?', sendId, version)
  assert(row, 'the version is there')
  toVersion(reader, row)
  return row
}

export type SignedForm = { readonly raw: Uint8Array; readonly hash: string; readonly intent: bigint }

/** The version has been signed. */
export const keepSigned = (tx: Tx, sendId: string, version: number, { raw, hash, intent }: SignedForm): void => {
  const { mac: _mac, ...row } = requireVersion(tx, sendId, version)
  writeVersion(tx, { ...row, raw: Buffer.from(raw), hash, intent })
}

/** The version was not signed, or never let out: it is forgotten. */
export const dropVersion = (tx: Tx, sendId: string, version: number): void => {
  tx.run('DELETE FROM sent_versions WHERE send_id = ? AND version = ?', sendId, version)
}

export type SentChange = {
  readonly state?: SentState
  readonly reason?: string
  readonly minedVersion?: number | undefined
  readonly block?: bigint | undefined
  readonly blockHash?: string
  readonly succeeded?: boolean | undefined
  readonly depth?: number
  readonly stuckVersion?: number | undefined
  /** Its nonce may be leased again: nothing signed with it has been let out. */
  readonly givesNonceBack?: true
}

const orNull = <T>(value: T | undefined, into: (value: T) => bigint): bigint | null => (value === undefined ? null : into(value))

/** Answers the send as it is now. */
export const changeSent = (tx: Tx, sendId: string, change: SentChange, nowMs: number): SentTransaction => {
  const row = tx.one<SentRow>('SELECT * FROM sent_transactions WHERE send_id = ?', sendId)
  assert(row, 'the send is there')
  requireRowMac(tx, TABLE, macItems(row), row.mac)
  const next: SentRow = {
    ...row,
    state: change.state ?? row.state,
    reason: change.reason ?? row.reason,
    mined_version: 'minedVersion' in change ? orNull(change.minedVersion, BigInt) : row.mined_version,
    block: 'block' in change ? orNull(change.block, (block) => block) : row.block,
    block_hash: change.blockHash ?? row.block_hash,
    succeeded: 'succeeded' in change ? orNull(change.succeeded, (succeeded) => (succeeded ? 1n : 0n)) : row.succeeded,
    depth: BigInt(change.depth ?? row.depth),
    stuck_version: 'stuckVersion' in change ? orNull(change.stuckVersion, BigInt) : row.stuck_version,
    nonce: change.givesNonceBack === true ? null : row.nonce,
    update_ms: BigInt(nowMs),
  }
  const mac = rowMac(tx, TABLE, macItems(next))
  tx.run(
    `UPDATE sent_transactions SET state = ?, reason = ?, mined_version = ?, block = ?, block_hash = ?, succeeded = ?, depth = ?,
       stuck_version = ?, nonce = ?, update_ms = ?, mac = ? WHERE number = ?`,
    next.state, next.reason, next.mined_version, next.block, next.block_hash, next.succeeded, next.depth, next.stuck_version, next.nonce,
    next.update_ms, mac, row.number,
  )
  return toSent(tx, { ...next, mac })
}

const FINISHED_BEFORE = `SELECT send_id FROM sent_transactions
  WHERE update_ms <= ? AND state IN ('CONFIRMED', 'REPLACED', 'FAILED', 'EXPIRED') LIMIT ?`

/** Forgets what was over before `beforeMs`, at most `limit`; answers how many. Its nonces are the chain's to count by then. */
export const pruneSent = (tx: Tx, beforeMs: number, limit: number): number => {
  const old = tx.all<{ send_id: string }>(FINISHED_BEFORE, beforeMs, limit)
  for (const { send_id: sendId } of old) {
    tx.run('DELETE FROM sent_versions WHERE send_id = ?', sendId)
    tx.run('DELETE FROM sent_transactions WHERE send_id = ?', sendId)
  }
  return old.length
}
