/** CreateSessionKey and RotateSessionKey. */
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { findKey } from './find-key.ts'
import { standingOf } from './key-standing.ts'
import { type KeyRequest, planKey } from './make-key.ts'
import type { SessionNeeds } from './needs.ts'
import { registerKey, type RegisteredKey } from './register-key.ts'
import { fromStoredTerms, type JsonRecord } from './terms.ts'

/** Refuses as `planKey` and `sign` do. */
export const createSessionKey = (needs: SessionNeeds, call: Call, request: KeyRequest): Promise<RegisteredKey> =>
  registerKey(needs, call, () => planKey(needs, call, request))

export type RotationRequest = {
  readonly sessionKeyId: string
  readonly expireTimeMs: number
  readonly overlapMs: number
  readonly publicKey: Uint8Array
  readonly registrationInput: JsonRecord
  /** Undefined: those of the key that is replaced. */
  readonly parameters: JsonRecord | undefined
}

/** Refuses as `createSessionKey`; SESSION_REVOKED, and SESSION_KEY_NOT_READY a key that was replaced before. */
export const rotateSessionKey = async (needs: SessionNeeds, call: Call, request: RotationRequest): Promise<RegisteredKey> => {
  const old = findKey(needs, call, request.sessionKeyId, ['session:create'])
  return registerKey(needs, call, () => {
    const { sessionKeyId } = old
    if (standingOf(old, 0) === 'revoked') throw failure('SESSION_REVOKED', { sessionKeyId })
    if (old.retireMs !== undefined) throw failure('SESSION_KEY_NOT_READY', { sessionKeyId, state: 'replaced already' })
    const { scopes, extraFamilies, limits, parameters, requireSession } = fromStoredTerms(old.terms)
    const renewed: KeyRequest = {
      walletRef: old.walletId,
      profile: old.profile,
      network: old.network,
      scopes,
      extraFamilies,
      limits,
      requireSession,
      expireTimeMs: request.expireTimeMs,
      publicKey: request.publicKey,
      parameters: request.parameters ?? parameters,
      registrationInput: request.registrationInput,
    }
    return planKey(needs, call, renewed, old, request.overlapMs)
  })
}
