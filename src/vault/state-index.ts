import { timingSafeEqual } from 'node:crypto'
import { assert, failure } from '../domain/failure.ts'
import { appendAudit } from './audit-chain.ts'
import type { Reader, Tx } from './store.ts'
import { encodeTagged, macEncoded, macTagged, u32, u64 } from './tagged-encoding.ts'
import type { Item } from './tagged-encoding.ts'

/**
 * Notices rows put back to an older state, each of which would open and verify by itself: share records (an erased
 * share revived, a suspended wallet made active), link control rows (a burn undone), API keys, session keys, wallet
 * secrets and grants of end users and what delegates were given, here and elsewhere (a revocation undone, a permission regained), settings of
 * projects, wallets and freezes (a stop lifted), external wallets (one that was replaced regained), the cosigner's register
 * of owners and their wallet secrets (one that was removed), the row that says
 * whether a restore was acknowledged (a seal taken off).
 *
 * Every such row has a leaf, an HMAC over its identity, version and state. The index is the XOR of all leaves with
 * a version and a MAC. Each change moves the index and writes an audit row `vault.state_changed` that carries the
 * index's MAC, all in the transaction of the change; opening the vault recomputes the index from the rows.
 *
 * Detected when the vault is opened: any row of these tables added, removed, changed in version or state, or put
 * back, while the rest of the file stays; the index row put back as well, because the audit chain is ahead of it.
 * To hide it the chain must be rewritten from that row on, which the other party's memory of the head uncovers
 * (peer-heads.ts). Not detected here: the whole file put back to an older copy (the remembered head again), both
 * parties' files put back together, and `last_used_epoch`, which is outside the index.
 */
export type Leaf = Buffer

export type ShareLeaf = {
  readonly walletId: Uint8Array
  readonly slot: number
  readonly linkId: Uint8Array
  readonly wEpoch: number
  readonly recordVersion: bigint
  readonly state: string
}

const SHARE_LEAF = 'countersign/vault/leaf/share/v1'

export const shareLeaf = (reader: Reader, share: ShareLeaf): Leaf =>
  macTagged(reader.keys.stateIndex, SHARE_LEAF, [
    share.walletId,
    u32(share.slot),
    share.linkId,
    u32(share.wEpoch),
    u64(share.recordVersion),
    share.state,
  ])

/** The leaf of a row that its id and its own MAC, or all of its columns, identify in its present state. */
export const rowLeaf = (reader: Reader, table: string, items: readonly Item[]): Leaf =>
  macEncoded(reader.keys.stateIndex, encodeRow(table, items))

const encodeRow = (table: string, items: readonly Item[]): Buffer =>
  encodeTagged('countersign/vault/leaf/row/v1', [table, encodeTagged('row', items)])

type IndexRow = { version: bigint; accumulator: Buffer; mac: Buffer; audit_sequence: bigint }

const READ = 'SELECT version, accumulator, mac, audit_sequence FROM state_index WHERE id = 1'
const WRITE = `INSERT OR REPLACE INTO state_index (id, version, accumulator, mac, audit_sequence)
  VALUES (1, ?, ?, ?, ?)`

const indexMac = (reader: Reader, version: bigint, accumulator: Uint8Array): Buffer =>
  macTagged(reader.keys.stateIndex, 'countersign/vault/state-index/v1', [u64(version), accumulator])

const EMPTY: IndexRow = { version: 0n, accumulator: Buffer.alloc(32), mac: Buffer.alloc(32), audit_sequence: 0n }

export type StateChange = {
  /** Absent: the time of the audit row before; the caller's own row in the same work says it exactly. */
  readonly timeMs?: number | undefined
  readonly subject: {
    readonly type:
      | 'wallet'
      | 'link'
      | 'api_key'
      | 'session_key'
      | 'project'
      | 'grant'
      | 'wallet_secret'
      | 'freeze'
      | 'external_wallet'
      | 'delegate'
      | 'delegated_access'
      | 'vault'
    readonly id: string
  }
  readonly removed: readonly Leaf[]
  readonly added: readonly Leaf[]
  /** What the audit row says of it beside the index. */
  readonly details: { readonly [name: string]: string | number }
}

