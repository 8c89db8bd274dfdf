/** Commands of the operator against a running daemon: API keys, freezes, status, the audit chain. */
import type { Command } from 'commander'
import {
  collect,
  flagsOf,
  limitOption,
  parseCount,
  parseSequence,
  withClientOptions,
  withDaemonOptions,
} from './shared-options.ts'
import type { Terminal } from './terminal.ts'

const SECRET_FILE = 'write the secret to this new file (mode 0600) instead of printing it'

type CreateOptions = {
  readonly name: string
  readonly project: string
  readonly permission: readonly string[]
  readonly permissionsFile?: string
  readonly wallet: readonly string[]
  readonly chain: readonly string[]
  readonly destination: readonly string[]
  readonly cidr: readonly string[]
  readonly requestsPerSecond: number
  readonly expiresInDays?: number
  readonly secretFile?: string
  readonly publicKey?: string
  readonly developerAuth?: boolean
}

const declareApiKeyCreate = (apiKey: Command, terminal: Terminal): void => {
  withClientOptions(apiKey.command('create'))
    .description('Makes an API key. Its secret is shown once. Nothing listed, nothing allowed.')
    .option('--name <text>', 'a name for people', '')
    .option('--project <id>', 'whose key it is (default: the project of the key you use)', '')
    .option('--permission <name>', 'what it may do, e.g. wallet:sign; repeat for more', collect, [])
    .option('--permissions-file <path>', 'JSON array of permissions with their own narrowing and limits')
    .option('--wallet <id>', 'narrow every --permission to this wallet; repeat for more', collect, [])
    .option('--chain <caip-2>', 'narrow every --permission to this chain, e.g. eip155:1', collect, [])
    .option('--destination <address>', 'narrow every --permission to this destination', collect, [])
    .option('--cidr <prefix>', 'accept the key only from this network; repeat for more', collect, [])
    .option('--requests-per-second <count>', 'rate of the key, 0 for none of its own', parseCount(0, 1_000_000), 0)
    .option('--expires-in-days <count>', 'when it ends', parseCount(1, 3_650))
    .option('--secret-file <path>', SECRET_FILE)
    .option('--public-key <base64>', 'Ed25519 or P-256 (SPKI): its holder signs JWTs, and it has no secret')
    .option('--developer-auth', "needs an x-developer-auth of the project's signing key beside it")
    .action(async (options: CreateOptions, command: Command) => {
      const { createApiKey } = await import('./api-key.ts')
      const settings = {
        name: options.name,
        projectId: options.project,
        permissions: options.permission,
        permissionsFile: options.permissionsFile,
        wallets: options.wallet,
        chains: options.chain,
        destinations: options.destination,
        cidrs: options.cidr,
        requestsPerSecond: options.requestsPerSecond,
        expiresInDays: options.expiresInDays,
        secretFile: options.secretFile,
        publicKey: options.publicKey,
        needsDeveloperAuth: options.developerAuth === true,
      }
      await createApiKey(settings, flagsOf(command), terminal)
    })
}

export const declareApiKeyCommands = (program: Command, terminal: Terminal): void => {
  const apiKey = program.command('api-key').summary('make, look at, rotate and revoke API keys')
  declareApiKeyCreate(apiKey, terminal)
  withClientOptions(apiKey.command('list'))
    .description('Lists API keys, oldest first, without their secrets.')
    .option('--project <id>', 'of this project (default: that of the key you use)', '')
    .addOption(limitOption())
    .action(async (options: { project: string; limit: number }, command: Command) => {
      const { listApiKeys } = await import('./api-key.ts')
      await listApiKeys(options.project, options.limit, flagsOf(command), terminal)
    })
  withClientOptions(apiKey.command('get'))
    .description('Shows one API key, without its secret.')
    .argument('<api-key-id>', 'key_ and 16 hex digits')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { getApiKey } = await import('./api-key.ts')
      await getApiKey(id, flagsOf(command), terminal)
    })
  withClientOptions(apiKey.command('rotate'))
    .description('Gives a key a new secret; the old one stays good for the overlap.')
    .argument('<api-key-id>', 'key_ and 16 hex digits')
    .option('--overlap-seconds <count>', 'how long the old secret stays good', parseCount(0, 604_800), 0)
    .option('--secret-file <path>', SECRET_FILE)
    .action(async (id: string, options: { overlapSeconds: number; secretFile?: string }, command: Command) => {
      const { rotateApiKey } = await import('./api-key.ts')
      await rotateApiKey(id, options.overlapSeconds, options.secretFile, flagsOf(command), terminal)
    })
  withClientOptions(apiKey.command('revoke'))
    .description('Ends a key for good. When it answers, nothing is released under the key.')
    .argument('<api-key-id>', 'key_ and 16 hex digits')
    .action(async (id: string, _options: unknown, command: Command) => {
      const { revokeApiKey } = await import('./api-key.ts')
      await revokeApiKey(id, flagsOf(command), terminal)
    })
}

