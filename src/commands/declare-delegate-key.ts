/** Commands of the operator of a delegate about the keys that delegated access is sealed to. */
import type { Command } from 'commander'
import { flagsOf, withClientOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const KID = 'its name in envelopes (default: made of the key)'

export const declareDelegateKeyCommands = (program: Command, terminal: Terminal): void => {
  const key = program.command('delegate-key').summary('keep the RSA keys that others seal delegated access to')
  for (const [name, retireOthers, description] of [
    ['create', false, 'Makes a key of 3072 bits in the vault and prints its public half.'],
    ['rotate', true, 'Makes a key in the place of those before it, which still open what is under way.'],
  ] as const) {
    withClientOptions(key.command(name))
      .description(description)
      .option('--kid <name>', KID, '')
      .action(async ({ kid }: { kid: string }, command: Command) => {
        const { createDelegateKey } = await import('./delegate-key.ts')
        await createDelegateKey({ kid, retireOthers, pemFile: undefined }, flagsOf(command), terminal)
      })
  }
  withClientOptions(key.command('import'))
    .description('Takes in a private key of yours (PEM, RSA, 3072 or 4096 bits), which then is in the vault only if you delete the file.')
    .argument('<file>', 'PEM, not encrypted')
    .option('--kid <name>', KID, '')
    .action(async (pemFile: string, { kid }: { kid: string }, command: Command) => {
      const { createDelegateKey } = await import('./delegate-key.ts')
      await createDelegateKey({ kid, retireOthers: false, pemFile }, flagsOf(command), terminal)
    })
  withClientOptions(key.command('list'))
    .description("Lists the keys, the newest first, and this daemon's identity as a delegate.")
    .action(async (_options: object, command: Command) => {
      const { listDelegateKeys } = await import('./delegate-key.ts')
      await listDelegateKeys(flagsOf(command), terminal)
    })
  withClientOptions(key.command('delete'))
    .description('Ends a key for good: what is still sealed to it cannot be opened any more.')
    .argument('<kid>', 'which')
    .action(async (kid: string, _options: object, command: Command) => {
      const { deleteDelegateKey } = await import('./delegate-key.ts')
      await deleteDelegateKey(kid, flagsOf(command), terminal)
    })
}
