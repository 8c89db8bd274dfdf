/** The second port: Connect JSON, gRPC-Web and gRPC over HTTP/1.1 and HTTP/2, for curl, browsers and consoles. */
import { createServer as createHttp1Server } from 'node:http'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { createSecureServer, createServer as createHttp2Server } from 'node:http2'
import type { Http2ServerRequest, Http2ServerResponse, ServerHttp2Session } from 'node:http2'
import type { AddressInfo, Server, Socket } from 'node:net'
import { TLSSocket } from 'node:tls'
import type { ConnectRouter, HandlerContext } from '@connectrpc/connect'
import { createContextValues } from '@connectrpc/connect'
import { connectNodeAdapter } from '@connectrpc/connect-node'
import { arrivalKey, watchArrival } from './arrival.ts'
import type { CertificateFiles, TlsMaterial } from './certificate-files.ts'
import { answerWeb, NO_WEB, type WebSettings } from './cross-origin.ts'
import { explainFrameworkErrors, noteHandlerStarted } from './framework-errors.ts'
import type { ListenAddress } from './listen-address.ts'
import { formatAddress, listenFailed } from './listen-address.ts'
import type { MountedService } from './mounted-services.ts'
import { BODY_TIMEOUT_MS, maxRequestBytes } from './mounted-services.ts'
import type { CertificateIdentities, Peer } from './peer.ts'
import { peerKey, tcpPeer } from './peer.ts'
import { createSniffingServer } from './sniffing-server.ts'
import { openWebhookInbox, type WebhookInbox } from './webhook-inbox.ts'

export type ConnectListenerSettings = {
  readonly services: readonly MountedService[]
  readonly maxStreamsPerConnection: number
  /** Time for a unary request to arrive whole; absent for BODY_TIMEOUT_MS. */
  readonly bodyTimeoutMs?: number
  /** Absent: no page may call, and there are no keys. */
  readonly web?: WebSettings | undefined
  /** Absent: no webhooks are taken. */
  readonly inbox?: WebhookInbox | undefined
  /** Rejects with what the call is to be refused with, before its body is read. */
  readonly gate: (service: MountedService['name'], context: HandlerContext) => Promise<void>
  readonly onMaskedError: (where: string, error: unknown) => void
}

export type ConnectListener = {
  /** `host:port` */
  readonly address: string
  /** Takes no more connections, and resolves when those there are have ended. */
  readonly drain: () => Promise<void>
  readonly close: () => void
}

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

const isHttp2 = (request: Request): request is Http2ServerRequest => 'stream' in request

const MAX_CONNECTIONS = 4_096
const MAX_HEADER_BYTES = 16_384

const peerOf = (request: Request, identities: CertificateIdentities): Peer => {
  const socket = isHttp2(request) ? request.stream.session?.socket : request.socket
  const isVerified = identities.size > 0 && socket instanceof TLSSocket && socket.authorized
  return tcpPeer(socket?.remoteAddress, isVerified ? socket.getPeerCertificate() : undefined, identities)
}

const mount = (router: ConnectRouter, settings: ConnectListenerSettings): void => {
  for (const { name, desc, implementation } of settings.services) {
    for (const method of desc.methods) {
      const implement: unknown = implementation[method.localName]
      if (typeof implement !== 'function') throw new Error(`assertion: ${method.name} is implemented`)
      const run = (request: unknown, context: HandlerContext): unknown => {
        noteHandlerStarted(context)
        return implement.call(implementation, request, context)
      }
      router.rpc(method, run as never, {
        readMaxBytes: maxRequestBytes(method),
        requestGate: (context) => {
          explainFrameworkErrors(context)
          return settings.gate(name, context)
        },
      })
    }
  }
}

/** Ends an HTTP/2 request whose body does not arrive in time; HTTP/1.1 has this built in. */
const limitBody = ({ stream }: Http2ServerRequest, timeoutMs: number): void => {
  const timer = setTimeout(() => stream.close(), timeoutMs)
  const clear = (): void => clearTimeout(timer)
  stream.once('end', clear)
  stream.once('close', clear)
}

/** What is misspelt or not UTF-8 is refused: ignored or repaired, it would be signed as something else. */
const JSON_OPTIONS = { ignoreUnknownFields: false, textDecoder: new TextDecoder('utf-8', { fatal: true }) }

const createHandler = (settings: ConnectListenerSettings, identities: CertificateIdentities) => {
  const handle = connectNodeAdapter({
    routes: (router) => mount(router, settings),
    contextValues: (request) =>
      createContextValues().set(peerKey, peerOf(request, identities)).set(arrivalKey, watchArrival(request)),
    acceptCompression: [],
    jsonOptions: JSON_OPTIONS,
  })
  const bodyTimeoutMs = settings.bodyTimeoutMs ?? BODY_TIMEOUT_MS
  const streaming = new Set(
    settings.services.flatMap(({ desc }) =>
      desc.methods
        .filter(({ methodKind }) => methodKind === 'client_streaming' || methodKind === 'bidi_streaming')
        .map(({ name }) => `/${desc.typeName}/${name}`),
    ),
  )
  const takeWebhook = openWebhookInbox(settings.inbox)
  return (request: Request, response: Response): void => {
    try {
      if (isHttp2(request) && !streaming.has(request.url)) limitBody(request, bodyTimeoutMs)
      if (takeWebhook(request, response)) return
      if (answerWeb(settings.web ?? NO_WEB, request, response)) return
      handle(request, response)
    } catch {
      // A host header that makes no URL, for one. Thrown inside an event listener it would end the process.
      if (!response.headersSent) response.statusCode = 400
      response.end()
    }
  }
}

