/** The time a call has, and everything else that can end it before its work is done. */
import { Code, ConnectError } from '@connectrpc/connect'
import type { Failure } from '../domain/failure.ts'
import { failure } from '../domain/failure.ts'

// Shared: building an error with its stack for every call that is cancelled would cost more than the call.
const DEADLINE = failure('DEADLINE_EXCEEDED', {})
const CANCELLED = failure('CANCELLED', {})
const ROTATED = failure('STREAM_ROTATE', {})
const STOPPING = failure('SHUTTING_DOWN', {})

/**
 * Connect's listeners end a call at the client's deadline through the same signal as when the client goes away.
 */
const clientReason = ({ reason }: Ending): Failure =>
  reason instanceof ConnectError && reason.code === Code.DeadlineExceeded ? DEADLINE : CANCELLED

/** Something that ends calls. Joining and leaving take the same time however many calls it would end. */
export type Ending = {
  readonly hasCome: boolean
  /** The signal's, where it is one's ending. */
  readonly reason: unknown
  readonly add: (listener: () => void) => void
  readonly delete: (listener: () => void) => void
}

const endings = new WeakMap<AbortSignal, Ending>()

/** The ending that a signal is. One listener is on the signal itself: it would look through all it has for each more. */
export const endingOf = (signal: AbortSignal): Ending => {
  const known = endings.get(signal)
  if (known !== undefined) return known
  const listeners = new Set<() => void>()
  signal.addEventListener('abort', () => [...listeners].forEach((listener) => listener()), { once: true })
  const ending: Ending = {
    get hasCome() {
      return signal.aborted
    },
    get reason(): unknown {
      return signal.reason
    },
    add: (listener) => listeners.add(listener),
    delete: (listener) => listeners.delete(listener),
  }
  endings.set(signal, ending)
  return ending
}

export type CallLimitSettings = {
  /** Comes when the client goes away. */
  readonly client: Ending
  /** Aborts when the daemon no longer waits for calls. */
  readonly stopSignal: AbortSignal
  readonly timeoutMs: number
  /** What running out of time is called: the deadline of a unary call, the age limit of a stream. */
  readonly kind: 'unary' | 'stream'
}

/**
 * One signal out of the client's, the daemon's and the clock's, whose reason is a Failure. `race` answers with the
 * reason as soon as there is one, whether the work heeds the signal or not. Must be disposed of.
 */
export class CallLimit implements Disposable {
  readonly #controller = new AbortController()
  readonly #settings: CallLimitSettings
  readonly #stop: Ending
  readonly #timer: NodeJS.Timeout
  #onAbort: ((reason: Failure) => void) | undefined
  readonly #onClient = (): void => this.#abort(clientReason(this.#settings.client))
  readonly #onStop = (): void => this.#abort(STOPPING)

  constructor(settings: CallLimitSettings) {
    this.#settings = settings
    const expired = settings.kind === 'unary' ? DEADLINE : ROTATED
    this.#timer = setTimeout(() => this.#abort(expired), settings.timeoutMs)
    this.#stop = endingOf(settings.stopSignal)
    settings.client.add(this.#onClient)
    this.#stop.add(this.#onStop)
    if (settings.client.hasCome) this.#onClient()
    else if (this.#stop.hasCome) this.#abort(STOPPING)
  }

  get signal(): AbortSignal {
    return this.#controller.signal
  }

  /** The result of `work`, or the reason why nobody waits for it any more. Only one race at a time. */
  race<T>(work: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      if (this.signal.aborted) {
        work.catch(() => {})
        reject(this.signal.reason as Failure)
        return
      }
      this.#onAbort = reject
      work.then(resolve, reject)
    })
  }

  #abort(reason: Failure): void {
    if (this.signal.aborted) return
    this.#controller.abort(reason)
    this.#onAbort?.(reason)
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer)
    this.#onAbort = undefined
    this.#settings.client.delete(this.#onClient)
    this.#stop.delete(this.#onStop)
  }
}
