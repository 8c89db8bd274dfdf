import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import type { SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import { ASTER } from '../../../src/payload/profile/venues/aster.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, byName, expectedSignature, readVectors, signWith } from './exchange-vectors.ts'
import { loadOne, refusalOf, stepOf } from './profile-requests.ts'

/** A builder's approval: a body alone, and nothing that this profile makes. */
const NOT_COVERED = new Set(['approveBuilder body as ccxt produces it (dynamic capitalised fields)'])

const aster = loadOne(ASTER)
const USER = '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266'
const AGENT = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8'
const LABEL = { label: 'countersign' }
const NONCE = '1790000000000000'

const COMMON = { network: 'mainnet', parameters: LABEL, nonce: NONCE, walletAddress: USER, sessionAddress: USER }

const REQUESTS: Readonly<Record<string, { readonly family: string; readonly action: object }>> = {
  'request POST v3/order': {
    family: 'order',
    action: { price: '50000', quantity: '0.001', timeInForce: 'GTC', type: 'LIMIT', side: 'BUY', symbol: 'BTCUSDT' },
  },
  'request GET v3/balance': { family: 'read', action: { path: '/fapi/v3/balance' } },
  'request DELETE v3/order': { family: 'cancel_order', action: { orderId: 42, symbol: 'BTCUSDT' } },
}

const vectorStep = ({ name, kind }: ExchangeVector): SigningStep => {
  const request = REQUESTS[name]
  if (request !== undefined) return stepOf(aster, request.family, { ...COMMON, ...request })
  const agent = { ...COMMON, sessionAddress: AGENT }
  if (kind === 'revoke') return stepOf(aster, 'revoke', agent)
  return stepOf(aster, 'register', { ...agent, parameters: { ...LABEL, spot: true }, expireTimeMs: 1792592000000 })
}

const textOf = (step: SigningStep): string =>
  (JSON.parse(step.typedDataJson?.() ?? '') as { message: { msg: string } }).message.msg

describe('Aster, known answers', () => {
  const vectors = readVectors('aster')

  it.each(byName(vectors.filter(({ name }) => !NOT_COVERED.has(name))))('%s', async (_, vector) => {
    const step = vectorStep(vector)
    const text = vector.input.msg ?? vector.input.message.msg
    if (text !== undefined) expect(textOf(step)).toBe(text)
    expect(toHex(step.input)).toBe(vector.digest)
    const signature = await signWith(vector.privateKey ?? '0x', step.input)
    expect(toHex(signature)).toBe(expectedSignature(vector))
    const { http } = asDone(step.finish(signature))
    if (text !== undefined) expect(http?.body ?? http?.path.split('?')[1]).toBe(`${text}&signature=${toHex(signature)}`)
  })

  it('covers all but those named', () => {
    expect(vectors.filter(({ name }) => NOT_COVERED.has(name))).toHaveLength(NOT_COVERED.size)
    expect(vectors.length - NOT_COVERED.size).toBe(5)
  })
})

describe('no text of Aster can say more than it is', () => {
  const register = (parameters: object): SigningStep =>
    stepOf(aster, 'register', { ...COMMON, parameters: { ...parameters }, expireTimeMs: 1792592000000 })

  it.each([
    'x&canWithdraw=true',
    'x%26canWithdraw%3Dtrue',
    'x=y',
    'x y',
    'x\ny',
    'x\u0000',
    'x＆canWithdraw',
    '',
    'a'.repeat(33),
  ])('a label: %j', (label) => {
    expect(refusalOf(() => register({ label }))).toMatchObject({ reason: 'PROFILE_INPUT_INVALID', path: 'label' })
  })

  it.each(['1.2.3.4&canWithdraw=true', '1.2.3', '1.2.3.256', '01.2.3.4', '1.2.3.4 5.6.7.8', '::1', '1.2.3.4,5.6.7.8'])(
    'an IP address: %j',
    (ip) => {
      expect(refusalOf(() => register({ ...LABEL, ip }))).toMatchObject({ path: 'ip' })
    },
  )

  it('a parameter that would let it withdraw', () => {
    for (const name of ['canWithdraw', 'withdraw'])
      expect(refusalOf(() => register({ ...LABEL, [name]: true }))).toMatchObject({ path: name, why: 'is not a known field' })
    expect(textOf(register({ ...LABEL, ip: '203.0.113.7' }))).toMatch(/&canWithdraw=false&ipWhitelist=203\.0\.113\.7$/)
    expect(textOf(register(LABEL))).toContain('canSpotTrade=false&canPerpTrade=true')
  })

  const ORDER = { symbol: 'BTCUSDT', side: 'BUY', type: 'LIMIT', timeInForce: 'GTC', quantity: '0.001', price: '50000' }
  const order = (changes: object): SigningStep =>
    stepOf(aster, 'post_order', { ...COMMON, family: 'order', action: { ...ORDER, ...changes } })

  it.each([
    ['symbol', 'BTCUSDT&side=SELL'],
    ['symbol', 'btcusdt'],
    ['newClientOrderId', 'a&reduceOnly=false'],
    ['newClientOrderId', 'a'.repeat(37)],
    ['price', '50000&quantity=9'],
    ['price', '50000.0'],
    ['price', '5e4'],
    ['price', 50000],
    ['quantity', '0.123456789'],
    ['quantity', '-1'],
    ['quantity', '0'],
    ['side', 'BUY\u0000'],
    ['timeInForce', 'FOREVER'],
    ['reduceOnly', 'true'],
  ])('an order: %s %j', (path, value) => {
    expect(refusalOf(() => order({ [path]: value }))).toMatchObject({ reason: 'ACTION_INVALID', path })
  })

  it('nor bring the parameters that the daemon sets, or any other', () => {
    for (const name of ['nonce', 'user', 'signer', 'signature', 'recvWindow', 'closePosition', '__proto__'])
      expect(refusalOf(() => order(JSON.parse(`{"${name}":"1"}`) as object))).toMatchObject({ path: name })
  })

  it('an order with a price has one, another has none', () => {
    expect(refusalOf(() => order({ type: 'MARKET' }))).toMatchObject({ path: 'price' })
    expect(refusalOf(() => order({ price: undefined }))).toMatchObject({ path: 'price' })
  })

  it('a cancel names one order', () => {
    const cancel = (action: object): SigningStep => stepOf(aster, 'delete_order', { ...COMMON, family: 'cancel_order', action })
    expect(refusalOf(() => cancel({ symbol: 'BTCUSDT' }))).toMatchObject({ path: 'orderId' })
    const both = { symbol: 'BTCUSDT', orderId: 1, origClientOrderId: 'a' }
    expect(refusalOf(() => cancel(both))).toMatchObject({ path: 'orderId' })
    expect(refusalOf(() => cancel({ symbol: 'BTCUSDT', orderId: 2 ** 53 }))).toMatchObject({
      path: 'orderId',
      why: 'is beyond 2^53 − 1',
    })
  })

  it('two texts are never one: the test network has a domain of its own', () => {
    const [main, test] = ['mainnet', 'testnet'].map((network) =>
      toHex(stepOf(aster, 'post_order', { ...COMMON, network, family: 'order', action: ORDER }).input),
    )
    expect(main).not.toBe(test)
  })
})
