import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import {
  getAddress,
  keccak256,
  parseTransaction,
  recoverMessageAddress,
  recoverTransactionAddress,
  recoverTypedDataAddress,
  type Address,
  type TransactionSerializedEIP1559,
  type TypedDataDefinition,
} from 'viem'
import { generatePrivateKey, privateKeyToAddress, publicKeyToAddress } from 'viem/accounts'
import type { Anvil } from '../client/start-anvil.ts'
import type { Checks } from './checks.ts'
import { type ClientReport, type ClientTask, FOUND_BY, type InteropClient } from './client-report.ts'

const WEI_PER_ETHER = 10n ** 18n
const TEXT = 'Sign in to Countersign \u2014 \u7f72\u540d'
const TYPED_DATA = {
  types: {
    EIP712Domain: [
      { name: 'name', type: 'string' },
      { name: 'version', type: 'string' },
      { name: 'chainId', type: 'uint256' },
      { name: 'verifyingContract', type: 'address' },
    ],
    Person: [
      { name: 'name', type: 'string' },
      { name: 'wallets', type: 'address[]' },
    ],
    Order: [
      { name: 'from', type: 'Person' },
      { name: 'amount', type: 'uint256' },
      { name: 'salt', type: 'bytes32' },
      { name: 'cancel', type: 'bool' },
    ],
  },
  primaryType: 'Order',
  domain: {
    name: 'Exchange',
    version: '1',
    chainId: 31337,
    verifyingContract: '0xcccccccccccccccccccccccccccccccccccccccc',
  },
  message: {
    from: { name: 'Cow', wallets: ['0xcd2a3d9f938e13cd947ec05abc7fe734df8dd826'] },
    amount: '115792089237316195423570985008687907853269984665640564039457584007913129639935',
    salt: `0x${'5a'.repeat(32)}`,
    cancel: false,
  },
}

export const createTask = (client: InteropClient, apiKey: string, chainId: number): ClientTask => ({
  target: client.target,
  api_key: apiKey,
  user_id: `interop-${randomUUID()}`,
  text: TEXT,
  typed_data_json: JSON.stringify(TYPED_DATA),
  transaction: {
    chain_id: chainId,
    nonce: 0,
    gas_limit: 21_000,
    max_fee_per_gas: '20000000000',
    max_priority_fee_per_gas: '1000000000',
    to: privateKeyToAddress(generatePrivateKey()),
    value: '12345',
  },
})

const judgeWallet = ({ wallet }: ClientReport): void => {
  assert.match(wallet.wallet_id, /^wal_[0-9a-f]{32}$/)
  assert.match(wallet.public_key, /^04[0-9a-f]{128}$/)
  assert.equal(wallet.address, publicKeyToAddress(`0x${wallet.public_key}`))
}

const judgeTransaction = async (task: ClientTask, report: ClientReport): Promise<void> => {
  const signed = report.signed_transaction as TransactionSerializedEIP1559
  const parsed = parseTransaction(signed)
  const asked = task.transaction
  assert.equal(parsed.type, 'eip1559')
  assert.equal(parsed.chainId, asked.chain_id)
  assert.equal(parsed.nonce ?? 0, asked.nonce)
  assert.equal(parsed.gas, BigInt(asked.gas_limit))
  assert.equal(parsed.maxFeePerGas, BigInt(asked.max_fee_per_gas))
  assert.equal(parsed.maxPriorityFeePerGas, BigInt(asked.max_priority_fee_per_gas))
  assert.equal(getAddress(parsed.to as Address), asked.to)
  assert.equal(parsed.value, BigInt(asked.value))
  assert.equal(parsed.data ?? '0x', '0x')
  assert.equal(report.transaction_hash, keccak256(signed))
  assert.equal(await recoverTransactionAddress({ serializedTransaction: signed }), report.wallet.address)
}

const sendToChain = async (anvil: Anvil, task: ClientTask, report: ClientReport): Promise<void> => {
  await anvil.fund(report.wallet.address, WEI_PER_ETHER)
  const hash = await anvil.node.sendRawTransaction({ serializedTransaction: report.signed_transaction })
  const receipt = await anvil.node.waitForTransactionReceipt({ hash })
  assert.equal(receipt.status, 'success')
  assert.equal(getAddress(receipt.from), report.wallet.address)
  assert.equal(await anvil.node.getBalance({ address: task.transaction.to }), BigInt(task.transaction.value))
}

/** ALREADY_EXISTS, AlreadyExists and already_exists are one code in four languages. */
const sameCode = (code: string): string => code.replaceAll('_', '').toLowerCase()

const judgeRefusal = ({ refusal, wallet }: ClientReport): void => {
  assert.equal(sameCode(refusal.code), 'alreadyexists')
  assert.equal(refusal.domain, 'countersign')
  assert.equal(refusal.reason, 'WALLET_ALREADY_EXISTS')
  assert.equal(refusal.metadata['walletId'], wallet.wallet_id)
  assert.equal(refusal.metadata['retryable'], 'no')
}

/** Lets one client do its task and checks every answer it got, with viem and a chain as the judges. */
export const judgeClient = async (client: InteropClient, checks: Checks, apiKey: string, anvil: Anvil): Promise<void> => {
  const task = createTask(client, apiKey, anvil.chainId)
  let report: ClientReport | undefined
  const name = (what: string) => `${client.name}: ${what}`
  const ran = await checks.check(name('creates a wallet and signs with it'), async () => {
    report = await client.run(task)
    judgeWallet(report)
  })
  if (!ran || report === undefined) return
  const { wallet, found, message_signature, typed_data_signature } = report
  const done = report
  await checks.check(name('finds it by id, address in any case and user id'), () => {
    for (const reference of FOUND_BY) assert.equal(found[reference], wallet.wallet_id, `by ${reference}`)
  })
  await checks.check(name('message recovers to its address'), async () => {
    assert.equal(await recoverMessageAddress({ message: task.text, signature: message_signature }), wallet.address)
  })
  await checks.check(name('typed data recovers to its address'), async () => {
    const definition = TYPED_DATA as unknown as TypedDataDefinition
    const address = await recoverTypedDataAddress({ ...definition, signature: typed_data_signature })
    assert.equal(address, wallet.address)
  })
  await checks.check(name('1559 transaction is the one asked for'), () => judgeTransaction(task, done))
  await checks.check(name('anvil accepts the transaction'), () => sendToChain(anvil, task, done))
  await checks.check(name('reads the reason of a refusal'), () => judgeRefusal(done))
}
