/** The venues that are built in, through the API: registered by a wallet of both parties, signed with what the vault keeps. */
import { createHmac, createPublicKey, verify } from 'node:crypto'
import type { JsonObject } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { hashMessage, hashTypedData, type Hex, recoverAddress, toHex } from 'viem'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import {
  type SessionKey,
  SessionKeyState,
  SessionScope,
  type SignActionResponse,
  type VenueRequest,
} from '../../gen/countersign/v1/session_key_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { builtInProfiles } from '../../src/payload/profile/built-in-profiles.ts'
import type { RequestJson } from '../../src/payload/profile/profile.ts'
import { connect, newWallet, refusalOf } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { stepOf } from '../payload/profile/profile-requests.ts'
import { createKey } from './session-daemon.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 60_000 })

let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet
beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  wallet = await newWallet(client)
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
})

const NOT_AFTER_MS = Date.now() + 1_800_000
const { ORDER, CANCEL_ORDER, CANCEL_ALL } = SessionScope

type Made = { readonly key: SessionKey; readonly registration: VenueRequest }

const make = async (profile: string, network: string, parameters: JsonObject, more: object = {}): Promise<Made> => {
  const scopes = [ORDER, CANCEL_ORDER, CANCEL_ALL]
  const request = { wallet: wallet.walletId, profile, network, parameters, scopes, ...more }
  const { sessionKey, registration } = await createKey(client, request)
  if (sessionKey === undefined || registration === undefined) throw new Error('no key, or no registration')
  expect(sessionKey.state).toBe(SessionKeyState.PENDING)
  await client.sessionKeys.confirmSessionKey({ sessionKeyId: sessionKey.sessionKeyId, accepted: true })
  return { key: sessionKey, registration }
}

const sign = (key: SessionKey, family: string, action: object): Promise<SignActionResponse> =>
  client.sessionKeys.signAction({
    sessionKeyId: key.sessionKeyId,
    family,
    actionJson: JSON.stringify(action),
    notAfter: timestampFromMs(NOT_AFTER_MS),
  })

const bodyOf = (request: VenueRequest | undefined): unknown => JSON.parse(request?.body ?? '')
const signer = (hash: Hex, signature: Hex): Promise<string> => recoverAddress({ hash, signature })

/** What the profile's pure function signs for the same request. */
const digestOf = (profile: string, flow: string, key: SessionKey, answer: SignActionResponse, request: Partial<RequestJson>): Hex =>
  toHex(
    stepOf(builtInProfiles().get(profile), flow, {
      network: key.network,
      parameters: key.parameters ?? {},
      nonce: answer.nonce,
      notAfterMs: NOT_AFTER_MS,
      walletAddress: wallet.address,
      sessionAddress: key.address,
      ...request,
    }).input,
  )

const put = async ({ sessionKeyId }: SessionKey, credentials: { readonly [name: string]: string }): Promise<void> => {
  for (const [name, secret] of Object.entries(credentials))
    await client.sessionKeys.putVenueCredential({ sessionKeyId, name, secret: Buffer.from(secret) })
}

it('offers every profile that is built in', async () => {
  const { profiles } = await client.sessionKeys.listProfiles({})
  const ids = ['orderly', 'derive', 'polymarket', 'polymarket-session', 'grvt', 'aster', 'hyperliquid', 'derivadex', 'erc7710']
  expect(profiles.map(({ profile }) => profile).toSorted()).toEqual(ids.toSorted())
})

describe('Orderly', () => {
  it('has a key added by the wallet, which then signs whole requests', async () => {
    const { key, registration } = await make('orderly', 'testnet', { brokerId: 'woofi_dex', chainId: 421614 })
    type Message = { brokerId: string; chainId: bigint; orderlyKey: string; scope: string; timestamp: bigint; expiration: bigint }
    const { message, signature, userAddress } = bodyOf(registration) as { message: Message; signature: Hex; userAddress: string }
    expect(userAddress).toBe(wallet.address)
    expect(message).toMatchObject({ orderlyKey: `ed25519:${key.address}`, scope: 'trading', brokerId: 'woofi_dex' })
    const digest = hashTypedData({
      domain: {
        name: 'Orderly',
        version: '1',
        chainId: 421614,
        verifyingContract: '0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC',
      },
      types: {
        AddOrderlyKey: [
          { name: 'brokerId', type: 'string' },
          { name: 'chainId', type: 'uint256' },
          { name: 'orderlyKey', type: 'string' },
          { name: 'scope', type: 'string' },
          { name: 'timestamp', type: 'uint64' },
          { name: 'expiration', type: 'uint64' },
        ],
      },
      primaryType: 'AddOrderlyKey',
      message,
    })
    expect(await signer(digest, signature)).toBe(wallet.address)

    const order = { symbol: 'PERP_ETH_USDC', side: 'BUY', order_type: 'LIMIT', order_price: '1521.03', order_quantity: '2.11' }
    const { request } = await sign(key, 'order', order)
    const { headers = {}, method, path } = request ?? {}
    const text = `${headers['orderly-timestamp']}${method}${path}${request?.body}`
    const publicKey = createPublicKey({
      key: { kty: 'OKP', crv: 'Ed25519', x: Buffer.from(key.publicKey, 'hex').toString('base64url') },
      format: 'jwk',
    })
    const bytes = Buffer.from(headers['orderly-signature'] ?? '', 'base64url')
    expect(verify(null, Buffer.from(text), publicKey, bytes)).toBe(true)
    expect((await refusalOf(sign(key, 'order', { ...order, order_price: '1521.030' }))).reason).toBe('ACTION_INVALID')
    expect((await refusalOf(sign(key, 'leverage', { leverage: 5 }))).reason).toBe('SESSION_ACL_VIOLATION')
  })
})

