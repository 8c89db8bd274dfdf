/** `countersign restore` and `countersign restore acknowledge`: both on the data directory of a stopped daemon. */
import { resolve } from 'node:path'
import { decodeLinkRecord } from '../engine/dkls23/records.ts'
import { recordEnd } from '../delegation/end-grants.ts'
import { dataDirPaths, type Flags, loadConfig } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { type ApiKeyId, walletIdFromBytes } from '../domain/ids.ts'
import type { PartyRole } from '../party/remote/pairing.ts'
import { type ApiKey, listLiveApiKeys, revokeApiKey } from '../vault/api-keys.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { endAccessOfRestore } from '../delegation/end-access.ts'
import { endKeysOfGrant, endKeysOfRestore } from '../session/end-with-grant.ts'
import { readIdentityFile } from '../vault/backup-keys.ts'
import { dropApprovals } from '../vault/consents.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { listFreezes } from '../vault/freezes.ts'
import { revokeAllGrants } from '../vault/grants.ts'
import { deleteEveryWalletSecret } from '../vault/wallet-secrets.ts'
import { disableAllWebhooks } from '../vault/webhooks.ts'
import { listLinks } from '../vault/links.ts'
import { rebindOwnerSecrets } from '../vault/owner-register.ts'
import { listUnrefreshedSince } from '../vault/refreshes.ts'
import { acknowledgeRestore, findSeal, getRestoreState } from '../vault/restore-state.ts'
import type { Tx } from '../vault/store.ts'
import type { Vault } from '../vault/vault.ts'
import { listWalletsInState } from '../vault/wallets.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { makeAdminKey } from './create-data-dir.ts'
import { type Vaults, withVaults } from './open-vaults.ts'
import { formatFacts, formatTable } from './print-table.ts'
import { type BackupFile, restoreDataDir } from './restore-data-dir.ts'
import { restoreParty } from './restore-party.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

const LISTED_MAX = 100_000

const prepare = async (flags: Flags, terminal: Terminal) => {
  refuseUnsafeProcess()
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  return { config, secrets: await completeSecrets(config, secrets, askAtTerminal(false)) }
}

const timeOf = (ms: number): string => new Date(ms).toISOString()

const NEXT = 'run "countersign restore acknowledge" to see what the backup brings back; until then nothing is signed'

const backupFile = (flags: Flags, name: PartyRole): BackupFile => {
  const [path, identity] = [flags[`${name}-backup`], flags[`${name}-identity`]]
  if (typeof path !== 'string' || typeof identity !== 'string') {
    throw new UsageRefusal(`give --${name}-backup and --${name}-identity`)
  }
  return { path: resolve(path), identities: readIdentityFile(resolve(identity)) }
}

const NEXT_OF_ONE =
  'give the other host this text (`countersign cosigner settle`), and take in the one that it prints; then "countersign ' +
  'restore acknowledge" here. Until all of that is done nothing is signed'

/** One of the two, on its own host. */
export const restoreOne = async (role: PartyRole, flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets } = await prepare(flags, terminal)
  const { path, backupMs, standing, hasNewChannel } = await restoreParty(role, config, secrets, backupFile(flags, role))
  terminal.print(formatFacts([['vault', path], ['as of', timeOf(backupMs)], ['state', 'sealed']]))
  if (hasNewChannel) terminal.note('the channel has a new key: pair both hosts again (`countersign cosigner pair`)')
  terminal.print(standing)
  terminal.note(NEXT_OF_ONE)
}

export const restoreBackups = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets } = await prepare(flags, terminal)
  if (config.cosigner !== undefined) return restoreOne('daemon', flags, terminal)
  const file = (name: PartyRole): BackupFile => backupFile(flags, name)
  const restored = await restoreDataDir(config, secrets, { daemon: file('daemon'), cosigner: file('cosigner') })
  const paths = dataDirPaths(config.dataDir)
  terminal.print(
    formatFacts([
      ['vault', paths.daemonVault],
      ['cosigner vault', paths.cosignerVault],
      ['as of', timeOf(restored.backupMs)],
      ['state', 'sealed'],
    ]),
  )
  if (restored.wasCutOff) terminal.note('an earlier restore had been cut off before its last step; it is finished')
  for (const { walletId, why } of restored.stopped) terminal.note(`wallet ${walletId} is stopped: ${why}`)
  terminal.note(NEXT)
}

