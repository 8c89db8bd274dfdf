import type { Expression } from '../expression.ts'
import type { Flow, LegSpec, Profile, SelfTest } from '../profile.ts'
import type { Members, Shape } from '../shape.ts'
import { object } from './shapes.ts'

/**
 * DerivaDEX. The wallet signs a delegated payload — session key, expiry, scope — and every request of the session key
 * carries it; there is nothing to register. The typed data of orders and cancels is documented. That of the payload and
 * its bytes are not published: what stands here is our own, so every flow is marked `rule`, and a profile with the
 * venue's own struct and layout takes its place without a change of code.
 *
 * A signed action is the plaintext request; the caller encrypts it to the operator's key before it is sent.
 */

const SYMBOL: Shape = { kind: 'text', max: 31, pattern: '[A-Z0-9]{1,31}' }
const STRATEGY: Shape = { kind: 'text', max: 31, pattern: '[A-Za-z0-9_-]{1,31}' }
const AMOUNT: Shape = { kind: 'decimal', digits: 30, places: 6, range: 'unsigned' }
const SIZE: Shape = { kind: 'decimal', digits: 30, places: 6, range: 'positive' }
const ORDER_HASH: Shape = { kind: 'hex', bytes: 25 }

const ORDER: Members = {
  symbol: SYMBOL,
  strategy: STRATEGY,
  side: { kind: 'word', of: ['Bid', 'Ask'] },
  orderType: { kind: 'word', of: ['Limit', 'Market', 'Stop'] },
  amount: SIZE,
  price: AMOUNT,
  stopPrice: AMOUNT,
}

/** Text as 32 bytes: its length in one byte, then its UTF-8, then zeros. */
const word = (text: string): Expression => ['@padr', 32, ['@cat', ['@u', 1, ['@len', ['@utf8', text]]], ['@utf8', text]]]

const micros = (amount: string): Expression => ['@scale', 6, 'exact', amount]
const NONCE: Expression = ['@u', 32, '$nonce']
const PADDED_HASH: Expression = ['@hex', ['@padr', 32, '$action.orderHash']]

const ORDER_TYPE =
  'bytes32 symbol,bytes32 strategy,uint256 side,uint256 orderType,bytes32 nonce,uint256 amount,uint256 price,uint256 stopPrice'

const ORDER_MESSAGE: { readonly [field: string]: Expression } = {
  symbol: word('$action.symbol'),
  strategy: word('$action.strategy'),
  side: ['@map', { Bid: 0, Ask: 1 }, '$action.side'],
  orderType: ['@map', { Limit: 0, Market: 1, Stop: 2 }, '$action.orderType'],
  nonce: NONCE,
  amount: micros('$action.amount'),
  price: micros('$action.price'),
  stopPrice: micros('$action.stopPrice'),
}

const ORDER_POSTED: { readonly [field: string]: Expression } = {
  symbol: '$action.symbol',
  strategy: '$action.strategy',
  side: '$action.side',
  orderType: '$action.orderType',
  nonce: ['@hex', NONCE],
  amount: '$action.amount',
  price: '$action.price',
  stopPrice: '$action.stopPrice',
}

const LEG: LegSpec = {
  market: '$action.symbol',
  side: ['@map', { Bid: 'buy', Ask: 'sell' }, '$action.side'],
  size: '$action.amount',
  // A market order has no price of its own.
  price: ['@when', ['@not', ['@eq', '$action.orderType', 'Market']], '$action.price'],
  trigger: ['@when', ['@not', ['@eq', '$action.stopPrice', '0']], '$action.stopPrice'],
}

const DOMAIN: Expression = {
  name: 'DerivaDEX',
  version: '1',
  chainId: '$net.chainId',
  verifyingContract: '$net.contract',
}

type Fields = { readonly [field: string]: Expression }

const request = (kind: string, type: string, fields: string, message: Fields, posted: Fields): Flow => ({
  purpose: 'action',
  confidence: 'rule',
  sign: [{ by: 'session', scheme: 'eip712', domain: DOMAIN, types: { [type]: fields }, primaryType: type, message }],
  signedAction: {
    t: kind,
    c: {
      ...posted,
      sessionKeySignature: '$kept.payload',
      signature: '$sig.hex',
      client_timestamp_ms: '$timeMs',
      recv_window_ms: ['@or', '$params.recvWindowMs', 5000],
    },
  },
})

const EXPIRY: Expression = ['@div', '$expireMs', 1000]
const ACTIONS: Expression = ['@sort', '$scopes']

