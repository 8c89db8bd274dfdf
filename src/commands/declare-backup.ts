/** Commands for the keeping of the vaults: backups, restores, root keys. */
import { Argument, type Command } from 'commander'
import type { Acknowledgement } from './restore.ts'
import { collect, flagsOf, withClientOptions, withDaemonOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const declareBackup = (program: Command, terminal: Terminal): void => {
  const backup = program.command('backup').summary('encrypted backups of both vaults')
  withClientOptions(backup.command('create'))
    .description('Backs up both vaults of the running daemon, each to its own recipient, into its backup directory.')
    .action(async (_options: unknown, command: Command) => {
      const { createBackup } = await import('./backup.ts')
      await createBackup(flagsOf(command), terminal)
    })
  backup
    .command('keygen')
    .description('Makes a key pair for backups, as age-keygen does: the identity in a new file, the recipient printed.')
    .argument('<identity-file>', 'the file to make (mode 0600)')
    .action(async (path: string) => {
      const { makeBackupKey } = await import('./backup.ts')
      makeBackupKey(path, terminal)
    })
}

type AcknowledgeOptions = { keepApiKey: readonly string[]; keepAllApiKeys?: boolean; newAdminKey?: boolean }

const declareRestore = (program: Command, terminal: Terminal): void => {
  const restore = withDaemonOptions(program.command('restore'))
    .summary('make vaults from backups; they start sealed')
    .description(
      'Makes both vaults from the two files of one backup, in a data directory that has none. They sign nothing ' +
        'until "countersign restore acknowledge".',
    )
    .option('--daemon-backup <path>', "the backup of the daemon's vault")
    .option('--daemon-identity <path>', 'file with the identity that opens it')
    .option('--cosigner-backup <path>', "the backup of the cosigner's vault")
    .option('--cosigner-identity <path>', 'file with the identity that opens it')
    .action(async (_options: unknown, command: Command) => {
      const { restoreBackups } = await import('./restore.ts')
      await restoreBackups(flagsOf(command), terminal)
    })
  withDaemonOptions(restore.command('acknowledge'))
    .description(
      'Lists what a restore brought back and, once you say which API keys may work again, lets the vaults sign. ' +
        'Every key that is not named is revoked. The daemon must be stopped.',
    )
    .option('--keep-api-key <id>', 'this API key may work again; repeat for more', collect, [])
    .option('--keep-all-api-keys', 'every API key of the backup may work again')
    .option('--new-admin-key', 'make a fresh API key for administration (admin.key)')
    .action(async (options: AcknowledgeOptions, command: Command) => {
      const { acknowledge } = await import('./restore.ts')
      const choice: Acknowledgement = {
        keepApiKeys: options.keepApiKey,
        keepAllApiKeys: options.keepAllApiKeys === true,
        newAdminKey: options.newAdminKey === true,
      }
      await acknowledge(choice, { ...flagsOf(restore), ...flagsOf(command) }, terminal)
    })
}

const whose = (): Argument => new Argument('<vault>', 'whose vault').choices(['daemon', 'cosigner'])

const declareVaultKey = (program: Command, terminal: Terminal): void => {
  const key = program.command('vault-key').summary('replace the root keys of the vaults')
  withClientOptions(key.command('rotate'))
    .description('Gives a vault of the running daemon a new root key; a key file is replaced in its place.')
    .addArgument(whose())
    .action(async (vault: string, _options: unknown, command: Command) => {
      const { rotateVaultKey } = await import('./backup.ts')
      await rotateVaultKey(vault, flagsOf(command), terminal)
    })
  withDaemonOptions(key.command('move'))
    .description('Gives a vault a new root key kept by another provider. The daemon must be stopped.')
    .addArgument(whose())
    .option('--to <provider>', 'file:<path>, passphrase: or systemd-cred:<name>')
    .action(async (vault: string, _options: unknown, command: Command) => {
      const { moveVaultKey } = await import('./backup.ts')
      await moveVaultKey(vault, flagsOf(command), terminal)
    })
}

export const declareBackupCommands = (program: Command, terminal: Terminal): void => {
  declareBackup(program, terminal)
  declareRestore(program, terminal)
  declareVaultKey(program, terminal)
}
