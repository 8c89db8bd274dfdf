/** Tokens on a test node, and people who hold and approve them. */
import { readFileSync } from 'node:fs'
import { resolve } from 'node:path'
import { createWalletClient, encodeAbiParameters, getContractAddress, http, keccak256, parseAbi, toBytes, TransactionReceiptNotFoundError } from 'viem'
import type { Hex } from 'viem'
import { privateKeyToAccount, type PrivateKeyAccount } from 'viem/accounts'
import type { Anvil } from './start-anvil.ts'

export type TokenKind = 'StandardToken' | 'TetherStyleToken' | 'TollToken' | 'RefusingToken'
const contracts = JSON.parse(readFileSync(resolve(import.meta.dirname, '../contracts/tokens.json'), 'utf8')) as Record<TokenKind, Hex>

export const TOKEN = parseAbi([
  'function approve(address,uint256)',
  'function transfer(address,uint256)',
  'function transferFrom(address,address,uint256)',
  'function balanceOf(address) view returns (uint256)',
  'function allowance(address,address) view returns (uint256)',
])
const ETHER = 10n ** 18n

export const personOf = (name: string): PrivateKeyAccount => privateKeyToAccount(keccak256(toBytes(name)))
const DEPLOYER = personOf('deployer')

const over = (anvil: Anvil, account: PrivateKeyAccount) =>
  createWalletClient({ account, chain: anvil.chain, transport: http(anvil.rpcUrl) })

/** Answers when the transaction is in a block. Looks until it is; one that waits for the next block may wait for none. */
export const mined = async ({ node }: Anvil, hash: Hex): Promise<void> => {
  for (;;) {
    const receipt = await node.getTransactionReceipt({ hash }).catch((error: unknown) => {
      if (error instanceof TransactionReceiptNotFoundError) return undefined
      throw error
    })
    if (receipt !== undefined) return
    await new Promise((done) => setTimeout(done, 20))
  }
}

export type Token = {
  readonly address: Hex
  /** Each answers when it is in a block. */
  readonly give: (to: Hex, units: bigint) => Promise<Hex>
  /** `tip`: what it pays the block builder for a unit of gas, to come before others. */
  readonly approve: (owner: PrivateKeyAccount, spender: Hex, units: bigint, tip?: bigint) => Promise<Hex>
  readonly transfer: (from: PrivateKeyAccount, to: Hex, units: bigint) => Promise<Hex>
  readonly balanceOf: (owner: Hex) => Promise<bigint>
  readonly allowance: (owner: Hex, spender: Hex) => Promise<bigint>
}

/** Deploys a token, all of it the deployer's. Not to be called at once with another of the same node. */
export const deployToken = async (anvil: Anvil, kind: TokenKind): Promise<Token> => {
  const { node } = anvil
  await anvil.fund(DEPLOYER.address, 100n * ETHER)
  const nonce = await node.getTransactionCount({ address: DEPLOYER.address })
  const supply = encodeAbiParameters([{ type: 'uint256' }], [10n ** 15n]).slice(2)
  const deployed = await over(anvil, DEPLOYER).sendTransaction({ data: `${contracts[kind]}${supply}`, gas: 3_000_000n })
  await mined(anvil, deployed)
  const address = getContractAddress({ from: DEPLOYER.address, nonce: BigInt(nonce) })
  const write = async (account: PrivateKeyAccount, functionName: 'approve' | 'transfer', args: readonly [Hex, bigint], tip?: bigint): Promise<Hex> => {
    if ((await node.getBalance({ address: account.address })) === 0n) await anvil.fund(account.address, 10n * ETHER)
    const fees = tip === undefined ? {} : { maxPriorityFeePerGas: tip, maxFeePerGas: tip + 100_000_000_000n }
    const hash = await over(anvil, account).writeContract({ address, abi: TOKEN, functionName, args, gas: 200_000n, ...fees })
    await mined(anvil, hash)
    return hash
  }
  return {
    address,
    give: (to, units) => write(DEPLOYER, 'transfer', [to, units]),
    approve: (owner, spender, units, tip) => write(owner, 'approve', [spender, units], tip),
    transfer: (from, to, units) => write(from, 'transfer', [to, units]),
    balanceOf: (owner) => node.readContract({ address, abi: TOKEN, functionName: 'balanceOf', args: [owner] }),
    allowance: (owner, spender) => node.readContract({ address, abi: TOKEN, functionName: 'allowance', args: [owner, spender] }),
  }
}
