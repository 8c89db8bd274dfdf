/** Calls below the client library: any bytes over gRPC, any body over Connect, and the refusal in one shape. */
import { connect as connectHttp2 } from 'node:http2'
import { fromBinary } from '@bufbuild/protobuf'
import { base64Decode } from '@bufbuild/protobuf/wire'
import { type BadRequest, BadRequestSchema, ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import type { Endpoints } from './start-daemon.ts'

export type WireAnswer = {
  /** 0 is success; the names and numbers of gRPC. */
  readonly code: number
  readonly message: string
  readonly reason?: string
  readonly domain?: string
  readonly metadata?: Readonly<Record<string, string>>
  readonly fields?: readonly string[]
}

const CODES = [
  'ok', 'canceled', 'unknown', 'invalid_argument', 'deadline_exceeded', 'not_found', 'already_exists',
  'permission_denied', 'resource_exhausted', 'failed_precondition', 'aborted', 'out_of_range', 'unimplemented',
  'internal', 'unavailable', 'data_loss', 'unauthenticated',
]

type Detail = { readonly type: string; readonly value: Uint8Array }

const withDetails = (code: number, message: string, details: readonly Detail[]): WireAnswer => {
  const info = details.find(({ type }) => type.endsWith('google.rpc.ErrorInfo'))
  const bad = details.find(({ type }) => type.endsWith('google.rpc.BadRequest'))
  const parsed = info === undefined ? undefined : fromBinary(ErrorInfoSchema, info.value)
  const violations: BadRequest['fieldViolations'] =
    bad === undefined ? [] : fromBinary(BadRequestSchema, bad.value).fieldViolations
  return {
    code,
    message,
    ...(parsed === undefined ? {} : { reason: parsed.reason, domain: parsed.domain, metadata: { ...parsed.metadata } }),
    ...(violations.length === 0 ? {} : { fields: violations.map(({ field }) => field) }),
  }
}

const frame = (body: Uint8Array): Buffer => {
  const head = Buffer.alloc(5)
  head.writeUInt32BE(body.length, 1)
  return Buffer.concat([head, body])
}

type Caller = { readonly endpoints: Endpoints; readonly adminKey: string }

/** One gRPC call with these bytes as its message; `raw` sends them without the frame around them. */
export const callGrpc = async (
  { endpoints, adminKey }: Caller,
  method: string,
  body: Uint8Array,
  raw = false,
): Promise<WireAnswer> => {
  const session = connectHttp2(`http://${endpoints.grpc}`)
  session.on('error', () => undefined)
  try {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/countersign.v1.${method}`,
      'content-type': 'application/grpc',
      te: 'trailers',
      authorization: `Bearer ${adminKey}`,
    })
    let headers: Record<string, unknown> = {}
    stream.on('response', (found) => (headers = { ...headers, ...found }))
    stream.on('trailers', (found) => (headers = { ...headers, ...found }))
    const ended = new Promise<void>((done, failed) => {
      stream.on('error', failed)
      stream.on('close', done)
      setTimeout(() => failed(new Error('no answer')), 15_000).unref()
    })
    stream.resume()
    stream.end(raw ? body : frame(body))
    await ended
    const code = Number(headers['grpc-status'] ?? -1)
    const text = headers['grpc-message']
    const message = typeof text === 'string' ? decodeURIComponent(text) : ''
    const bin = headers['grpc-status-details-bin']
    const details = typeof bin === 'string' ? fromBinary(StatusSchema, base64Decode(bin)).details : []
    return withDetails(code, message, details.map(({ typeUrl, value }) => ({ type: typeUrl, value })))
  } finally {
    session.destroy()
  }
}

/** One Connect call with this body. */
export const callConnect = async (
  { endpoints, adminKey }: Caller,
  method: string,
  body: Uint8Array | string,
  contentType = 'application/json',
): Promise<WireAnswer & { readonly json?: unknown }> => {
  const response = await fetch(`http://${endpoints.connect}/countersign.v1.${method}`, {
    method: 'POST',
    headers: { 'content-type': contentType, authorization: `Bearer ${adminKey}`, 'connect-protocol-version': '1' },
    body: typeof body === 'string' ? body : new Uint8Array(body),
  })
  const text = await response.text()
  if (response.ok) return { code: 0, message: '', json: contentType.endsWith('json') ? JSON.parse(text) : undefined }
  const error = JSON.parse(text) as { code: string; message?: string; details?: { type: string; value: string }[] }
  const details = (error.details ?? []).map(({ type, value }) => ({ type, value: base64Decode(value) }))
  return withDetails(CODES.indexOf(error.code), error.message ?? '', details)
}
