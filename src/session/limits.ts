/** A session key's limits, judged on what will be signed. Pure. */
import { failure } from '../domain/failure.ts'
import type { ActionFacts, Leg } from '../payload/profile/loaded-profile.ts'
import type { Family } from '../payload/profile/profile.ts'
import { formatE18, multiplyE18, parseE18 } from './amounts.ts'
import type { Mark } from './marks.ts'
import type { SessionLimits, TradeSide } from './terms.ts'

/** Amounts scaled by 10^18. */
export type ReadLimits = {
  readonly markets: ReadonlySet<string> | undefined
  readonly side: TradeSide | undefined
  readonly maxSizeE18: bigint | undefined
  readonly maxNotionalE18: bigint | undefined
  readonly maxNotionalPerDayE18: bigint | undefined
  readonly reduceOnly: boolean
  readonly maxRate: number | undefined
  readonly maxMarkAgeMs: number
}

const MARK_AGE_MS = 60_000

const amount = (text: string | undefined): bigint | undefined => (text === undefined ? undefined : parseE18(text))

export const readLimits = (limits: SessionLimits): ReadLimits => ({
  markets: limits.markets === undefined ? undefined : new Set(limits.markets),
  side: limits.side,
  maxSizeE18: amount(limits.maxSize),
  maxNotionalE18: amount(limits.maxNotional),
  maxNotionalPerDayE18: amount(limits.maxNotionalPerDay),
  reduceOnly: limits.reduceOnly === true,
  maxRate: limits.maxRate,
  maxMarkAgeMs: limits.maxMarkAgeMs ?? MARK_AGE_MS,
})

const CANCELS: ReadonlySet<Family> = new Set(['cancel_order', 'cancel_all'])
/** Their legs are orders: what they are worth counts. */
const TRADES: ReadonlySet<Family> = new Set(['order', 'modify_order'])

/** Cancels, and orders that can only reduce a position: no cap, rate or window stands in their way. */
export const isUrgent = ({ family, reduceOnly }: ActionFacts): boolean =>
  CANCELS.has(family) || (TRADES.has(family) && reduceOnly)

const over = (limit: string, seen: string, allowed: string) => failure('LIMIT_EXCEEDED', { limit, seen, allowed })
const UNREADABLE = 'what cannot be read'

const checkPlace = (limits: ReadLimits, facts: ActionFacts): void => {
  const { markets, side, reduceOnly } = limits
  if (markets !== undefined) {
    if (facts.legs.length === 0) throw over('markets', UNREADABLE, 'listed markets')
    const other = facts.legs.find(({ market }) => !markets.has(market))
    if (other !== undefined) throw over('markets', other.market, 'listed markets')
  }
  if (!TRADES.has(facts.family)) return
  if (side !== undefined) {
    const other = facts.legs.find((leg) => leg.side !== side)
    if (other !== undefined || facts.legs.length === 0) throw over('side', other?.side ?? UNREADABLE, side)
  }
  if (reduceOnly && !facts.reduceOnly) throw over('reduce_only', 'an order that may open a position', 'reduce-only')
}

const notionalOf = (leg: Leg, markE18: bigint): bigint => {
  // A size of zero is no size: venues take it for all there is.
  if (leg.sizeE18 === 0n) throw over('max_notional', UNREADABLE, 'a size')
  if (leg.sizeE18 === undefined) {
    if (leg.notionalE18 === undefined) throw over('max_notional', UNREADABLE, 'a size')
    return leg.notionalE18
  }
  const price = leg.priceE18 !== undefined && leg.priceE18 > markE18 ? leg.priceE18 : markE18
  const product = multiplyE18(leg.sizeE18, price)
  return leg.notionalE18 !== undefined && leg.notionalE18 > product ? leg.notionalE18 : product
}

/**
 * Refuses with LIMIT_EXCEEDED and MARK_STALE; answers what an action charges to its day. Cancels pass; orders that only
 * reduce a position are held to markets and side, not to amounts.
 */
export const checkLimits = (limits: ReadLimits, facts: ActionFacts, mark: (market: string) => Mark | undefined): bigint => {
  if (CANCELS.has(facts.family)) return 0n
  checkPlace(limits, facts)
  if (!TRADES.has(facts.family) || facts.reduceOnly) return 0n
  const { maxSizeE18, maxNotionalE18, maxNotionalPerDayE18, maxMarkAgeMs } = limits
  const isCounted = maxNotionalE18 !== undefined || maxNotionalPerDayE18 !== undefined
  if (facts.legs.length === 0 && (maxSizeE18 !== undefined || isCounted)) throw over('max_size', UNREADABLE, 'a size')
  let totalE18 = 0n
  for (const leg of facts.legs) {
    if (maxSizeE18 !== undefined) {
      if (!leg.sizeE18) throw over('max_size', UNREADABLE, formatE18(maxSizeE18))
      if (leg.sizeE18 > maxSizeE18) throw over('max_size', formatE18(leg.sizeE18), formatE18(maxSizeE18))
    }
    if (!isCounted) continue
    const found = mark(leg.market)
    if (found === undefined || found.ageMs > maxMarkAgeMs) {
      throw failure('MARK_STALE', { market: leg.market, ageMs: found === undefined ? 'none' : String(Math.round(found.ageMs)) })
    }
    const notionalE18 = notionalOf(leg, found.priceE18)
    if (maxNotionalE18 !== undefined && notionalE18 > maxNotionalE18) {
      throw over('max_notional', formatE18(notionalE18), formatE18(maxNotionalE18))
    }
    totalE18 += notionalE18
  }
  return maxNotionalPerDayE18 === undefined ? 0n : totalE18
}

/** Refuses with LIMIT_EXCEEDED what takes the day over its cap. */
export const checkDay = ({ maxNotionalPerDayE18 }: ReadLimits, usedE18: bigint, chargeE18: bigint): void => {
  if (maxNotionalPerDayE18 === undefined || chargeE18 === 0n) return
  const seen = usedE18 + chargeE18
  if (seen > maxNotionalPerDayE18) throw over('max_notional_per_day', formatE18(seen), formatE18(maxNotionalPerDayE18))
}
