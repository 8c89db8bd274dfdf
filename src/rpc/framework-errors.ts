/**
 * Connect refuses some requests before a handler is called: bodies that are not a message or too large, unknown
 * compressions. Those errors carry no details; this gives them the reason that the same request has on the gRPC
 * port.
 */
import { Code, ConnectError } from '@connectrpc/connect'
import type { HandlerContext } from '@connectrpc/connect'
import type { Failure } from '../domain/failure.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { methodName } from './access.ts'
import { maxRequestBytes } from './mounted-services.ts'
import { toStatusError } from './status.ts'

/** Calls whose handler has begun, by their signal: their context is copied on the way, the signal is not. */
const started = new WeakSet<AbortSignal>()

export const noteHandlerStarted = ({ signal }: HandlerContext): void => {
  started.add(signal)
}

const failureFor = (
  { code, rawMessage }: ConnectError,
  { method, signal }: HandlerContext,
): Failure | undefined => {
  switch (code) {
    case Code.InvalidArgument:
      return invalidField('', rawMessage)
    case Code.ResourceExhausted:
      return failure('REQUEST_TOO_LARGE', { limitBytes: maxRequestBytes(method) })
    case Code.Unimplemented:
      return failure('METHOD_UNIMPLEMENTED', { method: methodName(method) })
    case Code.DeadlineExceeded:
      return failure('DEADLINE_EXCEEDED', {})
    case Code.Canceled:
      return failure('CANCELLED', {})
    case Code.Internal:
      // Before the handler, this is how Connect calls a body that does not parse.
      return started.has(signal)
        ? failure('INTERNAL', {})
        : failure('INVALID_REQUEST', {
            violations: [{ field: '', description: `not a valid ${method.input.typeName}` }],
          })
    default:
      return undefined
  }
}

/**
 * To be called before the body is read. Connect aborts a call's signal with the error it is about to answer with.
 */
export const explainFrameworkErrors = (context: HandlerContext): void => {
  const explain = (): void => {
    const reason: unknown = context.signal.reason
    if (!(reason instanceof ConnectError) || reason.details.length > 0) return
    const found = failureFor(reason, context)
    if (found === undefined) return
    const { code, rawMessage, details } = toStatusError(found)
    Object.assign(reason, { code, rawMessage, details })
  }
  if (context.signal.aborted) explain()
  else context.signal.addEventListener('abort', explain, { once: true })
}
