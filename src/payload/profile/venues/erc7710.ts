import type { Expression } from '../expression.ts'
import type { Profile } from '../profile.ts'
import type { Shape } from '../shape.ts'

/**
 * A delegation of ERC-7710 as MetaMask's Delegation Framework 1.3.0 has it: the wallet, a smart account, lets a session
 * key act for it within caveats that contracts enforce. The session key then redeems it by transactions, which are not
 * actions of this profile. Every delegation ends: the caveat of a timestamp enforcer carries the key's expiry.
 */

const ADDRESS: Shape = { kind: 'address', write: 'checksum' }
const MANAGER = '0xdb9B1e94B5b69Df7e401DDbedE43491141047dB3'
const TIMESTAMP_ENFORCER = '0x1046bb45C8d673d4ea75321280DB34899413c069'
const ROOT_AUTHORITY = `0x${'ff'.repeat(32)}`

/** Not before: zero. Not after: when the key ends, in seconds. */
const UNTIL: Expression = ['@cat', ['@u', 16, 0], ['@u', 16, ['@div', '$expireMs', 1000]]]

const CAVEATS: Expression = [
  '@concat',
  [{ enforcer: '$params.timestampEnforcer', terms: ['@hex', UNTIL] }],
  [
    '@when',
    '$params.limitedCalls',
    [{ enforcer: '$params.limitedCalls.enforcer', terms: ['@hex', ['@u', 32, '$params.limitedCalls.limit']] }],
  ],
  '$params.caveats',
]

const SALT: Expression = ['@or', '$params.salt', 0]
const AUTHORITY: Expression = ['@or', '$params.authority', ROOT_AUTHORITY]

const TYPES = {
  Delegation: 'address delegate,address delegator,bytes32 authority,Caveat[] caveats,uint256 salt',
  Caveat: 'address enforcer,bytes terms',
}

export const ERC7710: Profile = {
  id: 'erc7710',
  version: 1,
  title: 'ERC-7710 delegation',
  networks: {
    mainnet: { chainId: 1, manager: MANAGER },
    optimism: { chainId: 10, manager: MANAGER },
    polygon: { chainId: 137, manager: MANAGER },
    base: { chainId: 8453, manager: MANAGER },
    arbitrum: { chainId: 42161, manager: MANAGER },
    linea: { chainId: 59144, manager: MANAGER },
    sepolia: { chainId: 11155111, manager: MANAGER },
  },
  sessionKey: { curve: 'secp256k1', publicForm: 'address' },
  params: {
    // The framework's own, at this address on every chain: any other contract might let a delegation go on for ever.
    timestampEnforcer: { kind: 'word', of: [TIMESTAMP_ENFORCER] },
    limitedCalls: {
      optional: {
        kind: 'object',
        members: { enforcer: ADDRESS, limit: { kind: 'integer', min: 1, max: Number.MAX_SAFE_INTEGER } },
      },
    },
    caveats: {
      optional: {
        kind: 'list',
        min: 0,
        max: 16,
        of: { kind: 'object', members: { enforcer: ADDRESS, terms: { kind: 'hex', max: 4096 } } },
      },
    },
    authority: { optional: { kind: 'hex', bytes: 32 } },
    salt: { optional: { kind: 'big', bits: 256 } },
  },
  nonce: { style: 'none', backMs: 0, aheadMs: 0 },
  enforcedBy: { expiry: 'venue', scope: 'venue' },
  unsignedFields: ['caveats[].args'],
  actions: {},
  flows: {
    register: {
      purpose: 'register',
      confidence: 'sdk',
      let: [
        [
          'delegation',
          { delegate: '$session.address', delegator: '$wallet', authority: AUTHORITY, caveats: CAVEATS, salt: SALT },
        ],
      ],
      sign: [
        {
          by: 'wallet',
          scheme: 'eip712',
          domain: {
            name: 'DelegationManager',
            version: '1',
            chainId: '$net.chainId',
            verifyingContract: '$net.manager',
          },
          types: TYPES,
          primaryType: 'Delegation',
          message: '$delegation',
        },
      ],
      signedAction: {
        delegate: ['@checksum', '$session.address'],
        delegator: ['@checksum', '$wallet'],
        authority: AUTHORITY,
        caveats: [
          '@each',
          'caveat',
          '$delegation.caveats',
          { enforcer: '$caveat.enforcer', terms: '$caveat.terms', args: '0x' },
        ],
        salt: ['@hex', ['@u', 32, SALT]],
        signature: '$sig.hex',
      },
      keep: { delegationHash: ['@structHash', TYPES, 'Delegation', '$delegation'] },
    },
  },
  selfTest: [
    {
      name: 'delegation until 2027, mainnet',
      flow: 'register',
      request: {
        network: 'mainnet',
        parameters: { timestampEnforcer: '0x1046bb45C8d673d4ea75321280DB34899413c069' },
        walletAddress: '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266',
        sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
        expireTimeMs: 1800000000000,
      },
      signs: ['0x0cf745a8ec7c7a25a48dbdcdd3a94e42b111dc9093063cd9d35fec550d4d9942'],
      signatures: [
        '0xad3fce0d46873cf38012f95b1dc8bf72f45e45146a940cc64fe700b2883c11e560e4dff40f3f27237cc40b76a4f26336b9ff27862a0b47927906909a2ccf16f61b',
      ],
      keep: { delegationHash: '0xdb346432adc6ce4f451812316c90a5d02506ccdf0ada3f4ffd9269abd6532835' },
    },
  ],
}
