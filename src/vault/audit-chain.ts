import { assert, failure } from '../domain/failure.ts'
import type { ProjectId, RequestId } from '../domain/ids.ts'
import { canonicalJson } from './canonical-json.ts'
import type { JsonValue } from './canonical-json.ts'
import { allOf } from './conditions.ts'
import { awaitScanTurn } from './scan-turn.ts'
import { OfStore } from './of-store.ts'
import type { Reader, Tx } from './store.ts'
import { hashTagged, u64 } from './tagged-encoding.ts'

/**
 * The audit chain. Rows are numbered from 1 without a gap; each hashes the one before:
 *
 *   hash = SHA-256(encodeTagged("countersign/audit/v1", [vaultId 16, sequence u64, time u64, kind, project, actor
 *          kind, actor id, subject type, subject id, method, request id, decision, reason, details,
 *          previous hash 32]))
 *
 * with the encoding of tagged-encoding.ts, absent text as the empty string and details as canonical JSON bytes.
 * Before row 1 stands SHA-256(encodeTagged("countersign/audit/genesis/v1", [vaultId])).
 *
 * The hashes hold no key: who can write the file can rewrite the chain from any row on. That, and a cut-off tail,
 * is seen only by who remembers a later head: the holder of a receipt, of a signed checkpoint, and the other
 * party.
 */
export type ActorKind = 'api_key' | 'end_user' | 'delegate' | 'operator' | 'cosigner' | 'daemon'

export type AuditEvent = {
  readonly timeMs: number
  /** Dotted, lower case, from the code: `sign.intent`, `wallet.created`. */
  readonly kind: string
  readonly project?: ProjectId | undefined
  readonly actor: { readonly kind: ActorKind; readonly id: string }
  readonly subject?: { readonly type: string; readonly id: string } | undefined
  readonly method?: string | undefined
  readonly requestId?: RequestId | undefined
  readonly decision?: 'allow' | 'refuse' | undefined
  readonly reason?: string | undefined
  readonly details?: JsonValue | undefined
}

export type AuditHead = { readonly sequence: bigint; readonly hash: Uint8Array }
export type AuditRow = AuditEvent & AuditHead & { readonly prevHash: Uint8Array; readonly details: JsonValue }

const DETAILS_MAX_BYTES = 65_536

type Row = {
  sequence: bigint
  time_ms: bigint
  kind: string
  project: string
  actor_kind: string
  actor_id: string
  subject_type: string
  subject_id: string
  method: string
  request_id: string
  decision: string
  reason: string
  details: Buffer
  prev_hash: Buffer
  hash: Buffer
}

export const genesisHash = (vaultId: Uint8Array): Uint8Array =>
  hashTagged('countersign/audit/genesis/v1', [vaultId])

const hashRow = (vaultId: Uint8Array, row: Omit<Row, 'hash'>): Buffer =>
  hashTagged('countersign/audit/v1', [
    vaultId,
    u64(row.sequence),
    u64(row.time_ms),
    row.kind,
    row.project,
    row.actor_kind,
    row.actor_id,
    row.subject_type,
    row.subject_id,
    row.method,
    row.request_id,
    row.decision,
    row.reason,
    row.details,
    row.prev_hash,
  ])

const HEAD = 'SELECT sequence, hash FROM audit ORDER BY sequence DESC LIMIT 1'

/** The last row, or sequence 0 and the genesis hash. */
export const auditHead = (reader: Reader): AuditHead =>
  reader.one<AuditHead>(HEAD) ?? { sequence: 0n, hash: genesisHash(reader.vaultId) }

const NEWEST_MS = 'SELECT max(time_ms) AS newest FROM (SELECT time_ms FROM audit ORDER BY sequence DESC LIMIT 64)'

/** The latest time that one of the last rows names; 0 when there is none. */
export const newestAuditMs = (reader: Reader): number =>
  Number(reader.one<{ newest: bigint | null }>(NEWEST_MS)?.newest ?? 0n)

/** The hash of one row; of sequence 0 the genesis hash; undefined when the chain does not reach it. */
export const auditHashAt = (reader: Reader, sequence: bigint): Uint8Array | undefined =>
  sequence === 0n
    ? genesisHash(reader.vaultId)
    : reader.one<{ hash: Buffer }>('SELECT hash FROM audit WHERE sequence = ?', sequence)?.hash

const INSERT = `INSERT INTO audit (sequence, time_ms, kind, project, actor_kind, actor_id, subject_type,
  subject_id, method, request_id, decision, reason, details, prev_hash, hash)
  VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`

