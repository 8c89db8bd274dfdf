import { failure } from '../domain/failure.ts'
import { BODY_TIMEOUT_MS } from './mounted-services.ts'

/** The iterator as it is, behind what was taken from it already. */
async function* resume<T>(taken: IteratorResult<T>, source: AsyncIterator<T>): AsyncGenerator<T> {
  try {
    for (let next = taken; next.done !== true; next = await source.next()) yield next.value
  } finally {
    void source.return?.()
  }
}

/**
 * The same messages, once the first one has come. Rejects with DEADLINE_EXCEEDED when it does not come in the time that a
 * request of its own has to arrive.
 */
export const afterFirst = async <T>(messages: AsyncIterable<T>): Promise<AsyncIterable<T>> => {
  const source = messages[Symbol.asyncIterator]()
  const { promise: late, reject } = Promise.withResolvers<never>()
  const timer = setTimeout(() => reject(failure('DEADLINE_EXCEEDED', {})), BODY_TIMEOUT_MS)
  try {
    return resume(await Promise.race([source.next(), late]), source)
  } finally {
    clearTimeout(timer)
  }
}
