/**
 * What a browser sends along with a call, and what it is given to keep: the origin of the page that calls, and the refresh
 * token as a cookie that no page can read.
 *
 * Nobody else's page can use the cookie: it is sent to this service's path and by pages of the same site only
 * (SameSite=Strict), and whoever calls with an `Origin` must be a page of the project's own, which the use case checks
 * before anything else. It is not looked at in calls without an `Origin`, which no page can make.
 */
import type { HandlerContext } from '@connectrpc/connect'
import { GrpcCallContext } from './grpc-call-context.ts'

export type WebExchange = {
  /** Undefined when no browser calls. */
  readonly origin: string | undefined
  /** Empty when there is none. */
  readonly refreshCookie: string
  readonly giveRefreshCookie: (token: string, maxAgeSeconds: number) => void
  readonly takeRefreshCookie: () => void
}

const REFRESH_COOKIE = 'countersign_refresh_token'
const PATH = '/countersign.v1.EndUserService/'

/** Of one that was set twice neither is believed. */
const readCookie = (header: string | null): string => {
  const values = (header ?? '').split(/;\s*/).flatMap((pair) => {
    const [name, value] = [pair.slice(0, pair.indexOf('=')), pair.slice(pair.indexOf('=') + 1)]
    return name === REFRESH_COOKIE ? [value] : []
  })
  return values.length === 1 ? (values[0] ?? '') : ''
}

const NO_BROWSER: WebExchange = {
  origin: undefined,
  refreshCookie: '',
  giveRefreshCookie: () => {},
  takeRefreshCookie: () => {},
}

export const webExchangeOf = (context: HandlerContext): WebExchange => {
  const origin = context instanceof GrpcCallContext ? null : context.requestHeader.get('origin')
  if (origin === null) return NO_BROWSER
  const set = (value: string, maxAgeSeconds: number): void =>
    context.responseHeader.append(
      'set-cookie',
      `${REFRESH_COOKIE}=${value}; Max-Age=${maxAgeSeconds}; Path=${PATH}; HttpOnly; Secure; SameSite=Strict`,
    )
  return {
    origin,
    refreshCookie: readCookie(context.requestHeader.get('cookie')),
    giveRefreshCookie: set,
    takeRefreshCookie: () => set('', 0),
  }
}
