/** Rows of the audit chain, all pages of them. */
import type { AuditEvent } from '../../gen/countersign/v1/audit_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'

export const headSequence = async (client: CountersignClient): Promise<bigint> =>
  (await client.audit.getCheckpoint({})).checkpoint?.sequence ?? 0n

export const rowsOfKind = async (client: CountersignClient, kind: string, afterSequence: bigint): Promise<readonly AuditEvent[]> => {
  const rows: AuditEvent[] = []
  let pageToken = ''
  do {
    const page = await client.audit.listEvents({ kind, afterSequence, pageSize: 500, pageToken })
    rows.push(...page.events)
    pageToken = page.nextPageToken
  } while (pageToken !== '')
  return rows
}

export const detailOf = ({ detailsJson }: AuditEvent, name: string): unknown => (JSON.parse(detailsJson) as Record<string, unknown>)[name]
