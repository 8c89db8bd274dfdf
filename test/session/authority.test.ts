/** What a session key must not give anybody: other markets, other wallets' keys, more than its scope, a second life. */
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { hashTypedData } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { type SessionKey, SessionScope, TradeSide } from '../../gen/countersign/v1/session_key_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newKey, newWallet, reasonOf, refusalOf } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { activeKey, createKey, ddxOrder, hlOrder } from './session-daemon.ts'

let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet
let other: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  wallet = await newWallet(client)
  other = await newWallet(client)
})
afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
})

const sign = (key: SessionKey, actionJson = hlOrder(), family = 'order') =>
  client.sessionKeys.signAction({ sessionKeyId: key.sessionKeyId, family, actionJson })

describe('an order that only reduces', () => {
  it('is held to markets and side like any other, and cancels are not', async () => {
    const limits = { markets: ['1'], side: TradeSide.BUY, maxSize: '1' }
    const key = await activeKey(client, { wallet: wallet.walletId, limits })
    await sign(key, hlOrder({ r: true, s: '9' }))
    for (const [changes, limit] of [[{ a: 2 }, 'markets'], [{ b: false }, 'side']] as const) {
      const refused = await refusalOf(sign(key, hlOrder({ r: true, ...changes })))
      expect([refused.reason, refused.metadata['limit']]).toEqual(['LIMIT_EXCEEDED', limit])
      const explained = await client.sessionKeys.explainAction({
        sessionKeyId: key.sessionKeyId,
        family: 'order',
        actionJson: hlOrder({ r: true, ...changes }),
      })
      expect(explained).toMatchObject({ accepted: false, reason: 'LIMIT_EXCEEDED' })
    }
    await sign(key, JSON.stringify({ type: 'cancel', cancels: [{ a: 2, o: 1 }] }), 'cancel_order')
  })
})

