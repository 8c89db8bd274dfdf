import { createPrivateKey, sign } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import type { SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import { ORDERLY } from '../../../src/payload/profile/venues/orderly.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, asStep, byName, expectedSignature, readVectors, recoverLower, signWith } from './exchange-vectors.ts'
import { compileChanged, loadOne, stepOf } from './profile-requests.ts'

const WALLET = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'
const SEED = Buffer.from('0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f20', 'hex')
const KEY = '0x79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664'
const ACCOUNT = { brokerId: 'woofi_dex', chainId: 42161 }

const privateKey = createPrivateKey({
  key: Buffer.concat([Buffer.from('302e020100300506032b657004220420', 'hex'), SEED]),
  format: 'der',
  type: 'pkcs8',
})
const signEd25519 = (message: Uint8Array): Uint8Array => new Uint8Array(sign(null, message, privateKey))

const orderly = loadOne(ORDERLY)

const walletStep = ({ name, input }: ExchangeVector): SigningStep => {
  const { message } = input
  const isKey = name.startsWith('AddOrderlyKey')
  return stepOf(orderly, isKey ? 'register' : 'register_account', {
    network: 'mainnet',
    parameters: { brokerId: message.brokerId, chainId: Number(message.chainId) },
    walletAddress: WALLET,
    timeMs: Number(message.timestamp),
    ...(isKey
      ? { sessionPublicKey: KEY, scopes: ['read', 'order', 'cancel_order'], expireTimeMs: Number(message.expiration) }
      : { input: { registrationNonce: message.registrationNonce } }),
  })
}

/** The published signatures are for the ledgers of the contracts' own tests. */
const withdrawStep = ({ input }: ExchangeVector): SigningStep => {
  const { domain, message } = input
  const networks = { mainnet: { ledger: domain.verifyingContract as string } }
  return stepOf(compileChanged(ORDERLY, { networks }), 'withdraw', {
    network: 'mainnet',
    parameters: { brokerId: message.brokerId, chainId: domain.chainId },
    input: {
      receiver: message.receiver,
      token: message.token,
      amount: message.amount,
      withdrawNonce: message.withdrawNonce,
    },
    walletAddress: message.receiver,
    sessionPublicKey: KEY,
    timeMs: Number(message.timestamp),
  })
}

const orderRequest = (action: unknown, walletAddress = WALLET, brokerId = ACCOUNT.brokerId) => ({
  network: 'mainnet',
  parameters: { ...ACCOUNT, brokerId },
  family: 'order',
  action,
  walletAddress,
  sessionPublicKey: KEY,
  timeMs: 1790000000000,
})

const checkRequest = ({ input, expected }: ExchangeVector): void => {
  const step = stepOf(orderly, 'post_order', orderRequest(input.body))
  expect(Buffer.from(step.input).toString('utf8')).toBe(input.stringToSign)
  const signature = signEd25519(step.input)
  expect(Buffer.from(signature).toString('base64')).toBe(expected['orderly-signature(base64)'])
  const { http } = asDone(step.finish(signature))
  expect(http).toMatchObject({ method: input.method, path: input.pathAndQuery, body: input.body })
  expect(http?.headers['orderly-key']).toBe(expected['orderly-key'])
  expect(http?.headers['orderly-signature']).toBe(expected['orderly-signature(base64url)'].replace(/=+$/, ''))
}

const check = async (vector: ExchangeVector): Promise<void> => {
  const { kind, input, expected, digest, privateKey: key } = vector
  if (kind === 'request') return checkRequest(vector)
  if (kind === 'ws-auth') {
    const request = { network: 'mainnet', parameters: ACCOUNT, sessionPublicKey: KEY, timeMs: Number(input.timestamp) }
    const step = stepOf(orderly, 'websocket', request)
    const sent = JSON.parse(asDone(step.finish(signEd25519(step.input))).signedActionJson) as { params: object }
    return expect(sent.params).toMatchObject({ sign: expected.sign, timestamp: Number(input.timestamp) })
  }
  if (kind === 'account-id') {
    const step = stepOf(orderly, 'post_order', orderRequest(ORDER, input.address, input.brokerId))
    const { http } = asDone(step.finish(signEd25519(step.input)))
    return expect(http?.headers['orderly-account-id']).toBe(expected.accountId)
  }
  const step = kind === 'user-recover' ? withdrawStep(vector) : walletStep(vector)
  expect(toHex(step.input)).toBe(digest)
  if (key !== undefined) return expect(toHex(await signWith(key, step.input))).toBe(expectedSignature(vector))
  return expect(await recoverLower(step.input, vector.signature)).toBe(expected.signer.toLowerCase())
}

const ORDER = { order_quantity: '1', order_type: 'MARKET', side: 'BUY', symbol: 'PERP_ETH_USDC' }

describe('Orderly, known answers', () => {
  const vectors = readVectors('orderly')

  it.each(byName(vectors))('%s', async (_, vector) => {
    expect.hasAssertions()
    await check(vector)
  })

  it('are all of them', () => {
    expect(vectors).toHaveLength(8)
  })
})

describe('Orderly requests', () => {
  it('are written in one order, whatever order was sent', () => {
    const reversed = Object.fromEntries(Object.entries(ORDER).toReversed())
    const [one, other] = [ORDER, reversed].map((action) => stepOf(orderly, 'post_order', orderRequest(action)).input)
    expect(other).toEqual(one)
  })

  it.each([
    ['cancel_order', { order_id: '42', symbol: 'PERP_ETH_USDC' }, 'DELETE/v1/order?order_id=42&symbol=PERP_ETH_USDC'],
    [
      'cancel_order',
      { symbol: 'PERP_ETH_USDC', client_order_id: 'a-1' },
      'DELETE/v1/client/order?client_order_id=a-1&symbol=PERP_ETH_USDC',
    ],
    ['cancel_all', {}, 'DELETE/v1/orders'],
    ['cancel_all', { symbol: 'SPOT_ETH_USDC' }, 'DELETE/v1/orders?symbol=SPOT_ETH_USDC'],
    ['read', { path: '/v1/positions' }, 'GET/v1/positions'],
    ['leverage', { leverage: 5 }, 'POST/v1/client/leverage{"leverage":5}'],
  ])('%s signs method, path and body', (family, action, text) => {
    const step = stepOf(orderly, family, { ...orderRequest(action), family })
    expect(Buffer.from(step.input).toString('utf8')).toBe(`1790000000000${text}`)
    const { http } = asDone(step.finish(signEd25519(step.input)))
    expect(`${http?.method}${http?.path}${http?.body ?? ''}`).toBe(text)
  })

  it('a withdrawal is signed by the wallet first, then sent under the key', async () => {
    const wallet = stepOf(orderly, 'withdraw', {
      network: 'testnet',
      parameters: ACCOUNT,
      input: { receiver: WALLET, token: 'USDC', amount: '1000000', withdrawNonce: '1' },
      walletAddress: WALLET,
      sessionPublicKey: KEY,
      timeMs: 1790000000000,
    })
    expect(wallet.signer).toBe('wallet')
    const key = asStep(wallet.finish(await signWith(`0x${'01'.repeat(32)}`, wallet.input)))
    expect(key.signer).toBe('session')
    const { http } = asDone(key.finish(signEd25519(key.input)))
    expect(Buffer.from(key.input).toString('utf8')).toBe(`1790000000000POST/v1/withdraw_request${http?.body}`)
  })
})
