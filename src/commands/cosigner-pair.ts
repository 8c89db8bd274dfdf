/**
 * `countersign cosigner pair`, once on each host: takes the other's pairing text in. Both people compare the fingerprints
 * that the two commands print; nothing else says that the text came unchanged.
 */
import { existsSync, readFileSync } from 'node:fs'
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { PEER_SETTING } from '../party/open-parties.ts'
import { identityPaths, loadIdentity, makeIdentity, writePeer } from '../party/remote/identity-files.ts'
import { fingerprintOf, type PairedParty, parsePairing, type PartyRole } from '../party/remote/pairing.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { openCosignerVault } from '../vault/cosigner-vault.ts'
import { openDaemonVault } from '../vault/daemon-vault.ts'
import { getSetting, putSetting } from '../vault/settings.ts'
import type { Vault } from '../vault/vault.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { rootKeyProviders } from './root-keys.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

export const printOwnPairing = (dataDir: string, own: PairedParty, terminal: Terminal): void => {
  terminal.print(`own fingerprint  ${fingerprintOf(own)}`)
  terminal.print(`pairing text     ${identityPaths(dataDir).own}`)
  terminal.print(readFileSync(identityPaths(dataDir).own, 'utf8').trim())
}

export const roleOf = ({ dataDir }: Config): PartyRole => {
  const { daemonVault, cosignerVault } = dataDirPaths(dataDir)
  const [isDaemon, isCosigner] = [existsSync(daemonVault), existsSync(cosignerVault)]
  if (isDaemon && isCosigner) {
    throw new CommandRefusal('both vaults are here, so the cosigner is embedded: move it first (countersign cosigner move)')
  }
  if (!isDaemon && !isCosigner) throw new CommandRefusal(`no vault in ${dataDir}: countersign init, or cosigner init`)
  return isDaemon ? 'daemon' : 'cosigner'
}

export const openOwn = (config: Config, secrets: Secrets, role: PartyRole): Promise<Vault> => {
  const paths = dataDirPaths(config.dataDir)
  const providers = rootKeyProviders(config, secrets)
  const nowMs = Date.now()
  return role === 'daemon'
    ? openDaemonVault({ path: paths.daemonVault, provider: providers.daemon, nowMs })
    : openCosignerVault({ path: paths.cosignerVault, provider: providers.cosigner, nowMs })
}

const readPeerText = (text: string): string => {
  if (text.startsWith('cspair1.') || !existsSync(text)) return text
  return readFileSync(text, 'utf8').slice(0, 4_096)
}

/** Refuses another party than the one that the vault knows: shares belong to a pair of parties for good. */
export const pinPeer = async (vault: Vault, peer: PairedParty): Promise<void> => {
  const known = getSetting(vault.read, PEER_SETTING)?.value
  if (known !== undefined && !Buffer.from(known).equals(peer.partyId)) {
    throw new CommandRefusal(`this vault belongs with another ${peer.role}: ${Buffer.from(known).toString('hex')}`)
  }
  const timeMs = Date.now()
  await vault.commit((tx) => {
    if (known === undefined) putSetting(tx, PEER_SETTING, peer.partyId, timeMs)
    appendAudit(tx, {
      timeMs,
      kind: 'party.paired',
      actor: { kind: 'operator', id: '' },
      subject: { type: peer.role, id: Buffer.from(peer.partyId).toString('hex') },
      details: { fingerprint: fingerprintOf(peer) },
    })
  })
}

/** `text`: the other's pairing text or a file with it; undefined prints the own one. */
export const pairParties = async (text: string | undefined, flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const role = roleOf(config)
  const { dataDir } = config
  const found = loadIdentity(dataDir, role)
  if (text === undefined && found !== undefined) return printOwnPairing(dataDir, found.own, terminal)
  const peer = text === undefined ? undefined : parsePairing(readPeerText(text))
  if (text !== undefined && peer === undefined) throw new UsageRefusal('that is no pairing text, or it was changed')
  if (peer?.role === role) throw new UsageRefusal(`that is the pairing text of a ${role}; here is one already`)
  await using vault = await openOwn(config, await completeSecrets(config, secrets, askAtTerminal(false)), role)
  const own = found?.own ?? makeIdentity(dataDir, role, vault.signer)
  if (peer === undefined || text === undefined) return printOwnPairing(dataDir, own, terminal)
  await pinPeer(vault, peer)
  writePeer(dataDir, readPeerText(text))
  terminal.print(`paired with the ${peer.role} ${Buffer.from(peer.partyId).toString('hex')}`)
  terminal.print(`its fingerprint  ${fingerprintOf(peer)}`)
  terminal.print(`own fingerprint  ${fingerprintOf(own)}`)
  terminal.note('compare both with what the other host prints, over a channel that you trust, before anything is signed')
}

/** A new TLS key under the same identity: the peer takes the new pairing text in as it took the first. */
export const renewChannel = async (flags: Flags, terminal: Terminal): Promise<void> => {
  const { config, secrets, warnings } = loadConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const role = roleOf(config)
  await using vault = await openOwn(config, await completeSecrets(config, secrets, askAtTerminal(false)), role)
  const own = makeIdentity(config.dataDir, role, vault.signer)
  await vault.commit((tx) => {
    appendAudit(tx, {
      timeMs: Date.now(),
      kind: 'party.rekeyed',
      actor: { kind: 'operator', id: '' },
      details: { fingerprint: fingerprintOf(own) },
    })
  })
  printOwnPairing(config.dataDir, own, terminal)
  terminal.note('give the other host this text (`countersign cosigner pair`): until then it refuses the channel')
}
