/**
 * The journey of examples/spending.ts on Solana: a person lets a project spend tokens of their own wallet, within a limit
 * that the chain keeps, and takes that back.
 *
 *   npm run example:spending
 *
 * starts a daemon on a temporary directory, and a cluster of Solana's own virtual machine (litesvm) behind JSON-RPC.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Address } from '@solana/kit'
import { KeyType } from '../gen/countersign/v1/common_pb.ts'
import { ExternalWalletState, SpendState } from '../gen/countersign/v1/delegation_pb.ts'
import { createCountersignClient } from '../src/client/countersign-client.ts'
import { CountersignError } from '../src/client/countersign-error.ts'
import { encodeBase58 } from '../src/domain/base58.ts'
import { newKey } from '../test/e2e/callers.ts'
import { startDaemon } from '../test/e2e/start-daemon.ts'
import { configFile } from '../test/client/config-file.ts'
import { createTokens } from '../test/client/solana-tokens.ts'
import { startLitesvm } from '../test/client/start-litesvm.ts'

const DOMAIN = 'card.example'
const USER = 'alice'

const print = (what: string, value: string) => process.stdout.write(`${what.padEnd(16)} ${value}\n`)
const heading = (text: string) => process.stdout.write(`\n${text}\n`)
const present = <T>(value: T | undefined): T => {
  if (value === undefined) throw new Error('the answer holds less than it should')
  return value
}

await using resources = new AsyncDisposableStack()
const cluster = resources.use(await startLitesvm())
const usdc = createTokens(cluster)
const config = resources.use(configFile([
  'egress_allow = "127.0.0.1"', 'chain_confirmations = 1',
  '[[chain]]', 'network = "solana"', `genesis_hash = "${cluster.genesisHash}"`, `rpc = "${cluster.rpcUrl}"`, 'poll_ms = 100',
  '[[token]]', 'network = "solana"', 'currency = "usdc"', `address = "${usdc.mint}"`, 'decimals = 6',
]))
const daemon = resources.use(await startDaemon({ args: ['--config', config.path] }))
const connectTo = (apiKey: string) => resources.use(createCountersignClient({ endpoint: daemon.endpoints.grpc, apiKey }))
print('daemon', daemon.endpoints.grpc)
print('cluster', cluster.rpcUrl)

heading('The operator makes a spender, with lamports for fees, and names it')
const admin = connectTo(daemon.adminKey)
const spender = present((await admin.wallets.createWallet({ userId: 'card-spender', keyType: KeyType.ED25519 })).wallet)
cluster.airdrop(spender.address as Address, 1_000_000_000n)
await admin.admin.updateProject({
  project: { projectId: 'default', siweDomains: [DOMAIN], spenders: [{ network: 'solana', walletId: spender.walletId }] },
  updateMask: { paths: ['siwe_domains', 'spenders'] },
})
const card = connectTo((await newKey(admin, [{ name: 'delegation:create' }, { name: 'delegation:spend' }])).secret)
print('spender', spender.address)

heading('The app asks whom to approve, and for a token')
const { networks } = await card.delegation.getChainConfig({ network: 'solana' })
const { spenderAddress } = present(networks[0])
const alice = usdc.person()
await usdc.give(alice.address, 80_000_000n)
const { token, nonce } = await card.delegation.issueDelegationToken({ userId: USER, network: 'solana', address: alice.address })
print('token', `${token.slice(0, 8)}…, nonce ${nonce}`)

heading('Alice approves 50 USDC on chain and signs who she is')
const txHash = await usdc.approve(alice, spenderAddress as Address, 50_000_000n)
const time = (ms: number): string => new Date(Date.now() + ms).toISOString()
const sigMessage = [
  `${DOMAIN} wants you to sign in with your Solana account:`, alice.address, '', 'Prove address ownership', '', `URI: https://${DOMAIN}`,
  'Version: 1', 'Chain ID: localnet', `Nonce: ${nonce}`, `Issued At: ${time(0)}`, `Expiration Time: ${time(120_000)}`,
].join('\n')
const sigHash = encodeBase58(alice.sign(Buffer.from(sigMessage)))
const common = { address: alice.address, network: 'solana', currency: 'usdc', amount: '50' }
const { delegation } = await card.delegation.completeSolanaDelegation({ ...common, txHash, sigHash, sigMessage, token })
print('approval', `${txHash.slice(0, 16)}…`)
print('registered', present(delegation).externalWalletId)

heading('The project spends')
const list = async () => present((await card.delegation.listExternalWallets({ userId: USER })).externalWallets[0])
const shop = usdc.person()
const asked = { userId: USER, network: 'solana', currency: 'usdc', destination: shop.address }
let { spend } = await card.delegation.spendDelegation({ ...asked, amount: '12.50', createDestinationAccount: true })
while (present(spend).state === SpendState.PENDING) {
  await sleep(100)
  ;({ spend } = await card.delegation.getSpend({ spendId: present(spend).spendId }))
}
print('spent', `${present(spend).amount} USDC, ${present(spend).state === SpendState.SETTLED ? 'settled' : 'failed'}`)
print('shop has', `${await usdc.balanceOf(shop.address)} units`)
print('allowance left', `${present((await list()).standing).allowance} USDC`)

const refused = async (amount: string): Promise<string> => {
  try {
    await card.delegation.spendDelegation({ ...asked, amount })
    return 'not refused'
  } catch (error) {
    if (error instanceof CountersignError) return error.reason ?? error.message
    throw error
  }
}
print('spends 40', await refused('40'))

heading('Alice takes it back on chain')
await usdc.revoke(alice)
print('wallet is', (await list()).state === ExternalWalletState.REVOKED ? 'revoked' : 'active')
print('spends 1', await refused('1'))
