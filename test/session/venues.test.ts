/** Every venue that is built in, through the daemon: a key is registered, and an action of it signed. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { MessageInitShape } from '@bufbuild/protobuf'
import { RegistrationOutcome, type CreateSessionKeyRequestSchema, SessionKeyState, SessionScope } from '../../gen/countersign/v1/session_key_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { createKey, ddxOrder, hlOrder } from './session-daemon.ts'

type Request = Partial<Omit<MessageInitShape<typeof CreateSessionKeyRequestSchema>, '$typeName'>>
type Venue = {
  readonly request: Request & { readonly profile: string }
  readonly credentials?: { readonly [name: string]: string }
  readonly family: string
  readonly action: string | undefined
  readonly isActiveAtOnce?: boolean
}

const json = (action: object): string => JSON.stringify(action)
const CREDENTIALS = { apiKey: 'an-api-key', passphrase: 'a-passphrase', secret: Buffer.alloc(32, 7).toString('base64') }
const DEPOSIT_WALLET = '0xBc0fF067b7740Eff76C1ca93c875Ba6B890d6B50'

const VENUES: readonly Venue[] = [
  { request: { profile: 'hyperliquid', network: 'mainnet', parameters: { label: 'bot' } }, family: 'order', action: hlOrder() },
  { request: { profile: 'derivadex', network: 'sepolia' }, family: 'order', action: ddxOrder(), isActiveAtOnce: true },
  {
    request: { profile: 'orderly', network: 'mainnet', parameters: { brokerId: 'woofi_dex', chainId: 42161 } },
    family: 'order',
    action: json({ order_price: '1521.03', order_quantity: '2.11', order_type: 'LIMIT', side: 'BUY', symbol: 'PERP_ETH_USDC' }),
  },
  {
    request: { profile: 'derive', network: 'testnet', parameters: { subaccountIds: [75723] } },
    family: 'order',
    action: json({
      subaccount_id: 75723,
      instrument_name: 'ETH-PERP',
      asset_address: '0x4bb4c3cdc7562f08e9910a0c7d8bb7e108861eb4',
      sub_id: '2576980377601813910400',
      direction: 'buy',
      limit_price: '100',
      amount: '1',
      max_fee: '1000',
    }),
  },
  {
    request: {
      profile: 'polymarket',
      network: 'polygon',
      scopes: [SessionScope.CANCEL_ORDER],
      registrationInput: { nonce: '23' },
    },
    credentials: CREDENTIALS,
    family: 'cancel_order',
    action: json({ orderID: `0x${'12'.repeat(32)}` }),
  },
  {
    request: {
      profile: 'polymarket-session',
      network: 'polygon',
      parameters: { depositWallet: DEPOSIT_WALLET },
      registrationInput: { nonce: '4' },
    },
    credentials: CREDENTIALS,
    family: 'order',
    action: json({
      exchange: 'standard',
      salt: 333333333,
      tokenId: '71321045679252212594626385532706912750332728571942532289631379312455583992563',
      side: 'BUY',
      makerAmount: '100000000',
      takerAmount: '50000000',
      orderType: 'GTC',
    }),
  },
  {
    request: {
      profile: 'grvt',
      network: 'testnet',
      parameters: {
        subAccountId: '8289849667772468',
        instruments: [{ name: 'BTC_USDT_Perp', assetId: '197889', baseDecimals: 9 }],
        builder: '0xabc1230001230001230001230001230001230001',
        builderFee: '0.01',
        label: 'bot',
      },
    },
    credentials: { apiKey: 'an-api-key', cookie: 'a-cookie', accountId: '1' },
    family: 'order',
    action: json({
      type: 'order',
      is_market: false,
      time_in_force: 'GOOD_TILL_TIME',
      post_only: false,
      reduce_only: false,
      legs: [{ instrument: 'BTC_USDT_Perp', size: '1.013', limit_price: '68900.5', is_buying_asset: false }],
      expiration: String(BigInt(Date.now() + 3_600_000) * 1_000_000n),
    }),
  },
  {
    request: { profile: 'aster', network: 'mainnet', parameters: { label: 'bot' } },
    family: 'order',
    action: json({ symbol: 'BTCUSDT', side: 'BUY', type: 'LIMIT', timeInForce: 'GTC', quantity: '0.001', price: '50000' }),
  },
  {
    request: {
      profile: 'erc7710',
      network: 'mainnet',
      parameters: { timestampEnforcer: '0x1046bb45C8d673d4ea75321280DB34899413c069' },
    },
    family: '',
    action: undefined,
    isActiveAtOnce: true,
  },
]

let daemon: TestDaemon
let client: CountersignClient

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
})
afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
})

describe('a session key of', () => {
  it.each(VENUES.map((venue) => [venue.request.profile, venue] as const))('%s', async (_name, venue) => {
    const { walletId } = await newWallet(client)
    const request = { wallet: walletId, scopes: [SessionScope.ORDER], ...venue.request, requestId: randomUUID() }
    const { sessionKey, registration } = await createKey(client, request)
    const sessionKeyId = sessionKey?.sessionKeyId ?? ''
    const isActive = venue.isActiveAtOnce === true
    expect(sessionKey?.state).toBe(isActive ? SessionKeyState.ACTIVE : SessionKeyState.PENDING)
    expect(registration !== undefined).toBe(!isActive)
    if (!isActive) await client.sessionKeys.confirmSessionKey({ sessionKeyId, outcome: RegistrationOutcome.ACCEPTED })
    for (const [name, secret] of Object.entries(venue.credentials ?? {})) {
      await client.sessionKeys.putVenueCredential({ sessionKeyId, name, secret: new Uint8Array(Buffer.from(secret)) })
    }
    if (venue.action === undefined) return
    const action = { sessionKeyId, family: venue.family, actionJson: venue.action }
    const requestId = randomUUID()
    const one = await client.sessionKeys.signAction({ ...action, requestId })
    expect(one.signature?.raw.length).toBeGreaterThanOrEqual(32)
    expect(await client.sessionKeys.signAction({ ...action, requestId })).toEqual(one)
    expect((await client.sessionKeys.explainAction(action)).accepted).toBe(true)
  })
})
