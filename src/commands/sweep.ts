/** Does what time brings about, such as the end of grants, soon after it is due. */
import type { Clock } from '../domain/clock.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { findSeal } from '../vault/restore-state.ts'

const SWEEP_MS = 1_000

/**
 * Runs `sweep` every second, one run at a time. Begins at once: something may have come due while nothing ran. A sealed
 * vault stays as it is. Answers how to end it.
 */
export const startSweep = (
  vault: DaemonVault,
  clock: Clock,
  sweep: (nowMs: number) => Promise<unknown>,
): (() => Promise<void>) => {
  if (findSeal(vault.read) !== undefined) return async () => undefined
  let running: Promise<unknown> = Promise.resolve()
  const run = (): void => {
    // What cannot be written now is tried again; the next commit of somebody else says what is wrong with the disk.
    running = running.then(() => sweep(Math.trunc(clock.nowMs()))).catch(() => undefined)
  }
  run()
  const timer = setInterval(run, SWEEP_MS).unref()
  return async () => {
    clearInterval(timer)
    await running
  }
}
