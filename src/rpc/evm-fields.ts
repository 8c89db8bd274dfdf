/** An EVM transaction's fields between the wire and the use case. What they mean is judged there. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { failure } from '../domain/failure.ts'
import type {
  EvmSignedAuthorization,
  EvmSignedAuthorizationSchema,
  EvmTransaction,
} from '../../gen/countersign/v1/wallet_pb.ts'
import { EvmTransactionType as WireType } from '../../gen/countersign/v1/wallet_pb.ts'
import type { EvmTransactionFields, EvmTransactionType, SignedAuthorization } from './use-cases.ts'
import { bothWays, orAbsent } from './wire-words.ts'

const types = bothWays<EvmTransactionType, WireType>({
  legacy: WireType.LEGACY,
  access_list: WireType.ACCESS_LIST,
  dynamic_fee: WireType.DYNAMIC_FEE,
  blob: WireType.BLOB,
  set_code: WireType.SET_CODE,
})

/** Decimal digits, checked by the message's rules. */
const parseAmount = (digits: string): bigint | undefined => (digits === '' ? undefined : BigInt(digits))

const fromWireAuthorization = (wire: EvmSignedAuthorization): SignedAuthorization => ({
  chainId: wire.chainId,
  address: wire.address,
  nonce: wire.nonce,
  signature: { r: wire.r, s: wire.s, yParity: wire.yParity === 0 ? 0 : 1 },
})

export const toWireAuthorization = ({
  chainId,
  address,
  nonce,
  signature: { r, s, yParity },
}: SignedAuthorization): MessageInitShape<typeof EvmSignedAuthorizationSchema> => ({
  chainId,
  address,
  nonce,
  yParity,
  r,
  s,
})

export const fromWireTransaction = (wire: EvmTransaction): EvmTransactionFields => {
  const type = types.fromWire(wire.type)
  if (type === undefined) throw failure('TRANSACTION_INVALID', { field: 'type', why: 'is not known' })
  return {
    type,
    chainId: wire.chainId,
    nonce: wire.nonce,
    gasLimit: wire.gasLimit,
    gasPrice: parseAmount(wire.gasPrice),
    maxFeePerGas: parseAmount(wire.maxFeePerGas),
    maxPriorityFeePerGas: parseAmount(wire.maxPriorityFeePerGas),
    to: orAbsent(wire.to),
    value: parseAmount(wire.value),
    data: wire.data,
    accessList: wire.accessList,
    maxFeePerBlobGas: parseAmount(wire.maxFeePerBlobGas),
    blobVersionedHashes: wire.blobVersionedHashes,
    authorizationList: wire.authorizationList.map(fromWireAuthorization),
  }
}
