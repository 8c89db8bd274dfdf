/**
 * Mounts an implementation written for Connect on a grpc-js server: unary calls and all three kinds of streams,
 * deadlines, cancellation, headers and trailers, `google.rpc.Status` details, backpressure both ways. Nothing a
 * handler throws ends the process, and no text of an error that is not a ConnectError reaches a client.
 */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import type { DescMessage, DescMethod, DescService, MessageInitShape, MessageShape } from '@bufbuild/protobuf'
import { anyPack } from '@bufbuild/protobuf/wkt'
import { ConnectError } from '@connectrpc/connect'
import type { Code, HandlerContext, ServiceImpl } from '@connectrpc/connect'
import { Metadata, status as GrpcCode } from '@grpc/grpc-js'
import type {
  sendUnaryData,
  ServerDuplexStream,
  ServerReadableStream,
  ServerUnaryCall,
  ServerWritableStream,
  ServiceDefinition,
  UntypedServiceImplementation,
} from '@grpc/grpc-js'
import { failure } from '../domain/failure.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import type { GrpcCall } from './grpc-call-context.ts'
import { GrpcCallContext } from './grpc-call-context.ts'
import type { Peer } from './peer.ts'
import { peerKey } from './peer.ts'
import { RequestQueue } from './request-queue.ts'
import { toStatusError } from './status.ts'

export type GrpcAdapterOptions = {
  /** Largest request message of an RPC, in bytes. */
  readonly maxRequestBytes: (method: DescMethod) => number
  readonly peerOf: (call: GrpcCall) => Peer
  /** Told of every error that was masked. */
  readonly onMaskedError: (method: DescMethod, error: unknown) => void
}

export type GrpcService = {
  readonly definition: ServiceDefinition
  readonly implementation: UntypedServiceImplementation
}

type GrpcStatus = { readonly code: GrpcCode; readonly details: string; readonly metadata: Metadata }
type Method = { readonly desc: DescMethod; readonly options: GrpcAdapterOptions }

type Init = MessageInitShape<DescMessage>
type UnaryImpl = (request: MessageShape<DescMessage>, context: HandlerContext) => Promise<Init> | Init
type ServerStreamImpl = (request: MessageShape<DescMessage>, context: HandlerContext) => AsyncIterable<Init>
type Requests = AsyncIterable<MessageShape<DescMessage>>
type ClientStreamImpl = (requests: Requests, context: HandlerContext) => Promise<Init>
type BidiImpl = (requests: Requests, context: HandlerContext) => AsyncIterable<Init>

const asBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

const packDetail = (detail: ConnectError['details'][number]) =>
  'desc' in detail
    ? anyPack(detail.desc, create(detail.desc, detail.value as never))
    : { typeUrl: `type.googleapis.com/${detail.type}`, value: detail.value }

/** Connect's codes are gRPC's numbers. */
const toGrpcCode = (code: Code): GrpcCode => GrpcCode[GrpcCode[code] as keyof typeof GrpcCode]

/** The status of a ConnectError, its details in `grpc-status-details-bin`. */
export const toGrpcStatus = (error: ConnectError, metadata = new Metadata()): GrpcStatus => {
  const message = error.rawMessage.toWellFormed()
  if (error.details.length > 0) {
    const status = create(StatusSchema, { code: error.code, message, details: error.details.map(packDetail) })
    metadata.set('grpc-status-details-bin', asBuffer(toBinary(StatusSchema, status)))
  }
  return { code: toGrpcCode(error.code), details: message, metadata }
}

const statusOf = ({ desc, options }: Method, error: unknown, context: GrpcCallContext): GrpcStatus => {
  if (error instanceof ConnectError) return toGrpcStatus(error, context.takeTrailer())
  options.onMaskedError(desc, error)
  return toGrpcStatus(toStatusError(failure('INTERNAL', {})), context.takeTrailer())
}

const parseRequest = ({ desc, options }: Method, bytes: Buffer): MessageShape<DescMessage> => {
  const limitBytes = options.maxRequestBytes(desc)
  if (bytes.length > limitBytes) throw toStatusError(failure('REQUEST_TOO_LARGE', { limitBytes }))
  try {
    // Not as a Buffer: its fields would be Buffers, whose slice() does not copy.
    return fromBinary(desc.input, new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength))
  } catch {
    throw toStatusError(failure('INVALID_REQUEST', { violations: [MALFORMED(desc)] }))
  }
}

const MALFORMED = (desc: DescMethod) => ({ field: '', description: `not a valid ${desc.input.typeName}` })

const serialize = ({ desc }: Method, response: Init): Buffer =>
  asBuffer(toBinary(desc.output, create(desc.output, response)))

const openContext = ({ desc, options }: Method, call: GrpcCall): GrpcCallContext => {
  const context = new GrpcCallContext(desc, call)
  context.values.set(peerKey, options.peerOf(call))
  return context
}

/**
 * Runs a call to its end; `run` resolves when the answer is on its way, and whatever it throws becomes the status.
 */
const conclude = async (
  method: Method,
  context: GrpcCallContext,
  run: () => Promise<void>,
  fail: (status: GrpcStatus) => void,
): Promise<void> => {
  try {
    await run()
  } catch (error) {
    const status = statusOf(method, error, context)
    context.flushHeader()
    fail(status)
  } finally {
    context.end()
  }
}

