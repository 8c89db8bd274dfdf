/**
 * What a request on the second port looked like when it came, for tokens that sign it: the host it was addressed to, and
 * the bytes of its body, or of its first message where it comes in frames. The bytes are kept only of requests that bring
 * such a token.
 */
import type { IncomingMessage } from 'node:http'
import type { Http2ServerRequest } from 'node:http2'
import { createContextKey } from '@connectrpc/connect'
import type { RawRequest } from '../user/request-hash.ts'
import { MAX_TRANSACTION_REQUEST_BYTES } from './mounted-services.ts'

export type Arrival = {
  readonly authority: string
  /** What has come; undefined where it is not kept. */
  readonly body: (() => RawRequest | undefined) | undefined
}

export const arrivalKey = createContextKey<Arrival>(
  { authority: '', body: undefined },
  { description: 'how the request came' },
)

type Request = IncomingMessage | Http2ServerRequest

/** The headers whose tokens may name the request's bytes. */
const SIGNING_HEADERS = ['x-wallet-auth', 'x-developer-auth'] as const

const signsBytes = ({ headers }: Request): boolean =>
  SIGNING_HEADERS.some((name) => headers[name] !== undefined) || headers.authorization?.includes('.') === true

/** A frame of Connect's streams, gRPC and gRPC-Web: a byte of flags, four of length, the message. */
const FRAME_HEAD_BYTES = 5
const MAX_KEPT_BYTES = MAX_TRANSACTION_REQUEST_BYTES + FRAME_HEAD_BYTES

const firstMessage = (body: Buffer): Uint8Array | undefined => {
  if (body.length < FRAME_HEAD_BYTES || body.readUInt8(0) !== 0) return undefined
  const end = FRAME_HEAD_BYTES + body.readUInt32BE(1)
  return body.length < end ? undefined : new Uint8Array(body.subarray(FRAME_HEAD_BYTES, end))
}

/** By content type: how the message is written, and whether it comes in frames. */
const FORMS: ReadonlyMap<string, { readonly encoding: RawRequest['encoding']; readonly isFramed: boolean }> = new Map([
  ['application/json', { encoding: 'json', isFramed: false }],
  ['application/proto', { encoding: 'proto', isFramed: false }],
  ['application/connect+json', { encoding: 'json', isFramed: true }],
  ['application/connect+proto', { encoding: 'proto', isFramed: true }],
  ['application/grpc', { encoding: 'proto', isFramed: true }],
  ['application/grpc+proto', { encoding: 'proto', isFramed: true }],
  ['application/grpc+json', { encoding: 'json', isFramed: true }],
  ['application/grpc-web', { encoding: 'proto', isFramed: true }],
  ['application/grpc-web+proto', { encoding: 'proto', isFramed: true }],
  ['application/grpc-web+json', { encoding: 'json', isFramed: true }],
])

const readBody = (contentType: string | undefined, body: Buffer): RawRequest | undefined => {
  const form = FORMS.get((contentType ?? '').split(';', 1)[0]?.trim().toLowerCase() ?? '')
  if (form === undefined) return undefined
  const bytes = form.isFramed ? firstMessage(body) : new Uint8Array(body)
  return bytes === undefined ? undefined : { encoding: form.encoding, bytes }
}

/** Keeps what is read from the request, as much as the largest message needs, until it is asked for. */
const keepBody = (request: Request): (() => Buffer) => {
  const chunks: Buffer[] = []
  let kept = 0
  let body: Buffer | undefined
  const source = request[Symbol.asyncIterator].bind(request)
  const iterate = async function* (): AsyncGenerator<Buffer> {
    for await (const chunk of source() as AsyncIterable<Buffer>) {
      if (kept < MAX_KEPT_BYTES) chunks.push(chunk)
      kept += chunk.length
      yield chunk
    }
  }
  Object.defineProperty(request, Symbol.asyncIterator, { value: iterate })
  return () => {
    body ??= Buffer.concat(chunks.splice(0))
    kept = MAX_KEPT_BYTES
    return body
  }
}

/** To be called before the request is read. */
export const watchArrival = (request: Request): Arrival => {
  const authority = ('authority' in request ? request.authority : request.headers.host) ?? ''
  if (!signsBytes(request)) return { authority, body: undefined }
  const kept = keepBody(request)
  return { authority, body: () => readBody(request.headers['content-type'], kept()) }
}
