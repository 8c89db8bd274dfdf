/** SendTransaction: what a caller asks for, and how it goes on. */
import type { Call } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { parseEvmAddress } from '../payload/address.ts'
import { refuse } from '../payload/transaction.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { EvmSend, FeeLimits } from './chain-family.ts'
import { type SentView, viewSent } from './read-sent.ts'
import type { Sender } from './sender.ts'
import type { Sent } from './send-request.ts'

/** Addresses as text; everything else as it is sent. */
export type AskedEvmSend = {
  readonly kind: 'evm'
  readonly to: string | undefined
  readonly value: bigint
  readonly data: Uint8Array
  readonly gasLimit: bigint | undefined
  readonly fees: FeeLimits
  readonly accessList: readonly { readonly address: string; readonly storageKeys: readonly Uint8Array[] }[]
}

/** A whole message; its blockhash does not matter. */
export type AskedSolanaSend = { readonly kind: 'solana'; readonly message: Uint8Array }

export type AskedReplacement = { readonly kind: 'SPEED_UP' | 'CANCEL'; readonly sendId: string; readonly fees: FeeLimits }

export type SendTransactionRequest = {
  readonly walletRef: string
  readonly network: string
  readonly confirmations: number | undefined
  readonly asked: AskedEvmSend | AskedSolanaSend | AskedReplacement
}

const requireAddress = (text: string, field: string): Uint8Array => {
  const address = parseEvmAddress(text)
  if (address === undefined) throw refuse(field, 'is not an address, or its checksum is wrong')
  return address
}

const contentOf = (asked: AskedEvmSend): EvmSend => {
  const { to, data, accessList } = asked
  if (to === undefined && data.length === 0) throw refuse('data', 'is empty in a contract creation')
  return {
    ...asked,
    to: to === undefined ? undefined : requireAddress(to, 'to'),
    accessList: accessList.map(({ address, storageKeys }, index) => ({
      address: requireAddress(address, `access_list[${index}].address`),
      storageKeys,
    })),
  }
}

const begin = (sender: Sender, call: Call, { walletRef, network, confirmations, asked }: SendTransactionRequest): Promise<Sent> => {
  if (asked.kind !== 'evm' && asked.kind !== 'solana') return sender.replace(call, { walletRef, network, ...asked })
  const content = asked.kind === 'evm' ? contentOf(asked) : asked
  return sender.send(call, { walletRef, network, content, confirmations, purpose: 'SEND' })
}

/** Refuses as `Sender.send` and `Sender.replace`, and TRANSACTION_INVALID. */
export async function* sendTransaction(
  { sender, vault }: { readonly sender: Sender; readonly vault: DaemonVault },
  call: Call,
  request: SendTransactionRequest,
): AsyncIterable<SentView> {
  const sent = await begin(sender, call, request)
  for await (const status of sent.statuses(call.signal)) {
    if (status.project !== call.caller.projectId) throw failure('SENT_TRANSACTION_NOT_FOUND', {})
    yield viewSent(vault, status)
  }
}
