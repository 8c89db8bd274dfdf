/**
 * A new data directory: root key files that are missing, both vaults, the first admin API key. What is interrupted is
 * simply begun again (staged-vaults.ts).
 */
import { existsSync, mkdirSync, rmSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Config, RootKeySource, Secrets } from '../config/config.ts'
import { dataDirPaths } from '../config/load-config.ts'
import { formatPermissionGrants } from '../policy/parse-grants.ts'
import { PERMISSIONS, type Permission } from '../policy/permissions.ts'
import { createApiKey } from '../vault/api-keys.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { createCosignerVault } from '../vault/cosigner-vault.ts'
import { createDaemonVault, type DaemonVault } from '../vault/daemon-vault.ts'
import { writePrivateFile } from '../vault/private-file.ts'
import { DEFAULT_PROJECT } from '../vault/projects.ts'
import { makeIdentity } from '../party/remote/identity-files.ts'
import { createRootKeyFile } from '../vault/root-key-provider.ts'
import { rootKeyProviders } from './root-keys.ts'
import { type StagedVaults, stageVaults } from './staged-vaults.ts'

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
  rmSync(path, { force: true })
  writePrivateFile(path, `${secret.reveal()}\n`)
}

export const hasVault = (config: Config): boolean => existsSync(dataDirPaths(config.dataDir).daemonVault)

const makeVaults = async (
  config: Config,
  secrets: Secrets,
  reach: FirstKeyReach,
  { paths, stagedAs, clear }: StagedVaults,
): Promise<void> => {
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  clear()
  if (config.cosigner === undefined) {
    const path = stagedAs(paths.cosignerVault)
    const cosigner = await createCosignerVault({ path, provider: providers.cosigner, nowMs })
    await cosigner.close()
  }
  const daemon = await createDaemonVault({ path: stagedAs(paths.daemonVault), provider: providers.daemon, nowMs })
  try {
    await makeAdminKey(daemon, reach, paths.adminKey, nowMs)
    if (config.cosigner !== undefined) makeIdentity(config.dataDir, 'daemon', daemon.signer)
  } finally {
    await daemon.close()
  }
}

/**
 * Makes the data directory of `config` and answers the root key files it made. One that was cut off before its last
 * step is finished. Refuses: VAULT_EXISTS when either vault is there; VAULT_LOCKED while somebody else is at work there;
 * VAULT_UNWRITABLE, ROOT_KEY_UNREADABLE.
 */
export const createDataDir = (config: Config, secrets: Secrets, reach: FirstKeyReach): Promise<string[]> => {
  const isRemote = config.cosigner !== undefined
  const make = async (staged: StagedVaults, isCutOff: boolean): Promise<string[]> => {
    if (isCutOff) return []
    const sources = isRemote ? [config.rootKey] : [config.rootKey, config.cosignerRootKey]
    const made = sources.filter(makeKeyFile).map(({ reference }) => reference)
    await makeVaults(config, secrets, reach, staged)
    return made
  }
  return stageVaults(config.dataDir, 'new', make, isRemote ? 'daemon' : 'both')
}
