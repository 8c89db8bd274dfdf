/**
 * Revoke is a fence: once raised, nothing that stands behind it is released, work in flight included. A fence is raised
 * in memory first, then made durable, then acknowledged; every release looks at the fences in the same turn of the
 * event loop in which its answer leaves.
 */
import { type Failure, failure } from '../domain/failure.ts'
import { Lock } from '../party/lock.ts'

/** What a fence can stop. `all` has the id `*`. */
export type FenceScope = 'all' | 'project' | 'wallet' | 'api_key' | 'end_user' | 'grant' | 'session_key' | 'venue_profile' | 'delegated_access'
export type FenceKey = { readonly scope: FenceScope; readonly id: string }

/** What work is refused with that a fence stops. */
export const failureOfFence = ({ scope, id }: FenceKey): Failure => {
  if (scope === 'grant') return failure('GRANT_REVOKED', { grantId: id })
  return scope === 'delegated_access'
    ? failure('DELEGATED_ACCESS_REVOKED', { delegatedAccessId: id })
    : failure('FROZEN', { scope, id })
}

const nameOf = ({ scope, id }: FenceKey): string => `${scope}:${id}`

/** How long raising a fence waits for what is in flight; what is still running then is abandoned at its release. */
export const FENCE_WAIT_MS = 2_000

/** Who holds a fence up: the standing freezes, or one change that is being made. It is down when nobody does. */
type Holder = symbol
const FREEZES: Holder = Symbol('freezes')

export type Passage = {
  /** Throws FROZEN, GRANT_REVOKED or DELEGATED_ACCESS_REVOKED when a fence stands in the way. The last thing before an answer leaves. */
  readonly check: () => void
  readonly leave: () => void
}

type InFlight = {
  readonly names: ReadonlySet<string>
  readonly done: Promise<void>
  /** The fence that rose in its way: it stays stopped, also when the fence is lowered before it ends. */
  stoppedBy: FenceKey | undefined
  readonly stopped: () => void
}

export class Fences {
  readonly #raised = new Map<string, Set<Holder>>()
  readonly #inFlight = new Set<InFlight>()
  readonly #changing = new Map<string, Lock>()
  #raises = 0

  /** `frozen`: what stands frozen already. */
  constructor(frozen: Iterable<FenceKey> = []) {
    for (const key of frozen) this.#hold(key, FREEZES)
  }

  /** How often a fence was raised: while it stays the same, what stood behind none stands behind none. */
  get raises(): number {
    return this.#raises
  }

  /** The first raised fence among `keys`, or undefined. */
  blocking(keys: readonly FenceKey[]): FenceKey | undefined {
    return keys.find((key) => this.#raised.has(nameOf(key)))
  }

  /**
   * Enters work that stands behind `keys`; throws as `Passage.check` at once when one of them is raised. `stopped` is
   * called when one is raised later: for work that lets things out by itself.
   */
  enter(keys: readonly FenceKey[], stopped: () => void = () => {}): Passage {
    const raised = this.blocking(keys)
    if (raised !== undefined) throw failureOfFence(raised)
    const { promise, resolve } = Promise.withResolvers<void>()
    const entry: InFlight = { names: new Set(keys.map(nameOf)), done: promise, stoppedBy: undefined, stopped }
    this.#inFlight.add(entry)
    return {
      check: () => {
        if (entry.stoppedBy !== undefined) throw failureOfFence(entry.stoppedBy)
      },
      leave: () => {
        this.#inFlight.delete(entry)
        resolve()
      },
    }
  }

  /**
   * Raises a fence for a freeze, until `lower`: stops what is in flight behind it, for good, and waits, at most
   * FENCE_WAIT_MS, until it has ended.
   */
  raise(key: FenceKey): Promise<void> {
    return this.#raise(key, FREEZES)
  }

  /** After a freeze was lifted. Fences that a change holds up stay up. */
  lower(key: FenceKey): void {
    this.#letGo(key, FREEZES)
  }

  /** Raises a fence as `raise` does for the time of one change, which it then runs. */
  async during<T>(key: FenceKey, change: () => Promise<T>): Promise<T> {
    const holder = Symbol('change')
    try {
      await this.#raise(key, holder)
      return await change()
    } finally {
      this.#letGo(key, holder)
    }
  }

  /** Freezing and lifting, one after the other for each subject: what the last of them answered is what stands. */
  async inTurn<T>(key: FenceKey, change: () => Promise<T>): Promise<T> {
    const name = nameOf(key)
    const lock = this.#changing.get(name) ?? new Lock()
    this.#changing.set(name, lock)
    try {
      return await lock.run(change)
    } finally {
      if (!lock.busy) this.#changing.delete(name)
    }
  }

  async #raise(key: FenceKey, holder: Holder): Promise<void> {
    const name = nameOf(key)
    this.#hold(key, holder)
    this.#raises += 1
    const running = [...this.#inFlight].filter((entry) => entry.names.has(name))
    for (const entry of running) {
      entry.stoppedBy ??= key
      entry.stopped()
    }
    if (running.length === 0) return
    const { promise: late, resolve } = Promise.withResolvers<void>()
    const timer = setTimeout(resolve, FENCE_WAIT_MS)
    await Promise.race([Promise.all(running.map((entry) => entry.done)), late])
    clearTimeout(timer)
  }

  #hold(key: FenceKey, holder: Holder): void {
    const name = nameOf(key)
    const holders = this.#raised.get(name)
    if (holders === undefined) this.#raised.set(name, new Set([holder]))
    else holders.add(holder)
  }

  #letGo(key: FenceKey, holder: Holder): void {
    const name = nameOf(key)
    const holders = this.#raised.get(name)
    holders?.delete(holder)
    if (holders?.size === 0) this.#raised.delete(name)
  }
}
