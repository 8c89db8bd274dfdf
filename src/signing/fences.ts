/**
 * Revoke is a fence: once raised, nothing that stands behind it is released, work in flight included. A fence is raised
 * in memory first, then made durable, then acknowledged; every release looks at the fences in the same turn of the
 * event loop in which its answer leaves.
 */
import { failure } from '../domain/failure.ts'

/** What a fence can stop. `all` has the id `*`. */
export type FenceScope = 'all' | 'project' | 'wallet' | 'api_key' | 'session_key' | 'venue_profile'
export type FenceKey = { readonly scope: FenceScope; readonly id: string }

const nameOf = ({ scope, id }: FenceKey): string => `${scope}:${id}`

/** How long raising a fence waits for what is in flight; what is still running then is abandoned at its release. */
export const FENCE_WAIT_MS = 2_000

export type Passage = {
  /** Throws FROZEN when a fence stands in the way. The last thing before an answer leaves. */
  readonly check: () => void
  readonly leave: () => void
}

export class Fences {
  readonly #raised = new Map<string, FenceKey>()
  #raises = 0
  readonly #inFlight = new Set<{ readonly names: ReadonlySet<string>; readonly done: Promise<void> }>()

  constructor(raised: Iterable<FenceKey> = []) {
    for (const key of raised) this.#raised.set(nameOf(key), key)
  }

  /** How often a fence was raised: while it stays the same, what stood behind none stands behind none. */
  get raises(): number {
    return this.#raises
  }

  /** The first raised fence among `keys`, or undefined. */
  blocking(keys: readonly FenceKey[]): FenceKey | undefined {
    return keys.find((key) => this.#raised.has(nameOf(key)))
  }

  /** Enters work that stands behind `keys`; throws FROZEN at once when one of them is raised. */
  enter(keys: readonly FenceKey[]): Passage {
    const check = (): void => {
      const key = this.blocking(keys)
      if (key !== undefined) throw failure('FROZEN', key)
    }
    check()
    const { promise, resolve } = Promise.withResolvers<void>()
    const entry = { names: new Set(keys.map(nameOf)), done: promise }
    this.#inFlight.add(entry)
    return {
      check,
      leave: () => {
        this.#inFlight.delete(entry)
        resolve()
      },
    }
  }

  /** Raises a fence now and waits, at most FENCE_WAIT_MS, until nothing behind it is in flight. */
  async raise(key: FenceKey): Promise<void> {
    const name = nameOf(key)
    this.#raised.set(name, key)
    this.#raises += 1
    const running = [...this.#inFlight].filter((entry) => entry.names.has(name)).map((entry) => entry.done)
    if (running.length === 0) return
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, FENCE_WAIT_MS)
    await Promise.race([Promise.all(running), late])
    clearTimeout(timer)
  }

  lower(key: FenceKey): void {
    this.#raised.delete(nameOf(key))
  }
}
