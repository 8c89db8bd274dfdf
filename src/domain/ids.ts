import { decodeBase58 } from './base58.ts'

/** Branded identifiers. A value of these types exists only because its parser accepted it. */
declare const brand: unique symbol
type Brand<T, B extends string> = T & { readonly [brand]: B }

export type ProjectId = Brand<string, 'ProjectId'>
export type WalletId = Brand<string, 'WalletId'>
export type UserId = Brand<string, 'UserId'>
export type ApiKeyId = Brand<string, 'ApiKeyId'>
export type RequestId = Brand<string, 'RequestId'>
export type SessionKeyId = Brand<string, 'SessionKeyId'>
export type GrantId = Brand<string, 'GrantId'>
export type WebhookId = Brand<string, 'WebhookId'>
export type DelegateId = Brand<string, 'DelegateId'>
/** A UUID; its 16 bytes are the engine's walletId of what the delegate and the daemon share. */
export type AccessId = Brand<string, 'AccessId'>

const PROJECT_ID = /^[a-z][a-z0-9-]{0,62}$/
/** 16 bytes as 32 lower-case hex digits behind `wal_`; the bytes are the engine's walletId (dkls23-2p §3). */
const WALLET_ID = /^wal_[0-9a-f]{32}$/
const USER_ID = /^[A-Za-z0-9._:@-]{1,128}$/
const API_KEY_ID = /^key_[0-9a-f]{16}$/
const SESSION_KEY_ID = /^ses_[0-9a-f]{32}$/
const GRANT_ID = /^grant_[0-9a-f]{32}$/
const WEBHOOK_ID = /^whk_[0-9a-f]{32}$/
const DELEGATE_ID = /^dlg_[0-9a-f]{32}$/
const ACCESS_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/
const REQUEST_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i

const EVM_ADDRESS = /^0x[0-9a-fA-F]{40}$/
const ADDRESS_OR_WALLET_ID_IN_ANY_CASE = /^(?:0x[0-9a-f]{40}|wal_[0-9a-f]{32})$/i

const parser =
  <T extends string>(pattern: RegExp) =>
  (text: string): T | undefined =>
    pattern.test(text) ? (text as T) : undefined

export const parseProjectId = parser<ProjectId>(PROJECT_ID)
export const parseWalletId = parser<WalletId>(WALLET_ID)
export const parseApiKeyId = parser<ApiKeyId>(API_KEY_ID)
export const parseUserId = parser<UserId>(USER_ID)
export const parseSessionKeyId = parser<SessionKeyId>(SESSION_KEY_ID)
export const parseGrantId = parser<GrantId>(GRANT_ID)
export const parseWebhookId = parser<WebhookId>(WEBHOOK_ID)
export const parseDelegateId = parser<DelegateId>(DELEGATE_ID)
export const parseAccessId = parser<AccessId>(ACCESS_ID)

export const parseRequestId = (text: string): RequestId | undefined =>
  REQUEST_ID.test(text) ? (text.toLowerCase() as RequestId) : undefined

export const isEvmAddress = (text: string): boolean => EVM_ADDRESS.test(text)

/** What addresses are found and compared by: EVM addresses in any letter case, all others exactly. */
export const addressKeyOf = (address: string): string => (isEvmAddress(address) ? address.toLowerCase() : address)

/** Base58 of exactly 32 bytes. Most ids that only use base58's letters are of another length and no address. */
export const isSolanaAddress = (text: string): boolean =>
  text.length >= 32 && text.length <= 44 && decodeBase58(text)?.length === 32

/** A user id of one of these shapes could not be told from a wallet reference of another kind. */
export const isReservedUserId = (text: string): boolean =>
  ADDRESS_OR_WALLET_ID_IN_ANY_CASE.test(text) || isSolanaAddress(text)

export const walletIdFromBytes = (bytes: Uint8Array): WalletId =>
  `wal_${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}` as WalletId

/** In a buffer of its own: one that is posted to another thread takes nothing else along. */
export const walletIdToBytes = (walletId: WalletId): Uint8Array => Uint8Array.from(Buffer.from(walletId.slice(4), 'hex'))

export const accessIdFromBytes = (bytes: Uint8Array): AccessId => {
  const hex = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')
  return hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5') as AccessId
}

/** As `walletIdToBytes`. */
export const accessIdToBytes = (accessId: AccessId): Uint8Array =>
  Uint8Array.from(Buffer.from(accessId.replaceAll('-', ''), 'hex'))
