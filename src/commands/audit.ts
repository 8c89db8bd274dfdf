import {
  AuditEventSchema,
  AuditOutcomeSchema,
  VerifyChainResponseSchema,
  type AuditEvent,
} from '../../gen/countersign/v1/audit_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withoutControls } from '../observe/logger.ts'
import { withDaemon } from './daemon-client.ts'
import { listPages } from './list-pages.ts'
import { enumText, hexText, jsonArray, jsonLine, jsonText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

export type AuditFilter = {
  readonly afterSequence: bigint
  readonly projectId: string
  readonly kind: string
  readonly subject: string
}

const rowOf = (event: AuditEvent): string[] => [
  String(event.sequence),
  timeText(event.time),
  event.kind,
  event.actor,
  event.subject,
  enumText(AuditOutcomeSchema, event.outcome),
  event.reason,
]

export const listEvents = async (
  filter: AuditFilter,
  limit: number,
  flags: Flags,
  terminal: Terminal,
): Promise<void> => {
  const events = await withDaemon(flags, terminal, ({ audit }) =>
    listPages(limit, async (page) => {
      const answer = await audit.listEvents({ ...page, ...filter })
      return { items: answer.events, nextPageToken: answer.nextPageToken }
    }),
  )
  if (flags.json === true) return terminal.print(jsonArray(AuditEventSchema, events))
  terminal.print(
    formatTable(['SEQUENCE', 'TIME', 'KIND', 'ACTOR', 'SUBJECT', 'OUTCOME', 'REASON'], events.map(rowOf)),
  )
}

/** Prints events as they happen until interrupted: one line of text, or of JSON, each. */
export const watchEvents = async (filter: AuditFilter, flags: Flags, terminal: Terminal): Promise<void> =>
  withDaemon(flags, terminal, async ({ audit }) => {
    try {
      for await (const { event } of audit.watchEvents(filter, { signal: terminal.stop, timeoutMs: 0 })) {
        if (event === undefined) continue
        const line = rowOf(event)
          .filter((cell) => cell !== '')
          .join('  ')
        terminal.print(flags.json === true ? jsonLine(AuditEventSchema, event) : withoutControls(line))
      }
    } catch (error) {
      if (!terminal.stop.aborted) throw error
    }
  })

/** Asks the running daemon to check its chain. */
export const verifyOnline = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const answer = await withDaemon(flags, terminal, ({ audit }) => audit.verifyChain({}))
  if (flags.json === true) terminal.print(jsonText(VerifyChainResponseSchema, answer))
  else {
    terminal.print(
      formatFacts([
        ['checked', `${answer.checkedCount} rows`],
        ['head', `${answer.headSequence} ${hexText(answer.headHash)}`],
      ]),
    )
  }
  if (!answer.valid)
    throw new CommandRefusal(`the chain is broken at ${answer.firstBadSequence}: ${answer.description}`)
}