export const declareFreezeCommands = (program: Command, terminal: Terminal): void => {
  withClientOptions(program.command('freeze'))
    .description('Stops signing. When it answers, nothing is released under the freeze.')
    .argument('<what>', 'wallet, api-key, session-key, venue-profile, project or everything')
    .argument('[id]', 'its id; none for everything')
    .option('--note <text>', 'why, for those who find it frozen')
    .action(async (what: string, id: string | undefined, _options: unknown, command: Command) => {
      const { freeze } = await import('./freeze.ts')
      await freeze(what, id, flagsOf(command), terminal)
    })
  withClientOptions(program.command('unfreeze'))
    .description('Takes a freeze back.')
    .argument('<what>', 'wallet, api-key, session-key, venue-profile, project or everything')
    .argument('[id]', 'its id; none for everything')
    .action(async (what: string, id: string | undefined, _options: unknown, command: Command) => {
      const { unfreeze } = await import('./freeze.ts')
      await unfreeze(what, id, flagsOf(command), terminal)
    })
}

export const declareStatusCommands = (program: Command, terminal: Terminal): void => {
  withClientOptions(program.command('status'))
    .description('How the daemon is: mode, versions, link to the cosigner, freezes.')
    .action(async (_options: unknown, command: Command) => {
      const { printStatus } = await import('./status.ts')
      await printStatus(flagsOf(command), terminal)
    })
}

type FilterOptions = { after: bigint; project: string; kind: string; subject: string; limit: number }

const withFilter = (command: Command): Command =>
  withClientOptions(command)
    .option('--after <sequence>', 'only rows after this one', parseSequence, 0n)
    .option('--project <id>', 'only rows of this project', '')
    .option('--kind <kind>', 'only rows of this kind', '')
    .option('--subject <id>', 'only rows about this wallet or API key', '')

const filterOf = ({ after, project, kind, subject }: FilterOptions) => ({
  afterSequence: after,
  projectId: project,
  kind,
  subject,
})

export const declareAuditCommands = (program: Command, terminal: Terminal): void => {
  const audit = program.command('audit').summary('read and verify the audit chain')
  withFilter(audit.command('list'))
    .description('Lists rows, oldest first.')
    .addOption(limitOption())
    .action(async (options: FilterOptions, command: Command) => {
      const { listEvents } = await import('./audit.ts')
      await listEvents(filterOf(options), options.limit, flagsOf(command), terminal)
    })
  withFilter(audit.command('watch'))
    .description('Prints rows as they are written, until interrupted.')
    .action(async (options: FilterOptions, command: Command) => {
      const { watchEvents } = await import('./audit.ts')
      await watchEvents(filterOf(options), flagsOf(command), terminal)
    })
  withDaemonOptions(audit.command('verify'))
    .description(
      "Verifies the whole chain in the vault's file. The daemon must be stopped; --online asks a running one.",
    )
    .option('--json', 'print JSON instead of text for people')
    .option('--online', 'let the running daemon verify its chain')
    .option('--api-key-file <path>', 'with --online: file with the API key (default <data-dir>/admin.key)')
    .action(async (options: { online?: boolean }, command: Command) => {
      if (options.online === true) {
        const { verifyOnline } = await import('./audit.ts')
        await verifyOnline(flagsOf(command), terminal)
        return
      }
      const { verifyAudit } = await import('./audit-verify.ts')
      await verifyAudit(flagsOf(command), terminal)
    })
}
