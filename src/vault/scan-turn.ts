import type { Reader } from './store.ts'

const turns = new WeakMap<Reader, Promise<void>>()

/**
 * One step of one scan for each turn of the event loop, however many scans there are: they go by turns, so many of
 * them are slow together and hold nothing else up.
 */
export const awaitScanTurn = (reader: Reader): Promise<void> => {
  const before = turns.get(reader) ?? Promise.resolve()
  const turn = before.then(() => new Promise<void>((resolve) => setImmediate(resolve)))
  turns.set(reader, turn)
  return turn
}
