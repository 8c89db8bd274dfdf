import type { Expression } from '../expression.ts'
import type { Bindings, Flow, LegSpec, Profile, SignSpec } from '../profile.ts'
import type { Members } from '../shape.ts'
import { DERIVE_SELF_TEST } from './derive-self-test.ts'
import { ADDRESS, BOOLEAN, big, integer, list, object, positive, text, unsigned, words } from './shapes.ts'

/**
 * Derive v3 (before: Lyra). Everything that moves something is one EIP-712 `Action` around the ABI bytes of a module:
 * the wallet registers a session key with its end, scopes and sub-accounts signed, and the key signs trades. Of an order
 * only what the module reads is signed: the asset by address and number, direction, limit price, amount and highest fee.
 * The rest (`unsignedFields`), reduce_only among it, binds nobody who holds the signature. So the market of a limit is
 * `<asset>:<sub id>` and no order counts as reducing.
 *
 * Cancels and queries carry no signature of their own but the key's over the time (X-DeriveSignature): whoever sees such
 * headers can send others under the key's scope until the key ends.
 *
 * Known from: derivexyz/derive-ts, derivexyz/derive-py.
 */

const PRICE = positive(18, 18)
const SUBACCOUNT = integer(1, Number.MAX_SAFE_INTEGER)
const INSTRUMENT = text(64, '[A-Z0-9]{1,16}(?:-[A-Z0-9_]{1,16}){0,3}')
const ORDER_ID = text(64, '[A-Za-z0-9-]{1,64}')

const ORDER: Members = {
  subaccount_id: SUBACCOUNT,
  instrument_name: INSTRUMENT,
  asset_address: ADDRESS,
  sub_id: big(256),
  direction: words('buy', 'sell'),
  limit_price: PRICE,
  amount: PRICE,
  max_fee: unsigned(18, 18),
  order_type: { optional: words('limit', 'market') },
  time_in_force: { optional: words('gtc', 'post_only', 'fok', 'ioc') },
  reduce_only: { optional: BOOLEAN },
  mmp: { optional: BOOLEAN },
  label: { optional: text(64, '[A-Za-z0-9_.:-]{1,64}') },
}

const OWN_SUBACCOUNT: NonNullable<Profile['actions'][string]['rules']> = [
  {
    ok: ['@isIn', '$action.subaccount_id', '$params.subaccountIds'],
    path: 'subaccount_id',
    why: 'is not a sub-account that the session key was made for',
  },
]

const LEG: LegSpec = {
  market: ['@join', ':', ['$action.asset_address', '$action.sub_id']],
  side: '$action.direction',
  size: '$action.amount',
  // Signed for market orders too: the worst price that they take.
  price: '$action.limit_price',
}

const MODULES = {
  trade: '0xB8D20c2B7a1Ad2EE33Bc50eF10876eD3035b5e7b',
  sessionKey: '0xe330CF64ff6EbF41699aad344Cb21d78db1D2bb6',
  withdrawal: '0x9d0E8f5b25384C7310CB8C6aE32C8fbeb645d083',
} as const

const DOMAIN: Expression = {
  name: 'Matching',
  version: '1.0',
  chainId: '$net.chainId',
  verifyingContract: '0xeB8d770ec18DB98Db922E9D83260A585b9F0DeAD',
}

/** Seconds. The venue wants five minutes at least. */
const SIGNATURE_END: Expression = ['@div', ['@or', '$notAfterMs', ['@add', '$timeMs', 600_000]], 1000]

const envelope = (by: 'wallet' | 'session', module: keyof typeof MODULES, subaccount: Expression): SignSpec => ({
  by,
  scheme: 'eip712',
  domain: DOMAIN,
  types: {
    Action:
      'uint256 subaccountId,uint256 nonce,address module,bytes data,uint256 expiry,address owner,address signer',
  },
  primaryType: 'Action',
  message: {
    subaccountId: subaccount,
    nonce: '$nonce',
    module: MODULES[module],
    data: '$data',
    expiry: SIGNATURE_END,
    owner: '$wallet',
    signer: by === 'wallet' ? '$wallet' : '$session.address',
  },
})

