/** Ends grants whose time is over, soon after it is. */
import { endExpiredGrants, type GrantEnded } from '../delegation/end-grants.ts'
import type { Clock } from '../domain/clock.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { findSeal } from '../vault/restore-state.ts'

const SWEEP_MS = 1_000

/** Begins at once: some may have ended while nothing ran. A sealed vault stays as it is. Answers how to end it. */
export const startGrantSweep = (vault: DaemonVault, clock: Clock, ended: GrantEnded): (() => Promise<void>) => {
  if (findSeal(vault.read) !== undefined) return async () => undefined
  let running: Promise<unknown> = Promise.resolve()
  const sweep = (): void => {
    // What cannot be written now is tried again; the next commit of somebody else says what is wrong with the disk.
    running = running.then(() => endExpiredGrants(vault, Math.trunc(clock.nowMs()), ended)).catch(() => undefined)
  }
  sweep()
  const timer = setInterval(sweep, SWEEP_MS).unref()
  return async () => {
    clearInterval(timer)
    await running
  }
}
