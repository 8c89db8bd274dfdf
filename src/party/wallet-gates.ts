/**
 * Keeps a wallet's signatures apart from a change of its shares, on the daemon's main thread: the change waits for what
 * is under way, and what comes waits for the change. Costs nothing while nothing changes.
 */
import { failure } from '../domain/failure.ts'
import { hexOf } from './presignature-map.ts'

type Running = { readonly walletId: Uint8Array; readonly ended: Promise<void> }

/** How long a change waits for signatures under way; each takes a few milliseconds. */
const DRAIN_MS = 2_000
const RETRY_AFTER_MS = 250

export class WalletGates {
  /** What ends when the gate opens again. */
  readonly #held = new Map<string, Promise<void>>()
  readonly #running = new Set<Running>()

  isHeld(walletId: Uint8Array): boolean {
    return this.#held.size > 0 && this.#held.has(hexOf(walletId))
  }

  /** Resolves once nothing holds the wallet. Refuses with DEADLINE_EXCEEDED when `signal` aborts before. */
  async pass(walletId: Uint8Array, signal: AbortSignal): Promise<void> {
    for (;;) {
      const held = this.#held.size === 0 ? undefined : this.#held.get(hexOf(walletId))
      if (held === undefined) return
      await untilAborted(held, signal)
    }
  }

  /** Work that a change of the wallet waits for. */
  async during<T>(walletId: Uint8Array, work: () => Promise<T>): Promise<T> {
    const { promise, resolve } = Promise.withResolvers<void>()
    const running = { walletId, ended: promise }
    this.#running.add(running)
    try {
      return await work()
    } finally {
      this.#running.delete(running)
      resolve()
    }
  }

  /**
   * One change at a time. Refuses, and has changed nothing: DEADLINE_EXCEEDED while it waits for another change,
   * OVERLOADED when what is under way does not end.
   */
  async hold<T>(walletId: Uint8Array, signal: AbortSignal, change: () => Promise<T>): Promise<T> {
    const key = hexOf(walletId)
    // Looked at and taken in one turn: of those who wait for the same change one goes on and the others wait again.
    for (let held = this.#held.get(key); held !== undefined; held = this.#held.get(key)) await untilAborted(held, signal)
    const { promise, resolve } = Promise.withResolvers<void>()
    this.#held.set(key, promise)
    try {
      await this.#drain(key)
      return await change()
    } finally {
      this.#held.delete(key)
      resolve()
    }
  }

  async #drain(key: string): Promise<void> {
    const running = [...this.#running].filter(({ walletId }) => hexOf(walletId) === key)
    if (running.length === 0) return
    const { promise: late, resolve } = Promise.withResolvers<'late'>()
    const timer = setTimeout(() => resolve('late'), DRAIN_MS)
    const outcome = await Promise.race([Promise.all(running.map(({ ended }) => ended)), late])
    clearTimeout(timer)
    if (outcome === 'late') throw failure('OVERLOADED', { retryAfterMs: RETRY_AFTER_MS })
  }
}

const untilAborted = async (held: Promise<void>, signal: AbortSignal): Promise<void> => {
  if (signal.aborted) throw failure('DEADLINE_EXCEEDED', {})
  const { promise, reject } = Promise.withResolvers<never>()
  const abort = (): void => reject(failure('DEADLINE_EXCEEDED', {}))
  signal.addEventListener('abort', abort, { once: true })
  try {
    await Promise.race([held, promise])
  } finally {
    signal.removeEventListener('abort', abort)
  }
}
