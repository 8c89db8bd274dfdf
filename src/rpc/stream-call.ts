/**
 * A client's stream of requests while it is open: what ends it, and how. It ends softly when it is old or idle and when
 * the daemon stops: nothing more is read, what is in work is answered, then the reason is told. It ends at once when the
 * client goes away, when its API key is over, and when answering takes too long.
 */
import type { DescMethod, Message } from '@bufbuild/protobuf'
import type { Caller } from '../domain/call.ts'
import type { Failure } from '../domain/failure.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { CallLimit, endingOf } from './call-limit.ts'

/** The answer to one item, ready to leave. */
export type ItemAnswer = {
  /** As the trailer of the item's own RPC. */
  readonly timing: string
} & (
  | {
      readonly response: Message
      /** Throws when the answer may not be released any more. */
      readonly check: () => void
    }
  | { readonly refusal: Failure }
)

export type StreamCall = {
  /** Who opened it. */
  readonly caller: Caller
  /** Runs a request as the unary RPC it belongs to, under the same rules. Never rejects. */
  readonly run: (method: DescMethod, request: Message, bytes: Uint8Array | undefined) => Promise<ItemAnswer>
  /** Something was read or answered. */
  readonly touch: () => void
  /** Why nothing more is to be read. */
  readonly ending: Failure | undefined
  /** Aborts, with a Failure, when nothing more is to be answered. */
  readonly signal: AbortSignal
  /** Called when `ending` is set, and when `signal` aborts. */
  readonly onEnd: (listener: () => void) => void
  /** Throws when nothing may be answered any more, the caller's key being over. */
  readonly assertGood: () => void
}

export type StreamCallSettings = {
  readonly caller: Caller
  readonly run: StreamCall['run']
  readonly clientSignal: AbortSignal
  /** The daemon begins to stop. */
  readonly stopSignal: AbortSignal
  /** The daemon no longer waits. */
  readonly abandonSignal: AbortSignal
  readonly assertGood: () => void
  readonly maxAgeMs: number
  readonly idleMs: number
  /** How long what is in work may take once the stream ends softly. */
  readonly drainMs: number
}

/** How soon a stream on which nothing happens learns that its key was revoked. */
const KEY_CHECK_MS = 500

export class OpenStreamCall implements StreamCall, Disposable {
  readonly caller: Caller
  readonly run: StreamCall['run']
  readonly assertGood: () => void
  readonly #settings: StreamCallSettings
  readonly #cut = new AbortController()
  readonly #limit: CallLimit
  readonly #timers: NodeJS.Timeout[] = []
  readonly #idle: NodeJS.Timeout
  #listener: () => void = () => {}
  #ending: Failure | undefined
  #ended: Failure | undefined

  constructor(settings: StreamCallSettings) {
    const { clientSignal, stopSignal, abandonSignal, maxAgeMs, idleMs, drainMs } = settings
    this.#settings = settings
    this.caller = settings.caller
    this.run = settings.run
    this.assertGood = settings.assertGood
    this.#limit = new CallLimit({
      client: endingOf(clientSignal),
      stopSignal: abandonSignal,
      timeoutMs: maxAgeMs + drainMs,
      kind: 'stream',
    })
    this.#limit.signal.addEventListener('abort', () => this.#end(this.#limit.signal.reason as Failure), { once: true })
    if (this.#limit.signal.aborted) this.#end(this.#limit.signal.reason as Failure)
    stopSignal.addEventListener('abort', this.#onStop, { once: true })
    if (stopSignal.aborted) this.#onStop()
    this.#idle = setTimeout(() => this.#endSoftly(failure('STREAM_IDLE', {})), idleMs)
    this.#timers.push(
      this.#idle,
      setTimeout(() => this.#endSoftly(failure('STREAM_ROTATE', {})), maxAgeMs),
      setInterval(() => this.#checkKey(), KEY_CHECK_MS),
    )
  }

  get ending(): Failure | undefined {
    return this.#ending
  }

  get signal(): AbortSignal {
    return this.#cut.signal
  }

  /** Why the stream was ended at once. */
  get ended(): Failure | undefined {
    return this.#ended
  }

  readonly touch = (): void => {
    if (this.#ending === undefined) this.#idle.refresh()
  }

  readonly onEnd = (listener: () => void): void => {
    this.#listener = listener
  }

  readonly #onStop = (): void => this.#endSoftly(failure('SHUTTING_DOWN', {}))

  #checkKey(): void {
    try {
      this.assertGood()
    } catch (error) {
      if (isFailure(error)) this.#end(error)
    }
  }

  #endSoftly(reason: Failure): void {
    if (this.#ending !== undefined) return
    this.#ending = reason
    this.#timers.push(setTimeout(() => this.#end(reason), this.#settings.drainMs))
    this.#listener()
  }

  #end(reason: Failure): void {
    if (this.#ended !== undefined) return
    this.#ended = reason
    this.#cut.abort(reason)
    this.#listener()
  }

  [Symbol.dispose](): void {
    for (const timer of this.#timers) clearTimeout(timer)
    this.#settings.stopSignal.removeEventListener('abort', this.#onStop)
    this.#limit[Symbol.dispose]()
    this.#end(failure('CANCELLED', {}))
  }
}
