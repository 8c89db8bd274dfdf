import { decodeError } from './countersign-error.ts'

/**
 * A stream of responses that is cancelled at the server as soon as its reader leaves: `break`, `return` or a throw
 * inside `for await` aborts the call, which Connect's own iterators do not do. The caller's `signal` still cancels it.
 * `open` is called on the first read, with the signal to pass on; failures arrive as CountersignError.
 *
 * One reader only: a second iteration of the same stream throws.
 */
export const cancellingStream = <T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  signal?: AbortSignal,
): AsyncIterable<T> => {
  let taken = false
  return {
    [Symbol.asyncIterator]: () => {
      if (taken) throw new Error('a response stream can be read once')
      taken = true
      return cancellingIterator(open, signal)
    },
  }
}

const cancellingIterator = <T>(
  open: (signal: AbortSignal) => AsyncIterable<T>,
  outer: AbortSignal | undefined,
): AsyncIterator<T> => {
  const controller = new AbortController()
  const signal = outer === undefined ? controller.signal : AbortSignal.any([outer, controller.signal])
  let source: AsyncIterator<T> | undefined
  let finished = false

  const finish = (): IteratorResult<T> => {
    finished = true
    controller.abort()
    return { done: true, value: undefined }
  }
  return {
    next: async () => {
      if (finished) return { done: true, value: undefined }
      try {
        source ??= open(signal)[Symbol.asyncIterator]()
        const result = await source.next()
        if (finished || result.done === true) return finish()
        return result
      } catch (error) {
        if (finished) return { done: true, value: undefined }
        finish()
        throw decodeError(error)
      }
    },
    return: async () => finish(),
  }
}
