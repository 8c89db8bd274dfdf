import type { Expression } from '../expression.ts'
import type { Flow, LegSpec, Profile } from '../profile.ts'
import type { Members } from '../shape.ts'
import { ASTER_SELF_TEST } from './aster-self-test.ts'
import { BOOLEAN, integer, object, positive, text, words } from './shapes.ts'

/**
 * Aster. The wallet registers an "agent" address, and the agent signs each request. What both sign is one text,
 * `name=value&name=value`, in an EIP-712 wrapper: whoever gets a `&` into a value changes what is signed. So no value may
 * hold one: every text here has a pattern without `&`, `=`, `%` and white space.
 *
 * Known from: asterdex/api-docs, ccxt. The registration follows the documentation alone, whose chain id (56) other sources
 * contradict: try it on the test network first.
 */

const SYMBOL = text(32, '[A-Z0-9]{2,32}')
const AMOUNT = positive(18, 8)
const CLIENT_ID = text(36, '[A-Za-z0-9_-]{1,36}')
const ORDER_ID = integer(1, Number.MAX_SAFE_INTEGER)
const TYPES_WITH_PRICE = ['LIMIT', 'STOP', 'TAKE_PROFIT']

const ORDER: Members = {
  symbol: SYMBOL,
  side: words('BUY', 'SELL'),
  type: words(...TYPES_WITH_PRICE, 'MARKET', 'STOP_MARKET', 'TAKE_PROFIT_MARKET'),
  timeInForce: { optional: words('GTC', 'IOC', 'FOK', 'GTX') },
  quantity: AMOUNT,
  price: { optional: AMOUNT },
  positionSide: { optional: words('BOTH', 'LONG', 'SHORT') },
  reduceOnly: { optional: BOOLEAN },
  newClientOrderId: { optional: CLIENT_ID },
  stopPrice: { optional: AMOUNT },
  workingType: { optional: words('MARK_PRICE', 'CONTRACT_PRICE') },
}

const LEG: LegSpec = {
  market: '$action.symbol',
  side: ['@lower', '$action.side'],
  size: '$action.quantity',
  price: '$action.price',
  trigger: '$action.stopPrice',
  reduceOnly: '$action.reduceOnly',
}

const ZERO_ADDRESS = '0x0000000000000000000000000000000000000000'

const domain = (chainId: Expression): Expression => ({
  name: 'AsterSignTransaction',
  version: '1',
  chainId,
  verifyingContract: ZERO_ADDRESS,
})

const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const SIGNED_TEXT: Expression = ['@join', '&signature=', ['$text', '$sig.hex']]

/** The key signs the parameters as they are sent. */
const request = (
  purpose: Flow['purpose'],
  method: 'GET' | 'POST' | 'DELETE',
  path: Expression,
  parameters: Expression,
): Flow => ({
  purpose,
  confidence: 'sdk',
  let: [
    ['path', path],
    ['text', ['@qs', ['@with', { nonce: '$nonce', user: '$wallet', signer: '$session.address' }, parameters]]],
  ],
  sign: [
    {
      by: 'session',
      scheme: 'eip712',
      domain: domain('$net.requestChainId'),
      types: { Message: 'string msg' },
      primaryType: 'Message',
      message: { msg: '$text' },
    },
  ],
  http:
    method === 'POST'
      ? { method, path: '$path', headers: FORM, body: SIGNED_TEXT }
      : { method, path: ['@join', '?', ['$path', SIGNED_TEXT]], headers: FORM },
})

/** Written out, not as a query: the venue takes the text apart itself. */
const REGISTRATION: Expression = [
  '@join',
  '&',
  (
    [
      ['user', ['@checksum', '$wallet']],
      ['nonce', '$nonce'],
      ['agentName', '$params.label'],
      ['agentAddress', ['@checksum', '$session.address']],
      ['expired', '$expireMs'],
      ['signatureChainId', 56],
      ['canSpotTrade', ['@or', '$params.spot', false]],
      ['canPerpTrade', ['@or', '$params.perp', true]],
      // A key that withdraws is not made here.
      ['canWithdraw', false],
      ['ipWhitelist', ['@or', '$params.ip', '']],
    ] as readonly (readonly [string, Expression])[]
  ).map(([name, value]): Expression => ['@join', '=', [name, value]]),
]

const DAY_MS = 86_400_000
const BYTE = '(?:25[0-5]|2[0-4][0-9]|1[0-9]{2}|[1-9]?[0-9])'

