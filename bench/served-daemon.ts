/** The daemon as any other, run by the bench: a command line of `countersign` in this process, which is watched. */
import { processTerminal, runCommand } from '../src/commands/run-command.ts'
import { watchProcess } from './process-watch.ts'

const letGo = watchProcess()
process.exitCode = await runCommand(process.argv.slice(2), processTerminal())
letGo()
