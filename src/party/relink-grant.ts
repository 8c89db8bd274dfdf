import { decodeLinkRecord, encodeLinkRecord } from '../engine/dkls23/records.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { clearStrikes, getLink, saveLink } from '../vault/links.ts'
import type { Tx } from '../vault/store.ts'
import { grantedFrom } from './link.ts'

export type RelinkVerdict = 'granted' | 'not stopped' | 'too many burns'

/** The operator's word, on one side, that a stopped link may go on, with its audit row. Needed on both sides. */
export const grantRelink = (tx: Tx, linkId: Uint8Array, nowMs: number): RelinkVerdict => {
  const stored = getLink(tx, linkId)
  if (stored === undefined) return 'not stopped'
  const granted = grantedFrom(decodeLinkRecord(stored.control))
  if (typeof granted === 'string') return granted
  saveLink(tx, encodeLinkRecord(granted), nowMs)
  if (stored.state === 'SUSPENDED') clearStrikes(tx, linkId)
  appendAudit(tx, {
    timeMs: nowMs,
    kind: stored.state === 'BURNED' ? 'link.relink_granted' : 'link.suspension_cleared',
    actor: { kind: 'operator', id: '' },
    subject: { type: 'link', id: Buffer.from(linkId).toString('hex') },
  })
  return 'granted'
}
