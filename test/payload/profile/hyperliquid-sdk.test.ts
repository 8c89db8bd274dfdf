import { HttpTransport } from '@nktkas/hyperliquid'
import { ExchangeClient } from '@nktkas/hyperliquid'
import fc from 'fast-check'
import { privateKeyToAccount } from 'viem/accounts'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import { builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import { HYPERLIQUID } from '../../../src/payload/profile/venues/hyperliquid.ts'
import { asDone, asStep, signWith } from './exchange-vectors.ts'

/**
 * The venue's widely used SDK signs the same requests with the same key, offline: the transport keeps what would have
 * been sent. What we would send must be the same, signature included.
 */

const KEY = '0x0123456789012345678901234567890123456789012345678901234567890123'
const NONCE = 1790000000000
const VAULT = '0x1719884eb866cb12b2287399b15f7db5e7d775ea'
const profile = builtInProfiles().get('hyperliquid')
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value), 'utf8')

type Sent = { action: { type: string }; signature: unknown; nonce: number }

class KeepingTransport extends HttpTransport {
  sent: Sent | undefined

  override request(_endpoint: unknown, payload: unknown): Promise<never> {
    this.sent = payload as Sent
    return Promise.resolve({ status: 'ok', response: { type: 'default' } } as never)
  }
}

type Options = { readonly network: 'mainnet' | 'testnet'; readonly vault: boolean; readonly expiresAfter: number | undefined }

/** What the SDK sends for a call. */
const sentBySdk = async (call: string, params: object, { network, vault, expiresAfter }: Options): Promise<Sent> => {
  const transport = new KeepingTransport({ isTestnet: network === 'testnet' })
  const client = new ExchangeClient({
    transport,
    wallet: privateKeyToAccount(KEY),
    nonceManager: () => NONCE,
    signatureChainId: '0x66eee',
    ...(vault ? { defaultVaultAddress: VAULT } : {}),
    ...(expiresAfter === undefined ? {} : { defaultExpiresAfter: expiresAfter }),
  })
  const method = (client as unknown as Record<string, (given: object) => Promise<unknown>>)[call]
  // The answer is ours and has not every call's form; what was sent is what counts.
  await method?.call(client, params).catch(() => undefined)
  if (transport.sent === undefined) throw new Error(`the SDK sent nothing for ${call}`)
  return transport.sent
}

/** What we send for an action. */
const sentByUs = async (action: object, { network, vault, expiresAfter }: Options): Promise<unknown> => {
  const parameters = profile.parseParameters(bytes(vault ? { vaultAddress: VAULT } : {}))
  const { type } = action as { type: string }
  const family = HYPERLIQUID.actions[type]?.family ?? ''
  const read = profile.readAction({ network, family, parameters, actionJson: bytes(action) })
  const step = profile.buildAction(read, {
    network,
    parameters,
    timeMs: 0,
    nonce: BigInt(NONCE),
    ...(expiresAfter === undefined ? {} : { notAfterMs: expiresAfter }),
  })
  return JSON.parse(asDone(step.finish(await signWith(KEY, step.input))).http?.body ?? '')
}

const decimal = fc
  .tuple(fc.integer({ min: 1, max: 999_999 }), fc.integer({ min: 0, max: 99_999_999 }))
  .map(([whole, fraction]) => `${whole}${fraction === 0 ? '' : `.${fraction.toString().padStart(8, '0').replace(/0+$/, '')}`}`)
const asset = fc.oneof(fc.integer({ min: 0, max: 300 }), fc.integer({ min: 10_000, max: 0xffff_ffff }))
const orderId = fc.oneof(fc.integer({ min: 0, max: 0xffff_ffff }), fc.maxSafeNat())
const cloid = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((id) => toHex(id))
const orderType = fc.oneof(
  fc.record({ limit: fc.record({ tif: fc.constantFrom('Gtc', 'Ioc', 'Alo', 'FrontendMarket') }) }),
  fc.record({ trigger: fc.record({ isMarket: fc.boolean(), triggerPx: decimal, tpsl: fc.constantFrom('tp', 'sl') }) }),
)
const order = fc.record(
  { a: asset, b: fc.boolean(), p: decimal, s: decimal, r: fc.boolean(), t: orderType, c: cloid },
  { requiredKeys: ['a', 'b', 'p', 's', 'r', 't'] },
)
const many = <T>(item: fc.Arbitrary<T>) => fc.array(item, { minLength: 1, maxLength: 4 })
const eitherId = fc.oneof(orderId, cloid)

