import { TestRunner } from 'vitest'

/** A name of its own for each try of a test: what a try that failed has left does not fail the next one too. */
export const fresh = (name: string): string => {
  const tries = triesBefore()
  return tries === 0 ? name : `${name}-${tries}`
}

export const triesBefore = (): number => TestRunner.getCurrentTest()?.result?.retryCount ?? 0
