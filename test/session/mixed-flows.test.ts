/** The venue's side of a session, wallets that leave actions to their session keys, streams, and new root keys. */
import { create, fromBinary } from '@bufbuild/protobuf'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { VaultParty } from '../../gen/countersign/v1/admin_pb.ts'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import {
  ActionSignerKind,
  type SessionKey,
  SessionScope,
  SignActionStreamRequestSchema,
} from '../../gen/countersign/v1/session_key_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet, reasonOf, refusalOf } from '../e2e/callers.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { activeKey, createKey, ddxOrder, hlCancel, hlOrder, HOUR_MS, inMs } from './session-daemon.ts'

let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon()
  client = connect(daemon, daemon.adminKey)
  wallet = await newWallet(client)
})
afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
})

const ddxKey = async (rest = {}) => {
  const { sessionKey, delegatedPayload } = await createKey(client, {
    wallet: wallet.walletId,
    profile: 'derivadex',
    network: 'sepolia',
    scopes: [SessionScope.ORDER],
    ...rest,
  })
  if (sessionKey === undefined) throw new Error('no session key')
  return { sessionKey, payload: delegatedPayload }
}

const sign = (key: SessionKey, actionJson = ddxOrder(), family = 'order') =>
  client.sessionKeys.signAction({ sessionKeyId: key.sessionKeyId, family, actionJson })

