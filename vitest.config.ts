import { defineConfig } from 'vitest/config'

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    exclude: ['test/interop/**'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Real daemons, disks and clocks on a machine that others use: what fails twice is wrong, what fails once is reported.
    retry: process.env['CI'] === undefined ? 0 : 1,
    execArgv: ['--disable-proto=throw'],
  },
})