const keyRow = (key: ApiKey): string[] => {
  const { grants = [] } = key.permissions as { grants?: readonly { readonly permission: string }[] }
  return [key.keyId, key.project, key.name, timeOf(key.createMs), grants.map(({ permission }) => permission).join(' ')]
}

/** What the restored state allows, stops and has forgotten. */
const printRestored = ({ daemon, cosigner }: Vaults, terminal: Terminal): readonly ApiKey[] => {
  const seal = sealOf(daemon) ?? sealOf(cosigner)
  if (seal === undefined) return []
  terminal.print(formatFacts([['backup of', timeOf(seal.backupMs)], ['restored', timeOf(seal.restoreMs)]]))
  if (daemon === undefined) {
    terminal.note(
      `Everything done at the cosigner after ${timeOf(seal.backupMs)} is forgotten: freezes, wallets that were stopped, burned ` +
        'links. Wallet secrets that end users took out of its register are back; none of it exports a key for 24 hours, and ' +
        'approvals of exports are gone.',
    )
    return []
  }
  const keys = listLiveApiKeys(daemon.read, LISTED_MAX)
  terminal.print(formatTable(['API KEY', 'PROJECT', 'NAME', 'MADE', 'MAY'], keys.map(keyRow)))
  const freezes = listFreezes(daemon.read, undefined, LISTED_MAX)
  const frozen = freezes.map(({ scope, id, reason, createMs }) => [scope, id, timeOf(createMs), reason])
  terminal.print(formatTable(['FROZEN', 'ID', 'SINCE', 'NOTE'], frozen))
  const suspended = listWalletsInState(daemon.read, 'SUSPENDED', LISTED_MAX)
  const wallets = suspended.map(({ walletId, project, address }) => [walletId, project, address])
  terminal.print(formatTable(['STOPPED WALLET', 'PROJECT', 'ADDRESS'], wallets))
  const links = listLinks(daemon.read).filter(({ state }) => state !== 'ACTIVE')
  for (const { state, control } of links) {
    terminal.note(`a link is ${state}, burned ${decodeLinkRecord(control).burns} times`)
  }
  terminal.note(
    `Everything done after ${timeOf(seal.backupMs)} is forgotten: API keys and permissions that were revoked since, ` +
      'secrets of API keys that were rotated (the old ones work again, the new ones do not), freezes and archived ' +
      'wallets, burned links, what was spent of daily limits. Keys and wallets made since are gone. Grants of end users ' +
      'end with the acknowledgement, and their wallet secrets go: they give and register them anew. All delegated access is ' +
      'over: no backup holds its shares. Wallet secrets that they took ' +
      "out of the cosigner's register are back there; none of it exports a key for 24 hours, and approvals of exports " +
      'are gone. Webhooks are off until you turn them on: some may have been deleted since, and their secrets are again ' +
      'what they were.',
  )
  return keys
}

const sealOf = (vault: Vault | undefined) => vault && findSeal(vault.read)

const TO_REFRESH_MAX = 1_000

const printUnrefreshed = (daemon: DaemonVault, terminal: Terminal): void => {
  const state = getRestoreState(daemon.read)
  if (state === undefined) return
  const found = listUnrefreshedSince(daemon.read, { ...state, timeMs: state.restoreMs }, TO_REFRESH_MAX + 1)
  for (const walletId of found.slice(0, TO_REFRESH_MAX)) terminal.print(`to refresh       ${walletIdFromBytes(walletId)}`)
  if (found.length > TO_REFRESH_MAX) terminal.note(`and more; "countersign status" counts them`)
}

export type Acknowledgement = {
  readonly keepApiKeys: readonly string[]
  readonly keepAllApiKeys: boolean
  readonly newAdminKey: boolean
}

const keptOf = (keys: readonly ApiKey[], choice: Acknowledgement): ReadonlySet<string> => {
  const all = keys.map(({ keyId }): string => keyId)
  const unknown = choice.keepApiKeys.find((id) => !all.includes(id))
  if (unknown !== undefined) throw new UsageRefusal(`${unknown} is not a live API key of the restored vault`)
  return new Set(choice.keepAllApiKeys ? all : choice.keepApiKeys)
}

/** Chained with the acknowledgement: a key that nobody named does not come back. */
const revokeOthers = (tx: Tx, keys: readonly ApiKey[], kept: ReadonlySet<string>, nowMs: number): ApiKeyId[] =>
  keys.flatMap(({ keyId, project }) => {
    if (kept.has(keyId)) return []
    revokeApiKey(tx, keyId, { nowMs })
    const subject = { type: 'api_key', id: keyId }
    const actor = { kind: 'operator', id: '' } as const
    appendAudit(tx, { timeMs: nowMs, kind: 'api_key.revoked', project, actor, subject, reason: 'restore' })
    return [keyId]
  })

