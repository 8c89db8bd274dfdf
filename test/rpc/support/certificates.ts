/** Certificates made on the spot: just enough DER for X.509 v3 with P-256 keys (RFC 5280, RFC 5480). */
import { generateKeyPairSync, sign } from 'node:crypto'
import type { KeyObject } from 'node:crypto'

const tlv = (tag: number, ...parts: readonly Uint8Array[]): Buffer => {
  const body = Buffer.concat(parts)
  const { length } = body
  const head =
    length < 128 ? [tag, length] : length < 256 ? [tag, 0x81, length] : [tag, 0x82, length >> 8, length & 255]
  return Buffer.concat([Buffer.from(head), body])
}

const sequence = (...parts: readonly Uint8Array[]) => tlv(0x30, ...parts)
const set = (...parts: readonly Uint8Array[]) => tlv(0x31, ...parts)
const integer = (value: number) => tlv(0x02, Buffer.from([value]))
const oid = (hex: string) => tlv(0x06, Buffer.from(hex, 'hex'))
const bitString = (bytes: Uint8Array) => tlv(0x03, Buffer.from([0]), bytes)
const octets = (bytes: Uint8Array) => tlv(0x04, bytes)
const time = (date: Date) => tlv(0x17, Buffer.from(`${date.toISOString().replaceAll(/[-:T]/g, '').slice(2, 14)}Z`))
const boolean = (value: boolean) => tlv(0x01, Buffer.from([value ? 0xff : 0]))

const ECDSA_WITH_SHA256 = sequence(oid('2a8648ce3d040302'))
const name = (commonName: string) => sequence(set(sequence(oid('550403'), tlv(0x0c, Buffer.from(commonName)))))
const extension = (id: string, value: Uint8Array) => sequence(oid(id), octets(value))

export type Issued = { readonly cert: string; readonly key: string }
type Authority = Issued & { readonly keyObject: KeyObject; readonly commonName: string }

export type CertificateRequest = {
  readonly commonName: string
  readonly uris?: readonly string[]
  /** IPv4, beside 127.0.0.1. */
  readonly addresses?: readonly string[]
  readonly notAfterMs?: number
}

const HOUR = 3_600_000
let serial = 1

const altNames = ({ uris = [], addresses = [] }: CertificateRequest) =>
  sequence(
    tlv(0x82, Buffer.from('localhost')),
    ...['127.0.0.1', ...addresses].map((address) => tlv(0x87, Buffer.from(address.split('.').map(Number)))),
    ...uris.map((uri) => tlv(0x86, Buffer.from(uri))),
  )

const build = (
  request: CertificateRequest,
  issuer: { readonly commonName: string; readonly key: KeyObject },
  publicKey: KeyObject,
  isCa: boolean,
) => {
  serial += 1
  const notAfter = new Date(Date.now() + (request.notAfterMs ?? HOUR))
  const extensions = [
    extension('551d13', sequence(...(isCa ? [boolean(true)] : []))),
    ...(isCa ? [] : [extension('551d11', altNames(request))]),
  ]
  const body = sequence(
    tlv(0xa0, integer(2)),
    integer(serial % 128),
    ECDSA_WITH_SHA256,
    name(issuer.commonName),
    sequence(time(new Date(Date.now() - 2 * HOUR)), time(notAfter)),
    name(request.commonName),
    publicKey.export({ type: 'spki', format: 'der' }),
    tlv(0xa3, sequence(...extensions)),
  )
  const der = sequence(body, ECDSA_WITH_SHA256, bitString(sign('sha256', body, issuer.key)))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`
}

const newKeys = () => generateKeyPairSync('ec', { namedCurve: 'P-256' })
const pem = (key: KeyObject): string => key.export({ type: 'pkcs8', format: 'pem' })

export const createAuthority = (commonName: string): Authority => {
  const { privateKey, publicKey } = newKeys()
  const cert = build({ commonName }, { commonName, key: privateKey }, publicKey, true)
  return { cert, key: pem(privateKey), keyObject: privateKey, commonName }
}

export const issue = (authority: Authority, request: CertificateRequest): Issued => {
  const { privateKey, publicKey } = newKeys()
  const issuer = { commonName: authority.commonName, key: authority.keyObject }
  return { cert: build(request, issuer, publicKey, false), key: pem(privateKey) }
}

export const selfSigned = (request: CertificateRequest): Issued => {
  const { privateKey, publicKey } = newKeys()
  const issuer = { commonName: request.commonName, key: privateKey }
  return { cert: build(request, issuer, publicKey, false), key: pem(privateKey) }
}
