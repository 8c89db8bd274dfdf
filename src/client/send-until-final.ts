import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { SendTransactionRequestSchema, SentTransaction } from '../../gen/countersign/v1/wallet_pb.ts'
import { TransactionState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from './countersign-client.ts'
import { CountersignError } from './countersign-error.ts'

export type SendUntilFinalOptions = {
  /** Called with every state, the last one included; one may come again after a break. */
  readonly onState?: ((transaction: SentTransaction) => void) | undefined
  /** Ends the waiting, not the transaction. */
  readonly signal?: AbortSignal | undefined
  /** Between a break and the next try; doubled each time in a row, up to half a minute. Default 500. */
  readonly retryMs?: number | undefined
}

const FINAL: ReadonlySet<TransactionState> = new Set([
  TransactionState.CONFIRMED,
  TransactionState.REPLACED,
  TransactionState.FAILED,
  TransactionState.EXPIRED,
])
const MAX_RETRY_MS = 30_000

/** The stream broke off, or the daemon was not there: nothing was said about the transaction. */
const isBreak = (error: unknown): boolean =>
  error instanceof CountersignError && (error.reason === undefined || error.reason === 'SHUTTING_DOWN' || error.reason === 'STREAM_ROTATE')

/**
 * Sends a transaction and answers it once it is final, whatever that is: look at `state`. Where the stream breaks off, or the
 * daemon restarts, it is asked for again under the same request id, which sends nothing twice. Throws CountersignError
 * where it is refused, and `signal`'s reason.
 */
export const sendUntilFinal = async (
  { wallets }: Pick<CountersignClient, 'wallets'>,
  request: MessageInitShape<typeof SendTransactionRequestSchema>,
  { onState, signal, retryMs = 500 }: SendUntilFinalOptions = {},
): Promise<SentTransaction> => {
  const requestId = request.requestId === undefined || request.requestId === '' ? randomUUID() : request.requestId
  let waitMs = retryMs
  for (;;) {
    try {
      for await (const { transaction } of wallets.sendTransaction({ ...request, requestId }, { ...(signal && { signal }) })) {
        if (transaction === undefined) continue
        waitMs = retryMs
        onState?.(transaction)
        if (FINAL.has(transaction.state)) return transaction
      }
    } catch (error) {
      signal?.throwIfAborted()
      if (!isBreak(error)) throw error
    }
    await sleep(waitMs, undefined, { ...(signal && { signal }) })
    waitMs = Math.min(waitMs * 2, MAX_RETRY_MS)
  }
}
