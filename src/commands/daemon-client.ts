/** The daemon's API as the online commands call it: gRPC over its unix socket, or over TCP with `--endpoint`. */
import { connect as connectSocket } from 'node:net'
import { createClient, type Interceptor } from '@connectrpc/connect'
import { createGrpcTransport, Http2SessionManager } from '@connectrpc/connect-node'
import { AdminService } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { loadClientConfig, type Endpoint } from '../config/client-config.ts'
import type { Flags } from '../config/load-config.ts'
import type { Terminal } from './terminal.ts'

const UNARY_TIMEOUT_MS = 30_000

const sessionFor = (endpoint: Endpoint): { baseUrl: string; sessions: Http2SessionManager } => {
  if ('socket' in endpoint) {
    const baseUrl = 'http://localhost'
    const createConnection = () => connectSocket(endpoint.socket)
    return { baseUrl, sessions: new Http2SessionManager(baseUrl, undefined, { createConnection }) }
  }
  const options = endpoint.caPem === undefined ? undefined : { ca: endpoint.caPem }
  return { baseUrl: endpoint.url, sessions: new Http2SessionManager(endpoint.url, undefined, options) }
}

const connectDaemon = (flags: Flags, terminal: Terminal) => {
  const { endpoint, apiKey, warnings } = loadClientConfig(flags)
  for (const warning of warnings) terminal.note(`warning: ${warning}`)
  const { baseUrl, sessions } = sessionFor(endpoint)
  const authorize: Interceptor = (next) => (request) => {
    request.header.set('authorization', `Bearer ${new TextDecoder().decode(apiKey.reveal())}`)
    return next(request)
  }
  const transport = createGrpcTransport({
    baseUrl,
    sessionManager: sessions,
    interceptors: [authorize],
    defaultTimeoutMs: UNARY_TIMEOUT_MS,
  })
  return {
    wallets: createClient(WalletService, transport),
    admin: createClient(AdminService, transport),
    audit: createClient(AuditService, transport),
    [Symbol.dispose]: () => {
      apiKey.reveal().fill(0)
      sessions.abort()
    },
  }
}

export type DaemonClient = ReturnType<typeof connectDaemon>

/** Runs `use` with a connected client and closes the connection behind it. */
export const withDaemon = async <T>(
  flags: Flags,
  terminal: Terminal,
  use: (client: DaemonClient) => Promise<T>,
): Promise<T> => {
  using client = connectDaemon(flags, terminal)
  return await use(client)
}
