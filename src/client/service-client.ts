import type { DescMethod, DescService } from '@bufbuild/protobuf'
import { type CallOptions, type Client, createClient, type Transport } from '@connectrpc/connect'
import { cancellingStream } from './cancelling-stream.ts'
import { decodeError } from './countersign-error.ts'

type UnaryCall = (request: unknown, options?: CallOptions) => Promise<unknown>
type StreamCall = (request: unknown, options?: CallOptions) => AsyncIterable<unknown>

const wrapUnary =
  (call: UnaryCall, timeoutMs: number): UnaryCall =>
  async (request, options) => {
    try {
      return await call(request, { timeoutMs, ...options })
    } catch (error) {
      throw decodeError(error)
    }
  }

const wrapStream =
  (call: StreamCall): StreamCall =>
  (request, options) =>
    cancellingStream((signal) => call(request, { ...options, signal }), options?.signal)

const answersWithStream = (method: DescMethod): boolean =>
  method.methodKind === 'server_streaming' || method.methodKind === 'bidi_streaming'

/**
 * A Connect client of `service` whose failures are CountersignErrors and whose response streams cancel the call when
 * their reader leaves the loop. Unary calls get the deadline `timeoutMs` unless they state their own.
 */
export const createServiceClient = <S extends DescService>(
  service: S,
  transport: Transport,
  timeoutMs: number,
): Client<S> => {
  const plain = createClient(service, transport) as unknown as Record<string, unknown>
  const calls = service.methods.map((method) => {
    const call = plain[method.localName]
    const wrapped = answersWithStream(method) ? wrapStream(call as StreamCall) : wrapUnary(call as UnaryCall, timeoutMs)
    return [method.localName, wrapped]
  })
  return Object.fromEntries(calls) as Client<S>
}
