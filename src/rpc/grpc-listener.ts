/**
 * grpc-js servers: one for TCP, and one for each unix socket, so that a socket's identity can belong to nothing
 * else.
 */
import { constants } from 'node:http2'
import type { Http2Server, ServerHttp2Stream } from 'node:http2'
import { logVerbosity, Server, ServerInterceptingCall, setLogVerbosity } from '@grpc/grpc-js'
import type { ServerInterceptor, ServerOptions } from '@grpc/grpc-js'
import { failure } from '../domain/failure.ts'
import type { ApiKeyId } from '../domain/ids.ts'
import type { CertificateFiles } from './certificate-files.ts'
import type { GrpcAdapterOptions } from './grpc-adapter.ts'
import { mountOnGrpc, toGrpcStatus } from './grpc-adapter.ts'
import type { GrpcCall } from './grpc-call-context.ts'
import { grpcCredentials } from './grpc-credentials.ts'
import type { ListenAddress } from './listen-address.ts'
import { formatAddress, listenFailed } from './listen-address.ts'
import type { MountedService } from './mounted-services.ts'
import { BODY_TIMEOUT_MS, MAX_TRANSACTION_REQUEST_BYTES, maxRequestBytes } from './mounted-services.ts'
import type { CertificateIdentities, Peer } from './peer.ts'
import { tcpPeer, unixPeer } from './peer.ts'
import { toStatusError } from './status.ts'
import { bindPrivately, clearSocketPath } from './unix-socket.ts'

export type GrpcListenerSettings = {
  readonly services: readonly MountedService[]
  readonly maxStreamsPerConnection: number
  /** Time for a unary request to arrive whole; absent for BODY_TIMEOUT_MS. */
  readonly bodyTimeoutMs?: number
  readonly onMaskedError: GrpcAdapterOptions['onMaskedError']
}

export type GrpcListener = {
  /** `host:port`, or the socket's path. */
  readonly address: string
  /** Takes no more connections and calls, and resolves when those there are have ended. */
  readonly drain: () => Promise<void>
  /** Ends what is left at once. */
  readonly close: () => void
}

const serverOptions = (maxStreamsPerConnection: number): ServerOptions => ({
  'grpc.max_concurrent_streams': maxStreamsPerConnection,
  'grpc-node.max_session_memory': 16,
  'grpc.max_receive_message_length': MAX_TRANSACTION_REQUEST_BYTES,
  'grpc.enable_channelz': 0,
  'grpc.keepalive_time_ms': 60_000,
  'grpc.keepalive_timeout_ms': 20_000,
  'grpc.keepalive_permit_without_calls': 1,
  'grpc.max_connection_idle_ms': 5 * 60_000,
  // Without a grace period, so that a connection with a live stream outlives this.
  'grpc.max_connection_age_ms': 10 * 60_000,
})

const LINGER_MS = 1_000
const BODY_TOO_SLOW = toGrpcStatus(toStatusError(failure('DEADLINE_EXCEEDED', {})))

/**
 * Resets what a client still has open once its call has ended. grpc-js answers and then waits for the client's end of
 * the stream, for ever if need be; it offers no way to reach the stream, so this looks inside.
 */
const resetStream = (call: object): void => {
  const { stream } = call as { readonly stream?: ServerHttp2Stream }
  if (stream === undefined || stream.destroyed) return
  // Not at once: a reset overtakes the status on its way out.
  const timer = setTimeout(() => stream.close(constants.NGHTTP2_NO_ERROR), LINGER_MS)
  stream.once('close', () => clearTimeout(timer))
}

/** A request that has not arrived whole in time is ended; grpc-js itself would wait for ever. */
const bodyDeadline =
  (timeoutMs: number): ServerInterceptor =>
  (method, call) => {
    let isWhole = false
    return new ServerInterceptingCall(call, {
      start: (next) => {
        const timer = method.requestStream
          ? undefined
          : setTimeout(() => call.sendStatus(BODY_TOO_SLOW), timeoutMs)
        next({
          onReceiveHalfClose: (pass) => {
            isWhole = true
            clearTimeout(timer)
            pass()
          },
          onCancel: () => {
            clearTimeout(timer)
            if (!isWhole) resetStream(call)
          },
        })
      },
    })
  }

