/** Reading and proving the audit chain. */
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { canonicalJson } from '../vault/canonical-json.ts'
import { auditHead, type AuditRow, verifyAuditChain } from '../vault/audit-chain.ts'
import { readAuditPage } from '../vault/audit-page.ts'
import { followAudit } from '../vault/follow-audit.ts'
import type { Reader } from '../vault/store.ts'
import type { AdminNeeds } from './needs.ts'

export type AuditEventView = {
  readonly sequence: bigint
  readonly timeMs: number
  readonly kind: string
  readonly projectId: string
  /** `<kind>:<id>`, as `api_key:key_…`. */
  readonly actor: string
  /** `<type>:<id>`, as `wallet:wal_…`; empty when about nothing. */
  readonly subject: string
  readonly method: string
  readonly requestId: string
  /** Undefined: the row records no decision. */
  readonly outcome: 'allowed' | 'refused' | undefined
  readonly reason: string
  readonly detailsJson: string
  readonly prevHash: Uint8Array
  readonly hash: Uint8Array
}

/** All members that are present must hold. `projectId` absent means every project. */
export type AuditFilter = {
  readonly projectId: string | undefined
  readonly kind: string | undefined
  /** The id alone, without its type. */
  readonly subjectId: string | undefined
}

/** A row that the caller knows of and the chain has not is missing, not yet to come: nothing is numbered in advance. */
const requireReached = (reader: Reader, sequence: bigint): void => {
  const head = auditHead(reader).sequence
  if (sequence <= head) return
  throw failure('AUDIT_EVENT_NOT_FOUND', { sequence: String(sequence), headSequence: String(head) })
}

const OUTCOMES = { allow: 'allowed', refuse: 'refused' } as const

const named = (word: { readonly type: string; readonly id: string } | undefined): string =>
  word === undefined ? '' : `${word.type}:${word.id}`

const view = (row: AuditRow): AuditEventView => ({
  sequence: row.sequence,
  timeMs: row.timeMs,
  kind: row.kind,
  projectId: row.project ?? '',
  actor: named({ type: row.actor.kind, id: row.actor.id }),
  subject: named(row.subject),
  method: row.method ?? '',
  requestId: row.requestId ?? '',
  outcome: row.decision === undefined ? undefined : OUTCOMES[row.decision],
  reason: row.reason ?? '',
  detailsJson: canonicalJson(row.details),
  prevHash: row.prevHash,
  hash: row.hash,
})

/** Operators see every row; everybody else their own project's. */
const scopeOf = (call: Call, filter: AuditFilter) => {
  const own = call.caller.kind === 'operator' ? undefined : call.caller.projectId
  if (own !== undefined && filter.projectId !== undefined && filter.projectId !== own) {
    throw failure('PERMISSION_MISSING', { permission: 'audit:read', narrowedBy: 'project' })
  }
  const project = own ?? (filter.projectId as ProjectId | undefined)
  return { project, subjectId: filter.subjectId, kind: filter.kind }
}

export const listEvents = async (
  { vault }: AdminNeeds,
  call: Call,
  args: { readonly filter: AuditFilter; readonly afterSequence: bigint; readonly limit: number },
): Promise<readonly AuditEventView[]> => {
  const { signal } = call
  const filter = scopeOf(call, args.filter)
  requireReached(vault.read, args.afterSequence)
  const { rows } = await readAuditPage(vault.read, args.afterSequence, args.limit, { filter, signal })
  return rows.map(view)
}

/** What is there already, then what comes, in order, without gaps or repeats, until the signal aborts. */
export async function* watchEvents(
  { vault }: AdminNeeds,
  call: Call,
  args: { readonly filter: AuditFilter; readonly afterSequence: bigint },
): AsyncIterable<AuditEventView> {
  const filter = scopeOf(call, args.filter)
  requireReached(vault.read, args.afterSequence)
  for await (const row of followAudit(vault, args.afterSequence, { filter, signal: call.signal })) yield view(row)
}

export const verifyChain = async (
  { vault }: AdminNeeds,
  call: Call,
  args: { readonly fromSequence: bigint; readonly toSequence: bigint },
): Promise<{
  readonly checkedCount: bigint
  readonly headSequence: bigint
  readonly headHash: Uint8Array
  readonly firstBad: { readonly sequence: bigint; readonly description: string } | undefined
}> => {
  const to = args.toSequence === 0n ? undefined : args.toSequence
  const from = args.fromSequence === 0n ? undefined : args.fromSequence
  requireReached(vault.read, args.fromSequence)
  requireReached(vault.read, args.toSequence)
  const verdict = await verifyAuditChain(vault.read, { from, to, signal: call.signal })
  // Rows that came while the chain was walked are not among those checked.
  const head = verdict.intact ? verdict.head : auditHead(vault.read)
  return {
    checkedCount: verdict.intact ? verdict.rows : verdict.firstBadSequence - (from ?? 1n),
    headSequence: head.sequence,
    headHash: head.hash,
    firstBad: verdict.intact ? undefined : { sequence: verdict.firstBadSequence, description: verdict.what },
  }
}

/** The signed head, told to the cosigner before it is answered: a vault rolled back behind it is noticed. */
export const getCheckpoint = async ({ vault, engine, clock }: AdminNeeds) => {
  const head = auditHead(vault.read)
  await engine.anchor(head)
  const timeMs = Math.trunc(clock.nowMs())
  const checkpoint = vault.signer.signCheckpoint(head, timeMs)
  return { ...checkpoint, vaultId: vault.vaultId, cosignerSequence: engine.available ? head.sequence : 0n }
}
