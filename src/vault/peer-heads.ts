import { failure } from '../domain/failure.ts'
import type { AuditHead } from './audit-chain.ts'
import type { Reader, Tx } from './store.ts'

/**
 * What this party last saw of the other party's audit chain. Two uses: on connect the remembered head is sent to
 * the peer, which refuses to sign when its own chain does not contain it (`requireRememberedHead`), and the peer's
 * announced head is refused here when it is behind or differs. A vault that was rolled back is noticed by both.
 */
export type PeerHead = AuditHead & { readonly timeMs: number }

export const getPeerHead = (reader: Reader, peerId: Uint8Array): PeerHead | undefined => {
  const row = reader.one<{ sequence: bigint; hash: Buffer; time_ms: bigint }>(
    'SELECT sequence, hash, time_ms FROM peer_heads WHERE peer_id = ?',
    peerId,
  )
  return row && { sequence: row.sequence, hash: row.hash, timeMs: Number(row.time_ms) }
}

const WRITE = 'INSERT OR REPLACE INTO peer_heads (peer_id, sequence, hash, time_ms) VALUES (?, ?, ?, ?)'

/** Refuses with VAULT_ROLLED_BACK a head behind the remembered one, or another hash at the same sequence. */
export const rememberPeerHead = (tx: Tx, peerId: Uint8Array, head: AuditHead, nowMs: number): void => {
  const known = getPeerHead(tx, peerId)
  const behind = known !== undefined && head.sequence < known.sequence
  const other = known?.sequence === head.sequence && !Buffer.from(known.hash).equals(head.hash)
  if (behind || other) {
    const facts = { expectedSequence: String(known.sequence), foundSequence: String(head.sequence) }
    throw failure('VAULT_ROLLED_BACK', facts)
  }
  tx.run(WRITE, peerId, head.sequence, head.hash, nowMs)
}

/** On an operator's word alone: the peer, or this party, was put back to an older state on purpose. */
export const replacePeerHead = (tx: Tx, peerId: Uint8Array, head: AuditHead, nowMs: number): void => {
  tx.run(WRITE, peerId, head.sequence, head.hash, nowMs)
}

/**
 * Takes the head that came with a request in flight: requests overtake one another, so a lower one is ignored.
 * Another hash at the remembered sequence is refused with VAULT_ROLLED_BACK.
 */
export const raisePeerHead = (tx: Tx, peerId: Uint8Array, head: AuditHead, nowMs: number): void => {
  const known = getPeerHead(tx, peerId)
  if (known !== undefined && head.sequence < known.sequence) return
  rememberPeerHead(tx, peerId, head, nowMs)
}
