/**
 * What a refusal looks like on the wire. The table is exhaustive over the catalogue of failures: a reason without
 * a code does not compile. Everything that is not a Failure leaves as an opaque `internal error`.
 */
import { Code, ConnectError } from '@connectrpc/connect'
import type { FailureFacts, FailureReason } from '../domain/failure.ts'
import { Failure, failure } from '../domain/failure.ts'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'

export type Retryable = 'yes' | 'no' | 'same_request_id'

export type StatusRule = {
  readonly code: Code
  readonly retryable: Retryable
  /** Told to callers in place of the failure's own sentence and facts, which are for the operator. */
  readonly insteadOfFacts?: string
  /** How long to wait where the failure itself does not say. */
  readonly retryAfterMs?: number
}

const rule = (
  code: Code,
  retryable: Retryable = 'no',
  rest: Omit<StatusRule, 'code' | 'retryable'> = {},
): StatusRule => ({
  code,
  retryable,
  ...rest,
})

const { Unauthenticated, PermissionDenied, ResourceExhausted, InvalidArgument, FailedPrecondition } = Code
const { Aborted, Unknown, NotFound, AlreadyExists, Unavailable, DataLoss, Unimplemented } = Code

const DAMAGED = 'a stored record cannot be used; an operator must look'
const CLOSED = 'the vault cannot be opened'

