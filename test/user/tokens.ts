/** Makes the JWTs that sign requests, and those that only look like one. */
import { generateKeyPairSync, hash, type KeyObject, randomUUID, sign } from 'node:crypto'

export type WalletKey = {
  readonly privateKey: KeyObject
  readonly publicKey: KeyObject
  /** Base64 of the SPKI. */
  readonly spki: string
  /** Base64 of the PKCS#8, as the SDKs call a wallet secret. */
  readonly walletSecret: string
}

export const walletKey = (namedCurve = 'P-256'): WalletKey => {
  const { privateKey, publicKey } = generateKeyPairSync('ec', { namedCurve })
  return {
    privateKey,
    publicKey,
    spki: publicKey.export({ type: 'spki', format: 'der' }).toString('base64'),
    walletSecret: privateKey.export({ type: 'pkcs8', format: 'der' }).toString('base64'),
  }
}

const encode = (value: unknown): string =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value)).toString('base64url')

export type TokenParts = {
  readonly header?: unknown
  readonly claims?: unknown
  /** Signs otherwise than ES256 does. */
  readonly signWith?: (signed: Buffer) => Buffer
}

/** A token of these parts; text stands for itself. */
export const makeToken = ({ privateKey }: Pick<WalletKey, 'privateKey'>, parts: TokenParts): string => {
  const signed = `${encode(parts.header ?? { alg: 'ES256', typ: 'JWT' })}.${encode(parts.claims ?? {})}`
  const signWith =
    parts.signWith ?? ((bytes: Buffer) => sign('sha256', bytes, { key: privateKey, dsaEncoding: 'ieee-p1363' }))
  return `${signed}.${signWith(Buffer.from(signed)).toString('base64url')}`
}

export type RequestClaims = { readonly [name: string]: unknown }

/** The claims of a token over a request. */
export const requestClaims = (uri: string, body: Uint8Array, nowMs: number, changes: RequestClaims = {}): RequestClaims => {
  const now = Math.floor(nowMs / 1_000)
  return { uris: [uri], iat: now, nbf: now, jti: randomUUID(), reqHash: hash('sha256', body, 'hex'), ...changes }
}
