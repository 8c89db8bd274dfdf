import { runCommand } from '../../src/commands/run-command.ts'

export type CliResult = { readonly exitCode: number; readonly out: string; readonly notes: string }

/** Runs a command line in this process and collects what it says. */
export const runCli = async (...argv: readonly string[]): Promise<CliResult> => {
  const out: string[] = []
  const notes: string[] = []
  const exitCode = await runCommand(argv, {
    print: (text) => void out.push(text),
    note: (text) => void notes.push(text),
    stop: new AbortController().signal,
    isInteractive: false,
  })
  return { exitCode, out: out.join('\n'), notes: notes.join('\n') }
}
