/** Commands about a stopped daemon's links to delegates, and to daemons that delegated. */
import type { Command } from 'commander'
import { flagsOf, withDaemonOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const STOPPED = 'The daemon must be stopped.'

export const declareDelegateLinkCommands = (program: Command, terminal: Terminal): void => {
  const link = program.command('delegate-link').summary('mend the links to delegates and to daemons that delegated')
  withDaemonOptions(link.command('list'))
    .description(`Lists the links, whom they join this daemon to and how they stand. ${STOPPED}`)
    .action(async (_options: unknown, command: Command) => {
      const { listDelegateLinks } = await import('./delegate-link.ts')
      await listDelegateLinks(flagsOf(command), terminal)
    })
  withDaemonOptions(link.command('relink'))
    .description(
      'After a failed cheating check burned the link: allows it to be set up anew, once the operator of the other side ' +
        `has too. Find out first why the check failed. Clears a suspension likewise. ${STOPPED}`,
    )
    .argument('<party>', 'the other side: its party id or identity key, hexadecimal')
    .action(async (party: string, _options: unknown, command: Command) => {
      const { relinkDelegate } = await import('./delegate-link.ts')
      await relinkDelegate(party, flagsOf(command), terminal)
    })
}
