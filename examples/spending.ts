/**
 * Somebody lets a project spend from a wallet that is theirs alone, and takes that back:
 *
 *   token → approve on the chain → a signed message → completion → list → priority → spend → the allowance drops →
 *   taken back on the chain → the next spend is refused
 *
 *   npm run example:spending
 *
 * starts a daemon on a temporary directory and an EVM node (anvil) with Linea's chain id and a token with 6 decimals. The
 * message is made by the published `siwe` package as it is.
 */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { SiweMessage } from 'siwe'
import { type Hex, parseEther } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { type ExternalWallet, ExternalWalletState, type Spend, SpendState } from '../gen/countersign/v1/delegation_pb.ts'
import { createCountersignClient } from '../src/client/countersign-client.ts'
import { CountersignError } from '../src/client/countersign-error.ts'
import { deployToken, personOf } from '../test/client/evm-tokens.ts'
import { startAnvil } from '../test/client/start-anvil.ts'
import { newKey } from '../test/e2e/callers.ts'
import { startDaemon } from '../test/e2e/start-daemon.ts'

const LINEA = 59_144
const PAGE = 'card.example'
const USER = 'alice'

const print = (what: string, value: string) => process.stdout.write(`${what.padEnd(16)} ${value}\n`)
const heading = (text: string) => process.stdout.write(`\n${text}\n`)
const present = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the answer holds less than it should')
  return value
}
const units = (whole: number) => BigInt(whole) * 1_000_000n

await using resources = new AsyncDisposableStack()

heading('A chain and a daemon')
const anvil = resources.use(await startAnvil(LINEA))
const usdc = await deployToken(anvil, 'StandardToken')
const folder = mkdtempSync(join(tmpdir(), 'countersign-spending-'))
resources.defer(() => rmSync(folder, { recursive: true, force: true }))
const config = join(folder, 'countersign.toml')
writeFileSync(config, `
egress_allow = "127.0.0.1"
chain_confirmations = 2
[[chain]]
network = "linea"
chain_id = ${LINEA}
rpc = "${anvil.rpcUrl}"
[[token]]
network = "linea"
currency = "usdc"
address = "${usdc.address}"
decimals = 6
`)
const daemon = resources.use(await startDaemon({ args: ['--config', config] }))
const connectTo = (apiKey: string) => resources.use(createCountersignClient({ endpoint: daemon.endpoints.grpc, apiKey }))
const admin = connectTo(daemon.adminKey)
print('daemon', daemon.endpoints.grpc)

// The operator: which wallet spends, which page asks people to sign, and what the project's server may do.
const spender = present((await admin.wallets.createWallet({ userId: 'treasury', keyType: KeyType.SECP256K1 })).wallet)
await admin.admin.updateProject({
  project: { projectId: 'default', siweDomains: [PAGE], spenders: [{ network: 'linea', walletId: spender.walletId }] },
  updateMask: { paths: ['siwe_domains', 'spenders'] },
})
await anvil.fund(spender.address as Hex, parseEther('1'))
const shop = personOf('the shop').address
const { secret } = await newKey(admin, [
  { name: 'delegation:create' },
  { name: 'delegation:spend', destinations: [shop, usdc.address], maxPerTransaction: [{ chain: `eip155:${LINEA}`, token: usdc.address, amount: '100000000' }] },
])
const project = connectTo(secret)
print('spender', spender.address)

/** What a page does with the person's wallet: approve, and sign whose wallet it is. */
const delegate = async (person: PrivateKeyAccount, amount: number): Promise<ExternalWallet> => {
  const { networks } = await project.delegation.getChainConfig({ network: 'linea' })
  const { spenderAddress, chainId } = present(networks[0])
  const { token, nonce } = await project.delegation.issueDelegationToken({ userId: USER, network: 'linea', address: person.address })
  const txHash = await usdc.approve(person, spenderAddress as Hex, units(amount))
  await anvil.mine(2)
  const sigMessage = new SiweMessage({
    domain: PAGE, address: person.address, statement: 'Prove address ownership', uri: `https://${PAGE}`, version: '1', chainId: Number(chainId),
    nonce, issuedAt: new Date().toISOString(), expirationTime: new Date(Date.now() + 120_000).toISOString(),
  }).prepareMessage()
  const sigHash = await person.signMessage({ message: sigMessage })
  const { delegation } = await project.delegation.completeEvmDelegation({
    address: person.address, network: 'linea', currency: 'usdc', amount: String(amount), txHash, sigHash, sigMessage, token,
  })
  return present(delegation)
}
const show = async (): Promise<readonly ExternalWallet[]> => {
  const { externalWallets } = await project.delegation.listExternalWallets({ userId: USER })
  for (const { address, priority, state, standing } of externalWallets)
    print(`  ${priority}`, `${address} ${state === ExternalWalletState.ACTIVE ? 'active' : 'revoked'}, allowance ${standing?.allowance}, balance ${standing?.balance}`)
  return externalWallets
}
const pay = async (amount: string): Promise<Spend> => {
  const { spend } = await project.delegation.spendDelegation({ userId: USER, network: 'linea', currency: 'usdc', amount, destination: shop })
  const { spendId } = present(spend)
  for (;;) {
    await anvil.mine(1)
    const now = present((await project.delegation.getSpend({ spendId })).spend)
    if (now.state !== SpendState.PENDING) return now
    await new Promise((done) => setTimeout(done, 100))
  }
}

heading('Two wallets of one person')
const [everyday, savings] = [personOf('everyday'), personOf('savings')]
for (const [person, held] of [[everyday, 40], [savings, 500]] as const) await usdc.give(person.address, units(held))
const first = await delegate(everyday, 50)
const second = await delegate(savings, 200)
await show()

heading('Savings first')
await project.delegation.updateExternalWalletPriorities({
  userId: USER,
  priorities: [{ externalWalletId: second.externalWalletId, priority: 1 }, { externalWalletId: first.externalWalletId, priority: 2 }],
})
await show()

heading('The project spends')
const spent = await pay('60.50')
print('spend', `${spent.amount} usdc from ${spent.externalWalletId === second.externalWalletId ? 'savings' : 'everyday'}: ${spent.state === SpendState.SETTLED ? 'settled' : 'failed'}`)
print('transaction', spent.transactionHash)
const [left] = await show()
if (left?.standing?.allowance !== '139.5') throw new Error('the allowance did not drop')
print('the shop has', String(await usdc.balanceOf(shop)))

const refusal = async (call: Promise<unknown>): Promise<string> => {
  try {
    await call
  } catch (error) {
    if (error instanceof CountersignError) return String(error.reason)
    throw error
  }
  throw new Error('it was not refused')
}

heading('Taken back on the chain')
await usdc.approve(savings, spender.address as Hex, 0n)
await usdc.approve(everyday, spender.address as Hex, 0n)
print('spend refused', await refusal(pay('1')))
await show()
print('done', 'what the owners took back is spent no more')
