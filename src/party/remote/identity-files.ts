/**
 * What a party keeps for its channel, beside its vault and readable without it: its TLS key (mode 0600), its own pairing
 * text and its peer's. The pins are no secret, and count only together with the peer's id in the vault.
 */
import { readFileSync, renameSync, rmSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { failure } from '../../domain/failure.ts'
import type { AuditSigner } from '../../vault/audit-signer.ts'
import { readPrivateFile, syncDirectory, writePrivateFile } from '../../vault/private-file.ts'
import { makeCertificate } from './certificate.ts'
import { certificateDigest, encodePairing, type PairedParty, parsePairing, type PartyRole } from './pairing.ts'

const MAX_FILE_BYTES = 4_096

export const identityPaths = (dataDir: string) => ({
  key: join(dataDir, 'channel.key'),
  own: join(dataDir, 'channel.pair'),
  peer: join(dataDir, 'peer.pair'),
})

export type ChannelIdentity = { readonly own: PairedParty; readonly keyPem: string }

/** Makes a key and certificate that the vault's own identity vouches for, in place of those that are there. */
export const makeIdentity = (dataDir: string, role: PartyRole, signer: AuditSigner): PairedParty => {
  const paths = identityPaths(dataDir)
  const { certificate, keyPem } = makeCertificate(`countersign ${role}`)
  const signature = signer.signPartyCertificate(role, certificateDigest(certificate))
  const text = encodePairing({ role, auditKey: signer.publicKey, signature, certificate })
  // The key last: with it the identity is whole.
  rmSync(paths.key, { force: true })
  writeWhole(paths.own, `${text}\n`)
  writeWhole(paths.key, keyPem)
  return parsePairing(text) as PairedParty
}

/** Undefined when there is none, or none that is whole. Refuses a key that others may read (ROOT_KEY_UNREADABLE). */
export const loadIdentity = (dataDir: string, role: PartyRole): ChannelIdentity | undefined => {
  const paths = identityPaths(dataDir)
  const own = readPairing(paths.own)
  if (own?.role !== role) return undefined
  const bytes = Buffer.alloc(MAX_FILE_BYTES)
  try {
    const unreadable = (why: string) => failure('ROOT_KEY_UNREADABLE', { provider: paths.key, why })
    const length = readPrivateFile(paths.key, bytes, true, unreadable)
    return { own, keyPem: bytes.toString('utf8', 0, length) }
  } finally {
    bytes.fill(0)
  }
}

export const readPairing = (path: string): PairedParty | undefined => {
  try {
    return parsePairing(readFileSync(path, 'utf8'))
  } catch {
    return undefined
  }
}

export const writePeer = (dataDir: string, text: string): void => writeWhole(identityPaths(dataDir).peer, `${text.trim()}\n`)

const writeWhole = (path: string, text: string): void => {
  const fresh = `${path}.new`
  rmSync(fresh, { force: true })
  writePrivateFile(fresh, text)
  renameSync(fresh, path)
  syncDirectory(dirname(path))
}
