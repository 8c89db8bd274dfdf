/** Where the second party is: in a thread of this process, or on the host that this one was paired with. */
import type { Config, ListenAddress, Secrets } from '../config/config.ts'
import { failure } from '../domain/failure.ts'
import type { BackupPlace } from '../party/cosigner-custody.ts'
import type { EmbeddedCosigner } from '../party/open-parties.ts'
import { identityPaths, loadIdentity, readPairing } from '../party/remote/identity-files.ts'
import type { RemoteCosigner } from '../party/remote/resuming-stream.ts'
import { dataDirPaths } from '../config/load-config.ts'

export const embeddedCosigner = (config: Config, secrets: Secrets, backup: BackupPlace | undefined): EmbeddedCosigner => ({
  path: dataDirPaths(config.dataDir).cosignerVault,
  rootKey: config.cosignerRootKey.uri,
  passphrase: secrets.cosignerRootKeyPassphrase?.reveal(),
  credentialsDirectory: config.credentialsDirectory,
  backup,
  allowExport: config.allowExport.cosigner,
  allowImport: config.allowImport.cosigner,
  allowDelegation: config.cosignerAllowDelegation,
  rules: config.cosignerRules,
})

/** Refuses with COSIGNER_UNAVAILABLE a data directory that was not paired. */
export const cosignerOf = (
  config: Config,
  secrets: Secrets,
  backup: BackupPlace | undefined,
): EmbeddedCosigner | RemoteCosigner => {
  if (config.cosigner === undefined) return embeddedCosigner(config, secrets, backup)
  const identity = loadIdentity(config.dataDir, 'daemon')
  const peer = readPairing(identityPaths(config.dataDir).peer)
  if (identity === undefined || peer?.role !== 'cosigner') {
    throw failure('COSIGNER_UNAVAILABLE', { why: 'it is not paired with this daemon: countersign cosigner pair' })
  }
  const { own, keyPem } = identity
  const { partyId, certificate: peerCertificate } = peer
  return { address: formatHost(config.cosigner), partyId, peerCertificate, certificate: own.certificate, keyPem }
}

const formatHost = ({ host, port }: ListenAddress): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)
