import type { Expression } from '../expression.ts'
import type { Flow, LegSpec, Profile, SignSpec } from '../profile.ts'
import type { Members } from '../shape.ts'
import { GRVT_SELF_TEST } from './grvt-self-test.ts'
import { ADDRESS, BOOLEAN, big, integer, list, object, positive, text, unsigned, words } from './shapes.ts'

/**
 * GRVT. The wallet adds a session key as a signer through a builder account, which gives an API key in the same answer;
 * that logs in for a cookie; each order is signed besides. Cancels and queries are not signed: the cookie alone carries
 * them, so they are no actions here.
 *
 * An order signs the asset's number and the size in its smallest unit. Which instrument has which number and unit is fixed
 * with the key (`instruments`): an order that could bring its own would have its size read in one unit and signed in
 * another.
 *
 * Known from: gravity-technologies/grvt-pysdk. The registration follows gravity-technologies/builder-examples, whose fee
 * scale is a guess of its author: try it on the test network first.
 */

const UNITS = Object.fromEntries(Array.from({ length: 10 }, (_, decimals) => [String(decimals), 10 ** decimals]))
const BILLION = 1_000_000_000

const LEG_SHAPE = object({
  instrument: text(48, '[A-Za-z0-9_.-]{1,48}'),
  size: positive(18, 9),
  limit_price: unsigned(18, 9),
  is_buying_asset: BOOLEAN,
})

const ORDER: Members = {
  is_market: BOOLEAN,
  time_in_force: words('GOOD_TILL_TIME', 'ALL_OR_NONE', 'IMMEDIATE_OR_CANCEL', 'FILL_OR_KILL'),
  post_only: BOOLEAN,
  reduce_only: BOOLEAN,
  legs: list(LEG_SHAPE, 1, 10),
  /** Unix nanoseconds. */
  expiration: { optional: big(63, 1) },
  client_order_id: { optional: big(64) },
}

/** A field of the one instrument that `$leg` names, as text; nothing where there is none, and two run together. */
const instrument = (field: Expression): Expression => [
  '@join',
  '',
  [
    '@each',
    'instrument',
    '$params.instruments',
    ['@when', ['@eq', '$instrument.name', '$leg.instrument'], ['@str', field]],
  ],
]

const UNIT = instrument(['@map', UNITS, ['@str', '$instrument.baseDecimals']])
/** The size in units, still times 10^9. */
const SCALED: Expression = ['@mul', ['@scale', 9, 'exact', '$leg.size'], UNIT]
const CONTRACT_SIZE: Expression = ['@div', SCALED, BILLION]

const everyLeg = (holds: Expression): Expression => [
  '@not',
  ['@isIn', false, ['@each', 'leg', '$action.legs', holds]],
]

const ORDER_RULES: NonNullable<Profile['actions'][string]['rules']> = [
  {
    ok: everyLeg(['@eq', instrument('$instrument.name'), '$leg.instrument']),
    path: 'legs',
    why: 'names an instrument that the session key was not made for',
  },
  {
    ok: everyLeg(['@eq', ['@mul', CONTRACT_SIZE, BILLION], SCALED]),
    path: 'legs',
    why: 'has a size with more decimal places than its instrument',
  },
]

const LEG: LegSpec = {
  market: '$leg.instrument',
  side: ['@when', '$leg.is_buying_asset', 'buy', 'sell'],
  size: '$leg.size',
  price: ['@when', ['@not', '$action.is_market'], '$leg.limit_price'],
  reduceOnly: '$action.reduce_only',
}

const DOMAIN: Expression = { name: 'GRVT Exchange', version: '0', chainId: '$net.chainId' }
const TIME_IN_FORCE = { GOOD_TILL_TIME: 1, ALL_OR_NONE: 2, IMMEDIATE_OR_CANCEL: 3, FILL_OR_KILL: 4 }
const DAY_MS = 86_400_000

/** Nanoseconds; a day where nothing is said. The venue takes 30 days at most. */
const ends = (given?: Expression): Expression => {
  const times = ['@mul', ['@or', '$notAfterMs', ['@add', '$timeMs', DAY_MS]], 1_000_000]
  return given === undefined ? times : ['@or', given, times]
}

const ORDER_FIELDS = 'uint64 subAccountID,bool isMarket,uint8 timeInForce,bool postOnly,bool reduceOnly,OrderLeg[] legs'
const LEG_FIELDS = 'uint256 assetID,uint64 contractSize,uint64 limitPrice,bool isBuyingContract'
const NONCE_FIELDS = 'uint32 nonce,int64 expiration'

const FEE: Expression = ['@scale', 4, 'exact', ['@or', '$params.builderFee', '0']]

