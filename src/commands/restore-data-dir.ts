/**
 * A data directory made of two backups. Both vaults are checked, sealed and fitted to each other before either has its
 * name; a restore that was cut off anywhere is begun again by the same command (staged-vaults.ts).
 */
import { randomBytes } from 'node:crypto'
import type { Config, Secrets } from '../config/config.ts'
import { failure } from '../domain/failure.ts'
import { type RestoredVaults, requirePair, settleRestored, type StoppedWallet } from '../party/settle-restored.ts'
import type { Identity } from '../vault/backup-keys.ts'
import type { BackupManifest } from '../vault/backup-manifest.ts'
import { openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { readBackup } from '../vault/read-backup.ts'
import { findSeal, sealRestored } from '../vault/restore-state.ts'
import { rootKeyProviders } from './root-keys.ts'
import { type StagedVaults, stageVaults } from './staged-vaults.ts'

export type BackupFile = { readonly path: string; readonly identities: readonly Identity[] }
export type BackupFiles = { readonly daemon: BackupFile; readonly cosigner: BackupFile }

export type Restored = {
  readonly backupMs: number
  readonly stopped: readonly StoppedWallet[]
  /** An earlier restore had done all but the last step. */
  readonly wasCutOff: boolean
}

const withVaults = async <T>(
  config: Config,
  secrets: Secrets,
  at: { readonly daemon: string; readonly cosigner: string },
  use: (vaults: RestoredVaults) => T,
): Promise<T> => {
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  await using daemon = await openDaemonVault({ path: at.daemon, provider: providers.daemon, nowMs })
  await using cosigner = await openCosignerVault({ path: at.cosigner, provider: providers.cosigner, nowMs })
  const answer = use({ daemon, cosigner })
  // A file is renamed without its log: what a close could not bring into it, on a full disk, would be the seal.
  daemon.eraseDeleted()
  cosigner.eraseDeleted()
  return answer
}

type Manifests = { readonly daemon: BackupManifest; readonly cosigner: BackupManifest }

const unpack = async ({ paths, stagedAs, clear }: StagedVaults, files: BackupFiles): Promise<Manifests> => {
  clear()
  const read = (kind: 'daemon' | 'cosigner', path: string) =>
    readBackup({ path: files[kind].path, identities: files[kind].identities, kind }, stagedAs(path))
  const daemon = await read('daemon', paths.daemonVault)
  const cosigner = await read('cosigner', paths.cosignerVault)
  if (daemon.setIdHex !== cosigner.setIdHex) {
    throw failure('BACKUP_MISMATCH', { why: 'they were made at different times; give the two files of one backup' })
  }
  return { daemon, cosigner }
}

const sealBoth = (vaults: RestoredVaults, manifests: Manifests): readonly StoppedWallet[] => {
  requirePair(vaults)
  const nowMs = Date.now()
  const restoreIdHex = randomBytes(16).toString('hex')
  const seal = (kind: 'daemon' | 'cosigner'): void =>
    vaults[kind].commitNow((tx) => sealRestored(tx, { manifest: manifests[kind], restoreIdHex, nowMs }))
  seal('daemon')
  seal('cosigner')
  return settleRestored(vaults, nowMs)
}

/** Both are of one restore: a half that somebody put there by hand is not given a name. */
const requireSameRestore = ({ daemon, cosigner }: RestoredVaults): number => {
  const own = findSeal(daemon.read)
  if (own === undefined || own.restoreIdHex !== findSeal(cosigner.read)?.restoreIdHex) {
    throw failure('BACKUP_MISMATCH', { why: 'the cosigner vault that is there is not of the restore that was begun' })
  }
  return own.backupMs
}

const restoreStaged = async (
  config: Config,
  secrets: Secrets,
  files: BackupFiles,
  staged: StagedVaults,
): Promise<Restored> => {
  const { paths, stagedAs, clear } = staged
  try {
    const manifests = await unpack(staged, files)
    const at = { daemon: stagedAs(paths.daemonVault), cosigner: stagedAs(paths.cosignerVault) }
    const stopped = await withVaults(config, secrets, at, (vaults) => sealBoth(vaults, manifests))
    return { backupMs: manifests.daemon.createMs, stopped, wasCutOff: false }
  } catch (error) {
    clear()
    throw error
  }
}

const finishCutOff = async (
  config: Config,
  secrets: Secrets,
  { paths, stagedAs }: StagedVaults,
): Promise<Restored> => {
  const at = { daemon: stagedAs(paths.daemonVault), cosigner: paths.cosignerVault }
  const backupMs = await withVaults(config, secrets, at, requireSameRestore)
  return { backupMs, stopped: [], wasCutOff: true }
}

/**
 * Makes both vaults of `config` from the two backups; they are sealed. Refuses, with nothing left behind: VAULT_EXISTS
 * when either vault is there; VAULT_LOCKED; BACKUP_*; ROOT_KEY_WRONG and ROOT_KEY_UNREADABLE for a root key that is not
 * the one the backup was made under; VAULT_CORRUPT; VAULT_UNWRITABLE.
 */
export const restoreDataDir = (config: Config, secrets: Secrets, files: BackupFiles): Promise<Restored> =>
  stageVaults(config.dataDir, 'restored', (staged, isCutOff) =>
    isCutOff ? finishCutOff(config, secrets, staged) : restoreStaged(config, secrets, files, staged),
  )
