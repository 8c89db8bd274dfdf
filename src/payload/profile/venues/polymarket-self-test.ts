import type { SelfTest } from '../profile.ts'

/**
 * Known answers: published by Polymarket/clob-client-v2 and py-clob-client-v2, by nautechsystems/nautilus_trader, and
 * fixtures of a client that were made with the venue's own library.
 */

const EOA = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'
const DEPOSIT_WALLET = '0x1111111111111111111111111111111111111111'
const TOKEN = '71321045679252212594626385532706912750332728571942532289631379312455583992563'
const BUY = {
  exchange: 'standard',
  salt: 123456789,
  tokenId: TOKEN,
  side: 'BUY',
  makerAmount: '100000000',
  takerAmount: '50000000',
  orderType: 'GTC',
}

export const POLYMARKET_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'ClobAuth, Amoy',
    flow: 'register',
    request: { network: 'amoy', input: { nonce: '23' }, walletAddress: EOA, timeMs: 10_000_000_000 },
    signs: ['0x8f442df8073c9cf2e36d7b20ca9d64d1a9352e982cc82a293b7de2df57920610'],
  },
  {
    name: 'V2 order of an EOA',
    flow: 'order',
    request: { network: 'polygon', input: BUY, walletAddress: EOA, timeMs: 1713398400000 },
    signs: ['0x32961c48ddac87ed3582f8e02097cd0eff4fcf80460306bd44b3710438dfa64c'],
  },
  {
    name: 'V2 order of a deposit wallet',
    flow: 'deposit_order',
    request: {
      network: 'polygon',
      parameters: { depositWallet: DEPOSIT_WALLET },
      input: { ...BUY, salt: 333333333 },
      walletAddress: EOA,
      timeMs: 1713398400000,
    },
    signs: ['0xa4be61b70eb9f7d45afa3d9b6f1fce962125c0a51ea0d09ea83fd2d0126d4bbe'],
  },
  {
    name: 'L2: what the secret signs',
    flow: 'cancel',
    request: {
      network: 'polygon',
      family: 'cancel_order',
      action: { orderID: `0x${'12'.repeat(32)}` },
      walletAddress: EOA,
      timeMs: 1_000_000_999,
      credentials: { apiKey: 'key', secret: 'AAAA', passphrase: 'pass' },
    },
    signs: [`1000000DELETE/order{"orderID":"0x${'12'.repeat(32)}"}`],
  },
]

const AUTHORISED = {
  network: 'polygon',
  parameters: { depositWallet: '0xBc0fF067b7740Eff76C1ca93c875Ba6B890d6B50' },
  walletAddress: EOA,
  sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
  timeMs: 1800000000000,
}

export const POLYMARKET_SESSION_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'authorizeSessionSigner',
    flow: 'register',
    request: { ...AUTHORISED, input: { nonce: '4' }, expireTimeMs: 1815534000000 },
    signs: ['0xba435e27bb0258e5a631d904cb28416f163aee1532901376b30e4939de58976b'],
  },
  {
    name: 'revokeSessionSigner',
    flow: 'revoke',
    request: { ...AUTHORISED, input: { nonce: '5' } },
    signs: ['0x2856c1f8a21239cb091f2ca96709a76ab97ce55ed49e653ed83809ee0a3cd24f'],
  },
  {
    name: 'V2 order of a session signer',
    flow: 'order',
    request: {
      network: 'polygon',
      parameters: { depositWallet: DEPOSIT_WALLET },
      family: 'order',
      action: { ...BUY, salt: 333333333 },
      walletAddress: EOA,
      sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
      timeMs: 1713398400000,
    },
    signs: ['0xa4be61b70eb9f7d45afa3d9b6f1fce962125c0a51ea0d09ea83fd2d0126d4bbe'],
  },
]
