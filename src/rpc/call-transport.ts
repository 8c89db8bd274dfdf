/**
 * What the pipeline asks of a call's transport for every call. A gRPC call answers without the Headers and AbortSignal
 * of its Connect view, which cost more than all that is asked of them.
 */
import type { HandlerContext } from '@connectrpc/connect'
import { type Ending, endingOf } from './call-limit.ts'
import { GrpcCallContext } from './grpc-call-context.ts'

export const readAuthorization = (context: HandlerContext): string | null =>
  context instanceof GrpcCallContext
    ? context.readHeader('authorization')
    : context.requestHeader.get('authorization')

/** The client goes away. */
export const clientOf = (context: HandlerContext): Ending =>
  context instanceof GrpcCallContext ? context.client : endingOf(context.signal)

export const setTrailer = (context: HandlerContext, name: string, text: string): void => {
  if (context instanceof GrpcCallContext) context.setTextTrailer(name, text)
  else context.responseTrailer.set(name, text)
}
