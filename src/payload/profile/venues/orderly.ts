import type { Expression } from '../expression.ts'
import type { Flow, LegSpec, Profile } from '../profile.ts'
import type { Members, Shape } from '../shape.ts'
import { ORDERLY_SELF_TEST } from './orderly-self-test.ts'
import { ADDRESS, BOOLEAN, big, integer, object, positive, text, words } from './shapes.ts'

/**
 * Orderly Network, the order book behind several brokers. A session key is an Ed25519 "orderly key" that the wallet adds
 * with one EIP-712 signature, its scope and end signed. It signs a request as it goes over the wire: time, method, path
 * with query, body. So all of an order is signed, and sent in the order of members that is written here.
 *
 * Known from: OrderlyNetwork/contract-evm, npm @orderly.network/types, ccxt.
 */

const SYMBOL = text(48, '[A-Z]{1,8}_[A-Z0-9]{1,24}_[A-Z0-9]{1,12}')
const ORDER_ID = text(20, '[1-9][0-9]{0,19}')
const CLIENT_ID = text(36, '[A-Za-z0-9_-]{1,36}')
const AMOUNT = positive(18, 18)
const TYPES_WITH_PRICE = ['LIMIT', 'IOC', 'FOK', 'POST_ONLY']

type Rules = NonNullable<Profile['actions'][string]['rules']>

const ORDER: Members = {
  client_order_id: { optional: CLIENT_ID },
  level: { optional: integer(0, 4) },
  order_amount: { optional: AMOUNT },
  order_price: { optional: AMOUNT },
  order_quantity: { optional: AMOUNT },
  order_tag: { optional: text(64, '[A-Za-z0-9_-]{1,64}') },
  order_type: words(...TYPES_WITH_PRICE, 'MARKET', 'ASK', 'BID'),
  post_only_adjust: { optional: BOOLEAN },
  reduce_only: { optional: BOOLEAN },
  side: words('BUY', 'SELL'),
  symbol: SYMBOL,
  visible_quantity: { optional: AMOUNT },
}

const oneOfTwo = (first: string, second: string): Rules => [
  {
    ok: ['@not', ['@eq', ['@has', `$action.${first}`], ['@has', `$action.${second}`]]],
    path: first,
    why: `and ${second}: exactly one of them is given`,
  },
]

const ORDER_RULES: Rules = [
  ...oneOfTwo('order_quantity', 'order_amount'),
  {
    ok: ['@eq', ['@has', '$action.order_price'], ['@isIn', '$action.order_type', TYPES_WITH_PRICE]],
    path: 'order_price',
    why: 'is given for the order types that have a price, and for no other',
  },
]

const ORDER_LEG: LegSpec = {
  market: '$action.symbol',
  side: ['@lower', '$action.side'],
  size: '$action.order_quantity',
  price: '$action.order_price',
  notional: '$action.order_amount',
  reduceOnly: '$action.reduce_only',
}

const DOMAIN: Expression = {
  name: 'Orderly',
  version: '1',
  chainId: '$params.chainId',
  verifyingContract: '0xCcCCccccCCCCcCCCCCCcCcCccCcCCCcCcccccccC',
}

const KEY: Expression = ['@join', '', ['ed25519:', ['@b58', '$session.publicKey']]]
/** keccak256(abi.encode(address, keccak256(broker))). */
const ACCOUNT_ID: Expression = [
  '@hex',
  ['@keccak', ['@abi', 'address,bytes32', '$wallet', ['@keccak', ['@utf8', '$params.brokerId']]]],
]

type Method = 'GET' | 'POST' | 'PUT' | 'DELETE'
const CONTENT_TYPE: Readonly<Record<Method, string>> = {
  GET: 'application/x-www-form-urlencoded',
  POST: 'application/json',
  PUT: 'application/json',
  DELETE: 'application/x-www-form-urlencoded',
}

const signedText = (method: Method): Expression => [
  '@utf8',
  ['@join', '', [['@str', '$timeMs'], method, '$path', ['@or', '$body', '']]],
]

