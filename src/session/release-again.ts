/**
 * Answers of session keys that are kept for repetitions: one that is asked for again leaves under what stands now. Behind
 * a freeze, of a key that was revoked or ended since, or where the project may no longer act for the owner, it stays.
 */
import { isEndUserPrincipal } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { parseApiKeyId } from '../domain/ids.ts'
import type { KeptAnswer } from '../signing/release-again.ts'
import { assertSigns } from '../signing/sign.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { requireActiveGrant } from '../vault/grants.ts'
import { findSessionKeyOfRequest, getSessionKey, type SessionKey } from '../vault/session-keys.ts'
import { findSessionRequest } from '../vault/session-marks.ts'
import type { Reader } from '../vault/store.ts'
import { requireWallet } from '../vault/wallets.ts'
import { requireGrantOf, requireStanding } from './key-standing.ts'

const MAKING: ReadonlySet<string> = new Set(['CreateSessionKey', 'RotateSessionKey'])

/** Refuses as `requireStanding` and `requireActiveGrant`; FROZEN, WALLET_ARCHIVED, WALLET_SUSPENDED. Other answers are not its matter. */
export const requireSessionReleasable = (reader: Reader, kept: KeptAnswer, nowMs: number): void => {
  const name = kept.method.slice(kept.method.lastIndexOf('/') + 1)
  if (name === 'SignAction') {
    const request = findSessionRequest(reader, kept.caller, kept.requestId, nowMs)
    const key = request && getSessionKey(reader, request.sessionKeyId)
    if (key === undefined) return
    requireStanding(reader, key, nowMs)
    requireUnstopped(reader, kept, key, nowMs)
  }
  if (MAKING.has(name)) {
    const key = findSessionKeyOfRequest(reader, kept.caller, kept.requestId)
    if (key === undefined) return
    requireGrantOf(reader, key, nowMs)
    if (key.state === 'REVOKED') throw failure('SESSION_REVOKED', { sessionKeyId: key.sessionKeyId })
    requireUnstopped(reader, kept, key, nowMs)
  }
}

const requireUnstopped = (reader: Reader, { caller }: KeptAnswer, key: SessionKey, nowMs: number): void => {
  requireNotFrozen(reader, [
    { scope: 'project', id: key.project },
    { scope: 'wallet', id: key.walletId },
    { scope: 'session_key', id: key.sessionKeyId },
    { scope: 'venue_profile', id: key.profile },
    ...(parseApiKeyId(caller) === undefined ? [] : [{ scope: 'api_key', id: caller } as const]),
  ])
  const wallet = requireWallet(reader, key.walletId)
  assertSigns(wallet)
  if (wallet.ownerType === 'end_user' && !isEndUserPrincipal(caller)) requireActiveGrant(reader, wallet, nowMs)
}