/** What the venue is told of the envelope. The nonce is beyond 2^53, so it is text. */
const SIGNED: { readonly [field: string]: Expression } = {
  nonce: ['@str', '$nonce'],
  signature: '$sig1.hex',
  signature_expiry_sec: SIGNATURE_END,
}

const e18 = (amount: Expression): Expression => ['@scale', 18, 'exact', amount]

const TRADE_DATA: Bindings = [
  [
    'data',
    [
      '@abi',
      'address,uint256,int256,int256,uint256,uint256,bool',
      '$action.asset_address',
      '$action.sub_id',
      e18('$action.limit_price'),
      e18('$action.amount'),
      e18('$action.max_fee'),
      '$action.subaccount_id',
      ['@eq', '$action.direction', 'buy'],
    ],
  ],
]

/**
 * Sent over a connection that is logged in: an order comes without the headers, so that its signature does not go about
 * with what serves for everything else.
 */
const trade = (more: { readonly [field: string]: Expression } = {}): Flow => ({
  purpose: 'action',
  confidence: 'published',
  let: TRADE_DATA,
  sign: [envelope('session', 'trade', '$action.subaccount_id')],
  signedAction: {
    subaccount_id: '$action.subaccount_id',
    instrument_name: '$action.instrument_name',
    direction: '$action.direction',
    limit_price: '$action.limit_price',
    amount: '$action.amount',
    max_fee: '$action.max_fee',
    ...SIGNED,
    signer: ['@checksum', '$session.address'],
    order_type: ['@or', '$action.order_type', 'limit'],
    time_in_force: '$action.time_in_force',
    reduce_only: '$action.reduce_only',
    mmp: '$action.mmp',
    label: '$action.label',
    ...more,
  },
})

const TIME: Expression = ['@str', '$timeMs']

const headers = (signature: string): { readonly [name: string]: Expression } => ({
  'X-DeriveWallet': ['@checksum', '$wallet'],
  'X-DeriveTimestamp': TIME,
  'X-DeriveSignature': signature,
})

const byHeaders = (purpose: Flow['purpose'], path: Expression, body: Expression): Flow => ({
  purpose,
  confidence: 'rule',
  sign: [{ by: 'session', scheme: 'eip191', message: TIME }],
  http: { method: 'POST', path, headers: { 'content-type': 'application/json', ...headers('$sig.hex') }, body },
})

const login = (by: 'wallet' | 'session'): Flow => ({
  purpose: 'auth',
  confidence: 'rule',
  sign: [{ by, scheme: 'eip191', message: TIME }],
  signedAction: { wallet: ['@checksum', '$wallet'], timestamp: TIME, signature: '$sig.hex' },
})

const SCOPE_NAMES = { 2: 'trade:all', 3: 'trade:orderbook:all' }

const REGISTER: Flow = {
  purpose: 'register',
  confidence: 'published',
  let: [
    ['end', ['@div', '$expireMs', 1000]],
    [
      'data',
      ['@abi', 'address,uint256,uint256[],uint256[]', '$session.address', '$end', '$scopes', '$params.subaccountIds'],
    ],
  ],
  sign: [envelope('wallet', 'sessionKey', 0), { by: 'wallet', scheme: 'eip191', message: TIME }],
  http: {
    method: 'POST',
    path: '/private/create_session_key',
    headers: { 'content-type': 'application/json', ...headers('$sig2.hex') },
    body: {
      wallet: ['@checksum', '$wallet'],
      public_session_key: ['@checksum', '$session.address'],
      expiry_sec: '$end',
      subaccount_ids: '$params.subaccountIds',
      ...SIGNED,
      signer: ['@checksum', '$wallet'],
      protocol_scopes: ['@each', 'code', '$scopes', ['@map', SCOPE_NAMES, '$code']],
      offchain_scopes: ['account_info'],
    },
  },
}

