import { describe, expect, it } from 'vitest'
import { concatBytes, fromHex, toHex } from '../../../src/payload/bytes.ts'
import { keccak256 } from '../../../src/payload/keccak.ts'
import type { SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import type { Flow } from '../../../src/payload/profile/profile.ts'
import { compileTypedPlan, hashDomain } from '../../../src/payload/profile/typed-plan.ts'
import { DERIVE } from '../../../src/payload/profile/venues/derive.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, asStep, byName, expectedSignature, readVectors, signWith } from './exchange-vectors.ts'
import { compileChanged, loadOne, refusalOf, stepOf } from './profile-requests.ts'

/** A test of another library with a type hash that no action has. */
const NOT_COVERED = new Set(['action-hash layout pin (fake typehash)'])

const derive = loadOne(DERIVE)
const ONE = { subaccountIds: [1] }
const OWNER = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'

type Document = { readonly domain: object; readonly message: { readonly [field: string]: string } }
const documentOf = (step: SigningStep): Document => JSON.parse(step.typedDataJson?.() ?? '{}') as Document

const envelope = (DERIVE.flows['order'] as Flow).sign[0]
if (envelope?.scheme !== 'eip712') throw new Error('the envelope is typed data')
const plan = compileTypedPlan(envelope.types, envelope.primaryType)

const bytes = (hex: string): Uint8Array => fromHex(hex) ?? new Uint8Array()
const typedHash = (separator: string, structHash: Uint8Array): string =>
  toHex(keccak256(concatBytes(Uint8Array.of(0x19, 0x01), bytes(separator), structHash)))

const ORDER = { subaccount_id: 1, instrument_name: 'ETH-PERP', direction: 'buy' }

const goldenStep = ({ name, input }: ExchangeVector): SigningStep => {
  const common = {
    network: 'mainnet',
    parameters: ONE,
    nonce: input.nonce,
    notAfterMs: input.signature_expiry_sec * 1000,
    walletAddress: input.owner,
    sessionAddress: input.signer,
  }
  const { asset_address, sub_id, limit_price, amount, max_fee } = input
  if (name === 'golden trade')
    return stepOf(derive, 'order', {
      ...common,
      family: 'order',
      action: { ...ORDER, asset_address, sub_id, limit_price, amount, max_fee },
    })
  return stepOf(derive, 'withdraw', {
    ...common,
    input: {
      subaccount_id: input.subaccount_id,
      asset_address,
      asset_name: 'USDC',
      amount: '123456789',
      amount_in_underlying: amount,
      max_fee_usd: input.max_fee_usd,
      recipient: input.recipient,
      force_batch: input.force_batch,
    },
  })
}

const sepoliaStep = ({ input, expected }: ExchangeVector): SigningStep =>
  stepOf(derive, 'order', {
    network: 'testnet',
    parameters: { subaccountIds: [input.subaccountId] },
    family: 'order',
    action: {
      ...ORDER,
      subaccount_id: input.subaccountId,
      asset_address: '0x4bb4c3cdc7562f08e9910a0c7d8bb7e108861eb4',
      sub_id: '2576980377601813910400',
      limit_price: '100',
      amount: '1',
      max_fee: '1000',
    },
    nonce: input.nonce,
    notAfterMs: input.expiry * 1000,
    walletAddress: input.owner,
    sessionAddress: expected.signer,
  })

const registerStep = ({ input }: ExchangeVector): SigningStep =>
  stepOf(derive, 'register', {
    network: 'mainnet',
    parameters: { subaccountIds: input.subaccountIds },
    scopes: ['order'],
    nonce: input.nonce,
    notAfterMs: input.expiry * 1000,
    expireTimeMs: 1800000000000,
    walletAddress: input.owner,
    sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
  })

/** The venue's own bytes for a scope and an empty list that this profile does not offer. */
const codecStep = ({ input }: ExchangeVector): SigningStep => {
  const params = { subaccountIds: { kind: 'list', of: { kind: 'integer', min: 1, max: 9 }, min: 0, max: 9 } } as const
  return stepOf(compileChanged(DERIVE, { params, scopeCodes: { withdraw: 1 } }), 'register', {
    network: 'mainnet',
    parameters: { subaccountIds: input.subaccountIds },
    scopes: ['withdraw'],
    nonce: '1',
    expireTimeMs: Number(input.expirySec) * 1000,
    walletAddress: OWNER,
    sessionAddress: input.sessionKey,
  })
}

const checkAction = async (vector: ExchangeVector): Promise<void> => {
  const { name, input, expected, privateKey } = vector
  if (name === 'golden envelope-minimal') {
    const { subaccount_id: subaccountId, nonce, module, data, owner, signer, signature_expiry_sec: expiry } = input
    const hash = plan.hashStruct({ subaccountId, nonce, module, data, expiry, owner, signer })
    expect(toHex(hash)).toBe(expected.actionHash)
    expect(typedHash(input.domainSeparator, hash)).toBe(expected.typedDataHash)
    return
  }
  const isGolden = name.startsWith('golden')
  const step = isGolden ? goldenStep(vector) : name.startsWith('Sepolia') ? sepoliaStep(vector) : registerStep(vector)
  const { message } = documentOf(step)
  expect(message['data']).toBe(input.data)
  expect(message['module']?.toLowerCase()).toBe(input.module.toLowerCase())
  const hash = plan.hashStruct(message)
  expect(toHex(hash)).toBe(expected.actionHash)
  // The golden vectors have a separator of no network.
  const digest = isGolden ? typedHash(input.domainSeparator, hash) : toHex(step.input)
  expect(digest).toBe(expected.typedDataHash)
  if (privateKey !== undefined) expect(toHex(await signWith(privateKey, bytes(digest)))).toBe(expectedSignature(vector))
}

const check = async (vector: ExchangeVector): Promise<void> => {
  const { kind, input, expected, privateKey } = vector
  if (kind === 'action') return checkAction(vector)
  if (kind === 'codec') return expect(documentOf(codecStep(vector)).message['data']).toBe(expected.data)
  if (kind === 'typehash') {
    expect(`Action(${envelope.types['Action']})`).toBe(input.type)
    return expect(toHex(keccak256(Buffer.from(input.type)))).toBe(expected.typehash)
  }
  const request = { network: 'testnet', parameters: ONE, walletAddress: OWNER, sessionAddress: OWNER }
  if (kind === 'domain') {
    const step = stepOf(derive, 'register', { ...request, nonce: 1, expireTimeMs: 1000, scopes: ['order'] })
    const { domain } = documentOf(step) as { readonly domain: { readonly [field: string]: string } }
    expect(domain).toEqual({ ...input, chainId: expect.anything() as unknown })
    return expect(toHex(hashDomain(domain))).toBe(expected.separator)
  }
  const step = stepOf(derive, 'login', { ...request, timeMs: Number(input.timestamp) })
  expect(toHex(step.input)).toBe(expected.digest)
  return expect(toHex(await signWith(privateKey ?? '0x', step.input))).toBe(expected.signature)
}

describe('Derive, known answers', () => {
  const vectors = readVectors('derive')

  it.each(byName(vectors.filter(({ name }) => !NOT_COVERED.has(name))))('%s', async (_, vector) => {
    expect.hasAssertions()
    await check(vector)
  })

  it('covers all but those named', () => {
    expect(vectors.filter(({ name }) => NOT_COVERED.has(name))).toHaveLength(NOT_COVERED.size)
    expect(vectors.length - NOT_COVERED.size).toBe(9)
  })
})

describe('Derive requests', () => {
  const action = {
    ...ORDER,
    asset_address: '0x0000000000000000000000000000000000000c0d',
    sub_id: '42',
    limit_price: '1500.5',
    amount: '2.5',
    max_fee: '100',
  }
  const request = {
    network: 'mainnet',
    parameters: ONE,
    family: 'order',
    nonce: '1720000000000000002',
    walletAddress: OWNER,
    sessionAddress: OWNER,
    timeMs: 1720000000000,
  }
  const read = (changes: object) =>
    derive.readAction({
      network: 'mainnet',
      family: 'order',
      parameters: derive.parseParameters(Buffer.from(JSON.stringify(ONE))),
      actionJson: Buffer.from(JSON.stringify({ ...action, ...changes })),
    })

  it('keep the nonce as text, beyond 2^53', async () => {
    const step = stepOf(derive, 'order', { ...request, action })
    const done = asDone(step.finish(await signWith(`0x${'01'.repeat(32)}`, step.input)))
    expect(done.http).toBeUndefined()
    expect(done.signedActionJson).toContain('"nonce":"1720000000000000002"')
    expect(done.signedActionJson).toContain('"signature_expiry_sec":1720000600')
  })

  it('take the market from what is signed, and no word for a reducing order that is not', () => {
    const { facts } = read({ instrument_name: 'BTC-PERP', reduce_only: true })
    expect(facts.reduceOnly).toBe(false)
    expect(facts.legs).toMatchObject([{ market: '0x0000000000000000000000000000000000000c0d:42', side: 'buy' }])
  })

  it('are for the sub-accounts of the key alone, which are never none', () => {
    expect(refusalOf(() => read({ subaccount_id: 2 }))).toMatchObject({ reason: 'ACTION_INVALID', path: 'subaccount_id' })
    const none = Buffer.from('{"subaccountIds":[]}')
    expect(refusalOf(() => derive.parseParameters(none))).toMatchObject({ reason: 'PROFILE_INPUT_INVALID' })
    const withdraw = { ...request, scopes: ['withdraw'], expireTimeMs: 1800000000000 }
    expect(refusalOf(() => stepOf(derive, 'register', withdraw))).toMatchObject({
      path: 'scopes',
      why: 'the venue has no scope for withdraw',
    })
  })

  it('registers with two signatures of the wallet: the action, and the headers', async () => {
    const first = stepOf(derive, 'register', { ...request, scopes: ['order'], expireTimeMs: 1800000000000 })
    const second = asStep(first.finish(await signWith(`0x${'01'.repeat(32)}`, first.input)))
    expect([first, second].map(({ signer, scheme }) => `${signer} ${scheme}`)).toEqual(['wallet eip712', 'wallet eip191'])
    expect(Buffer.from(second.message ?? []).toString()).toBe('1720000000000')
    const { http } = asDone(second.finish(await signWith(`0x${'01'.repeat(32)}`, second.input)))
    expect(JSON.parse(http?.body ?? '')).toMatchObject({ protocol_scopes: ['trade:orderbook:all'], expiry_sec: 1800000000 })
  })

  it('cancel by headers over the time', () => {
    const cancel = { subaccount_id: 1, instrument_name: 'ETH-PERP', order_id: 'abc' }
    const step = stepOf(derive, 'cancel', { ...request, family: 'cancel_order', action: cancel })
    expect(Buffer.from(step.message ?? []).toString()).toBe('1720000000000')
  })
})
