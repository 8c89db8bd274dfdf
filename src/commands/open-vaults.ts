/** The vaults of a stopped daemon: both, or the one whose peer is on another host. */
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths } from '../config/load-config.ts'
import { loadIdentity } from '../party/remote/identity-files.ts'
import type { PartyRole } from '../party/remote/pairing.ts'
import { type CosignerVault, openCosignerVault } from '../vault/cosigner-vault.ts'
import { type DaemonVault, openDaemonVault } from '../vault/daemon-vault.ts'
import { rootKeyProviders } from './root-keys.ts'

export type Vaults = { readonly daemon: DaemonVault | undefined; readonly cosigner: CosignerVault | undefined }

/** They are closed when `use` is done. */
export const withVaults = async <T>(
  { config, secrets }: { readonly config: Config; readonly secrets: Secrets },
  use: (vaults: Vaults) => Promise<T>,
): Promise<T> => {
  const { dataDir } = config
  const paths = dataDirPaths(dataDir)
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  const isAlone = (role: PartyRole): boolean => loadIdentity(dataDir, role) !== undefined
  await using daemon = isAlone('cosigner')
    ? undefined
    : await openDaemonVault({ path: paths.daemonVault, provider: providers.daemon, nowMs })
  await using cosigner = isAlone('daemon')
    ? undefined
    : await openCosignerVault({ path: paths.cosignerVault, provider: providers.cosigner, nowMs })
  // Awaited here: what leaves this block is closed.
  return await use({ daemon, cosigner })
}
