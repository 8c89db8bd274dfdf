import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import type { SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import { GRVT } from '../../../src/payload/profile/venues/grvt.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, byName, expectedSignature, readVectors, signWith } from './exchange-vectors.ts'
import { compileChanged, loadOne, refusalOf, stepOf } from './profile-requests.ts'

const PARAMETERS = {
  subAccountId: '8289849667772468',
  instruments: [
    { name: 'BTC_USDT_Perp', assetId: '197889', baseDecimals: 9 },
    { name: 'SHIB_USDT_Perp', assetId: '77', baseDecimals: 0 },
  ],
  builder: '0xabc1230001230001230001230001230001230001',
  label: 'countersign',
}

const grvt = loadOne(GRVT)

const TIME_IN_FORCE = ['', 'GOOD_TILL_TIME', 'ALL_OR_NONE', 'IMMEDIATE_OR_CANCEL', 'FILL_OR_KILL']

/** The sizes of the builder's vectors are those of the first. */
const orderStep = ({ kind, input }: ExchangeVector): SigningStep => {
  const { message, size = '1.013', limitPrice = '68900.5', builderFee } = input
  const type = kind === 'order' ? 'order' : 'builder_order'
  return stepOf(grvt, type, {
    network: 'testnet',
    parameters: { ...PARAMETERS, ...(builderFee === undefined ? {} : { builderFee }) },
    family: 'order',
    action: {
      type,
      is_market: message.isMarket,
      time_in_force: TIME_IN_FORCE[message.timeInForce],
      post_only: message.postOnly,
      reduce_only: message.reduceOnly,
      legs: [
        {
          instrument: 'BTC_USDT_Perp',
          size,
          limit_price: limitPrice,
          is_buying_asset: message.legs[0].isBuyingContract,
        },
      ],
      expiration: message.expiration,
    },
    nonce: message.nonce,
  })
}

/** The published transfers are for chain 1, which is no network of the venue. */
const transferStep = ({ input }: ExchangeVector): SigningStep => {
  const { message, chainId } = input
  return stepOf(compileChanged(GRVT, { networks: { one: { chainId } } }), 'transfer', {
    network: 'one',
    parameters: PARAMETERS,
    family: 'transfer',
    action: {
      type: 'transfer',
      from_account_id: message.fromAccount,
      from_sub_account_id: message.fromSubAccount,
      to_account_id: message.toAccount,
      to_sub_account_id: message.toSubAccount,
      currency: 'USDT',
      num_tokens: message.numTokens === '1000000' ? '1' : '1.5',
      expiration: message.expiration,
    },
    nonce: message.nonce,
  })
}

describe('GRVT, known answers', () => {
  const vectors = readVectors('grvt')

  it.each(byName(vectors))('%s', async (_, vector) => {
    const step = vector.kind === 'transfer' ? transferStep(vector) : orderStep(vector)
    expect(toHex(step.input)).toBe(vector.digest)
    const signature = await signWith(vector.privateKey ?? '0x', step.input)
    expect(toHex(signature)).toBe(expectedSignature(vector))
    type Posted = { readonly order?: Posted; readonly signature: { readonly r: string; readonly s: string; readonly v: number } }
    const sent = JSON.parse(asDone(step.finish(signature)).signedActionJson) as Posted
    const { r, s, v } = (sent.order ?? sent).signature
    expect({ r, s, v }).toEqual(vector.expected)
  })

  it('are all of them', () => {
    expect(vectors).toHaveLength(9)
  })
})

const ORDER = {
  type: 'order',
  is_market: false,
  time_in_force: 'GOOD_TILL_TIME',
  post_only: true,
  reduce_only: false,
  legs: [{ instrument: 'BTC_USDT_Perp', size: '1.013', limit_price: '68900.5', is_buying_asset: true }],
}
const leg = (changes: object) => ({ ...ORDER, legs: [{ ...ORDER.legs[0], ...changes }] })
const read = (action: object, parameters: object = PARAMETERS) =>
  grvt.readAction({
    network: 'mainnet',
    family: 'order',
    parameters: grvt.parseParameters(Buffer.from(JSON.stringify(parameters))),
    actionJson: Buffer.from(JSON.stringify(action)),
  })

describe('GRVT orders', () => {
  it('have the number and the unit of an instrument from the key, and no other', () => {
    expect(refusalOf(() => read(leg({ instrument: 'ETH_USDT_Perp' })))).toEqual({
      reason: 'ACTION_INVALID',
      path: 'legs',
      why: 'names an instrument that the session key was not made for',
    })
    for (const field of ['assetId', 'baseDecimals', 'contractSize', 'sub_account_id'])
      expect(refusalOf(() => read(leg({ [field]: '1' })))).toMatchObject({ why: 'is not a known field' })
    const twice = { ...PARAMETERS, instruments: [PARAMETERS.instruments[0], PARAMETERS.instruments[0]] }
    expect(refusalOf(() => read(ORDER, twice))).toMatchObject({ reason: 'ACTION_INVALID', path: 'legs' })
    const one = ORDER.legs[0]
    const second = { ...ORDER, legs: [one, { ...one, instrument: 'ETH_USDT_Perp' }] }
    expect(refusalOf(() => read(second))).toMatchObject({ path: 'legs' })
  })

  it('are refused, not cut, where a size is finer than its instrument', () => {
    expect(refusalOf(() => read(leg({ instrument: 'SHIB_USDT_Perp', size: '1.5' })))).toMatchObject({
      path: 'legs',
      why: 'has a size with more decimal places than its instrument',
    })
    expect(refusalOf(() => read(leg({ size: '0.1234567891' })))).toMatchObject({
      path: 'legs[0].size',
      why: 'has more than 9 decimal places',
    })
    expect(read(leg({ instrument: 'SHIB_USDT_Perp', size: '1500' })).facts.legs).toMatchObject([{ market: 'SHIB_USDT_Perp' }])
  })

  it('of several legs count each', () => {
    const both = { ...ORDER, legs: [ORDER.legs[0], { ...ORDER.legs[0], is_buying_asset: false, size: '2' }] }
    const { legs } = read(both).facts
    expect(legs.map(({ side, sizeE18 }) => `${side} ${sizeE18}`)).toEqual([
      'buy 1013000000000000000',
      'sell 2000000000000000000',
    ])
  })

  it('have no price when they are market orders', () => {
    expect(read({ ...ORDER, is_market: true }).facts.legs[0]?.priceE18).toBeUndefined()
  })

  it('go with the login that was stored, and say nothing of one that was not', async () => {
    const request = { network: 'mainnet', parameters: PARAMETERS, family: 'order', action: ORDER, nonce: 7, timeMs: 1e12 }
    const signer = { sessionAddress: `0x${'ab'.repeat(20)}` }
    const end = async (credentials: object) => {
      const step = stepOf(grvt, 'order', { ...request, ...signer, ...credentials })
      return asDone(step.finish(await signWith(`0x${'01'.repeat(32)}`, step.input))).http
    }
    expect((await end({}))?.headers).toEqual({ 'content-type': 'application/json' })
    const sent = await end({ credentials: { cookie: 'abc=', accountId: 'ACC-1' } })
    expect(sent?.headers).toMatchObject({ cookie: 'gravity=abc=', 'x-grvt-account-id': 'ACC-1' })
    expect(JSON.parse(sent?.body ?? '')).toMatchObject({
      order: { signature: { expiration: '1000086400000000000', nonce: 7 }, metadata: { client_order_id: '7' } },
    })
    for (const cookie of ['a;b', 'a\r\nx: y', 'a b', 'a,b'])
      expect(refusalOf(() => stepOf(grvt, 'order', { ...request, credentials: { cookie } }))).toMatchObject({ path: 'cookie' })
  })
})

describe('the registration at GRVT', () => {
  it('is marked as a rule, and says what the key may do', () => {
    const request = {
      network: 'testnet',
      parameters: { ...PARAMETERS, maxFuturesFeeRate: '0.001' },
      nonce: 7,
      timeMs: 1e12,
      walletAddress: `0x${'11'.repeat(20)}`,
      sessionAddress: `0x${'ab'.repeat(20)}`,
      scopes: ['order', 'transfer'],
    }
    const document = JSON.parse(stepOf(grvt, 'register', request).typedDataJson?.() ?? '') as { message: object }
    expect(document.message).toMatchObject({ permissions: 'Trade,Transfer', maxFutureFeeRate: '10', maxSpotFeeRate: '0' })
    expect(GRVT.flows['register']?.confidence).toBe('rule')
    expect(refusalOf(() => stepOf(grvt, 'register', { ...request, scopes: ['withdraw'] }))).toMatchObject({ path: 'scopes' })
  })
})
