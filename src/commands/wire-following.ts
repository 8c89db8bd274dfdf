/** What looks at the chains while the daemon runs, turn after turn. */
import { setTimeout as sleep } from 'node:timers/promises'
import { followChains } from '../delegation/follow-chains.ts'
import { type SettleCursors, settleSpends, type SettleNeeds } from '../delegation/settle-spends.ts'
import { findSeal } from '../vault/restore-state.ts'

const SETTLE_PAUSE_MS = 500

/** Takes turns with a pause between, until the answer is called. */
const startTurns = (turn: (signal: AbortSignal) => Promise<void>, pauseMs: number, onError: (error: unknown) => void) => {
  const ending = new AbortController()
  const { signal } = ending
  const run = async (): Promise<void> => {
    while (!signal.aborted) {
      // What cannot be read or written now is at the next turn.
      await turn(signal).catch((error: unknown) => {
        if (!signal.aborted) onError(error)
      })
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }
  const running = run()
  return async (): Promise<void> => {
    ending.abort()
    await running
  }
}

/** Follows the approvals of external wallets, and what was spent from them; a sealed vault stays as it is. Answers how to end it. */
export const startFollowing = (needs: SettleNeeds, pauseMs: number, onError: (error: unknown) => void): (() => Promise<void>) => {
  if (findSeal(needs.vault.read) !== undefined) return async () => undefined
  const cursors: SettleCursors = new Map()
  const ends = [
    startTurns((signal) => followChains(needs, signal), pauseMs, onError),
    startTurns((signal) => settleSpends(needs, signal, cursors), SETTLE_PAUSE_MS, onError),
  ]
  return async () => {
    await Promise.all(ends.map((end) => end()))
  }
}