export const ASTER: Profile = {
  id: 'aster',
  version: 1,
  title: 'Aster',
  networks: {
    mainnet: { requestChainId: 1666, chain: 'Mainnet', rest: 'https://fapi.asterdex.com' },
    testnet: { requestChainId: 714, chain: 'Testnet', rest: 'https://fapi.asterdex-testnet.com' },
  },
  sessionKey: { curve: 'secp256k1', publicForm: 'address', maxLifeMs: 365 * DAY_MS },
  params: {
    label: text(32, '[A-Za-z0-9_-]{1,32}'),
    spot: { optional: BOOLEAN },
    perp: { optional: BOOLEAN },
    /** One IPv4 address. The venue is not agreed with itself on what separates several. */
    ip: { optional: text(15, `${BYTE}(?:\\.${BYTE}){3}`) },
  },
  nonce: { style: 'clock', unit: 'us', rule: 'unique', backMs: 10_000, aheadMs: 10_000 },
  enforcedBy: { expiry: 'both', scope: 'both' },
  unsignedFields: [],
  actions: {
    order: {
      family: 'order',
      flow: 'post_order',
      shape: object(ORDER),
      rules: [
        {
          ok: ['@eq', ['@has', '$action.price'], ['@isIn', '$action.type', TYPES_WITH_PRICE]],
          path: 'price',
          why: 'is given for the order types that have a price, and for no other',
        },
      ],
      legs: { one: LEG },
    },
    cancel: {
      family: 'cancel_order',
      flow: 'delete_order',
      shape: object({ symbol: SYMBOL, orderId: { optional: ORDER_ID }, origClientOrderId: { optional: CLIENT_ID } }),
      rules: [
        {
          ok: ['@not', ['@eq', ['@has', '$action.orderId'], ['@has', '$action.origClientOrderId']]],
          path: 'orderId',
          why: 'and origClientOrderId: exactly one of them is given',
        },
      ],
      legs: { one: { market: '$action.symbol' } },
    },
    cancelAll: {
      family: 'cancel_all',
      flow: 'delete_orders',
      shape: object({ symbol: SYMBOL }),
      legs: { one: { market: '$action.symbol' } },
    },
    leverage: {
      family: 'leverage',
      flow: 'post_leverage',
      shape: object({ symbol: SYMBOL, leverage: integer(1, 1001) }),
      legs: { one: { market: '$action.symbol' } },
    },
    read: {
      family: 'read',
      flow: 'get',
      shape: object({
        path: words('/fapi/v3/balance', '/fapi/v3/openOrders', '/fapi/v3/positionRisk', '/fapi/v3/account'),
        symbol: { optional: SYMBOL },
      }),
    },
  },
  flows: {
    register: {
      purpose: 'register',
      confidence: 'rule',
      let: [['text', REGISTRATION]],
      sign: [
        {
          by: 'wallet',
          scheme: 'eip712',
          domain: domain(56),
          types: { Message: 'string msg' },
          primaryType: 'Message',
          message: { msg: '$text' },
        },
      ],
      http: { method: 'POST', path: '/fapi/v3/registerAndApproveAgent', headers: FORM, body: SIGNED_TEXT },
    },
    revoke: {
      purpose: 'revoke',
      confidence: 'rule',
      sign: [
        {
          by: 'wallet',
          scheme: 'eip712',
          domain: domain(56),
          types: { DelAgent: 'string AgentAddress,string AsterChain,string User,uint256 Nonce' },
          primaryType: 'DelAgent',
          message: {
            AgentAddress: ['@checksum', '$session.address'],
            AsterChain: '$net.chain',
            User: ['@checksum', '$wallet'],
            Nonce: '$nonce',
          },
        },
      ],
      http: {
        method: 'DELETE',
        path: '/fapi/v3/agent',
        headers: FORM,
        body: [
          '@qs',
          {
            agentAddress: ['@checksum', '$session.address'],
            asterChain: '$net.chain',
            user: ['@checksum', '$wallet'],
            nonce: '$nonce',
            signature: '$sig.hex',
            signatureChainId: 56,
          },
        ],
      },
    },
    post_order: request('action', 'POST', '/fapi/v3/order', '$action'),
    delete_order: request('action', 'DELETE', '/fapi/v3/order', '$action'),
    delete_orders: request('action', 'DELETE', '/fapi/v3/allOpenOrders', '$action'),
    post_leverage: request('action', 'POST', '/fapi/v3/leverage', '$action'),
    get: request('action', 'GET', '$action.path', { symbol: '$action.symbol' }),
    keys: request('query', 'GET', '/fapi/v3/agent', {}),
  },
  selfTest: ASTER_SELF_TEST,
}
