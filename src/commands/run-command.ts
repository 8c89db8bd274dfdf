import { writeSync } from 'node:fs'
import { CommanderError } from 'commander'
import { createProgram } from './program.ts'
import { explainError } from './explain-error.ts'
import type { Terminal } from './terminal.ts'

/** Runs one command line and answers its exit code: 0 done, 1 refused, 2 wrong usage or configuration. */
export const runCommand = async (argv: readonly string[], terminal: Terminal): Promise<number> => {
  try {
    await createProgram(terminal).parseAsync([...argv], { from: 'user' })
    return 0
  } catch (error) {
    // commander has printed its own complaint by now; help and --version also arrive here.
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
    const { line, exitCode } = explainError(error)
    terminal.note(line)
    return exitCode
  }
}

const EAGAIN_PAUSE_MS = 5

/**
 * Synchronous, so that a result is out before the process ends; a reader that went away is not an error of
 * ours.
 */
const writeLine = (descriptor: 1 | 2, text: string): void => {
  let rest = new TextEncoder().encode(`${text}\n`)
  while (rest.length > 0) {
    try {
      rest = rest.subarray(writeSync(descriptor, rest))
    } catch (error) {
      const { code } = error as NodeJS.ErrnoException
      if (code === 'EPIPE') return
      if (code !== 'EAGAIN') throw error
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, EAGAIN_PAUSE_MS)
    }
  }
}

/**
 * A second signal within this time is the first one heard twice: from the terminal and from npm or the wrapper.
 */
const ECHO_MS = 1_000

const stopOnSignals = (): AbortSignal => {
  const stop = new AbortController()
  let firstMs = 0
  const onSignal = (signal: NodeJS.Signals): void => {
    if (!stop.signal.aborted) {
      firstMs = performance.now()
      stop.abort(signal)
    } else if (performance.now() - firstMs > ECHO_MS) {
      process.removeAllListeners(signal)
      process.kill(process.pid, signal)
    }
  }
  process.on('SIGINT', onSignal)
  process.on('SIGTERM', onSignal)
  return stop.signal
}

/** The process's own terminal. Commands that never ask for `stop` end at a signal as any program does. */
export const processTerminal = (): Terminal => {
  let stop: AbortSignal | undefined
  return {
    print: (text) => writeLine(1, text),
    note: (text) => writeLine(2, text),
    get stop() {
      stop ??= stopOnSignals()
      return stop
    },
    isInteractive: process.stderr.isTTY,
  }
}
