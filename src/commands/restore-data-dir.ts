/**
 * A data directory made of two backups. Both vaults are made under other names, checked, sealed and fitted to each
 * other there, and renamed last, the daemon's after the cosigner's: where `vault.db` is, all is there. A restore that
 * was cut off anywhere is begun again by the same command; what it left is cleared or, after the first rename, finished.
 */
import { randomBytes } from 'node:crypto'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths } from '../config/load-config.ts'
import { failure } from '../domain/failure.ts'
import { type RestoredVaults, requirePair, settleRestored, type StoppedWallet } from '../party/settle-restored.ts'
import type { Identity } from '../vault/backup-keys.ts'
import type { BackupManifest } from '../vault/backup-manifest.ts'
import { openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { lockPath, refuseStrayLog } from '../vault/open-database.ts'
import { preparePrivateDirectory, syncDirectory } from '../vault/private-file.ts'
import { readBackup } from '../vault/read-backup.ts'
import { findSeal, sealRestored } from '../vault/restore-state.ts'
import { acquireVaultLock } from '../vault/vault-lock.ts'
import { rootKeyProviders } from './root-keys.ts'

export type BackupFile = { readonly path: string; readonly identities: readonly Identity[] }
export type BackupFiles = { readonly daemon: BackupFile; readonly cosigner: BackupFile }

export type Restored = {
  readonly backupMs: number
  readonly stopped: readonly StoppedWallet[]
  /** An earlier restore had done all but the last step. */
  readonly wasCutOff: boolean
}

type Paths = ReturnType<typeof dataDirPaths>

const stagedAs = (path: string): string => path.replace(/\.db$/, '.restored.db')

const clearStaged = (path: string): void => {
  const staged = stagedAs(path)
  for (const file of [staged, `${staged}-wal`, `${staged}-shm`, `${staged}.copy`, lockPath(staged)]) {
    rmSync(file, { force: true })
  }
}

const isCutOff = ({ daemonVault, cosignerVault }: Paths): boolean =>
  existsSync(cosignerVault) && !existsSync(daemonVault) && existsSync(stagedAs(daemonVault))

const refuseExisting = (paths: Paths): void => {
  for (const path of [paths.daemonVault, paths.cosignerVault]) {
    if (existsSync(path)) throw failure('VAULT_EXISTS', { path })
  }
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

const unpack = async (paths: Paths, files: BackupFiles): Promise<Manifests> => {
  clearStaged(paths.cosignerVault)
  clearStaged(paths.daemonVault)
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

/** Gives the vaults their names: the daemon's last, each durable before the next. */
const settle = (paths: Paths): void => {
  const directory = dirname(paths.daemonVault)
  if (!existsSync(paths.cosignerVault)) renameSync(stagedAs(paths.cosignerVault), paths.cosignerVault)
  syncDirectory(directory)
  renameSync(stagedAs(paths.daemonVault), paths.daemonVault)
  clearStaged(paths.cosignerVault)
  clearStaged(paths.daemonVault)
  syncDirectory(directory)
}

const restoreStaged = async (
  config: Config,
  secrets: Secrets,
  files: BackupFiles,
  paths: Paths,
): Promise<Restored> => {
  try {
    const manifests = await unpack(paths, files)
    const at = { daemon: stagedAs(paths.daemonVault), cosigner: stagedAs(paths.cosignerVault) }
    const stopped = await withVaults(config, secrets, at, (vaults) => sealBoth(vaults, manifests))
    return { backupMs: manifests.daemon.createMs, stopped, wasCutOff: false }
  } catch (error) {
    clearStaged(paths.cosignerVault)
    clearStaged(paths.daemonVault)
    throw error
  }
}

const finishCutOff = async (config: Config, secrets: Secrets, paths: Paths): Promise<Restored> => {
  const at = { daemon: stagedAs(paths.daemonVault), cosigner: paths.cosignerVault }
  const backupMs = await withVaults(config, secrets, at, requireSameRestore)
  return { backupMs, stopped: [], wasCutOff: true }
}

/**
 * Makes both vaults of `config` from the two backups; they are sealed. Refuses, with nothing left behind: VAULT_EXISTS
 * when either vault is there; VAULT_LOCKED; BACKUP_*; ROOT_KEY_WRONG and ROOT_KEY_UNREADABLE for a root key that is not
 * the one the backup was made under; VAULT_CORRUPT; VAULT_UNWRITABLE.
 */
export const restoreDataDir = async (config: Config, secrets: Secrets, files: BackupFiles): Promise<Restored> => {
  const paths = dataDirPaths(config.dataDir)
  if (!isCutOff(paths)) refuseExisting(paths)
  preparePrivateDirectory(config.dataDir)
  const lock = acquireVaultLock(lockPath(paths.daemonVault))
  try {
    for (const path of [paths.daemonVault, paths.cosignerVault]) refuseStrayLog(path)
    const cutOff = isCutOff(paths)
    if (!cutOff) refuseExisting(paths)
    const restored = cutOff
      ? await finishCutOff(config, secrets, paths)
      : await restoreStaged(config, secrets, files, paths)
    settle(paths)
    return restored
  } finally {
    lock.release()
  }
}
