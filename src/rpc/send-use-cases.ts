import type { Call } from '../domain/call.ts'
import type { SendTransactionRequest } from '../sending/send-transaction.ts'
import type { SentListRequest, SentView } from '../sending/read-sent.ts'
import type { Page } from './use-cases.ts'

export type { SentView }
export type AskedSend = SendTransactionRequest['asked']

export type SendingUseCases = {
  /** What it is now, then every change, until it is over. */
  readonly sendTransaction: (call: Call, args: SendTransactionRequest) => AsyncIterable<SentView>
  readonly getTransaction: (call: Call, args: { readonly sendId: string }) => Promise<SentView>
  readonly listTransactions: (call: Call, args: SentListRequest) => Promise<Page<SentView>>
}
