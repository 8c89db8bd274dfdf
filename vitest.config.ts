import { join } from 'node:path'
import { defineConfig } from 'vitest/config'
import { SlowFirst } from './test/slow-first.ts'

// What the daemons and commands that tests start compile is kept for the next of them: a start takes two thirds of the
// time. Read by Node at the start of each process that inherits it.
process.env['NODE_COMPILE_CACHE'] ??= join(import.meta.dirname, 'node_modules', '.cache', 'compiled')

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**'],
    pool: 'forks',
    // One more than the cores of a small machine: much of what is tested is waiting.
    maxWorkers: 3,
    sequence: { sequencer: SlowFirst },
    // Nothing is to wait for these times: they are for a machine that is many times slower than this takes.
    testTimeout: 60_000,
    hookTimeout: 120_000,
    expect: { poll: { timeout: 20_000 } },
    // Real daemons, disks and clocks on a machine that others use: what fails twice is wrong, what fails once is reported.
    retry: process.env['CI'] === undefined ? 0 : 1,
    execArgv: ['--disable-proto=throw'],
  },
})
