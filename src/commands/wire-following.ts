/** Follows the chains while the daemon runs. */
import { setTimeout as sleep } from 'node:timers/promises'
import { followChains, type FollowNeeds } from '../delegation/follow-chains.ts'
import { findSeal } from '../vault/restore-state.ts'

/** Turn after turn with a pause between; a sealed vault stays as it is. Answers how to end it. */
export const startFollowing = (needs: FollowNeeds, pauseMs: number, onError: (error: unknown) => void): (() => Promise<void>) => {
  if (findSeal(needs.vault.read) !== undefined) return async () => undefined
  const ending = new AbortController()
  const { signal } = ending
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      // What cannot be read or written now is at the next turn.
      await followChains(needs, signal).catch((error: unknown) => {
        if (!signal.aborted) onError(error)
      })
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  const running = run()
  return async () => {
    ending.abort()
    await running
  }
}
