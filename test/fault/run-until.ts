/** Runs programs under kill-at.ts. */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync, rmSync } from 'node:fs'
import { join, resolve } from 'node:path'

const root = resolve(import.meta.dirname, '../..')
const KILL_AT = join(import.meta.dirname, 'kill-at.ts')

const run = async (args: readonly string[], env: Readonly<Record<string, string>>): Promise<number | 'killed'> => {
  const child = spawn(process.execPath, ['--import', KILL_AT, ...args], {
    cwd: root,
    env: { ...process.env, NODE_OPTIONS: '', ...env },
    stdio: 'ignore',
  })
  const [code, signal] = (await once(child, 'close')) as [number | null, NodeJS.Signals | null]
  return signal === 'SIGKILL' ? 'killed' : (code ?? -1)
}

/** The steps of an undisturbed run, by name, in order. */
export const stepsOf = async (args: readonly string[], logPath: string): Promise<string[]> => {
  rmSync(logPath, { force: true })
  const ended = await run(args, { KILL_LOG: logPath })
  if (ended !== 0) throw new Error(`the undisturbed run ended with ${ended}`)
  return readFileSync(logPath, 'utf8').trim().split('\n')
}

/** Runs until just before step `step` (1 is the first). Throws when the program ended before it. */
export const runUntil = async (args: readonly string[], step: number): Promise<void> => {
  const ended = await run(args, { KILL_AT: String(step) })
  if (ended !== 'killed') throw new Error(`the run was not killed at step ${step}, it ended with ${ended}`)
}
