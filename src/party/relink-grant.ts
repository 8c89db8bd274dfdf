import { decodeLinkRecord, encodeLinkRecord } from '../engine/dkls23/records.ts'
import { getLink, saveLink } from '../vault/links.ts'
import type { Tx } from '../vault/store.ts'
import { MAX_BURNS } from './link.ts'

const SETUPS_ALLOWED = 5

/**
 * The operator's word, on one side, that a stopped link may go on: a burned one gets a grant for new material, a
 * suspended one is cleared of its strikes. Needed on both sides (docs/protocol.md §15.4).
 */
export const grantRelink = (
  tx: Tx,
  linkId: Uint8Array,
  nowMs: number,
): 'granted' | 'not burned' | 'too many burns' => {
  const stored = getLink(tx, linkId)
  if (stored === undefined) return 'not burned'
  const record = decodeLinkRecord(stored.control)
  if (record.state === 'SUSPENDED') {
    saveLink(tx, encodeLinkRecord({ ...record, state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] }), nowMs)
    return 'granted'
  }
  if (record.state !== 'BURNED') return 'not burned'
  if (record.burns >= MAX_BURNS) return 'too many burns'
  saveLink(tx, encodeLinkRecord({ ...record, relinkGrant: SETUPS_ALLOWED }), nowMs)
  return 'granted'
}
