import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import { builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import { asStep } from './exchange-vectors.ts'
import { refusalOf } from './profile-requests.ts'

const profiles = builtInProfiles()
const hyperliquid = profiles.get('hyperliquid')
const derivadex = profiles.get('derivadex')
const NONE = hyperliquid.parseParameters(Buffer.from('{}'))
const VAULT = '0x1719884eb866cb12b2287399b15f7db5e7d775ea'

type Json = { [name: string]: unknown }
const ORDER = (): Json => ({ a: 4, b: true, p: '1670.1', s: '0.0147', r: false, t: { limit: { tif: 'Ioc' } } })
const ACTION = (order: Json = {}, more: Json = {}): Json => ({
  type: 'order',
  orders: [{ ...ORDER(), ...order }],
  grouping: 'na',
  ...more,
})

const readText = (text: string, family = 'order', network = 'mainnet', parameters = NONE) =>
  hyperliquid.readAction({ network, family, parameters, actionJson: Buffer.from(text, 'utf8') })
const read = (action: Json, family?: string, network?: string, parameters?: typeof NONE) =>
  readText(JSON.stringify(action), family, network, parameters)

describe('names that no profile has', () => {
  it('an unknown profile, network, family and flow', () => {
    expect(refusalOf(() => profiles.get('nowhere'))).toEqual({ reason: 'PROFILE_NOT_FOUND', profile: 'nowhere' })
    for (const network of ['ropsten', '', 'toString', '__proto__'])
      expect(refusalOf(() => read(ACTION(), 'order', network))).toMatchObject({ reason: 'PROFILE_NETWORK_UNKNOWN' })
    for (const family of ['orders', '', 'withdraw', 'constructor'])
      expect(refusalOf(() => read(ACTION(), family))).toMatchObject({ reason: 'PROFILE_FAMILY_UNKNOWN' })
    for (const flow of ['nothing', 'toString', 'l1'])
      expect(refusalOf(() => hyperliquid.buildFlow(flow, { network: 'mainnet', parameters: NONE, timeMs: 0 }))).toMatchObject({
        reason: 'PROFILE_FLOW_UNKNOWN',
      })
  })

  it('an action of another family than it was sent as', () => {
    expect(refusalOf(() => read(ACTION(), 'cancel_order'))).toEqual({
      reason: 'ACTION_INVALID',
      path: 'type',
      why: 'is of the family order, not cancel_order',
    })
    const transfer = { type: 'vaultTransfer', vaultAddress: VAULT, isDeposit: true, usd: 1 }
    expect(refusalOf(() => read(transfer, 'order'))).toMatchObject({ why: 'is of the family transfer, not order' })
  })

  it('an action that the profile does not have: what only the wallet signs among them', () => {
    for (const type of ['usdSend', 'withdraw3', 'approveAgent', 'multiSig', 'toString', '__proto__', ''])
      expect(refusalOf(() => readText(`{"type":${JSON.stringify(type)}}`))).toEqual({
        reason: 'ACTION_INVALID',
        path: 'type',
        why: 'is not an action of this profile',
      })
    for (const text of ['{}', '{"type":7}', '[]', '"order"', 'null'])
      expect(refusalOf(() => readText(text))).toMatchObject({ path: 'type', why: 'is missing or not a string' })
  })

  it('an action read for one network and built for another', () => {
    expect(refusalOf(() =>
      hyperliquid.buildAction(read(ACTION()), { network: 'testnet', parameters: NONE, timeMs: 0, nonce: 1n }),
    )).toMatchObject({ reason: 'ACTION_INVALID', why: 'was read for mainnet' })
  })
})

describe('actions that are not what the venue takes', () => {
  it.each([
    ['a number beyond 2^53', '"a":9007199254740993', 'orders[0].a', 'is beyond 2^53 − 1'],
    ['a number that is a float', '"a":4.0', 'orders[0].a', 'is not an integer'],
    ['a number with an exponent', '"a":4e0', 'orders[0].a', 'is not an integer'],
    ['minus zero', '"a":-0', 'orders[0].a', 'is not an integer'],
    ['a negative asset', '"a":-1', 'orders[0].a', 'is not within 0 and 4294967295'],
    ['a number as text', '"a":"4"', 'orders[0].a', 'is not a number'],
    ['a price as a number', '"p":1670.1', 'orders[0].p', 'is not a string'],
    ['excess precision', '"p":"0.123456789"', 'orders[0].p', 'has more than 8 decimal places'],
    ['superfluous zeros', '"p":"1670.10"', 'orders[0].p', 'has superfluous zeros after the point'],
    ['leading zeros', '"p":"01670"', 'orders[0].p', 'is not a decimal number in plain notation'],
    ['an exponent in a price', '"p":"1e3"', 'orders[0].p', 'is not a decimal number in plain notation'],
    ['a price of zero', '"p":"0"', 'orders[0].p', 'is zero'],
    ['a negative size', '"s":"-1"', 'orders[0].s', 'is negative'],
    ['a size too large', `"s":"${'9'.repeat(19)}"`, 'orders[0].s', 'has more than 18 digits before the point'],
    ['a flag as a number', '"r":0', 'orders[0].r', 'is neither true nor false'],
    ['null', '"r":null', 'orders[0].r', 'is neither true nor false'],
    ['an unknown time in force', '"t":{"limit":{"tif":"Fok"}}', 'orders[0].t.limit.tif', 'is none of Gtc, Ioc, Alo, FrontendMarket'],
    ['a type that is two', '"t":{"limit":{"tif":"Ioc"},"trigger":{"isMarket":true,"triggerPx":"1","tpsl":"sl"}}', 'orders[0].t.trigger', 'is not a known field'],
    ['a type that is none', '"t":{}', 'orders[0].t', 'has none of the forms that this field takes'],
    ['a short client id', '"c":"0x01"', 'orders[0].c', 'is not 16 bytes long'],
    ['an unknown field', '"z":1', 'orders[0].z', 'is not a known field'],
    ['a field of the prototype', '"__proto__":{"r":true}', 'orders[0].__proto__', 'is not a known field'],
  ])('%s', (_, member, path, why) => {
    const name = /^"([^"]+)"/.exec(member)?.[1] ?? ''
    const rest = Object.entries(ORDER()).filter(([each]) => each !== name)
    const order = `{${[...rest.map(([each, value]) => `"${each}":${JSON.stringify(value)}`), member].join(',')}}`
    expect(refusalOf(() => readText(`{"type":"order","orders":[${order}],"grouping":"na"}`))).toEqual({
      reason: 'ACTION_INVALID',
      path,
      why,
    })
  })

  it('fields that are missing, doubled, or beside the action', () => {
    const { grouping: _, ...short } = ACTION()
    expect(refusalOf(() => read(short))).toMatchObject({ path: 'grouping', why: 'is missing' })
    expect(refusalOf(() => readText('{"type":"order","type":"order"}'))).toMatchObject({ path: '$', why: expect.stringContaining('duplicate key') as string })
    expect(refusalOf(() => read(ACTION({}, { nonce: 1 })))).toMatchObject({ path: 'nonce', why: 'is not a known field' })
    expect(refusalOf(() => read(ACTION({}, { vaultAddress: VAULT })))).toMatchObject({ path: 'vaultAddress' })
    expect(refusalOf(() => read(ACTION({}, { orders: [] })))).toMatchObject({ path: 'orders', why: 'has fewer than 1 items' })
    expect(refusalOf(() => read(ACTION({}, { orders: Array.from({ length: 101 }, ORDER) })))).toMatchObject({ why: 'has more than 100 items' })
  })

  it('text that is no JSON, or too much of it', () => {
    for (const text of ['', '{', '{"type":"order"}x', '{"type":"order",}', '\u{feff}{}', '{"type":"\\ud800"}'])
      expect(refusalOf(() => readText(text))).toMatchObject({ reason: 'ACTION_INVALID', path: '$' })
    expect(refusalOf(() => readText(`"${'x'.repeat(70_000)}"`))).toMatchObject({ why: 'is larger than 65536 bytes' })
    expect(refusalOf(() => readText(`${'['.repeat(40)}${']'.repeat(40)}`))).toMatchObject({ why: expect.stringContaining('nested deeper') as string })
    const bytes = Buffer.from('{"type":"order"}')
    bytes[2] = 0xff
    expect(refusalOf(() => hyperliquid.readAction({ network: 'mainnet', family: 'order', parameters: NONE, actionJson: bytes }))).toMatchObject({
      why: 'is not UTF-8',
    })
  })

  it('a builder that the session key was not made for', () => {
    const builder = { builder: { b: VAULT, f: 10 } }
    expect(refusalOf(() => read(ACTION({}, builder)))).toMatchObject({ path: 'builder.b' })
    const parameters = hyperliquid.parseParameters(Buffer.from(JSON.stringify({ builder: VAULT })))
    expect(read(ACTION({}, builder), 'order', 'mainnet', parameters).facts.action).toBe('order')
  })
})

