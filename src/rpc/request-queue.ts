/**
 * The messages of a client's stream as an async iterable that may be left early. Iterating grpc-js's own stream
 * would destroy it, and the status could no longer be sent.
 */
import type { Readable } from 'node:stream'

type Waiting<T> = {
  readonly resolve: (result: IteratorResult<T>) => void
  readonly reject: (error: unknown) => void
}

/** The sender is held back while this many messages wait. */
const HIGH_WATER = 8

export class RequestQueue<T> implements AsyncIterable<T> {
  readonly #source: Readable
  readonly #parse: (bytes: Buffer) => T
  readonly #messages: Buffer[] = []
  #waiting: Waiting<T> | undefined
  #isEnded = false
  #failure: unknown

  constructor(source: Readable, parse: (bytes: Buffer) => T) {
    this.#source = source
    this.#parse = parse
    source.on('data', (bytes: Buffer) => {
      this.#messages.push(bytes)
      if (this.#messages.length >= HIGH_WATER) source.pause()
      this.#advance()
    })
    source.on('end', () => {
      this.#isEnded = true
      this.#advance()
    })
  }

  /** Ends the iteration with an error, once what has arrived is taken. */
  fail(error: unknown): void {
    this.#failure = error
    this.#isEnded = true
    this.#advance()
  }

  /** Throws away what still comes, so that the call can close. */
  drain(): void {
    this.#isEnded = true
    this.#messages.length = 0
    this.#source.removeAllListeners('data')
    this.#source.resume()
    this.#advance()
  }

  #advance(): void {
    const waiting = this.#waiting
    if (waiting === undefined) return
    const bytes = this.#messages.shift()
    if (bytes !== undefined) {
      this.#waiting = undefined
      if (this.#messages.length < HIGH_WATER / 2 && this.#source.isPaused()) this.#source.resume()
      try {
        waiting.resolve({ done: false, value: this.#parse(bytes) })
      } catch (error) {
        waiting.reject(error)
      }
    } else if (this.#isEnded) {
      this.#waiting = undefined
      if (this.#failure === undefined) waiting.resolve({ done: true, value: undefined })
      else waiting.reject(this.#failure)
    }
  }

  [Symbol.asyncIterator](): AsyncIterator<T> {
    return {
      next: () =>
        new Promise<IteratorResult<T>>((resolve, reject) => {
          this.#waiting = { resolve, reject }
          this.#advance()
        }),
      return: async () => {
        this.drain()
        return { done: true, value: undefined }
      },
    }
  }
}
