/**
 * `countersign cosigner move`: an embedded cosigner becomes one for a host of its own. Its vault is copied under a new
 * root key, both parties get a channel and know each other's; the old file is put aside under another name. Shares of
 * before open with it until they are refreshed.
 */
import { existsSync, readFileSync, renameSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { identityPaths, makeIdentity, writePeer } from '../party/remote/identity-files.ts'
import { fingerprintOf } from '../party/remote/pairing.ts'
import { type CosignerVault, openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { preparePrivateDirectory, syncDirectory } from '../vault/private-file.ts'
import { createRootKeyFile, createRootKeyProvider } from '../vault/root-key-provider.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { pinPeer } from './cosigner-pair.ts'
import { rootKeyProviders } from './root-keys.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

const refuseOccupied = (from: string, to: string): void => {
  if (!existsSync(from)) throw new CommandRefusal(`no embedded cosigner: ${from} is not there`)
  if (existsSync(to)) throw new CommandRefusal(`${to} is there already`)
}

/** A new root, in a key file beside the copy: the old root key opens it no longer. */
const giveOwnRoot = async (vault: CosignerVault, keyPath: string): Promise<void> => {
  createRootKeyFile(keyPath)
  const event = { timeMs: Date.now(), kind: 'cosigner.moved', actor: { kind: 'operator', id: '' } } as const
  await vault.rotateRoot({ provider: createRootKeyProvider(`file:${keyPath}`), renewsProvider: false, event })
  await vault.rewrapShares()
  vault.eraseDeleted()
}

export const moveCosigner = async (toDir: string, flags: Flags, terminal: Terminal): Promise<void> => {
  refuseUnsafeProcess()
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const { dataDir } = config
  const paths = dataDirPaths(dataDir)
  const moved = dataDirPaths(toDir).cosignerVault
  refuseOccupied(paths.cosignerVault, moved)
  const providers = rootKeyProviders(config, await completeSecrets(config, secrets, askAtTerminal(false)))
  preparePrivateDirectory(toDir)
  const nowMs = Date.now()
  {
    await using daemon = await openDaemonVault({ path: paths.daemonVault, provider: providers.daemon, nowMs })
    await using embedded = await openCosignerVault({ path: paths.cosignerVault, provider: providers.cosigner, nowMs })
    await embedded.copyTo(moved)
    await using cosigner = await openCosignerVault({ path: moved, provider: providers.cosigner, nowMs })
    await giveOwnRoot(cosigner, join(toDir, 'cosigner-root.key'))
    const [ofDaemon, ofCosigner] = [makeIdentity(dataDir, 'daemon', daemon.signer), makeIdentity(toDir, 'cosigner', cosigner.signer)]
    await pinPeer(cosigner, ofDaemon)
    await pinPeer(daemon, ofCosigner)
    writePeer(toDir, readFileSync(identityPaths(dataDir).own, 'utf8'))
    writePeer(dataDir, readFileSync(identityPaths(toDir).own, 'utf8'))
    terminal.print(`fingerprint of the daemon    ${fingerprintOf(ofDaemon)}`)
    terminal.print(`fingerprint of the cosigner  ${fingerprintOf(ofCosigner)}`)
  }
  const aside = `${paths.cosignerVault}.moved`
  renameSync(paths.cosignerVault, aside)
  syncDirectory(dirname(aside))
  terminal.print(`cosigner's directory         ${toDir}`)
  terminal.print(`its old vault                ${aside}`)
  terminal.note(
    `move ${toDir} to the other host, run \`countersign cosigner serve\` there and this daemon with --cosigner; then ` +
      `refresh every wallet (\`countersign wallet refresh --all\`), and destroy ${aside} with its root key`,
  )
}
