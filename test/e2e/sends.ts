/** What tests do with SendTransaction: hear all of it, leave it, wait for a state. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { SendTransactionRequestSchema, SentTransaction, TransactionState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'

export type Request = MessageInitShape<typeof SendTransactionRequestSchema>

export const until = async <T>(look: () => Promise<T | undefined>): Promise<T> => {
  for (const end = Date.now() + 40_000; ; ) {
    const found = await look()
    if (found !== undefined) return found
    if (Date.now() > end) throw new Error('it did not come to that')
    await sleep(25)
  }
}

/** As the client that `admin` is at the time, unless another is named. */
export const sendsOf = (admin: () => CountersignClient) => ({
  /** Every state until the last, as it was told. */
  follow: async (request: Request, client = admin()): Promise<readonly SentTransaction[]> => {
    const told: SentTransaction[] = []
    for await (const { transaction } of client.wallets.sendTransaction(request)) if (transaction !== undefined) told.push(transaction)
    return told
  },
  /** Begins to send and answers what was said first, leaving the stream. */
  begin: async (request: Request, client = admin()): Promise<SentTransaction> => {
    for await (const { transaction } of client.wallets.sendTransaction(request)) if (transaction !== undefined) return transaction
    throw new Error('nothing was said')
  },
  whenIn: (transactionId: string, ...states: readonly TransactionState[]): Promise<SentTransaction> =>
    until(async () => {
      const { transaction } = await admin().wallets.getTransaction({ transactionId })
      return transaction !== undefined && states.includes(transaction.state) ? transaction : undefined
    }),
})
