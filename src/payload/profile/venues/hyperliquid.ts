import type { Expression } from '../expression.ts'
import type { Flow, Profile } from '../profile.ts'
import type { Members, Shape } from '../shape.ts'
import { HYPERLIQUID_ACTIONS, PRICE, TOKEN } from './hyperliquid-actions.ts'
import { HYPERLIQUID_SELF_TEST } from './hyperliquid-self-test.ts'
import { ADDRESS, BOOLEAN } from './shapes.ts'

/**
 * Hyperliquid. A session key is an API wallet ("agent") that the account approves with one EIP-712 signature; it signs
 * L1 actions, whose MessagePack is hashed into a phantom agent. The venue knows no scopes and is lax about expiry, so
 * the daemon alone keeps a key to both. Transfers out of the account are signed by the wallet only, as everything the
 * venue calls user-signed.
 *
 * Known from: hyperliquid-dex/hyperliquid-python-sdk, nktkas/hyperliquid and captures of the live testnet.
 */

const ZERO_ADDRESS = '0x0000000000000000000000000000000000000000'

/** keccak256(MessagePack(action) ‖ nonce ‖ vault marker ‖ expiry marker). */
const connectionId = (wire: Expression): Expression => [
  '@keccak',
  [
    '@cat',
    ['@msgpack', wire],
    ['@u', 8, '$nonce'],
    ['@when', '$params.vaultAddress', ['@cat', '0x01', '$params.vaultAddress'], '0x00'],
    ['@when', '$notAfterMs', ['@cat', '0x00', ['@u', 8, '$notAfterMs']], '0x'],
  ],
]

const SIGNATURE: Expression = { r: '$sig.r', s: '$sig.s', v: '$sig.v' }

const l1Flow = (wire: Expression): Flow => ({
  purpose: 'action',
  confidence: 'published',
  let: [
    ['wire', wire],
    ['connectionId', connectionId('$wire')],
  ],
  sign: [
    {
      by: 'session',
      scheme: 'eip712',
      domain: { name: 'Exchange', version: '1', chainId: 1337, verifyingContract: ZERO_ADDRESS },
      types: { Agent: 'string source,bytes32 connectionId' },
      primaryType: 'Agent',
      message: { source: '$net.source', connectionId: '$connectionId' },
    },
  ],
  http: {
    method: 'POST',
    path: '/exchange',
    headers: { 'content-type': 'application/json' },
    body: {
      action: '$wire',
      nonce: '$nonce',
      signature: SIGNATURE,
      vaultAddress: '$params.vaultAddress',
      expiresAfter: '$notAfterMs',
    },
  },
})

/** The venue takes any chain id, hex in the action and a number in the domain. */
const CHAIN_ID: Expression = ['@or', '$params.signatureChainId', '0x66eee']

const userFlow = (options: {
  readonly purpose: Flow['purpose']
  readonly confidence: Flow['confidence']
  readonly input?: Members
  readonly name: string
  readonly fields: string
  readonly message: { readonly [field: string]: Expression }
  readonly posted: { readonly [field: string]: Expression }
}): Flow => ({
  purpose: options.purpose,
  confidence: options.confidence,
  ...(options.input === undefined ? {} : { input: options.input }),
  sign: [
    {
      by: 'wallet',
      scheme: 'eip712',
      domain: {
        name: 'HyperliquidSignTransaction',
        version: '1',
        chainId: ['@big', CHAIN_ID],
        verifyingContract: ZERO_ADDRESS,
      },
      types: { [`HyperliquidTransaction:${options.name}`]: `string hyperliquidChain,${options.fields}` },
      primaryType: `HyperliquidTransaction:${options.name}`,
      message: { hyperliquidChain: '$net.chain', ...options.message },
    },
  ],
  http: {
    method: 'POST',
    path: '/exchange',
    headers: { 'content-type': 'application/json' },
    body: {
      action: { ...options.posted },
      nonce: '$nonce',
      signature: SIGNATURE,
    },
  },
})

/** `name valid_until <ms>`: the suffix is how the venue is told when a named key ends. */
const AGENT_NAME: Expression = [
  '@when',
  '$params.label',
  ['@join', '', ['$params.label', ['@when', '$expireMs', ['@join', '', [' valid_until ', '$expireMs']]]]],
  '',
]

