import type { MessagePort, Transferable, Worker } from 'node:worker_threads'
import { PeerUnavailable } from './counterparty.ts'

/**
 * Typed calls over a message port, in both directions. A handler that throws answers with a coded error; its text stays
 * on its own side unless the error is a PortFailure, which carries a reason and plain facts.
 */
export type CallTable = { readonly [method: string]: (args: never) => unknown }
type Arguments<T extends CallTable, M extends keyof T> = Parameters<T[M]>[0]
type Result<T extends CallTable, M extends keyof T> = Awaited<ReturnType<T[M]>>

/** `id` 0: no answer is wanted. */
type Call = { readonly id: number; readonly method: string; readonly args: unknown }
type Answer =
  | { readonly answer: number; readonly value: unknown }
  | { readonly answer: number; readonly reason: string; readonly facts: unknown }

const NO_ANSWER = 0

/** A refusal that may cross the port: the other side sees `reason` and `facts`, nothing else. */
export class PortFailure extends Error {
  readonly reason: string
  readonly facts: unknown

  constructor(reason: string, facts: unknown = {}) {
    super(reason)
    this.name = 'PortFailure'
    this.reason = reason
    this.facts = facts
  }
}

export type PortEnd<Remote extends CallTable> = {
  readonly call: <M extends keyof Remote & string>(
    method: M,
    args: Arguments<Remote, M>,
    options?: { readonly timeoutMs?: number; readonly transfer?: Transferable[] },
  ) => Promise<Result<Remote, M>>
  /** A call whose answer nobody waits for: none is sent, and an error is the other side's own to report. */
  readonly tell: <M extends keyof Remote & string>(method: M, args: Arguments<Remote, M>) => void
  /** Fails every call that waits, and every later one. */
  readonly shut: (why: string) => void
}

type Waiting = {
  readonly resolve: (value: never) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout | undefined
}

const refusal = (error: unknown): { reason: string; facts: unknown } => {
  if (error instanceof PortFailure) return { reason: error.reason, facts: error.facts }
  if (error instanceof PeerUnavailable) return { reason: 'PEER_UNAVAILABLE', facts: { why: error.message } }
  const coded = error as { reason?: unknown; facts?: unknown }
  if (typeof coded?.reason === 'string') return { reason: coded.reason, facts: coded.facts ?? {} }
  return { reason: 'INTERNAL', facts: {} }
}

/** A byte string that fills its buffer is handed over; one that is a view of something larger is copied. */
const ownBuffers = (value: unknown): Transferable[] =>
  value instanceof Uint8Array && value.length > 0 && value.length === value.buffer.byteLength
    ? [value.buffer as ArrayBuffer]
    : []

/** Serves `local` to the other end of `port` and calls what the other end serves. `onBug` sees errors with no reason. */
export const openPortEnd = <Remote extends CallTable>(
  port: MessagePort | Worker,
  local: CallTable,
  onBug: (error: unknown) => void,
): PortEnd<Remote> => {
  const waiting = new Map<number, Waiting>()
  let nextId = 1
  let shutWhy: string | undefined

  const settle = (message: Answer): void => {
    const entry = waiting.get(message.answer)
    if (entry === undefined) return
    waiting.delete(message.answer)
    clearTimeout(entry.timer)
    if ('reason' in message) entry.reject(new PortFailure(message.reason, message.facts))
    else entry.resolve(message.value as never)
  }

  const serve = async ({ id, method, args }: Call): Promise<void> => {
    try {
      const handler = Object.hasOwn(local, method) ? local[method] : undefined
      if (handler === undefined) throw new PortFailure('METHOD_UNKNOWN', { method })
      const value = await handler(args as never)
      if (id !== NO_ANSWER) port.postMessage({ answer: id, value }, ownBuffers(value))
    } catch (error) {
      const { reason, facts } = refusal(error)
      if (reason === 'INTERNAL') onBug(error)
      if (id !== NO_ANSWER) port.postMessage({ answer: id, reason, facts }, [])
    }
  }

  port.on('message', (message: Call | Answer) => {
    if ('answer' in message) settle(message)
    else void serve(message)
  })

  const shut = (why: string): void => {
    shutWhy ??= why
    for (const entry of waiting.values()) {
      clearTimeout(entry.timer)
      entry.reject(new PeerUnavailable(why))
    }
    waiting.clear()
  }

  return {
    shut,
    tell: (method, args) => {
      if (shutWhy === undefined) port.postMessage({ id: NO_ANSWER, method, args }, [])
    },
    call: (method, args, options = {}) =>
      new Promise((resolve, reject) => {
        if (shutWhy !== undefined) {
          reject(new PeerUnavailable(shutWhy))
          return
        }
        const id = nextId++
        const { timeoutMs } = options
        const timer =
          timeoutMs === undefined
            ? undefined
            : setTimeout(() => {
                waiting.delete(id)
                reject(new PeerUnavailable(`no answer to ${method} within ${timeoutMs} ms`))
              }, timeoutMs)
        waiting.set(id, { resolve, reject, timer })
        port.postMessage({ id, method, args }, options.transfer ?? ownBuffers(args))
      }),
  }
}
