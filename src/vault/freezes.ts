import { failure } from '../domain/failure.ts'
import type { ActorKind } from './audit-chain.ts'
import { OfStore } from './of-store.ts'
import { moveStateIndex, rowLeaf } from './state-index.ts'
import type { Leaf } from './state-index.ts'
import type { Reader, SqlParam, Tx } from './store.ts'

/** What an operator has stopped. A row is a stop; its absence is none. */
export type FreezeScope = 'wallet' | 'session_key' | 'api_key' | 'venue_profile' | 'project' | 'all'
/** `id` is '' for the scope `all`. */
export type FreezeSubject = { readonly scope: FreezeScope; readonly id: string }

export type FreezeRow = FreezeSubject & {
  readonly reason: string
  readonly actor: { readonly kind: ActorKind; readonly id: string }
  readonly createMs: number
}

type Row = { scope: string; id: string; reason: string; actor_kind: string; actor_id: string; create_ms: bigint }

const toFreeze = (row: Row): FreezeRow => ({
  scope: row.scope as FreezeScope,
  id: row.id,
  reason: row.reason,
  actor: { kind: row.actor_kind as ActorKind, id: row.actor_id },
  createMs: Number(row.create_ms),
})

const ANY = 'SELECT 1 FROM freezes LIMIT 1'
const lookedAt = new OfStore(() => ({ writes: -1, isAny: true }))

/** Asked for every signature: looked up only after something was written to the table. */
const isAnyFrozen = (reader: Reader): boolean => {
  const known = lookedAt.of(reader)
  const writes = reader.writesTo('freezes')
  if (known.writes !== writes) Object.assign(known, { writes, isAny: reader.one(ANY) !== undefined })
  return known.isAny
}

const READ = 'SELECT * FROM freezes WHERE scope = ? AND id = ?'

const leafOf = (reader: Reader, freeze: FreezeRow): Leaf =>
  rowLeaf(reader, 'freezes', [freeze.scope, freeze.id, freeze.reason, freeze.actor.kind, freeze.actor.id])

/** Freezing what is frozen keeps the first freeze; answers the one that stands and whether it is new. */
export const addFreeze = (tx: Tx, freeze: FreezeRow): { readonly freeze: FreezeRow; readonly added: boolean } => {
  const added = tx.run(
    'INSERT OR IGNORE INTO freezes (scope, id, reason, actor_kind, actor_id, create_ms) VALUES (?, ?, ?, ?, ?, ?)',
    freeze.scope, freeze.id, freeze.reason, freeze.actor.kind, freeze.actor.id, freeze.createMs,
  )
  if (added === 0) return { freeze: findFreeze(tx, [freeze]) ?? freeze, added: false }
  moveStateIndex(tx, {
    timeMs: freeze.createMs,
    subject: { type: 'freeze', id: `${freeze.scope}:${freeze.id}` },
    removed: [],
    added: [leafOf(tx, freeze)],
    details: { state: 'FROZEN' },
  })
  return { freeze, added: true }
}

/** Refuses with FREEZE_NOT_FOUND. */
export const removeFreeze = (tx: Tx, subject: FreezeSubject): void => {
  const freeze = findFreeze(tx, [subject])
  if (freeze === undefined) throw failure('FREEZE_NOT_FOUND', { scope: subject.scope, id: subject.id })
  tx.run('DELETE FROM freezes WHERE scope = ? AND id = ?', subject.scope, subject.id)
  moveStateIndex(tx, {
    subject: { type: 'freeze', id: `${subject.scope}:${subject.id}` },
    removed: [leafOf(tx, freeze)],
    added: [],
    details: { state: 'LIFTED' },
  })
}

/** The first of these subjects that is frozen. `all` is not implied: the caller lists it. */
export const findFreeze = (reader: Reader, subjects: readonly FreezeSubject[]): FreezeRow | undefined => {
  if (!isAnyFrozen(reader)) return undefined
  for (const subject of subjects) {
    const row = reader.one<Row>(READ, subject.scope, subject.id)
    if (row !== undefined) return toFreeze(row)
  }
  return undefined
}

/** Refuses with FROZEN naming the first frozen subject; everything is frozen first of all. */
export const requireNotFrozen = (reader: Reader, subjects: readonly FreezeSubject[]): void => {
  const freeze = findFreeze(reader, [{ scope: 'all', id: '' }, ...subjects])
  if (freeze !== undefined) throw failure('FROZEN', { scope: freeze.scope, id: freeze.id })
}

/** In order of scope and id, after `after`. */
export const listFreezes = (reader: Reader, after: FreezeSubject | undefined, limit: number): FreezeRow[] => {
  const from: SqlParam[] = [after?.scope ?? '', after?.id ?? '']
  return reader
    .all<Row>('SELECT * FROM freezes WHERE (scope, id) > (?, ?) ORDER BY scope, id LIMIT ?', ...from, limit)
    .map(toFreeze)
}
