/**
 * What the pipeline asks of a call's transport for every call. A gRPC call answers without the Headers and AbortSignal
 * of its Connect view, which cost more than all that is asked of them.
 */
import type { HandlerContext } from '@connectrpc/connect'
import { type Ending, endingOf } from './call-limit.ts'
import type { RawRequest } from '../user/request-hash.ts'
import { arrivalKey } from './arrival.ts'
import { GrpcCallContext } from './grpc-call-context.ts'

export const readHeader = (context: HandlerContext, name: string): string | null =>
  context instanceof GrpcCallContext ? context.readHeader(name) : context.requestHeader.get(name)

export const readAuthorization = (context: HandlerContext): string | null => readHeader(context, 'authorization')

/** The host the call was addressed to, as the client wrote it. */
export const readAuthority = (context: HandlerContext): string =>
  context instanceof GrpcCallContext ? context.authority : context.values.get(arrivalKey).authority

/**
 * The request's bytes as they came, of a stream of requests the first one's. Undefined where the request is not to be had
 * as it came: compressed, or in a form nobody signs.
 */
export const readRawRequest = (context: HandlerContext): RawRequest | undefined => {
  if (!(context instanceof GrpcCallContext)) return context.values.get(arrivalKey).body?.()
  const { requestBytes: bytes } = context
  return bytes === undefined ? undefined : { encoding: 'proto', bytes }
}

/** The client goes away. */
export const clientOf = (context: HandlerContext): Ending =>
  context instanceof GrpcCallContext ? context.client : endingOf(context.signal)

export const setTrailer = (context: HandlerContext, name: string, text: string): void => {
  if (context instanceof GrpcCallContext) context.setTextTrailer(name, text)
  else context.responseTrailer.set(name, text)
}
