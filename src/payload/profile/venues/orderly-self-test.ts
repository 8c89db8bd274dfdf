import type { SelfTest } from '../profile.ts'

/** Known answers: published by OrderlyNetwork/contract-evm, or equal to those of its SDK and of ccxt run beside. */

const WALLET = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'
const KEY = '0x79b5562e8fe654f94078b112e8a98ba7901f853ae695bed7e0e3910bad049664'
const PARAMETERS = { brokerId: 'woofi_dex', chainId: 42161 }
const ORDER =
  '{"order_price":"1521.03","order_quantity":"2.11","order_tag":"X","order_type":"LIMIT","side":"BUY","symbol":"PERP_ETH_USDC"}'
const ORDER_SIGNATURE =
  '0xf2d3960b7efabf7e1e0b3f8e01fcfbca04143c843a2555936346aab727e657fd' +
  'b78430000bbc9a251aa17356b73608d43293a6f5b35edb1735d8d087df30c201'

export const ORDERLY_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'Registration',
    flow: 'register_account',
    request: {
      network: 'mainnet',
      parameters: PARAMETERS,
      input: { registrationNonce: '194528949540' },
      walletAddress: WALLET,
      timeMs: 1790000000000,
    },
    signs: ['0xcf57780bd093736132690e4cc88d7ff15542eace4ec0642b32d20eedc2d17943'],
  },
  {
    name: 'AddOrderlyKey, read and trading for 30 days',
    flow: 'register',
    request: {
      network: 'mainnet',
      parameters: PARAMETERS,
      walletAddress: WALLET,
      sessionPublicKey: KEY,
      scopes: ['read', 'order', 'cancel_order'],
      timeMs: 1790000000000,
      expireTimeMs: 1792592000000,
    },
    signs: ['0x8530dd829a36b4d2674edb29b7df98e484a1dc40f050734ce5e4e9524282c68f'],
  },
  {
    name: 'POST /v1/order',
    flow: 'post_order',
    request: {
      network: 'mainnet',
      parameters: PARAMETERS,
      family: 'order',
      action: ORDER,
      walletAddress: '0xc7ef8C0853CCB92232Aa158b2AF3e364f1BaE9a1',
      sessionPublicKey: KEY,
      timeMs: 1790000000000,
    },
    signs: [`1790000000000POST/v1/order${ORDER}`],
    signatures: [ORDER_SIGNATURE],
    body: ORDER,
    headers: {
      'orderly-account-id': '0x6b97733ca568eddf2559232fa831f8de390a76d4f29a2962c3a9d0020383f7e3',
      'orderly-key': 'ed25519:9C6hybhQ6Aycep9jaUnP6uL9ZYvDjUp1aSkFWPUFJtpj',
      'orderly-signature': '8tOWC376v34eCz-OAfz7ygQUPIQ6JVWTY0aqtyfmV_23hDAAC7yaJRqhc1a3NgjUMpOm9bNe2xc12NCH3zDCAQ',
    },
  },
]
