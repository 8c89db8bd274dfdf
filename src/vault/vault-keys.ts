import { createSecretKey, randomBytes } from 'node:crypto'
import type { KeyObject } from 'node:crypto'
import type { KeyPurpose, RootKey } from './root-key.ts'
import type { Reader, Tx, VaultKeys } from './store.ts'
import { readSecret, resealSecrets, writeSecret } from './vault-secrets.ts'

/**
 * What becomes of a vault's keys when its root is rotated.
 *
 * - Sealing keys are renewed: `share` and `response`. The share key becomes a ring, the newest first: records are
 *   sealed under the first and open under any, until each data key has been wrapped again (rewrap-shares.ts).
 * - Keys under which others hold a proof or a row stands (`row-mac`, `state-index`, `api-key`, `page-token`) go on,
 *   now sealed under the new root as secrets of the vault: an API key's HMAC cannot be made again without the key's
 *   secret, which nobody here has.
 *
 * A vault that was never rotated has none of these secrets: all its keys are derived from its root.
 */
const KEPT = [
  ['rowMac', 'row-mac'],
  ['stateIndex', 'state-index'],
  ['apiKeyPepper', 'api-key'],
  ['pageToken', 'page-token'],
] as const satisfies readonly (readonly [keyof VaultKeys, KeyPurpose])[]

const SHARE_RING = 'key:share-ring'
const PREVIOUS_RESPONSES = 'key:previous-responses'
const KEY_BYTES = 32
/** A record that was sealed before a rotation and is stored after it finds its key as long as it is not older. */
const RING_MAX = 4

const nameOf = (purpose: KeyPurpose): string => `key:${purpose}`

const handle = (bytes: Uint8Array): KeyObject => {
  const key = createSecretKey(bytes)
  bytes.fill(0)
  return key
}

const keysIn = (ring: Uint8Array): Uint8Array[] =>
  Array.from({ length: ring.length / KEY_BYTES }, (_, at) => ring.subarray(at * KEY_BYTES, (at + 1) * KEY_BYTES))

/** Keys of a root that was never rotated. */
export const deriveKeys = (root: RootKey): VaultKeys => ({
  rowMac: root.deriveHandle('row-mac'),
  stateIndex: root.deriveHandle('state-index'),
  apiKeyPepper: root.deriveHandle('api-key'),
  pageToken: root.deriveHandle('page-token'),
  response: root.deriveHandle('response'),
})

const withSecretKey = <T>(root: RootKey, use: (wrapKey: Uint8Array) => T): T => {
  const wrapKey = root.derive('secret')
  try {
    return use(wrapKey)
  } finally {
    wrapKey.fill(0)
  }
}

/** The keys as they are now. */
export const loadKeys = (reader: Reader, root: RootKey): VaultKeys =>
  withSecretKey(root, (wrapKey) => {
    const keys: { -readonly [K in keyof VaultKeys]: VaultKeys[K] } = deriveKeys(root)
    for (const [key, purpose] of KEPT) {
      const kept = readSecret(reader, wrapKey, nameOf(purpose))
      if (kept !== undefined) keys[key] = handle(kept)
    }
    const previous = readSecret(reader, wrapKey, PREVIOUS_RESPONSES)
    if (previous !== undefined) keys.previousResponses = keysIn(previous).map(handle)
    return keys
  })

/** The keys that open shares, newest first, 32 bytes each; the first seals. The caller wipes the answer. */
export const loadShareRing = (reader: Reader, root: RootKey): Uint8Array =>
  withSecretKey(root, (wrapKey) => readSecret(reader, wrapKey, SHARE_RING) ?? root.derive('share'))

/** Whether the next rotation drops a key that opens shares. */
export const isRingFull = (reader: Reader, root: RootKey): boolean => {
  const ring = loadShareRing(reader, root)
  ring.fill(0)
  return ring.length >= RING_MAX * KEY_BYTES
}

/** Leaves the newest key of the ring: after every record has been wrapped under it. */
export const shortenShareRing = (tx: Tx, root: RootKey): void =>
  withSecretKey(root, (wrapKey) => {
    const ring = readSecret(tx, wrapKey, SHARE_RING)
    if (ring === undefined) return
    writeSecret(tx, wrapKey, SHARE_RING, ring.subarray(0, KEY_BYTES))
    ring.fill(0)
  })

/** Moves everything that hangs on `from` to `to`, a new root of the same vault. */
export const moveKeys = (tx: Tx, from: RootKey, to: RootKey): void => {
  const ring = loadShareRing(tx, from)
  const next = Buffer.concat([randomBytes(KEY_BYTES), ring]).subarray(0, RING_MAX * KEY_BYTES)
  ring.fill(0)
  withSecretKey(from, (old) =>
    withSecretKey(to, (fresh) => {
      resealSecrets(tx, old, fresh)
      for (const [, purpose] of KEPT) {
        const kept = readSecret(tx, fresh, nameOf(purpose)) ?? from.derive(purpose)
        writeSecret(tx, fresh, nameOf(purpose), kept)
        kept.fill(0)
      }
      const older = readSecret(tx, fresh, PREVIOUS_RESPONSES) ?? new Uint8Array(0)
      const response = from.derive('response')
      const responses = Buffer.concat([response, older]).subarray(0, RING_MAX * KEY_BYTES)
      writeSecret(tx, fresh, PREVIOUS_RESPONSES, responses)
      for (const bytes of [response, older, responses]) bytes.fill(0)
      writeSecret(tx, fresh, SHARE_RING, next)
    }),
  )
  next.fill(0)
}
