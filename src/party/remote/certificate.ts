/**
 * A party's TLS certificate: self-signed, of a P-256 key, without an end. Just enough DER for X.509 v3 (RFC 5280,
 * RFC 5480). Nobody's authority vouches for it and no name in it counts: its peer knows it byte for byte.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'

const tlv = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts)
  const { length } = body
  const head =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), body])
}

const sequence = (...parts: readonly Uint8Array[]): Buffer => tlv(0x30, ...parts)
const oid = (hex: string): Buffer => tlv(0x06, Buffer.from(hex, 'hex'))

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))
const VERSION_3 = tlv(0xa0, tlv(0x02, Uint8Array.of(2)))
/** Critical basicConstraints without cA: it vouches for no other certificate. */
const NO_AUTHORITY = tlv(
  0xa3,
  sequence(sequence(oid('551d13'), tlv(0x01, Uint8Array.of(0xff)), tlv(0x04, sequence()))),
)
/** RFC 5280, 4.1.2.5: of what has no well-defined end. The beginning is long past, whatever the peer's clock says. */
const VALIDITY = sequence(tlv(0x17, Buffer.from('200101000000Z')), tlv(0x18, Buffer.from('99991231235959Z')))

const nameOf = (commonName: string): Buffer =>
  sequence(tlv(0x31, sequence(oid('550403'), tlv(0x0c, Buffer.from(commonName)))))

/** Positive, and never 0: RFC 5280, 4.1.2.2. */
const serialNumber = (): Buffer => {
  const bytes = randomBytes(16)
  bytes[0] = ((bytes[0] as number) & 0x3f) | 0x40
  return tlv(0x02, bytes)
}

export type MadeCertificate = { readonly certificate: Uint8Array; readonly keyPem: string }

/** A new key and the DER of its certificate. The name is for people who look at it. */
export const makeCertificate = (commonName: string): MadeCertificate => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const name = nameOf(commonName)
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  const body = sequence(VERSION_3, serialNumber(), ECDSA_WITH_SHA256, name, VALIDITY, name, spki, NO_AUTHORITY)
  const certificate = sequence(body, ECDSA_WITH_SHA256, signedBits(body, privateKey))
  return { certificate: new Uint8Array(certificate), keyPem: privateKey.export({ type: 'pkcs8', format: 'pem' }) }
}

const signedBits = (body: Uint8Array, key: KeyObject): Buffer =>
  tlv(0x03, Uint8Array.of(0), sign('sha256', body, key))

export const certificatePem = (certificate: Uint8Array): string => {
  const lines = Buffer.from(certificate).toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}
