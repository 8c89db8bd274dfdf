/**
 * The web side of the Connect port: which pages of other origins may read its answers (CORS; closed by default), and the
 * public keys of access tokens. Which calls a page may make for which project is looked at with the call itself: a
 * preflight names no project.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Http2ServerRequest, Http2ServerResponse } from 'node:http2'

export type WebSettings = {
  /** Whether any project lists the origin. */
  readonly isAllowedOrigin: (origin: string) => boolean
  /** The public keys of access tokens (RFC 7517). */
  readonly keySet: () => object
}

export const NO_WEB: WebSettings = { isAllowedOrigin: () => false, keySet: () => ({ keys: [] }) }

type Request = IncomingMessage | Http2ServerRequest
type Response = ServerResponse | Http2ServerResponse

const KEY_SET_PATH = '/.well-known/jwks.json'
const KEY_SET_SECONDS = 300
const PREFLIGHT_SECONDS = 600
const REQUEST_HEADERS = [
  'authorization', 'connect-protocol-version', 'connect-timeout-ms', 'content-type', 'grpc-timeout', 'x-grpc-web', 'x-user-agent',
  'x-us-env', 'x-wallet-auth', 'x-wallet-secret-id',
]
const ANSWER_HEADERS = ['countersign-timing', 'trailer-countersign-timing', 'grpc-message', 'grpc-status', 'grpc-status-details-bin', 'retry-after']

/** Both kinds of response take headers the same way; their types are not each other's. */
type Head = { statusCode: number; setHeader: (name: string, value: string) => unknown; end: (body?: string) => unknown }

const answerKeySet = (response: Head, method: string | undefined, keySet: object): void => {
  if (method !== 'GET' && method !== 'HEAD') {
    response.statusCode = 405
    response.setHeader('allow', 'GET')
    response.end()
    return
  }
  response.setHeader('content-type', 'application/json')
  response.setHeader('cache-control', `public, max-age=${KEY_SET_SECONDS}`)
  // They are everybody's.
  response.setHeader('access-control-allow-origin', '*')
  response.end(method === 'GET' ? JSON.stringify(keySet) : undefined)
}

/** Answers what is no call; of a call, says who may read the answer. True when the request is answered. */
export const answerWeb = (settings: WebSettings, request: Request, response: Response): boolean => {
  const head = response as unknown as Head
  if (request.url?.split('?', 1)[0] === KEY_SET_PATH) {
    answerKeySet(head, request.method, settings.keySet())
    return true
  }
  const { origin } = request.headers
  if (origin === undefined) return false
  head.setHeader('vary', 'Origin')
  const isAllowed = settings.isAllowedOrigin(origin)
  if (isAllowed) {
    head.setHeader('access-control-allow-origin', origin)
    head.setHeader('access-control-allow-credentials', 'true')
    head.setHeader('access-control-expose-headers', ANSWER_HEADERS.join(', '))
  }
  const isPreflight = request.method === 'OPTIONS' && request.headers['access-control-request-method'] !== undefined
  if (!isPreflight) return false
  if (isAllowed) {
    head.setHeader('access-control-allow-methods', 'POST')
    head.setHeader('access-control-allow-headers', REQUEST_HEADERS.join(', '))
    head.setHeader('access-control-max-age', String(PREFLIGHT_SECONDS))
  }
  head.statusCode = isAllowed ? 204 : 403
  head.end()
  return true
}