/** Moves the index and chains the move. The caller writes the rows themselves in the same work. */
export const moveStateIndex = (tx: Tx, change: StateChange): void => {
  const before = tx.one<IndexRow>(READ) ?? EMPTY
  if (before.version > 0n) requireOwnIndex(tx, before)
  const accumulator = Buffer.from(before.accumulator)
  for (const leaf of [...change.removed, ...change.added]) xorInto(accumulator, leaf)
  const version = before.version + 1n
  const mac = indexMac(tx, version, accumulator)
  const { sequence } = appendAudit(tx, {
    timeMs: change.timeMs ?? lastAuditMs(tx),
    kind: 'vault.state_changed',
    actor: { kind: tx.kind, id: '' },
    subject: change.subject,
    details: { ...change.details, indexVersion: String(version), index: mac.toString('hex') },
  })
  tx.run(WRITE, version, accumulator, mac, sequence)
}

const LAST_TIME = 'SELECT time_ms FROM audit ORDER BY sequence DESC LIMIT 1'

const lastAuditMs = (reader: Reader): number =>
  Number(reader.one<{ time_ms: bigint }>(LAST_TIME)?.time_ms ?? 0n)

const requireOwnIndex = (reader: Reader, row: IndexRow): void => {
  if (!timingSafeEqual(indexMac(reader, row.version, row.accumulator), row.mac)) {
    throw failure('VAULT_CORRUPT', { where: 'state index' })
  }
}

const xorInto = (accumulator: Buffer, leaf: Leaf): void => {
  assert(leaf.length === accumulator.length, 'leaves are as long as the accumulator')
  for (let at = 0; at < leaf.length; at++) accumulator[at] = accumulator[at]! ^ leaf[at]!
}

/** Read at once while a table is walked: enough that the calls into SQLite no longer count, and little memory. */
const PAGE_ROWS = 512

// Bytes come as hex digits: a Buffer for each would cost more than its MAC, in time and in memory.
type ShareRow = readonly [walletIdHex: string, slot: number, linkIdHex: string, wEpoch: number, recordVersion: number, state: string]

const SHARES = `SELECT hex(wallet_id), slot, hex(link_id), w_epoch, record_version, state FROM wallet_shares
  WHERE (wallet_id, slot) > (?, ?) ORDER BY wallet_id, slot LIMIT ${PAGE_ROWS}`

const requireBytes = (hex: string, length: number): void => {
  if (hex.length !== 2 * length) throw failure('VAULT_CORRUPT', { where: 'state index' })
}

/** As `shareLeaf` encodes it, in one buffer for all shares of a state: a start walks every share. */
const openShareLeaves = (reader: Reader): ((row: ShareRow) => Leaf) => {
  const buffers = new Map<string, Buffer>()
  const blank = (state: string): Buffer => {
    const fixed = [16, 4, 16, 4, 8].map((length) => new Uint8Array(length))
    return encodeTagged(SHARE_LEAF, [...fixed, state])
  }
  return ([walletIdHex, slot, linkIdHex, wEpoch, recordVersion, state]) => {
    requireBytes(walletIdHex, 16)
    requireBytes(linkIdHex, 16)
    const buffer = buffers.get(state) ?? blank(state)
    buffers.set(state, buffer)
    let at = 2 + SHARE_LEAF.length + 4
    at += buffer.write(walletIdHex, at, 'hex') + 4
    at = buffer.writeUInt32BE(slot, at) + 4
    at += buffer.write(linkIdHex, at, 'hex') + 4
    at = buffer.writeUInt32BE(wEpoch, at) + 4
    buffer.writeBigUInt64BE(BigInt(recordVersion), at)
    return macEncoded(reader.keys.stateIndex, buffer)
  }
}

const addShares = (reader: Reader, accumulator: Buffer): void => {
  const leafOf = openShareLeaves(reader)
  let [walletId, slot]: [Uint8Array, number] = [new Uint8Array(0), 0]
  for (;;) {
    const rows = reader.tuples<ShareRow>(SHARES, walletId, slot)
    for (const row of rows) xorInto(accumulator, leafOf(row))
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE_ROWS) return
    ;[walletId, slot] = [Buffer.from(last[0], 'hex'), last[1]]
  }
}

type WalletRow = readonly [number: number, walletIdHex: string, macHex: string]

const WALLETS = `SELECT number, hex(wallet_id), hex(mac) FROM wallets WHERE number > ? ORDER BY number LIMIT ${PAGE_ROWS}`

