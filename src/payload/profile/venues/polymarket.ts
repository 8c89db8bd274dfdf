import type { Flow, Profile } from '../profile.ts'
import {
  byCredential,
  CANCEL,
  CLOB_AUTH_INPUT,
  clobAuthHeaders,
  CREDENTIAL_ANSWER,
  CREDENTIALS,
  exchangeDomain,
  NETWORKS,
  ORDER_FIELDS,
  ORDER_TYPES,
  orderBody,
  orderMessage,
  requestBindings,
  requestHeaders,
  signClobAuth,
  signRequest,
  signWrapped,
  wrappedSignature,
} from './polymarket-order.ts'
import { POLYMARKET_SELF_TEST } from './polymarket-self-test.ts'
import { ADDRESS, integer, object, words } from './shapes.ts'

/**
 * Polymarket's order book. The wallet signs ClobAuth once and the venue answers with an API key, a secret and a
 * passphrase: the session key here is that secret. It authenticates requests (HMAC) and so cancels and reads; an order it
 * cannot make, because each order is a typed message of the wallet (`order`), or of a session signer of a deposit wallet
 * (polymarket-session.ts).
 *
 * Known from: Polymarket/clob-client, clob-client-v2, py-clob-client-v2, rs-clob-client; nautechsystems/nautilus_trader.
 */

const request = byCredential('$wallet', 'published')

/** EOA, proxy or Safe: the wallet signs for whoever holds the funds. */
const MESSAGE = orderMessage('$input', ['@or', '$params.funder', '$wallet'], '$wallet', [
  '@or',
  '$params.signatureType',
  0,
])
const DEPOSIT_MESSAGE = orderMessage('$input', '$params.depositWallet', '$params.depositWallet', 3)

const ORDER: Flow = {
  purpose: 'wallet_action',
  confidence: 'published',
  input: ORDER_FIELDS,
  sign: [
    {
      by: 'wallet',
      scheme: 'eip712',
      domain: exchangeDomain('$input'),
      types: ORDER_TYPES,
      primaryType: 'Order',
      message: MESSAGE,
    },
    signRequest(requestBindings('POST', '/order', orderBody('$input', MESSAGE, '$sig1.hex'))),
  ],
  http: { method: 'POST', path: '$path', headers: requestHeaders('$wallet'), body: '$body' },
}

const DEPOSIT_ORDER: Flow = {
  purpose: 'wallet_action',
  confidence: 'published',
  input: ORDER_FIELDS,
  sign: [
    signWrapped('wallet', '$input', DEPOSIT_MESSAGE),
    signRequest(
      requestBindings(
        'POST',
        '/order',
        orderBody('$input', DEPOSIT_MESSAGE, [
          '@hex',
          wrappedSignature('$input', DEPOSIT_MESSAGE, '$sig1.bytes'),
        ]),
      ),
    ),
  ],
  http: { method: 'POST', path: '$path', headers: requestHeaders('$wallet'), body: '$body' },
}

export const POLYMARKET: Profile = {
  id: 'polymarket',
  version: 1,
  title: 'Polymarket',
  networks: NETWORKS,
  sessionKey: { curve: 'hmac-sha256', publicForm: 'none' },
  params: {
    /** Whose funds an order moves, where they are not the wallet's own. */
    funder: { optional: ADDRESS },
    signatureType: { optional: integer(0, 2) },
    depositWallet: { optional: ADDRESS },
  },
  credentials: CREDENTIALS,
  hmacSecret: { credential: 'secret', encoding: 'base64' },
  nonce: { style: 'none', backMs: 30_000, aheadMs: 30_000 },
  enforcedBy: { expiry: 'daemon', scope: 'daemon' },
  unsignedFields: ['order.expiration', 'the query of a path'],
  actions: {
    cancel: { family: 'cancel_order', flow: 'cancel', shape: object(CANCEL) },
    cancelAll: { family: 'cancel_all', flow: 'cancel_all', shape: object({}) },
    read: {
      family: 'read',
      flow: 'get',
      shape: object({ path: words('/data/orders', '/data/trades', '/balance-allowance', '/auth/api-keys') }),
    },
  },
  flows: {
    register: {
      purpose: 'register',
      confidence: 'published',
      input: CLOB_AUTH_INPUT,
      sign: [signClobAuth('wallet', '$wallet')],
      http: { method: 'POST', path: '/auth/api-key', headers: clobAuthHeaders('$wallet') },
      answer: CREDENTIAL_ANSWER,
    },
    /** The credentials of an API key that there is already. */
    derive: {
      purpose: 'credentials',
      confidence: 'published',
      input: CLOB_AUTH_INPUT,
      sign: [signClobAuth('wallet', '$wallet')],
      http: { method: 'GET', path: '/auth/derive-api-key', headers: clobAuthHeaders('$wallet') },
      answer: CREDENTIAL_ANSWER,
    },
    remove_key: request('revoke', 'DELETE', '/auth/api-key'),
    cancel: request('action', 'DELETE', '/order', '$action'),
    cancel_all: request('action', 'DELETE', '/cancel-all'),
    get: request('action', 'GET', '$action.path'),
    keys: request('query', 'GET', '/auth/api-keys'),
    order: ORDER,
    deposit_order: DEPOSIT_ORDER,
  },
  selfTest: POLYMARKET_SELF_TEST,
}