/** The last net: an error while a status is being sent has nowhere to go but the observer. */
const start = (method: Method, concluded: Promise<void>): void => {
  concluded.catch((error: unknown) => method.options.onMaskedError(method.desc, error))
}

const mountUnary =
  (method: Method, implement: UnaryImpl) =>
  (call: ServerUnaryCall<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void => {
    const context = openContext(method, call)
    context.requestBytes = call.request
    const run = async () => {
      const response = await implement(parseRequest(method, call.request), context)
      const bytes = serialize(method, response)
      context.flushHeader()
      respond(null, bytes, context.takeTrailer())
    }
    start(method, conclude(method, context, run, respond))
  }

/** Writes what the handler yields, no faster than the client reads. Stops quietly when the client is gone. */
const pump = async (
  method: Method,
  context: GrpcCallContext,
  call: ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
  responses: AsyncIterable<Init>,
): Promise<void> => {
  let wake: (() => void) | undefined
  const onEvent = () => wake?.()
  call.on('drain', onEvent)
  call.once('cancelled', onEvent)
  try {
    for await (const response of responses) {
      if (call.cancelled) return
      context.flushHeader()
      if (call.write(serialize(method, response))) continue
      if (!call.cancelled && call.writableNeedDrain) {
        await new Promise<void>((resolve) => {
          wake = resolve
        })
      }
    }
    if (call.cancelled) return
    context.flushHeader()
    call.end(context.takeTrailer())
  } finally {
    call.off('drain', onEvent)
  }
}

type WritableCall = ServerWritableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>

const failStream =
  (call: WritableCall) =>
  (status: GrpcStatus): void => {
    if (!call.cancelled && !call.destroyed) call.emit('error', Object.assign(new Error(status.details), status))
  }

const mountServerStream =
  (method: Method, implement: ServerStreamImpl) =>
  (call: ServerWritableStream<Buffer, Buffer>): void => {
    const context = openContext(method, call)
    context.requestBytes = call.request
    const run = () => pump(method, context, call, implement(parseRequest(method, call.request), context))
    start(
      method,
      conclude(method, context, async () => run(), failStream(call)),
    )
  }

const CANCELLED_STREAM = toStatusError(failure('CANCELLED', {}))

const openRequests = (
  method: Method,
  context: GrpcCallContext,
  call: ServerReadableStream<Buffer, Buffer> | ServerDuplexStream<Buffer, Buffer>,
) => {
  const requests = new RequestQueue(call, (bytes) => {
    context.requestBytes ??= bytes
    return parseRequest(method, bytes)
  })
  call.once('cancelled', () => requests.fail(CANCELLED_STREAM))
  return requests
}

const mountClientStream =
  (method: Method, implement: ClientStreamImpl) =>
  (call: ServerReadableStream<Buffer, Buffer>, respond: sendUnaryData<Buffer>): void => {
    const context = openContext(method, call)
    const requests = openRequests(method, context, call)
    const run = async () => {
      const bytes = serialize(method, await implement(requests, context))
      context.flushHeader()
      respond(null, bytes, context.takeTrailer())
    }
    start(
      method,
      conclude(method, context, run, respond).finally(() => requests.drain()),
    )
  }

const mountBidi =
  (method: Method, implement: BidiImpl) =>
  (call: ServerDuplexStream<Buffer, Buffer>): void => {
    const context = openContext(method, call)
    const requests = openRequests(method, context, call)
    const run = async () => pump(method, context, call, implement(requests, context))
    start(
      method,
      conclude(method, context, run, failStream(call)).finally(() => requests.drain()),
    )
  }

const mount = (method: Method, implement: unknown): UntypedServiceImplementation[string] => {
  switch (method.desc.methodKind) {
    case 'unary':
      return mountUnary(method, implement as UnaryImpl)
    case 'server_streaming':
      return mountServerStream(method, implement as ServerStreamImpl)
    case 'client_streaming':
      return mountClientStream(method, implement as ClientStreamImpl)
    case 'bidi_streaming':
      return mountBidi(method, implement as BidiImpl)
  }
}

const keep = (bytes: Buffer): Buffer => bytes

/**
 * The service as `server.addService(definition, implementation)` takes it. Messages are parsed here, not in grpc-
 * js.
 */
export const mountOnGrpc = <Desc extends DescService>(
  desc: Desc,
  implementation: ServiceImpl<Desc>,
  options: GrpcAdapterOptions,
): GrpcService => {
  const mounted = desc.methods.map((method) => {
    const definition = {
      path: `/${desc.typeName}/${method.name}`,
      requestStream: method.methodKind === 'client_streaming' || method.methodKind === 'bidi_streaming',
      responseStream: method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming',
      requestSerialize: keep,
      requestDeserialize: keep,
      responseSerialize: keep,
      responseDeserialize: keep,
    }
    const implement: unknown = implementation[method.localName as keyof Desc['method']]
    const bound: unknown = typeof implement === 'function' ? implement.bind(implementation) : undefined
    return { name: method.name, definition, handler: mount({ desc: method, options }, bound) }
  })
  return {
    definition: Object.fromEntries(mounted.map(({ name, definition }) => [name, definition])),
    implementation: Object.fromEntries(mounted.map(({ name, handler }) => [name, handler])),
  }
}
