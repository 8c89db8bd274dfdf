/** What the audit chain says of session keys. */
import { actorOf, type Call } from '../domain/call.ts'
import { type Failure, failure, type FailureReason } from '../domain/failure.ts'
import type { Leg } from '../payload/profile/loaded-profile.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { JsonValue } from '../vault/canonical-json.ts'
import type { SessionKey } from '../vault/session-keys.ts'
import { formatE18 } from './amounts.ts'
import type { SessionNeeds } from './needs.ts'
import type { ActionJob } from './sign-action.ts'

/** More than this of a list is not worth an audit row's space; the digest covers it all. */
const LISTED_MAX = 16

const describeLeg = ({ side, sizeE18, market, priceE18, reduceOnly }: Leg): string =>
  [
    side,
    sizeE18 === undefined ? undefined : formatE18(sizeE18),
    market,
    priceE18 === undefined ? undefined : `@${formatE18(priceE18)}`,
    reduceOnly ? 'reduce-only' : undefined,
  ]
    .filter((part) => part !== undefined)
    .join(' ')

export const sessionEvent = (
  call: Call,
  key: Pick<SessionKey, 'sessionKeyId' | 'project'>,
  event: { readonly timeMs: number; readonly kind: string; readonly details?: JsonValue; readonly decision?: 'allow' | 'refuse' },
): AuditEvent => ({
  timeMs: event.timeMs,
  kind: event.kind,
  project: key.project,
  actor: actorOf(call.caller),
  subject: { type: 'session_key', id: key.sessionKeyId },
  method: call.method.slice(call.method.lastIndexOf('/') + 1),
  requestId: call.requestId,
  decision: event.decision ?? 'allow',
  details: event.details,
})

export const actionEvent = (
  { call, prepared, action }: ActionJob,
  { timeMs, nonce, digest }: { readonly timeMs: number; readonly nonce: bigint | undefined; readonly digest: Uint8Array },
): AuditEvent => {
  const { key, loaded } = prepared
  const { family, action: name, legs } = action.facts
  return sessionEvent(call, key, {
    timeMs,
    kind: 'session.action',
    details: {
      action: name,
      digest: Buffer.from(digest).toString('hex'),
      family,
      legs: legs.slice(0, LISTED_MAX).map(describeLeg),
      network: key.network,
      ...(nonce === undefined ? {} : { nonce: String(nonce) }),
      profile: key.profile,
      profileHash: loaded.profileHash,
    },
  })
}

/** Refusals that are somebody being kept from something: each becomes an audit row. */
const DENIALS: ReadonlySet<FailureReason> = new Set([
  'PERMISSION_MISSING',
  'LIMIT_EXCEEDED',
  'RATE_LIMITED',
  'GRANT_NOT_FOUND',
  'GRANT_NOT_AUTHORIZED',
  'GRANT_EXPIRED',
  'GRANT_REVOKED',
  'FROZEN',
  'WALLET_ARCHIVED',
  'WALLET_SUSPENDED',
  'API_KEY_INVALID',
  'API_KEY_EXPIRED',
  'SESSION_ACL_VIOLATION',
  'SESSION_REVOKED',
  'SESSION_UNAUTHORIZED',
  'SESSION_SIGNER_MISMATCH',
  'SESSION_KEY_NOT_READY',
  'PROFILE_CHANGED',
  'MARK_STALE',
  'CLOCK_OFFSET',
  'NONCE_WINDOW_EXHAUSTED',
])
const MAX_DENIALS_PER_SECOND = 500

type Denied = { readonly key: Pick<SessionKey, 'sessionKeyId' | 'project'>; readonly family: string; readonly error: Failure }

/** Writes a refusal down. Answers what the caller is told: the refusal, or RATE_LIMITED where rows come too fast. */
export const recordSessionDenial = async (needs: SessionNeeds, call: Call, { key, family, error }: Denied): Promise<Failure> => {
  if (!DENIALS.has(error.reason)) return error
  const { principal } = call.caller
  const { rates } = needs
  const isRate = error.reason === 'RATE_LIMITED'
  const isTooMany = !isRate && rates.tryTake(`denials ${principal}`, MAX_DENIALS_PER_SECOND) !== undefined
  const refusal = isTooMany ? failure('RATE_LIMITED', { limit: 'denials', retryAfterMs: 1_000 }) : error
  // Of the rate itself one row a second says it all.
  if (refusal.reason === 'RATE_LIMITED' && rates.tryTake(`limited ${principal}`, 1) !== undefined) return refusal
  const timeMs = Math.trunc(needs.clock.nowMs())
  await needs.vault.commit((tx) =>
    appendAudit(tx, {
      ...sessionEvent(call, key, {
        timeMs,
        kind: 'session.denied',
        decision: 'refuse',
        details: { family, message: refusal.message.slice(0, 400) },
      }),
      reason: refusal.reason,
    }),
  )
  return refusal
}
