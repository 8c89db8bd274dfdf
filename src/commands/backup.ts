/** `countersign backup …` and `countersign vault-key …`. */
import { resolve } from 'node:path'
import {
  type Backup,
  CreateBackupResponseSchema,
  RotateVaultKeyResponseSchema,
  VaultParty,
  VaultPartySchema,
} from '../../gen/countersign/v1/admin_pb.ts'
import { dataDirPaths, type Flags, loadConfig } from '../config/load-config.ts'
import { parseRootKeySource, SettingProblem } from '../config/parse-setting.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { createIdentityFile } from '../vault/backup-keys.ts'
import { openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { createRootKeyProvider } from '../vault/root-key-provider.ts'
import { askAtTerminal, completeSecrets, readHiddenLine } from './ask-passphrase.ts'
import { makeKeyFile } from './create-data-dir.ts'
import { withDaemon } from './daemon-client.ts'
import { enumText, jsonText, timeText } from './message-text.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { rootKeyProviders } from './root-keys.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

export const makeBackupKey = (path: string, terminal: Terminal): void => {
  const { text } = createIdentityFile(resolve(path), Date.now())
  terminal.print(formatFacts([['identity', resolve(path)], ['recipient', text]]))
  terminal.note('keep the identity away from the daemon: give the daemon the recipient, one for each of its vaults')
}

export const backupRow = ({ vault, fileName, sizeBytes, auditSequence, createTime }: Backup): string[] => [
  enumText(VaultPartySchema, vault),
  fileName,
  String(sizeBytes),
  String(auditSequence),
  timeText(createTime),
]
export const BACKUP_COLUMNS = ['VAULT', 'FILE', 'BYTES', 'AUDIT', 'MADE'] as const

export const createBackup = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const answer = await withDaemon(flags, terminal, ({ admin }) => admin.createBackup({}))
  if (flags.json === true) return terminal.print(jsonText(CreateBackupResponseSchema, answer))
  terminal.print(formatTable([...BACKUP_COLUMNS], answer.backups.map(backupRow)))
}

const PARTIES: Readonly<Record<string, VaultParty>> = { daemon: VaultParty.DAEMON, cosigner: VaultParty.COSIGNER }

export const rotateVaultKey = async (party: string, flags: Flags, terminal: Terminal): Promise<void> => {
  const vault = PARTIES[party]
  if (vault === undefined) throw new UsageRefusal('whose vault: daemon or cosigner')
  const answer = await withDaemon(flags, terminal, ({ admin }) => admin.rotateVaultKey({ vault }))
  if (flags.json === true) return terminal.print(jsonText(RotateVaultKeyResponseSchema, answer))
  const facts: [string, string][] = [['vault', party], ['root key', answer.provider], ['shares', String(answer.shareCount)]]
  terminal.print(formatFacts(facts))
  if (answer.provider.startsWith('file:')) {
    terminal.note('the key file is a new one: keep a copy of it apart from the vault, and make a backup')
  }
}

/** The passphrase of the provider that is moved to, typed twice. */
const askNew = async (terminal: Terminal): Promise<Uint8Array> => {
  if (!process.stdin.isTTY) throw new CommandRefusal('a new passphrase is asked for at a terminal')
  terminal.note('New passphrase: ')
  const first = await readHiddenLine(process.stdin)
  terminal.note('New passphrase, again: ')
  const second = await readHiddenLine(process.stdin)
  const isSame = first.length > 0 && Buffer.from(first).equals(second)
  second.fill(0)
  if (isSame) return first
  first.fill(0)
  throw new CommandRefusal('the two passphrases differ or are empty')
}

const readTarget = (to: unknown) => {
  try {
    return parseRootKeySource(typeof to === 'string' ? to : '', process.cwd())
  } catch (error) {
    throw error instanceof SettingProblem ? new UsageRefusal(`--to: ${error.message}`) : error
  }
}

/** Another provider for a root key, with a new root. The daemon must be stopped: its settings name the old one. */
export const moveVaultKey = async (party: string, flags: Flags, terminal: Terminal): Promise<void> => {
  if (PARTIES[party] === undefined) throw new UsageRefusal('whose vault: daemon or cosigner')
  refuseUnsafeProcess()
  const target = readTarget(flags.to)
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const other = party === 'daemon' ? config.cosignerRootKey : config.rootKey
  if (target.scheme !== 'passphrase' && target.uri === other.uri) {
    throw new UsageRefusal('--to: it keeps the root key of the other vault: one stolen key would open both shares')
  }
  const providers = rootKeyProviders(config, await completeSecrets(config, secrets, askAtTerminal(false)))
  const paths = dataDirPaths(config.dataDir)
  const nowMs = Date.now()
  await using vault =
    party === 'daemon'
      ? await openDaemonVault({ path: paths.daemonVault, provider: providers.daemon, nowMs })
      : await openCosignerVault({ path: paths.cosignerVault, provider: providers.cosigner, nowMs })
  const made = makeKeyFile(target)
  const passphrase = target.scheme === 'passphrase' ? await askNew(terminal) : undefined
  const { credentialsDirectory } = config
  const provider = createRootKeyProvider(target.uri, { passphrase, credentialsDirectory })
  const actor = { kind: 'operator', id: '' } as const
  const event = { timeMs: nowMs, kind: 'vault.key_rotated', actor, details: { provider: provider.name } }
  await vault.rotateRoot({ provider, renewsProvider: false, event })
  passphrase?.fill(0)
  await vault.rewrapShares()
  if (made) terminal.print(`root key made    ${target.reference}`)
  terminal.print(`root key         ${provider.name}`)
  const option = party === 'daemon' ? 'root-key' : 'cosigner-root-key'
  terminal.note(`from now on the daemon needs --${option} ${provider.name}; the old key opens nothing`)
}