/** As `rowLeaf` encodes it, in one buffer for all wallets. */
const addWallets = (reader: Reader, accumulator: Buffer): void => {
  const buffer = encodeRow('wallets', [new Uint8Array(16), new Uint8Array(32)])
  const [walletIdAt, macAt] = [buffer.length - 32 - 4 - 16, buffer.length - 32]
  let after = 0
  for (;;) {
    const rows = reader.tuples<WalletRow>(WALLETS, after)
    for (const [, walletIdHex, macHex] of rows) {
      requireBytes(walletIdHex, 16)
      requireBytes(macHex, 32)
      buffer.write(walletIdHex, walletIdAt, 'hex')
      buffer.write(macHex, macAt, 'hex')
      xorInto(accumulator, macEncoded(reader.keys.stateIndex, buffer))
    }
    const last = rows.at(-1)
    if (last === undefined || rows.length < PAGE_ROWS) return
    after = last[0]
  }
}

/** The tables of the index beside shares and wallets, and the columns of their leaves. */
const INDEXED: { readonly [kind in Reader['kind']]: readonly (readonly [table: string, columns: string, condition?: string])[] } = {
  cosigner: [
    ['links', 'link_id, mac'],
    ['freezes', 'scope, id, reason, actor_kind, actor_id'],
    ['wallet_owners', 'wallet_id, project, user_id, mac'],
    ['owner_secrets', 'project, user_id, secret_id, mac'],
    ['operator_approvals', 'approval_id, mac'],
    ['known_delegates', 'party_id, mac'],
  ],
  daemon: [
    ['links', 'link_id, mac'],
    ['freezes', 'scope, id, reason, actor_kind, actor_id'],
    ['api_keys', 'key_id, mac'],
    ['session_keys', 'session_key_id, mac'],
    ['project_macs', 'project, mac'],
    ['grants', 'grant_id, mac'],
    ['wallet_secrets', 'project, user_id, wallet_secret_id, mac'],
    ['delegates', 'delegate_id, mac'],
    ['delegate_keys', 'delegate_id, kid, mac'],
    ['delegated_access', 'access_id, mac'],
    ['imported_accesses', 'access_id, mac'],
    // Rows of version 3 of the vault have no leaf until they change.
    ['external_wallets', 'external_wallet_id, mac', 'indexed = 1'],
  ],
}

const RESTORE = `SELECT name, value FROM settings WHERE name = 'restore'`

const addRows = (reader: Reader, accumulator: Buffer): void => {
  const restore = reader.one<Record<string, Buffer | string>>(RESTORE)
  if (restore !== undefined) xorInto(accumulator, rowLeaf(reader, 'settings', Object.values(restore)))
  for (const [table, columns, condition = 'true'] of INDEXED[reader.kind]) {
    for (const row of reader.each<Record<string, Buffer | string>>(`SELECT ${columns} FROM ${table} WHERE ${condition}`)) {
      xorInto(accumulator, rowLeaf(reader, table, Object.values(row)))
    }
  }
}

/**
 * Recomputes the index from the rows; about 4 µs a leaf. Refuses with VAULT_CORRUPT. Run when a vault is opened.
 */
export const verifyStateIndex = (reader: Reader): void => {
  const where = 'state index'
  const stored = reader.one<IndexRow>(READ)
  const accumulator = Buffer.alloc(32)
  addShares(reader, accumulator)
  if (reader.kind === 'daemon') addWallets(reader, accumulator)
  addRows(reader, accumulator)
  const last = reader.one<{ sequence: bigint; details: Buffer }>(
    `SELECT sequence, details FROM audit WHERE kind = 'vault.state_changed' ORDER BY sequence DESC LIMIT 1`,
  )
  if (stored === undefined) {
    if (last !== undefined || accumulator.some((byte) => byte !== 0)) throw failure('VAULT_CORRUPT', { where })
    return
  }
  requireOwnIndex(reader, stored)
  if (!accumulator.equals(stored.accumulator)) throw failure('VAULT_CORRUPT', { where })
  const said = last === undefined ? {} : (JSON.parse(last.details.toString('utf8')) as { index?: unknown })
  if (last?.sequence !== stored.audit_sequence || said.index !== stored.mac.toString('hex')) {
    throw failure('VAULT_CORRUPT', { where })
  }
}
