/** Whether a session key may sign now, whoever asks and whatever for. */
import { failure } from '../domain/failure.ts'
import { parseGrantId } from '../domain/ids.ts'
import { failureOfEnded, getGrant, stateAt } from '../vault/grants.ts'
import type { SessionKey } from '../vault/session-keys.ts'
import type { Reader } from '../vault/store.ts'

export type KeyStanding = 'pending' | 'active' | 'expired' | 'revoked'

/** The end of a key that was replaced is that of its overlap, when that comes first. */
export const endOf = ({ expireMs, retireMs }: SessionKey): number => Math.min(expireMs, retireMs ?? expireMs)

export const standingOf = (key: SessionKey, nowMs: number): KeyStanding => {
  if (key.state === 'REVOKED') return 'revoked'
  if (nowMs > endOf(key)) return 'expired'
  return key.state === 'ACTIVE' ? 'active' : 'pending'
}

/**
 * Refuses: GRANT_REVOKED or GRANT_EXPIRED with the grant it was made under; SESSION_REVOKED; SESSION_KEY_NOT_READY before
 * the venue has confirmed it; SESSION_UNAUTHORIZED (expired) once it is later than its end.
 */
export const requireStanding = (reader: Reader, key: SessionKey, nowMs: number): void => {
  const { sessionKeyId } = key
  // First: with its grant the key is revoked, and the grant is why.
  requireGrantOf(reader, key, nowMs)
  const standing = standingOf(key, nowMs)
  if (standing === 'revoked') throw failure('SESSION_REVOKED', { sessionKeyId })
  if (standing === 'expired') {
    const endTime = new Date(endOf(key)).toISOString()
    throw failure('SESSION_UNAUTHORIZED', { detail: 'expired', why: `session key ${sessionKeyId} ended at ${endTime}` })
  }
  if (standing === 'pending') throw failure('SESSION_KEY_NOT_READY', { sessionKeyId, state: 'not confirmed by the venue' })
}

/** Refuses with GRANT_REVOKED or GRANT_EXPIRED a key whose grant has ended. */
export const requireGrantOf = (reader: Reader, key: SessionKey, nowMs: number): void => {
  if (key.grantId === undefined) return
  const grantId = parseGrantId(key.grantId)
  const grant = grantId && getGrant(reader, grantId)
  if (grant === undefined) throw failure('GRANT_NOT_FOUND', {})
  if (stateAt(grant, nowMs) !== 'ACTIVE') throw failureOfEnded(grant)
}
