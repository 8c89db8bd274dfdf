import { auditHead, listAudit } from './audit-chain.ts'
import type { AuditFilter, AuditRow } from './audit-chain.ts'
import { awaitScanTurn } from './scan-turn.ts'
import type { Reader } from './store.ts'

/** Rows looked at between two turns of the event loop, whether they match or not: about two milliseconds. */
const WINDOW_ROWS = 2000n
/** What a watcher finds new is read at once. */
const AT_ONCE_ROWS = 200n

export type AuditPage = {
  readonly rows: readonly AuditRow[]
  /** Everything up to here was looked at: the `after` to go on with, also when no row matched. */
  readonly reached: bigint
}

/**
 * The next rows of the chain that match, at most `limit`, up to the head of the moment. However rare the match, the
 * event loop is held for one window at a time, and a watcher that goes on after `reached` never looks at a row twice.
 */
export const readAuditPage = async (
  reader: Reader,
  after: bigint,
  limit: number,
  options: { readonly filter?: AuditFilter | undefined; readonly signal?: AbortSignal | undefined } = {},
): Promise<AuditPage> => {
  const head = auditHead(reader).sequence
  const rows: AuditRow[] = []
  let reached = after
  while (reached < head && rows.length < limit) {
    if (head - reached > AT_ONCE_ROWS) await awaitScanTurn(reader)
    options.signal?.throwIfAborted()
    const through = reached + WINDOW_ROWS < head ? reached + WINDOW_ROWS : head
    const found = listAudit(reader, reached, limit - rows.length, { ...options.filter, through })
    rows.push(...found)
    reached = rows.length === limit ? (found.at(-1)?.sequence ?? through) : through
  }
  return { rows, reached }
}
