import { randomBytes } from 'node:crypto'
import { parseApiKeyId } from '../domain/ids.ts'
import type { ApiKeyId } from '../domain/ids.ts'
import { Secret } from '../domain/secret.ts'
import type { Reader } from './store.ts'
import { macTagged } from './tagged-encoding.ts'

/**
 * `csk_<16 hex of the key id>_<43 base64url>`: the id part finds the row, the rest is 32 random bytes. At rest
 * there is HMAC-SHA256 of id and secret under a key of the vault's root, so the file alone verifies no guess.
 */
const SECRET_TEXT = /^csk_([0-9a-f]{16})_([A-Za-z0-9_-]{43})$/

export type ApiKeySecretParts = { readonly keyId: ApiKeyId; readonly secret: string }

export const parseApiKeySecret = (text: string): ApiKeySecretParts | undefined => {
  const match = SECRET_TEXT.exec(text)
  const keyId = parseApiKeyId(`key_${match?.[1] ?? ''}`)
  return keyId === undefined || match?.[2] === undefined ? undefined : { keyId, secret: match[2] }
}

export const generateApiKeyId = (): ApiKeyId => `key_${randomBytes(8).toString('hex')}` as ApiKeyId

/** The text that is shown once. */
export const generateApiKeySecret = (keyId: ApiKeyId): Secret<string> =>
  new Secret(`csk_${keyId.slice(4)}_${randomBytes(32).toString('base64url')}`)

/** 32 bytes. */
export const apiKeyMac = (reader: Reader, keyId: ApiKeyId, secret: string): Buffer =>
  macTagged(reader.keys.apiKeyPepper, 'countersign/api-key/v1', [keyId, secret])
