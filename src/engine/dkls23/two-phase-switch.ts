/**
 * Who decides when a wallet gets its next record (docs/protocol.md §12, §5): C alone does, by its commit. S keeps a
 * PENDING record until it knows what C decided, and drops one on an explicit ABORTED of the same operation only; not
 * by time, not at a restart, not because C speaks of the epoch before. These are the decisions; the party carries each
 * out in the transaction in which it read what it decided on.
 */
import { equalBytes } from '../hash/encoding.ts'
import type { OutcomeAnswer, OutcomeQuestion } from './outcome.ts'

/** What S holds of an operation that is not settled. */
export type PendingOperation = Pick<OutcomeQuestion, 'wEpoch' | 'sid'>

/** `keep`: the PENDING record stays as it is. */
export type PendingFate = 'switch' | 'drop' | 'keep'

/**
 * C's answer to S's question. Before this C has closed every session of the wallet: what it calls ABORTED it can not
 * commit any more.
 * @param presentEpoch of C's durable record; undefined when there is none.
 */
export function verdictOn(
  question: Pick<OutcomeQuestion, 'wEpoch'>,
  presentEpoch: number | undefined,
): OutcomeAnswer['verdict'] {
  return presentEpoch !== undefined && presentEpoch >= question.wEpoch ? 'COMMITTED' : 'ABORTED'
}

/** What C's answer means for a PENDING record of that wallet; an answer about another operation means nothing. */
export function fateByAnswer(
  pending: PendingOperation | undefined,
  answer: Pick<OutcomeAnswer, 'wEpoch' | 'sid' | 'verdict'>,
): PendingFate {
  if (pending === undefined || pending.wEpoch !== answer.wEpoch || !equalBytes(pending.sid, answer.sid)) return 'keep'
  return answer.verdict === 'COMMITTED' ? 'switch' : 'drop'
}

/** What F5 or W5 means for a PENDING record. */
export function fateByAcknowledgement(pending: PendingOperation | undefined, sid: Uint8Array): PendingFate {
  return pending !== undefined && equalBytes(pending.sid, sid) ? 'switch' : 'keep'
}

/** What a message of C that names the wallet at this epoch means: the new epoch stands for an ACK that was lost. */
export function fateByName(pending: PendingOperation | undefined, wEpoch: number): PendingFate {
  return pending !== undefined && pending.wEpoch === wEpoch ? 'switch' : 'keep'
}