describe('parameters', () => {
  const parse = (json: Json) => hyperliquid.parseParameters(Buffer.from(JSON.stringify(json)))

  it.each([
    'seventeen-letters',
    'bot valid_until 9999999999999',
    'a valid_until 9',
    'x&canWithdraw=true',
    'x=1',
    'bot\n',
    ' bot',
    '',
    'бот',
    'bot\u0000',
  ])('a label cannot be %j', (label) => {
    expect(refusalOf(() => parse({ label }))).toMatchObject({ reason: 'PROFILE_INPUT_INVALID', path: 'label' })
  })

  it('a label of sixteen characters can', () => {
    expect(parse({ label: 'sixteen-letters_' })).toEqual({ label: 'sixteen-letters_' })
  })

  it('addresses are lower-cased when their checksum holds, and refused when it does not', () => {
    expect(parse({ vaultAddress: '0x5B38Da6a701c568545dCfcB03FcB875f56beddC4' })).toEqual({
      vaultAddress: '0x5b38da6a701c568545dcfcb03fcb875f56beddc4',
    })
    for (const vaultAddress of ['0x5b38Da6a701c568545dCfcB03FcB875f56beddC4', '0x5b38', 'vault', 7, null, `0x${'00'.repeat(20)}`])
      expect(refusalOf(() => parse({ vaultAddress }))).toMatchObject({ path: 'vaultAddress' })
  })

  it('unknown ones are refused', () => {
    expect(refusalOf(() => parse({ canWithdraw: true }))).toMatchObject({ path: 'canWithdraw', why: 'is not a known field' })
    expect(refusalOf(() => hyperliquid.parseParameters(Buffer.from('[]')))).toMatchObject({ why: 'is not an object' })
  })
})

