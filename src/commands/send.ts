/** `wallet send`: sends on an EVM chain and says how it goes on, a line a change. */
import { randomUUID } from 'node:crypto'
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type SendTransactionRequestSchema,
  type SentTransaction,
  SentTransactionSchema,
  TransactionState,
  TransactionStateSchema,
} from '../../gen/countersign/v1/wallet_pb.ts'
import type { Flags } from '../config/load-config.ts'
import { withDaemon } from './daemon-client.ts'
import { enumText, jsonLine } from './message-text.ts'
import { CommandRefusal, type Terminal, UsageRefusal } from './terminal.ts'

const textFlag = (flags: Flags, name: string): string => {
  const value = flags[name]
  return typeof value === 'string' ? value : ''
}

const digitsFlag = (flags: Flags, name: string): string => {
  const text = textFlag(flags, name)
  if (!/^(|0|[1-9][0-9]{0,77})$/.test(text)) throw new UsageRefusal(`--${name}: expected decimal digits`)
  return text
}

const dataFlag = (flags: Flags): Uint8Array => {
  const digits = textFlag(flags, 'data-hex').replace(/^0x/, '')
  if (!/^([0-9a-fA-F]{2})*$/.test(digits)) throw new UsageRefusal('--data-hex: expected an even number of hex digits')
  return new Uint8Array(Buffer.from(digits, 'hex'))
}

type Asked = NonNullable<MessageInitShape<typeof SendTransactionRequestSchema>['transaction']>

const askedOf = (flags: Flags): Asked => {
  const fees = { maxFeePerGas: digitsFlag(flags, 'max-fee-per-gas'), maxPriorityFeePerGas: digitsFlag(flags, 'max-priority-fee-per-gas') }
  const [speedUp, cancel] = [textFlag(flags, 'speed-up'), textFlag(flags, 'cancel')]
  const [to, data] = [textFlag(flags, 'to'), dataFlag(flags)]
  const isNew = to !== '' || data.length > 0
  if ([isNew, speedUp !== '', cancel !== ''].filter(Boolean).length !== 1)
    throw new UsageRefusal('say what to send, with --to or --data-hex, or what to replace, with --speed-up or --cancel')
  if (speedUp !== '') return { case: 'speedUp', value: { transactionId: speedUp, ...fees } }
  if (cancel !== '') return { case: 'cancel', value: { transactionId: cancel, ...fees } }
  const gasLimit = BigInt(digitsFlag(flags, 'gas-limit') || '0')
  return { case: 'evm', value: { to, value: digitsFlag(flags, 'value'), data, gasLimit, ...fees } }
}

const lineOf = (sent: SentTransaction): string =>
  [
    enumText(TransactionStateSchema, sent.state),
    sent.transactionId,
    ...(sent.nonce === undefined ? [] : [`nonce ${sent.nonce}`]),
    sent.transactionHash,
    ...(sent.stuck ? ['stuck'] : []),
    ...(sent.blockNumber === 0n ? [] : [`block ${sent.blockNumber}, ${sent.confirmations} of ${sent.requiredConfirmations}`]),
    sent.reason,
  ]
    .filter((part) => part !== '')
    .join(' ')

/** Ends when the transaction is final, or with the terminal: it is followed by the daemon all the same. */
export const sendTransaction = async (wallet: string, network: string, flags: Flags, terminal: Terminal): Promise<void> => {
  const requestId = textFlag(flags, 'request-id') || randomUUID()
  const confirmations = Number(digitsFlag(flags, 'confirmations') || '0')
  const request = { wallet, network, transaction: askedOf(flags), confirmations, requestId }
  let last: SentTransaction | undefined
  try {
    await withDaemon(flags, terminal, async ({ wallets }) => {
      for await (const { transaction } of wallets.sendTransaction(request, { signal: terminal.stop, timeoutMs: 0 })) {
        if (transaction === undefined) continue
        last = transaction
        terminal.print(flags.json === true ? jsonLine(SentTransactionSchema, transaction) : lineOf(transaction))
      }
    })
  } catch (error) {
    if (!terminal.stop.aborted) throw error
    return terminal.note('the daemon goes on with it')
  }
  const isWanted = last?.state === TransactionState.CONFIRMED || (textFlag(flags, 'cancel') !== '' && last?.reason === 'CANCELLED')
  if (!isWanted) throw new CommandRefusal(`the transaction is ${enumText(TransactionStateSchema, last?.state ?? 0)}`)
}
