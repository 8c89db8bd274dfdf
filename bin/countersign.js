#!/usr/bin/env node
// Starts src/main.ts on the Node this package pins. The Node that ran this file may be older: it is only asked to
// find the other one and to pass signals and the exit code through. Plain JavaScript for that reason.
import { spawn } from 'node:child_process'
import { existsSync } from 'node:fs'
import { constants } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const NEEDED_MAJOR = 26
const root = dirname(dirname(fileURLToPath(import.meta.url)))
const main = join(root, 'src', 'main.ts')
// What a process that holds keys does not need: an inspector switched on by a signal, the environment in a crash
// report, a writable __proto__, calls into any library.
const HARDENING = ['--disable-sigusr1', '--report-exclude-env', '--disable-proto=throw', '--no-experimental-ffi']
// Each thread has a young generation of its own, 32 MiB by itself: a quarter of that costs no time and saves 70 MiB.
const MEMORY = ['--max-semi-space-size=8']

/** Looks beside this package and, when it is a dependency itself, in the node_modules it lies in. */
const findPinnedNode = () =>
  [join(root, 'node_modules', '.bin', 'node'), join(root, '..', '.bin', 'node')].find((path) => existsSync(path))

const current = Number(process.versions.node.split('.')[0])
const node = findPinnedNode() ?? (current >= NEEDED_MAJOR ? process.execPath : undefined)

if (node === undefined) {
  process.stderr.write(
    `countersign: needs Node ${NEEDED_MAJOR}, this is ${process.versions.node}, ` +
      'and the one it pins is not installed: run npm ci\n',
  )
  process.exitCode = 1
} else {
  const stdio = 'inherit'
  const child = spawn(node, [...HARDENING, ...MEMORY, main, ...process.argv.slice(2)], { stdio })
  // A terminal sends SIGINT to both; the child alone decides when it is done.
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) process.on(signal, () => child.kill(signal))
  child.on('error', (error) => {
    process.stderr.write(`countersign: ${node} cannot be started (${error.code})\n`)
    process.exitCode = 1
  })
  child.on('exit', (code, signal) => {
    process.exitCode = code ?? 128 + (constants.signals[signal] ?? 0)
  })
}