describe('what is signed', () => {
  const context = { network: 'mainnet', parameters: NONE, timeMs: 0, nonce: 1790000000000n }
  const digestOf = (action: Json, family = 'order', more: object = {}) =>
    toHex(hyperliquid.buildAction(read(action, family), { ...context, ...more }).input)

  it('does not depend on the order of the members sent', () => {
    const { type, orders, grouping } = ACTION() as { type: string; orders: Json[]; grouping: string }
    const reordered = { grouping, orders: orders.map((order) => Object.fromEntries(Object.entries(order).toReversed())), type }
    expect(digestOf(reordered)).toBe(digestOf(ACTION()))
  })

  it('changes with every field of an order, the nonce, the vault, the expiry and the network', () => {
    const digests = [
      digestOf(ACTION()),
      ...[{ a: 5 }, { b: false }, { p: '1670.2' }, { s: '0.0148' }, { r: true }, { t: { limit: { tif: 'Gtc' } } }, { c: `0x${'01'.repeat(16)}` }].map(
        (change) => digestOf(ACTION(change)),
      ),
      digestOf(ACTION({}, { grouping: 'normalTpsl' })),
      digestOf(ACTION({}, { orders: [ORDER(), ORDER()] })),
      digestOf(ACTION(), 'order', { nonce: 1790000000001n }),
      digestOf(ACTION(), 'order', { notAfterMs: 1790000000001 }),
      digestOf(ACTION(), 'order', { parameters: { vaultAddress: VAULT } }),
      toHex(hyperliquid.buildAction(read(ACTION(), 'order', 'testnet'), { ...context, network: 'testnet' }).input),
    ]
    expect(new Set(digests).size).toBe(digests.length)
  })

  it('changes with every field of a DerivaDEX order', () => {
    const order: Json = { symbol: 'ETHP', strategy: 'main', side: 'Bid', orderType: 'Limit', amount: '1', price: '2', stopPrice: '0' }
    const parameters = derivadex.parseParameters(Buffer.from('{}'))
    const digest = (change: Json, more: object = {}) => {
      const action = derivadex.readAction({ network: 'mainnet', family: 'order', parameters, actionJson: Buffer.from(JSON.stringify({ ...order, ...change })) })
      return toHex(derivadex.buildAction(action, { ...context, parameters, kept: { payload: '0x02' }, ...more }).input)
    }
    const changes = [{}, { symbol: 'BTCP' }, { strategy: 'alt' }, { side: 'Ask' }, { orderType: 'Stop' }, { amount: '1.000001' }, { price: '3' }, { stopPrice: '1' }]
    const digests = [...changes.map((change) => digest(change)), digest({}, { nonce: 2n })]
    expect(new Set(digests).size).toBe(digests.length)
    expect(refusalOf(() => digest({ amount: '1.0000001' }))).toMatchObject({ path: 'amount', why: 'has more than 6 decimal places' })
  })

  it('cannot be made without what it covers: a nonce, a session key', () => {
    const { nonce: _, ...withoutNonce } = context
    expect(refusalOf(() => hyperliquid.buildAction(read(ACTION()), withoutNonce))).toMatchObject({ reason: 'ACTION_INVALID' })
    expect(refusalOf(() => hyperliquid.buildFlow('register', context))).toMatchObject({ reason: 'PROFILE_INPUT_INVALID', path: 'register' })
    const sessionPublicKey = new Uint8Array(33).fill(5)
    expect(refusalOf(() => hyperliquid.buildFlow('register', { ...context, sessionPublicKey }))).toMatchObject({ reason: 'PROFILE_INPUT_INVALID' })
  })

  it('takes a signature of its form only', () => {
    const step = hyperliquid.buildAction(read(ACTION()), context)
    for (const bytes of [0, 64, 66]) expect(refusalOf(() => step.finish(new Uint8Array(bytes).fill(1)))).toMatchObject({ reason: 'SIGNATURE_MALFORMED' })
    const highS = Buffer.from(`${'11'.repeat(32)}${'ff'.repeat(31)}001b`, 'hex')
    expect(refusalOf(() => step.finish(highS))).toMatchObject({ reason: 'SIGNATURE_MALFORMED' })
  })

  it('may be finished more than once', () => {
    const step = asStep(hyperliquid.buildAction(read(ACTION()), context))
    const [a, b] = ['11', '22'].map((byte) => Buffer.from(`${byte.repeat(64)}1b`, 'hex'))
    const first = step.finish(a as Buffer)
    expect(step.finish(b as Buffer)).not.toEqual(first)
    expect(step.finish(a as Buffer)).toEqual(first)
  })
})

