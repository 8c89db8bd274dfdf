import { createHmac } from 'node:crypto'
import { decodeAbiParameters, encodeAbiParameters, hashTypedData } from 'viem'
import { describe, expect, it } from 'vitest'
import { fromHex, toHex } from '../../../src/payload/bytes.ts'
import { keccak256 } from '../../../src/payload/keccak.ts'
import type { SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import type { Flow, RequestJson } from '../../../src/payload/profile/profile.ts'
import { compileTypedPlan, hashDomain } from '../../../src/payload/profile/typed-plan.ts'
import { POLYMARKET_SESSION } from '../../../src/payload/profile/venues/polymarket-session.ts'
import { POLYMARKET } from '../../../src/payload/profile/venues/polymarket.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, asStep, byName, readVectors, signWith } from './exchange-vectors.ts'
import { compileChanged, loadOne, refusalOf, stepOf } from './profile-requests.ts'

/** Orders of version 1 are made for no exchange any more; the profile has 2 and 3. */
const NOT_COVERED = new Set(['V1 order negRisk (amoy)', 'V1 order hash (fake exchange 0x..01)'])

const polymarket = loadOne(POLYMARKET)
const session = loadOne(POLYMARKET_SESSION)

const EOA = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'
const SESSION = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8'
const KEY = '0xac0974bec39a17e36ba4a6b4d238ff944bacb478cbed5efcae784d7bf4f2ff80'
const SECRET = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA='
const CREDENTIALS = { apiKey: 'api-key', secret: SECRET, passphrase: 'pass' }

const mac = (message: Uint8Array): Uint8Array =>
  new Uint8Array(createHmac('sha256', polymarket.macKey(CREDENTIALS) ?? '').update(message).digest())

const networkOf = (chainId: number): string => (chainId === 137 ? 'polygon' : 'amoy')
const bytes = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array()

const authRequest = ({ input }: ExchangeVector): RequestJson => ({
  network: networkOf(input.chainId),
  input: { nonce: input.nonce },
  walletAddress: input.address,
  timeMs: Number(input.timestamp) * 1000,
})

const orderFields = ({ domain, message }: ExchangeVector['input']): object => ({
  exchange: domain.verifyingContract.startsWith('0xe222') ? 'neg_risk' : 'standard',
  salt: Number(message.salt),
  tokenId: message.tokenId,
  side: message.side === 0 ? 'BUY' : 'SELL',
  makerAmount: message.makerAmount,
  takerAmount: message.takerAmount,
  metadata: message.metadata,
  builder: message.builder,
  orderType: 'GTC',
})

const orderRequest = (vector: ExchangeVector): RequestJson => {
  const { domain, message, depositWallet } = vector.input
  return {
    network: networkOf(domain.chainId),
    parameters: depositWallet === undefined ? { signatureType: message.signatureType } : { depositWallet },
    input: orderFields(vector.input) as { [field: string]: unknown },
    walletAddress: EOA,
    timeMs: Number(message.timestamp),
    credentials: CREDENTIALS,
  }
}

type PostedOrder = { readonly order: { readonly [field: string]: unknown }; readonly owner: string }
const postedBy = async (step: SigningStep, key: `0x${string}`): Promise<PostedOrder> => {
  const second = asStep(step.finish(await signWith(key, step.input)))
  expect(second.signer).toBe('credential')
  return JSON.parse(asDone(second.finish(mac(second.input))).http?.body ?? '') as PostedOrder
}

const checkOrder = async (vector: ExchangeVector): Promise<void> => {
  const { expected, input, privateKey } = vector
  const step = stepOf(polymarket, vector.kind === 'order-1271' ? 'deposit_order' : 'order', orderRequest(vector))
  const digest = vector.kind === 'order-1271' ? (vector as unknown as { innerDigest: string }).innerDigest : expected.hash
  expect(toHex(step.input)).toBe(digest)
  const { order } = await postedBy(step, privateKey ?? '0x')
  expect(order['signature']).toBe(expected.signature)
  expect(order).toMatchObject({ signatureType: input.message.signatureType, timestamp: input.message.timestamp })
}

/** The published MAC is over a method that no request has. */
const checkMac = ({ input, expected }: ExchangeVector): void => {
  const { method, path, body } = input
  const cancel = POLYMARKET.flows['cancel'] as Flow
  const [sign] = cancel.sign
  if (sign === undefined) throw new Error('a cancel is signed')
  const bindings = [['method', method], ['path', path], ['body', body]] as const
  const flows = { ...POLYMARKET.flows, cancel: { ...cancel, sign: [{ ...sign, let: bindings }] } }
  const step = stepOf(compileChanged(POLYMARKET, { flows }), 'cancel', {
    ...L2,
    action: { orderID: `0x${'12'.repeat(32)}` },
    timeMs: Number(input.timestamp) * 1000,
  })
  expect(asDone(step.finish(mac(step.input))).http?.headers['POLY_SIGNATURE']).toBe(expected.signature)
}

const L2 = { network: 'polygon', family: 'cancel_order', walletAddress: EOA, timeMs: 1713398400999, credentials: CREDENTIALS }

const batchTypes = (POLYMARKET_SESSION.flows['register'] as Flow).sign[0]
if (batchTypes?.scheme !== 'eip712') throw new Error('a batch is typed data')
const batchPlan = compileTypedPlan(batchTypes.types, batchTypes.primaryType)

const BATCH_FLOWS: Readonly<Record<string, string>> = {
  'DepositWallet authorizeSessionSigner': 'register',
  'DepositWallet revokeSessionSigner': 'revoke',
}

/** abi.encode(signer, 0, signature) and sixteen times 6492. */
const envelope = (signature: `0x${string}`): string =>
  encodeAbiParameters(
    [{ type: 'bytes32' }, { type: 'bytes32' }, { type: 'bytes' }],
    [`0x${'00'.repeat(12)}${SESSION.slice(2)}`, `0x${'00'.repeat(32)}`, signature],
  ) + '6492'.repeat(16)

const checkBatch = async (vector: ExchangeVector): Promise<void> => {
  const { name, input, expected } = vector
  const { domain, message } = input
  const flow = BATCH_FLOWS[name]
  let digest = toHex(keccak256(Buffer.concat([Uint8Array.of(0x19, 1), hashDomain(domain), batchPlan.hashStruct(message)])))
  if (flow !== undefined) {
    const step = stepOf(session, flow, {
      network: 'polygon',
      parameters: { depositWallet: message.wallet },
      input: { nonce: message.nonce },
      walletAddress: EOA,
      sessionAddress: SESSION,
      expireTimeMs: 1815534000000,
      timeMs: (Number(message.deadline) - 600) * 1000,
    })
    digest = toHex(step.input)
    expect(JSON.parse(step.typedDataJson?.() ?? '').message.calls[0].data).toBe(message.calls[0].data)
  }
  expect(digest).toBe(expected.digest)
  expect(toHex(await signWith(vector.privateKey ?? '0x', bytes(digest)))).toBe(expected.signature)
  // The envelope of session signatures, as the orders below have it.
  const wrapped = (vector as unknown as { sessionWrappedSignature: string }).sessionWrappedSignature
  expect(envelope(expected.signature)).toBe(wrapped)
}

const check = async (vector: ExchangeVector): Promise<void> => {
  const { kind, input, expected, digest, privateKey } = vector
  if (kind.startsWith('order-')) return checkOrder(vector)
  if (kind === 'l2-hmac') return checkMac(vector)
  if (kind === 'wallet-batch') return checkBatch(vector)
  if (kind === 'codec') {
    for (const [name, selector] of Object.entries(expected as Record<string, string>))
      expect(toHex(keccak256(Buffer.from(input[name] as string))).slice(0, 10)).toBe(selector)
    return expect(JSON.stringify(POLYMARKET_SESSION.flows)).toContain(input.authorize)
  }
  const step = stepOf(polymarket, 'register', authRequest(vector))
  expect(toHex(step.input)).toBe(digest)
  const signature = await signWith(privateKey ?? '0x', step.input)
  expect(toHex(signature)).toBe(expected.signature)
  return expect(asDone(step.finish(signature)).http).toMatchObject({
    method: 'POST',
    path: '/auth/api-key',
    headers: {
      POLY_ADDRESS: input.address,
      POLY_SIGNATURE: expected.signature,
      POLY_TIMESTAMP: input.timestamp,
      POLY_NONCE: input.nonce,
    },
  })
}

describe('Polymarket, known answers', () => {
  const vectors = readVectors('polymarket')

  it.each(byName(vectors.filter(({ name }) => !NOT_COVERED.has(name))))('%s', async (_, vector) => {
    expect.hasAssertions()
    await check(vector)
  })

  it('covers all but those named', () => {
    expect(vectors.filter(({ name }) => NOT_COVERED.has(name))).toHaveLength(NOT_COVERED.size)
    expect(vectors.length - NOT_COVERED.size).toBe(15)
  })
})

const DEPOSIT_WALLET = '0x1111111111111111111111111111111111111111'
const ORDER = {
  exchange: 'v3',
  salt: 333333333,
  tokenId: '1234',
  side: 'BUY',
  makerAmount: '100000000',
  takerAmount: '300000000',
  orderType: 'GTC',
}
const SIGNER = { parameters: { depositWallet: DEPOSIT_WALLET }, walletAddress: EOA, sessionAddress: SESSION }
const readOrder = (changes: object) =>
  session.readAction({
    network: 'polygon',
    family: 'order',
    parameters: session.parseParameters(Buffer.from(JSON.stringify(SIGNER.parameters))),
    actionJson: Buffer.from(JSON.stringify({ ...ORDER, ...changes })),
  })

describe('orders of a session signer', () => {
  it('are wrapped by ERC-7739 and put into the envelope of the session', async () => {
    const request = { network: 'polygon', family: 'order', action: ORDER, timeMs: 1713398400000, credentials: CREDENTIALS }
    const step = stepOf(session, 'order', { ...request, ...SIGNER })
    const document = JSON.parse(step.typedDataJson?.() ?? '')
    expect(document.domain).toMatchObject({ version: '3', verifyingContract: '0xe3333700cA9d93003F00f0F71f8515005F6c00Aa' })
    expect(hashTypedData(document)).toBe(toHex(step.input))
    const inner = await signWith(KEY, step.input)
    const { order, owner } = await postedBy(step, KEY)
    expect(owner).toBe('api-key')
    const signature = order['signature'] as `0x${string}`
    const [signer, zero, wrapped] = decodeAbiParameters(
      [{ type: 'bytes32' }, { type: 'bytes32' }, { type: 'bytes' }],
      `0x${signature.slice(2, -64)}`,
    )
    expect(envelope(wrapped)).toBe(signature)
    expect([signer, BigInt(zero)]).toEqual([`0x${'00'.repeat(12)}${SESSION.slice(2)}`, 0n])
    expect(wrapped.startsWith(toHex(inner))).toBe(true)
    expect(wrapped.slice(2 + 130, 2 + 194)).toBe(toHex(hashDomain(document.domain)).slice(2))
    expect(order).toMatchObject({ maker: DEPOSIT_WALLET, signer: DEPOSIT_WALLET, signatureType: 3, expiration: '0' })
  })

  it('count what is bought and sold: tokens, collateral and the price between them, rounded up', () => {
    expect(readOrder({}).facts.legs).toEqual([
      {
        market: '1234',
        side: 'buy',
        sizeE18: 300n * 10n ** 18n,
        priceE18: 333333333333333334n,
        notionalE18: 100n * 10n ** 18n,
        reduceOnly: false,
      },
    ])
    expect(readOrder({ side: 'SELL' }).facts.legs[0]).toMatchObject({
      side: 'sell',
      sizeE18: 100n * 10n ** 18n,
      notionalE18: 300n * 10n ** 18n,
    })
  })

  it('are experimental, and marked so', () => {
    expect(new Set(Object.values(POLYMARKET_SESSION.flows).map(({ confidence }) => confidence))).toEqual(new Set(['rule']))
    expect(POLYMARKET_SESSION.unsignedFields).toEqual(expect.arrayContaining(['scopes', 'order.expiration']))
  })

  it.each([
    ['exchange', 'v1'],
    ['exchange', '0xE111180000d2663C0091e4f400237545B87B996B'],
    ['salt', 2 ** 53],
    ['salt', '1'],
    ['salt', -1],
    ['tokenId', '01'],
    ['tokenId', `${2n ** 256n}`],
    ['tokenId', 1234],
    ['makerAmount', '0'],
    ['makerAmount', '1.5'],
    ['takerAmount', `${2n ** 128n}`],
    ['side', 'buy'],
    ['metadata', '0x00'],
    ['builder', 'x'],
    ['maker', EOA],
    ['signatureType', 0],
    ['feeRateBps', '0'],
    ['expiration', 0],
  ])('refuse %s %j', (path, value) => {
    expect(refusalOf(() => readOrder({ [path]: value }))).toMatchObject({ reason: 'ACTION_INVALID', path })
  })

  it('refuse what is missing', () => {
    for (const path of Object.keys(ORDER))
      expect(refusalOf(() => readOrder({ [path]: undefined }))).toMatchObject({ path, why: 'is missing' })
  })
})

describe('requests under a credential', () => {
  const cancel = (action: object): SigningStep => stepOf(polymarket, 'cancel', { ...L2, action })

  it('cover the seconds, method, path and body', () => {
    const orderID = `0x${'AB'.repeat(32)}`
    const step = cancel({ orderID })
    expect(Buffer.from(step.input).toString()).toBe(`1713398400DELETE/order{"orderID":"${orderID.toLowerCase()}"}`)
    const { http } = asDone(step.finish(mac(step.input)))
    expect(http?.headers).toMatchObject({ POLY_API_KEY: 'api-key', POLY_PASSPHRASE: 'pass', POLY_ADDRESS: EOA })
    const read = stepOf(polymarket, 'get', { ...L2, family: 'read', action: { path: '/data/orders' } })
    expect(Buffer.from(read.input).toString()).toBe('1713398400GET/data/orders')
  })

  it('take no order, no other path, and no text for an id', () => {
    for (const orderID of ['0x12', 'x', `0x${'12'.repeat(31)}`, '12'.repeat(32)])
      expect(refusalOf(() => cancel({ orderID }))).toMatchObject({ path: 'orderID' })
    const order = { ...L2, family: 'order', action: ORDER }
    expect(refusalOf(() => stepOf(polymarket, 'order', order))).toMatchObject({ reason: 'PROFILE_FAMILY_UNKNOWN' })
    const path = { ...L2, family: 'read', action: { path: '/data/orders?x=1' } }
    expect(refusalOf(() => stepOf(polymarket, 'get', path))).toMatchObject({ reason: 'ACTION_INVALID', path: 'path' })
  })

  it('need credentials of the right form', () => {
    for (const changes of [{ apiKey: 'a\r\nb' }, { secret: 'not base64!' }, { passphrase: '' }, { other: 'x' }]) {
      const [path] = Object.keys(changes)
      const credentials = Buffer.from(JSON.stringify({ ...CREDENTIALS, ...changes }))
      expect(refusalOf(() => polymarket.parseCredentials(credentials))).toMatchObject({ reason: 'PROFILE_INPUT_INVALID', path })
    }
    for (const [name, value] of [['apiKey', 'a\r\nb'], ['passphrase', '\ufffd'], ['other', 'x'], ['constructor', 'x']] as const)
      expect(refusalOf(() => polymarket.checkCredential(name, value))).toMatchObject({ path: name })
    polymarket.checkCredential('passphrase', CREDENTIALS.passphrase)
  })
})
