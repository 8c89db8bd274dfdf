/**
 * A daemon over vaults that were restored and not acknowledged: keys that were revoked since the backup are back in it.
 * It answers reads of operators, so that they can look, and refuses everything else with RESTORE_UNACKNOWLEDGED. The
 * acknowledgement itself is given at the daemon's machine: an admin key that is back could otherwise give it.
 */
import type { Config } from '../config/config.ts'
import { ConfigError } from '../config/config-error.ts'
import type { ApiKeyDirectory, ApiKeyRecord } from '../rpc/authenticate.ts'
import { type EndUserDirectory, NO_END_USERS } from '../rpc/end-users.ts'
import type { UseCases } from '../rpc/use-cases.ts'
import { parseRecipient } from '../vault/backup-keys.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { findSeal, requireUnsealed } from '../vault/restore-state.ts'
import type { BackupPlace } from '../party/cosigner-custody.ts'

/** What a sealed daemon does; everything that is not listed is refused, what comes later included. */
const READS: { readonly [G in keyof UseCases]: readonly (keyof UseCases[G])[] } = {
  wallets: ['getWallet', 'listWallets'],
  signing: ['verifySignature'],
  sending: ['getTransaction', 'listTransactions'],
  delegation: ['getGrant', 'listGrants', 'getChainConfig', 'getSpend', 'listSpends'],
  session: ['getSessionKey', 'listSessionKeys', 'listProfiles'],
  webhooks: ['listWebhooks', 'listWebhookDeliveries'],
  delegate: ['listDelegateKeys', 'listImportedAccess'],
  endUsers: [],
  audit: ['listEvents', 'watchEvents', 'verifyChain'],
  admin: ['getProject', 'listProjects', 'getApiKey', 'listApiKeys', 'getStatus'],
}

const sealGroup = <Group extends object>(group: Group, reads: readonly (keyof Group)[], refuse: () => never): Group =>
  Object.fromEntries(
    Object.entries(group).map(([name, run]) => [name, reads.includes(name as keyof Group) ? run : refuse]),
  ) as Group

/** The use cases as they are, or as a sealed vault leaves them. */
export const sealUseCases = (vault: DaemonVault, useCases: UseCases): UseCases => {
  if (findSeal(vault.read) === undefined) return useCases
  const refuse = (): never => {
    requireUnsealed(vault.read)
    throw new Error('assertion: a seal ends with the process')
  }
  return {
    wallets: sealGroup(useCases.wallets, READS.wallets, refuse),
    signing: sealGroup(useCases.signing, READS.signing, refuse),
    sending: sealGroup(useCases.sending, READS.sending, refuse),
    delegation: sealGroup(useCases.delegation, READS.delegation, refuse),
    session: sealGroup(useCases.session, READS.session, refuse),
    webhooks: sealGroup(useCases.webhooks, READS.webhooks, refuse),
    delegate: sealGroup(useCases.delegate, READS.delegate, refuse),
    endUsers: sealGroup(useCases.endUsers, READS.endUsers, refuse),
    audit: sealGroup(useCases.audit, READS.audit, refuse),
    admin: sealGroup(useCases.admin, READS.admin, refuse),
  }
}

/** Lets only operators' keys in while the vault is sealed. */
export const sealDirectory = (vault: DaemonVault, directory: ApiKeyDirectory): ApiKeyDirectory => {
  if (findSeal(vault.read) === undefined) return directory
  const requireOperator = (record: ApiKeyRecord | undefined): ApiKeyRecord | undefined => {
    if (record !== undefined && !record.permissions.has('admin')) requireUnsealed(vault.read)
    return record
  }
  return {
    findBySecret: (presented) => requireOperator(directory.findBySecret(presented)),
    findById: (apiKeyId) => requireOperator(directory.findById(apiKeyId)),
  }
}

/** Lets no end user in while the vault is sealed. */
export const sealUsers = (vault: DaemonVault, users: EndUserDirectory): EndUserDirectory => {
  if (findSeal(vault.read) === undefined) return users
  return {
    ...NO_END_USERS,
    verifyAccessToken: (token, nowMs) => {
      requireUnsealed(vault.read)
      return users.verifyAccessToken(token, nowMs)
    },
  }
}

/** Where each party's backups go. Refuses, as ConfigError, a recipient whose checksum is wrong. */
export const backupPlaces = (
  { backup }: Config,
): { readonly daemon: BackupPlace | undefined; readonly cosigner: BackupPlace | undefined } => {
  const place = (option: string, recipient: string | undefined): BackupPlace | undefined => {
    if (recipient === undefined) return undefined
    if (parseRecipient(recipient) === undefined) throw new ConfigError(option, 'its checksum is wrong')
    return { directory: backup.directory, recipient }
  }
  return {
    daemon: place('--backup-recipient', backup.recipient),
    cosigner: place('--cosigner-backup-recipient', backup.cosignerRecipient),
  }
}