const signOrder = (type: string, builder: { readonly [field: string]: Expression }): SignSpec => ({
  by: 'session',
  scheme: 'eip712',
  domain: DOMAIN,
  types: {
    [type]: [ORDER_FIELDS, ...('builder' in builder ? ['address builder,uint32 builderFee'] : []), NONCE_FIELDS].join(','),
    OrderLeg: LEG_FIELDS,
  },
  primaryType: type,
  message: {
    subAccountID: '$params.subAccountId',
    isMarket: '$action.is_market',
    timeInForce: ['@map', TIME_IN_FORCE, '$action.time_in_force'],
    postOnly: '$action.post_only',
    reduceOnly: '$action.reduce_only',
    legs: [
      '@each',
      'leg',
      '$action.legs',
      {
        assetID: instrument('$instrument.assetId'),
        contractSize: CONTRACT_SIZE,
        limitPrice: ['@scale', 9, 'exact', '$leg.limit_price'],
        isBuyingContract: '$leg.is_buying_asset',
      },
    ],
    ...builder,
    nonce: '$nonce',
    expiration: '$end',
  },
})

const signature = (signer: Expression): Expression => ({
  signer,
  r: '$sig.r',
  s: '$sig.s',
  v: '$sig.v',
  expiration: ['@str', '$end'],
  nonce: '$nonce',
})

/** Of the login; without it the request has none, and the caller puts it there. */
const LOGGED_IN: { readonly [name: string]: Expression } = {
  'content-type': 'application/json',
  cookie: ['@when', '$cred.cookie', ['@join', '=', ['gravity', '$cred.cookie']]],
  'x-grvt-account-id': '$cred.accountId',
}

const orderFlow = (type: string, builder: { readonly [field: string]: Expression }): Flow => ({
  purpose: 'action',
  confidence: 'published',
  let: [['end', ends('$action.expiration')]],
  sign: [signOrder(type, builder)],
  http: {
    method: 'POST',
    path: '/full/v1/create_order',
    headers: LOGGED_IN,
    body: {
      order: {
        sub_account_id: ['@str', '$params.subAccountId'],
        is_market: '$action.is_market',
        time_in_force: '$action.time_in_force',
        post_only: '$action.post_only',
        reduce_only: '$action.reduce_only',
        legs: '$action.legs',
        ...('builder' in builder ? { builder: '$params.builder', builder_fee: ['@or', '$params.builderFee', '0'] } : {}),
        signature: signature('$session.address'),
        metadata: { client_order_id: ['@str', ['@or', '$action.client_order_id', '$nonce']] },
      },
    },
  },
})

const TRANSFER: Members = {
  from_account_id: ADDRESS,
  from_sub_account_id: big(64),
  to_account_id: ADDRESS,
  to_sub_account_id: big(64),
  currency: words('USDT'),
  num_tokens: positive(12, 6),
  /** Unix nanoseconds. */
  expiration: { optional: big(63, 1) },
}

const TRANSFER_FLOW: Flow = {
  purpose: 'action',
  confidence: 'published',
  let: [['end', ends('$action.expiration')]],
  sign: [
    {
      by: 'session',
      scheme: 'eip712',
      domain: DOMAIN,
      types: {
        Transfer: `address fromAccount,uint64 fromSubAccount,address toAccount,uint64 toSubAccount,uint8 tokenCurrency,uint64 numTokens,${NONCE_FIELDS}`,
      },
      primaryType: 'Transfer',
      message: {
        fromAccount: '$action.from_account_id',
        fromSubAccount: '$action.from_sub_account_id',
        toAccount: '$action.to_account_id',
        toSubAccount: '$action.to_sub_account_id',
        tokenCurrency: ['@map', { USDT: 3 }, '$action.currency'],
        numTokens: ['@scale', 6, 'exact', '$action.num_tokens'],
        nonce: '$nonce',
        expiration: '$end',
      },
    },
  ],
  http: {
    method: 'POST',
    path: '/full/v1/transfer',
    headers: LOGGED_IN,
    body: {
      from_account_id: '$action.from_account_id',
      from_sub_account_id: ['@str', '$action.from_sub_account_id'],
      to_account_id: '$action.to_account_id',
      to_sub_account_id: ['@str', '$action.to_sub_account_id'],
      currency: '$action.currency',
      num_tokens: '$action.num_tokens',
      signature: signature('$session.address'),
    },
  },
}

const rate = (parameter: string): Expression => ['@scale', 4, 'exact', ['@or', parameter, '0']]

