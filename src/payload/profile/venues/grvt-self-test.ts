import type { SelfTest } from '../profile.ts'

/** Known answers: published by gravity-technologies/grvt-pysdk. */

const PARAMETERS = {
  subAccountId: '8289849667772468',
  instruments: [{ name: 'BTC_USDT_Perp', assetId: '197889', baseDecimals: 9 }],
  builder: '0xabc1230001230001230001230001230001230001',
  builderFee: '0.01',
  label: 'countersign',
}

const order = (type: string, size: string, limit_price: string): object => ({
  type,
  is_market: false,
  time_in_force: 'GOOD_TILL_TIME',
  post_only: false,
  reduce_only: false,
  legs: [{ instrument: 'BTC_USDT_Perp', size, limit_price, is_buying_asset: false }],
  expiration: '1730800479321350000',
})

const COMMON = { network: 'testnet', parameters: PARAMETERS, nonce: 828700936, family: 'order' }

export const GRVT_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'order with 3 decimals',
    flow: 'order',
    request: { ...COMMON, action: order('order', '1.013', '68900.5') },
    signs: ['0x03cb7ca7b353969ab2c00ff92fd472f81f59a84d28fa1aa39128176f21062982'],
  },
  {
    name: 'order with 9 decimals',
    flow: 'order',
    request: { ...COMMON, action: order('order', '1.123123123', '68900.777123479') },
    signs: ['0x2d0a437f7d64523386974c2a729d69604f8e2a7f0684b7de923845d8b175ab69'],
  },
  {
    name: 'order with a builder fee of 0.01',
    flow: 'builder_order',
    request: { ...COMMON, action: order('builder_order', '1.013', '68900.5') },
    signs: ['0x70f670e6064b2fb6a02d8d5004fee9348b7345391f5e50e469f6885e18d55e99'],
  },
]
