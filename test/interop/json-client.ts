import { fromBinary } from '@bufbuild/protobuf'
import { type Address, bytesToHex, type Hex } from 'viem'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { type ClientReport, type ClientTask, type FoundBy, type InteropClient, referencesOf } from './client-report.ts'

/** An error as Connect writes it in JSON (connectrpc.com/docs/protocol, "Error end-stream"); buf curl prints the same. */
export type JsonError = {
  readonly code?: string
  readonly message?: string
  readonly details?: readonly { readonly type: string; readonly value: string }[]
}

export type JsonAnswer = { readonly ok: true; readonly message: unknown } | { readonly ok: false; readonly error: JsonError }

/** One call of WalletService with request and answer in protobuf's JSON form. */
export type JsonCall = (method: string, request: unknown) => Promise<JsonAnswer>

type WalletAnswer = { readonly wallet: { readonly walletId: string; readonly address: Address; readonly publicKey: string } }
type SignatureAnswer = { readonly signature: { readonly hex: Hex } }
type TransactionAnswer = { readonly signedTransaction: string; readonly transactionHash: Hex }

const succeed = async <T>(call: JsonCall, method: string, request: unknown): Promise<T> => {
  const answer = await call(method, request)
  if (!answer.ok) throw new Error(`${method}: ${JSON.stringify(answer.error)}`)
  return answer.message as T
}

const refusalOf = (answer: JsonAnswer): ClientReport['refusal'] => {
  if (answer.ok) throw new Error('a second wallet for the same user was created')
  const detail = answer.error.details?.find(({ type }) => type.endsWith('google.rpc.ErrorInfo'))
  if (detail === undefined) throw new Error(`the error holds no ErrorInfo: ${JSON.stringify(answer.error)}`)
  const info = fromBinary(ErrorInfoSchema, Buffer.from(detail.value, 'base64'))
  return { code: answer.error.code ?? '', domain: info.domain, reason: info.reason, metadata: info.metadata }
}

const transactionOf = ({ transaction }: ClientTask) => ({
  type: 'EVM_TRANSACTION_TYPE_DYNAMIC_FEE',
  chainId: String(transaction.chain_id),
  nonce: String(transaction.nonce),
  gasLimit: String(transaction.gas_limit),
  maxFeePerGas: transaction.max_fee_per_gas,
  maxPriorityFeePerGas: transaction.max_priority_fee_per_gas,
  to: transaction.to,
  value: transaction.value,
})

const find = async (call: JsonCall, { walletId, address }: WalletAnswer['wallet'], userId: string) => {
  const found: [string, string][] = []
  for (const [name, reference] of Object.entries(referencesOf(walletId, address, userId))) {
    const answer = await succeed<WalletAnswer>(call, 'GetWallet', { wallet: reference })
    found.push([name, answer.wallet.walletId])
  }
  return Object.fromEntries(found) as Record<FoundBy, string>
}

/** A client that speaks JSON through `connect(task)`. */
export const jsonClient = (name: string, target: string, connect: (task: ClientTask) => JsonCall): InteropClient => ({
  name,
  target,
  run: async (task) => {
    const call = connect(task)
    const create = { userId: task.user_id, keyType: 'KEY_TYPE_SECP256K1', ownerType: 'OWNER_TYPE_PROJECT' }
    const { wallet } = await succeed<WalletAnswer>(call, 'CreateWallet', create)
    const found = await find(call, wallet, task.user_id)
    const sign = { wallet: wallet.walletId }
    const message = await succeed<SignatureAnswer>(call, 'SignMessage', { ...sign, text: task.text })
    const typedDataRequest = { wallet: wallet.address, typedDataJson: task.typed_data_json }
    const typedData = await succeed<SignatureAnswer>(call, 'SignTypedData', typedDataRequest)
    const transactionRequest = { wallet: task.user_id, evm: transactionOf(task) }
    const transaction = await succeed<TransactionAnswer>(call, 'SignTransaction', transactionRequest)
    return {
      wallet: { wallet_id: wallet.walletId, address: wallet.address, public_key: wallet.publicKey },
      found,
      message_signature: message.signature.hex,
      typed_data_signature: typedData.signature.hex,
      signed_transaction: bytesToHex(Buffer.from(transaction.signedTransaction, 'base64')),
      transaction_hash: transaction.transactionHash,
      refusal: refusalOf(await call('CreateWallet', create)),
    }
  },
})