/** The row that was appended last: what the next one is chained to while nothing else wrote to the table. */
const ownHead = new OfStore((): { writes: number; head: { sequence: bigint; hash: Buffer } | undefined } => ({
  writes: -1,
  head: undefined,
}))

/** Appends one row and answers the head it makes: the receipt of what the row authorises. */
export const appendAudit = (tx: Tx, event: AuditEvent): AuditHead => {
  const own = ownHead.of(tx)
  const head =
    own.writes === tx.writesTo('audit') ? own.head : tx.one<{ sequence: bigint; hash: Buffer }>(HEAD)
  const details = Buffer.from(canonicalJson(event.details ?? {}))
  assert(details.length <= DETAILS_MAX_BYTES, 'audit details are bounded')
  const row = {
    sequence: (head?.sequence ?? 0n) + 1n,
    time_ms: BigInt(event.timeMs),
    kind: event.kind,
    project: event.project ?? '',
    actor_kind: event.actor.kind,
    actor_id: event.actor.id,
    subject_type: event.subject?.type ?? '',
    subject_id: event.subject?.id ?? '',
    method: event.method ?? '',
    request_id: event.requestId ?? '',
    decision: event.decision ?? '',
    reason: event.reason ?? '',
    details,
    prev_hash: head?.hash ?? Buffer.from(genesisHash(tx.vaultId)),
  }
  const hash = hashRow(tx.vaultId, row)
  tx.run(
    INSERT, row.sequence, row.time_ms, row.kind, row.project, row.actor_kind, row.actor_id, row.subject_type,
    row.subject_id, row.method, row.request_id, row.decision, row.reason, row.details, row.prev_hash, hash,
  )
  Object.assign(own, { head: { sequence: row.sequence, hash }, writes: tx.writesTo('audit') })
  return { sequence: row.sequence, hash }
}

const optional = (text: string): string | undefined => (text === '' ? undefined : text)

const parseDetails = (row: Row): JsonValue => {
  try {
    return JSON.parse(row.details.toString('utf8')) as JsonValue
  } catch {
    throw failure('VAULT_CORRUPT', { where: `audit row ${row.sequence}` })
  }
}

const toRow = (row: Row): AuditRow => ({
  sequence: row.sequence,
  timeMs: Number(row.time_ms),
  kind: row.kind,
  project: optional(row.project) as ProjectId | undefined,
  actor: { kind: row.actor_kind as ActorKind, id: row.actor_id },
  subject: row.subject_type === '' ? undefined : { type: row.subject_type, id: row.subject_id },
  method: optional(row.method),
  requestId: optional(row.request_id) as RequestId | undefined,
  decision: optional(row.decision) as 'allow' | 'refuse' | undefined,
  reason: optional(row.reason),
  details: parseDetails(row),
  prevHash: row.prev_hash,
  hash: row.hash,
})

export type AuditFilter = {
  /** Only rows of this project; absent: all rows, those of no project included. */
  readonly project?: ProjectId | undefined
  readonly subjectId?: string | undefined
  readonly kind?: string | undefined
  /** Only rows up to this one: bounds what is scanned. */
  readonly through?: bigint | undefined
}

/**
 * Rows after `after` in order, at most `limit`. The last row's sequence is the next `after`. Without `through` a rare
 * kind may scan the whole chain in one go: audit-page.ts bounds that.
 */
export const listAudit = (reader: Reader, after: bigint, limit: number, filter: AuditFilter = {}): AuditRow[] => {
  const { sql, params } = allOf({
    'sequence > ?': after,
    'sequence <= ?': filter.through,
    'project = ?': filter.project,
    // Spelling the partial index's own condition lets SQLite use it.
    "subject_id = ? AND subject_id <> ''": filter.subjectId,
    'kind = ?': filter.kind,
  })
  return reader.all<Row>(`SELECT * FROM audit WHERE ${sql} ORDER BY sequence LIMIT ?`, ...params, limit).map(toRow)
}

/** The newest row of this kind that one caller's request wrote about a subject. */
export const findAuditOfRequest = (
  reader: Reader,
  request: { readonly subjectId: string; readonly kind: string; readonly actorId: string; readonly requestId: RequestId },
): AuditRow | undefined => {
  const sql = `SELECT * FROM audit WHERE subject_id = ? AND subject_id <> '' AND kind = ? AND actor_id = ?
    AND request_id = ? ORDER BY sequence DESC LIMIT 1`
  const { subjectId, kind, actorId, requestId } = request
  const row = reader.one<Row>(sql, subjectId, kind, actorId, requestId)
  return row === undefined ? undefined : toRow(row)
}

