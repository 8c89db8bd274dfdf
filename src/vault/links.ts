import { assert } from '../domain/failure.ts'
import { requireRowMac, rowMac } from './row-mac.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Reader, Tx } from './store.ts'
import { u64 } from './tagged-encoding.ts'

/**
 * Link control rows (the protocol, §6.1): 187 bytes without a secret, kept under a row MAC and in the state index,
 * so that a burn cannot be undone by whoever can write the file. State and epoch are read from the row itself.
 */
export type LinkState = 'ACTIVE' | 'SUSPENDED' | 'BURNED'

export type StoredLink = {
  /** 16 bytes. */
  readonly linkId: Uint8Array
  readonly state: LinkState
  readonly lEpoch: number
  /** The engine's 187 bytes. */
  readonly control: Uint8Array
  readonly recordVersion: bigint
}

const LINK_CONTROL_BYTES = 187
const STATES: readonly (LinkState | undefined)[] = [undefined, 'ACTIVE', 'SUSPENDED', 'BURNED']

type Row = { link_id: Buffer; record_version: bigint; control: Buffer; mac: Buffer }

const parseControl = (control: Uint8Array): Omit<StoredLink, 'recordVersion'> => {
  assert(control.length === LINK_CONTROL_BYTES, 'a link control row has 187 bytes')
  const state = STATES[control[3] ?? 0]
  assert(state, 'a link control row has a known state')
  const view = Buffer.from(control.buffer, control.byteOffset, control.byteLength)
  return { linkId: Uint8Array.from(view.subarray(4, 20)), state, lEpoch: view.readUInt32LE(20), control }
}

const macItems = (control: Uint8Array, recordVersion: bigint) => [control, u64(recordVersion)]

const toLink = (reader: Reader, row: Row): StoredLink => {
  requireRowMac(reader, 'links', macItems(row.control, row.record_version), row.mac)
  return { ...parseControl(row.control), recordVersion: row.record_version }
}

const READ = 'SELECT * FROM links WHERE link_id = ?'
const WRITE = `INSERT OR REPLACE INTO links (link_id, state, l_epoch, record_version, control, mac)
  VALUES (?, ?, ?, ?, ?, ?)`

/** Refuses with VAULT_CORRUPT a row that was altered. */
export const getLink = (reader: Reader, linkId: Uint8Array): StoredLink | undefined => {
  const row = reader.one<Row>(READ, linkId)
  return row === undefined ? undefined : toLink(reader, row)
}

export const listLinks = (reader: Reader): StoredLink[] =>
  reader.all<Row>('SELECT * FROM links ORDER BY link_id').map((row) => toLink(reader, row))

/**
 * Stores a control row under the link id inside it. Durable when the commit is; a burn is answered only after
 * that.
 */
export const saveLink = (tx: Tx, control: Uint8Array, timeMs: number): StoredLink => {
  const link = parseControl(control)
  const before = tx.one<Row>(READ, link.linkId)
  const recordVersion = (before?.record_version ?? 0n) + 1n
  const mac = rowMac(tx, 'links', macItems(control, recordVersion))
  tx.run(WRITE, link.linkId, link.state, link.lEpoch, recordVersion, control, mac)
  moveStateIndex(tx, {
    timeMs,
    subject: { type: 'link', id: Buffer.from(link.linkId).toString('hex') },
    removed: before === undefined ? [] : [rowLeaf(tx, 'links', [before.link_id, before.mac])],
    added: [rowLeaf(tx, 'links', [link.linkId, mac])],
    details: { state: link.state, lEpoch: link.lEpoch },
  })
  return { ...link, recordVersion }
}

export type Strike = { readonly timeMs: number; readonly what: string }

/** Notes a class C violation of the peer (the protocol, §15). The count that decides is the caller's. */
export const addStrike = (tx: Tx, linkId: Uint8Array, strike: Strike): void => {
  tx.run('INSERT INTO link_strikes (link_id, time_ms, what) VALUES (?, ?, ?)', linkId, strike.timeMs, strike.what)
}

/** Strikes at or after `sinceMs`, newest first, at most 100. */
export const listStrikes = (reader: Reader, linkId: Uint8Array, sinceMs: number): Strike[] =>
  reader
    .all<{ time_ms: bigint; what: string }>(
      'SELECT time_ms, what FROM link_strikes WHERE link_id = ? AND time_ms >= ? ORDER BY time_ms DESC LIMIT 100',
      linkId,
      sinceMs,
    )
    .map((row) => ({ timeMs: Number(row.time_ms), what: row.what }))

/** When an operator clears a suspension. */
export const clearStrikes = (tx: Tx, linkId: Uint8Array): void => {
  tx.run('DELETE FROM link_strikes WHERE link_id = ?', linkId)
}