type Servers = {
  readonly listening: Server
  readonly closeIdle: () => void
  readonly closeAll: () => void
}

const http1Options = ({ bodyTimeoutMs = BODY_TIMEOUT_MS }: ConnectListenerSettings) => ({
  maxHeaderSize: MAX_HEADER_BYTES,
  headersTimeout: bodyTimeoutMs,
  requestTimeout: bodyTimeoutMs,
  connectionsCheckingInterval: Math.min(1_000, bodyTimeoutMs),
  keepAliveTimeout: 60_000,
})

const http2Options = (maxConcurrentStreams: number) => ({
  maxSessionMemory: 16,
  settings: { maxConcurrentStreams, maxHeaderListSize: MAX_HEADER_BYTES },
})

const secureContext = ({ cert, key, ca }: TlsMaterial) => ({
  cert,
  key,
  ...(ca === undefined ? {} : { ca }),
  minVersion: 'TLSv1.3' as const,
})

type Handler = ReturnType<typeof createHandler>

const trackSessions = () => {
  const sessions = new Set<ServerHttp2Session>()
  return {
    add: (session: ServerHttp2Session): void => {
      sessions.add(session)
      session.once('close', () => sessions.delete(session))
    },
    closeIdle: (): void => {
      for (const session of sessions) session.close()
    },
    closeAll: (): void => {
      for (const session of sessions) session.destroy()
    },
  }
}

const createSecure = (
  settings: ConnectListenerSettings,
  handler: Handler,
  certificates: CertificateFiles,
): Servers => {
  const requestCert = certificates.needsClientCertificate
  const server = createSecureServer(
    {
      ...http2Options(settings.maxStreamsPerConnection),
      ...http1Options(settings),
      ...secureContext(certificates.material),
      allowHTTP1: true,
      requestCert,
      rejectUnauthorized: requestCert,
      handshakeTimeout: 5_000,
    },
    handler,
  )
  certificates.onChange((material) => server.setSecureContext(secureContext(material)))
  const sessions = trackSessions()
  const sockets = new Set<Socket>()
  server.on('session', sessions.add)
  server.on('secureConnection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
    socket.on('error', () => socket.destroy())
  })
  return {
    listening: server,
    closeIdle: sessions.closeIdle,
    closeAll: () => {
      sessions.closeAll()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const createPlain = (settings: ConnectListenerSettings, handler: Handler): Servers => {
  const http1 = createHttp1Server(http1Options(settings), handler)
  const http2 = createHttp2Server(http2Options(settings.maxStreamsPerConnection), handler)
  // It listens nowhere itself; this starts its watch over headers and bodies that do not arrive.
  http1.emit('listening')
  const sessions = trackSessions()
  const sockets = new Set<Socket>()
  http2.on('session', sessions.add)
  const listening = createSniffingServer(http1, http2)
  listening.on('connection', (socket) => {
    sockets.add(socket)
    socket.once('close', () => sockets.delete(socket))
  })
  return {
    listening,
    closeIdle: () => {
      http1.close()
      sessions.closeIdle()
    },
    closeAll: () => {
      sessions.closeAll()
      for (const socket of sockets) socket.destroy()
    },
  }
}

const listen = (server: Server, { host, port }: ListenAddress): Promise<number> =>
  new Promise((resolve, reject) => {
    server.once('error', (error) => reject(listenFailed(formatAddress({ host, port }), error)))
    server.listen({ host, port }, () => {
      const { port: bound } = server.address() as AddressInfo
      server.removeAllListeners('error')
      resolve(bound)
    })
  })

/** Listens on TCP; with `identities`, callers are who their certificates say. Throws LISTEN_FAILED. */
export const listenConnect = async (
  settings: ConnectListenerSettings,
  address: ListenAddress,
  certificates: CertificateFiles | undefined,
  identities: CertificateIdentities,
): Promise<ConnectListener> => {
  const handler = createHandler(settings, identities)
  const { listening, closeIdle, closeAll } =
    certificates === undefined ? createPlain(settings, handler) : createSecure(settings, handler, certificates)
  listening.maxConnections = MAX_CONNECTIONS
  const port = await listen(listening, address)
  listening.on('error', (error) => settings.onMaskedError('connect listener', error))
  return {
    address: formatAddress({ host: address.host, port }),
    drain: () =>
      new Promise((resolve) => {
        listening.close(() => resolve())
        closeIdle()
      }),
    close: closeAll,
  }
}
