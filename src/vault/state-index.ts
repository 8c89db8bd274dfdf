import { timingSafeEqual } from 'node:crypto'
import { assert, failure } from '../domain/failure.ts'
import { appendAudit } from './audit-chain.ts'
import type { Reader, Tx } from './store.ts'
import { encodeTagged, macTagged, u32, u64 } from './tagged-encoding.ts'
import type { Item } from './tagged-encoding.ts'

/**
 * Notices rows put back to an older state, each of which would open and verify by itself: share records (an erased
 * share revived, a suspended wallet made active), link control rows (a burn undone), API keys (a revocation
 * undone, a permission regained), wallets and freezes (a stop lifted).
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

export const shareLeaf = (reader: Reader, share: ShareLeaf): Leaf =>
  macTagged(reader.keys.stateIndex, 'countersign/vault/leaf/share/v1', [
    share.walletId,
    u32(share.slot),
    share.linkId,
    u32(share.wEpoch),
    u64(share.recordVersion),
    share.state,
  ])

/** The leaf of a row that its id and its own MAC, or all of its columns, identify in its present state. */
export const rowLeaf = (reader: Reader, table: string, items: readonly Item[]): Leaf =>
  macTagged(reader.keys.stateIndex, 'countersign/vault/leaf/row/v1', [table, encodeTagged('row', items)])

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
  readonly subject: { readonly type: 'wallet' | 'link' | 'api_key' | 'freeze'; readonly id: string }
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

type ShareRow = {
  wallet_id: Buffer
  slot: bigint
  link_id: Buffer
  w_epoch: bigint
  record_version: bigint
  state: string
}

const ALL_SHARES = 'SELECT wallet_id, slot, link_id, w_epoch, record_version, state FROM wallet_shares'

const addShares = (reader: Reader, accumulator: Buffer): void => {
  for (const row of reader.each<ShareRow>(ALL_SHARES)) {
    const leaf = shareLeaf(reader, {
      walletId: row.wallet_id,
      slot: Number(row.slot),
      linkId: row.link_id,
      wEpoch: Number(row.w_epoch),
      recordVersion: row.record_version,
      state: row.state,
    })
    xorInto(accumulator, leaf)
  }
}

/** The other tables of the index and the columns of their leaves. */
const INDEXED: { readonly [kind in Reader['kind']]: readonly (readonly [string, string])[] } = {
  cosigner: [
    ['links', 'link_id, mac'],
    ['freezes', 'scope, id, reason, actor_kind, actor_id'],
  ],
  daemon: [
    ['links', 'link_id, mac'],
    ['freezes', 'scope, id, reason, actor_kind, actor_id'],
    ['api_keys', 'key_id, mac'],
    ['wallets', 'wallet_id, mac'],
  ],
}

const addRows = (reader: Reader, accumulator: Buffer): void => {
  for (const [table, columns] of INDEXED[reader.kind]) {
    for (const row of reader.each<Record<string, Buffer | string>>(`SELECT ${columns} FROM ${table}`)) {
      xorInto(accumulator, rowLeaf(reader, table, Object.values(row)))
    }
  }
}

/**
 * Recomputes the index from the rows; about 4 µs a wallet. Refuses with VAULT_CORRUPT. Run when a vault is opened.
 */
export const verifyStateIndex = (reader: Reader): void => {
  const where = 'state index'
  const stored = reader.one<IndexRow>(READ)
  const accumulator = Buffer.alloc(32)
  addShares(reader, accumulator)
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
