import type { Client, Interceptor } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { AdminService } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { SessionKeyService } from '../../gen/countersign/v1/session_key_pb.ts'
import { DelegationService } from '../../gen/countersign/v1/delegation_pb.ts'
import { EndUserService } from '../../gen/countersign/v1/end_user_pb.ts'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { type EndUserCredentials, withEndUser } from './end-user.ts'
import { type EndpointOptions, resolveEndpoint } from './grpc-endpoint.ts'
import { createServiceClient } from './service-client.ts'

export type CountersignClientOptions = EndpointOptions & {
  /** `csk_…`. Not needed on a unix socket that is bound to a key, or where the client certificate is the identity. */
  readonly apiKey?: string | undefined
  /** In place of an API key: the person who calls. */
  readonly endUser?: EndUserCredentials | undefined
  /** Deadline of a unary call that does not state its own. Default 30 000; streams have none. */
  readonly defaultTimeoutMs?: number | undefined
}

export type CountersignClient = {
  readonly wallets: Client<typeof WalletService>
  readonly endUsers: Client<typeof EndUserService>
  readonly sessionKeys: Client<typeof SessionKeyService>
  readonly delegation: Client<typeof DelegationService>
  readonly audit: Client<typeof AuditService>
  readonly admin: Client<typeof AdminService>
  /** Ends the connection and every call on it. A later call connects again. */
  readonly close: () => void
  readonly [Symbol.dispose]: () => void
}

const DEFAULT_TIMEOUT_MS = 30_000
/** Streams idle longer than the daemon's five minutes stay alive through these. */
const PING_INTERVAL_MS = 60_000
/** No answer of the daemon is larger: a page of 500 audit rows stays below. */
const READ_MAX_BYTES = 16 * 1024 * 1024

const withApiKey =
  (apiKey: string): Interceptor =>
  (next) =>
  (request) => {
    request.header.set('authorization', `Bearer ${apiKey}`)
    return next(request)
  }

/**
 * Typed clients of every service over one gRPC connection, TCP or unix socket, opened by the first call.
 *
 * Failed calls throw CountersignError. Leaving the loop over a response stream cancels it. Refuses (TypeError) what
 * resolveEndpoint refuses, an API key that could not be sent in a header, and an API key together with an end user.
 */
export const createCountersignClient = (options: CountersignClientOptions): CountersignClient => {
  const { apiKey, endUser } = options
  if (apiKey !== undefined && endUser !== undefined) throw new TypeError('give apiKey or endUser')
  if (apiKey !== undefined && !/^[\x21-\x7e]+$/.test(apiKey)) throw new TypeError('apiKey is not a csk_… key')
  const { baseUrl, sessionOptions } = resolveEndpoint(options)
  const sessionManager = new Http2SessionManager(baseUrl, { pingIntervalMs: PING_INTERVAL_MS }, sessionOptions)
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager,
    interceptors: endUser === undefined ? (apiKey === undefined ? [] : [withApiKey(apiKey)]) : [withEndUser(endUser)],
    readMaxBytes: READ_MAX_BYTES,
    acceptCompression: [],
  })
  const timeoutMs = options.defaultTimeoutMs ?? DEFAULT_TIMEOUT_MS
  const close = () => sessionManager.abort()
  return {
    wallets: createServiceClient(WalletService, transport, timeoutMs),
    endUsers: createServiceClient(EndUserService, transport, timeoutMs),
    sessionKeys: createServiceClient(SessionKeyService, transport, timeoutMs),
    delegation: createServiceClient(DelegationService, transport, timeoutMs),
    audit: createServiceClient(AuditService, transport, timeoutMs),
    admin: createServiceClient(AdminService, transport, timeoutMs),
    close,
    [Symbol.dispose]: close,
  }
}
