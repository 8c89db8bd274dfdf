/** Commands of the cosigner's operator: over a running daemon its status, over a stopped one what only they decide. */
import type { Command } from 'commander'
import { declareCosignerDelegates } from './declare-cosigner-delegates.ts'
import type { FreezeOptions } from './cosigner-operator.ts'
import type { ApproveOptions, OwnerOptions, SecretOptions } from './cosigner-owners.ts'
import { flagsOf, parseCount, withClientOptions, withDaemonOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const STOPPED = 'The daemon must be stopped.'

const declareLinkCommands = (cosigner: Command, terminal: Terminal): void => {
  withClientOptions(cosigner.command('status'))
    .description('The links to the cosigner.')
    .action(async (_options: unknown, command: Command) => {
      const { printCosignerStatus } = await import('./status.ts')
      await printCosignerStatus(flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('relink'))
    .description(
      'After a failed cheating check burned the link: allows both parties to set up a new one at the ' +
        'next start. Find out first why the check failed. The daemon must be stopped.',
    )
    .action(async (_options: unknown, command: Command) => {
      const { relinkCosigner } = await import('./cosigner-relink.ts')
      await relinkCosigner(flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('identity'))
    .description(`Prints the cosigner's id, which clients pin. ${STOPPED}`)
    .action(async (_options: unknown, command: Command) => {
      const { printCosignerIdentity } = await import('./cosigner-owners.ts')
      await printCosignerIdentity(flagsOf(command), terminal)
    })
}

const declareProcessCommands = (cosigner: Command, terminal: Terminal): void => {
  withDaemonOptions(cosigner.command('init'))
    .description('Makes the vault, root key and channel key of a cosigner on a host of its own.')
    .action(async (_options: unknown, command: Command) => {
      const { initialiseCosigner } = await import('./cosigner-init.ts')
      await initialiseCosigner(flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('serve'))
    .description('Serves the vault that cosigner init made to the daemon that it was paired with.')
    .action(async (_options: unknown, command: Command) => {
      const { runCosigner } = await import('./cosigner-serve.ts')
      await runCosigner(flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('pair'))
    .argument('[pairing]', "the other host's pairing text, or a file with it; without one the own is printed")
    .description('Pairs a daemon and a cosigner, once on each host. What serves the data directory must be stopped.')
    .action(async (pairing: string | undefined, _options: unknown, command: Command) => {
      const { pairParties } = await import('./cosigner-pair.ts')
      await pairParties(pairing, flagsOf(command), terminal)
    })
}

const declareKeeping = (cosigner: Command, terminal: Terminal): void => {
  withDaemonOptions(cosigner.command('restore'))
    .description('Makes the vault of a cosigner on a host of its own from its backup; it starts sealed.')
    .option('--cosigner-backup <path>', "the backup of the cosigner's vault")
    .option('--cosigner-identity <path>', 'file with the identity that opens it')
    .action(async (_options: unknown, command: Command) => {
      const { restoreOne } = await import('./restore.ts')
      await restoreOne('cosigner', flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('settle'))
    .argument('[standing]', 'where the other party stands, as its host prints it, or a file with it')
    .description('After a restore on one of two hosts: lets both parties accept each other as they are now. Once on each host.')
    .action(async (standing: string | undefined, _options: unknown, command: Command) => {
      const { settleParties } = await import('./cosigner-settle.ts')
      await settleParties(standing, flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('rekey'))
    .description('Gives this host a new key and certificate for the channel to the other; what serves here must be stopped.')
    .action(async (_options: unknown, command: Command) => {
      const { renewChannel } = await import('./cosigner-pair.ts')
      await renewChannel(flagsOf(command), terminal)
    })
}

const declareMove = (cosigner: Command, terminal: Terminal): void => {
  withDaemonOptions(cosigner.command('move'))
    .description(`Makes the embedded cosigner one for a host of its own. ${STOPPED}`)
    .requiredOption('--to <dir>', "where the cosigner's own data directory is made")
    .action(async ({ to }: { to: string }, command: Command) => {
      const { moveCosigner } = await import('./cosigner-move.ts')
      await moveCosigner(to, flagsOf(command), terminal)
    })
}

const withSubject = (command: Command): Command =>
  withDaemonOptions(command)
    .option('--wallet <id>', 'one wallet')
    .option('--project <id>', 'one project')
    .option('--everything', 'every wallet')

const declareOperatorCommands = (cosigner: Command, terminal: Terminal): void => {
  withSubject(cosigner.command('freeze'))
    .description('Stops signing at a running cosigner, on its own host; its daemon cannot take that back.')
    .option('--note <text>', 'why')
    .action(async (options: FreezeOptions, command: Command) => {
      const { freezeAtCosigner } = await import('./cosigner-operator.ts')
      await freezeAtCosigner(options, flagsOf(command), terminal)
    })
  withSubject(cosigner.command('unfreeze'))
    .description("Takes a freeze of the cosigner's operator back.")
    .action(async (options: FreezeOptions, command: Command) => {
      const { unfreezeAtCosigner } = await import('./cosigner-operator.ts')
      await unfreezeAtCosigner(options, flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('backup'))
    .description("Backs up a running cosigner's vault, on its own host, into its backup directory.")
    .action(async (_options: unknown, command: Command) => {
      const { backUpCosigner } = await import('./cosigner-operator.ts')
      await backUpCosigner(flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('rotate-root'))
    .description("Gives a running cosigner's vault a new root key, on its own host; a key file is replaced in its place.")
    .action(async (_options: unknown, command: Command) => {
      const { rotateCosignerKey } = await import('./cosigner-operator.ts')
      await rotateCosignerKey(flagsOf(command), terminal)
    })
  withDaemonOptions(cosigner.command('info'))
    .description('How a running cosigner is, on its own host.')
    .action(async (_options: unknown, command: Command) => {
      const { printCosignerInfo } = await import('./cosigner-operator.ts')
      await printCosignerInfo(flagsOf(command), terminal)
    })
}

const declareApproveExport = (cosigner: Command, terminal: Terminal): void => {
  withDaemonOptions(cosigner.command('approve-export'))
    .description(`Lets the cosigner seal its share of one wallet to one key, once, and prints the approval's id. ${STOPPED}`)
    .requiredOption('--wallet <id>', 'wal_ and 32 hex digits')
    .option('--x25519-key <base64>', 'the X25519 key that may have it')
    .option('--rsa-key-file <path>', 'or a file with the RSA public key (PEM) that may have it')
    .option('--valid-minutes <count>', 'how long it is good', parseCount(1, 1_440), 60)
    .action(async (options: ApproveOptions, command: Command) => {
      const { approveExport } = await import('./cosigner-owners.ts')
      await approveExport(options, flagsOf(command), terminal)
    })
}

const withOwner = (command: Command): Command =>
  withDaemonOptions(command)
    .requiredOption('--project <id>', "the user's project")
    .requiredOption('--user <id>', 'the user')

const PUBLIC_KEY = ['--public-key <base64>', "the secret's SubjectPublicKeyInfo"] as const

const declareSecretCommands = (cosigner: Command, terminal: Terminal): void => {
  withOwner(cosigner.command('list-wallet-secrets'))
    .description(`Which keys speak for an end user at the cosigner. ${STOPPED}`)
    .action(async (options: OwnerOptions, command: Command) => {
      const { listWalletSecrets } = await import('./cosigner-owners.ts')
      await listWalletSecrets(options, flagsOf(command), terminal)
    })
  withOwner(cosigner.command('bind-wallet-secret'))
    .description(`Takes a further key of an end user in; it exports nothing for 24 hours. ${STOPPED}`)
    .requiredOption(...PUBLIC_KEY)
    .action(async (options: SecretOptions, command: Command) => {
      const { bindWalletSecret } = await import('./cosigner-owners.ts')
      await bindWalletSecret(options, flagsOf(command), terminal)
    })
  withOwner(cosigner.command('remove-wallet-secret'))
    .description(`Ends a key of an end user at the cosigner. ${STOPPED}`)
    .requiredOption(...PUBLIC_KEY)
    .action(async (options: SecretOptions, command: Command) => {
      const { removeWalletSecret } = await import('./cosigner-owners.ts')
      await removeWalletSecret(options, flagsOf(command), terminal)
    })
}

export const declareCosignerCommands = (program: Command, terminal: Terminal): void => {
  const cosigner = program.command('cosigner').summary('the second party: its link, and what only its operator decides')
  declareProcessCommands(cosigner, terminal)
  declareKeeping(cosigner, terminal)
  declareMove(cosigner, terminal)
  declareOperatorCommands(cosigner, terminal)
  declareLinkCommands(cosigner, terminal)
  declareApproveExport(cosigner, terminal)
  declareSecretCommands(cosigner, terminal)
  declareCosignerDelegates(cosigner, terminal)
}
