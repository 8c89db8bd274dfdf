/** The one way out for HTTP: to judged addresses, without redirects or proxies, within limits of time and size. */
import { Agent as HttpAgent, type IncomingMessage, type RequestOptions, request as requestHttp } from 'node:http'
import { Agent as HttpsAgent, request as requestHttps } from 'node:https'
import { isIP, type LookupFunction } from 'node:net'
import { rootCertificates } from 'node:tls'
import { type AllowList, parseAllowList } from './address-guard.ts'
import { EgressError } from './egress-error.ts'
import { type ResolveHost, resolveAllowed, systemResolve } from './resolve-host.ts'

export type EgressRequest = {
  readonly url: string
  readonly method: 'GET' | 'POST'
  /** Names in lower case. `host`, lengths and everything about the connection are not the caller's to set. */
  readonly headers?: Readonly<Record<string, string>> | undefined
  readonly body?: Uint8Array | undefined
  /** From the start to the end of the answer. */
  readonly timeoutMs: number
  /** From the start until the connection stands, TLS included; `timeoutMs` when absent. */
  readonly connectTimeoutMs?: number | undefined
  /** An answer with a longer body is given up as soon as it is seen to be. */
  readonly maxResponseBytes: number
  /** The body matters little: one that is too long, or does not end in time, is cut instead. */
  readonly cutsBody?: boolean | undefined
  readonly signal?: AbortSignal | undefined
}

export type EgressResponse = {
  /** Whatever it is; a redirect is an answer like any other and is not followed. */
  readonly status: number
  /** Names in lower case; of repeated ones the joined values. */
  readonly headers: Readonly<Record<string, string>>
  readonly body: Uint8Array
}

/** Throws EgressError. */
export type SendHttp = (request: EgressRequest) => Promise<EgressResponse>

export type EgressSettings = {
  /** Host names, addresses and networks (`10.0.0.0/8`) that may be reached although they are not public. */
  readonly allow: readonly string[]
  /** Certificates (PEM) trusted beside the well-known authorities. */
  readonly extraAuthorities?: string | undefined
  /** The system's resolver when absent. */
  readonly resolve?: ResolveHost | undefined
}

const MAX_URL_CHARACTERS = 2_048
const MAX_HEADER_BYTES = 16_384
const HTTPS_PORT = 443
const HEADER_NAME = /^[a-z0-9-]{1,64}$/
const HEADER_VALUE = /^[\t\u0020-\u007e]{0,8192}$/
/** They say where the request ends and which host is meant. */
const OWN_HEADERS: ReadonlySet<string> = new Set([
  'connection', 'content-length', 'expect', 'host', 'keep-alive', 'te', 'trailer', 'transfer-encoding', 'upgrade',
])

export type Target = { readonly url: URL; readonly host: string; readonly port: number; readonly isEncrypted: boolean }

/** Refuses what is no plain http(s) URL, and one with a name or password in it. */
export const readTarget = (text: string): Target => {
  const url = text.length <= MAX_URL_CHARACTERS && URL.canParse(text) ? new URL(text) : undefined
  const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (url === undefined || !isHttp || url.username !== '' || url.password !== '' || url.hostname === '')
    throw new EgressError('url_refused')
  const isEncrypted = url.protocol === 'https:'
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1')
  return { url, host, port: url.port === '' ? (isEncrypted ? HTTPS_PORT : 80) : Number(url.port), isEncrypted }
}

const checkHeaders = (headers: Readonly<Record<string, string>>): void => {
  for (const [name, value] of Object.entries(headers))
    if (!HEADER_NAME.test(name) || OWN_HEADERS.has(name) || !HEADER_VALUE.test(value))
      throw new Error(`assertion: ${name} is a header a caller may set`)
}

/** Answers the judged addresses, whatever it is asked. */
const pinnedTo = (addresses: readonly string[]): LookupFunction => {
  const records = addresses.map((address) => ({ address, family: isIP(address) }))
  return (_host, options, done) => {
    const [first] = records
    if (options.all === true) done(null, records)
    else if (first !== undefined) done(null, first.address, first.family)
  }
}

const CERTIFICATE_CODES = /^(?:CERT_|ERR_TLS_|UNABLE_TO_|DEPTH_ZERO_|SELF_SIGNED_|HOSTNAME_|INVALID_CA|INVALID_PURPOSE)/

const faultOf = (error: unknown, isConnected: boolean): EgressError => {
  if (error instanceof EgressError) return error
  const code = (error as NodeJS.ErrnoException).code ?? ''
  if (CERTIFICATE_CODES.test(code)) return new EgressError('certificate_refused')
  return new EgressError(isConnected ? 'broken' : 'connect_failed')
}

/** At most the first `maxBytes`, or what has come when the connection ends, for whatever reason. */
const readStart = async (response: IncomingMessage, maxBytes: number): Promise<Uint8Array> => {
  const chunks: Buffer[] = []
  let left = maxBytes
  try {
    for await (const chunk of response as AsyncIterable<Buffer>) {
      chunks.push(chunk.subarray(0, left))
      left -= chunk.length
      if (left <= 0) break
    }
  } catch {
    // The status stands.
  }
  return Buffer.concat(chunks)
}

