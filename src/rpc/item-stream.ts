/**
 * Many requests in work on one stream, answered as they get ready. What is in work and what is ready but not yet taken
 * count together: a client that does not read is soon not read from either, and nothing grows.
 */
import { ConnectError, Code } from '@connectrpc/connect'
import type { Failure } from '../domain/failure.ts'
import { failure, invalidField } from '../domain/failure.ts'
import type { StreamCall } from './stream-call.ts'

export type Item<Answer> = {
  readonly id: string
  readonly bytes: number
  /** Answers when the item's work is done; the answer is made in the turn in which it leaves. Never rejects. */
  readonly work: () => Promise<() => Answer>
}

export const MAX_ITEMS = 256
const MAX_ITEM_BYTES = 4 * 1024 * 1024
const LIMIT_BYTES = 1536 * 1024

/** What went wrong while the client's messages were read, in the words of the catalogue. */
export const readingFailure = (error: unknown): Failure => {
  if (!(error instanceof ConnectError)) return failure('CANCELLED', {})
  if (error.code === Code.ResourceExhausted) return failure('REQUEST_TOO_LARGE', { limitBytes: LIMIT_BYTES })
  if (error.code === Code.InvalidArgument || error.code === Code.Internal)
    return invalidField('', error.rawMessage)
  return failure(error.code === Code.DeadlineExceeded ? 'DEADLINE_EXCEEDED' : 'CANCELLED', {})
}

class Window<Answer> {
  readonly #busy = new Map<string, number>()
  readonly #ready: { readonly id: string; readonly answer: () => Answer }[] = []
  #bytes = 0
  #change = Promise.withResolvers<void>()

  get isFull(): boolean {
    return this.#busy.size >= MAX_ITEMS || this.#bytes >= MAX_ITEM_BYTES
  }

  get isEmpty(): boolean {
    return this.#busy.size === 0 && this.#ready.length === 0
  }

  /** Resolves at the next change. */
  get changed(): Promise<void> {
    return this.#change.promise
  }

  readonly notify = (): void => {
    this.#change.resolve()
    this.#change = Promise.withResolvers()
  }

  has(id: string): boolean {
    return this.#busy.has(id)
  }

  begin({ id, bytes, work }: Item<Answer>): void {
    this.#busy.set(id, bytes)
    this.#bytes += bytes
    void work().then((answer) => {
      this.#ready.push({ id, answer })
      this.notify()
    })
  }

  takeReady(): { readonly id: string; readonly answer: () => Answer } | undefined {
    return this.#ready.shift()
  }

  /** Its answer was taken. */
  release(id: string): void {
    this.#bytes -= this.#busy.get(id) ?? 0
    this.#busy.delete(id)
    this.notify()
  }
}

/**
 * Reads `requests`, begins what `open` makes of each, and yields the answers in the order in which they get ready.
 * `open` answers undefined for what is no item and throws what ends the stream; `refuse` is the answer to an item whose
 * id is in work. Ends as `stream` says.
 */
export async function* answerItems<Request, Answer>(
  requests: AsyncIterable<Request>,
  stream: StreamCall,
  open: (request: Request) => Item<Answer> | undefined,
  refuse: (id: string, reason: Failure) => Answer,
): AsyncGenerator<Answer> {
  const window = new Window<Answer>()
  const source = requests[Symbol.asyncIterator]()
  let duplicates = 0
  let isDone = false
  let wrong: Failure | undefined
  stream.onEnd(window.notify)

  const accept = (request: Request): void => {
    const item = open(request)
    if (item === undefined) return
    if (!window.has(item.id)) return window.begin(item)
    const { id } = item
    // Under a name of its own: it takes a place of its own until it is answered.
    const place = `\0${duplicates++}`
    window.begin({
      id: place,
      bytes: item.bytes,
      work: async () => () => refuse(id, failure('ITEM_IN_FLIGHT', { itemId: id })),
    })
  }
  const isOver = (): boolean => isDone || stream.ending !== undefined || stream.signal.aborted
  const read = async (): Promise<void> => {
    try {
      for (;;) {
        while (window.isFull && !isOver()) await window.changed
        if (isOver()) return
        const next = await source.next()
        // What arrives after the end was announced is not begun.
        if (next.done === true || isOver()) return
        stream.touch()
        accept(next.value)
      }
    } catch (error) {
      wrong = error instanceof Error && 'reason' in error ? (error as Failure) : readingFailure(error)
    } finally {
      isDone = true
      window.notify()
    }
  }
  void read()
  try {
    for (;;) {
      stream.signal.throwIfAborted()
      const ready = window.takeReady()
      if (ready !== undefined) {
        stream.assertGood()
        yield ready.answer()
        stream.touch()
        window.release(ready.id)
      } else if (isOver() && window.isEmpty) {
        const reason = wrong ?? stream.ending
        if (reason !== undefined) throw reason
        return
      } else await window.changed
    }
  } finally {
    isDone = true
    window.notify()
    // Not awaited: it may wait for the client.
    void source.return?.()
  }
}
