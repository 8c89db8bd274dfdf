/** The session key that a request names, for a caller who may know of it. */
import type { Call } from '../domain/call.ts'
import { Failure, failure } from '../domain/failure.ts'
import { parseSessionKeyId } from '../domain/ids.ts'
import { type AllowedDecision, decide } from '../policy/decide.ts'
import type { Permission } from '../policy/permissions.ts'
import { liveGrantsOf } from '../signing/authorize.ts'
import { requireSessionKey, type SessionKey } from '../vault/session-keys.ts'
import type { Reader } from '../vault/store.ts'
import type { SessionNeeds } from './needs.ts'

export const READING: readonly Permission[] = ['session:sign', 'session:create', 'session:admin']

/** Whether one of these permissions reaches the key, at what rate; the refusal where none does. */
export const reach = (
  reader: Reader,
  needs: SessionNeeds,
  call: Call,
  permissions: readonly Permission[],
  key: Pick<SessionKey, 'walletId' | 'sessionKeyId'>,
): AllowedDecision | Failure => {
  const grants = liveGrantsOf(reader, needs, call.caller, needs.clock.nowMs())
  const { walletId, sessionKeyId } = key
  let refusal: Failure | undefined
  for (const permission of permissions) {
    const decision = decide(grants, { permissions: [permission], walletId, sessionKeyId }, () => undefined)
    if (decision.verdict === 'allow') return decision
    refusal ??= new Failure(decision.reason, decision.facts)
  }
  return refusal ?? failure('PERMISSION_MISSING', { permission: 'session:sign' })
}

/** Refuses with SESSION_KEY_NOT_FOUND, also for one of another project, and as `decide` does. */
export const findKey = (needs: SessionNeeds, call: Call, text: string, permissions: readonly Permission[]): SessionKey => {
  const { read } = needs.vault
  const id = parseSessionKeyId(text)
  const key = id && requireSessionKey(read, id, call.caller.projectId)
  if (key === undefined || key.state === 'CREATING') throw failure('SESSION_KEY_NOT_FOUND', {})
  const reached = reach(read, needs, call, permissions, key)
  if (reached instanceof Failure) throw reached
  for (const { counter, requestsPerSecond } of reached.rates) {
    needs.rates.take(`${call.caller.principal} ${counter}`, requestsPerSecond)
  }
  return key
}
