/**
 * Tokens that may be used once: which were. A token is known by the id its issuer gave it, under the key that signed it;
 * never by its text, which others can alter into one that verifies as well.
 */
import { hash } from 'node:crypto'
import { getRestoreState } from './restore-state.ts'
import type { Tx } from './store.ts'

export type UsedToken = {
  /** SPKI of the key that signed it. */
  readonly publicKey: Uint8Array
  /** Its `jti`, or `nonce` where the format has that. */
  readonly tokenId: string
  /** From when it may be used, as it says itself. */
  readonly issuedMs: number
  /** When it can no longer be used for another reason, Unix milliseconds. */
  readonly untilMs: number
}

/** As many as a call may forget for the one it remembers: the table never grows beyond what is still of use. */
const FORGOTTEN_A_CALL = 4

const INSERT = 'INSERT OR IGNORE INTO used_token_ids (scope, token_id, until_ms) VALUES (?, ?, ?)'
const FORGET = `DELETE FROM used_token_ids WHERE (scope, token_id) IN
  (SELECT scope, token_id FROM used_token_ids WHERE until_ms < ? LIMIT ${FORGOTTEN_A_CALL})`

/**
 * Remembers the token. Answers false when it was used before, or may have been: what was used between a backup and the
 * restore of it, nobody knows.
 */
export const useToken = (tx: Tx, { publicKey, tokenId, issuedMs, untilMs }: UsedToken, nowMs: number): boolean => {
  const restore = getRestoreState(tx)
  if (restore !== undefined && issuedMs < restore.restoreMs) return false
  tx.run(FORGET, nowMs)
  return tx.run(INSERT, hash('sha256', publicKey, 'buffer'), tokenId, Math.ceil(untilMs)) === 1
}
