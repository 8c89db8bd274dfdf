import { Failure, type FailureReason, isFailure } from '../domain/failure.ts'
import { PortFailure } from './port-calls.ts'

/** What the signing script handles itself. */
const TOLD_APART = new Set(['UNKNOWN_PRESIGNATURE', 'SIGNATURE_INVALID'])

/** A coded refusal of a thread becomes the daemon's own failure; anything else is a bug there. */
export const asFailure = (error: unknown): unknown => {
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
