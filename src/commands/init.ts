import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { pairParties } from './cosigner-pair.ts'
import { createDataDir } from './create-data-dir.ts'
import type { Terminal } from './terminal.ts'

/**
 * `countersign init`: makes the vaults and the first admin API key. The key goes into a file, never to the
 * terminal.
 */
export const initialise = async (flags: Flags, terminal: Terminal): Promise<void> => {
  refuseUnsafeProcess()
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const madeKeyFiles = await createDataDir(
    config,
    await completeSecrets(config, secrets, askAtTerminal(true)),
    'administration',
  )
  const paths = dataDirPaths(config.dataDir)
  terminal.print(`vault            ${paths.daemonVault}`)
  if (config.cosigner === undefined) terminal.print(`cosigner vault   ${paths.cosignerVault}`)
  for (const path of madeKeyFiles) terminal.print(`root key made    ${path}`)
  terminal.print(`admin API key    ${paths.adminKey}`)
  if (config.cosigner !== undefined) await pairParties(undefined, flags, terminal)
  if (madeKeyFiles.length > 0) {
    terminal.note('keep each root key away from the vaults and from the other: with its vault it opens one share')
  }
}
