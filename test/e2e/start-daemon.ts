import { type ChildProcess, spawn } from 'node:child_process'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'

const root = resolve(import.meta.dirname, '../..')

export type Endpoints = { readonly grpc: string; readonly connect: string; readonly socket: string }

export type TestDaemon = {
  readonly dataDir: string
  readonly endpoints: Endpoints
  readonly adminKey: string
  readonly process: ChildProcess
  /** Everything it wrote to stdout and stderr so far. */
  readonly output: () => string
  readonly kill: (signal: NodeJS.Signals) => Promise<number | null>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export const makeDataDir = (): string => mkdtempSync(join(tmpdir(), 'countersign-'))

const exited = (child: ChildProcess): Promise<number | null> =>
  child.exitCode !== null || child.signalCode !== null
    ? Promise.resolve(child.exitCode)
    : new Promise((done) => child.once('exit', (code) => done(code)))

/** Of a machine that has other things to do. */
export const START_WITHIN_MS = 90_000

export type StartOptions = {
  readonly dataDir?: string
  readonly command?: string
  readonly args?: readonly string[]
  readonly env?: Readonly<Record<string, string>>
  readonly keepData?: boolean
  /** A shell command before it, for what a process inherits (`ulimit …`). */
  readonly within?: string
  /** A command before it, which becomes it. */
  readonly through?: readonly string[]
}

const launch = (within: string, args: readonly string[], env: Readonly<Record<string, string>>, through: readonly string[] = []) =>
  spawn('/bin/sh', ['-c', `${within}; exec "$@"`, 'sh', ...through, process.execPath, ...args], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })

export type CliRun = { readonly code: number | null; readonly stdout: string; readonly stderr: string }

/** Longer than any command that ends by itself; a daemon that starts against expectation is ended by it. */
const CLI_TIMEOUT_MS = 60_000

/** Runs a CLI command to its end, `within` what a shell command before it sets (`ulimit …`). */
export const runCli = async (
  args: readonly string[],
  env: Readonly<Record<string, string>> = {},
  within = 'true',
): Promise<CliRun> => {
  const child = launch(within, ['src/main.ts', ...args], env)
  const late = setTimeout(() => child.kill('SIGKILL'), CLI_TIMEOUT_MS)
  let stdout = ''
  let stderr = ''
  child.stdout.on('data', (chunk: Buffer) => (stdout += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (stderr += chunk.toString()))
  await new Promise((done) => child.once('close', done))
  clearTimeout(late)
  return { code: child.exitCode, stdout, stderr }
}

/** Starts the real daemon on a temporary directory and waits until it serves. */
export const startDaemon = async (options: StartOptions = {}): Promise<TestDaemon> => {
  const base = options.dataDir ?? makeDataDir()
  const dataDir = join(base, 'data')
  const args = [
    'src/main.ts',
    options.command ?? 'dev',
    '--data-dir',
    dataDir,
    '--grpc-listen',
    '127.0.0.1:0',
    '--connect-listen',
    '127.0.0.1:0',
    ...(options.args ?? []),
  ]
  rmSync(join(dataDir, 'endpoints.json'), { force: true })
  const child = launch(options.within ?? 'true', args, options.env ?? {}, options.through)
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))

  const endpointsFile = join(dataDir, 'endpoints.json')
  const deadline = Date.now() + START_WITHIN_MS
  let endpoints: Endpoints | undefined
  while (endpoints === undefined) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the daemon ended early:\n${text}`)
    if (Date.now() > deadline) throw new Error(`the daemon does not serve:\n${text}`)
    if (existsSync(endpointsFile)) {
      const found = JSON.parse(readFileSync(endpointsFile, 'utf8')) as Endpoints & { pid?: number }
      if (found.pid === undefined || found.pid === child.pid) endpoints = found
    }
    if (endpoints === undefined) await sleep(25)
  }
  const keyFile = join(dataDir, 'admin.key')
  const kill = (signal: NodeJS.Signals): Promise<number | null> => {
    const done = exited(child)
    child.kill(signal)
    return done
  }
  return {
    dataDir,
    endpoints,
    adminKey: existsSync(keyFile) ? readFileSync(keyFile, 'utf8').trim() : '',
    process: child,
    output: () => text,
    kill,
    [Symbol.asyncDispose]: async () => {
      await kill('SIGKILL')
      if (options.keepData !== true) rmSync(base, { recursive: true, force: true })
    },
  }
}
