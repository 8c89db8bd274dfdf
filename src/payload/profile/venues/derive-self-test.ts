import type { SelfTest } from '../profile.ts'

/**
 * Known answers: a trade whose hash the venue itself returned, and what derivexyz/derive-ts and the documented rule give
 * for the rest.
 */

const OWNER = '0xf39Fd6e51aad88F6F4ce6aB8827279cffFb92266'

export const DERIVE_SELF_TEST: readonly SelfTest[] = [
  {
    name: 'Sepolia trade by a real session key',
    flow: 'order',
    request: {
      network: 'testnet',
      parameters: { subaccountIds: [75723] },
      family: 'order',
      action: {
        subaccount_id: 75723,
        instrument_name: 'ETH-PERP',
        asset_address: '0x4bb4c3cdc7562f08e9910a0c7d8bb7e108861eb4',
        sub_id: '2576980377601813910400',
        direction: 'buy',
        limit_price: '100',
        amount: '1',
        max_fee: '1000',
      },
      nonce: '1754472862000000000',
      notAfterMs: 1893456000000,
      walletAddress: '0x5cb67F7829d01d9C75385A920De5E51060663374',
      sessionAddress: '0x0e94ecA48AC699d2237F3732210f8216A497ab16',
    },
    signs: ['0xd1b13344c9e7fb068cc350c019895c77b0cc82e24959ad408058377ca9c1bfc3'],
  },
  {
    name: 'registration of a session key, mainnet',
    flow: 'register',
    request: {
      network: 'mainnet',
      parameters: { subaccountIds: [1] },
      scopes: ['order', 'cancel_order'],
      nonce: '1790000000000000000',
      notAfterMs: 1790000900000,
      expireTimeMs: 1800000000000,
      walletAddress: OWNER,
      sessionAddress: '0x70997970c51812dc3a010c7d01b50e0d17dc79c8',
    },
    signs: ['0x8e38ab22db8820b6085cdac1de66014a15b308b79c5696cfaf9d9da75b6f0d1b'],
  },
  {
    name: 'login: EIP-191 of the time',
    flow: 'login',
    request: {
      network: 'mainnet',
      parameters: { subaccountIds: [1] },
      timeMs: 1790000000000,
      walletAddress: OWNER,
      sessionAddress: OWNER,
    },
    signs: ['0x8c79b4fca6f1d7ad81085d11a7de858acdb5b84e90b7ab40a3ef2dd2c52b3b10'],
  },
]