describe('VerifyAction', () => {
  it("takes no session key of another wallet for the wallet's", async () => {
    const key = await activeKey(client, { wallet: wallet.walletId })
    const { signature, nonce } = await sign(key)
    const raw = signature?.raw ?? new Uint8Array()
    const verify = (whose: Wallet) =>
      client.sessionKeys.verifyAction({
        profile: 'hyperliquid',
        network: 'testnet',
        family: 'order',
        actionJson: hlOrder(),
        nonce,
        signature: raw,
        wallet: whose.walletId,
      })
    expect((await verify(wallet)).sessionKeyId).toBe(key.sessionKeyId)
    expect(await reasonOf(verify(other))).toBe('SESSION_SIGNER_MISMATCH')
  })

  const secret = new Uint8Array(32).fill(9)
  const publicKey = secp256k1.getPublicKey(secret, true)
  const word = (text: string) => `0x${Buffer.from([text.length, ...Buffer.from(text)]).toString('hex').padEnd(64, '0')}` as const
  const number = (value: bigint) => `0x${value.toString(16).padStart(64, '0')}` as const

  const digest = hashTypedData({
    domain: {
      name: 'DerivaDEX',
      version: '1',
      chainId: 11155111,
      verifyingContract: '0x5d1a3b4181d3cad422f404f28e9e972d0ba4dad6',
    },
    types: {
      OrderParams: [
        ...['symbol', 'strategy'].map((name) => ({ name, type: 'bytes32' })),
        ...['side', 'orderType'].map((name) => ({ name, type: 'uint256' })),
        { name: 'nonce', type: 'bytes32' },
        ...['amount', 'price', 'stopPrice'].map((name) => ({ name, type: 'uint256' })),
      ],
    },
    primaryType: 'OrderParams',
    message: {
      symbol: word('ETHP'),
      strategy: word('main'),
      side: 0n,
      orderType: 0n,
      nonce: number(5n),
      amount: 1_000_000n,
      price: 2_000_000_000n,
      stopPrice: 0n,
    },
  } as never)

  const clientsKey = async (of: Wallet) => {
    const { sessionKey, delegatedPayload } = await createKey(client, {
      wallet: of.walletId,
      profile: 'derivadex',
      network: 'sepolia',
      scopes: [SessionScope.ORDER],
      sessionPublicKey: publicKey,
    })
    return { sessionKeyId: sessionKey?.sessionKeyId ?? '', payload: delegatedPayload }
  }

  const verifyPayload = (payload: Uint8Array, of: Wallet) => {
    const signed = secp256k1.sign(Buffer.from(digest.slice(2), 'hex'), secret, { prehash: false, format: 'recovered' })
    return client.sessionKeys.verifyAction({
      profile: 'derivadex',
      network: 'sepolia',
      family: 'order',
      actionJson: ddxOrder(),
      nonce: '5',
      signature: Uint8Array.of(...signed.slice(1), 27 + (signed[0] ?? 0)),
      delegatedPayload: payload,
      wallet: of.walletId,
    })
  }

  it('finds a payload revoked although its key was registered again, by another wallet or by its own', async () => {
    const first = await clientsKey(wallet)
    expect((await verifyPayload(first.payload, wallet)).sessionKeyId).toBe(first.sessionKeyId)
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: first.sessionKeyId })
    expect(await reasonOf(verifyPayload(first.payload, wallet))).toBe('SESSION_REVOKED')
    for (let i = 0; i < 17; i++) await clientsKey(other)
    expect(await reasonOf(verifyPayload(first.payload, wallet))).toBe('SESSION_REVOKED')
    const again = await createKey(client, {
      wallet: wallet.walletId,
      profile: 'derivadex',
      network: 'sepolia',
      scopes: [SessionScope.ORDER, SessionScope.CANCEL_ORDER],
      sessionPublicKey: publicKey,
    })
    expect((await verifyPayload(again.delegatedPayload, wallet)).sessionKeyId).toBe(again.sessionKey?.sessionKeyId)
    expect(await reasonOf(verifyPayload(first.payload, wallet))).toBe('SESSION_REVOKED')
  })

  it('knows that the wallet is frozen, and that the key was replaced', async () => {
    const own = await newWallet(client)
    const { sessionKey, delegatedPayload } = await createKey(client, {
      wallet: own.walletId,
      profile: 'derivadex',
      network: 'sepolia',
      scopes: [SessionScope.ORDER],
    })
    const { sessionKeyId } = sessionKey ?? { sessionKeyId: '' }
    const { signature, nonce } = await client.sessionKeys.signAction({ sessionKeyId, family: 'order', actionJson: ddxOrder() })
    const verify = () =>
      client.sessionKeys.verifyAction({
        profile: 'derivadex',
        network: 'sepolia',
        family: 'order',
        actionJson: ddxOrder(),
        nonce,
        signature: signature?.raw ?? new Uint8Array(),
        delegatedPayload,
        wallet: own.walletId,
      })
    await verify()
    const subject = { scope: FreezeScope.WALLET, id: own.walletId }
    await client.admin.freeze(subject)
    expect(await reasonOf(verify())).toBe('FROZEN')
    await client.admin.unfreeze(subject)
    await client.sessionKeys.rotateSessionKey({ sessionKeyId, expireTime: sessionKey?.expireTime })
    const refused = await refusalOf(verify())
    expect([refused.reason, refused.metadata['detail']]).toEqual(['SESSION_UNAUTHORIZED', 'expired'])
  })
})

describe('a key that the client holds', () => {
  it('takes session:unrestricted where the venue does not hold it to its scope', async () => {
    const publicKey = () => secp256k1.getPublicKey(secp256k1.utils.randomSecretKey(), true)
    const { secret } = await newKey(client, [{ name: 'session:create' }])
    using maker = connect(daemon, secret)
    const wanted = { wallet: wallet.walletId, scopes: [SessionScope.CANCEL_ORDER] }
    await createKey(maker, wanted)
    const refused = await refusalOf(createKey(maker, { ...wanted, sessionPublicKey: publicKey() }))
    expect([refused.reason, refused.metadata['permission']]).toEqual(['PERMISSION_MISSING', 'session:unrestricted'])
    const derive = { ...wanted, profile: 'derive', parameters: { subaccountIds: [1] } }
    expect(await reasonOf(createKey(maker, { ...derive, sessionPublicKey: publicKey() }))).toBe('PERMISSION_MISSING')
    // Its scope is in what the wallet signs and the venue checks.
    const venue = { ...wanted, profile: 'derivadex', network: 'sepolia' }
    await createKey(maker, { ...venue, sessionPublicKey: publicKey() })
    await createKey(client, { ...wanted, sessionPublicKey: publicKey() })
  })
})
