import { processTerminal, runCommand } from './commands/run-command.ts'

const EXIT_PATIENCE_MS = 1_000

const exitCode = await runCommand(process.argv.slice(2), processTerminal())
process.exitCode = exitCode
// The command is done. A handle that something forgot to close must not keep the process.
setTimeout(() => process.exit(exitCode), EXIT_PATIENCE_MS).unref()
