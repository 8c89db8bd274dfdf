import type { SelfTest } from '../profile.ts'

/** Known answers: equal to ccxt run beside, or to two libraries that hash the documented types. */

const USER = '0xf39fd6e51aad88f6f4ce6ab8827279cfffb92266'
const AGENT = '0x70997970c51812dc3a010c7d01b50e0d17dc79c8'
const ORDER_TEXT = `nonce=1790000000000000&user=${USER}&signer=${USER}&symbol=BTCUSDT&side=BUY&type=LIMIT&timeInForce=GTC&quantity=0.001&price=50000`
const ORDER_SIGNATURE =
  '0xdf2542328d1014404bcece75b95395abf009ea1b5da62f616d2114343f761172' +
  '38134e3bb9e6646647555655fb5f5697c795200b7abc6eb95a3b706c6c15cafe1c'

export const ASTER_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'POST v3/order',
    flow: 'post_order',
    request: {
      network: 'mainnet',
      parameters: { label: 'countersign' },
      family: 'order',
      action: { symbol: 'BTCUSDT', side: 'BUY', type: 'LIMIT', timeInForce: 'GTC', quantity: '0.001', price: '50000' },
      nonce: '1790000000000000',
      walletAddress: USER,
      sessionAddress: USER,
    },
    signs: ['0x6b80fd0bcbab1162320738200ac19eb9243f1aa6b971a46a1b3af86eef57650c'],
    signatures: [ORDER_SIGNATURE],
    body: `${ORDER_TEXT}&signature=${ORDER_SIGNATURE}`,
  },
  {
    name: 'registerAndApproveAgent',
    flow: 'register',
    request: {
      network: 'mainnet',
      parameters: { label: 'countersign', spot: true },
      nonce: '1790000000000000',
      expireTimeMs: 1792592000000,
      walletAddress: USER,
      sessionAddress: AGENT,
    },
    signs: ['0xcd17409deccc8e7127a96e1e36fe4142aae110d25f7e06f6c518a4c2925d5ae7'],
  },
  {
    name: 'DelAgent',
    flow: 'revoke',
    request: {
      network: 'mainnet',
      parameters: { label: 'countersign' },
      nonce: '1790000000000000',
      walletAddress: USER,
      sessionAddress: AGENT,
    },
    signs: ['0x986aa9ce420db3a7a4d0514c8f90824be02f7174007a2d5591cd75957cedf352'],
  },
]
