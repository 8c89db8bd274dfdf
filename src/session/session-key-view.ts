/** A session key as callers see it. */
import { decompressPublicKey } from './public-key.ts'
import type { JsonValue } from '../vault/canonical-json.ts'
import type { SessionKey } from '../vault/session-keys.ts'
import { countWithoutPayload } from '../vault/session-marks.ts'
import { KEY_SECRET, listSecretNames } from '../vault/session-secrets.ts'
import type { Reader } from '../vault/store.ts'
import type { KeyStanding } from './key-standing.ts'
import { standingOf } from './key-standing.ts'
import { fromStoredTerms, type SessionLimits, type SessionScope } from './terms.ts'

export type SessionKeyView = {
  readonly sessionKeyId: string
  readonly walletId: string
  readonly publicKeyHex: string
  readonly address: string
  readonly profile: string
  readonly network: string
  readonly scopes: readonly SessionScope[]
  readonly expireTimeMs: number
  readonly state: KeyStanding
  readonly extraFamilies: readonly string[]
  readonly limits: SessionLimits
  readonly parameters: { readonly [name: string]: JsonValue | undefined }
  readonly profileHash: Uint8Array
  readonly requireSession: boolean
  readonly clientHeld: boolean
  readonly createTimeMs: number
  readonly replaces: string
  readonly retireTimeMs: number | undefined
  readonly credentials: readonly string[]
  readonly payloadLessCount: number
  readonly grantId: string
}

const publicKeyHexOf = ({ scheme, publicKey }: SessionKey): string =>
  scheme === 'secp256k1' ? decompressPublicKey(publicKey).toString('hex') : Buffer.from(publicKey).toString('hex')

export const viewSessionKey = (reader: Reader, key: SessionKey, nowMs: number): SessionKeyView => {
  const { scopes, extraFamilies, limits, parameters, requireSession } = fromStoredTerms(key.terms)
  return {
    sessionKeyId: key.sessionKeyId,
    walletId: key.walletId,
    publicKeyHex: publicKeyHexOf(key),
    address: key.address,
    profile: key.profile,
    network: key.network,
    scopes,
    expireTimeMs: key.expireMs,
    state: standingOf(key, nowMs),
    extraFamilies,
    limits,
    parameters,
    profileHash: key.profileHash,
    requireSession,
    clientHeld: key.custody === 'client',
    createTimeMs: key.createMs,
    replaces: key.replaces ?? '',
    retireTimeMs: key.retireMs,
    credentials: listSecretNames(reader, key.sessionKeyId).filter((name) => name !== KEY_SECRET),
    payloadLessCount: countWithoutPayload(reader, key.sessionKeyId),
    grantId: key.grantId ?? '',
  }
}