export const STATUS_RULES: { readonly [R in FailureReason]: StatusRule } = {
  API_KEY_MISSING: rule(Unauthenticated),
  API_KEY_INVALID: rule(Unauthenticated),
  API_KEY_EXPIRED: rule(Unauthenticated),
  ACCESS_TOKEN_INVALID: rule(Unauthenticated),
  ACCESS_TOKEN_EXPIRED: rule(Unauthenticated),
  WALLET_SECRET_REQUIRED: rule(Unauthenticated),
  WALLET_SECRET_NOT_FOUND: rule(NotFound),
  WALLET_SECRET_EXPIRED: rule(Unauthenticated),
  WALLET_AUTH_INVALID: rule(Unauthenticated),
  WALLET_AUTH_REPLAYED: rule(Unauthenticated),
  API_KEY_TOKEN_INVALID: rule(Unauthenticated),
  API_KEY_TOKEN_REPLAYED: rule(Unauthenticated),
  DEVELOPER_AUTH_REQUIRED: rule(Unauthenticated),
  DEVELOPER_AUTH_INVALID: rule(Unauthenticated),
  DEVELOPER_AUTH_REPLAYED: rule(Unauthenticated),
  SIGN_IN_NOT_ENABLED: rule(FailedPrecondition),
  ORIGIN_NOT_ALLOWED: rule(PermissionDenied),
  ID_TOKEN_INVALID: rule(Unauthenticated),
  ID_TOKEN_EXPIRED: rule(Unauthenticated),
  KEY_SET_UNAVAILABLE: rule(Unavailable, 'yes'),
  EMAIL_CODE_INVALID: rule(Unauthenticated),
  EMAIL_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 5_000 }),
  OIDC_PROVIDER_NOT_FOUND: rule(NotFound),
  OIDC_PROVIDER_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 5_000 }),
  OIDC_REFUSED: rule(Unauthenticated),
  OIDC_STATE_INVALID: rule(Unauthenticated),
  REFRESH_TOKEN_INVALID: rule(Unauthenticated),
  REFRESH_TOKEN_EXPIRED: rule(Unauthenticated),
  REFRESH_TOKEN_REUSED: rule(Unauthenticated),
  END_USER_NOT_FOUND: rule(NotFound),
  CALLER_NOT_ALLOWED: rule(PermissionDenied),
  PERMISSION_MISSING: rule(PermissionDenied),
  LIMIT_EXCEEDED: rule(ResourceExhausted),
  RATE_LIMITED: rule(ResourceExhausted, 'yes'),
  OVERLOADED: rule(ResourceExhausted, 'yes'),
  INVALID_REQUEST: rule(InvalidArgument),
  REQUEST_TOO_LARGE: rule(ResourceExhausted),
  PAGE_TOKEN_INVALID: rule(InvalidArgument),
  IDEMPOTENCY_MISMATCH: rule(FailedPrecondition),
  ETAG_MISMATCH: rule(Aborted),
  OUTCOME_UNKNOWN: rule(Unknown, 'same_request_id'),
  DEADLINE_EXCEEDED: rule(Code.DeadlineExceeded, 'same_request_id'),
  CANCELLED: rule(Code.Canceled, 'same_request_id'),
  WALLET_NOT_FOUND: rule(NotFound),
  WALLET_ALREADY_EXISTS: rule(AlreadyExists),
  WALLET_AMBIGUOUS: rule(FailedPrecondition),
  WALLET_ARCHIVED: rule(FailedPrecondition),
  WALLET_SUSPENDED: rule(FailedPrecondition),
  WALLET_NOT_READY: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  KEY_TYPE_UNSUPPORTED: rule(FailedPrecondition),
  USER_ID_RESERVED: rule(InvalidArgument),
  SESSION_KEY_NOT_FOUND: rule(NotFound),
  SESSION_UNAUTHORIZED: rule(PermissionDenied),
  SESSION_ACL_VIOLATION: rule(PermissionDenied),
  SESSION_SIGNER_MISMATCH: rule(PermissionDenied),
  SESSION_REVOKED: rule(PermissionDenied),
  SESSION_KEY_NOT_READY: rule(FailedPrecondition),
  SESSION_REQUIRED: rule(FailedPrecondition),
  SESSION_SIGNER_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 500 }),
  SCOPE_REQUIRED: rule(InvalidArgument),
  PROFILE_CHANGED: rule(FailedPrecondition),
  MARK_STALE: rule(FailedPrecondition),
  CLOCK_OFFSET: rule(FailedPrecondition),
  NONCE_WINDOW_EXHAUSTED: rule(ResourceExhausted, 'yes'),
  CREDENTIAL_MISSING: rule(FailedPrecondition),
  DELEGATION_NOT_ENABLED: rule(PermissionDenied),
  GRANT_NOT_FOUND: rule(NotFound),
  GRANT_EXPIRED: rule(PermissionDenied),
  GRANT_REVOKED: rule(PermissionDenied),
  GRANT_NOT_AUTHORIZED: rule(PermissionDenied),
  GRANT_ALREADY_EXISTS: rule(AlreadyExists),
  MESSAGE_NOT_DIGEST: rule(InvalidArgument),
  MESSAGE_IS_TRANSACTION: rule(InvalidArgument),
  DIGEST_REFUSED: rule(InvalidArgument),
  TYPED_DATA_INVALID: rule(InvalidArgument),
  TRANSACTION_INVALID: rule(InvalidArgument),
  AUTHORIZATION_INVALID: rule(InvalidArgument),
  AUTHORIZATION_CHAIN_ZERO: rule(PermissionDenied),
  SIGNATURE_MALFORMED: rule(InvalidArgument),
  FROZEN: rule(FailedPrecondition),
  COSIGNER_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  COSIGNER_REFUSED: rule(FailedPrecondition),
  LINK_BURNED: rule(FailedPrecondition),
  LINK_SUSPENDED: rule(FailedPrecondition),
  PRESIGNATURES_EXHAUSTED: rule(ResourceExhausted, 'yes'),
  REFRESH_NOT_DUE: rule(ResourceExhausted, 'yes'),
  AUDIT_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  VAULT_LOCKED: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  VAULT_MISSING: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  VAULT_EXISTS: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  VAULT_CORRUPT: rule(DataLoss, 'no', { insteadOfFacts: DAMAGED }),
  VAULT_TOO_NEW: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  VAULT_ROLLED_BACK: rule(DataLoss, 'no', {
    insteadOfFacts: 'the vault is older than what the cosigner remembers',
  }),
  VAULT_UNWRITABLE: rule(Unavailable, 'yes', {
    insteadOfFacts: 'the vault cannot be written, so nothing is done',
    retryAfterMs: 1_000,
  }),
  ROOT_KEY_WRONG: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  ROOT_KEY_UNREADABLE: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  BACKUP_NOT_CONFIGURED: rule(FailedPrecondition),
  BACKUP_KEY_UNREADABLE: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  BACKUP_KEY_WRONG: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  BACKUP_CORRUPT: rule(DataLoss, 'no', { insteadOfFacts: DAMAGED }),
  BACKUP_WRONG_VAULT: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  BACKUP_MISMATCH: rule(FailedPrecondition, 'no', { insteadOfFacts: CLOSED }),
  BACKUP_FAILED: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  RESTORE_UNACKNOWLEDGED: rule(FailedPrecondition),
  LISTEN_FAILED: rule(FailedPrecondition, 'no', { insteadOfFacts: 'a listener cannot be opened' }),
  SHUTTING_DOWN: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  EXPORT_NOT_ENABLED: rule(FailedPrecondition),
  EXPORT_REFUSED: rule(PermissionDenied),
  DELEGATE_NOT_FOUND: rule(NotFound),
  DELEGATE_ALREADY_EXISTS: rule(AlreadyExists),
  DELEGATE_KEY_INVALID: rule(InvalidArgument),
  DELEGATED_ACCESS_NOT_FOUND: rule(NotFound),
  DELEGATION_REFUSED: rule(PermissionDenied),
  EXPORT_KEY_INVALID: rule(InvalidArgument),
  WALLET_EPOCH_MISMATCH: rule(FailedPrecondition),
  CONSENT_EXPIRED: rule(FailedPrecondition),
  WALLET_SECRET_REFUSED: rule(PermissionDenied),
  IMPORT_NOT_ENABLED: rule(FailedPrecondition),
  IMPORT_REFUSED: rule(FailedPrecondition),
  PROJECT_NOT_FOUND: rule(NotFound),
  PROJECT_ALREADY_EXISTS: rule(AlreadyExists),
  API_KEY_NOT_FOUND: rule(NotFound),
  AUDIT_EVENT_NOT_FOUND: rule(NotFound),
  FREEZE_NOT_FOUND: rule(NotFound),
  DELEGATE_KEY_NOT_FOUND: rule(NotFound),
  DELEGATE_PRIVATE_KEY_INVALID: rule(InvalidArgument),
  ENVELOPE_INVALID: rule(InvalidArgument),
  FOREIGN_SHARE: rule(FailedPrecondition),
  GRANTING_DAEMON_UNKNOWN: rule(FailedPrecondition),
  IMPORTED_ACCESS_NOT_FOUND: rule(NotFound),
  IMPORTED_ACCESS_ENDED: rule(FailedPrecondition),
  GRANTING_DAEMON_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  GRANTING_DAEMON_REFUSED: rule(PermissionDenied),
  CHAIN_NOT_CONFIGURED: rule(FailedPrecondition),
  CHAIN_UNAVAILABLE: rule(Unavailable, 'yes', { retryAfterMs: 1_000 }),
  CHAIN_DISAGREEMENT: rule(Unavailable, 'yes', { retryAfterMs: 5_000 }),
  TRANSACTION_NOT_FOUND: rule(FailedPrecondition, 'yes'),
  TRANSACTION_NOT_CONFIRMED: rule(FailedPrecondition, 'yes'),
  TRANSACTION_REVERTED: rule(FailedPrecondition),
  TRANSACTION_WRONG_NETWORK: rule(FailedPrecondition),
  APPROVAL_MISSING: rule(FailedPrecondition),
  APPROVAL_TOO_SMALL: rule(FailedPrecondition),
  SIWE_INVALID: rule(InvalidArgument),
  SIWE_EXPIRED: rule(FailedPrecondition),
  SIWE_NOT_YET_VALID: rule(FailedPrecondition),
  SIWE_CHAIN_MISMATCH: rule(FailedPrecondition),
  SIWE_ADDRESS_MISMATCH: rule(FailedPrecondition),
  SIWE_DOMAIN_MISMATCH: rule(FailedPrecondition),
  SIWE_NONCE_MISMATCH: rule(FailedPrecondition),
  SIGNATURE_MISMATCH: rule(FailedPrecondition),
  TOKEN_INVALID: rule(Unauthenticated),
  TOKEN_EXPIRED: rule(Unauthenticated),
  TOKEN_USED: rule(Unauthenticated),
  EXTERNAL_WALLET_TAKEN: rule(AlreadyExists),
  EXTERNAL_WALLET_NOT_FOUND: rule(NotFound),
  PRIORITIES_INVALID: rule(InvalidArgument),
  SPENDER_NOT_CONFIGURED: rule(FailedPrecondition),
  CURRENCY_NOT_CONFIGURED: rule(FailedPrecondition),
  SPEND_NOT_COVERED: rule(FailedPrecondition),
  SPEND_NO_WALLET: rule(FailedPrecondition),
  SPEND_REFUSED_BY_TOKEN: rule(FailedPrecondition),
  SPEND_NOT_FOUND: rule(NotFound),
  SPEND_REVOKED: rule(FailedPrecondition),
  TRANSACTION_WOULD_REVERT: rule(FailedPrecondition),
  FEE_ABOVE_CAP: rule(FailedPrecondition, 'yes'),
  GAS_ABOVE_CAP: rule(FailedPrecondition),
  INSUFFICIENT_FUNDS: rule(FailedPrecondition, 'yes'),
  SENT_TRANSACTION_NOT_FOUND: rule(NotFound),
  SENT_TRANSACTION_OVER: rule(FailedPrecondition),
  REPLACEMENTS_EXHAUSTED: rule(FailedPrecondition),
  TOKEN_UNSUPPORTED: rule(FailedPrecondition),
  PROFILE_NOT_FOUND: rule(NotFound),
  PROFILE_NETWORK_UNKNOWN: rule(InvalidArgument),
  PROFILE_FAMILY_UNKNOWN: rule(InvalidArgument),
  PROFILE_FLOW_UNKNOWN: rule(InvalidArgument),
  PROFILE_INPUT_INVALID: rule(InvalidArgument),
  ACTION_INVALID: rule(InvalidArgument),
  WEBHOOK_NOT_FOUND: rule(NotFound),
  WEBHOOK_URL_REFUSED: rule(InvalidArgument),
  WEBHOOK_DELIVERY_NOT_FOUND: rule(NotFound),
  METHOD_UNIMPLEMENTED: rule(Unimplemented),
  STREAM_ROTATE: rule(Unavailable, 'yes', { retryAfterMs: 1 }),
  STREAM_IDLE: rule(Unavailable, 'yes', { retryAfterMs: 1 }),
  WALLET_API_KEY_INVALID: rule(Unauthenticated),
  DELEGATED_ACCESS_REVOKED: rule(PermissionDenied),
  DELEGATED_ACCESS_EXPIRED: rule(PermissionDenied),
  DELEGATE_NOT_PROVEN: rule(Unauthenticated),
  ITEM_IN_FLIGHT: rule(AlreadyExists),
  INTERNAL: rule(Code.Internal),
}

