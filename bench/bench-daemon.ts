/** Starts a daemon for the bench, in a process and a temporary directory of its own. */
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

export type LoopDelay = { readonly maxMs: number; readonly p99Ms: number; readonly cpuMs: number }

export type BenchDaemon = {
  readonly grpc: string
  readonly adminKey: string
  /** Starts the watch on the event loop anew. */
  readonly resetLoop: () => void
  readonly readLoop: () => Promise<LoopDelay>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

const START_TIMEOUT_MS = 30_000
const POLL_MS = 20

const waitForEndpoints = async (file: string, child: ChildProcess): Promise<{ readonly grpc: string }> => {
  const giveUpMs = Date.now() + START_TIMEOUT_MS
  for (;;) {
    if (existsSync(file)) return JSON.parse(readFileSync(file, 'utf8')) as { grpc: string }
    if (child.exitCode !== null || Date.now() > giveUpMs) throw new Error('the daemon does not serve')
    await sleep(POLL_MS)
  }
}

export const startBenchDaemon = async (...options: readonly string[]): Promise<BenchDaemon> => {
  const base = mkdtempSync(join(tmpdir(), 'countersign-bench-'))
  const dataDir = join(base, 'data')
  const entry = join(import.meta.dirname, 'served-daemon.ts')
  const listen = ['--grpc-listen', '127.0.0.1:0', '--connect-listen', '127.0.0.1:0', '--log-level', 'error']
  const child = spawn(process.execPath, [entry, 'dev', '--data-dir', dataDir, ...listen, ...options], {
    cwd: resolve(import.meta.dirname, '..'),
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  })
  const stop = async (): Promise<void> => {
    const ended = child.exitCode === null ? once(child, 'exit') : undefined
    child.kill('SIGTERM')
    await ended
    rmSync(base, { recursive: true, force: true })
  }
  try {
    const { grpc } = await waitForEndpoints(join(dataDir, 'endpoints.json'), child)
    return {
      grpc,
      adminKey: readFileSync(join(dataDir, 'admin.key'), 'utf8').trim(),
      resetLoop: () => child.send('reset'),
      readLoop: async () => {
        const answer = once(child, 'message')
        child.send('read')
        return (await answer)[0] as LoopDelay
      },
      [Symbol.asyncDispose]: stop,
    }
  } catch (error) {
    await stop()
    throw error
  }
}
