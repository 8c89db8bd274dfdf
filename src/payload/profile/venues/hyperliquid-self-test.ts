import type { SelfTest } from '../profile.ts'

/** Known answers: published by hyperliquid-dex/hyperliquid-python-sdk and nktkas/hyperliquid, or captured live. */

const ORDER_ACTION =
  '{"type":"order","orders":[{"a":1,"b":true,"p":"100","s":"100","r":false,"t":{"limit":{"tif":"Gtc"}},"c":"0x00000000000000000000000000000001"}],"grouping":"na"}'

export const HYPERLIQUID_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'L1 order with a client id, mainnet',
    flow: 'l1',
    request: { network: 'mainnet', family: 'order', action: ORDER_ACTION, nonce: 0 },
    signs: ['0x54a60f6e5107c3ebbd5600ce51c5c208b66c4acdaddf159d34f380f4985f4a3f'],
    signatures: [
      '0x041ae18e8239a56cacbc5dad94d45d0b747e5da11ad564077fcac71277a946e33c61f667e747404fe7eea8f90ab0e76cc12ce60270438b2058324681a00116da1b',
    ],
    body: `{"action":${ORDER_ACTION},"nonce":0,"signature":{"r":"0x041ae18e8239a56cacbc5dad94d45d0b747e5da11ad564077fcac71277a946e3","s":"0x3c61f667e747404fe7eea8f90ab0e76cc12ce60270438b2058324681a00116da","v":27}}`,
  },
  {
    name: 'L1 order with an expiry, testnet',
    flow: 'l1',
    request: {
      network: 'testnet',
      family: 'order',
      action: '{"type":"order","orders":[{"a":3,"b":true,"p":"80246","s":"0.00015","r":false,"t":{"limit":{"tif":"Ioc"}}}],"grouping":"na"}',
      nonce: 1788779897303,
      notAfterMs: 1788779837303,
    },
    signs: ['0xd70be24c7d934ceabf19fbd9784865caedd5ba4420de433ede64f94e0421fe76'],
  },
  {
    name: 'an agent sends an asset',
    flow: 'l1_stamped',
    request: {
      network: 'testnet',
      family: 'transfer',
      action:
        '{"type":"agentSendAsset","destination":"0xe7c2adb44064e705a2e955770440c527373967a1","sourceDex":"","destinationDex":"spot","token":"USDC:0xeb62eee3685fc4c43992febcd9e75443","amount":"1","fromSubAccount":""}',
      nonce: 1788779882398,
    },
    signs: ['0x2d6af54fa9e3b4bbd3815f5753acd907fed27f9e90af2a93d1cb39ef4811ca9d'],
  },
  {
    name: 'ApproveAgent with a name and an expiry',
    flow: 'register',
    request: {
      network: 'mainnet',
      parameters: { label: 'countersign' },
      sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
      expireTimeMs: 1800000000000,
      nonce: 1790000000000,
    },
    signs: ['0x2ff47d5f39dac9a2018bd032565e3e0a69931480dbfbf98626327ecdf4942cc8'],
  },
  {
    name: 'ApproveAgent without a name',
    flow: 'register',
    request: {
      network: 'testnet',
      sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
      nonce: 1790000000000,
    },
    signs: ['0x57abd2b3a02fef0274aa26b1fe74cc6226fd3eebb7573f833bd49a73f40bb716'],
  },
  {
    name: 'ApproveAgent of the zero address revokes',
    flow: 'revoke',
    request: { network: 'testnet', parameters: { label: 'shield-probe', signatureChainId: '0x1' }, nonce: 1788779903054 },
    signs: ['0xe09333603c2b1804eeb56fea75950e9f533afb253cafda6f86d31525d1986f2d'],
  },
  {
    name: 'UsdSend, testnet',
    flow: 'usd_send',
    request: {
      network: 'testnet',
      input: { destination: '0x5e9ee1089755c3435139848e47e6635505d5a13a', amount: '1' },
      nonce: 1687816341423,
    },
    signs: ['0xcacf7585cc49ca60c6c5fb3001e226c0ca03c46252c893eea574c78907b7cebe'],
  },
]
