/**
 * Webhooks about delegated access, as Dynamic and daemons of this kind send them: whose they are is said by an HMAC over the
 * body as it came, what they say by JSON. Pure.
 */
import { createHmac, timingSafeEqual } from 'node:crypto'
import { accessIdToBytes, parseAccessId, type ProjectId } from '../domain/ids.ts'
import type { SealedEnvelope } from '../domain/sealed-envelope.ts'
import type { Secret } from '../domain/secret.ts'
import type { Delivery } from '../party/delegate/open-delivery.ts'
import type { KeyType } from '../vault/wallets.ts'

export type DelegationWebhook = {
  readonly project: ProjectId
  readonly secret: Secret<string>
  /** Party id of the one daemon that it speaks for; undefined: for all that have no webhook of their own, and other systems. */
  readonly from?: Uint8Array | undefined
}

const SIGNATURE = /^sha256=([0-9a-f]{64})$/

/** Whose webhook it is. Every secret is tried, and each comparison takes the same time. */
export const senderOf = (
  webhooks: readonly DelegationWebhook[],
  body: Uint8Array,
  signature: string | undefined,
): DelegationWebhook | undefined => {
  const match = SIGNATURE.exec(signature ?? '')
  const shown = Buffer.from(match?.[1] ?? '00'.repeat(32), 'hex')
  let found: DelegationWebhook | undefined
  for (const webhook of webhooks) {
    const expected = createHmac('sha256', webhook.secret.reveal()).update(body).digest()
    const isIt = timingSafeEqual(expected, shown)
    found = isIt && match !== null ? (found ?? webhook) : found
  }
  return found
}

const isSame = (a: Uint8Array | undefined, b: Uint8Array | undefined): boolean =>
  a === undefined || b === undefined ? a === b : Buffer.compare(a, b) === 0

/**
 * Whether a sender may bring, and take back, what `grantingId` delegated to a project: a daemon's party id, or undefined for
 * another system. `from`: as of its webhook.
 */
export const speaksFor = (
  webhooks: readonly DelegationWebhook[],
  { project, from }: Pick<DelegationWebhook, 'project' | 'from'>,
  grantingId: Uint8Array | undefined,
): boolean => {
  if (from !== undefined) return isSame(from, grantingId)
  return grantingId === undefined || !webhooks.some((other) => other.project === project && isSame(other.from, grantingId))
}

type Told = { readonly eventId: string; readonly timeMs: number }
export type DelegationEvent =
  | ({ readonly kind: 'created' } & Told & CreatedData)
  | ({ readonly kind: 'revoked'; readonly accessId: Uint8Array } & Told)
  | { readonly kind: 'ping' }
  /** Something that is of no concern here. */
  | { readonly kind: 'other' }

export type CreatedData = {
  readonly walletId: Uint8Array
  readonly keyType: KeyType
  readonly address: string
  readonly userId: string
  readonly delivery: Delivery
}

type Members = { readonly [name: string]: unknown }
const MAX_TEXT = 256
const MAX_USER_ID = 128

const isMembers = (value: unknown): value is Members => typeof value === 'object' && value !== null && !Array.isArray(value)
const textIn = (members: Members, name: string, maxLength = MAX_TEXT): string | undefined => {
  const value = members[name]
  return typeof value === 'string' && value.length <= maxLength ? value : undefined
}
const idIn = (members: Members, name: string): string | undefined => parseAccessId(textIn(members, name)?.toLowerCase() ?? '')

/** Undefined for a body that is not what it has to be. */
export const readDelegationEvent = (body: Uint8Array): DelegationEvent | undefined => {
  const message = parseJson(body)
  if (!isMembers(message)) return undefined
  const name = textIn(message, 'eventName')
  if (name === 'ping') return { kind: 'ping' }
  const { data } = message
  if (name === undefined || !isMembers(data)) return undefined
  if (name !== 'wallet.delegation.created' && name !== 'wallet.delegation.revoked') return { kind: 'other' }
  const eventId = idIn(message, 'eventId')
  const timeMs = Date.parse(textIn(message, 'timestamp') ?? '')
  if (eventId === undefined || !Number.isSafeInteger(timeMs) || timeMs < 0) return undefined
  if (name === 'wallet.delegation.revoked') {
    const walletId = idIn(data, 'walletId')
    return walletId === undefined ? undefined : { kind: 'revoked', eventId, timeMs, accessId: idBytes(walletId) }
  }
  const created = readCreated(data)
  return created && { kind: 'created', eventId, timeMs, ...created }
}

const parseJson = (body: Uint8Array): unknown => {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body))
  } catch {
    return undefined
  }
}

const idBytes = (id: string): Uint8Array => accessIdToBytes(id as Parameters<typeof accessIdToBytes>[0])

const KEY_TYPES: { readonly [chain: string]: KeyType | undefined } = { EVM: 'secp256k1', SVM: 'ed25519' }
const ADDRESS = /^(?:0x[0-9a-fA-F]{40}|[1-9A-HJ-NP-Za-km-z]{32,44})$/

const readCreated = (data: Members): CreatedData | undefined => {
  const walletId = idIn(data, 'walletId')
  const keyType = KEY_TYPES[textIn(data, 'chain') ?? '']
  // The address, whatever its name.
  const address = textIn(data, 'publicKey')
  const encryptedDelegatedShare = readEnvelope(data['encryptedDelegatedShare'])
  const encryptedWalletApiKey = readEnvelope(data['encryptedWalletApiKey'])
  if (walletId === undefined || keyType === undefined || address === undefined || !ADDRESS.test(address)) return undefined
  if (encryptedDelegatedShare === undefined || encryptedWalletApiKey === undefined) return undefined
  const userId = textIn(data, 'userId', MAX_USER_ID) ?? ''
  return { walletId: idBytes(walletId), keyType, address, userId, delivery: { encryptedDelegatedShare, encryptedWalletApiKey } }
}

const MAX_PART = 4_096
const KID = /^[A-Za-z0-9._-]{1,64}$/

const readEnvelope = (value: unknown): SealedEnvelope | undefined => {
  if (!isMembers(value)) return undefined
  const [alg, iv, ct, tag, ek] = ['alg', 'iv', 'ct', 'tag', 'ek'].map((name) => textIn(value, name, MAX_PART))
  if (alg === undefined || iv === undefined || ct === undefined || tag === undefined || ek === undefined) return undefined
  const { kid } = value
  if (kid === undefined) return { alg, iv, ct, tag, ek }
  return typeof kid === 'string' && KID.test(kid) ? { alg, iv, ct, tag, ek, kid } : undefined
}
