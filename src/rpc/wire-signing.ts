/** What is asked to be signed and what came of it, between the wire and the use cases that sign. */
import type { SignMessageRequest, SignTransactionRequest } from '../../gen/countersign/v1/wallet_pb.ts'
import { fromWireTransaction } from './evm-fields.ts'
import type { MessageContent, ReceiptView, Signature, SignedDigest, TransactionContent } from './use-cases.ts'
import { nothingChosen, toWireReceipt, toWireSignature } from './wire-words.ts'

export const toWireSigned = ({ signature, digest, receipt }: SignedDigest) => ({
  signature: toWireSignature(signature),
  digest,
  receipt: toWireReceipt(receipt),
})

type SignedTransaction = {
  readonly signedTransaction: Uint8Array
  readonly transactionHash: string
  readonly signature: Signature
  readonly receipt: ReceiptView
}

export const toWireTransaction = ({ signedTransaction, transactionHash, signature, receipt }: SignedTransaction) => ({
  signedTransaction,
  transactionHash,
  signature: toWireSignature(signature),
  receipt: toWireReceipt(receipt),
})

export const readMessage = (chosen: SignMessageRequest['content']): MessageContent => {
  if (chosen.case === undefined) throw nothingChosen('content')
  return chosen.case === 'text' ? { kind: 'text', text: chosen.value } : { kind: 'data', data: chosen.value }
}

export const readTransaction = (transaction: SignTransactionRequest['transaction']): TransactionContent => {
  switch (transaction.case) {
    case 'evmUnsigned':
      return { kind: 'evm_unsigned', unsigned: transaction.value }
    case 'evm':
      return { kind: 'evm', fields: fromWireTransaction(transaction.value) }
    case 'solanaMessage':
      return { kind: 'solana_message', message: transaction.value }
    case undefined:
      throw nothingChosen('transaction')
  }
}