describe('Derive', () => {
  it('has a key registered by two signatures of the wallet, which then signs trades for its sub-accounts', async () => {
    const { key, registration } = await make('derive', 'testnet', { subaccountIds: [75723] })
    const time = registration.headers['X-DeriveTimestamp'] ?? ''
    expect(await signer(hashMessage(time), registration.headers['X-DeriveSignature'] as Hex)).toBe(wallet.address)
    expect(bodyOf(registration)).toMatchObject({ wallet: wallet.address, public_session_key: key.address, subaccount_ids: [75723] })
    const action = {
      subaccount_id: 75723,
      instrument_name: 'ETH-PERP',
      asset_address: '0x4bb4c3cdc7562f08e9910a0c7d8bb7e108861eb4',
      sub_id: '2576980377601813910400',
      direction: 'buy',
      limit_price: '100',
      amount: '1',
      max_fee: '1000',
    }
    const answer = await sign(key, 'order', action)
    const digest = digestOf('derive', 'order', key, answer, { family: 'order', action })
    expect(toHex(answer.digest)).toBe(digest)
    const signed = JSON.parse(answer.signedActionJson) as { signature: Hex; nonce: string }
    expect(await signer(digest, signed.signature)).toBe(key.address)
    expect(BigInt(signed.nonce)).toBeGreaterThan(10n ** 18n)
    const second = await sign(key, 'order', action)
    expect(BigInt(second.nonce)).toBeGreaterThan(BigInt(answer.nonce))
    expect((await refusalOf(sign(key, 'order', { ...action, subaccount_id: 1 }))).reason).toBe('ACTION_INVALID')
  })
})

describe('Polymarket', () => {
  const SECRET = Buffer.alloc(32, 7).toString('base64url')
  const CREDENTIALS = { apiKey: 'api-key', secret: SECRET, passphrase: 'pass-phrase' }
  const orderID = `0x${'12'.repeat(32)}`

  const checkMac = ({ headers, method, path, body: text }: VenueRequest): void => {
    const seconds = headers['POLY_TIMESTAMP']
    const mac = createHmac('sha256', Buffer.from(SECRET, 'base64url')).update(`${seconds}${method}${path}${text}`)
    expect(headers['POLY_SIGNATURE']).toBe(mac.digest('base64').replaceAll('+', '-').replaceAll('/', '_'))
    expect(headers).toMatchObject({ POLY_API_KEY: 'api-key', POLY_PASSPHRASE: 'pass-phrase' })
  }

  it('gives a secret for ClobAuth, which signs once all of it is stored', async () => {
    const { key, registration } = await make('polymarket', 'amoy', {})
    const { POLY_TIMESTAMP, POLY_SIGNATURE, POLY_ADDRESS } = registration.headers
    const digest = hashTypedData({
      domain: { name: 'ClobAuthDomain', version: '1', chainId: 80002 },
      types: {
        ClobAuth: [
          { name: 'address', type: 'address' },
          { name: 'timestamp', type: 'string' },
          { name: 'nonce', type: 'uint256' },
          { name: 'message', type: 'string' },
        ],
      },
      primaryType: 'ClobAuth',
      message: {
        address: POLY_ADDRESS as Hex,
        timestamp: POLY_TIMESTAMP ?? '',
        nonce: 0n,
        message: 'This message attests that I control the given wallet',
      },
    })
    expect(await signer(digest, POLY_SIGNATURE as Hex)).toBe(wallet.address)

    const cancel = () => sign(key, 'cancel_order', { orderID })
    await put(key, { secret: SECRET, apiKey: CREDENTIALS.apiKey })
    expect(await refusalOf(cancel())).toMatchObject({ reason: 'CREDENTIAL_MISSING' })
    expect((await refusalOf(put(key, { passphrase: 'a\r\nX-Other: b' }))).reason).toBe('PROFILE_INPUT_INVALID')
    await put(key, CREDENTIALS)
    const { request } = await cancel()
    checkMac(request as VenueRequest)
    expect(request).toMatchObject({ method: 'DELETE', path: '/order', body: JSON.stringify({ orderID }) })
    expect((await refusalOf(sign(key, 'order', {}))).reason).toBe('PROFILE_FAMILY_UNKNOWN')
  })

  it('has a session signer make orders for a deposit wallet, with two signatures of its own', async () => {
    const depositWallet = '0x1111111111111111111111111111111111111111'
    const { key, registration } = await make('polymarket-session', 'polygon', { depositWallet }, { registrationInput: { nonce: '4' } })
    expect(bodyOf(registration)).toMatchObject({ wallet: depositWallet, nonce: '4', scopes: ['CLOB'] })
    await put(key, CREDENTIALS)
    const action = {
      exchange: 'standard',
      salt: 333333333,
      tokenId: '1234',
      side: 'BUY',
      makerAmount: '100000000',
      takerAmount: '50000000',
      orderType: 'GTC',
    }
    const answer = await sign(key, 'order', action)
    checkMac(answer.request as VenueRequest)
    const { order } = bodyOf(answer.request) as { order: { signature: Hex; timestamp: string } }
    const digest = digestOf('polymarket-session', 'order', key, { ...answer, nonce: '0' }, {
      family: 'order',
      action,
      timeMs: Number(order.timestamp),
      credentials: CREDENTIALS,
    })
    expect(toHex(answer.digest)).toBe(digest)
    // Behind three words and a length: the inner signature.
    expect(await signer(digest, `0x${order.signature.slice(2 + 4 * 64, 2 + 4 * 64 + 130)}`)).toBe(key.address)
    expect(order.signature.endsWith('6492'.repeat(16))).toBe(true)
  })
})

