/** What limits see of orders that wait for a price, and of the flag to reduce where there is nothing to reduce. */
import { describe, expect, it } from 'vitest'
import { builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import type { ActionFacts } from '../../../src/payload/profile/loaded-profile.ts'

const E18 = 10n ** 18n

const factsOf = (profile: string, network: string, family: string, action: object, parameters: object = {}): ActionFacts => {
  const loaded = builtInProfiles().get(profile)
  const read = { network, family, parameters: loaded.parseParameters(Buffer.from(JSON.stringify(parameters))) }
  return loaded.readAction({ ...read, actionJson: Buffer.from(JSON.stringify(action)) }).facts
}

const order = (changes: object) => ({ a: 1, b: true, p: '10', s: '2', r: false, t: { limit: { tif: 'Gtc' } }, ...changes })
const hyperliquid = (changes: object) =>
  factsOf('hyperliquid', 'mainnet', 'order', { type: 'order', orders: [order(changes)], grouping: 'na' })

describe('a stop counts by the price that starts it, when that is higher', () => {
  it('at Hyperliquid', () => {
    const stop = (triggerPx: string) => hyperliquid({ t: { trigger: { isMarket: true, triggerPx, tpsl: 'sl' } } }).legs[0]
    expect(stop('500')).toMatchObject({ priceE18: 500n * E18, notionalE18: 1_000n * E18 })
    expect(stop('5')).toMatchObject({ priceE18: 10n * E18 })
  })

  it('at Aster', () => {
    const stop = { symbol: 'ETHUSDT', side: 'BUY', type: 'STOP_MARKET', quantity: '2', stopPrice: '500' }
    expect(factsOf('aster', 'mainnet', 'order', stop, { label: 'bot' }).legs[0]).toMatchObject({ priceE18: 500n * E18 })
  })

  it('at DerivaDEX', () => {
    const stop = { symbol: 'ETHP', strategy: 'main', side: 'Bid', orderType: 'Stop', amount: '2', price: '0', stopPrice: '500' }
    expect(factsOf('derivadex', 'sepolia', 'order', stop).legs[0]).toMatchObject({ priceE18: 500n * E18 })
  })
})

describe('the flag to reduce', () => {
  it.each([
    [0, true],
    [9_999, true],
    [10_000, false],
    [10_107, false],
    [99_999, false],
    [100_000, true],
    [110_001, true],
    [100_000_000, false],
    [100_000_010, false],
  ])('of asset %i at Hyperliquid: %s', (a, reduces) => {
    expect(hyperliquid({ a, r: true }).reduceOnly).toBe(reduces)
    expect(hyperliquid({ a, r: false }).reduceOnly).toBe(false)
    const twap = { type: 'twapOrder', twap: { a, b: true, s: '1', r: true, m: 30, t: false } }
    expect(factsOf('hyperliquid', 'mainnet', 'order', twap).reduceOnly).toBe(reduces)
  })
})
