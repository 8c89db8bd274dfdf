/**
 * Both vaults of a data directory that is being made or restored. They are made under other names and renamed last, the
 * daemon's after everything it needs: where `vault.db` is, all is there. Work that was cut off anywhere is begun again
 * by the same command; what it left is cleared or, after the first rename, finished.
 */
import { existsSync, renameSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import { dataDirPaths } from '../config/load-config.ts'
import { failure } from '../domain/failure.ts'
import { lockPath, refuseStrayLog } from '../vault/open-database.ts'
import { preparePrivateDirectory, syncDirectory } from '../vault/private-file.ts'
import { acquireVaultLock } from '../vault/vault-lock.ts'

export type StagedVaults = {
  readonly paths: ReturnType<typeof dataDirPaths>
  /** The name that a vault has until it is complete. */
  readonly stagedAs: (path: string) => string
  /** Removes what an earlier attempt left. */
  readonly clear: () => void
}

/**
 * Makes what is missing and gives both vaults their names.
 * @param infix what the other names carry: `vault.<infix>.db`.
 * @param which one alone where the two are on hosts of their own.
 * @param make stages the vaults; with `isCutOff` they are complete, and the cosigner's has its name already.
 * Refuses: VAULT_EXISTS when either vault is there; VAULT_LOCKED while somebody else is at work there; VAULT_UNWRITABLE.
 */
export const stageVaults = async <T>(
  dataDir: string,
  infix: 'new' | 'restored',
  make: (staged: StagedVaults, isCutOff: boolean) => Promise<T>,
  which: 'both' | 'daemon' | 'cosigner' = 'both',
): Promise<T> => {
  const paths = dataDirPaths(dataDir)
  const both = [paths.cosignerVault, paths.daemonVault] as const
  const vaults = both.filter((_, at) => which === 'both' || (which === 'cosigner') === (at === 0))
  const stagedAs = (path: string): string => path.replace(/\.db$/, `.${infix}.db`)
  const clear = (): void => vaults.forEach((path) => removeVault(stagedAs(path)))
  const isCutOff = (): boolean =>
    which === 'both' &&
    existsSync(paths.cosignerVault) && !existsSync(paths.daemonVault) && existsSync(stagedAs(paths.daemonVault))
  if (!isCutOff()) refuseExisting(both)
  preparePrivateDirectory(dataDir)
  // The lock of the daemon itself: what is staged is cleared, so nobody else may be staging it.
  const lock = acquireVaultLock(lockPath(which === 'cosigner' ? paths.cosignerVault : paths.daemonVault))
  try {
    vaults.forEach(refuseStrayLog)
    const cutOff = isCutOff()
    if (!cutOff) refuseExisting(both)
    const made = await make({ paths, stagedAs, clear }, cutOff)
    for (const path of vaults) {
      // Each name is durable before the next: the daemon's vault never stands there alone.
      if (!existsSync(path)) renameSync(stagedAs(path), path)
      syncDirectory(dirname(path))
    }
    clear()
    return made
  } finally {
    lock.release()
  }
}

const refuseExisting = (vaults: readonly string[]): void => {
  const path = vaults.toReversed().find((vault) => existsSync(vault))
  if (path !== undefined) throw failure('VAULT_EXISTS', { path })
}

const removeVault = (path: string): void => {
  for (const file of [path, `${path}-wal`, `${path}-shm`, `${path}.copy`, lockPath(path)]) rmSync(file, { force: true })
}