export const getAudit = (reader: Reader, sequence: bigint): AuditRow | undefined => {
  const row = reader.one<Row>('SELECT * FROM audit WHERE sequence = ?', sequence)
  return row === undefined ? undefined : toRow(row)
}

export type ChainVerdict =
  | { readonly intact: true; readonly rows: bigint; readonly head: AuditHead }
  | { readonly intact: false; readonly firstBadSequence: bigint; readonly what: ChainDamage }
export type ChainDamage = 'missing' | 'altered' | 'unlinked' | 'truncated' | 'not the remembered head'

export type VerifyOptions = {
  /** Heads known from elsewhere (receipts, checkpoints): the chain must reach and equal each. */
  readonly remembered?: readonly AuditHead[] | undefined
  /** Walk from this row on (its predecessor's hash is taken as given); absent or below 1: from row 1. */
  readonly from?: bigint | undefined
  /** Walk to this row; absent: to the head. */
  readonly to?: bigint | undefined
  /** Rows hashed between two turns of the event loop; 256 take about a millisecond. */
  readonly chunkRows?: number | undefined
  readonly signal?: AbortSignal | undefined
}

const NEXT_ROWS = 'SELECT * FROM audit WHERE sequence > ? ORDER BY sequence LIMIT ?'

/**
 * Walks the chain from row 1 to the head it has at the start and reports the first row that is missing, altered or
 * not linked to the row before, or that differs from a remembered head; `truncated` names the first row that a
 * remembered head proves and the chain lacks. Streams: memory is bounded by the chunk, the event loop turns
 * between chunks.
 */
export const verifyAuditChain = async (reader: Reader, options: VerifyOptions = {}): Promise<ChainVerdict> => {
  const chunkRows = options.chunkRows ?? 256
  const head = auditHead(reader)
  const end = options.to !== undefined && options.to < head.sequence ? options.to : head.sequence
  const before = (options.from ?? 1n) - 1n
  const remembered = new Map((options.remembered ?? []).map((head) => [head.sequence, Buffer.from(head.hash)]))
  const given = before > 0n ? auditHashAt(reader, before) : genesisHash(reader.vaultId)
  if (given === undefined) return { intact: false, firstBadSequence: before, what: 'missing' }
  let at: AuditHead = { sequence: before > 0n ? before : 0n, hash: given }
  const start = at.sequence
  while (at.sequence < end) {
    await awaitScanTurn(reader)
    options.signal?.throwIfAborted()
    const left = end - at.sequence
    const rows = reader.all<Row>(NEXT_ROWS, at.sequence, left < BigInt(chunkRows) ? left : chunkRows)
    if (rows.length === 0) return { intact: false, firstBadSequence: at.sequence + 1n, what: 'missing' }
    for (const row of rows) {
      const damage = damageOf(reader.vaultId, at, row, remembered)
      if (damage !== undefined) return { intact: false, firstBadSequence: at.sequence + 1n, what: damage }
      at = { sequence: row.sequence, hash: row.hash }
    }
  }
  const expected = options.to === undefined ? [...remembered.keys()] : []
  const beyond = expected.filter((sequence) => sequence > at.sequence)
  if (beyond.length > 0) return { intact: false, firstBadSequence: at.sequence + 1n, what: 'truncated' }
  return { intact: true, rows: at.sequence - start, head: at }
}

const damageOf = (
  vaultId: Uint8Array,
  before: AuditHead,
  row: Row,
  remembered: ReadonlyMap<bigint, Buffer>,
): ChainDamage | undefined => {
  if (row.sequence !== before.sequence + 1n) return 'missing'
  if (!row.prev_hash.equals(before.hash)) return 'unlinked'
  if (!hashRow(vaultId, row).equals(row.hash)) return 'altered'
  const known = remembered.get(row.sequence)
  return known !== undefined && !known.equals(row.hash) ? 'not the remembered head' : undefined
}

/**
 * Refuses with VAULT_ROLLED_BACK when this chain does not contain `remembered`: the vault is an older copy, or its
 * history was rewritten. What the other party remembers is compared on every connect, before anything is signed.
 */
export const requireRememberedHead = (reader: Reader, remembered: AuditHead): void => {
  const hash = auditHashAt(reader, remembered.sequence)
  if (hash !== undefined && Buffer.from(hash).equals(remembered.hash)) return
  throw failure('VAULT_ROLLED_BACK', {
    expectedSequence: String(remembered.sequence),
    foundSequence: String(auditHead(reader).sequence),
  })
}