const ERROR_DOMAIN = 'countersign'

/** Clients give up on trailers beyond a few kilobytes, so every text that comes from a request is cut. */
const MESSAGE_MAX = 800
const METADATA_MAX = 400
const VIOLATION_MAX = 160
const VIOLATIONS_MAX = 12

/** At most `max` UTF-16 units, never with half a surrogate pair: header encoding throws on those. */
const cut = (text: string, max: number): string => {
  const short = text.length <= max ? text : `${text.slice(0, max - 1)}…`
  return short.toWellFormed()
}

type Facts = Readonly<Record<string, unknown>>

const toMetadata = (facts: Facts, { retryable }: StatusRule): { [key: string]: string } => {
  const metadata: { [key: string]: string } = { retryable }
  for (const [name, fact] of Object.entries(facts)) {
    if (typeof fact === 'string') metadata[name] = cut(fact, METADATA_MAX)
    else if (typeof fact === 'number') metadata[name] = String(fact)
    else if (Array.isArray(fact) && name !== 'violations') metadata[name] = cut(fact.join(','), METADATA_MAX)
  }
  return metadata
}

type Violation = { readonly field: string; readonly description: string }

const violationsOf = (error: Failure): readonly Violation[] => {
  const facts: Facts = error.facts
  if (error.reason === 'INVALID_REQUEST') return (facts as FailureFacts['INVALID_REQUEST']).violations
  const field = facts['field'] ?? facts['path']
  return typeof field === 'string' && typeof facts['why'] === 'string'
    ? [{ field, description: facts['why'] }]
    : []
}

