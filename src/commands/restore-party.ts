/**
 * One party's vault made of its own backup, on its own host: checked, sealed and given its name as both are in the embedded
 * mode. Its peer is settled with afterwards (cosigner-settle.ts).
 */
import { randomBytes } from 'node:crypto'
import type { Config, Secrets } from '../config/config.ts'
import { prepareRestored } from '../party/settle-restored.ts'
import { loadIdentity, makeIdentity } from '../party/remote/identity-files.ts'
import type { PartyRole } from '../party/remote/pairing.ts'
import { standingText } from '../party/remote/standing.ts'
import { openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { readBackup } from '../vault/read-backup.ts'
import { sealRestored } from '../vault/restore-state.ts'
import type { Vault } from '../vault/vault.ts'
import type { BackupFile } from './restore-data-dir.ts'
import { rootKeyProviders } from './root-keys.ts'
import { stageVaults } from './staged-vaults.ts'

export type RestoredParty = {
  readonly path: string
  readonly backupMs: number
  /** For the other host. */
  readonly standing: string
  /** Its channel key was lost with the host: the peer takes the new one in by pairing again. */
  readonly hasNewChannel: boolean
}

const openAs = (role: PartyRole, config: Config, secrets: Secrets, path: string): Promise<Vault> => {
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  return role === 'daemon'
    ? openDaemonVault({ path, provider: providers.daemon, nowMs })
    : openCosignerVault({ path, provider: providers.cosigner, nowMs })
}

/** Refuses, with nothing left behind, as `restoreDataDir`. */
export const restoreParty = (
  role: PartyRole,
  config: Config,
  secrets: Secrets,
  file: BackupFile,
): Promise<RestoredParty> =>
  stageVaults(
    config.dataDir,
    'restored',
    async ({ paths, stagedAs, clear }) => {
      const path = role === 'daemon' ? paths.daemonVault : paths.cosignerVault
      try {
        clear()
        const manifest = await readBackup({ ...file, kind: role }, stagedAs(path))
        await using vault = await openAs(role, config, secrets, stagedAs(path))
        const nowMs = Date.now()
        vault.commitNow((tx) => {
          sealRestored(tx, { manifest, restoreIdHex: randomBytes(16).toString('hex'), nowMs })
          prepareRestored(tx, nowMs)
        })
        const found = loadIdentity(config.dataDir, role)
        const isOwn = found !== undefined && Buffer.from(vault.signer.publicKey).equals(found.own.auditKey)
        if (!isOwn) makeIdentity(config.dataDir, role, vault.signer)
        // A file is renamed without its log.
        vault.eraseDeleted()
        const standing = standingText(vault, role)
        return { path, backupMs: manifest.createMs, standing, hasNewChannel: !isOwn }
      } catch (error) {
        clear()
        throw error
      }
    },
    role,
  )
