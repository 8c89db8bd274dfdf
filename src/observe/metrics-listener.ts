/** `GET /metrics` and nothing else, on a listener of its own, without TLS and without callers. */
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { failure } from '../domain/failure.ts'

export type MetricsListener = {
  /** `host:port`, with the port the system gave. */
  readonly address: string
  readonly close: () => Promise<void>
}

const SCRAPE_TIMEOUT_MS = 5_000
const MAX_CONNECTIONS = 16

const formatAddress = (host: string, port: number): string => (host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`)

/** Throws LISTEN_FAILED. `onError` hears of scrapes that failed; the scraper hears 500 alone. */
export const listenMetrics = async (
  { host, port }: { readonly host: string; readonly port: number },
  scrape: () => Promise<string>,
  contentType: string,
  onError: (error: unknown) => void,
): Promise<MetricsListener> => {
  const server = createServer({ requestTimeout: SCRAPE_TIMEOUT_MS, headersTimeout: SCRAPE_TIMEOUT_MS }, (request, response) => {
    request.resume()
    const refuse = (code: number): void => void response.writeHead(code).end()
    if (request.url?.split('?', 1)[0] !== '/metrics') return refuse(404)
    if (request.method !== 'GET') return refuse(405)
    scrape().then(
      (text) => response.writeHead(200, { 'content-type': contentType }).end(text),
      (error: unknown) => {
        onError(error)
        refuse(500)
      },
    )
  })
  server.maxConnections = MAX_CONNECTIONS
  await new Promise<void>((resolve, reject) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      reject(failure('LISTEN_FAILED', { address: formatAddress(host, port), why: error.code ?? 'it cannot be opened' })),
    )
    server.listen({ host, port }, resolve)
  })
  server.removeAllListeners('error')
  server.on('error', onError)
  const { port: bound } = server.address() as AddressInfo
  return {
    address: formatAddress(host, bound),
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve())
        server.closeAllConnections()
      }),
  }
}