const WITHDRAW: Flow = {
  purpose: 'wallet_action',
  confidence: 'published',
  input: {
    subaccount_id: SUBACCOUNT,
    asset_address: ADDRESS,
    asset_name: text(16, '[A-Z0-9]{1,16}'),
    /** In the asset's own decimals, not 10^18. */
    amount: big(256, 1),
    amount_in_underlying: PRICE,
    max_fee_usd: unsigned(9, 18),
    recipient: ADDRESS,
    force_batch: BOOLEAN,
  },
  let: [
    [
      'data',
      [
        '@abi',
        'address,uint256,address,uint256,bool',
        '$input.asset_address',
        e18('$input.max_fee_usd'),
        '$input.recipient',
        '$input.amount',
        '$input.force_batch',
      ],
    ],
  ],
  sign: [envelope('wallet', 'withdrawal', '$input.subaccount_id')],
  signedAction: {
    subaccount_id: '$input.subaccount_id',
    asset_name: '$input.asset_name',
    amount_in_underlying: '$input.amount_in_underlying',
    max_fee_usd: '$input.max_fee_usd',
    force_batch: '$input.force_batch',
    recipient: ['@checksum', '$input.recipient'],
    ...SIGNED,
    signer: ['@checksum', '$wallet'],
  },
}

const DAY_MS = 86_400_000

export const DERIVE: Profile = {
  id: 'derive',
  version: 1,
  title: 'Derive v3',
  networks: {
    mainnet: { chainId: 1, rest: 'https://api.derive.xyz/v3' },
    testnet: { chainId: 11155111, rest: 'https://testnet.api.derive.xyz/v3' },
  },
  sessionKey: { curve: 'secp256k1', publicForm: 'address' },
  params: {
    /** An empty list would be every sub-account, those to come too. */
    subaccountIds: list(SUBACCOUNT, 1, 32),
  },
  nonce: { style: 'clock', unit: 'ns', rule: 'increasing', backMs: DAY_MS, aheadMs: 60_000 },
  enforcedBy: { expiry: 'both', scope: 'both' },
  unsignedFields: [
    'instrument_name',
    'order_type',
    'time_in_force',
    'reduce_only',
    'mmp',
    'label',
    'order_id_to_cancel',
    'offchain_scopes',
    'ip_whitelist',
    'every member of a cancel or a query',
  ],
  scopeCodes: { order: 3, modify_order: 3, cancel_order: 3, cancel_all: 3, unrestricted: 3, read: 3 },
  actions: {
    order: { family: 'order', flow: 'order', shape: object(ORDER), rules: OWN_SUBACCOUNT, legs: { one: LEG } },
    replace: {
      family: 'modify_order',
      flow: 'replace',
      shape: object({ order_id_to_cancel: ORDER_ID, ...ORDER }),
      rules: OWN_SUBACCOUNT,
      legs: { one: LEG },
    },
    cancel: {
      family: 'cancel_order',
      flow: 'cancel',
      shape: object({ subaccount_id: SUBACCOUNT, instrument_name: INSTRUMENT, order_id: ORDER_ID }),
      rules: OWN_SUBACCOUNT,
    },
    cancelAll: {
      family: 'cancel_all',
      flow: 'cancel_all',
      shape: object({ subaccount_id: SUBACCOUNT }),
      rules: OWN_SUBACCOUNT,
    },
    openOrders: {
      family: 'read',
      flow: 'open_orders',
      shape: object({ subaccount_id: SUBACCOUNT }),
      rules: OWN_SUBACCOUNT,
    },
  },
  flows: {
    register: REGISTER,
    order: trade(),
    replace: trade({ order_id_to_cancel: '$action.order_id_to_cancel' }),
    cancel: byHeaders('action', '/private/cancel', '$action'),
    cancel_all: byHeaders('action', '/private/cancel_all', '$action'),
    open_orders: byHeaders('action', '/private/get_open_orders', '$action'),
    login: login('session'),
    login_wallet: login('wallet'),
    keys: byHeaders('query', '/private/session_keys', { wallet: ['@checksum', '$wallet'] }),
    withdraw: WITHDRAW,
  },
  selfTest: DERIVE_SELF_TEST,
}
