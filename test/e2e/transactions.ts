/** One EVM transaction of every type, as fields for the daemon and as bytes from viem. */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type Hex, serializeTransaction, type TransactionSerializable } from 'viem'
import { EvmTransactionSchema, EvmTransactionType } from '../../gen/countersign/v1/wallet_pb.ts'

export const TO = '0x11E9CA82A3a762b4B5bd264d4173a242e7a77064'
export const TOKEN = '0xA0b86991c6218b36c1d19D4a2e9Eb0cE3606eB48'
const BLOB_HASH: Hex = `0x01${'ab'.repeat(31)}`
const KEY: Hex = `0x${'00'.repeat(31)}07`
const FEES = { maxFeePerGas: 30_000_000_000n, maxPriorityFeePerGas: 1_000_000_000n }
const ACCESS_LIST = [{ address: TOKEN.toLowerCase() as Hex, storageKeys: [KEY] }]

export const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace(/^0x/, ''), 'hex'))

export type Authorization = {
  readonly chainId: bigint
  readonly address: string
  readonly nonce: bigint
  readonly yParity: number
  readonly r: Uint8Array
  readonly s: Uint8Array
}

const hexOf = (bytes: Uint8Array): Hex => `0x${Buffer.from(bytes).toString('hex')}`

type Fields = MessageInitShape<typeof EvmTransactionSchema>
export type TestTransaction = { readonly fields: Fields; readonly viem: TransactionSerializable }

const common = { chainId: 11155111n, nonce: 7n, gasLimit: 100_000n, to: TO, value: '1000000000000000000' }
const viemCommon = { chainId: 11155111, nonce: 7, gas: 100_000n, to: TO as Hex, value: 10n ** 18n }
const feeFields = { maxFeePerGas: '30000000000', maxPriorityFeePerGas: '1000000000' }
const accessList = ACCESS_LIST.map(({ address, storageKeys }) => ({ address, storageKeys: storageKeys.map(bytesOf) }))
const data = bytesOf('0xdeadbeef00')

/** The five types; `authorization` goes into the EIP-7702 one. */
export const transactions = (authorization: Authorization): Readonly<Record<string, TestTransaction>> => ({
  legacy: {
    fields: { ...common, type: EvmTransactionType.LEGACY, gasPrice: '2000000000', data },
    viem: { ...viemCommon, type: 'legacy', gasPrice: 2_000_000_000n, data: '0xdeadbeef00' },
  },
  'EIP-2930': {
    fields: { ...common, type: EvmTransactionType.ACCESS_LIST, gasPrice: '2000000000', accessList },
    viem: { ...viemCommon, type: 'eip2930', gasPrice: 2_000_000_000n, accessList: ACCESS_LIST },
  },
  'EIP-1559': {
    fields: { ...common, type: EvmTransactionType.DYNAMIC_FEE, ...feeFields, accessList, data },
    viem: { ...viemCommon, type: 'eip1559', ...FEES, accessList: ACCESS_LIST, data: '0xdeadbeef00' },
  },
  'EIP-4844': {
    fields: {
      ...common,
      type: EvmTransactionType.BLOB,
      ...feeFields,
      maxFeePerBlobGas: '5',
      blobVersionedHashes: [bytesOf(BLOB_HASH)],
    },
    viem: { ...viemCommon, type: 'eip4844', ...FEES, maxFeePerBlobGas: 5n, blobVersionedHashes: [BLOB_HASH] },
  },
  'EIP-7702': {
    fields: { ...common, type: EvmTransactionType.SET_CODE, ...feeFields, authorizationList: [authorization] },
    viem: {
      ...viemCommon,
      type: 'eip7702',
      ...FEES,
      authorizationList: [
        {
          chainId: Number(authorization.chainId),
          address: authorization.address as Hex,
          nonce: Number(authorization.nonce),
          yParity: authorization.yParity,
          r: hexOf(authorization.r),
          s: hexOf(authorization.s),
        },
      ],
    },
  },
})

/** The bytes that viem would have signed. */
export const unsignedBytes = (transaction: TransactionSerializable): Uint8Array =>
  bytesOf(serializeTransaction(transaction))

/** A plain transfer, or a call, with what differs. */
export const transferFields = (rest: Fields = {}): Fields =>
  create(EvmTransactionSchema, {
    type: EvmTransactionType.DYNAMIC_FEE,
    chainId: 1n,
    gasLimit: 21_000n,
    to: TO,
    value: '1',
    maxFeePerGas: '10',
    maxPriorityFeePerGas: '1',
    ...rest,
  })
