import { Code, ConnectError } from '@connectrpc/connect'
import { BadRequestSchema, ErrorInfoSchema, RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'

/** The gRPC status codes by their names in the gRPC specification. */
export type StatusName = (typeof STATUS_NAMES)[Code]

/**
 * Whether asking again can help: `yes`, the same request may be repeated as it is; `no`, it will be refused again;
 * `same_request_id`, the outcome is unknown, so repeat it only with the `request_id` it had.
 */
export type Retryable = 'yes' | 'no' | 'same_request_id'

export type FieldViolation = { readonly field: string; readonly description: string }

const STATUS_NAMES = {
  [Code.Canceled]: 'CANCELLED',
  [Code.Unknown]: 'UNKNOWN',
  [Code.InvalidArgument]: 'INVALID_ARGUMENT',
  [Code.DeadlineExceeded]: 'DEADLINE_EXCEEDED',
  [Code.NotFound]: 'NOT_FOUND',
  [Code.AlreadyExists]: 'ALREADY_EXISTS',
  [Code.PermissionDenied]: 'PERMISSION_DENIED',
  [Code.ResourceExhausted]: 'RESOURCE_EXHAUSTED',
  [Code.FailedPrecondition]: 'FAILED_PRECONDITION',
  [Code.Aborted]: 'ABORTED',
  [Code.OutOfRange]: 'OUT_OF_RANGE',
  [Code.Unimplemented]: 'UNIMPLEMENTED',
  [Code.Internal]: 'INTERNAL',
  [Code.Unavailable]: 'UNAVAILABLE',
  [Code.DataLoss]: 'DATA_LOSS',
  [Code.Unauthenticated]: 'UNAUTHENTICATED',
} as const

const DOMAIN = 'countersign'
const RETRYABLE: readonly string[] = ['yes', 'no', 'same_request_id'] satisfies Retryable[]

/** What a code says about repeating when no ErrorInfo came with it: the daemon may or may not have acted. */
const OUTCOME_UNKNOWN = new Set<Code>([
  Code.Canceled,
  Code.Unknown,
  Code.DeadlineExceeded,
  Code.Internal,
  Code.Unavailable,
])

type CountersignErrorFields = {
  readonly code: StatusName
  readonly reason: string | undefined
  readonly metadata: Readonly<Record<string, string>>
  readonly retryable: Retryable
  readonly retryAfterMs: number | undefined
  readonly violations: readonly FieldViolation[]
}

/**
 * A call that did not succeed. `reason` is one of the stable reasons of `errors.proto`, or undefined when the answer
 * did not come from a daemon (no connection, a proxy's error, a call cancelled here). Branch on `reason` and `code`;
 * the message is for people.
 */
export class CountersignError extends Error {
  readonly code: StatusName
  readonly reason: string | undefined
  readonly metadata: Readonly<Record<string, string>>
  readonly retryable: Retryable
  /** How long to wait before asking again, where the daemon said so. */
  readonly retryAfterMs: number | undefined
  /** The request's fields that were refused, where the daemon named them. */
  readonly violations: readonly FieldViolation[]

  constructor(message: string, fields: CountersignErrorFields, cause?: unknown) {
    super(message, { cause })
    this.name = 'CountersignError'
    this.code = fields.code
    this.reason = fields.reason
    this.metadata = fields.metadata
    this.retryable = fields.retryable
    this.retryAfterMs = fields.retryAfterMs
    this.violations = fields.violations
  }
}

const retryableOf = (stated: string | undefined, code: Code): Retryable => {
  if (stated !== undefined && RETRYABLE.includes(stated)) return stated as Retryable
  return OUTCOME_UNKNOWN.has(code) ? 'same_request_id' : 'no'
}

const retryAfterMsOf = (error: ConnectError): number | undefined => {
  const delay = error.findDetails(RetryInfoSchema)[0]?.retryDelay
  return delay === undefined ? undefined : Number(delay.seconds) * 1000 + Math.ceil(delay.nanos / 1e6)
}

/**
 * Reads the details of a failed call (google.rpc.ErrorInfo, BadRequest, RetryInfo) into a CountersignError. Details of
 * another ErrorInfo domain are not the daemon's and are ignored. Never throws; an error that is none of Connect's
 * becomes code UNKNOWN, an abort CANCELLED.
 */
export const decodeError = (thrown: unknown): CountersignError => {
  if (thrown instanceof CountersignError) return thrown
  const error = ConnectError.from(thrown)
  const info = error.findDetails(ErrorInfoSchema).find((detail) => detail.domain === DOMAIN)
  const violations = error
    .findDetails(BadRequestSchema)
    .flatMap((detail) => detail.fieldViolations.map(({ field, description }) => ({ field, description })))
  return new CountersignError(
    error.rawMessage,
    {
      code: STATUS_NAMES[error.code],
      reason: info?.reason,
      metadata: { ...info?.metadata },
      retryable: retryableOf(info?.metadata['retryable'], error.code),
      retryAfterMs: retryAfterMsOf(error),
      violations,
    },
    error,
  )
}
