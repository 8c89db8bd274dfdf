import { describe, expect, it } from 'vitest'
import type { LoadedProfile } from '../../../src/payload/profile/loaded-profile.ts'
import { builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import { refusalOf } from './profile-requests.ts'

const profiles = builtInProfiles()

type Case = {
  readonly id: string
  readonly network: string
  readonly parameters: object
  readonly family: string
  readonly action: { readonly [field: string]: unknown }
}

const CASES: readonly Case[] = [
  {
    id: 'orderly',
    network: 'mainnet',
    parameters: { brokerId: 'woofi_dex', chainId: 42161 },
    family: 'order',
    action: {
      order_price: '1521.03',
      order_quantity: '2.11',
      order_type: 'LIMIT',
      side: 'BUY',
      symbol: 'PERP_ETH_USDC',
    },
  },
  {
    id: 'derive',
    network: 'mainnet',
    parameters: { subaccountIds: [1] },
    family: 'order',
    action: {
      subaccount_id: 1,
      instrument_name: 'ETH-PERP',
      asset_address: '0x4bb4c3cdc7562f08e9910a0c7d8bb7e108861eb4',
      sub_id: '2576980377601813910400',
      direction: 'buy',
      limit_price: '100',
      amount: '1',
      max_fee: '0.5',
    },
  },
  {
    id: 'polymarket-session',
    network: 'polygon',
    parameters: { depositWallet: '0x1111111111111111111111111111111111111111' },
    family: 'order',
    action: {
      exchange: 'standard',
      salt: 1,
      tokenId: '1234',
      side: 'BUY',
      makerAmount: '1000000',
      takerAmount: '2000000',
      orderType: 'GTC',
    },
  },
  {
    id: 'grvt',
    network: 'mainnet',
    parameters: {
      subAccountId: '8289849667772468',
      instruments: [{ name: 'BTC_USDT_Perp', assetId: '197889', baseDecimals: 9 }],
      builder: '0xabc1230001230001230001230001230001230001',
      label: 'countersign',
    },
    family: 'order',
    action: {
      type: 'order',
      is_market: false,
      time_in_force: 'GOOD_TILL_TIME',
      post_only: false,
      reduce_only: false,
      legs: [{ instrument: 'BTC_USDT_Perp', size: '1', limit_price: '68900.5', is_buying_asset: true }],
    },
  },
  {
    id: 'aster',
    network: 'mainnet',
    parameters: { label: 'countersign' },
    family: 'order',
    action: { symbol: 'BTCUSDT', side: 'BUY', type: 'LIMIT', timeInForce: 'GTC', quantity: '0.001', price: '50000' },
  },
]

const bytes = (value: unknown): Uint8Array => Buffer.from(typeof value === 'string' ? value : JSON.stringify(value))
const parametersOf = (loaded: LoadedProfile, { parameters }: Case) => loaded.parseParameters(bytes(parameters))
const read = (each: Case, action: unknown, family = each.family, network = each.network) => {
  const loaded = profiles.get(each.id)
  return loaded.readAction({ network, family, parameters: parametersOf(loaded, each), actionJson: bytes(action) })
}
const reasonOf = (run: () => unknown): string => refusalOf(run).reason

/** Every field of an action with each of these in its place, one at a time. */
const BAD_VALUES: readonly (readonly [what: string, value: unknown])[] = [
  ['null', null],
  ['a list', []],
  ['an object', {}],
  ['a float', 1.5],
  ['text with a zero byte', 'A\u0000'],
  ['text that is no word', 'x&canWithdraw=true'],
]

describe.each(CASES)('actions of $id', (each) => {
  it('are read, and mean the same in any order of their fields', () => {
    const loaded = profiles.get(each.id)
    const { facts } = read(each, each.action)
    expect(facts.family).toBe('order')
    expect(facts.legs).toHaveLength(1)
    const reversed = Object.fromEntries(Object.entries(each.action).toReversed())
    expect(loaded.explain(read(each, reversed)).canonicalJson).toBe(loaded.explain(read(each, each.action)).canonicalJson)
  })

  it('are refused with any field of another kind', () => {
    for (const name of Object.keys(each.action))
      for (const [what, value] of BAD_VALUES)
        expect([name, what, reasonOf(() => read(each, { ...each.action, [name]: value }))]).toEqual([
          name,
          what,
          'ACTION_INVALID',
        ])
  })

  it('are refused without a field, unless the venue lets it be', () => {
    const LEFT_OUT = new Set(['timeInForce', 'order_quantity', 'order_price', 'price'])
    for (const name of Object.keys(each.action)) {
      const { [name]: _, ...rest } = each.action
      if (!LEFT_OUT.has(name)) expect(refusalOf(() => read(each, rest))).toMatchObject({ path: name })
    }
  })

  it('are refused with a field too many, or one twice', () => {
    for (const name of ['nonce', 'signature', 'withdraw', 'canWithdraw', 'constructor'])
      expect(refusalOf(() => read(each, { ...each.action, [name]: true }))).toMatchObject({ why: 'is not a known field' })
    const [first = ''] = Object.keys(each.action)
    const text = JSON.stringify(each.action).replace(/^\{/, `{${JSON.stringify(first)}:"x",`)
    expect(refusalOf(() => read(each, text))).toMatchObject({ path: '$' })
  })

  it('are refused as another family, on another network, and where they are no JSON', () => {
    for (const family of ['withdraw', 'key_management', 'approve', 'orders'])
      expect(reasonOf(() => read(each, each.action, family))).toBe('PROFILE_FAMILY_UNKNOWN')
    for (const network of ['dev2', '', '__proto__'])
      expect(reasonOf(() => read(each, each.action, each.family, network))).toBe('PROFILE_NETWORK_UNKNOWN')
    for (const text of ['', '[]', 'null', '{', '{"a":1}x', '\u00ff'])
      expect(reasonOf(() => read(each, text))).toBe('ACTION_INVALID')
  })

  it('are refused with excess precision and amounts that are not plain decimals', () => {
    const amounts = ['order_quantity', 'order_price', 'limit_price', 'amount', 'quantity', 'price']
    for (const name of amounts.filter((amount) => amount in each.action))
      for (const value of ['1.50', '01', '1e3', '+1', '-1', '.5', '1.', '0x1', ' 1', `0.${'1'.repeat(19)}`, '1'.repeat(19), 1, '∞'])
        expect([name, value, reasonOf(() => read(each, { ...each.action, [name]: value }))]).toEqual([
          name,
          value,
          'ACTION_INVALID',
        ])
  })

  it('are refused with a number beyond 2^53, or one that is not written as an integer', () => {
    const integers = Object.entries(each.action).filter(([, value]) => typeof value === 'number')
    for (const [name, value] of integers)
      for (const bad of ['9007199254740992', '1.0', '1e0', '-0', '01'])
        expect(reasonOf(() => read(each, JSON.stringify(each.action).replace(`"${name}":${String(value)}`, `"${name}":${bad}`)))).toBe(
          'ACTION_INVALID',
        )
  })
})

describe('parameters', () => {
  const refuse = (id: string, parameters: object) => refusalOf(() => profiles.get(id).parseParameters(bytes(parameters)))

  it.each(CASES)('of $id: what is not known, and what is missing', ({ id, parameters }) => {
    expect(refuse(id, { ...parameters, unknown: 1 })).toMatchObject({ path: 'unknown', why: 'is not a known field' })
    for (const name of Object.keys(parameters)) {
      const { [name]: _, ...rest } = parameters as { readonly [field: string]: unknown }
      expect(refuse(id, rest)).toMatchObject({ reason: 'PROFILE_INPUT_INVALID', path: name, why: 'is missing' })
    }
  })

  it('that would say more than they are', () => {
    for (const brokerId of ['woofi&x=1', 'Woofi', 'a b', '', 'é', 'a'.repeat(33)])
      expect(refuse('orderly', { brokerId, chainId: 1 })).toMatchObject({ path: 'brokerId' })
    for (const chainId of [0, 2 ** 53, '1', 1.5])
      expect(refuse('orderly', { brokerId: 'x', chainId })).toMatchObject({ path: 'chainId' })
    for (const subaccountIds of [[], [0], ['1'], [-1], Array.from({ length: 33 }, (_, index) => index + 1)])
      expect(refuse('derive', { subaccountIds })).toMatchObject({ reason: 'PROFILE_INPUT_INVALID' })
    for (const depositWallet of ['0x0', `0x${'00'.repeat(20)}`, '0xF39Fd6e51aad88F6F4ce6aB8827279cffFb92266'])
      expect(refuse('polymarket-session', { depositWallet })).toMatchObject({ path: 'depositWallet' })
  })
})
