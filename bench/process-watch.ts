/**
 * What a daemon that the bench runs tells of its process when the parent asks over the process channel: how long its
 * event loop was kept from turning, its processor time and its memory.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'

export type ProcessReading = {
  readonly maxMs: number
  readonly p99Ms: number
  readonly cpuMs: number
  readonly rssBytes: number
}

const RESOLUTION_MS = 1

/** Answers how to let go of the channel, so that the process can end. */
export const watchProcess = (): (() => void) => {
  const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
  delay.enable()
  // A sample is the time between two timers that should be one resolution apart.
  const blockedMs = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS)
  process.on('message', (message) => {
    if (message === 'reset') delay.reset()
    if (message === 'read') {
      const { user, system } = process.cpuUsage()
      const reading: ProcessReading = {
        maxMs: blockedMs(delay.max),
        p99Ms: blockedMs(delay.percentile(99)),
        cpuMs: (user + system) / 1_000,
        rssBytes: process.memoryUsage.rss(),
      }
      process.send?.(reading)
    }
  })
  return () => process.disconnect?.()
}
