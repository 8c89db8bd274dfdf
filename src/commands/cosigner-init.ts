/** `countersign cosigner init`: the vault, root key and channel key of a cosigner on a host of its own. */
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { makeIdentity } from '../party/remote/identity-files.ts'
import { createCosignerVault } from '../vault/cosigner-vault.ts'
import { preparePrivateDirectory } from '../vault/private-file.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { printOwnPairing } from './cosigner-pair.ts'
import { makeKeyFile } from './create-data-dir.ts'
import { rootKeyProviders } from './root-keys.ts'
import type { Terminal } from './terminal.ts'

export const initialiseCosigner = async (flags: Flags, terminal: Terminal): Promise<void> => {
  refuseUnsafeProcess()
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const path = dataDirPaths(config.dataDir).cosignerVault
  preparePrivateDirectory(config.dataDir)
  const madeKey = makeKeyFile(config.cosignerRootKey)
  const { cosigner: provider } = rootKeyProviders(config, await completeSecrets(config, secrets, askAtTerminal(true)))
  await using vault = await createCosignerVault({ path, provider, nowMs: Date.now() })
  const own = makeIdentity(config.dataDir, 'cosigner', vault.signer)
  terminal.print(`cosigner vault   ${path}`)
  if (madeKey) terminal.print(`root key made    ${config.cosignerRootKey.reference}`)
  printOwnPairing(config.dataDir, own, terminal)
}