const createServer = (settings: GrpcListenerSettings, peerOf: (call: GrpcCall) => Peer): Server => {
  // It writes to stderr by itself; what it has to say arrives here as errors.
  setLogVerbosity(logVerbosity.NONE)
  const server = new Server({
    ...serverOptions(settings.maxStreamsPerConnection),
    interceptors: [bodyDeadline(settings.bodyTimeoutMs ?? BODY_TIMEOUT_MS)],
  })
  for (const { desc, implementation } of settings.services) {
    const { onMaskedError } = settings
    const mounted = mountOnGrpc(desc, implementation, { maxRequestBytes, peerOf, onMaskedError })
    server.addService(mounted.definition, mounted.implementation)
  }
  return server
}

const bind = (server: Server, target: string, address: string, certificates?: CertificateFiles): Promise<number> =>
  new Promise((resolve, reject) => {
    server.bindAsync(target, grpcCredentials(certificates), (error, port) => {
      if (error !== null) return reject(listenFailed(address, error))
      widenWindows(server)
      resolve(port)
    })
  })

/**
 * What a client may have under way before it hears that it was read: a delegate's presign session would wait for the
 * distance a dozen times with HTTP/2's own 64 KiB. Before a connection is there; grpc-js has no option for it.
 */
const WINDOW_BYTES = 1024 * 1024

const serversOf = (server: Server): ReadonlyMap<Http2Server, unknown> =>
  (server as unknown as { readonly http2Servers: ReadonlyMap<Http2Server, unknown> }).http2Servers

const widenWindows = (server: Server): void => {
  for (const listening of serversOf(server).keys()) {
    listening.on('session', (session) => {
      session.settings({ initialWindowSize: WINDOW_BYTES })
      session.setLocalWindowSize(WINDOW_BYTES)
    })
  }
}

const LOOK_AGAIN_MS = 20

/**
 * Resolves when every connection has ended. grpc-js waits for ever for one that broke in the same turn of the loop: its
 * session is destroyed by then, and closing it calls nobody back. What it serves on leaves its list once the last
 * connection is gone, so this looks there too.
 */
const drained = (server: Server): Promise<void> =>
  new Promise((resolve) => {
    const finish = (): void => {
      clearInterval(look)
      resolve()
    }
    const look = setInterval(() => serversOf(server).size === 0 && finish(), LOOK_AGAIN_MS)
    server.tryShutdown(finish)
  })

const control = (server: Server, address: string): GrpcListener => ({
  address,
  drain: () => drained(server),
  close: () => server.forceShutdown(),
})

/** `198.51.100.7:4711` or `2001:db8::7:4711` → the address. */
const addressOf = (peer: string): string | undefined => {
  const colon = peer.lastIndexOf(':')
  return colon > 0 ? peer.slice(0, colon) : undefined
}

/** Listens on TCP; with `identities`, callers are who their certificates say. Throws LISTEN_FAILED. */
export const listenGrpcOnTcp = async (
  settings: GrpcListenerSettings,
  address: ListenAddress,
  certificates: CertificateFiles | undefined,
  identities: CertificateIdentities,
): Promise<GrpcListener> => {
  const needsCertificate = identities.size > 0
  const server = createServer(settings, (call) => {
    const certificate = needsCertificate ? call.getAuthContext().sslPeerCertificate : undefined
    return tcpPeer(addressOf(call.getPeer()), certificate, identities)
  })
  try {
    const port = await bind(server, formatAddress(address), formatAddress(address), certificates)
    return control(server, formatAddress({ host: address.host, port }))
  } catch (error) {
    server.forceShutdown()
    throw error
  }
}

export type SocketSettings = {
  readonly path: string
  /** Every caller of this socket is this API key. */
  readonly boundApiKeyId: ApiKeyId | undefined
  readonly onStaleRemoved: (path: string) => void
}

/** Listens on a unix socket of mode 0600, in place of one that nobody answers any more. Throws LISTEN_FAILED. */
export const listenGrpcOnSocket = async (
  settings: GrpcListenerSettings,
  { path, boundApiKeyId, onStaleRemoved }: SocketSettings,
): Promise<GrpcListener> => {
  if (await clearSocketPath(path)) onStaleRemoved(path)
  const peer = unixPeer(boundApiKeyId)
  const server = createServer(settings, () => peer)
  try {
    await bindPrivately(path, async () => {
      await bind(server, `unix:${path}`, path)
    })
    return control(server, path)
  } catch (error) {
    server.forceShutdown()
    throw error
  }
}