describe('VerifyAction', () => {
  const verify = (rest: object) =>
    client.sessionKeys.verifyAction({
      profile: 'derivadex',
      network: 'sepolia',
      family: 'order',
      actionJson: ddxOrder(),
      wallet: wallet.walletId,
      ...rest,
    })

  it('takes a session request, and says whose it is', async () => {
    const { sessionKey, payload } = await ddxKey()
    const { signature, nonce } = await sign(sessionKey)
    const request = { nonce, signature: signature?.raw ?? new Uint8Array(), delegatedPayload: payload }
    const answer = await verify(request)
    expect(answer).toMatchObject({
      signerKind: ActionSignerKind.SESSION,
      signer: sessionKey.address,
      sessionKeyId: sessionKey.sessionKeyId,
    })
    expect(answer.receipt?.signature).toHaveLength(64)
    expect((await verify({ ...request, wallet: wallet.address })).signerKind).toBe(ActionSignerKind.SESSION)
  })

  it('tells apart what is wrong', async () => {
    const { sessionKey, payload } = await ddxKey()
    const { signature, nonce } = await sign(sessionKey)
    const raw = signature?.raw ?? new Uint8Array()
    const request = { nonce, signature: raw, delegatedPayload: payload }
    const told = async (changes: object): Promise<string> => {
      const { reason, metadata } = await refusalOf(verify({ ...request, ...changes }))
      return `${reason} ${metadata['detail'] ?? ''}`.trim()
    }
    expect(await told({ delegatedPayload: payload.slice(0, -1) })).toBe('SESSION_UNAUTHORIZED malformed')
    expect(await told({ delegatedPayload: Uint8Array.of(9, ...payload.slice(1)) })).toBe('SESSION_UNAUTHORIZED malformed')
    expect(await told({ wallet: `0x${'11'.repeat(20)}` })).toBe('SESSION_UNAUTHORIZED bad_wallet_signature')
    expect(await told({ delegatedPayload: new Uint8Array(0) })).toBe('SESSION_UNAUTHORIZED payload_missing')
    expect(await told({ family: 'cancel_all', actionJson: '{"symbol":"ETHP","strategy":"main"}' })).toBe('SESSION_ACL_VIOLATION')
    expect(await told({ nonce: String(BigInt(nonce) + 1n) })).toBe('SESSION_SIGNER_MISMATCH')
    expect(await told({ actionJson: ddxOrder({ amount: '2' }) })).toBe('SESSION_SIGNER_MISMATCH')
    expect(await told({ actionJson: ddxOrder({ extra: 1 }) })).toBe('ACTION_INVALID')
    const other = await ddxKey()
    expect(await told({ delegatedPayload: other.payload })).toBe('SESSION_SIGNER_MISMATCH')
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: sessionKey.sessionKeyId })
    expect(await told({})).toBe('SESSION_REVOKED')
  })

  it('refuses a payload that was tampered with at any byte', async () => {
    const { sessionKey, payload } = await ddxKey()
    const { signature, nonce } = await sign(sessionKey)
    const raw = signature?.raw ?? new Uint8Array()
    for (let at = 0; at < payload.length; at += 3) {
      const bent = Uint8Array.from(payload)
      bent[at] = (bent[at] ?? 0) ^ 1
      const reason = await reasonOf(verify({ nonce, signature: raw, delegatedPayload: bent }))
      expect(['SESSION_UNAUTHORIZED', 'SESSION_ACL_VIOLATION', 'SESSION_SIGNER_MISMATCH']).toContain(reason)
    }
  })

  it('refuses a payload that is over', async () => {
    const { sessionKey, payload } = await ddxKey({ expireTime: inMs(6_000) })
    const { signature, nonce } = await sign(sessionKey)
    const request = { nonce, signature: signature?.raw ?? new Uint8Array(), delegatedPayload: payload }
    let detail = ''
    for (let i = 0; i < 200 && detail === ''; i++) {
      detail = await verify(request).then(() => '', (error: { metadata: Record<string, string> }) => error.metadata['detail'] ?? 'lost')
      await new Promise((resolve) => setTimeout(resolve, 100))
    }
    expect(detail).toBe('expired')
  })

  it("counts the wallet's own requests for its active session keys", async () => {
    const own = await newWallet(client)
    const { sessionKey } = await ddxKey({ wallet: own.walletId })
    const typed = await client.wallets.signTypedData({ wallet: own.walletId, typedDataJson: cancelAllTypedData(7n) })
    const request = {
      family: 'cancel_all',
      actionJson: '{"symbol":"ETHP","strategy":"main"}',
      nonce: '7',
      signature: typed.signature?.raw ?? new Uint8Array(),
      wallet: own.walletId,
    }
    expect(await verify(request)).toMatchObject({ signerKind: ActionSignerKind.WALLET, signer: own.address, sessionKeyId: '' })
    await verify(request)
    const { sessionKey: counted } = await client.sessionKeys.getSessionKey({ sessionKeyId: sessionKey.sessionKeyId })
    expect(counted?.payloadLessCount).toBe(2n)
  })

  it('is not offered where a signature does not tell who signed', async () => {
    const request = { profile: 'orderly', network: 'testnet', parameters: { brokerId: 'woofi', chainId: 1 }, signature: new Uint8Array(64) }
    expect(await reasonOf(verify(request))).toBe('KEY_TYPE_UNSUPPORTED')
  })

  it('takes a key that the venue knows by itself, within its scope', async () => {
    const key = await activeKey(client, { wallet: wallet.walletId, scopes: [SessionScope.ORDER] })
    const { signature, nonce } = await sign(key, hlOrder())
    const request = { profile: 'hyperliquid', network: 'testnet', actionJson: hlOrder(), nonce, signature: signature?.raw }
    expect(await verify(request)).toMatchObject({ signerKind: ActionSignerKind.SESSION, sessionKeyId: key.sessionKeyId })
    const foreign = secp256k1.sign(new Uint8Array(32).fill(7), new Uint8Array(32).fill(5), { prehash: false })
    expect(await reasonOf(verify({ ...request, signature: Uint8Array.of(...foreign, 27) }))).toBe('SESSION_SIGNER_MISMATCH')
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: key.sessionKeyId })
    expect(await reasonOf(verify(request))).toBe('SESSION_REVOKED')
  })
})

const word = (text: string): string => `0x${Buffer.concat([Buffer.from([text.length]), Buffer.from(text)]).toString('hex').padEnd(64, '0')}`

const cancelAllTypedData = (nonce: bigint): string =>
  JSON.stringify({
    domain: {
      name: 'DerivaDEX',
      version: '1',
      chainId: 11155111,
      verifyingContract: '0x5d1a3b4181d3cad422f404f28e9e972d0ba4dad6',
    },
    types: {
      EIP712Domain: [
        { name: 'name', type: 'string' },
        { name: 'version', type: 'string' },
        { name: 'chainId', type: 'uint256' },
        { name: 'verifyingContract', type: 'address' },
      ],
      CancelAllParams: [
        { name: 'symbol', type: 'bytes32' },
        { name: 'strategy', type: 'bytes32' },
        { name: 'nonce', type: 'bytes32' },
      ],
    },
    primaryType: 'CancelAllParams',
    message: { symbol: word('ETHP'), strategy: word('main'), nonce: `0x${nonce.toString(16).padStart(64, '0')}` },
  })

