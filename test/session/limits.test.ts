import { describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import type { ActionFacts, Leg } from '../../src/payload/profile/loaded-profile.ts'
import { formatE18, multiplyE18, parseE18 } from '../../src/session/amounts.ts'
import { checkDay, checkLimits, isUrgent, readLimits } from '../../src/session/limits.ts'
import { familiesOf, parseScopes, type SessionLimits } from '../../src/session/terms.ts'
import { reasonOf } from '../vault/fixture.ts'

const e18 = (text: string): bigint => parseE18(text) ?? -1n

const leg = (changes: Partial<Leg> = {}): Leg => ({
  market: 'ETH',
  side: 'buy',
  sizeE18: e18('2'),
  priceE18: e18('100'),
  notionalE18: undefined,
  reduceOnly: false,
  ...changes,
})

const facts = (legs: readonly Leg[], changes: Partial<ActionFacts> = {}): ActionFacts => ({
  family: 'order',
  action: 'order',
  flow: 'l1',
  confidence: 'rule',
  legs,
  reduceOnly: legs.length > 0 && legs.every(({ reduceOnly }) => reduceOnly),
  ...changes,
})

const marks = (price: string, ageMs = 0) => () => ({ priceE18: e18(price), ageMs })
const none = () => undefined
const check = (limits: SessionLimits, of: ActionFacts, mark: Parameters<typeof checkLimits>[2] = none) =>
  checkLimits(readLimits(limits), of, mark)

/** Reason and limit of a refusal. */
const refusal = (attempt: () => unknown): readonly [string, string | undefined] => {
  try {
    attempt()
  } catch (error) {
    if (isFailure(error)) return [error.reason, (error.facts as { limit?: string }).limit]
    throw error
  }
  throw new Error('it was not refused')
}

describe('amounts', () => {
  it('read decimals exactly and write them back', () => {
    for (const text of ['0', '1', '0.000000000000000001', '123456789012345678901234567890.123456789012345678']) {
      expect(formatE18(e18(text))).toBe(text)
    }
    expect(formatE18(e18('1.500'))).toBe('1.5')
  })

  it.each(['', '-1', '+1', '01', '1.', '.5', '1e3', '0x1', ' 1', '1,5', '1.0000000000000000001', 'NaN'])('refuse %j', (text) => {
    expect(parseE18(text)).toBeUndefined()
  })

  it('round products up', () => {
    expect(multiplyE18(1n, 1n)).toBe(1n)
    expect(multiplyE18(e18('2'), e18('3.5'))).toBe(e18('7'))
  })
})

describe('limits', () => {
  it('let through what no limit speaks of', () => {
    expect(check({}, facts([leg()]))).toBe(0n)
  })

  it('hold every leg to the markets, and refuse what names none', () => {
    expect(check({ markets: ['ETH'] }, facts([leg()]))).toBe(0n)
    expect(refusal(() => check({ markets: ['ETH'] }, facts([leg(), leg({ market: 'BTC' })])))).toEqual(['LIMIT_EXCEEDED', 'markets'])
    expect(refusal(() => check({ markets: ['ETH'] }, facts([], { family: 'leverage' })))).toEqual(['LIMIT_EXCEEDED', 'markets'])
  })

  it('hold every leg to the side and the size', () => {
    expect(refusal(() => check({ side: 'sell' }, facts([leg()])))).toEqual(['LIMIT_EXCEEDED', 'side'])
    expect(refusal(() => check({ side: 'buy' }, facts([leg({ side: undefined })])))).toEqual(['LIMIT_EXCEEDED', 'side'])
    expect(check({ maxSize: '2' }, facts([leg()]))).toBe(0n)
    expect(refusal(() => check({ maxSize: '1.999999999999999999' }, facts([leg()])))).toEqual(['LIMIT_EXCEEDED', 'max_size'])
    expect(refusal(() => check({ maxSize: '2' }, facts([leg({ sizeE18: undefined })])))).toEqual(['LIMIT_EXCEEDED', 'max_size'])
  })

  it('take a size of zero for one that cannot be read', () => {
    const whole = facts([leg({ sizeE18: 0n })])
    expect(check({}, whole)).toBe(0n)
    expect(refusal(() => check({ maxSize: '1' }, whole))).toEqual(['LIMIT_EXCEEDED', 'max_size'])
    expect(refusal(() => check({ maxNotional: '1' }, whole, marks('1')))).toEqual(['LIMIT_EXCEEDED', 'max_notional'])
  })

  it('measure notional by the higher of price and mark', () => {
    expect(check({ maxNotional: '200' }, facts([leg()]), marks('90'))).toBe(0n)
    expect(refusal(() => check({ maxNotional: '200' }, facts([leg()]), marks('100.01')))).toEqual(['LIMIT_EXCEEDED', 'max_notional'])
    expect(refusal(() => check({ maxNotional: '199' }, facts([leg()]), marks('1')))).toEqual(['LIMIT_EXCEEDED', 'max_notional'])
    const market = leg({ priceE18: undefined })
    expect(check({ maxNotional: '200' }, facts([market]), marks('100'))).toBe(0n)
    expect(refusal(() => check({ maxNotional: '200' }, facts([market]), marks('101')))).toEqual(['LIMIT_EXCEEDED', 'max_notional'])
  })

  it('deny by a mark that is missing or too old', async () => {
    expect(await reasonOf(() => check({ maxNotional: '1000' }, facts([leg()])))).toBe('MARK_STALE')
    expect(await reasonOf(() => check({ maxNotional: '1000' }, facts([leg()]), marks('1', 60_001)))).toBe('MARK_STALE')
    const young = { maxNotional: '1000', maxMarkAgeMs: 1_000 }
    expect(await reasonOf(() => check(young, facts([leg()]), marks('1', 1_001)))).toBe('MARK_STALE')
    expect(check(young, facts([leg()]), marks('1', 1_000))).toBe(0n)
  })

  it('charge the day with all legs, and refuse what takes it over', () => {
    const limits: SessionLimits = { maxNotionalPerDay: '500' }
    const charge = check(limits, facts([leg(), leg()]), marks('100'))
    expect(charge).toBe(e18('400'))
    checkDay(readLimits(limits), e18('100'), charge)
    expect(refusal(() => checkDay(readLimits(limits), e18('100.000000000000000001'), charge))[0]).toBe('LIMIT_EXCEEDED')
  })

  it('let only what reduces through where they say so, and each leg counts', () => {
    const limits: SessionLimits = { reduceOnly: true }
    expect(check(limits, facts([leg({ reduceOnly: true })]))).toBe(0n)
    expect(refusal(() => check(limits, facts([leg({ reduceOnly: true }), leg()])))).toEqual(['LIMIT_EXCEEDED', 'reduce_only'])
  })

  it('do not stand in the way of cancels, nor by amount of what only reduces', () => {
    const strict: SessionLimits = { markets: ['BTC'], maxSize: '0', maxNotional: '0', maxNotionalPerDay: '0' }
    expect(check(strict, facts([leg()], { family: 'cancel_order' }))).toBe(0n)
    expect(check(strict, facts([], { family: 'cancel_all' }))).toBe(0n)
    expect(check({ ...strict, markets: ['ETH'] }, facts([leg({ reduceOnly: true })]))).toBe(0n)
    expect(refusal(() => check(strict, facts([leg({ reduceOnly: true })])))).toEqual(['LIMIT_EXCEEDED', 'markets'])
  })
})

describe('what is urgent', () => {
  it('cancels and what only reduces; nothing else', () => {
    expect(isUrgent(facts([], { family: 'cancel_all' }))).toBe(true)
    expect(isUrgent(facts([leg()], { family: 'cancel_order' }))).toBe(true)
    expect(isUrgent(facts([leg({ reduceOnly: true })]))).toBe(true)
    expect(isUrgent(facts([leg({ reduceOnly: true }), leg()]))).toBe(false)
    expect(isUrgent(facts([]))).toBe(false)
    expect(isUrgent(facts([], { family: 'withdraw', reduceOnly: true }))).toBe(false)
  })
})

describe('scopes', () => {
  it('are refused when there is none, or one that is not stated', async () => {
    expect(await reasonOf(() => parseScopes([]))).toBe('SCOPE_REQUIRED')
    expect(await reasonOf(() => parseScopes(['order', undefined]))).toBe('SCOPE_REQUIRED')
    expect(parseScopes(['cancel_all', 'order', 'order'])).toEqual(['order', 'cancel_all'])
  })

  it('cover their own family; the unrestricted one the four of trading, and no more', () => {
    expect([...familiesOf({ scopes: ['order'], extraFamilies: [] })]).toEqual(['order'])
    const all = familiesOf({ scopes: ['unrestricted'], extraFamilies: [] })
    expect([...all].toSorted()).toEqual(['cancel_all', 'cancel_order', 'modify_order', 'order'])
    expect(familiesOf({ scopes: ['order'], extraFamilies: ['withdraw'] }).has('withdraw')).toBe(true)
  })
})