const SELF_TEST: readonly SelfTest[] = [
  {
    name: 'order, Sepolia',
    flow: 'order',
    request: {
      network: 'sepolia',
      family: 'order',
      action:
        '{"symbol":"ETHP","strategy":"main","side":"Bid","orderType":"Limit","amount":"1","price":"2000","stopPrice":"0"}',
      nonce: 1,
    },
    signs: ['0x85f001f6e03aecf6dbcef6b06a4b654ced641608811ea34d03b72f4921f93df3'],
  },
  {
    name: 'delegated payload, Sepolia',
    flow: 'register',
    request: {
      network: 'sepolia',
      sessionPublicKey: '0x024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766',
      expireTimeMs: 1800000000000,
      scopes: ['cancel_order', 'order'],
    },
    signs: ['0x6652a52b9a201792f3a5b9ed9e5980b6341351bbb2aace042610c702aa082e90'],
    signatures: [`0x${'11'.repeat(32)}${'22'.repeat(32)}1b`],
    keep: {
      payload: `0x02${'11'.repeat(32)}${'22'.repeat(32)}1b000000006b49d200020103024d4b6cd1361032ca9bd2aeb9d900aa4d45d9ead80ac9423374c451a7254d0766`,
    },
  },
]

export const DERIVADEX: Profile = {
  id: 'derivadex',
  version: 1,
  title: 'DerivaDEX',
  networks: {
    mainnet: { chainId: 1, contract: '0x6fb8aa6fc6f27e591423009194529ae126660027' },
    sepolia: { chainId: 11155111, contract: '0x5d1a3b4181d3cad422f404f28e9e972d0ba4dad6' },
  },
  sessionKey: { curve: 'secp256k1', publicForm: 'compressed' },
  params: { recvWindowMs: { optional: { kind: 'integer', min: 100, max: 60_000 } } },
  nonce: { style: 'clock', unit: 'ms', rule: 'increasing', backMs: 5_000, aheadMs: 1_000 },
  enforcedBy: { expiry: 'both', scope: 'both' },
  unsignedFields: ['client_timestamp_ms', 'recv_window_ms'],
  scopeCodes: { unrestricted: 0, order: 1, modify_order: 2, cancel_order: 3, cancel_all: 4 },
  actions: {
    order: { family: 'order', flow: 'order', shape: object(ORDER), legs: { one: LEG } },
    modify: {
      family: 'modify_order',
      flow: 'modify_order',
      shape: object({ orderHash: ORDER_HASH, ...ORDER }),
      legs: { one: LEG },
    },
    cancel: {
      family: 'cancel_order',
      flow: 'cancel_order',
      shape: object({ symbol: SYMBOL, orderHash: ORDER_HASH }),
      legs: { one: { market: '$action.symbol' } },
    },
    cancelAll: {
      family: 'cancel_all',
      flow: 'cancel_all',
      shape: object({ symbol: SYMBOL, strategy: STRATEGY }),
      legs: { one: { market: '$action.symbol' } },
    },
  },
  flows: {
    register: {
      purpose: 'register',
      confidence: 'rule',
      sign: [
        {
          by: 'wallet',
          scheme: 'eip712',
          domain: DOMAIN,
          types: { SessionDelegation: 'bytes sessionPublicKey,uint64 expiry,uint8[] aclScope' },
          primaryType: 'SessionDelegation',
          message: { sessionPublicKey: '$session.publicKey', expiry: EXPIRY, aclScope: ACTIONS },
        },
      ],
      keep: {
        payload: [
          '@cat',
          '0x02',
          '$sig.bytes',
          ['@u', 8, EXPIRY],
          ['@u', 1, ['@len', ACTIONS]],
          ['@each', 'code', ACTIONS, ['@u', 1, '$code']],
          '$session.publicKey',
        ],
      },
    },
    order: request('Order', 'OrderParams', ORDER_TYPE, ORDER_MESSAGE, ORDER_POSTED),
    modify_order: request(
      'ModifyOrder',
      'ModifyOrderParams',
      `bytes32 orderHash,${ORDER_TYPE}`,
      { orderHash: PADDED_HASH, ...ORDER_MESSAGE },
      { orderHash: PADDED_HASH, ...ORDER_POSTED },
    ),
    cancel_order: request(
      'CancelOrder',
      'CancelOrderParams',
      'bytes32 symbol,bytes32 orderHash,bytes32 nonce',
      { symbol: word('$action.symbol'), orderHash: PADDED_HASH, nonce: NONCE },
      { symbol: '$action.symbol', orderHash: PADDED_HASH, nonce: ['@hex', NONCE] },
    ),
    cancel_all: request(
      'CancelAll',
      'CancelAllParams',
      'bytes32 symbol,bytes32 strategy,bytes32 nonce',
      { symbol: word('$action.symbol'), strategy: word('$action.strategy'), nonce: NONCE },
      { symbol: '$action.symbol', strategy: '$action.strategy', nonce: ['@hex', NONCE] },
    ),
  },
  payload: [
    { constant: '0x02' },
    { name: 'walletSignature', bytes: 65 },
    { name: 'expiry', uint: 8 },
    { name: 'actions', list: true },
    { name: 'sessionPublicKey', bytes: 33 },
  ],
  selfTest: SELF_TEST,
}
