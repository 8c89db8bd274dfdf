/** Transactions that the daemon sends, of countersign.v1.WalletService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type {
  EvmSend,
  Replacement,
  SendTransactionRequest,
  SentTransactionSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import { ListTransactionsRequestSchema, TransactionState, TransactionVersionKind } from '../../gen/countersign/v1/wallet_pb.ts'
import type { Handlers } from './pipeline.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { AskedSend, SendingUseCases, SentView } from './send-use-cases.ts'
import { nothingChosen, orAbsent, toTimestamp, toWireReceipt } from './wire-words.ts'

const KINDS = {
  ORIGINAL: TransactionVersionKind.ORIGINAL,
  SPEED_UP: TransactionVersionKind.SPEED_UP,
  CANCEL: TransactionVersionKind.CANCEL,
} as const

const digits = (value: bigint | undefined): string => (value === undefined ? '' : String(value))

const toWireSent = (sent: SentView): MessageInitShape<typeof SentTransactionSchema> => ({
  transactionId: sent.sendId,
  walletId: sent.walletId,
  network: sent.network,
  chain: sent.chain,
  ...(sent.nonce === undefined ? {} : { nonce: sent.nonce }),
  transactionHash: sent.transactionHash,
  state: TransactionState[sent.state],
  reason: sent.reason,
  ...(sent.minedVersion === undefined ? {} : { blockNumber: sent.block ?? 0n }),
  blockHash: sent.blockHash === '' || sent.chain.startsWith('solana:') ? sent.blockHash : `0x${sent.blockHash}`,
  confirmations: sent.depth,
  requiredConfirmations: sent.confirmations,
  versions: sent.versions.map(({ kind, transactionHash, gasLimit, maxFeePerGas, maxPriorityFeePerGas, createTimeMs }) => ({
    transactionHash,
    kind: KINDS[kind],
    gasLimit: gasLimit ?? 0n,
    maxFeePerGas: digits(maxFeePerGas),
    maxPriorityFeePerGas: digits(maxPriorityFeePerGas),
    createTime: toTimestamp(createTimeMs),
  })),
  createTime: toTimestamp(sent.createTimeMs),
  updateTime: toTimestamp(sent.updateTimeMs),
  stuck: sent.isStuck,
})

const toWireAnswer = (sent: SentView) => ({
  transaction: toWireSent(sent),
  ...(sent.receipt === undefined ? {} : { receipt: toWireReceipt(sent.receipt) }),
})

const amount = (text: string): bigint | undefined => (text === '' ? undefined : BigInt(text))

const feesOf = ({ maxFeePerGas, maxPriorityFeePerGas }: EvmSend | Replacement) => ({
  maxFeePerGas: amount(maxFeePerGas),
  maxPriorityFeePerGas: amount(maxPriorityFeePerGas),
})

const readAsked = ({ transaction }: SendTransactionRequest): AskedSend => {
  switch (transaction.case) {
    case 'evm': {
      const { to, value, data, gasLimit, accessList } = transaction.value
      const gas = gasLimit === 0n ? undefined : gasLimit
      return { kind: 'evm', to: orAbsent(to), value: amount(value) ?? 0n, data, gasLimit: gas, fees: feesOf(transaction.value), accessList }
    }
    case 'solana':
      return { kind: 'solana', message: transaction.value.message }
    case 'speedUp':
      return { kind: 'SPEED_UP', sendId: transaction.value.transactionId, fees: feesOf(transaction.value) }
    case 'cancel':
      return { kind: 'CANCEL', sendId: transaction.value.transactionId, fees: feesOf(transaction.value) }
    case undefined:
      throw nothingChosen('transaction')
  }
}

export const sendHandlers = (sending: SendingUseCases, tokens: PageTokens) =>
  ({
    sendTransaction: async function* send(request, call) {
      const { wallet: walletRef, network } = request
      const confirmations = request.confirmations === 0 ? undefined : request.confirmations
      for await (const sent of sending.sendTransaction(call, { walletRef, network, confirmations, asked: readAsked(request) }))
        yield toWireAnswer(sent)
    },
    getTransaction: async ({ transactionId: sendId }, call) => toWireAnswer(await sending.getTransaction(call, { sendId })),
    listTransactions: async (request, call) => {
      const filter = { walletRef: orAbsent(request.wallet), network: orAbsent(request.network), openOnly: request.underWay }
      const { items, nextPageToken } = await listPage(tokens, ListTransactionsRequestSchema, request, call, (page) =>
        sending.listTransactions(call, { ...page, ...filter }),
      )
      return { transactions: items.map(toWireSent), nextPageToken }
    },
  }) satisfies Partial<Handlers<'wallet'>>
