/**
 * Where a daemon, its cosigner and a delegate's sidecar are: all on this machine's loopback in plain text; or each in a
 * network namespace of its own, the daemon with a certificate, as on three machines. Callers come over unix sockets, or over
 * the loopback.
 */
import { writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import type { EndpointOptions } from '../../src/client/grpc-endpoint.ts'
import { createAuthority, issue } from '../rpc/support/certificates.ts'
import { type Network, openNetwork } from './network-namespaces.ts'
import type { Endpoints } from './start-daemon.ts'

export const HOSTS = ['daemon', 'cosigner', 'sidecar'] as const
export type Host = (typeof HOSTS)[number]

export type Places = {
  /** Undefined on the loopback. */
  readonly network: Network | undefined
  readonly through: (host: Host) => readonly string[]
  /** Where each listens; port 0 where any will do. The sidecar's is its Connect listener. */
  readonly listen: Readonly<Record<Host, string>>
  readonly scheme: 'http' | 'https'
  /** The certificate of this host, as options of its daemon. */
  readonly tlsArgs: (host: 'daemon' | 'sidecar') => readonly string[]
  /** PEM of who certified both. */
  readonly authorityFile: string | undefined
  /** How a caller on this machine gets there. */
  readonly callersWay: (endpoints: Endpoints) => EndpointOptions
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

/** A port that was free a moment ago. */
const freePort = async (): Promise<number> => {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  await new Promise((resolve) => server.close(resolve))
  return port
}

export const placesOnLoopback = async (): Promise<Places> => ({
  network: undefined,
  through: () => [],
  listen: { daemon: '127.0.0.1:0', cosigner: '127.0.0.1:0', sidecar: `127.0.0.1:${await freePort()}` },
  scheme: 'http',
  tlsArgs: () => [],
  authorityFile: undefined,
  callersWay: ({ grpc }) => ({ endpoint: grpc }),
  [Symbol.asyncDispose]: async () => undefined,
})

const CERTIFICATE_MS = 86_400_000

/** `directory`: for certificates and keys. Throws where namespaces cannot be made. */
export const placesInNamespaces = async (directory: string): Promise<Places> => {
  const network = await openNetwork([['daemon', 'cosigner'], ['daemon', 'sidecar']])
  const at = {
    daemon: network.addressOf('daemon', 'sidecar'),
    cosigner: network.addressOf('cosigner', 'daemon'),
    sidecar: network.addressOf('sidecar', 'daemon'),
  }
  const authority = createAuthority('three hosts')
  const authorityFile = join(directory, 'authority.pem')
  writeFileSync(authorityFile, authority.cert)
  const files = (host: Host) => ({ cert: join(directory, `${host}.pem`), key: join(directory, `${host}.key`) })
  for (const host of ['daemon', 'sidecar'] as const) {
    const { cert, key } = issue(authority, { commonName: host, addresses: [at[host]], notAfterMs: CERTIFICATE_MS })
    writeFileSync(files(host).cert, cert)
    writeFileSync(files(host).key, key, { mode: 0o600 })
  }
  return {
    network,
    through: (host) => network.through(host),
    listen: { daemon: `${at.daemon}:50051`, cosigner: `${at.cosigner}:50061`, sidecar: `${at.sidecar}:50052` },
    scheme: 'https',
    tlsArgs: (host) => ['--tls-cert-file', files(host).cert, '--tls-key-file', files(host).key],
    authorityFile,
    callersWay: ({ socket }) => ({ socketPath: socket }),
    [Symbol.asyncDispose]: () => network[Symbol.asyncDispose](),
  }
}
