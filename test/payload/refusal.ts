import { isFailure } from '../../src/domain/failure.ts'

/**
 * The reason and facts with which a call refuses; undefined when it does not. Anything but a Failure is rethrown.
 */
export const refusalOf = (call: () => unknown): { reason: string; facts: Record<string, unknown> } | undefined => {
  try {
    call()
    return undefined
  } catch (error) {
    if (isFailure(error)) return { reason: error.reason, facts: error.facts }
    throw error
  }
}
