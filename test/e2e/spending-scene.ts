/** A daemon that takes spending delegations on a real EVM chain, over providers that can be bent. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Hex } from 'viem'
import type { PrivateKeyAccount } from 'viem/accounts'
import { createSiweMessage } from 'viem/siwe'
import type { ExternalWallet } from '../../gen/countersign/v1/delegation_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { type BendingRpc, startBendingRpc } from '../client/bending-rpc.ts'
import { deployToken, personOf, type Token, type TokenKind } from '../client/evm-tokens.ts'
import { type Anvil, startAnvil } from '../client/start-anvil.ts'
import { connect, newWallet } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

const DOMAIN = 'app.example'
export const CHAIN_ID = 59_144
/** `linea` is read from two providers, the second of which can be bent; `lone` from one that can; `stalled` from one that never answers. */
export type Network = 'linea' | 'lone' | 'stalled'

export type Delegated = { readonly account: PrivateKeyAccount; readonly wallet: ExternalWallet }
export type SpendingScene = {
  readonly anvil: Anvil
  readonly daemon: TestDaemon
  readonly admin: CountersignClient
  /** The project's spender on both networks. */
  readonly spender: Hex
  readonly tokens: Readonly<Record<string, Token>>
  readonly beside: BendingRpc
  readonly lone: BendingRpc
  /** Another daemon on the same data, after this one has ended. */
  readonly restart: () => Promise<{ readonly daemon: TestDaemon; readonly admin: CountersignClient }>
  /** What CompleteEvmDelegation is asked for so much of a person's. */
  readonly request: (name: string, units: bigint, options?: DelegateOptions) => Promise<CompleteRequest>
  /** A person who has `balance` units and approves `units` of them, and is registered. */
  readonly delegate: (name: string, units: bigint, options?: DelegateOptions & { readonly balance?: bigint }) => Promise<Delegated>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export type DelegateOptions = { readonly userId?: string; readonly currency?: string; readonly network?: Network }
export type CompleteRequest = {
  readonly address: Hex
  readonly network: Network
  readonly currency: string
  readonly amount: string
  readonly txHash: Hex
  readonly sigHash: Hex
  readonly sigMessage: string
  readonly token: string
}

const KINDS: Readonly<Record<string, TokenKind>> = {
  usdc: 'StandardToken', usdt: 'TetherStyleToken', toll: 'TollToken', shut: 'RefusingToken',
}

const settingsOf = (anvil: Anvil, tokens: Readonly<Record<string, Token>>, providers: Readonly<Record<string, string>>): string =>
  [
    'egress_allow = "127.0.0.1"', 'chain_confirmations = 2', 'chain_follow_seconds = 1',
    ...Object.entries(providers).flatMap(([network, rpc]) => ['[[chain]]', `network = "${network}"`, `chain_id = ${anvil.chainId}`, `rpc = "${rpc}"`, 'poll_ms = 100']),
    ...Object.keys(providers).flatMap((network) =>
      Object.entries(tokens).flatMap(([currency, { address }]) => ['[[token]]', `network = "${network}"`, `currency = "${currency}"`, `address = "${address}"`, 'decimals = 6']),
    ),
  ].join('\n')

export const startSpendingScene = async (): Promise<SpendingScene> => {
  await using starting = new AsyncDisposableStack()
  const anvil = starting.use(await startAnvil(CHAIN_ID))
  const tokens: Record<string, Token> = {}
  for (const [currency, kind] of Object.entries(KINDS)) tokens[currency] = await deployToken(anvil, kind)
  const [beside, lone, stalled] = [await startBendingRpc(anvil.rpcUrl), await startBendingRpc(anvil.rpcUrl), await startBendingRpc(anvil.rpcUrl)]
  for (const one of [beside, lone, stalled]) starting.use(one)
  stalled.bend = () => 'stall'
  const folder = mkdtempSync(join(tmpdir(), 'countersign-spending-'))
  starting.defer(() => rmSync(folder, { recursive: true, force: true }))
  const config = join(folder, 'countersign.toml')
  writeFileSync(config, settingsOf(anvil, tokens, { linea: `${anvil.rpcUrl},${beside.url}`, lone: lone.url, stalled: stalled.url }))
  const args = ['--config', config]
  let held: AsyncDisposableStack = starting
  const start = async () => {
    const daemon = held.use(await startDaemon({ dataDir: folder, args, keepData: true }))
    const admin = connect(daemon, daemon.adminKey)
    held.defer(() => admin.close())
    return { daemon, admin }
  }
  const { daemon, admin } = await start()
  const made = await newWallet(admin, 'spender')
  const spender = made.address as Hex
  await anvil.fund(spender, 10n ** 20n)
  const spenders = ['linea', 'lone', 'stalled'].map((network) => ({ network, walletId: made.walletId }))
  await admin.admin.updateProject({ project: { projectId: 'default', siweDomains: [DOMAIN], spenders }, updateMask: { paths: ['siwe_domains', 'spenders'] } })

  const request = async (name: string, units: bigint, { userId = name, currency = 'usdc', network = 'linea' }: DelegateOptions = {}): Promise<CompleteRequest> => {
    const account = personOf(name)
    const txHash = await (tokens[currency] as Token).approve(account, spender, units)
    await anvil.mine(2)
    const { token, nonce } = await admin.delegation.issueDelegationToken({ userId, network, address: account.address })
    const sigMessage = createSiweMessage({
      domain: DOMAIN, address: account.address, statement: 'Prove address ownership', uri: `https://${DOMAIN}/card`, version: '1',
      chainId: CHAIN_ID, nonce, issuedAt: new Date(), expirationTime: new Date(Date.now() + 120_000),
    })
    const amount = `${units / 1_000_000n}.${String(units % 1_000_000n).padStart(6, '0')}`
    return { address: account.address, network, currency, amount, txHash, sigMessage, sigHash: await account.signMessage({ message: sigMessage }), token }
  }
  const delegate: SpendingScene['delegate'] = async (name, units, { balance = units, ...options } = {}) => {
    const account = personOf(name)
    if (balance > 0n) await (tokens[options.currency ?? 'usdc'] as Token).give(account.address, balance)
    const { delegation } = await admin.delegation.completeEvmDelegation(await request(name, units, options))
    if (delegation === undefined) throw new Error('no delegation in the answer')
    return { account, wallet: delegation }
  }
  held = starting.move()
  return { anvil, daemon, admin, spender, tokens, beside, lone, restart: start, request, delegate, [Symbol.asyncDispose]: () => held.disposeAsync() }
}