const toDuration = (ms: number) => ({ seconds: BigInt(Math.floor(ms / 1000)), nanos: (ms % 1000) * 1_000_000 })

/** A refusal as it goes to the caller: code, sentence, ErrorInfo, and BadRequest and RetryInfo where they help. */
export const toStatusError = (error: Failure): ConnectError => {
  const statusRule = STATUS_RULES[error.reason]
  const facts: Facts = statusRule.insteadOfFacts === undefined ? error.facts : {}
  const details: NonNullable<ConstructorParameters<typeof ConnectError>[3]> = [
    {
      desc: ErrorInfoSchema,
      value: { reason: error.reason, domain: ERROR_DOMAIN, metadata: toMetadata(facts, statusRule) },
    },
  ]
  const violations = violationsOf(error).slice(0, VIOLATIONS_MAX)
  if (violations.length > 0) {
    const fieldViolations = violations.map(({ field, description }) => ({
      field: cut(field, VIOLATION_MAX),
      description: cut(description, VIOLATION_MAX),
    }))
    details.push({ desc: BadRequestSchema, value: { fieldViolations } })
  }
  const retryAfterMs = typeof facts['retryAfterMs'] === 'number' ? facts['retryAfterMs'] : statusRule.retryAfterMs
  if (retryAfterMs !== undefined)
    details.push({ desc: RetryInfoSchema, value: { retryDelay: toDuration(Math.ceil(retryAfterMs)) } })
  const message = cut(statusRule.insteadOfFacts ?? error.message, MESSAGE_MAX)
  return new ConnectError(message, statusRule.code, undefined, details)
}

/** The refusal an error stands for: itself, or INTERNAL for everything that is not a Failure. */
export const toFailure = (error: unknown): Failure => (error instanceof Failure ? error : failure('INTERNAL', {}))