const readBody = async (response: IncomingMessage, maxBytes: number): Promise<Uint8Array> => {
  const declared = Number(response.headers['content-length'] ?? 0)
  if (declared > maxBytes) throw new EgressError('response_too_large')
  const chunks: Buffer[] = []
  let length = 0
  for await (const chunk of response as AsyncIterable<Buffer>) {
    length += chunk.length
    if (length > maxBytes) throw new EgressError('response_too_large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const flatHeaders = (response: IncomingMessage): Record<string, string> =>
  Object.fromEntries(
    Object.entries(response.headers).flatMap(([name, value]) =>
      value === undefined ? [] : [[name, Array.isArray(value) ? value.join(', ') : value]],
    ),
  )

/** Sends and reads over a connection of its own; settles when `given up` does. */
const exchange = (target: Target, options: RequestOptions, wanted: EgressRequest, watch: Watch): Promise<EgressResponse> =>
  new Promise((resolve, reject) => {
    let isConnected = false
    let keepsStatus = false
    const send = target.isEncrypted ? requestHttps : requestHttp
    const sent = send(target.url, options)
    const fail = (error: unknown): void => {
      sent.destroy()
      if (!keepsStatus) reject(faultOf(error, isConnected))
    }
    watch.onGivenUp(fail)
    sent.on('error', fail)
    sent.once('socket', (socket) =>
      socket.once(target.isEncrypted ? 'secureConnect' : 'connect', () => {
        isConnected = true
        watch.connected()
      }),
    )
    // Nothing is switched to, and a tunnel is nothing this daemon asks for.
    sent.once('upgrade', () => fail(new EgressError('broken')))
    sent.once('response', (response) => {
      keepsStatus = wanted.cutsBody === true
      const read = keepsStatus ? readStart : readBody
      read(response, wanted.maxResponseBytes).then(
        (body) => resolve({ status: response.statusCode ?? 0, headers: flatHeaders(response), body }),
        fail,
      )
    })
    sent.end(wanted.body)
  })

type Watch = {
  readonly connected: () => void
  readonly onGivenUp: (run: (error: EgressError) => void) => void
  readonly givenUp: Promise<never>
  readonly [Symbol.dispose]: () => void
}

/** One end for all reasons to give up: no connection in time, no answer in time, nobody waits any more. */
const watchOver = ({ timeoutMs, connectTimeoutMs, signal }: EgressRequest): Watch => {
  const { promise, reject } = Promise.withResolvers<never>()
  promise.catch(() => {})
  const giveUp = (fault: 'timeout' | 'aborted') => () => reject(new EgressError(fault))
  const total = setTimeout(giveUp('timeout'), timeoutMs)
  const connecting = setTimeout(giveUp('timeout'), connectTimeoutMs ?? timeoutMs)
  const abort = giveUp('aborted')
  if (signal?.aborted === true) abort()
  signal?.addEventListener('abort', abort, { once: true })
  return {
    connected: () => clearTimeout(connecting),
    onGivenUp: (run) => void promise.catch(run),
    givenUp: promise,
    [Symbol.dispose]: () => {
      clearTimeout(total)
      clearTimeout(connecting)
      signal?.removeEventListener('abort', abort)
    },
  }
}

const authorities = (extra: string | undefined): { readonly ca?: string[] } =>
  extra === undefined ? {} : { ca: [...rootCertificates, extra] }

/** Throws on an allow list that does not parse. */
export const createHttpEgress = ({ allow, extraAuthorities, resolve = systemResolve }: EgressSettings): SendHttp => {
  const allowed: AllowList = parseAllowList(allow)
  const trusted = authorities(extraAuthorities)
  return async (wanted) => {
    const target = readTarget(wanted.url)
    checkHeaders(wanted.headers ?? {})
    using watch = watchOver(wanted)
    const destination = { ...target, usualPorts: [HTTPS_PORT] }
    const addresses = await Promise.race([resolveAllowed(allowed, resolve, destination), watch.givenUp])
    // Agents of its own: the process-wide ones may have been told to use a proxy.
    const agent = target.isEncrypted ? new HttpsAgent() : new HttpAgent()
    const options = {
      method: wanted.method,
      headers: {
        'user-agent': 'countersign',
        'accept-encoding': 'identity',
        ...wanted.headers,
        ...(wanted.body === undefined ? {} : { 'content-length': String(wanted.body.length) }),
      },
      agent,
      lookup: pinnedTo(addresses),
      maxHeaderSize: MAX_HEADER_BYTES,
      ...(target.isEncrypted ? { ...trusted, rejectUnauthorized: true, minVersion: 'TLSv1.2' as const } : {}),
    }
    try {
      return await exchange(target, options, wanted, watch)
    } finally {
      agent.destroy()
    }
  }
}
