/** What the cosigner does for the keeping of its own vault, in its own thread: backups and a new root key. */
import { failure } from '../domain/failure.ts'
import { parseRecipient } from '../vault/backup-keys.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import { type BackupStanding, backupStanding } from '../vault/last-backup.ts'
import { createRootKeyProvider } from '../vault/root-key-provider.ts'
import { type BackupMade, recordBackup, writeBackup } from '../vault/write-backup.ts'
import type { ShareSeal } from './share-sealing.ts'

/** Where backups go and who can open them. */
export type BackupPlace = { readonly directory: string; readonly recipient: string }

export type CustodyData = {
  readonly rootKey: string
  readonly credentialsDirectory: string | undefined
  /** Of this party's own recipient; absent: it makes no backups. */
  readonly backup?: BackupPlace | undefined
}

export type KeyRotated = { readonly provider: string; readonly shares: number }

/** On whose word: of one on a host of its own, its operator's. */
type Asked = { readonly timeMs: number; readonly by?: 'daemon' | 'operator' }

export const createCosignerCustody = (vault: CosignerVault, seal: ShareSeal, data: CustodyData) => ({
  backup: async ({ setId, timeMs, by = 'daemon' }: Asked & { readonly setId: Uint8Array }): Promise<BackupMade> => {
    const recipient = parseRecipient(data.backup?.recipient ?? '')
    if (data.backup === undefined || recipient === undefined) {
      throw failure('BACKUP_NOT_CONFIGURED', { missing: 'cosigner_backup_recipient' })
    }
    const { directory } = data.backup
    const made = await writeBackup(vault, { directory, recipient, setId, nowMs: timeMs })
    await vault.commit((tx) => recordBackup(tx, made, { recipient, actor: { kind: by, id: '' }, nowMs: timeMs }))
    return made
  },
  /** The passphrase, for a provider that needs one: this thread keeps none. */
  rotateKey: async (
    { passphrase, timeMs, by = 'daemon' }: Asked & { readonly passphrase: Uint8Array | undefined },
  ): Promise<KeyRotated> => {
    const { credentialsDirectory } = data
    const provider = createRootKeyProvider(data.rootKey, { passphrase, credentialsDirectory })
    const details = { provider: provider.name }
    const event = { timeMs, kind: 'vault.key_rotated', actor: { kind: by, id: '' }, details } as const
    try {
      await vault.rotateRoot({ provider, renewsProvider: true, event })
    } finally {
      seal.renew(vault.shareKey())
      passphrase?.fill(0)
    }
    return { provider: provider.name, shares: await vault.rewrapShares() }
  },
  backupStanding: (): BackupStanding | undefined => backupStanding(vault.read),
})
