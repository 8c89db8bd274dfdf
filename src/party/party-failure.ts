import { Failure, type FailureFacts, failure, type FailureReason, isFailure } from '../domain/failure.ts'
import { PeerUnavailable } from './counterparty.ts'
import { PortFailure } from './port-calls.ts'

/** What the signing script handles itself. */
const TOLD_APART = new Set(['UNKNOWN_PRESIGNATURE', 'SIGNATURE_INVALID'])

/** A coded refusal of a thread becomes the daemon's own failure; anything else is a bug there. */
export const asFailure = (error: unknown): unknown => {
  if (error instanceof PeerUnavailable) return failure('COSIGNER_UNAVAILABLE', { why: error.message })
  if (isFailure(error) || !(error instanceof PortFailure)) return error
  if (error.reason === 'INTERNAL' || error.reason === 'METHOD_UNKNOWN') return new Error('a party failed internally')
  return new Failure(error.reason as FailureReason, error.facts as never)
}

/** The outcome of a call to a party, refusals put as the daemon's own. */
export const translated = async <T>(work: Promise<T>): Promise<T> => {
  try {
    return await work
  } catch (error) {
    if (error instanceof PortFailure && TOLD_APART.has(error.reason)) throw error
    throw asFailure(error)
  }
}

/** Said of a cosigner that is away: its own words, without the sentence around them. */
export const whyOf = (error: Failure): string =>
  error.reason === 'COSIGNER_UNAVAILABLE' ? (error.facts as FailureFacts['COSIGNER_UNAVAILABLE']).why : error.message

/** The same for callers, who learn nothing of the daemon's files. */
const TOLD: Partial<Record<FailureReason, string>> = {
  VAULT_MISSING: 'its vault is missing',
  VAULT_CORRUPT: 'its vault is damaged',
  VAULT_TOO_NEW: 'its vault is of a newer version',
  VAULT_LOCKED: 'its vault is held by another process',
  VAULT_UNWRITABLE: 'its vault cannot be written',
  ROOT_KEY_WRONG: 'its root key does not open its vault',
  ROOT_KEY_UNREADABLE: 'its root key cannot be read',
}
export const toldOf = (error: Failure): string => TOLD[error.reason] ?? whyOf(error)
