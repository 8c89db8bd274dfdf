/**
 * `countersign cosigner move`: an embedded cosigner becomes one for a host of its own. Its vault is copied under a new
 * root key, both parties get a channel and know each other's; the old file is put aside under another name. Shares of
 * before open with it until they are refreshed.
 *
 * Everything is made under other names first. The copy gets its name when all of it is there, then the old file loses its
 * own; what was cut off before the first of the two is begun again by the same command, what was cut off after it is
 * finished. At no time can both be served: the second one is not there yet, or the first not any more, or older than what
 * the daemon remembers.
 */
import { existsSync, mkdirSync, readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { isFailure } from '../domain/failure.ts'
import { identityPaths, makeIdentity, readPairing, writePeer } from '../party/remote/identity-files.ts'
import { fingerprintOf } from '../party/remote/pairing.ts'
import { requireRememberedHead } from '../vault/audit-chain.ts'
import { type CosignerVault, openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { lockPath } from '../vault/open-database.ts'
import { preparePrivateDirectory, syncDirectory } from '../vault/private-file.ts'
import { createRootKeyFile, createRootKeyProvider, type RootKeyProvider } from '../vault/root-key-provider.ts'
import { verifyAuditFile } from '../vault/verify-audit-files.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { pinPeer } from './cosigner-pair.ts'
import { rootKeyProviders } from './root-keys.ts'
import { CommandRefusal, type Terminal } from './terminal.ts'

/** What there is on the way. */
const placesOf = (dataDir: string, toDir: string) => {
  const { daemonVault, cosignerVault } = dataDirPaths(dataDir)
  return {
    dataDir,
    toDir,
    daemonVault,
    embedded: cosignerVault,
    aside: `${cosignerVault}.moved`,
    copy: join(toDir, 'cosigner.moving.db'),
    moved: dataDirPaths(toDir).cosignerVault,
    rootKey: join(toDir, 'cosigner-root.key'),
    /** The daemon's channel, until the old vault has lost its name. */
    channel: join(dataDir, 'channel.moving'),
  }
}
type Places = ReturnType<typeof placesOf>
type Providers = { readonly daemon: RootKeyProvider; readonly cosigner: RootKeyProvider }
/** For tests: called after each step. */
export type AfterStep = (step: 'copied' | 'rekeyed' | 'channels' | 'named' | 'aside' | 'channel') => void

const clear = ({ copy, rootKey, toDir, channel }: Places): void => {
  for (const file of [copy, `${copy}-wal`, `${copy}-shm`, lockPath(copy), rootKey]) rmSync(file, { force: true })
  for (const file of Object.values(identityPaths(toDir))) rmSync(file, { force: true })
  rmSync(channel, { recursive: true, force: true })
}

/** A new root, in a key file beside the copy: the old root key opens it no longer. */
const giveOwnRoot = async (vault: CosignerVault, keyPath: string): Promise<void> => {
  createRootKeyFile(keyPath)
  const event = { timeMs: Date.now(), kind: 'cosigner.moved', actor: { kind: 'operator', id: '' } } as const
  await vault.rotateRoot({ provider: createRootKeyProvider(`file:${keyPath}`), renewsProvider: false, event })
  await vault.rewrapShares()
  vault.eraseDeleted()
}

const makeChannels = async (places: Places, cosigner: CosignerVault, providers: Providers): Promise<void> => {
  const { toDir, channel, daemonVault } = places
  mkdirSync(channel, { mode: 0o700 })
  await using daemon = await openDaemonVault({ path: daemonVault, provider: providers.daemon, nowMs: Date.now() })
  const ofDaemon = makeIdentity(channel, 'daemon', daemon.signer)
  const ofCosigner = makeIdentity(toDir, 'cosigner', cosigner.signer)
  await pinPeer(cosigner, ofDaemon)
  await pinPeer(daemon, ofCosigner)
  writePeer(toDir, readFileSync(identityPaths(channel).own, 'utf8'))
  writePeer(channel, readFileSync(identityPaths(toDir).own, 'utf8'))
}

/** Up to where the copy has its name. */
const makeCopy = async (places: Places, providers: Providers, afterStep: AfterStep): Promise<void> => {
  const { embedded, copy, moved, rootKey, toDir } = places
  preparePrivateDirectory(toDir)
  clear(places)
  const nowMs = Date.now()
  {
    await using from = await openCosignerVault({ path: embedded, provider: providers.cosigner, nowMs })
    await from.copyTo(copy)
  }
  afterStep('copied')
  {
    await using cosigner = await openCosignerVault({ path: copy, provider: providers.cosigner, nowMs })
    await giveOwnRoot(cosigner, rootKey)
    afterStep('rekeyed')
    await makeChannels(places, cosigner, providers)
    afterStep('channels')
  }
  renameSync(copy, moved)
  syncDirectory(toDir)
  afterStep('named')
}

/** The old vault was not used since it was copied. Refuses one that was. */
const requireUnused = async ({ embedded, moved, rootKey }: Places): Promise<void> => {
  const old = await verifyAuditFile(embedded, 'cosigner')
  await using copy = await openCosignerVault({
    path: moved,
    provider: createRootKeyProvider(`file:${rootKey}`),
    nowMs: Date.now(),
  })
  try {
    if (old.intact) return requireRememberedHead(copy.read, old.head)
  } catch (error) {
    if (!isFailure(error)) throw error
  }
  throw new CommandRefusal(`the embedded cosigner was used since it was copied: remove ${dirname(moved)} and move it again`)
}

const putAside = async (places: Places, afterStep: AfterStep): Promise<void> => {
  const { embedded, aside, dataDir, channel } = places
  if (existsSync(embedded)) {
    await requireUnused(places)
    renameSync(embedded, aside)
    syncDirectory(dirname(aside))
  }
  afterStep('aside')
  const [from, to] = [identityPaths(channel), identityPaths(dataDir)]
  // The key last: with it the channel is whole.
  for (const name of ['own', 'peer', 'key'] as const) if (existsSync(from[name])) renameSync(from[name], to[name])
  syncDirectory(dataDir)
  afterStep('channel')
  rmSync(channel, { recursive: true, force: true })
}

const refuseOccupied = ({ embedded, moved, channel }: Places): void => {
  if (existsSync(moved) && !existsSync(channel)) throw new CommandRefusal(`${moved} is there already`)
  if (!existsSync(moved) && !existsSync(embedded)) throw new CommandRefusal(`no embedded cosigner: ${embedded} is not there`)
}

const providersOf = async (config: Config, secrets: Secrets): Promise<Providers> =>
  rootKeyProviders(config, await completeSecrets(config, secrets, askAtTerminal(false)))

export const moveCosigner = async (
  toDir: string,
  flags: Flags,
  terminal: Terminal,
  afterStep: AfterStep = () => undefined,
): Promise<void> => {
  refuseUnsafeProcess()
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const places = placesOf(config.dataDir, toDir)
  refuseOccupied(places)
  if (!existsSync(places.moved)) await makeCopy(places, await providersOf(config, secrets), afterStep)
  await putAside(places, afterStep)
  for (const [name, dir] of [['the daemon  ', config.dataDir], ['the cosigner', toDir]] as const) {
    const own = readPairing(identityPaths(dir).own)
    if (own !== undefined) terminal.print(`fingerprint of ${name}  ${fingerprintOf(own)}`)
  }
  terminal.print(`cosigner's directory         ${toDir}`)
  terminal.print(`its old vault                ${places.aside}`)
  terminal.note(
    `move ${toDir} to the other host, run \`countersign cosigner serve\` there and this daemon with --cosigner; then ` +
      `refresh every wallet (\`countersign wallet refresh --all\`), and destroy ${places.aside} with its root key`,
  )
}
