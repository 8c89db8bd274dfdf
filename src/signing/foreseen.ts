/** What was read of requests that are likely to come, by whom they are told apart by, for as long as they may come. */

type Request = { readonly walletId: Uint8Array; readonly reqId: Uint8Array; readonly payload: Uint8Array }

const nameOf = ({ walletId, reqId }: Request): string =>
  Buffer.concat([walletId, reqId]).toString('latin1')

/** More than are at work at one time anywhere. */
const MAX_FORESEEN = 1_024

export class Foreseen<T> {
  readonly #read = new Map<string, { readonly payload: Uint8Array; readonly value: T }>()

  /** Answers how to forget it. */
  keep(request: Request, value: T): () => void {
    const name = nameOf(request)
    if (this.#read.size >= MAX_FORESEEN) this.#read.clear()
    this.#read.set(name, { payload: request.payload, value })
    return () => void this.#read.delete(name)
  }

  /** What was read of exactly this request. Once. */
  take(request: Request): T | undefined {
    const name = nameOf(request)
    const found = this.#read.get(name)
    this.#read.delete(name)
    return found !== undefined && Buffer.compare(found.payload, request.payload) === 0 ? found.value : undefined
  }
}
