/**
 * Nonces of session keys, in the style of their venue. One key's are given away in one place, inside the transaction
 * that makes them durable, so none is given twice: not by requests that come together, not after `kill -9`, and not when
 * the clock is set back.
 */
import { failure } from '../domain/failure.ts'
import type { SessionKeyId } from '../domain/ids.ts'
import type { NoncePolicy } from '../payload/profile/profile.ts'
import { moveNonceMark, readNonceMark } from '../vault/session-marks.ts'
import type { Tx } from '../vault/store.ts'

const PER_MS = { ms: 1n, us: 1_000n, ns: 1_000_000n } as const
/** SQLite's integers, and the wire's. */
const LARGEST = 2n ** 63n - 1n

export type NonceTurn = {
  readonly nowMs: number
  /** A cancel: it may go beyond the window, where the venue decides. */
  readonly isUrgent: boolean
  /** For the style `random`. */
  readonly random: () => bigint
}

/**
 * The next nonce after `high` (the highest that was ever given away). Refuses with NONCE_WINDOW_EXHAUSTED one that the
 * venue would not take yet.
 */
export const nextNonce = (policy: NoncePolicy, high: bigint | undefined, turn: NonceTurn): bigint | undefined => {
  switch (policy.style) {
    case 'none':
      return undefined
    case 'counter':
      return bounded((high ?? -1n) + 1n, policy.bits)
    case 'random':
      // One unused number after the other, from where chance has begun: none comes again before all were used.
      return high === undefined ? turn.random() % 2n ** BigInt(policy.bits) : (high + 1n) % 2n ** BigInt(policy.bits)
    case 'clock': {
      const perMs = PER_MS[policy.unit]
      const now = BigInt(Math.trunc(turn.nowMs)) * perMs
      const next = high === undefined || now > high ? now : high + 1n
      const aheadMs = (next - now) / perMs
      const beyondMs = aheadMs - BigInt(policy.aheadMs)
      if (beyondMs > 0n && !turn.isUrgent) throw failure('NONCE_WINDOW_EXHAUSTED', { retryAfterMs: Number(beyondMs) })
      return bounded(next, 63)
    }
  }
}

const bounded = (nonce: bigint, bits: number): bigint => {
  if (nonce > LARGEST || nonce >= 2n ** BigInt(bits)) throw failure('NONCE_WINDOW_EXHAUSTED', { retryAfterMs: 3_600_000 })
  return nonce
}

const MAX_KEYS = 10_000

/** Gives nonces away. What is remembered is never lower than what is stored: a transaction that fails leaves a gap. */
export class SessionNonces {
  readonly #highs = new Map<SessionKeyId, bigint>()

  take(tx: Tx, id: SessionKeyId, policy: NoncePolicy, turn: NonceTurn): bigint | undefined {
    if (policy.style === 'none') return undefined
    const high = this.#highs.get(id) ?? readNonceMark(tx, id)
    const nonce = nextNonce(policy, high, turn)
    if (nonce === undefined) return undefined
    if (this.#highs.size >= MAX_KEYS) this.#highs.clear()
    this.#highs.set(id, nonce)
    moveNonceMark(tx, id, nonce, policy.style === 'random')
    return nonce
  }
}
