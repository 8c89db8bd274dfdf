/** Whether one action may be signed: everything that is asked before a nonce is used and a key is touched. */
import { hash } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { Failure, failure } from '../domain/failure.ts'
import { parseGrantId } from '../domain/ids.ts'
import type { ActionFacts, ReadAction } from '../payload/profile/loaded-profile.ts'
import type { Family } from '../payload/profile/profile.ts'
import { FAMILIES } from '../payload/profile/profile.ts'
import type { SigningFacts } from '../payload/facts.ts'
import { type AllowedDecision, decide } from '../policy/decide.ts'
import { liveGrantsOf } from '../signing/authorize.ts'
import { requireConsentStill } from '../signing/consent.ts'
import { assertSigns } from '../signing/sign.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { getSessionKey, type SessionKey } from '../vault/session-keys.ts'
import { readSessionUsage } from '../vault/session-marks.ts'
import type { Reader } from '../vault/store.ts'
import { utcDay } from '../vault/usage.ts'
import { requireWallet } from '../vault/wallets.ts'
import { requireStanding } from './key-standing.ts'
import { checkDay, checkLimits } from './limits.ts'
import type { SessionNeeds } from './needs.ts'
import { freezesBefore, type PreparedKey } from './prepared-key.ts'
import { neededFor } from './terms.ts'

/** To the permissions of an API key an action is what names no chain, reaches nobody and cannot be counted. */
const ACTION: SigningFacts = {
  operation: 'message',
  effect: 'opaque',
  chainIds: [],
  destinations: [],
  spends: [],
  delegations: [],
  summary: 'a session action',
}

/** The caller's own right to a session key. Refuses as `decide` does, and with API_KEY_INVALID, API_KEY_EXPIRED. */
const decideCaller = (reader: Reader, needs: SessionNeeds, call: Call, key: SessionKey, nowMs: number): AllowedDecision => {
  const grants = liveGrantsOf(reader, needs, call.caller, nowMs)
  const { walletId, sessionKeyId } = key
  const decision = decide(grants, { permissions: ['session:sign'], walletId, sessionKeyId, facts: ACTION }, () => undefined)
  if (decision.verdict === 'refuse') throw new Failure(decision.reason, decision.facts)
  return decision
}

/** What is asked of key and caller, in this order: state, end, wallet, permission, freezes. */
export const requireOpen = (
  reader: Reader,
  needs: SessionNeeds,
  call: Call,
  prepared: PreparedKey,
): { readonly decision: AllowedDecision; readonly nowMs: number } => {
  const nowMs = needs.clockWatch.laterMs()
  const current = getSessionKey(reader, prepared.key.sessionKeyId)
  if (current === undefined) throw failure('SESSION_KEY_NOT_FOUND', {})
  requireStanding(reader, current, nowMs)
  const wallet = requireWallet(reader, current.walletId)
  assertSigns(wallet)
  requireConsentStill(reader, call.caller, wallet, nowMs, parseGrantId(current.grantId ?? ''))
  const decision = decideCaller(reader, needs, call, current, nowMs)
  requireNotFrozen(reader, freezesBefore(prepared, call.caller))
  return { decision, nowMs }
}

const KNOWN: ReadonlySet<string> = new Set(FAMILIES)

/** Refuses with PROFILE_FAMILY_UNKNOWN, and with SESSION_ACL_VIOLATION what the key's scope does not cover. */
export const requireInScope = ({ families, key }: PreparedKey, family: string): Family => {
  if (!KNOWN.has(family)) throw failure('PROFILE_FAMILY_UNKNOWN', { profile: key.profile, family })
  if (!families.has(family as Family)) {
    throw failure('SESSION_ACL_VIOLATION', { family, needed: neededFor(family as Family) })
  }
  return family as Family
}

export const readAction = (prepared: PreparedKey, family: string, actionJson: string): ReadAction =>
  prepared.loaded.readAction({
    network: prepared.key.network,
    family,
    parameters: prepared.parameters,
    actionJson: Buffer.from(actionJson, 'utf8'),
  })

/**
 * An action of the wallet's own is not signed by a session key, whatever its scope (SESSION_SIGNER_MISMATCH); one under a
 * credential waits until all of it was stored (CREDENTIAL_MISSING).
 */
export const requireSessionFlow = (prepared: PreparedKey, needs: SessionNeeds, facts: ActionFacts): void => {
  const { ofWallet, ofCredential, neededCredentials, key } = prepared
  if (ofWallet.has(facts.flow)) {
    throw failure('SESSION_SIGNER_MISMATCH', { why: `${facts.action} is signed by the wallet itself` })
  }
  if (!ofCredential.has(facts.flow)) return
  for (const name of neededCredentials) needs.sessionSecrets.require(key.sessionKeyId, name, key.publicKey)
}

/** What an action charges to its key's day. Refuses with LIMIT_EXCEEDED and MARK_STALE. */
export const judgeLimits = (
  reader: Reader,
  needs: SessionNeeds,
  { key, limits }: PreparedKey,
  facts: ActionFacts,
  nowMs: number,
): { readonly chargeE18: bigint; readonly usedE18: bigint; readonly day: number } => {
  const chargeE18 = checkLimits(limits, facts, (market) => needs.marks.find(key, market))
  const day = utcDay(nowMs)
  const usedE18 = chargeE18 === 0n ? 0n : readSessionUsage(reader, key.sessionKeyId, day)
  checkDay(limits, usedE18, chargeE18)
  return { chargeE18, usedE18, day }
}

/** What a repeat under the same request id has to equal. */
export const hashAction = (args: {
  readonly sessionKeyId: string
  readonly family: string
  readonly actionJson: string
  readonly notAfterMs: number | undefined
}): Uint8Array =>
  hash('sha256', JSON.stringify([args.sessionKeyId, args.family, args.actionJson, args.notAfterMs ?? null]), 'buffer')
