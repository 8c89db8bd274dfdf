/**
 * Every refusal a caller can meet: its reason, the facts the caller may learn with it, and the sentence computed from
 * those facts. Nothing else is ever told to a caller; no code compares the sentence as text.
 */
import { DELEGATION_SENTENCES, type DelegationFacts } from './delegation-failures.ts'
import { SENDING_SENTENCES, type SendingFacts } from './sending-failures.ts'
import { SPENDING_SENTENCES, type SpendingFacts } from './spending-failures.ts'
import { DELEGATE_SIDE_SENTENCES, type DelegateSideFacts } from './delegate-side-failures.ts'

type NoFacts = Record<never, never>

/** Why a session does not authorise what was asked. */
export type SessionFault = 'expired' | 'malformed' | 'bad_wallet_signature' | 'payload_missing'

export type FailureFacts = DelegationFacts & DelegateSideFacts & SendingFacts & SpendingFacts & {
  // Who is calling
  API_KEY_MISSING: NoFacts
  API_KEY_INVALID: NoFacts
  API_KEY_EXPIRED: { expireTime: string }
  WALLET_SECRET_REQUIRED: NoFacts
  WALLET_SECRET_NOT_FOUND: NoFacts
  WALLET_SECRET_EXPIRED: { validUntil: string }
  WALLET_AUTH_INVALID: { detail: string }
  WALLET_AUTH_REPLAYED: NoFacts
  API_KEY_TOKEN_INVALID: { detail: string }
  API_KEY_TOKEN_REPLAYED: NoFacts
  DEVELOPER_AUTH_REQUIRED: NoFacts
  DEVELOPER_AUTH_INVALID: { detail: string }
  DEVELOPER_AUTH_REPLAYED: NoFacts
  CALLER_NOT_ALLOWED: { method: string }
  PERMISSION_MISSING: { permission: string; narrowedBy?: string }
  LIMIT_EXCEEDED: { limit: string; seen: string; allowed: string }
  RATE_LIMITED: { limit: string; retryAfterMs: number }
  OVERLOADED: { retryAfterMs: number }
  ACCESS_TOKEN_INVALID: NoFacts
  ACCESS_TOKEN_EXPIRED: { expireTime: string }
  // Signing in
  SIGN_IN_NOT_ENABLED: { method: string }
  ORIGIN_NOT_ALLOWED: NoFacts
  ID_TOKEN_INVALID: { detail: string }
  ID_TOKEN_EXPIRED: NoFacts
  KEY_SET_UNAVAILABLE: { retryAfterMs: number }
  EMAIL_CODE_INVALID: NoFacts
  EMAIL_UNAVAILABLE: NoFacts
  OIDC_PROVIDER_NOT_FOUND: { provider: string }
  OIDC_PROVIDER_UNAVAILABLE: { provider: string }
  OIDC_REFUSED: { provider: string; detail: string }
  OIDC_STATE_INVALID: NoFacts
  REFRESH_TOKEN_INVALID: NoFacts
  REFRESH_TOKEN_EXPIRED: { expireTime: string }
  REFRESH_TOKEN_REUSED: NoFacts
  END_USER_NOT_FOUND: NoFacts
  // What was asked
  INVALID_REQUEST: { violations: { field: string; description: string }[] }
  REQUEST_TOO_LARGE: { limitBytes: number }
  PAGE_TOKEN_INVALID: NoFacts
  IDEMPOTENCY_MISMATCH: { requestId: string }
  ETAG_MISMATCH: { resource: string }
  OUTCOME_UNKNOWN: { requestId: string }
  DEADLINE_EXCEEDED: { neededMs?: number; leftMs?: number }
  CANCELLED: NoFacts
  // Wallets
  WALLET_NOT_FOUND: NoFacts
  WALLET_ALREADY_EXISTS: { walletId: string }
  WALLET_AMBIGUOUS: { walletIds: string[] }
  WALLET_ARCHIVED: { walletId: string }
  WALLET_SUSPENDED: { walletId: string }
  WALLET_NOT_READY: { walletId: string }
  KEY_TYPE_UNSUPPORTED: { keyType: string; operation: string }
  USER_ID_RESERVED: { userId: string }
  // Session keys
  SESSION_KEY_NOT_FOUND: NoFacts
  SESSION_UNAUTHORIZED: { detail: SessionFault; why: string }
  SESSION_ACL_VIOLATION: { family: string; needed: string }
  SESSION_SIGNER_MISMATCH: { why: string }
  SESSION_REVOKED: { sessionKeyId: string }
  SESSION_KEY_NOT_READY: { sessionKeyId: string; state: string }
  SESSION_REQUIRED: { sessionKeyId: string; family: string }
  SESSION_SIGNER_UNAVAILABLE: NoFacts
  SCOPE_REQUIRED: NoFacts
  PROFILE_CHANGED: { profile: string }
  MARK_STALE: { market: string; ageMs: string }
  CLOCK_OFFSET: { offsetMs: number; allowedMs: number }
  NONCE_WINDOW_EXHAUSTED: { retryAfterMs: number }
  CREDENTIAL_MISSING: { name: string }
  // Grants of end users
  DELEGATION_NOT_ENABLED: NoFacts
  GRANT_NOT_FOUND: NoFacts
  GRANT_EXPIRED: { grantId: string; expireTime: string }
  GRANT_REVOKED: { grantId: string }
  GRANT_NOT_AUTHORIZED: { walletId: string }
  GRANT_ALREADY_EXISTS: { grantId: string; scope: 'user' | 'address' }
  // What is signed
  MESSAGE_NOT_DIGEST: NoFacts
  MESSAGE_IS_TRANSACTION: NoFacts
  DIGEST_REFUSED: { why: string }
  TYPED_DATA_INVALID: { path: string; why: string }
  TRANSACTION_INVALID: { field: string; why: string }
  AUTHORIZATION_INVALID: { field: string; why: string }
  AUTHORIZATION_CHAIN_ZERO: NoFacts
  SIGNATURE_MALFORMED: { why: string }
  // Frozen or shut
  FROZEN: { scope: string; id: string }
  COSIGNER_UNAVAILABLE: { why: string }
  COSIGNER_REFUSED: { why: string }
  LINK_BURNED: NoFacts
  LINK_SUSPENDED: NoFacts
  PRESIGNATURES_EXHAUSTED: { retryAfterMs: number }
  REFRESH_NOT_DUE: { retryAfterMs: number }
  AUDIT_UNAVAILABLE: NoFacts
  VAULT_LOCKED: { dataDir: string }
  VAULT_MISSING: { path: string }
  VAULT_EXISTS: { path: string }
  VAULT_CORRUPT: { where: string }
  VAULT_TOO_NEW: { found: number; supported: number }
  VAULT_ROLLED_BACK: { expectedSequence: string; foundSequence: string }
  VAULT_UNWRITABLE: { path: string; why: string }
  ROOT_KEY_WRONG: { provider: string }
  ROOT_KEY_UNREADABLE: { provider: string; why: string }
  LISTEN_FAILED: { address: string; why: string }
  BACKUP_NOT_CONFIGURED: { missing: string }
  BACKUP_KEY_UNREADABLE: { path: string; why: string }
  BACKUP_KEY_WRONG: NoFacts
  BACKUP_CORRUPT: { where: string }
  BACKUP_WRONG_VAULT: { expected: string; found: string }
  BACKUP_MISMATCH: { why: string }
  BACKUP_FAILED: { why: string }
  RESTORE_UNACKNOWLEDGED: { restoreTime: string }
  SHUTTING_DOWN: NoFacts
  // Keys and their owners
  EXPORT_NOT_ENABLED: NoFacts
  EXPORT_REFUSED: NoFacts
  EXPORT_KEY_INVALID: { why: string }
  WALLET_EPOCH_MISMATCH: { walletEpoch: number }
  CONSENT_EXPIRED: { why: string }
  WALLET_SECRET_REFUSED: { why: string }
  IMPORT_NOT_ENABLED: NoFacts
  IMPORT_REFUSED: { why: string }
  // Administration
  PROJECT_NOT_FOUND: NoFacts
  PROJECT_ALREADY_EXISTS: { projectId: string }
  API_KEY_NOT_FOUND: NoFacts
  AUDIT_EVENT_NOT_FOUND: { sequence: string; headSequence: string }
  FREEZE_NOT_FOUND: { scope: string; id: string }
  // Chains
  CHAIN_NOT_CONFIGURED: { network: string }
  CHAIN_UNAVAILABLE: { network: string; why: string }
  CHAIN_DISAGREEMENT: { network: string }
  // Spending delegations
  TRANSACTION_NOT_FOUND: { retryAfterMs: number }
  TRANSACTION_NOT_CONFIRMED: { confirmations: string; required: string; retryAfterMs: number }
  TRANSACTION_REVERTED: NoFacts
  TRANSACTION_WRONG_NETWORK: { network: string }
  APPROVAL_MISSING: NoFacts
  APPROVAL_TOO_SMALL: { approved: string; requested: string }
  SIWE_INVALID: { why: string }
  SIWE_EXPIRED: NoFacts
  SIWE_NOT_YET_VALID: NoFacts
  SIWE_CHAIN_MISMATCH: { expected: string; found: string }
  SIWE_ADDRESS_MISMATCH: NoFacts
  SIWE_DOMAIN_MISMATCH: NoFacts
  SIWE_NONCE_MISMATCH: NoFacts
  SIGNATURE_MISMATCH: NoFacts
  TOKEN_INVALID: NoFacts
  TOKEN_EXPIRED: { expireTime: string }
  TOKEN_USED: NoFacts
  EXTERNAL_WALLET_TAKEN: NoFacts
  EXTERNAL_WALLET_NOT_FOUND: NoFacts
  PRIORITIES_INVALID: { why: string }
  SPENDER_NOT_CONFIGURED: { network: string }
  CURRENCY_NOT_CONFIGURED: { network: string; currency: string }
  TOKEN_UNSUPPORTED: { network: string; currency: string; why: string }
  // Exchange profiles
  PROFILE_NOT_FOUND: { profile: string }
  PROFILE_NETWORK_UNKNOWN: { profile: string; network: string }
  PROFILE_FAMILY_UNKNOWN: { profile: string; family: string }
  PROFILE_FLOW_UNKNOWN: { profile: string; flow: string }
  PROFILE_INPUT_INVALID: { path: string; why: string }
  ACTION_INVALID: { path: string; why: string }
  WEBHOOK_NOT_FOUND: NoFacts
  WEBHOOK_URL_REFUSED: { why: string }
  WEBHOOK_DELIVERY_NOT_FOUND: NoFacts
  METHOD_UNIMPLEMENTED: { method: string }
  STREAM_ROTATE: NoFacts
  STREAM_IDLE: NoFacts
  ITEM_IN_FLIGHT: { itemId: string }
  INTERNAL: NoFacts
}

