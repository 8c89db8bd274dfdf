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
const clientReason = ({ reason }: AbortSignal): Failure =>
  reason instanceof ConnectError && reason.code === Code.DeadlineExceeded ? DEADLINE : CANCELLED

export type CallLimitSettings = {
  /** Aborts when the client goes away. */
  readonly clientSignal: AbortSignal
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
  readonly #timer: NodeJS.Timeout
  #onAbort: ((reason: Failure) => void) | undefined
  readonly #onClient = (): void => this.#abort(clientReason(this.#settings.clientSignal))
  readonly #onStop = (): void => this.#abort(STOPPING)

  constructor(settings: CallLimitSettings) {
    this.#settings = settings
    const expired = settings.kind === 'unary' ? DEADLINE : ROTATED
    this.#timer = setTimeout(() => this.#abort(expired), settings.timeoutMs)
    settings.clientSignal.addEventListener('abort', this.#onClient, { once: true })
    settings.stopSignal.addEventListener('abort', this.#onStop, { once: true })
    if (settings.clientSignal.aborted) this.#onClient()
    else if (settings.stopSignal.aborted) this.#abort(STOPPING)
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
    this.#settings.clientSignal.removeEventListener('abort', this.#onClient)
    this.#settings.stopSignal.removeEventListener('abort', this.#onStop)
  }
}
