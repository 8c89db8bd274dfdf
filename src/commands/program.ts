/** The command tree. Declaring it loads nothing but commander: each action loads its own module when it runs. */
import { Argument, Command } from 'commander'
import { COMPLETION_SHELLS, completionScript, type CompletionShell } from './completion.ts'
import { declareBackupCommands } from './declare-backup.ts'
import { declareCosignerCommands } from './declare-cosigner.ts'
import { declareDaemonCommands } from './declare-daemon.ts'
import { declareDelegateKeyCommands } from './declare-delegate-key.ts'
import { declareDelegateLinkCommands } from './declare-delegate-link.ts'
import {
  declareApiKeyCommands,
  declareAuditCommands,
  declareFreezeCommands,
  declareStatusCommands,
} from './declare-operator.ts'
import { declareWalletCommands } from './declare-wallet.ts'
import { declareWebhookCommands } from './declare-webhook.ts'
import type { Terminal } from './terminal.ts'
import { VERSION } from './version.ts'

const declareCompletion = (program: Command, terminal: Terminal): void => {
  program
    .command('completion')
    .description('Prints a completion script for your shell.')
    .addArgument(new Argument('<shell>', 'which shell').choices(COMPLETION_SHELLS))
    .action((shell: CompletionShell) => terminal.print(completionScript(program, shell).trimEnd()))
}

export const createProgram = (terminal: Terminal): Command => {
  const program = new Command('countersign')
    .description('A self-hosted signing daemon: every signature is made by two parties.')
    .version(VERSION)
    .showSuggestionAfterError()
    .exitOverride()
    .configureOutput({
      writeOut: (text) => terminal.print(text.replace(/\n$/, '')),
      writeErr: (text) => terminal.note(text.replace(/\n$/, '')),
    })
  declareDaemonCommands(program, terminal)
  declareWalletCommands(program, terminal)
  declareApiKeyCommands(program, terminal)
  declareWebhookCommands(program, terminal)
  declareDelegateKeyCommands(program, terminal)
  declareDelegateLinkCommands(program, terminal)
  declareAuditCommands(program, terminal)
  declareFreezeCommands(program, terminal)
  declareStatusCommands(program, terminal)
  declareCosignerCommands(program, terminal)
  declareBackupCommands(program, terminal)
  declareCompletion(program, terminal)
  return program
}