const headers = (method: Method): { readonly [name: string]: Expression } => ({
  'content-type': CONTENT_TYPE[method],
  'orderly-timestamp': '$timeMs',
  'orderly-account-id': ACCOUNT_ID,
  'orderly-key': KEY,
  'orderly-signature': ['@b64u', '$sig.bytes'],
})

const request = (purpose: Flow['purpose'], method: Method, path: Expression, body?: Expression): Flow => ({
  purpose,
  confidence: 'sdk',
  let: [
    ['path', path],
    ['body', body === undefined ? ['@when', false, ''] : ['@json', body]],
  ],
  sign: [{ by: 'session', scheme: 'ed25519', message: signedText(method) }],
  http: { method, path: '$path', headers: headers(method), ...(body === undefined ? {} : { body: '$body' }) },
})

const withQuery = (path: Expression, query: Expression): Expression => ['@join', '?', [path, ['@qs', query]]]

const walletMessage = (
  purpose: Flow['purpose'],
  type: string,
  fields: string,
  message: { readonly [field: string]: Expression },
  path: string,
  input?: Members,
): Flow => ({
  purpose,
  confidence: 'sdk',
  ...(input === undefined ? {} : { input }),
  sign: [{ by: 'wallet', scheme: 'eip712', domain: DOMAIN, types: { [type]: fields }, primaryType: type, message }],
  http: {
    method: 'POST',
    path,
    headers: { 'content-type': 'application/json' },
    body: { message, signature: '$sig.hex', userAddress: ['@checksum', '$wallet'] },
  },
})

const WITHDRAW_INPUT: Members = {
  receiver: ADDRESS,
  token: text(16, '[A-Za-z0-9.]{1,16}'),
  amount: big(256, 1),
  withdrawNonce: big(64),
}

const WITHDRAW_MESSAGE: { readonly [field: string]: Expression } = {
  brokerId: '$params.brokerId',
  chainId: '$params.chainId',
  receiver: ['@checksum', '$input.receiver'],
  token: '$input.token',
  amount: ['@str', '$input.amount'],
  withdrawNonce: ['@str', '$input.withdrawNonce'],
  timestamp: '$timeMs',
}

/** Signed by the wallet for the ledger contract, then by the key as any request. */
const WITHDRAW: Flow = {
  purpose: 'wallet_action',
  confidence: 'published',
  input: WITHDRAW_INPUT,
  sign: [
    {
      by: 'wallet',
      scheme: 'eip712',
      domain: { name: 'Orderly', version: '1', chainId: '$params.chainId', verifyingContract: '$net.ledger' },
      types: {
        Withdraw:
          'string brokerId,uint256 chainId,address receiver,string token,uint256 amount,uint64 withdrawNonce,uint64 timestamp',
      },
      primaryType: 'Withdraw',
      message: WITHDRAW_MESSAGE,
    },
    {
      by: 'session',
      let: [
        ['path', '/v1/withdraw_request'],
        [
          'body',
          [
            '@json',
            {
              message: WITHDRAW_MESSAGE,
              signature: '$sig1.hex',
              userAddress: ['@checksum', '$wallet'],
              verifyingContract: '$net.ledger',
            },
          ],
        ],
      ],
      scheme: 'ed25519',
      message: signedText('POST'),
    },
  ],
  http: { method: 'POST', path: '$path', headers: headers('POST'), body: '$body' },
}

const READABLE: Shape = words(
  '/v1/client/info',
  '/v1/client/holding',
  '/v1/positions',
  '/v1/orders',
  '/v1/trades',
  '/v1/client/key_info',
)

const DAY_MS = 86_400_000