/** Which of them their end users took back since, nobody knows: they are asked again. */
const endGrants = (tx: Tx, nowMs: number): void => {
  const by = { actor: { kind: 'operator', id: '' }, reason: 'restore' } as const
  for (const grant of revokeAllGrants(tx, nowMs)) recordEnd(tx, grant, by, endKeysOfGrant)
}

/** A device that was lost since must not sign again: every device registers anew, with an access token. */
const revokeWalletSecrets = (tx: Tx, nowMs: number): void => {
  for (const { project, userId, walletSecretId, keyHash } of deleteEveryWalletSecret(tx)) {
    const subject = { type: 'wallet_secret', id: walletSecretId }
    const actor = { kind: 'operator', id: '' } as const
    const details = { user: userId, keyHash }
    appendAudit(tx, { timeMs: nowMs, kind: 'wallet_secret.revoked', project, actor, subject, details, reason: 'restore' })
  }
}

/** Which of them were deleted since, or had their secret rotated, nobody knows. */
const disableWebhooks = (tx: Tx, nowMs: number): void => {
  for (const { webhookId, project } of disableAllWebhooks(tx, nowMs)) {
    const subject = { type: 'webhook', id: webhookId }
    const actor = { kind: 'operator', id: '' } as const
    const details = { state: 'disabled' }
    appendAudit(tx, { timeMs: nowMs, kind: 'webhook.updated', project, actor, subject, details, reason: 'restore' })
  }
}

const CHOOSE =
  'nothing was acknowledged: name the API keys that may work again (--keep-api-key <id>, --keep-all-api-keys), or ' +
  '--new-admin-key for a fresh one; every other key is revoked'

const REFRESH = 'then refresh the wallets, whose shares the backups also hold'

/** What the cosigner's register brings back exports nothing for a day. */
const acknowledgeCosigner = (cosigner: CosignerVault, nowMs: number): Promise<void> =>
  cosigner.commit((tx) => {
    rebindOwnerSecrets(tx, nowMs)
    dropApprovals(tx, nowMs)
    acknowledgeRestore(tx, nowMs)
  })

const acknowledgeDaemon = (daemon: DaemonVault, keys: readonly ApiKey[], kept: ReadonlySet<string>, nowMs: number) =>
  daemon.commit((tx) => {
    const others = revokeOthers(tx, keys, kept, nowMs)
    endAccessOfRestore(tx, nowMs)
    endGrants(tx, nowMs)
    endKeysOfRestore(tx, nowMs)
    revokeWalletSecrets(tx, nowMs)
    disableWebhooks(tx, nowMs)
    acknowledgeRestore(tx, nowMs)
    return others
  })

export const acknowledge = async (choice: Acknowledgement, flags: Flags, terminal: Terminal): Promise<void> => {
  const needs = await prepare(flags, terminal)
  await withVaults(needs, async (vaults) => {
    const { daemon, cosigner } = vaults
    if ((sealOf(daemon) ?? sealOf(cosigner)) === undefined) {
      return terminal.print('these vaults are not sealed; nothing was changed')
    }
    const keys = printRestored(vaults, terminal)
    const isChosen = choice.keepAllApiKeys || choice.keepApiKeys.length > 0 || choice.newAdminKey
    if (daemon !== undefined && !isChosen) throw new CommandRefusal(CHOOSE)
    const kept = keptOf(keys, choice)
    const nowMs = Date.now()
    if (daemon !== undefined && choice.newAdminKey) {
      const path = dataDirPaths(needs.config.dataDir).adminKey
      await makeAdminKey(daemon, 'administration', path, nowMs)
      terminal.print(`admin API key    ${path}`)
    }
    // The daemon's seal comes off last: a crash in between leaves it on, and the same command goes on from there.
    if (cosigner !== undefined) await acknowledgeCosigner(cosigner, nowMs)
    if (daemon === undefined) return terminal.note(`acknowledged: start the cosigner and its daemon, ${REFRESH}`)
    for (const keyId of await acknowledgeDaemon(daemon, keys, kept, nowMs)) terminal.print(`revoked          ${keyId}`)
    terminal.note(`acknowledged: start the daemon, ${REFRESH}`)
    printUnrefreshed(daemon, terminal)
  })
}