const approveAgent = (purpose: 'register' | 'revoke', agentAddress: Expression, agentName: Expression): Flow =>
  userFlow({
    purpose,
    confidence: purpose === 'register' ? 'sdk' : 'published',
    name: 'ApproveAgent',
    fields: 'address agentAddress,string agentName,uint64 nonce',
    message: { agentAddress, agentName, nonce: '$nonce' },
    posted: {
      type: 'approveAgent',
      signatureChainId: CHAIN_ID,
      hyperliquidChain: '$net.chain',
      agentAddress,
      // A key without a name signs the empty one and posts none.
      agentName: ['@when', '$params.label', agentName],
      nonce: '$nonce',
    },
  })

const PERCENT: Shape = { kind: 'text', max: 10, pattern: '(?:0|[1-9][0-9]?)(?:\\.[0-9]{1,4})?%' }

type Fields = readonly (readonly [field: string, type: string, shape: Shape])[]

const DESTINATION_AND_AMOUNT: Fields = [
  ['destination', 'string', ADDRESS],
  ['amount', 'string', PRICE],
]

/** A user-signed action whose posted form has the signed fields: `<field>` of the input, then `time` or `nonce`. */
const walletAction = (
  type: string,
  name: string,
  fields: Fields,
  stamp: 'time' | 'nonce',
): Flow => {
  const message = Object.fromEntries(fields.map(([field]) => [field, `$input.${field}`]))
  return userFlow({
    purpose: 'wallet_action',
    confidence: 'published',
    input: Object.fromEntries(fields.map(([field, , shape]) => [field, shape])),
    name,
    fields: [...fields.map(([field, solidity]) => `${solidity} ${field}`), `uint64 ${stamp}`].join(','),
    message: { ...message, [stamp]: '$nonce' },
    posted: { type, signatureChainId: CHAIN_ID, hyperliquidChain: '$net.chain', ...message, [stamp]: '$nonce' },
  })
}

const DAY_MS = 86_400_000

export const HYPERLIQUID: Profile = {
  id: 'hyperliquid',
  version: 1,
  title: 'Hyperliquid',
  networks: {
    mainnet: { chain: 'Mainnet', source: 'a', rest: 'https://api.hyperliquid.xyz' },
    testnet: { chain: 'Testnet', source: 'b', rest: 'https://api.hyperliquid-testnet.xyz' },
  },
  // A pruned agent's nonces can be replayed, and the venue refuses a key it has seen: always a new one.
  sessionKey: { curve: 'secp256k1', publicForm: 'address', maxLifeMs: 180 * DAY_MS, singleUse: true },
  params: {
    // No space: ` valid_until ` in a label would be read as an expiry.
    label: { optional: { kind: 'text', max: 16, pattern: '[A-Za-z0-9_.-]{1,16}' } },
    vaultAddress: { optional: ADDRESS },
    builder: { optional: ADDRESS },
    signatureChainId: { optional: { kind: 'text', max: 10, pattern: '0x[1-9a-f][0-9a-f]{0,7}' } },
  },
  nonce: { style: 'clock', unit: 'ms', rule: 'unique', backMs: 2 * DAY_MS, aheadMs: DAY_MS },
  enforcedBy: { expiry: 'daemon', scope: 'daemon' },
  unsignedFields: [],
  tag: 'type',
  actions: HYPERLIQUID_ACTIONS,
  flows: {
    register: approveAgent('register', '$session.address', AGENT_NAME),
    revoke: approveAgent('revoke', ZERO_ADDRESS, ['@or', '$params.label', '']),
    l1: l1Flow('$action'),
    // The venue wants the nonce in the action too.
    l1_stamped: l1Flow(['@with', '$action', { nonce: '$nonce' }]),
    usd_send: walletAction('usdSend', 'UsdSend', DESTINATION_AND_AMOUNT, 'time'),
    withdraw: walletAction('withdraw3', 'Withdraw', DESTINATION_AND_AMOUNT, 'time'),
    spot_send: walletAction(
      'spotSend',
      'SpotSend',
      [['destination', 'string', ADDRESS], ['token', 'string', TOKEN], ['amount', 'string', PRICE]],
      'time',
    ),
    usd_class_transfer: walletAction(
      'usdClassTransfer',
      'UsdClassTransfer',
      [['amount', 'string', PRICE], ['toPerp', 'bool', BOOLEAN]],
      'nonce',
    ),
    approve_builder_fee: walletAction(
      'approveBuilderFee',
      'ApproveBuilderFee',
      [['maxFeeRate', 'string', PERCENT], ['builder', 'address', ADDRESS]],
      'nonce',
    ),
    keys: {
      purpose: 'query',
      confidence: 'published',
      sign: [],
      http: {
        method: 'POST',
        path: '/info',
        headers: { 'content-type': 'application/json' },
        body: { type: 'extraAgents', user: '$wallet' },
      },
    },
  },
  selfTest: HYPERLIQUID_SELF_TEST,
}
