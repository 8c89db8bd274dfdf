import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import { compileFlow } from '../../../src/payload/profile/build-request.ts'
import { builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import type { Flow } from '../../../src/payload/profile/profile.ts'
import { DERIVADEX } from '../../../src/payload/profile/venues/derivadex.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, asStep, expectedSignature, readVectors, signWith } from './exchange-vectors.ts'

const bytes = (value: unknown) => Buffer.from(JSON.stringify(value), 'utf8')
const SESSION_KEY = '0x024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766'
const fromHexText = (hex: string) => new Uint8Array(Buffer.from(hex.slice(2), 'hex'))

describe('DerivaDEX, known answers', () => {
  const profile = builtInProfiles().get('derivadex')

  it.each(readVectors('derivadex'))('$name [$provenance]', async (vector) => {
    // The symbol and strategy of this vector are opaque words, which actions cannot name: the flow's typed data is
    // given its message as it stands.
    const order = DERIVADEX.flows['order'] as Flow
    const [spec] = order.sign
    const flow = { ...order, sign: [{ ...spec, message: '$action' }], signedAction: '$sig.hex' } as Flow
    const net = DERIVADEX.networks['mainnet'] ?? {}
    const step = asStep(compileFlow(DERIVADEX, flow)({ net, network: 'mainnet', params: {}, action: vector.input.message }))
    expect(toHex(step.input)).toBe(vector.digest)
    const signature = await signWith(vector.privateKey ?? '0x', step.input)
    expect(toHex(signature)).toBe(expectedSignature(vector))
  })

  const orderJson = { symbol: 'ETHP', strategy: 'main', side: 'Bid', orderType: 'Limit', amount: '1', price: '2000', stopPrice: '0' }
  const parameters = profile.parseParameters(bytes({}))
  const base = { network: 'sepolia', parameters, timeMs: 1780000000000, nonce: 1n, kept: { payload: '0x02ff' } }

  it('writes the documented request around the documented order digest', () => {
    const action = profile.readAction({ network: 'sepolia', family: 'order', parameters, actionJson: bytes(orderJson) })
    const step = profile.buildAction(action, base)
    expect(toHex(step.input)).toBe('0x85f001f6e03aecf6dbcef6b06a4b654ced641608811ea34d03b72f4921f93df3')
    const signature = `0x${'11'.repeat(32)}${'22'.repeat(32)}1b`
    expect(JSON.parse(asDone(step.finish(fromHexText(signature))).signedActionJson)).toEqual({
      t: 'Order',
      c: {
        ...orderJson,
        nonce: `0x${'00'.repeat(31)}01`,
        sessionKeySignature: '0x02ff',
        signature,
        client_timestamp_ms: 1780000000000,
        recv_window_ms: 5000,
      },
    })
  })

  it('knows its families apart: an order is no cancel', () => {
    for (const family of ['cancel_order', 'cancel_all', 'modify_order'])
      expect(() => profile.readAction({ network: 'sepolia', family, parameters, actionJson: bytes(orderJson) })).toThrow(/not valid/)
    expect(() => profile.readAction({ network: 'sepolia', family: 'withdraw', parameters, actionJson: bytes(orderJson) })).toThrow(
      'has no actions of the family withdraw',
    )
  })

  it('makes a payload that reads back as it was asked for', () => {
    const step = asStep(
      profile.buildFlow('register', {
        ...base,
        sessionPublicKey: fromHexText(SESSION_KEY),
        expireTimeMs: 1800000000999,
        scopes: ['order', 'cancel_order', 'order'],
      }),
    )
    expect(toHex(step.input)).toBe('0x6652a52b9a201792f3a5b9ed9e5980b6341351bbb2aace042610c702aa082e90')
    const signature = fromHexText(`0x${'11'.repeat(32)}${'22'.repeat(32)}1c`)
    const { keep } = asDone(step.finish(signature))
    const payload = fromHexText(keep['payload'] ?? '')
    expect(profile.decodePayload(payload)).toEqual({
      walletSignature: signature,
      expiry: 1800000000n,
      actions: [1, 3],
      sessionPublicKey: fromHexText(SESSION_KEY),
    })
    for (let length = 0; length < payload.length; length++) expect(profile.decodePayload(payload.slice(0, length))).toBeUndefined()
    expect(profile.decodePayload(Buffer.concat([payload, Buffer.of(0)]))).toBeUndefined()
    expect(profile.decodePayload(Buffer.concat([Buffer.of(1), payload.subarray(1)]))).toBeUndefined()
    const unsorted = new Uint8Array(payload)
    unsorted.set([3, 1], 75)
    expect(profile.decodePayload(unsorted)).toBeUndefined()
  })

  it('refuses a scope that the venue has no code for, and none at all', () => {
    const asked = { ...base, sessionPublicKey: fromHexText(SESSION_KEY), expireTimeMs: 1800000000000 }
    expect(() => profile.buildFlow('register', { ...asked, scopes: ['withdraw'] })).toThrow('the venue has no scope for withdraw')
    expect(() => profile.buildFlow('register', { ...asked, scopes: [] })).toThrow('scopes: are empty')
  })
})

describe('ERC-7710, known answers', () => {
  const profile = builtInProfiles().get('erc7710')
  const vectors = new Map(readVectors('standards').map((vector) => [vector.name, vector]))
  const vectorOf = (name: string): ExchangeVector => vectors.get(name) as ExchangeVector
  const delegation = vectorOf('Delegation signature (DelegationManager v1.3.0, mainnet)')
  const [caveat] = delegation.input.message.caveats

  const build = (more: object = {}) =>
    asStep(
      profile.buildFlow('register', {
        network: 'mainnet',
        parameters: profile.parseParameters(bytes({ timestampEnforcer: caveat.enforcer, ...more })),
        timeMs: 0,
        walletAddress: delegation.input.message.delegator.toLowerCase(),
        sessionAddress: delegation.input.message.delegate.toLowerCase(),
        expireTimeMs: 1800000000000,
      }),
    )

  it(`${delegation.name} [${delegation.provenance}]`, async () => {
    const step = build()
    expect(toHex(step.input)).toBe(delegation.digest)
    const signature = await signWith(delegation.privateKey ?? '0x', step.input)
    expect(toHex(signature)).toBe(expectedSignature(delegation))
    expect(JSON.parse(asDone(step.finish(signature)).signedActionJson)).toEqual({
      ...delegation.input.message,
      caveats: [{ ...caveat, args: '0x' }],
      salt: `0x${'00'.repeat(32)}`,
      signature: expectedSignature(delegation),
    })
  })

  it('Delegation struct hash (= delegation id) [sdk-executed+recomputed]', () => {
    const { expected } = vectorOf('Delegation struct hash (= delegation id)')
    const done = asDone(build().finish(fromHexText(`0x${'11'.repeat(64)}1b`)))
    expect(done.keep['delegationHash']).toBe(expected.delegationHash)
  })

  it('LimitedCallsEnforcer terms [sdk-executed+recomputed]', () => {
    const { input, expected } = vectorOf('LimitedCallsEnforcer terms')
    const step = build({ limitedCalls: { enforcer: caveat.enforcer, limit: input.limit } })
    const { message } = JSON.parse(step.typedDataJson?.() ?? '') as { message: { caveats: { terms: string }[] } }
    expect(message.caveats.map(({ terms }) => terms)).toEqual([caveat.terms, expected.terms])
  })

  it('is never without an end', () => {
    expect(() => profile.parseParameters(bytes({}))).toThrow('timestampEnforcer: is missing')
    const lenient = { timestampEnforcer: `0x${'11'.repeat(20)}` }
    expect(() => profile.parseParameters(bytes(lenient))).toThrow('timestampEnforcer: is none of 0x1046bb45')
  })
})