/** SDK call → the action's parameters; the action itself has a `type` besides. */
const ACTIONS: Readonly<Record<string, fc.Arbitrary<object>>> = {
  order: fc.record({
    orders: many(order),
    grouping: fc.oneof(fc.constantFrom('na', 'normalTpsl', 'positionTpsl'), fc.record({ p: fc.integer({ min: 0, max: 100_000_000 }) })),
  }),
  modify: fc.record({ oid: eitherId, order }),
  batchModify: fc.record({ modifies: many(fc.record({ oid: eitherId, order })) }),
  cancel: fc.record({ cancels: many(fc.record({ a: asset, o: orderId })) }),
  cancelByCloid: fc.record({ cancels: many(fc.record({ asset, cloid })) }),
  scheduleCancel: fc.record({ time: orderId }),
  updateLeverage: fc.record({ asset, isCross: fc.boolean(), leverage: fc.integer({ min: 1, max: 50 }) }),
  updateIsolatedMargin: fc.record({ asset, isBuy: fc.boolean(), ntli: fc.maxSafeInteger() }),
  twapOrder: fc.record({
    twap: fc.record({ a: asset, b: fc.boolean(), s: decimal, r: fc.boolean(), m: fc.integer({ min: 5, max: 1440 }), t: fc.boolean() }),
  }),
  twapCancel: fc.record({ a: asset, t: orderId }),
  vaultTransfer: fc.record({ vaultAddress: fc.constant(VAULT), isDeposit: fc.boolean(), usd: fc.integer({ min: 1 }) }),
  subAccountTransfer: fc.record({ subAccountUser: fc.constant(VAULT), isDeposit: fc.boolean(), usd: fc.integer({ min: 1 }) }),
}

const options: fc.Arbitrary<Options> = fc.record({
  network: fc.constantFrom('mainnet', 'testnet'),
  vault: fc.boolean(),
  expiresAfter: fc.option(fc.integer({ min: 1, max: 0xffff_ffff_ffff }), { nil: undefined }),
})

/** The members in any order: the profile puts them into the venue's. */
const reversed = (value: unknown): unknown => {
  if (Array.isArray(value)) return value.map(reversed)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).toReversed().map(([name, member]) => [name, reversed(member)]))
}

describe('Hyperliquid beside @nktkas/hyperliquid', () => {
  it.each(Object.keys(ACTIONS))('%s: the same action, signature and request', async (type) => {
    expect.hasAssertions()
    const params = ACTIONS[type] ?? fc.constant({})
    await fc.assert(
      fc.asyncProperty(params, options, async (given, chosen) => {
        const theirs = await sentBySdk(type, given, chosen)
        const ours = await sentByUs(reversed({ type, ...given }) as object, chosen)
        expect(JSON.stringify((ours as Sent).action)).toBe(JSON.stringify(theirs.action))
        expect(ours).toEqual(JSON.parse(JSON.stringify(theirs)))
      }),
      { numRuns: type === 'order' ? 150 : 40 },
    )
  })

  it.each([
    ['approveAgent', 'register', { agentAddress: VAULT, agentName: 'bot-1 valid_until 1800000000000' }, { label: 'bot-1' }, {}],
    ['approveAgent', 'revoke', { agentAddress: `0x${'00'.repeat(20)}`, agentName: 'bot-1' }, { label: 'bot-1' }, {}],
    ['usdSend', 'usd_send', { destination: VAULT, amount: '1.5' }, {}, { destination: VAULT, amount: '1.5' }],
    ['withdraw3', 'withdraw', { destination: VAULT, amount: '2' }, {}, { destination: VAULT, amount: '2' }],
    ['spotSend', 'spot_send', { destination: VAULT, token: `USDC:0x${'ab'.repeat(16)}`, amount: '1' }, {}, { destination: VAULT, token: `USDC:0x${'ab'.repeat(16)}`, amount: '1' }],
    ['usdClassTransfer', 'usd_class_transfer', { amount: '1', toPerp: true }, {}, { amount: '1', toPerp: true }],
    ['approveBuilderFee', 'approve_builder_fee', { maxFeeRate: '0.001%', builder: VAULT }, {}, { maxFeeRate: '0.001%', builder: VAULT }],
  ])('%s (%s): the same action and signature of the wallet', async (call, flow, params, parameters, input) => {
    const theirs = await sentBySdk(call, params, { network: 'mainnet', vault: false, expiresAfter: undefined })
    const step = asStep(
      profile.buildFlow(flow, {
        network: 'mainnet',
        parameters: profile.parseParameters(bytes(parameters)),
        timeMs: 0,
        nonce: BigInt(NONCE),
        sessionAddress: VAULT,
        expireTimeMs: 1800000000000,
        input: profile.parseInput(flow, bytes(input)),
      }),
    )
    const body = asDone(step.finish(await signWith(KEY, step.input))).http?.body ?? ''
    expect(JSON.parse(body)).toEqual(JSON.parse(JSON.stringify(theirs)))
  })
})
