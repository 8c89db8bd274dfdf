import type { ClientSessionOptions, SecureClientSessionOptions } from 'node:http2'
import { connect as connectSocket, isIP } from 'node:net'

export type ClientTls = {
  /** PEM of the authorities to trust instead of the system's. */
  readonly ca?: string | Uint8Array
  /** PEM of the client's own certificate chain and key, for a daemon that asks for one (mTLS). */
  readonly cert?: string | Uint8Array
  readonly key?: string | Uint8Array
  /** The name the daemon's certificate must hold, where it differs from the endpoint's host. */
  readonly serverName?: string
}

export type EndpointOptions = {
  /** `host:port` of the daemon's gRPC listener. */
  readonly endpoint?: string | undefined
  /** Path of the daemon's unix socket. Give this or `endpoint`. */
  readonly socketPath?: string | undefined
  /** TLS to the endpoint. Without it the connection is plaintext and must stay on this machine. */
  readonly tls?: ClientTls | undefined
  /** Sends the API key in plaintext to another machine, for networks that encrypt below (a mesh, WireGuard). */
  readonly allowPlaintext?: boolean | undefined
}

export type GrpcEndpoint = {
  readonly baseUrl: string
  readonly sessionOptions: ClientSessionOptions | SecureClientSessionOptions
}

/** Whether only this machine can reach it. */
export const isLoopback = (host: string): boolean =>
  host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'))

const parseHost = (endpoint: string): string => {
  const match = /^(?:\[([0-9a-fA-F:.]+)\]|([^\s:/[\]@]+)):([0-9]{1,5})$/.exec(endpoint)
  const port = Number(match?.[3])
  if (match === null || port < 1 || port > 65_535) throw new TypeError(`endpoint is not host:port: ${endpoint}`)
  return (match[1] ?? match[2]) as string
}

const tlsOptions = (tls: ClientTls): SecureClientSessionOptions => ({
  ...(tls.ca === undefined ? {} : { ca: bytes(tls.ca) }),
  ...(tls.cert === undefined ? {} : { cert: bytes(tls.cert) }),
  ...(tls.key === undefined ? {} : { key: bytes(tls.key) }),
  ...(tls.serverName === undefined ? {} : { servername: tls.serverName }),
  minVersion: 'TLSv1.2',
})

const bytes = (pem: string | Uint8Array): string | Buffer => (typeof pem === 'string' ? pem : Buffer.from(pem))

/**
 * Where and how to connect. Refuses (TypeError) an endpoint that is not host:port, both or neither of endpoint and
 * socketPath, TLS over a unix socket, and plaintext beyond loopback unless it is asked for by name.
 */
export const resolveEndpoint = (options: EndpointOptions): GrpcEndpoint => {
  const { endpoint, socketPath, tls } = options
  if ((endpoint === undefined) === (socketPath === undefined)) throw new TypeError('give endpoint or socketPath')
  if (socketPath !== undefined) {
    if (tls !== undefined) throw new TypeError('a unix socket takes no tls')
    const createConnection = () => connectSocket(socketPath)
    return { baseUrl: 'http://localhost', sessionOptions: { createConnection } }
  }
  const host = parseHost(endpoint as string)
  if (tls !== undefined) return { baseUrl: `https://${endpoint}`, sessionOptions: tlsOptions(tls) }
  if (!isLoopback(host) && options.allowPlaintext !== true) {
    throw new TypeError(`plaintext to ${host} would show the API key to the network: give tls or allowPlaintext`)
  }
  return { baseUrl: `http://${endpoint}`, sessionOptions: {} }
}
