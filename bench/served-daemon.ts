/**
 * The daemon as any other, run by the bench: `countersign dev` in this process, and beside it a watch on how long its
 * event loop was kept from turning, which the parent asks for over the process channel.
 */
import { monitorEventLoopDelay } from 'node:perf_hooks'
import { processTerminal, runCommand } from '../src/commands/run-command.ts'

const RESOLUTION_MS = 1

const delay = monitorEventLoopDelay({ resolution: RESOLUTION_MS })
delay.enable()
// A sample is the time between two timers that should be one resolution apart.
const blockedMs = (ns: number): number => Math.max(0, ns / 1e6 - RESOLUTION_MS)

process.on('message', (message) => {
  if (message === 'reset') delay.reset()
  if (message === 'read') {
    const { user, system } = process.cpuUsage()
    const loop = { maxMs: blockedMs(delay.max), p99Ms: blockedMs(delay.percentile(99)) }
    process.send?.({ ...loop, cpuMs: (user + system) / 1_000 })
  }
})

process.exitCode = await runCommand(process.argv.slice(2), processTerminal())
process.disconnect?.()
