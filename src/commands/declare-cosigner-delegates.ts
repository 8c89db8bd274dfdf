/** `countersign cosigner delegate …`: what only the cosigner's operator says about delegates. */
import type { Command } from 'commander'
import type { AddOptions, ApproveOptions, DelegateOptions } from './cosigner-delegates.ts'
import { flagsOf, parseCount, withDaemonOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const STOPPED = 'What serves the vault must be stopped.'
const DELEGATE = ['--delegate <id>', 'its party id, or its name'] as const

export const declareCosignerDelegates = (cosigner: Command, terminal: Terminal): void => {
  const delegate = cosigner.command('delegate').summary('delegates that the cosigner seals shares to on its operator’s word')
  withDaemonOptions(delegate.command('add'))
    .description(`Registers a delegate, or gives a registered one another key, and prints its party id. ${STOPPED}`)
    .requiredOption('--name <text>', 'what to call it')
    .requiredOption('--identity-key <hex>', 'the Ed25519 key that it proves itself with')
    .requiredOption('--rsa-key-file <path>', 'a file with the RSA public key (PEM) that shares are sealed to')
    .action(async (options: AddOptions, command: Command) => {
      const { addDelegate } = await import('./cosigner-delegates.ts')
      await addDelegate(options, flagsOf(command), terminal)
    })
  withDaemonOptions(delegate.command('list'))
    .description(`Lists them. ${STOPPED}`)
    .action(async (_options: unknown, command: Command) => {
      const { listDelegates } = await import('./cosigner-delegates.ts')
      await listDelegates(flagsOf(command), terminal)
    })
  withDaemonOptions(delegate.command('remove'))
    .description(`Forgets one: no share is sealed to it on an operator's word any more. ${STOPPED}`)
    .requiredOption(...DELEGATE)
    .action(async (options: DelegateOptions, command: Command) => {
      const { removeDelegate } = await import('./cosigner-delegates.ts')
      await removeDelegate(options, flagsOf(command), terminal)
    })
  withDaemonOptions(delegate.command('approve'))
    .description(`Lets the cosigner make one share of a wallet for a delegate, once, and prints the approval's id. ${STOPPED}`)
    .requiredOption(...DELEGATE)
    .requiredOption('--wallet <id>', 'wal_ and 32 hex digits')
    .option('--valid-minutes <count>', 'how long it is good', parseCount(1, 1_440), 60)
    .action(async (options: ApproveOptions, command: Command) => {
      const { approveDelegate } = await import('./cosigner-delegates.ts')
      await approveDelegate(options, flagsOf(command), terminal)
    })
}
