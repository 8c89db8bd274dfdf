/** Commands of the operator about webhooks. */
import type { Command } from 'commander'
import { collect, flagsOf, limitOption, parseCount, withClientOptions } from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const SECRET_FILE = 'write the secret to this new file (mode 0600) instead of printing it'

const withProject = (command: Command): Command =>
  withClientOptions(command).option('--project <id>', 'of this project (default: that of the key you use)', '')

const withWebhook = (command: Command): Command => withProject(command).argument('<webhook-id>', 'whk_ and 32 hex digits')

type Project = { readonly project: string }

const declareCreate = (webhook: Command, terminal: Terminal): void => {
  withProject(webhook.command('create'))
    .description('Has an endpoint told what happens from now on. Its signing secret is shown once.')
    .argument('<url>', 'where to post, https')
    .option('--name <text>', 'a name for people', '')
    .option('--format <name>', 'countersign (Standard Webhooks), cdp or dynamic', 'countersign')
    .option('--event <type>', 'what to tell, e.g. wallet.created or grant.*; repeat for more (default: everything)', collect, [])
    .option('--secret-file <path>', SECRET_FILE)
    .action(async (url: string, options: CreateOptions, command: Command) => {
      const { createWebhook } = await import('./webhook.ts')
      const { name, project: projectId, format, event: eventTypes, secretFile } = options
      await createWebhook({ url, name, projectId, format, eventTypes, secretFile }, flagsOf(command), terminal)
    })
}

type CreateOptions = Project & {
  readonly name: string
  readonly format: string
  readonly event: readonly string[]
  readonly secretFile?: string
}

const declareSwitches = (webhook: Command, terminal: Terminal): void => {
  for (const [name, isOn, description] of [
    ['enable', true, 'Has a webhook told again, beginning with what waits.'],
    ['disable', false, 'Has nothing sent to a webhook. What happens meanwhile waits, up to 30 days.'],
  ] as const) {
    withWebhook(webhook.command(name))
      .description(description)
      .action(async (webhookId: string, { project: projectId }: Project, command: Command) => {
        const { switchWebhook } = await import('./webhook.ts')
        await switchWebhook({ webhookId, projectId }, isOn, flagsOf(command), terminal)
      })
  }
}

const declareDeliveries = (webhook: Command, terminal: Terminal): void => {
  withWebhook(webhook.command('deliveries'))
    .description('Lists what a webhook was told, or is to be, the newest event first.')
    .option('--state <name>', 'only these: pending, delivered, failed')
    .addOption(limitOption())
    .action(async (webhookId: string, options: Project & { state?: string; limit: number }, command: Command) => {
      const { listDeliveries } = await import('./webhook.ts')
      const { project: projectId, state, limit } = options
      await listDeliveries({ webhookId, projectId }, { state, limit }, flagsOf(command), terminal)
    })
  withWebhook(webhook.command('redeliver'))
    .description('Sends an event again, under the same id.')
    .argument('<event-id>', 'a UUID')
    .action(async (webhookId: string, eventId: string, { project: projectId }: Project, command: Command) => {
      const { redeliverWebhook } = await import('./webhook.ts')
      await redeliverWebhook({ webhookId, projectId }, eventId, flagsOf(command), terminal)
    })
}

export const declareWebhookCommands = (program: Command, terminal: Terminal): void => {
  const webhook = program.command('webhook').summary('have endpoints told what happens')
  declareCreate(webhook, terminal)
  withProject(webhook.command('list'))
    .description('Lists webhooks, oldest first, without their secrets.')
    .addOption(limitOption())
    .action(async (options: Project & { limit: number }, command: Command) => {
      const { listWebhooks } = await import('./webhook.ts')
      await listWebhooks(options.project, options.limit, flagsOf(command), terminal)
    })
  withWebhook(webhook.command('rotate'))
    .description('Gives a webhook a new signing secret; the old one goes on for the overlap.')
    .option('--overlap-seconds <count>', 'how long the old secret goes on', parseCount(0, 604_800), 0)
    .option('--secret-file <path>', SECRET_FILE)
    .action(async (webhookId: string, options: Project & { overlapSeconds: number; secretFile?: string }, command: Command) => {
      const { rotateWebhook } = await import('./webhook.ts')
      const { project: projectId, overlapSeconds, secretFile } = options
      await rotateWebhook({ webhookId, projectId }, { overlapSeconds, secretFile }, flagsOf(command), terminal)
    })
  declareSwitches(webhook, terminal)
  withWebhook(webhook.command('delete'))
    .description('Ends a webhook for good, with what waits for it.')
    .action(async (webhookId: string, { project: projectId }: Project, command: Command) => {
      const { deleteWebhook } = await import('./webhook.ts')
      await deleteWebhook({ webhookId, projectId }, flagsOf(command), terminal)
    })
  declareDeliveries(webhook, terminal)
}