describe('the facts of an action', () => {
  it('has its legs scaled by 10^18, the notional rounded up', () => {
    const { facts } = read(ACTION({ p: '0.00000001', s: '0.00000001', b: false, r: true }))
    expect(facts).toMatchObject({ family: 'order', action: 'order', reduceOnly: true, confidence: 'published' })
    expect(facts.legs).toEqual([
      { market: '4', side: 'sell', sizeE18: 10_000_000_000n, priceE18: 10_000_000_000n, notionalE18: 100n, reduceOnly: true },
    ])
  })

  it('reduces only when every leg does', () => {
    const orders = [ORDER(), { ...ORDER(), r: true }]
    expect(read(ACTION({}, { orders })).facts).toMatchObject({ reduceOnly: false, legs: [{}, { reduceOnly: true }] })
    expect(read({ type: 'cancel', cancels: [{ a: 1, o: 2 }] }, 'cancel_order').facts).toMatchObject({ reduceOnly: false, legs: [{ market: '1' }] })
    expect(read({ type: 'scheduleCancel' }, 'cancel_all').facts.legs).toEqual([])
  })

  it('has no price for what the market prices', () => {
    const twap = { type: 'twapOrder', twap: { a: 1, b: true, s: '2', r: false, m: 5, t: false } }
    expect(read(twap).facts.legs).toMatchObject([{ market: '1', side: 'buy', priceE18: undefined, notionalE18: undefined }])
  })

  it('is explained in words', () => {
    expect(hyperliquid.explain(read(ACTION()))).toMatchObject({
      sentence: 'Hyperliquid mainnet: order (order): buy 0.0147 of market 4 at 1670.1 (notional 24.55047)',
      canonicalJson: JSON.stringify(ACTION()),
    })
  })
})
