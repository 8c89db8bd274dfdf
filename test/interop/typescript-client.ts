import type { Address, Hex } from 'viem'
import { keccak256, type TypedDataDefinition } from 'viem'
import { OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { toCountersignAccount } from '../../src/client/countersign-account.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError } from '../../src/client/countersign-error.ts'
import { type ClientReport, type ClientTask, type FoundBy, type InteropClient, referencesOf } from './client-report.ts'

const connect = ({ target, api_key }: ClientTask): CountersignClient =>
  createCountersignClient({
    apiKey: api_key,
    ...(target.startsWith('unix:') ? { socketPath: target.slice('unix://'.length) } : { endpoint: target }),
  })

const find = async (client: CountersignClient, wallet: Wallet, userId: string): Promise<ClientReport['found']> => {
  const references = Object.entries(referencesOf(wallet.walletId, wallet.address, userId)) as [FoundBy, string][]
  const answers = references.map(async ([name, reference]) => {
    const answer = await client.wallets.getWallet({ wallet: reference })
    return [name, answer.wallet?.walletId ?? ''] as const
  })
  return Object.fromEntries(await Promise.all(answers)) as ClientReport['found']
}

const refusalOf = (error: unknown): ClientReport['refusal'] => {
  if (!(error instanceof CountersignError)) throw error
  return { code: error.code, domain: 'countersign', reason: error.reason ?? '', metadata: error.metadata }
}

const signAll = async (client: CountersignClient, wallet: Wallet, task: ClientTask) => {
  const account = toCountersignAccount(client, wallet)
  const { transaction } = task
  const signed = await account.signTransaction({
    type: 'eip1559',
    chainId: transaction.chain_id,
    nonce: transaction.nonce,
    gas: BigInt(transaction.gas_limit),
    maxFeePerGas: BigInt(transaction.max_fee_per_gas),
    maxPriorityFeePerGas: BigInt(transaction.max_priority_fee_per_gas),
    to: transaction.to,
    value: BigInt(transaction.value),
  })
  return {
    message_signature: await account.signMessage({ message: task.text }),
    typed_data_signature: await account.signTypedData(JSON.parse(task.typed_data_json) as TypedDataDefinition),
    signed_transaction: signed,
    transaction_hash: keccak256(signed),
  } satisfies Record<string, Hex>
}

const run = async (task: ClientTask): Promise<ClientReport> => {
  using client = connect(task)
  const create = { userId: task.user_id, keyType: KeyType.SECP256K1, ownerType: OwnerType.PROJECT }
  const { wallet } = await client.wallets.createWallet(create)
  if (wallet === undefined) throw new Error('the answer holds no wallet')
  const found = await find(client, wallet, task.user_id)
  const signatures = await signAll(client, wallet, task)
  const refusal = await client.wallets.createWallet(create).then(() => {
    throw new Error('a second wallet for the same user was created')
  }, refusalOf)
  const { walletId, publicKey } = wallet
  const reported = { wallet_id: walletId, address: wallet.address as Address, public_key: publicKey }
  return { wallet: reported, found, ...signatures, refusal }
}

/** The published client and its viem account. */
export const typescriptClient = (name: string, target: string): InteropClient => ({ name, target, run })
