/**
 * Commands that run, make or mend a data directory: dev, init, serve, config check, cosigner relink, audit
 * verify.
 */
import type { Command } from 'commander'
import { flagsOf, withDaemonOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

export const declareDaemonCommands = (program: Command, terminal: Terminal): void => {
  withDaemonOptions(program.command('dev'))
    .summary('make ./.countersign when missing and serve it')
    .description(
      'For the first minute and for tests: makes the data directory when it is missing, then serves it.',
    )
    .action(async (_options: unknown, command: Command) => {
      const { runDaemon } = await import('./run-daemon.ts')
      await runDaemon('dev', flagsOf(command), terminal)
    })
  withDaemonOptions(program.command('init'))
    .summary('make the vaults, and the first admin API key')
    .description('Makes both vaults and the first admin API key. Refuses a directory that has a vault.')
    .action(async (_options: unknown, command: Command) => {
      const { initialise } = await import('./init.ts')
      await initialise(flagsOf(command), terminal)
    })
  withDaemonOptions(program.command('serve'))
    .summary('serve vaults that init made')
    .description('Serves the vaults that init made. Never creates one.')
    .action(async (_options: unknown, command: Command) => {
      const { runDaemon } = await import('./run-daemon.ts')
      await runDaemon('production', flagsOf(command), terminal)
    })
  const config = program.command('config').summary('look at the configuration')
  withDaemonOptions(config.command('check'))
    .option('--json', 'print JSON instead of text for people')
    .description('Prints the effective settings and where each comes from, without secrets. Starts nothing.')
    .action(async (_options: unknown, command: Command) => {
      const { checkConfig } = await import('./config-check.ts')
      checkConfig(flagsOf(command), terminal)
    })
}
