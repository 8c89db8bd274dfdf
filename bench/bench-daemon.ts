/** Starts a daemon for the bench, in a process and a temporary directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ProcessReading } from './process-watch.ts'

export type BenchDaemon = {
  readonly grpc: string
  /** Where its metrics are, if it was asked to serve them. */
  readonly metrics: string | undefined
  readonly adminKey: string
  /** From the start of the process until it serves. */
  readonly startMs: number
  /** Starts the watch on the event loop anew. */
  readonly resetLoop: () => void
  readonly read: () => Promise<ProcessReading>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** What runs: the daemon as it is, one around a plain key, or its edge alone. */
export type Program = 'served-daemon.ts' | 'plain-daemon.ts' | 'echo-daemon.ts'

export type BenchDaemonOptions = {
  readonly program?: Program
  /** Before the options; `dev` unless given. */
  readonly words?: readonly string[]
  readonly options?: readonly string[]
  /** One that is there already and stays; a temporary one unless given. */
  readonly dataDir?: string
}

const START_TIMEOUT_MS = 60_000
const POLL_MS = 5

type Endpoints = { readonly grpc: string; readonly metrics?: string; readonly cosigner?: string }

export const waitForEndpoints = async (file: string, child: ChildProcess): Promise<Endpoints> => {
  const giveUpMs = Date.now() + START_TIMEOUT_MS
  for (;;) {
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as Endpoints
    if (child.exitCode !== null || Date.now() > giveUpMs) throw new Error('the daemon does not serve')
    await sleep(POLL_MS)
  }
}

const root = resolve(import.meta.dirname, '..')

/** Node's own options, as `npm start` gives them. */
const nodeOptions = (): readonly string[] => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as { scripts: { start: string } }
  return scripts.start.split(' ').filter((word) => word.startsWith('--'))
}

/** One that answers what process-watch.ts tells. */
export const launchWatched = (program: Program, args: readonly string[]): ChildProcess =>
  spawn(process.execPath, [...nodeOptions(), join(import.meta.dirname, program), ...args], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })

export const startBenchDaemon = async (how: BenchDaemonOptions = {}): Promise<BenchDaemon> => {
  const base = how.dataDir === undefined ? mkdtempSync(join(tmpdir(), 'countersign-bench-')) : undefined
  const dataDir = how.dataDir ?? join(base ?? '', 'data')
  const listen = ['--grpc-listen', '127.0.0.1:0', '--connect-listen', '127.0.0.1:0', '--log-level', 'error']
  const words = how.words ?? ['dev']
  const beganMs = performance.now()
  const child = launchWatched(how.program ?? 'served-daemon.ts', [...words, '--data-dir', dataDir, ...listen, ...(how.options ?? [])])
  const stop = async (): Promise<void> => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGTERM')
    await ended
    if (base !== undefined) rmSync(base, { recursive: true, force: true })
  }
  try {
    const { grpc, metrics } = await waitForEndpoints(join(dataDir, 'endpoints.json'), child)
    const startMs = performance.now() - beganMs
    return {
      grpc,
      metrics,
      adminKey: readFileSync(join(dataDir, 'admin.key'), 'utf8').trim(),
      startMs,
      resetLoop: () => child.send('reset'),
      read: async () => {
        const answer = once(child, 'message')
        child.send('read')
        return (await answer)[0] as ProcessReading
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