export type FailureReason = keyof FailureFacts

const SENTENCES: { [R in FailureReason]: (facts: FailureFacts[R]) => string } = {
  ...DELEGATE_SIDE_SENTENCES,
  ...SENDING_SENTENCES,
  ...SPENDING_SENTENCES,
  API_KEY_MISSING: () => 'no API key was presented',
  API_KEY_INVALID: () => 'the API key is not valid',
  API_KEY_EXPIRED: ({ expireTime }) => `the API key expired at ${expireTime}`,
  ACCESS_TOKEN_INVALID: () => 'the access token is not valid',
  ACCESS_TOKEN_EXPIRED: ({ expireTime }) => `the access token expired at ${expireTime}`,
  WALLET_SECRET_REQUIRED: () => 'the call needs an x-wallet-auth that a wallet secret of the user signed',
  WALLET_SECRET_NOT_FOUND: () => 'the user has no such wallet secret',
  WALLET_SECRET_EXPIRED: ({ validUntil }) => `the wallet secret was valid until ${validUntil}`,
  WALLET_AUTH_INVALID: ({ detail }) => `the x-wallet-auth does not sign this request: ${detail}`,
  WALLET_AUTH_REPLAYED: () => 'the x-wallet-auth was used before',
  API_KEY_TOKEN_INVALID: ({ detail }) => `the token of the API key is not for this request: ${detail}`,
  API_KEY_TOKEN_REPLAYED: () => 'the token of the API key was used before',
  DEVELOPER_AUTH_REQUIRED: () => "the call needs an x-developer-auth that the project's signing key signed",
  DEVELOPER_AUTH_INVALID: ({ detail }) => `the x-developer-auth does not sign this request: ${detail}`,
  DEVELOPER_AUTH_REPLAYED: () => 'the x-developer-auth was used before',
  SIGN_IN_NOT_ENABLED: ({ method }) => `the project has not turned sign-in by ${method} on`,
  ORIGIN_NOT_ALLOWED: () => 'the page that calls is of an origin the project has not listed',
  ID_TOKEN_INVALID: ({ detail }) => `the token that was presented to sign in is not accepted: ${detail}`,
  ID_TOKEN_EXPIRED: () => 'the token that was presented to sign in is over',
  KEY_SET_UNAVAILABLE: () => "the project's key set cannot be read, so no token can be checked",
  EMAIL_CODE_INVALID: () => 'the code is wrong, used or over',
  EMAIL_UNAVAILABLE: () => 'no e-mail can be sent at present',
  OIDC_PROVIDER_NOT_FOUND: ({ provider }) => `the project has no sign-in provider ${provider}`,
  OIDC_PROVIDER_UNAVAILABLE: ({ provider }) => `the sign-in provider ${provider} cannot be reached`,
  OIDC_REFUSED: ({ provider, detail }) => `the sign-in provider ${provider} refused: ${detail}`,
  OIDC_STATE_INVALID: () => 'the sign-in was not begun here, is finished, or was begun too long ago',
  REFRESH_TOKEN_INVALID: () => 'the refresh token is not valid',
  REFRESH_TOKEN_EXPIRED: ({ expireTime }) => `the refresh token expired at ${expireTime}`,
  REFRESH_TOKEN_REUSED: () => 'the refresh token was used before: everything that came of that sign-in is ended',
  END_USER_NOT_FOUND: () => 'no such end user',
  CALLER_NOT_ALLOWED: ({ method }) => `this kind of caller may not call ${method}`,
  PERMISSION_MISSING: ({ permission, narrowedBy }) =>
    narrowedBy === undefined
      ? `the caller lacks the permission ${permission}`
      : `the caller's permission ${permission} does not cover this ${narrowedBy}`,
  LIMIT_EXCEEDED: ({ limit, seen, allowed }) => `${limit}: ${seen} is over the allowed ${allowed}`,
  RATE_LIMITED: ({ limit }) => `the rate limit ${limit} is used up`,
  OVERLOADED: () => 'the daemon has more work than it can finish in time',
  INVALID_REQUEST: ({ violations }) =>
    `the request is not valid: ${violations.map((v) => `${v.field}: ${v.description}`).join('; ')}`,
  REQUEST_TOO_LARGE: ({ limitBytes }) => `the request is larger than ${limitBytes} bytes`,
  PAGE_TOKEN_INVALID: () => 'the page token does not belong to this caller and filter',
  IDEMPOTENCY_MISMATCH: ({ requestId }) => `request_id ${requestId} was used with another request`,
  ETAG_MISMATCH: ({ resource }) => `${resource} was changed since it was read`,
  OUTCOME_UNKNOWN: ({ requestId }) => `the outcome is unknown; ask again with the same request_id ${requestId}`,
  DEADLINE_EXCEEDED: ({ neededMs, leftMs }) =>
    neededMs === undefined
      ? 'the work could not be finished before the deadline; nothing is released after it'
      : `the work would take about ${neededMs} ms and ${leftMs} ms are left, so it was not begun`,
  CANCELLED: () => 'the caller cancelled the request',
  WALLET_NOT_FOUND: () => 'no such wallet',
  WALLET_ALREADY_EXISTS: ({ walletId }) => `the wallet exists: ${walletId}`,
  WALLET_AMBIGUOUS: ({ walletIds }) => `more than one wallet matches: ${walletIds.join(', ')}`,
  WALLET_ARCHIVED: ({ walletId }) => `wallet ${walletId} is archived and signs nothing`,
  WALLET_SUSPENDED: ({ walletId }) => `wallet ${walletId} is suspended until an operator clears it`,
  WALLET_NOT_READY: ({ walletId }) => `wallet ${walletId} is not ready`,
  KEY_TYPE_UNSUPPORTED: ({ keyType, operation }) => `${operation} does not support ${keyType}`,
  USER_ID_RESERVED: ({ userId }) => `user_id ${userId} has the shape of an address or of a wallet id`,
  SESSION_KEY_NOT_FOUND: () => 'no such session key',
  SESSION_UNAUTHORIZED: ({ detail, why }) => `the session does not authorise this (${detail}): ${why}`,
  SESSION_ACL_VIOLATION: ({ family, needed }) => `${family} is not in the scope of the session key: it takes ${needed}`,
  SESSION_SIGNER_MISMATCH: ({ why }) => `the signer is not the session key of the payload: ${why}`,
  SESSION_REVOKED: ({ sessionKeyId }) => `session key ${sessionKeyId} is revoked`,
  SESSION_KEY_NOT_READY: ({ sessionKeyId, state }) => `session key ${sessionKeyId} is ${state}`,
  SESSION_REQUIRED: ({ sessionKeyId, family }) =>
    `the wallet signs no ${family} itself while its session key ${sessionKeyId} is active`,
  SESSION_SIGNER_UNAVAILABLE: () => 'the thread that signs with session keys is being replaced',
  SCOPE_REQUIRED: () => 'a session key needs a scope: at least one, and none unspecified',
  PROFILE_CHANGED: ({ profile }) => `the profile ${profile} is not the one the session key was made under; rotate the key`,
  MARK_STALE: ({ market, ageMs }) => `the mark price of ${market} is too old or missing (age ${ageMs} ms)`,
  CLOCK_OFFSET: ({ offsetMs, allowedMs }) =>
    `the daemon's clock is ${offsetMs} ms away from where it should be; ${allowedMs} ms are allowed`,
  NONCE_WINDOW_EXHAUSTED: () => 'the nonces that the venue takes at this time are used up',
  CREDENTIAL_MISSING: ({ name }) => `the session key has no credential ${name}: store it with PutVenueCredential`,
  DELEGATION_NOT_ENABLED: () => 'the project has not turned delegation on',
  GRANT_NOT_FOUND: () => 'there is no grant',
  GRANT_EXPIRED: ({ grantId, expireTime }) => `grant ${grantId} expired at ${expireTime}`,
  GRANT_REVOKED: ({ grantId }) => `grant ${grantId} is revoked`,
  GRANT_NOT_AUTHORIZED: ({ walletId }) => `no grant of the end user covers wallet ${walletId}`,
  GRANT_ALREADY_EXISTS: ({ grantId, scope }) =>
    `grant ${grantId} is active ${scope === 'user' ? 'for all wallets of the end user' : 'for one address of the end user'}`,
  MESSAGE_NOT_DIGEST: () => 'is_formatted takes a 32-byte digest: 32 bytes of data or 64 hex digits of text',
  MESSAGE_IS_TRANSACTION: () => 'the message passes for a Solana transaction; those are signed as transactions only',
  DIGEST_REFUSED: ({ why }) => `this digest is never signed: ${why}`,
  TYPED_DATA_INVALID: ({ path, why }) => `typed data is not valid at ${path}: ${why}`,
  TRANSACTION_INVALID: ({ field, why }) => `the transaction is not valid: ${field}: ${why}`,
  AUTHORIZATION_INVALID: ({ field, why }) => `the authorization is not valid: ${field}: ${why}`,
  AUTHORIZATION_CHAIN_ZERO: () => 'an authorization for chain id 0 is valid on every chain; the key does not name chain 0',
  SIGNATURE_MALFORMED: ({ why }) => `the signature is malformed: ${why}`,
  FROZEN: ({ scope, id }) => `${scope} ${id} is frozen`,
  COSIGNER_UNAVAILABLE: ({ why }) => `the cosigner is not available: ${why}`,
  COSIGNER_REFUSED: ({ why }) => `the cosigner refused: ${why}`,
  LINK_BURNED: () => 'the link to the cosigner is burned; an operator must relink',
  LINK_SUSPENDED: () => 'the link to the cosigner is suspended; an operator must clear it',
  PRESIGNATURES_EXHAUSTED: () => 'no presignature is ready for this wallet',
  REFRESH_NOT_DUE: () => 'the link between the parties was renewed for an erasure less than a minute ago',
  AUDIT_UNAVAILABLE: () => 'the audit log cannot be written, so nothing is signed',
  VAULT_LOCKED: ({ dataDir }) => `another daemon holds ${dataDir}`,
  VAULT_MISSING: ({ path }) => `there is no vault at ${path}`,
  VAULT_EXISTS: ({ path }) => `there is already a vault at ${path}`,
  VAULT_CORRUPT: ({ where }) => `the vault is damaged: ${where}`,
  VAULT_TOO_NEW: ({ found, supported }) => `the vault has schema version ${found}, this program knows ${supported}`,
  VAULT_ROLLED_BACK: ({ expectedSequence, foundSequence }) =>
    `the vault was rolled back: its audit chain ends at ${foundSequence}, the cosigner remembers ${expectedSequence}`,
  VAULT_UNWRITABLE: ({ path, why }) => `cannot write ${path}: ${why}`,
  ROOT_KEY_WRONG: ({ provider }) => `the root key from ${provider} does not open this vault`,
  ROOT_KEY_UNREADABLE: ({ provider, why }) => `the root key cannot be read from ${provider}: ${why}`,
  BACKUP_NOT_CONFIGURED: ({ missing }) => `backups are not configured: ${missing} is not set`,
  BACKUP_KEY_UNREADABLE: ({ path, why }) => `the backup key ${path} cannot be used: ${why}`,
  BACKUP_KEY_WRONG: () => 'the identity does not open this backup',
  BACKUP_CORRUPT: ({ where }) => `the backup is damaged (${where}); nothing was restored`,
  BACKUP_WRONG_VAULT: ({ expected, found }) => `this is a backup of the ${found} vault, not of the ${expected} vault`,
  BACKUP_MISMATCH: ({ why }) => `the two backups do not belong together: ${why}`,
  BACKUP_FAILED: ({ why }) => `the backup was not made: ${why}`,
  RESTORE_UNACKNOWLEDGED: ({ restoreTime }) =>
    `the vault was restored from a backup at ${restoreTime} and stays sealed until an operator acknowledges it`,
  LISTEN_FAILED: ({ address, why }) => `cannot listen on ${address}: ${why}`,
  SHUTTING_DOWN: () => 'the daemon is stopping',
  EXPORT_NOT_ENABLED: () => 'private keys are not exported by this daemon: allow_export is off',
  EXPORT_REFUSED: () => 'the cosigner does not hand its share over; its own log and audit chain say why',
  EXPORT_KEY_INVALID: ({ why }) => `nothing is sealed to this key: ${why}`,
  WALLET_EPOCH_MISMATCH: ({ walletEpoch }) => `the wallet is at epoch ${walletEpoch}, the consent is for another`,
  CONSENT_EXPIRED: ({ why }) => `the consent is not good now: ${why}`,
  IMPORT_NOT_ENABLED: () => 'private keys are not imported by this daemon: allow_import is off',
  IMPORT_REFUSED: ({ why }) => `the key is not taken in: ${why}`,
  WALLET_SECRET_REFUSED: ({ why }) => `the cosigner does not take the wallet secret: ${why}`,
  PROJECT_NOT_FOUND: () => 'no such project',
  PROJECT_ALREADY_EXISTS: ({ projectId }) => `project ${projectId} exists`,
  API_KEY_NOT_FOUND: () => 'no such API key',
  AUDIT_EVENT_NOT_FOUND: ({ sequence, headSequence }) => `the audit chain ends at ${headSequence} and has no row ${sequence}`,
  FREEZE_NOT_FOUND: ({ scope, id }) => `${scope} ${id} is not frozen`,
  CHAIN_NOT_CONFIGURED: ({ network }) => `no endpoint of ${network} is configured`,
  CHAIN_UNAVAILABLE: ({ network, why }) => `${network} cannot be read: ${why}`,
  CHAIN_DISAGREEMENT: ({ network }) => `two providers of ${network} say different things, so neither is believed`,
  TRANSACTION_NOT_FOUND: () => 'no block of the chain has the transaction',
  TRANSACTION_NOT_CONFIRMED: ({ confirmations, required }) => `the transaction has ${confirmations} of ${required} confirmations`,
  TRANSACTION_REVERTED: () => 'the transaction failed on the chain',
  TRANSACTION_WRONG_NETWORK: ({ network }) => `the transaction is on ${network}`,
  APPROVAL_MISSING: () => 'the transaction approves nothing by this owner, of this token, to the spender',
  APPROVAL_TOO_SMALL: ({ approved, requested }) => `${approved} base units are approved, ${requested} were named`,
  SIWE_INVALID: ({ why }) => `the message is no EIP-4361 message that counts: ${why}`,
  SIWE_EXPIRED: () => 'the message has expired',
  SIWE_NOT_YET_VALID: () => 'the message is not valid yet',
  SIWE_CHAIN_MISMATCH: ({ expected, found }) => `the message is for chain ${found}, the network is chain ${expected}`,
  SIWE_ADDRESS_MISMATCH: () => 'the message names another address',
  SIWE_DOMAIN_MISMATCH: () => 'the message was made for a page that the project has not listed',
  SIWE_NONCE_MISMATCH: () => "the message does not name the token's nonce",
  SIGNATURE_MISMATCH: () => 'the signature is not by the address, over the message',
  TOKEN_INVALID: () => 'no such delegation token, for this network and address',
  TOKEN_EXPIRED: ({ expireTime }) => `the delegation token expired at ${expireTime}`,
  TOKEN_USED: () => 'the delegation token was used',
  EXTERNAL_WALLET_TAKEN: () => 'the address is registered for another user',
  EXTERNAL_WALLET_NOT_FOUND: () => 'no such external wallet',
  PRIORITIES_INVALID: ({ why }) => `the priorities are not an order: ${why}`,
  SPENDER_NOT_CONFIGURED: ({ network }) => `the project has no spender on ${network}`,
  CURRENCY_NOT_CONFIGURED: ({ network, currency }) => `${currency} is not known on ${network}`,
  TOKEN_UNSUPPORTED: ({ network, currency, why }) => `${currency} on ${network} cannot be spent: ${why}`,
  PROFILE_NOT_FOUND: ({ profile }) => `there is no profile ${profile}`,
  PROFILE_NETWORK_UNKNOWN: ({ profile, network }) => `profile ${profile} has no network ${network}`,
  PROFILE_FAMILY_UNKNOWN: ({ profile, family }) => `profile ${profile} has no actions of the family ${family}`,
  PROFILE_FLOW_UNKNOWN: ({ profile, flow }) => `profile ${profile} has no flow ${flow}`,
  PROFILE_INPUT_INVALID: ({ path, why }) => `the profile does not take ${path}: ${why}`,
  ACTION_INVALID: ({ path, why }) => `the action is not valid at ${path}: ${why}`,
  WEBHOOK_NOT_FOUND: () => 'no such webhook',
  WEBHOOK_URL_REFUSED: ({ why }) => `the webhook's URL cannot be used: ${why}`,
  WEBHOOK_DELIVERY_NOT_FOUND: () => 'no such delivery of this webhook',
  METHOD_UNIMPLEMENTED: ({ method }) => `there is no RPC ${method}`,
  STREAM_ROTATE: () => 'the stream has reached its age limit; resume it from the last message received',
  STREAM_IDLE: () => 'nothing was asked on the stream for too long',
  ITEM_IN_FLIGHT: ({ itemId }) => `an item ${itemId} is in work on this stream`,
  INTERNAL: () => 'internal error',
  ...DELEGATION_SENTENCES,
}

/** A refusal on its way to the caller. Thrown by use cases, mapped to a gRPC status in rpc/status.ts. */
export class Failure<R extends FailureReason = FailureReason> extends Error {
  readonly reason: R
  readonly facts: FailureFacts[R]

  constructor(reason: R, facts: FailureFacts[R]) {
    super(SENTENCES[reason](facts))
    this.name = 'Failure'
    this.reason = reason
    this.facts = facts
  }
}

export const failure = <R extends FailureReason>(reason: R, facts: FailureFacts[R]): Failure<R> =>
  new Failure(reason, facts)

/** INVALID_REQUEST, of one field of the request. */
export const invalidField = (field: string, description: string): Failure<'INVALID_REQUEST'> =>
  failure('INVALID_REQUEST', { violations: [{ field, description }] })

export const isFailure = (error: unknown): error is Failure => error instanceof Failure

/** For states that cannot be: a bug, not a refusal. Leaves the process as an opaque `internal error`. */
export const assert: (condition: unknown, what: string) => asserts condition = (condition, what) => {
  if (condition === false || condition === undefined || condition === null) throw new Error(`assertion: ${what}`)
}
