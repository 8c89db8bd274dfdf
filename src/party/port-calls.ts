import type { MessagePort, Transferable, Worker } from 'node:worker_threads'
import { PeerUnavailable } from './counterparty.ts'

/**
 * Typed calls over a message port, in both directions. A handler that throws answers with a coded error; its text stays
 * on its own side unless the error is a PortFailure, which carries a reason and plain facts.
 */
export type CallTable = { readonly [method: string]: (args: never) => unknown }
type Arguments<T extends CallTable, M extends keyof T> = Parameters<T[M]>[0]
type Result<T extends CallTable, M extends keyof T> = Awaited<ReturnType<T[M]>>

/** `id` 0: no answer is wanted. `gather`: the answer may travel with others. */
type Call = { readonly id: number; readonly method: string; readonly args: unknown; readonly gather?: true }
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

/** A peer that is away stays one, however many ports lie between. */
const refusedWith = ({ reason, facts }: { readonly reason: string; readonly facts: unknown }): Error => {
  if (reason !== AWAY) return new PortFailure(reason, facts)
  return new PeerUnavailable(String((facts as { readonly why?: unknown } | undefined)?.why))
}

export type CallOptions = {
  readonly timeoutMs?: number
  readonly transfer?: Transferable[]
  /**
   * What is said in one turn of the event loop goes as one message, and so do the answers to it: signatures that were
   * committed together at one party come to the other together and are committed together there. The arguments are
   * copied at the end of the turn: who calls must not write to them before that.
   */
  readonly gather?: boolean
}

export type PortEnd<Remote extends CallTable> = {
  readonly call: <M extends keyof Remote & string>(
    method: M,
    args: Arguments<Remote, M>,
    options?: CallOptions,
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

const AWAY = 'PEER_UNAVAILABLE'

const refusal = (error: unknown): { reason: string; facts: unknown } => {
  if (error instanceof PortFailure) return { reason: error.reason, facts: error.facts }
  if (error instanceof PeerUnavailable) return { reason: AWAY, facts: { why: error.message } }
  const coded = error as { reason?: unknown; facts?: unknown }
  if (typeof coded?.reason === 'string') return { reason: coded.reason, facts: coded.facts ?? {} }
  return { reason: 'INTERNAL', facts: {} }
}

/** A byte string that fills its buffer is handed over; one that is a view of something larger is copied. */
const ownBuffers = (value: unknown): Transferable[] =>
  value instanceof Uint8Array && value.length > 0 && value.length === value.buffer.byteLength
    ? [value.buffer as ArrayBuffer]
    : []

type Message = Call | Answer
/** No more are kept back for each other: the other side could be at work on the first. */
const GATHER_MAX = 8

const openOutbox = (port: MessagePort | Worker): ((message: Message) => void) => {
  let gathered: Message[] = []
  const flush = (): void => {
    if (gathered.length === 0) return
    const messages = gathered
    gathered = []
    port.postMessage(messages.length === 1 ? messages[0] : messages, [])
  }
  return (message) => {
    if (gathered.length === 0) process.nextTick(flush)
    gathered.push(message)
    if (gathered.length >= GATHER_MAX) flush()
  }
}

/** Serves `local` to the other end of `port` and calls what the other end serves. `onBug` sees errors with no reason. */
export const openPortEnd = <Remote extends CallTable>(
  port: MessagePort | Worker,
  local: CallTable,
  onBug: (error: unknown) => void,
): PortEnd<Remote> => {
  const waiting = new Map<number, Waiting>()
  const gather = openOutbox(port)
  let nextId = 1
  let shutWhy: string | undefined

  const settle = (message: Answer): void => {
    const entry = waiting.get(message.answer)
    if (entry === undefined) return
    waiting.delete(message.answer)
    clearTimeout(entry.timer)
    if ('reason' in message) entry.reject(refusedWith(message))
    else entry.resolve(message.value as never)
  }

  const answer = (to: Call, message: Answer, transfer: Transferable[]): void => {
    if (to.id === NO_ANSWER) return
    if (to.gather === true) gather(message)
    else port.postMessage(message, transfer)
  }

  const serve = async (call: Call): Promise<void> => {
    const { id, method, args } = call
    try {
      const handler = Object.hasOwn(local, method) ? local[method] : undefined
      if (handler === undefined) throw new PortFailure('METHOD_UNKNOWN', { method })
      const value = await handler(args as never)
      answer(call, { answer: id, value }, ownBuffers(value))
    } catch (error) {
      const { reason, facts } = refusal(error)
      if (reason === 'INTERNAL') onBug(error)
      answer(call, { answer: id, reason, facts }, [])
    }
  }

  const take = (message: Message): void => {
    if ('answer' in message) settle(message)
    else void serve(message)
  }
  port.on('message', (said: Message | readonly Message[]) => {
    if (Array.isArray(said)) said.forEach(take)
    else take(said as Message)
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
        if (options.gather === true) gather({ id, method, args, gather: true })
        else port.postMessage({ id, method, args }, options.transfer ?? ownBuffers(args))
      }),
  }
}
