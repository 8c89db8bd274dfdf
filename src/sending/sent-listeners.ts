/** Who waits to hear what becomes of a send. */
import { getSent } from '../vault/sent-queries.ts'
import type { SentState, SentTransaction } from '../vault/sent-transactions.ts'
import type { Reader } from '../vault/store.ts'

const OVER: ReadonlySet<SentState> = new Set(['CONFIRMED', 'REPLACED', 'FAILED', 'EXPIRED'])
export const isOver = ({ state }: Pick<SentTransaction, 'state'>): boolean => OVER.has(state)

/** Of who does not read, only the newest are kept. */
const KEPT = 64

export class SentListeners {
  readonly #reader: Reader
  readonly #listeners = new Map<string, Set<(sent: SentTransaction) => void>>()

  constructor(reader: Reader) {
    this.#reader = reader
  }

  /** Called once what is told is durable. */
  tell(sent: SentTransaction): void {
    for (const listener of this.#listeners.get(sent.sendId) ?? []) listener(sent)
  }

  #add(sendId: string, listener: (sent: SentTransaction) => void): () => void {
    const all = this.#listeners.get(sendId) ?? new Set()
    this.#listeners.set(sendId, all.add(listener))
    return () => {
      all.delete(listener)
      if (all.size === 0) this.#listeners.delete(sendId)
    }
  }

  /** What it is now, then every change, until it is over or `signal` aborts. */
  async *statuses(sendId: string, signal: AbortSignal): AsyncIterable<SentTransaction> {
    const queue: SentTransaction[] = []
    let wake = (): void => {}
    const remove = this.#add(sendId, (sent) => {
      queue.push(sent)
      if (queue.length > KEPT) queue.shift()
      wake()
    })
    const onAbort = (): void => wake()
    signal.addEventListener('abort', onAbort, { once: true })
    try {
      let current = getSent(this.#reader, sendId)
      if (current !== undefined) yield current
      while (current !== undefined && !isOver(current) && !signal.aborted) {
        const next = queue.shift()
        if (next === undefined) {
          const { promise, resolve } = Promise.withResolvers<void>()
          wake = resolve
          await promise
          continue
        }
        current = next
        yield next
      }
    } finally {
      remove()
      signal.removeEventListener('abort', onAbort)
    }
  }
}
