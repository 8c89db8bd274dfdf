import type { ProjectId } from '../domain/ids.ts'
import type { Tx } from './store.ts'

/**
 * Webhook events that were taken, for good: senders repeat what they do not know to have arrived. Answers whether this is
 * the first time; belongs into the transaction of what the event does.
 */
export const takeEvent = (tx: Tx, project: ProjectId, eventId: string, nowMs: number): boolean =>
  tx.run('INSERT OR IGNORE INTO received_events (project, event_id, create_ms) VALUES (?, ?, ?)', project, eventId, nowMs) === 1
