/**
 * Creates a wallet and sends a real transaction with it, through viem.
 *
 *   npm run example:wallet
 *
 * starts a daemon on a temporary directory and uses it. To use one that already runs:
 *
 *   npm run example:wallet -- --socket .countersign/countersign.sock --api-key-file .countersign/admin.key
 *   npm run example:wallet -- --endpoint 127.0.0.1:50051 --api-key-file .countersign/admin.key
 *
 * The chain is anvil, a local EVM node, started here too.
 */
import { randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { parseArgs } from 'node:util'
import { createWalletClient, formatEther, http, parseEther } from 'viem'
import { foundry } from 'viem/chains'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { OwnerType } from '../gen/countersign/v1/wallet_pb.ts'
import { toCountersignAccount } from '../src/client/countersign-account.ts'
import { type CountersignClientOptions, createCountersignClient } from '../src/client/countersign-client.ts'
import { startAnvil } from '../test/client/start-anvil.ts'
import { startDaemon } from '../test/e2e/start-daemon.ts'

const print = (line: string) => process.stdout.write(`${line}\n`)

const { values } = parseArgs({
  options: { endpoint: { type: 'string' }, socket: { type: 'string' }, 'api-key-file': { type: 'string' } },
})

await using resources = new AsyncDisposableStack()
const anvil = resources.use(await startAnvil())

const connection = async (): Promise<CountersignClientOptions> => {
  const { endpoint, socket, 'api-key-file': keyFile } = values
  const apiKey = keyFile === undefined ? undefined : readFileSync(keyFile, 'utf8').trim()
  if (endpoint !== undefined || socket !== undefined) return { endpoint, socketPath: socket, apiKey }
  const daemon = resources.use(await startDaemon())
  print(`daemon       ${daemon.endpoints.grpc}, ${daemon.endpoints.socket}`)
  return { socketPath: daemon.endpoints.socket, apiKey: daemon.adminKey }
}

const client = resources.use(createCountersignClient(await connection()))

// 1. A wallet whose key is generated between the two parties and never exists whole.
const { wallet } = await client.wallets.createWallet({
  userId: `example-${randomUUID()}`,
  keyType: KeyType.SECP256K1,
  ownerType: OwnerType.PROJECT,
})
if (wallet === undefined) throw new Error('the answer holds no wallet')
print(`wallet       ${wallet.walletId}`)
print(`address      ${wallet.address}`)

// 2. Money for it, from an account that anvil itself holds.
const account = toCountersignAccount(client, wallet)
const chain = { chain: foundry, transport: http(anvil.rpcUrl) }
const bank = createWalletClient(chain)
const [bankAddress] = await bank.getAddresses()
if (bankAddress === undefined) throw new Error('anvil has no accounts')
const funding = await bank.sendTransaction({ account: bankAddress, to: account.address, value: parseEther('2') })
await anvil.node.waitForTransactionReceipt({ hash: funding })
print(`funded       ${formatEther(await anvil.node.getBalance({ address: account.address }))} ETH`)

// 3. A transaction as viem sends any: it fills nonce and fees, the account has the daemon and its cosigner sign.
const trader = createWalletClient({ ...chain, account })
const hash = await trader.sendTransaction({ type: 'eip1559', to: bankAddress, value: parseEther('0.5') })
const receipt = await anvil.node.waitForTransactionReceipt({ hash })
print(`transaction  ${receipt.transactionHash}`)
print(`from         ${receipt.from}`)
print(`type         ${receipt.type}`)
print(`block        ${receipt.blockNumber}`)
print(`gas used     ${receipt.gasUsed}`)
print(`status       ${receipt.status}`)
print(`balance left ${formatEther(await anvil.node.getBalance({ address: account.address }))} ETH`)
if (receipt.status !== 'success') process.exitCode = 1
