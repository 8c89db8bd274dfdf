/** countersign.v1.AuditService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { apiKeyCallerOf, type Caller } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { parseProjectId } from '../domain/ids.ts'
import type { AuditEventSchema } from '../../gen/countersign/v1/audit_pb.ts'
import { AuditOutcome as WireOutcome, ListEventsRequestSchema } from '../../gen/countersign/v1/audit_pb.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import type { AuditEventView, AuditFilter, AuditUseCases } from './use-cases.ts'
import { orAbsent, toTimestamp } from './wire-words.ts'

const OUTCOMES = { allowed: WireOutcome.ALLOWED, refused: WireOutcome.REFUSED } as const

const toWireEvent = ({
  outcome,
  timeMs,
  ...event
}: AuditEventView): MessageInitShape<typeof AuditEventSchema> => ({
  ...event,
  time: toTimestamp(timeMs),
  outcome: outcome === undefined ? WireOutcome.UNSPECIFIED : OUTCOMES[outcome],
})

/** A caller sees its own project's rows; all others' need `admin`. */
const readFilter = (
  { projectId, kind, subject }: { readonly projectId: string; readonly kind: string; readonly subject: string },
  caller: Caller,
): AuditFilter => {
  const isAdmin = apiKeyCallerOf(caller).permissions.has('admin')
  if (!isAdmin && projectId !== '' && projectId !== caller.projectId)
    throw failure('PERMISSION_MISSING', { permission: 'admin' })
  const asked = parseProjectId(projectId)
  return {
    projectId: isAdmin ? asked : caller.projectId,
    kind: orAbsent(kind),
    subjectId: orAbsent(subject),
  }
}

export const createAuditService = (audit: AuditUseCases, tokens: PageTokens): Handlers<'audit'> => ({
  listEvents: async (request, call) => {
    const filter = readFilter(request, call.caller)
    const { items, nextPageToken } = await listPage(
      tokens,
      ListEventsRequestSchema,
      request,
      call,
      async ({ pageSize, cursor }) => {
        const afterSequence = cursor === undefined ? request.afterSequence : BigInt(cursor)
        const events = await audit.listEvents(call, { filter, afterSequence, limit: pageSize + 1 })
        const page = events.slice(0, pageSize)
        const nextCursor = events.length > pageSize ? page.at(-1)?.sequence.toString() : undefined
        return { items: page, nextCursor }
      },
    )
    return { events: items.map(toWireEvent), nextPageToken }
  },
  async *watchEvents(request, call) {
    const filter = readFilter(request, call.caller)
    for await (const event of audit.watchEvents(call, { filter, afterSequence: request.afterSequence }))
      yield { event: toWireEvent(event) }
  },
  verifyChain: async ({ fromSequence, toSequence }, call) => {
    const { firstBad, ...found } = await audit.verifyChain(call, { fromSequence, toSequence })
    return {
      ...found,
      valid: firstBad === undefined,
      ...(firstBad === undefined
        ? {}
        : { firstBadSequence: firstBad.sequence, description: firstBad.description }),
    }
  },
  getCheckpoint: async (_request, call) => {
    const { timeMs, ...checkpoint } = await audit.getCheckpoint(call)
    return { checkpoint: { ...checkpoint, time: toTimestamp(timeMs) } }
  },
})