describe('GRVT', () => {
  it('has orders signed for the instruments of the key', async () => {
    const { key, registration } = await make(
      'grvt',
      'testnet',
      {
        subAccountId: '8289849667772468',
        instruments: [{ name: 'BTC_USDT_Perp', assetId: '197889', baseDecimals: 9 }],
        builder: '0xabc1230001230001230001230001230001230001',
        label: 'bot',
      },
      { scopes: [ORDER] },
    )
    expect(bodyOf(registration)).toMatchObject({ builder_api_key_permissions: 'Trade', main_account_id: wallet.address.toLowerCase() })
    const leg = { instrument: 'BTC_USDT_Perp', size: '1.013', limit_price: '68900.5', is_buying_asset: true }
    const action = {
      type: 'order',
      is_market: false,
      time_in_force: 'GOOD_TILL_TIME',
      post_only: false,
      reduce_only: false,
      legs: [leg],
    }
    const answer = await sign(key, 'order', action)
    const { order } = bodyOf(answer.request) as {
      order: { signature: { r: Hex; s: Hex; v: number; nonce: number } }
    }
    const { r, s, v, nonce } = order.signature
    expect(String(nonce)).toBe(answer.nonce)
    const digest = digestOf('grvt', 'order', key, answer, { family: 'order', action })
    expect(await signer(digest, `${r}${s.slice(2)}${v.toString(16)}` as Hex)).toBe(key.address)
    const other = { ...action, legs: [{ ...leg, instrument: 'ETH_USDT_Perp' }] }
    expect((await refusalOf(sign(key, 'order', other))).reason).toBe('ACTION_INVALID')
  })
})

describe('Aster', () => {
  it('has an agent that never withdraws, and texts that say what they are', async () => {
    const { key, registration } = await make('aster', 'testnet', { label: 'bot-1' })
    const [text = '', signature] = registration.body.split('&signature=')
    expect(text).toContain('&canSpotTrade=false&canPerpTrade=true&canWithdraw=false&ipWhitelist=')
    const digest = hashTypedData({
      domain: { name: 'AsterSignTransaction', version: '1', chainId: 56, verifyingContract: `0x${'00'.repeat(20)}` },
      types: { Message: [{ name: 'msg', type: 'string' }] },
      primaryType: 'Message',
      message: { msg: text },
    })
    expect(await signer(digest, signature as Hex)).toBe(wallet.address)
    const action = { symbol: 'BTCUSDT', side: 'BUY', type: 'LIMIT', timeInForce: 'GTC', quantity: '0.001', price: '50000' }
    const answer = await sign(key, 'order', action)
    const own = digestOf('aster', 'post_order', key, answer, { family: 'order', action })
    expect(await signer(own, answer.request?.body.split('&signature=')[1] as Hex)).toBe(key.address)

    const injected = { label: 'x&canWithdraw=true' }
    const request = { wallet: wallet.walletId, profile: 'aster', network: 'testnet', parameters: injected }
    expect((await refusalOf(createKey(client, request))).reason).toBe('PROFILE_INPUT_INVALID')
    const tampered = { ...action, newClientOrderId: 'a&side=SELL' }
    expect((await refusalOf(sign(key, 'order', tampered))).reason).toBe('ACTION_INVALID')
  })
})
