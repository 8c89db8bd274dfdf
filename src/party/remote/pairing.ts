/**
 * What a party shows its peer before they are joined over a network: who it is (the key of its audit chain), the
 * certificate it uses, and that key's signature that they belong together. It holds no secret; that it came unchanged from
 * the other host is for the two operators to see, by its fingerprint.
 *
 * The text is `cspair1.` and base64url of: role u8 ('C' the daemon, 'S' the cosigner) · audit key 32 · signature 64 ·
 * certificate (DER, to the end).
 */
import { hash, X509Certificate } from 'node:crypto'
import { verifyPartyCertificate } from '../../vault/audit-signer.ts'
import { partyIdOf } from '../party-id.ts'

export type PartyRole = 'daemon' | 'cosigner'

export type PairedParty = {
  readonly role: PartyRole
  /** 32 bytes. */
  readonly partyId: Uint8Array
  /** Ed25519, 32 bytes. */
  readonly auditKey: Uint8Array
  /** DER. */
  readonly certificate: Uint8Array
}

const HEAD = 'cspair1.'
const ROLES: Readonly<Record<PartyRole, number>> = { daemon: 0x43, cosigner: 0x53 }
const CERTIFICATE_AT = 1 + 32 + 64
const MAX_CERTIFICATE_BYTES = 1_024

export const certificateDigest = (certificate: Uint8Array): Uint8Array =>
  new Uint8Array(hash('sha256', certificate, 'buffer'))

type Vouched = Omit<PairedParty, 'partyId'> & { readonly signature: Uint8Array }

export const encodePairing = ({ role, auditKey, signature, certificate }: Vouched): string => {
  const bytes = Buffer.concat([Uint8Array.of(ROLES[role]), auditKey, signature, certificate])
  return `${HEAD}${bytes.toString('base64url')}`
}

/** Undefined for whatever is not a pairing text, or is not vouched for by the key it names. */
export const parsePairing = (text: string): PairedParty | undefined => {
  const encoded = text.trim()
  if (!encoded.startsWith(HEAD) || encoded.length > 2_048) return undefined
  const bytes = Buffer.from(encoded.slice(HEAD.length), 'base64url')
  if (bytes.toString('base64url') !== encoded.slice(HEAD.length)) return undefined
  const role = bytes[0] === ROLES.daemon ? 'daemon' : bytes[0] === ROLES.cosigner ? 'cosigner' : undefined
  const certificate = new Uint8Array(bytes.subarray(CERTIFICATE_AT))
  if (role === undefined || certificate.length === 0 || certificate.length > MAX_CERTIFICATE_BYTES) return undefined
  const auditKey = new Uint8Array(bytes.subarray(1, 33))
  const signature = bytes.subarray(33, CERTIFICATE_AT)
  if (!verifyPartyCertificate(auditKey, role, certificateDigest(certificate), signature)) return undefined
  if (!isCertificate(certificate)) return undefined
  return { role, partyId: partyIdOf(auditKey), auditKey, certificate }
}

/** One that is whole: what stands behind it would not be covered when it is compared. */
const isCertificate = (der: Uint8Array): boolean => {
  try {
    return new X509Certificate(der).raw.equals(der)
  } catch {
    return false
  }
}

/** What two people compare: eight groups of four digits, 128 bits of the digest of party and certificate. */
export const fingerprintOf = ({ role, partyId, certificate }: PairedParty): string => {
  const bytes = Buffer.concat([Uint8Array.of(ROLES[role]), partyId, certificate])
  return (hash('sha256', bytes, 'hex').slice(0, 32).match(/.{4}/g) ?? []).join(' ')
}