export const ORDERLY: Profile = {
  id: 'orderly',
  version: 1,
  title: 'Orderly Network',
  networks: {
    mainnet: { ledger: '0x6F7a338F2aA472838dEFD3283eB360d4Dff5D203', rest: 'https://api.orderly.org' },
    testnet: { ledger: '0x1826B75e2ef249173FC735149AE4B8e9ea10abff', rest: 'https://testnet-api.orderly.org' },
  },
  sessionKey: { curve: 'ed25519', publicForm: 'base58', maxLifeMs: 365 * DAY_MS },
  params: {
    brokerId: text(32, '[a-z0-9_]{1,32}'),
    /** Of the chain that the account was opened from. */
    chainId: integer(1, Number.MAX_SAFE_INTEGER),
  },
  nonce: { style: 'none', backMs: 300_000, aheadMs: 300_000 },
  enforcedBy: { expiry: 'both', scope: 'both' },
  // Members that the registration may carry beside its message. This profile sends none of them.
  unsignedFields: ['message.tag', 'message.subAccountId', 'message.chainType'],
  scopeCodes: {
    order: 'trading',
    modify_order: 'trading',
    cancel_order: 'trading',
    cancel_all: 'trading',
    unrestricted: 'trading',
    leverage: 'trading',
    read: 'read',
  },
  actions: {
    order: {
      family: 'order',
      flow: 'post_order',
      shape: object(ORDER),
      rules: ORDER_RULES,
      legs: { one: ORDER_LEG },
    },
    modify: {
      family: 'modify_order',
      flow: 'put_order',
      shape: object({ order_id: ORDER_ID, ...ORDER }),
      rules: ORDER_RULES,
      legs: { one: ORDER_LEG },
    },
    cancel: {
      family: 'cancel_order',
      flow: 'delete_order',
      shape: object({
        client_order_id: { optional: CLIENT_ID },
        order_id: { optional: ORDER_ID },
        symbol: SYMBOL,
      }),
      rules: oneOfTwo('order_id', 'client_order_id'),
      legs: { one: { market: '$action.symbol' } },
    },
    cancelAll: {
      family: 'cancel_all',
      flow: 'delete_orders',
      shape: object({ symbol: { optional: SYMBOL } }),
    },
    leverage: {
      family: 'leverage',
      flow: 'post_leverage',
      shape: object({ leverage: integer(1, 100), symbol: { optional: SYMBOL } }),
    },
    read: { family: 'read', flow: 'get', shape: object({ path: READABLE }) },
  },
  flows: {
    register_account: walletMessage(
      'account',
      'Registration',
      'string brokerId,uint256 chainId,uint64 timestamp,uint256 registrationNonce',
      {
        brokerId: '$params.brokerId',
        chainId: '$params.chainId',
        timestamp: '$timeMs',
        registrationNonce: ['@str', '$input.registrationNonce'],
      },
      '/v1/register_account',
      { registrationNonce: big(256) },
    ),
    register: walletMessage(
      'register',
      'AddOrderlyKey',
      'string brokerId,uint256 chainId,string orderlyKey,string scope,uint64 timestamp,uint64 expiration',
      {
        brokerId: '$params.brokerId',
        chainId: '$params.chainId',
        orderlyKey: KEY,
        scope: ['@join', ',', '$scopes'],
        timestamp: '$timeMs',
        expiration: '$expireMs',
      },
      '/v1/orderly_key',
    ),
    // A key removes itself.
    remove_key: request('revoke', 'POST', '/v1/client/remove_orderly_key', { orderly_key: KEY }),
    post_order: request('action', 'POST', '/v1/order', '$action'),
    put_order: request('action', 'PUT', '/v1/order', '$action'),
    delete_order: request(
      'action',
      'DELETE',
      withQuery(['@when', '$action.order_id', '/v1/order', '/v1/client/order'], '$action'),
    ),
    delete_orders: request('action', 'DELETE', [
      '@when',
      '$action.symbol',
      withQuery('/v1/orders', '$action'),
      '/v1/orders',
    ]),
    post_leverage: request('action', 'POST', '/v1/client/leverage', '$action'),
    get: request('action', 'GET', '$action.path'),
    keys: request('query', 'GET', '/v1/client/key_info'),
    websocket: {
      purpose: 'auth',
      confidence: 'rule',
      sign: [{ by: 'session', scheme: 'ed25519', message: ['@utf8', ['@str', '$timeMs']] }],
      signedAction: {
        id: 'auth',
        event: 'auth',
        params: { orderly_key: KEY, sign: ['@b64u', '$sig.bytes'], timestamp: '$timeMs' },
      },
    },
    withdraw: WITHDRAW,
  },
  selfTest: ORDERLY_SELF_TEST,
}
