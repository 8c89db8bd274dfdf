/**
 * Connect's view of a grpc-js call, so that one implementation serves both. Headers and the abort signal are made
 * when they are asked for: most calls never do, and they cost more than the rest of the call.
 */
import type { PeerCertificate } from 'node:tls'
import { Code, ConnectError, createContextValues } from '@connectrpc/connect'
import type { ContextValues, HandlerContext } from '@connectrpc/connect'
import type { DescMethod, DescService } from '@bufbuild/protobuf'
import { Metadata } from '@grpc/grpc-js'
import type { Ending } from './call-limit.ts'

/** What the four call types of grpc-js have in common. */
export type GrpcCall = {
  readonly cancelled: boolean
  readonly metadata: Metadata
  readonly getPath: () => string
  readonly getHost: () => string
  /** `address:port`; `unknown` for a unix socket. */
  readonly getPeer: () => string
  /** Holds the client's certificate when it was verified. */
  readonly getAuthContext: () => { readonly sslPeerCertificate?: PeerCertificate }
  readonly getDeadline: () => Date | number
  readonly sendMetadata: (metadata: Metadata) => void
  readonly once: (event: 'cancelled', listener: () => void) => unknown
}

/** Shared by all calls: building an error for each costs a third of the throughput. */
const CALL_CANCELLED = new ConnectError('the call was cancelled', Code.Canceled)
const CALL_ENDED = new ConnectError('the call has ended', Code.Canceled)

const toHeaders = (metadata: Metadata): Headers => {
  const headers = new Headers()
  for (const [name, values] of Object.entries(metadata.toJSON())) {
    for (const value of values) {
      const text = typeof value === 'string' ? value : value.toString('base64').replace(/=+$/, '')
      headers.append(name, text)
    }
  }
  return headers
}

const toMetadata = (headers: Headers): Metadata => {
  const metadata = new Metadata()
  for (const [name, value] of headers)
    metadata.add(name, name.endsWith('-bin') ? Buffer.from(value, 'base64') : value)
  return metadata
}

export class GrpcCallContext implements HandlerContext {
  readonly protocolName = 'grpc'
  readonly requestMethod = 'POST'
  readonly method: DescMethod
  readonly values: ContextValues = createContextValues()
  /** The request as it came; on a stream of requests the first one, once it came. */
  requestBytes: Uint8Array | undefined
  readonly #call: GrpcCall
  #controller: AbortController | undefined
  #requestHeader: Headers | undefined
  #responseHeader: Headers | undefined
  #responseTrailer: Headers | undefined
  #textTrailer: { readonly name: string; readonly text: string } | undefined
  #isEnded = false
  #isHeaderSent = false

  constructor(method: DescMethod, call: GrpcCall) {
    this.method = method
    this.#call = call
  }

  get service(): DescService {
    return this.method.parent
  }

  get authority(): string {
    return this.#call.getHost()
  }

  get url(): string {
    return `http://${this.#call.getHost()}${this.#call.getPath()}`
  }

  get requestHeader(): Headers {
    this.#requestHeader ??= toHeaders(this.#call.metadata)
    return this.#requestHeader
  }

  get responseHeader(): Headers {
    this.#responseHeader ??= new Headers()
    return this.#responseHeader
  }

  get responseTrailer(): Headers {
    this.#responseTrailer ??= new Headers()
    return this.#responseTrailer
  }

  get signal(): AbortSignal {
    if (this.#controller === undefined) {
      const controller = new AbortController()
      this.#controller = controller
      if (this.#call.cancelled) controller.abort(CALL_CANCELLED)
      else if (this.#isEnded) controller.abort(CALL_ENDED)
      else this.#call.once('cancelled', () => controller.abort(CALL_CANCELLED))
    }
    return this.#controller.signal
  }

  /** The client goes away. As `signal`, without the cost of making one. */
  get client(): Ending {
    const call = this.#call
    const listeners = new Set<() => void>()
    call.once('cancelled', () => listeners.forEach((listener) => listener()))
    return {
      get hasCome() {
        return call.cancelled
      },
      reason: CALL_CANCELLED,
      add: (listener) => listeners.add(listener),
      delete: (listener) => listeners.delete(listener),
    }
  }

  /** As `requestHeader.get(name)`, of a text header, without reading all the others. */
  readHeader(name: string): string | null {
    const values = this.#call.metadata.get(name)
    return values.length === 0 ? null : values.map(String).join(', ')
  }

  /** As `responseTrailer.set(name, text)`, for one text beside those. */
  setTextTrailer(name: string, text: string): void {
    this.#textTrailer = { name, text }
  }

  readonly timeoutMs = (): number | undefined => {
    const deadline = Number(this.#call.getDeadline())
    return Number.isFinite(deadline) ? Math.max(0, deadline - Date.now()) : undefined
  }

  /** Sends the response headers once, if there are any to send. */
  flushHeader(): void {
    if (this.#isHeaderSent) return
    this.#isHeaderSent = true
    if (this.#responseHeader !== undefined && !this.#call.cancelled)
      this.#call.sendMetadata(toMetadata(this.#responseHeader))
  }

  /** Trailers, for the status that ends the call. */
  takeTrailer(): Metadata {
    const trailer = this.#responseTrailer === undefined ? new Metadata() : toMetadata(this.#responseTrailer)
    if (this.#textTrailer !== undefined) trailer.set(this.#textTrailer.name, this.#textTrailer.text)
    return trailer
  }

  end(): void {
    this.#isEnded = true
    this.#controller?.abort(CALL_ENDED)
  }
}