describe('require_session', () => {
  it("keeps the wallet from the profile's actions while the key is active, and from nothing else", async () => {
    const own = await newWallet(client)
    const signAll = () => client.wallets.signTypedData({ wallet: own.walletId, typedDataJson: cancelAllTypedData(1n) })
    await signAll()
    const { sessionKey } = await ddxKey({ wallet: own.walletId, requireSession: true })
    const refused = await refusalOf(signAll())
    expect([refused.reason, refused.metadata['family']]).toEqual(['SESSION_REQUIRED', 'cancel_all'])
    const digest = { wallet: own.walletId, digest: new Uint8Array(32).fill(1) }
    expect(await reasonOf(client.wallets.signDigest(digest))).toBe('SESSION_REQUIRED')
    await client.wallets.signMessage({ wallet: own.walletId, content: { case: 'text', value: 'hello' } })
    // The registration of the next key is the wallet's own, and no action.
    await ddxKey({ wallet: own.walletId })
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: sessionKey.sessionKeyId })
    await signAll()
  })
})

describe('SignActionStream', () => {
  it('answers each item, in the order in which they are ready, and refuses as SignAction does', async () => {
    const key = await activeKey(client, { wallet: wallet.walletId })
    const item = (itemId: string, family: string, actionJson: string) =>
      create(SignActionStreamRequestSchema, { itemId, action: { sessionKeyId: key.sessionKeyId, family, actionJson } })
    async function* requests() {
      for (let i = 0; i < 150; i++) yield item(`o${i}`, 'order', hlOrder())
      yield item('bad', 'order', hlOrder({ p: '1.50' }))
      yield item('out', 'modify_order', hlOrder())
      for (let i = 0; i < 50; i++) yield item(`c${i}`, 'cancel_order', hlCancel(i + 1))
      yield create(SignActionStreamRequestSchema, { itemId: 'empty' })
    }
    const nonces = new Set<string>()
    const errors = new Map<string, string>()
    for await (const { itemId, result, timing } of client.sessionKeys.signActionStream(requests())) {
      if (result.case === 'action') nonces.add(result.value.nonce)
      if (result.case === 'error') {
        const info = result.value.details.find(({ typeUrl }) => typeUrl.endsWith('ErrorInfo'))
        errors.set(itemId, info === undefined ? '' : fromBinary(ErrorInfoSchema, info.value).reason)
      }
      if (itemId !== 'empty') expect(timing).toContain('total;dur=')
    }
    expect(nonces.size).toBe(200)
    expect(Object.fromEntries(errors)).toEqual({ bad: 'ACTION_INVALID', out: 'SESSION_ACL_VIOLATION', empty: 'INVALID_REQUEST' })
  })
})

describe('a new root key', () => {
  it('opens session keys and credentials as the old one did', async () => {
    const key = await activeKey(client, { wallet: wallet.walletId })
    const hmac = await activeKey(client, {
      wallet: wallet.walletId,
      profile: 'polymarket',
      network: 'polygon',
      scopes: [SessionScope.CANCEL_ORDER],
      extraFamilies: ['read'],
      expireTime: inMs(HOUR_MS),
    })
    const { sessionKeyId } = hmac
    const read = () => client.sessionKeys.signAction({ sessionKeyId, family: 'read', actionJson: '{"path":"/data/orders"}' })
    expect((await refusalOf(read())).reason).toBe('CREDENTIAL_MISSING')
    const put = (name: string, secret: string) =>
      client.sessionKeys.putVenueCredential({ sessionKeyId, name, secret: new Uint8Array(Buffer.from(secret)) })
    expect(await reasonOf(put('nonsense', 'x'))).toBe('PROFILE_INPUT_INVALID')
    expect(await reasonOf(put('secret', 'not base64!'))).toBe('PROFILE_INPUT_INVALID')
    await put('apiKey', 'an-api-key')
    await put('passphrase', 'a-passphrase')
    const secret = Buffer.from('the secret of the venue, canary 5d1').toString('base64')
    const { sessionKey: stored } = await put('secret', secret)
    expect(stored?.credentials).toEqual(['apiKey', 'passphrase', 'secret'])
    const before = await read()
    expect(before.request?.headers['POLY_API_KEY']).toBe('an-api-key')
    expect(JSON.stringify(before, (_key, value: unknown) => (typeof value === 'bigint' ? String(value) : value))).not.toContain(secret)
    for (let i = 0; i < 5; i++) {
      await client.admin.rotateVaultKey({ vault: VaultParty.DAEMON })
      await sign(key, hlOrder())
      await read()
    }
    expect(daemon.output()).not.toContain(secret)
    expect(daemon.output()).not.toContain('a-passphrase')
  })
})
