import type { Expression } from '../expression.ts'
import type { Flow, Profile } from '../profile.ts'
import {
  byCredential,
  CANCEL,
  CLOB_AUTH_INPUT,
  clobAuthHeaders,
  CREDENTIAL_ANSWER,
  CREDENTIALS,
  NETWORKS,
  ORDER_FIELDS,
  orderBody,
  orderMessage,
  requestBindings,
  requestHeaders,
  signClobAuth,
  signRequest,
  signWrapped,
  wrappedSignature,
} from './polymarket-order.ts'
import { POLYMARKET_SESSION_SELF_TEST } from './polymarket-self-test.ts'
import { ADDRESS, big, object, words } from './shapes.ts'

/**
 * Session signers of a Polymarket deposit wallet: experimental. The wallet authorises the key's address until a time, in a
 * batch that the deposit wallet carries out on chain; the key then signs orders for the deposit wallet. The typed data and
 * the envelope are those of known fixtures; that the venue takes them end to end is not known, so every flow is marked
 * `rule`.
 *
 * The envelope of a session signature ends with the bytes 6492 repeated. They mean nothing of ERC-6492 here.
 */

const SESSION: Expression = '$session.address'
const MESSAGE = orderMessage('$action', '$params.depositWallet', '$params.depositWallet', 3)

const ENVELOPE_END = `0x${'6492'.repeat(16)}`

/** abi.encode(signer in 32 bytes, 0, signature) and the end. */
const SESSION_SIGNATURE: Expression = [
  '@hex',
  [
    '@cat',
    [
      '@abi',
      'bytes32,bytes32,bytes',
      ['@padl', 32, SESSION],
      `0x${'00'.repeat(32)}`,
      wrappedSignature('$action', MESSAGE, '$sig1.bytes'),
    ],
    ENVELOPE_END,
  ],
]

const COLLATERAL: Expression = ['@when', ['@eq', '$action.side', 'BUY'], '$action.makerAmount', '$action.takerAmount']
const TOKENS: Expression = ['@when', ['@eq', '$action.side', 'BUY'], '$action.takerAmount', '$action.makerAmount']

const SECONDS: Expression = ['@div', '$timeMs', 1000]

/**
 * A batch of one call of the deposit wallet to itself, for the relayer (relayer-v2.polymarket.com). The builder's own
 * headers and an Idempotency-Key are the caller's to add.
 */
const batch = (purpose: 'register' | 'revoke', path: string, call: Expression): Flow => ({
  purpose,
  confidence: 'rule',
  input: { nonce: big(256) },
  let: [
    ['deadline', ['@add', SECONDS, 600]],
    ['calls', [{ target: '$params.depositWallet', value: '0', data: ['@hex', call] }]],
  ],
  sign: [
    {
      by: 'wallet',
      scheme: 'eip712',
      domain: {
        name: 'DepositWallet',
        version: '1',
        chainId: '$net.chainId',
        verifyingContract: '$params.depositWallet',
      },
      types: {
        Batch: 'address wallet,uint256 nonce,uint256 deadline,Call[] calls',
        Call: 'address target,uint256 value,bytes data',
      },
      primaryType: 'Batch',
      message: {
        wallet: '$params.depositWallet',
        nonce: '$input.nonce',
        deadline: '$deadline',
        calls: '$calls',
      },
    },
  ],
  http: {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: {
      wallet: ['@checksum', '$params.depositWallet'],
      nonce: ['@str', '$input.nonce'],
      deadline: ['@str', '$deadline'],
      calls: '$calls',
      signature: '$sig.hex',
      ...(purpose === 'register' ? { scopes: ['CLOB'] } : {}),
    },
  },
})

const request = byCredential(SESSION, 'rule')

export const POLYMARKET_SESSION: Profile = {
  id: 'polymarket-session',
  version: 1,
  title: 'Polymarket session signers (experimental)',
  networks: NETWORKS,
  sessionKey: { curve: 'secp256k1', publicForm: 'address' },
  params: { depositWallet: ADDRESS },
  credentials: CREDENTIALS,
  hmacSecret: { credential: 'secret', encoding: 'base64' },
  nonce: { style: 'none', backMs: 30_000, aheadMs: 30_000 },
  enforcedBy: { expiry: 'both', scope: 'daemon' },
  unsignedFields: ['scopes', 'order.expiration', 'the query of a path'],
  actions: {
    order: {
      family: 'order',
      flow: 'order',
      shape: object(ORDER_FIELDS),
      legs: {
        one: {
          market: ['@str', '$action.tokenId'],
          side: ['@lower', '$action.side'],
          size: ['@unscale', 6, TOKENS],
          price: ['@ratio', 18, COLLATERAL, TOKENS],
          notional: ['@unscale', 6, COLLATERAL],
        },
      },
    },
    cancel: { family: 'cancel_order', flow: 'cancel', shape: object(CANCEL) },
    cancelAll: { family: 'cancel_all', flow: 'cancel_all', shape: object({}) },
    read: { family: 'read', flow: 'get', shape: object({ path: words('/data/orders', '/data/trades') }) },
  },
  flows: {
    register: batch('register', '/v1/session-signers/authorizations', [
      '@call',
      'authorizeSessionSigner(address,uint256)',
      SESSION,
      ['@div', '$expireMs', 1000],
    ]),
    revoke: batch('revoke', '/v1/session-signers/revocations', ['@call', 'revokeSessionSigner(address)', SESSION]),
    credentials: {
      purpose: 'credentials',
      confidence: 'rule',
      input: CLOB_AUTH_INPUT,
      sign: [signClobAuth('session', SESSION)],
      http: { method: 'POST', path: '/auth/api-key', headers: clobAuthHeaders(SESSION) },
      answer: CREDENTIAL_ANSWER,
    },
    order: {
      purpose: 'action',
      confidence: 'rule',
      sign: [
        signWrapped('session', '$action', MESSAGE),
        signRequest(requestBindings('POST', '/order', orderBody('$action', MESSAGE, SESSION_SIGNATURE))),
      ],
      http: { method: 'POST', path: '$path', headers: requestHeaders(SESSION), body: '$body' },
    },
    cancel: request('action', 'DELETE', '/order', '$action'),
    cancel_all: request('action', 'DELETE', '/cancel-all'),
    get: request('action', 'GET', '$action.path'),
  },
  selfTest: POLYMARKET_SESSION_SELF_TEST,
}
