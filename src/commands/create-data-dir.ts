/**
 * A new data directory: root key files that are missing, both vaults, the first admin API key. The vaults are made
 * under other names and renamed last, the daemon's after everything it needs: where `vault.db` is, all is
 * there, and an interrupted start is simply begun again.
 */
import { closeSync, existsSync, fsyncSync, mkdirSync, openSync, renameSync, rmSync, writeSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Config, RootKeySource, Secrets } from '../config/config.ts'
import { dataDirPaths } from '../config/load-config.ts'
import { failure } from '../domain/failure.ts'
import { formatPermissionGrants } from '../policy/parse-grants.ts'
import { PERMISSIONS, type Permission } from '../policy/permissions.ts'
import { createApiKey } from '../vault/api-keys.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { createCosignerVault } from '../vault/cosigner-vault.ts'
import { createDaemonVault, type DaemonVault } from '../vault/daemon-vault.ts'
import { lockPath, refuseStrayLog } from '../vault/open-database.ts'
import { preparePrivateDirectory, syncDirectory } from '../vault/private-file.ts'
import { DEFAULT_PROJECT } from '../vault/projects.ts'
import { createRootKeyFile } from '../vault/root-key-provider.ts'
import { acquireVaultLock } from '../vault/vault-lock.ts'
import { rootKeyProviders } from './root-keys.ts'

/** What the first key may do: with `dev` everything, with `init` only administer and read the audit chain. */
export type FirstKeyReach = 'everything' | 'administration'

const grantsOf = (reach: FirstKeyReach) => {
  const permissions: readonly Permission[] = reach === 'everything' ? PERMISSIONS : ['admin', 'audit:read']
  return formatPermissionGrants(permissions.map((permission) => ({ permission, narrowing: {} })))
}

/** Makes the key file of a `file:` provider that has none yet; answers whether it did. */
export const makeKeyFile = (source: RootKeySource): boolean => {
  if (source.scheme !== 'file' || existsSync(source.reference)) return false
  // One that is there is its owner's, and may hold more than this: only the file itself is made private.
  mkdirSync(dirname(source.reference), { mode: 0o700, recursive: true })
  createRootKeyFile(source.reference)
  return true
}

const writeAdminKey = (path: string, secret: string): void => {
  rmSync(path, { force: true })
  const descriptor = openSync(path, 'wx', 0o600)
  try {
    writeSync(descriptor, `${secret}\n`)
    fsyncSync(descriptor)
  } finally {
    closeSync(descriptor)
  }
}

/** A new API key for administration, its secret written to `path`. */
export const makeAdminKey = async (
  vault: DaemonVault,
  reach: FirstKeyReach,
  path: string,
  nowMs: number,
): Promise<void> => {
  const { secret } = await vault.commit((tx) => {
    const made = createApiKey(tx, { project: DEFAULT_PROJECT, name: 'admin', permissions: grantsOf(reach), nowMs })
    appendAudit(tx, {
      timeMs: nowMs,
      kind: 'api_key.created',
      project: DEFAULT_PROJECT,
      actor: { kind: 'operator', id: '' },
      subject: { type: 'api_key', id: made.key.keyId },
    })
    return made
  })
  writeAdminKey(path, secret.reveal())
}

/** A vault under the name it has until it is complete, with the lock beside it. */
const stagedAs = (path: string): string => path.replace(/\.db$/, '.new.db')
const stagedFiles = (path: string): string[] => {
  const staged = stagedAs(path)
  return [staged, `${staged}-wal`, `${staged}-shm`, staged.replace(/\.db$/, '.lock')]
}
const clearStaged = (path: string): void => {
  for (const file of stagedFiles(path)) rmSync(file, { force: true })
}

export const hasVault = (config: Config): boolean => existsSync(dataDirPaths(config.dataDir).daemonVault)

type Paths = ReturnType<typeof dataDirPaths>

/** The cosigner's vault has its name and the daemon's, complete before either was renamed, has not. */
const isCutOff = ({ daemonVault, cosignerVault }: Paths): boolean =>
  existsSync(cosignerVault) && !existsSync(daemonVault) && existsSync(stagedAs(daemonVault))

const refuseExisting = (paths: Paths): void => {
  for (const path of [paths.daemonVault, paths.cosignerVault]) {
    if (existsSync(path)) throw failure('VAULT_EXISTS', { path })
  }
}

/** Gives the vaults their names: the daemon's last. */
const settle = (paths: Paths): void => {
  if (!isCutOff(paths)) renameSync(stagedAs(paths.cosignerVault), paths.cosignerVault)
  renameSync(stagedAs(paths.daemonVault), paths.daemonVault)
  clearStaged(paths.cosignerVault)
  clearStaged(paths.daemonVault)
  syncDirectory(dirname(paths.daemonVault))
}

const makeVaults = async (config: Config, secrets: Secrets, reach: FirstKeyReach, paths: Paths): Promise<void> => {
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  clearStaged(paths.cosignerVault)
  clearStaged(paths.daemonVault)
  const cosigner = await createCosignerVault({
    path: stagedAs(paths.cosignerVault),
    provider: providers.cosigner,
    nowMs,
  })
  await cosigner.close()
  const daemon = await createDaemonVault({ path: stagedAs(paths.daemonVault), provider: providers.daemon, nowMs })
  try {
    await makeAdminKey(daemon, reach, paths.adminKey, nowMs)
  } finally {
    await daemon.close()
  }
}

/**
 * Makes the data directory of `config` and answers the root key files it made. One that was cut off before its last
 * step is finished. Refuses: VAULT_EXISTS when either vault is there; VAULT_LOCKED while somebody else is at work there;
 * VAULT_UNWRITABLE, ROOT_KEY_UNREADABLE.
 */
export const createDataDir = async (config: Config, secrets: Secrets, reach: FirstKeyReach): Promise<string[]> => {
  const paths = dataDirPaths(config.dataDir)
  if (!isCutOff(paths)) refuseExisting(paths)
  preparePrivateDirectory(config.dataDir)
  // The lock of the daemon itself: what is staged is cleared, so nobody else may be staging it.
  const lock = acquireVaultLock(lockPath(paths.daemonVault))
  try {
    for (const path of [paths.daemonVault, paths.cosignerVault]) refuseStrayLog(path)
    let made: string[] = []
    if (!isCutOff(paths)) {
      refuseExisting(paths)
      made = [config.rootKey, config.cosignerRootKey].filter(makeKeyFile).map(({ reference }) => reference)
      await makeVaults(config, secrets, reach, paths)
    }
    settle(paths)
    return made
  } finally {
    lock.release()
  }
}