const REGISTER: Flow = {
  purpose: 'register',
  confidence: 'rule',
  let: [
    ['end', ends()],
    ['permissions', ['@join', ',', '$scopes']],
  ],
  sign: [
    {
      by: 'wallet',
      scheme: 'eip712',
      domain: DOMAIN,
      types: {
        AddAccountSignerWithBuilder: `address accountID,address signer,string permissions,address builderAccountID,uint32 maxFutureFeeRate,uint32 maxSpotFeeRate,${NONCE_FIELDS}`,
      },
      primaryType: 'AddAccountSignerWithBuilder',
      message: {
        accountID: '$wallet',
        signer: '$session.address',
        permissions: '$permissions',
        builderAccountID: '$params.builder',
        maxFutureFeeRate: rate('$params.maxFuturesFeeRate'),
        maxSpotFeeRate: rate('$params.maxSpotFeeRate'),
        nonce: '$nonce',
        expiration: '$end',
      },
    },
  ],
  // At the edge host, not at the one for trading.
  http: {
    method: 'POST',
    path: '/auth/builder/authorize',
    headers: { 'content-type': 'application/json' },
    body: {
      main_account_id: '$wallet',
      builder_account_id: '$params.builder',
      max_futures_fee_rate: ['@or', '$params.maxFuturesFeeRate', '0'],
      max_spot_fee_rate: ['@or', '$params.maxSpotFeeRate', '0'],
      signature: {
        signer: '$wallet',
        r: '$sig.r',
        s: '$sig.s',
        v: '$sig.v',
        expiration: ['@str', '$end'],
        nonce: '$nonce',
        chain_id: ['@str', '$net.chainId'],
      },
      builder_api_key_label: '$params.label',
      builder_api_key_signer: '$session.address',
      builder_api_key_permissions: '$permissions',
    },
  },
  answer: { apiKey: 'api_key' },
}

const INSTRUMENT = object({
  name: text(48, '[A-Za-z0-9_.-]{1,48}'),
  /** The venue's instrument_hash as a number. */
  assetId: big(256, 1),
  baseDecimals: integer(0, 9),
})

const RATE = unsigned(1, 4)

export const GRVT: Profile = {
  id: 'grvt',
  version: 1,
  title: 'GRVT',
  networks: {
    mainnet: { chainId: 325, rest: 'https://trades.grvt.io' },
    testnet: { chainId: 326, rest: 'https://trades.testnet.grvt.io' },
    dev: { chainId: 327, rest: 'https://trades.dev.gravitymarkets.io' },
  },
  // The key itself has no end at the venue; a signature has 30 days.
  sessionKey: { curve: 'secp256k1', publicForm: 'address' },
  params: {
    subAccountId: big(64, 1),
    instruments: list(INSTRUMENT, 1, 64),
    builder: ADDRESS,
    builderFee: { optional: RATE },
    maxFuturesFeeRate: { optional: RATE },
    maxSpotFeeRate: { optional: RATE },
    label: text(32, '[A-Za-z0-9_-]{1,32}'),
  },
  credentials: {
    apiKey: { optional: text(256, '[\\x21-\\x7e]{1,256}') },
    cookie: { optional: text(1024, '[\\x21\\x23-\\x2b\\x2d-\\x3a\\x3c-\\x5b\\x5d-\\x7e]{1,1024}') },
    accountId: { optional: text(64, '[A-Za-z0-9_-]{1,64}') },
  },
  nonce: { style: 'random', bits: 32 },
  enforcedBy: { expiry: 'daemon', scope: 'both' },
  unsignedFields: ['metadata'],
  scopeCodes: { order: 'Trade', unrestricted: 'Trade', transfer: 'Transfer' },
  tag: 'type',
  actions: {
    order: {
      family: 'order',
      flow: 'order',
      shape: object({ type: { kind: 'constant', value: 'order' }, ...ORDER }),
      rules: ORDER_RULES,
      legs: { each: '$action.legs', leg: LEG },
    },
    /** With the fee of the builder that the key was registered through. */
    builder_order: {
      family: 'order',
      flow: 'builder_order',
      shape: object({ type: { kind: 'constant', value: 'builder_order' }, ...ORDER }),
      rules: ORDER_RULES,
      legs: { each: '$action.legs', leg: LEG },
    },
    transfer: {
      family: 'transfer',
      flow: 'transfer',
      shape: object({ type: { kind: 'constant', value: 'transfer' }, ...TRANSFER }),
    },
  },
  flows: {
    register: REGISTER,
    login: {
      purpose: 'auth',
      confidence: 'published',
      sign: [],
      // At the edge host. The answer's cookie and header are the credentials `cookie` and `accountId`.
      http: {
        method: 'POST',
        path: '/auth/api_key/login',
        headers: { 'content-type': 'application/json', cookie: 'rm=true;' },
        body: { api_key: '$cred.apiKey' },
      },
    },
    order: orderFlow('Order', {}),
    builder_order: orderFlow('OrderWithBuilderFee', { builder: '$params.builder', builderFee: FEE }),
    transfer: TRANSFER_FLOW,
  },
  selfTest: GRVT_SELF_TEST,
}
