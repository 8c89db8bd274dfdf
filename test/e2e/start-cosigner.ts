/** A cosigner as a process of its own, paired with a daemon's data directory that has none embedded. */
import { existsSync, readFileSync, rmSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type ChildProcess, spawn } from 'node:child_process'
import { makeDataDir, runCli, START_WITHIN_MS, startDaemon, type TestDaemon } from './start-daemon.ts'

export type TestCosigner = {
  readonly address: string
  readonly process: ChildProcess
  readonly output: () => string
  readonly kill: (signal: NodeJS.Signals) => Promise<void>
}

export type TestPair = {
  /** Of both: the daemon's is in `data`, the cosigner's in `cosigner`. */
  readonly base: string
  readonly daemonDir: string
  readonly cosignerDir: string
  readonly remove: () => void
}

/** Whatever stands there before a cosigner listens; the flag counts for the kind of data directory only. */
const NOWHERE = '127.0.0.1:1'

const must = async (args: readonly string[]): Promise<string> => {
  const { code, stdout, stderr } = await runCli(args)
  if (code !== 0) throw new Error(`${args.join(' ')}: ${stderr}`)
  return stdout
}

/** Both data directories, paired. */
export const makePair = async (): Promise<TestPair> => {
  const base = makeDataDir()
  const [daemonDir, cosignerDir] = [join(base, 'data'), join(base, 'cosigner')]
  await must(['cosigner', 'init', '--data-dir', cosignerDir])
  // Makes the data directory with a key that may do everything, and does not serve one that is not paired.
  await runCli(['dev', '--data-dir', daemonDir, '--cosigner', NOWHERE])
  await must(['cosigner', 'pair', join(daemonDir, 'channel.pair'), '--data-dir', cosignerDir])
  await must(['cosigner', 'pair', join(cosignerDir, 'channel.pair'), '--data-dir', daemonDir])
  return { base, daemonDir, cosignerDir, remove: () => rmSync(base, { recursive: true, force: true }) }
}

type StartCosignerOptions = {
  readonly address?: string
  readonly args?: readonly string[]
  /** A command before it, which becomes it. */
  readonly through?: readonly string[]
}

/** `address`: where one served before, so that its daemon finds it again. */
export const startCosigner = async (
  cosignerDir: string,
  { address = '127.0.0.1:0', args = [], through = [] }: StartCosignerOptions = {},
): Promise<TestCosigner> => {
  const endpoints = join(cosignerDir, 'endpoints.json')
  rmSync(endpoints, { force: true })
  const serve = ['cosigner', 'serve', '--data-dir', cosignerDir, '--cosigner-listen', address, ...args]
  const [program = '', ...command] = [...through, process.execPath, 'src/main.ts', ...serve]
  const child = spawn(program, command, {
    cwd: join(import.meta.dirname, '../..'),
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  child.stdout.on('data', (chunk: Buffer) => (text += chunk.toString()))
  child.stderr.on('data', (chunk: Buffer) => (text += chunk.toString()))
  const exited = new Promise<void>((done) => child.once('exit', () => done()))
  const deadline = Date.now() + START_WITHIN_MS
  while (!existsSync(endpoints)) {
    if (child.exitCode !== null || child.signalCode !== null) throw new Error(`the cosigner ended early:\n${text}`)
    if (Date.now() > deadline) throw new Error(`the cosigner does not serve:\n${text}`)
    await sleep(25)
  }
  const served = JSON.parse(readFileSync(endpoints, 'utf8')) as { readonly cosigner: string }
  const kill = async (signal: NodeJS.Signals): Promise<void> => {
    child.kill(signal)
    await exited
  }
  return { address: served.cosigner, process: child, output: () => text, kill }
}

/** The daemon of the pair, joined to a cosigner at `address`. */
export const startPaired = ({ base }: TestPair, address: string): Promise<TestDaemon> =>
  startDaemon({ dataDir: base, keepData: true, args: ['--cosigner', address] })
