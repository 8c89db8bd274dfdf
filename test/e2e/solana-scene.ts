/** A daemon over a Solana cluster of litesvm, with a spender that people approve, and nodes that can be bent. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { Address } from '@solana/kit'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { encodeBase58 } from '../../src/domain/base58.ts'
import { TOKEN_2022_PROGRAM } from '../../src/payload/solana-programs.ts'
import { createTokens, type Person, type Tokens } from '../client/solana-tokens.ts'
import { type Bend, type SolanaCluster, startLitesvm } from '../client/start-litesvm.ts'
import { connect, newWallet } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

export const DOMAIN = 'app.example'
export const honest: Bend = (_method, _params, ask) => ask()

export type Changes = Partial<Record<'domain' | 'address' | 'statement' | 'uri' | 'chainId' | 'nonce' | 'issuedAt' | 'expirationTime' | 'notBefore', string>>
export const at = (ms: number): string => new Date(Date.now() + ms).toISOString()

export const messageOf = (person: Person, nonce: string, changes: Changes = {}): string => {
  const part = {
    domain: DOMAIN, address: person.address as string, statement: 'Prove address ownership', uri: `https://${DOMAIN}/card`, chainId: 'localnet', nonce,
    issuedAt: at(0), expirationTime: at(120_000), notBefore: '', ...changes,
  }
  return [
    `${part.domain} wants you to sign in with your Solana account:`, part.address, '', part.statement, '', `URI: ${part.uri}`, 'Version: 1',
    `Chain ID: ${part.chainId}`, `Nonce: ${part.nonce}`, `Issued At: ${part.issuedAt}`,
    ...(part.expirationTime === '' ? [] : [`Expiration Time: ${part.expirationTime}`]), ...(part.notBefore === '' ? [] : [`Not Before: ${part.notBefore}`]),
  ].join('\n')
}

export const signedBy = (person: Person, sigMessage: string) => ({ sigMessage, sigHash: encodeBase58(person.sign(Buffer.from(sigMessage))) })

export type DelegateOptions = { readonly units?: bigint; readonly balance?: bigint; readonly tokens?: Tokens; readonly checked?: boolean; readonly spender?: Address }

export type SolanaScene = {
  /** Read as `solana`, from two nodes. */
  readonly cluster: SolanaCluster
  /** Read as `solana-devnet`, from one. */
  readonly elsewhere: SolanaCluster
  /** Of the token program; `eurc` is of Token-2022, and `odd` a name for `usdc` with other decimals. */
  readonly usdc: Tokens
  readonly eurc: Tokens
  readonly daemon: TestDaemon
  readonly admin: CountersignClient
  readonly spender: Wallet
  /** What the second node says. */
  bend: Bend
  /** Another daemon on the same data, after this one has ended. */
  readonly restart: () => Promise<{ readonly daemon: TestDaemon; readonly admin: CountersignClient }>
  readonly issue: (person: Person, userId: string, network?: string) => Promise<{ readonly token: string; readonly nonce: string }>
  /** A person who has approved, and all that a completion asks for. */
  readonly delegation: (userId: string, options?: DelegateOptions) => Promise<Delegation>
  readonly [Symbol.asyncDispose]: () => Promise<void>
}

export type Delegation = {
  readonly person: Person
  readonly nonce: string
  readonly request: {
    readonly address: string
    readonly network: string
    readonly currency: string
    readonly amount: string
    readonly sigMessage: string
    readonly sigHash: string
    readonly txHash: string
    readonly token: string
  }
}

const settingsOf = (cluster: SolanaCluster, second: string, elsewhere: SolanaCluster, usdc: Tokens, eurc: Tokens): string =>
  [
    'egress_allow = "127.0.0.1"', 'chain_confirmations = 2', 'chain_follow_seconds = 1',
    '[[chain]]', 'network = "solana"', `genesis_hash = "${cluster.genesisHash}"`, `rpc = "${cluster.rpcUrl},${second}"`, 'poll_ms = 50', 'max_priority_fee_lamports = 20',
    '[[chain]]', 'network = "solana-devnet"', `genesis_hash = "${elsewhere.genesisHash}"`, `rpc = "${elsewhere.rpcUrl}"`,
    '[[token]]', 'network = "solana"', 'currency = "usdc"', `address = "${usdc.mint}"`, 'decimals = 6',
    '[[token]]', 'network = "solana"', 'currency = "eurc"', `address = "${eurc.mint}"`, 'decimals = 6',
    '[[token]]', 'network = "solana"', 'currency = "odd"', `address = "${usdc.mint}"`, 'decimals = 9',
  ].join('\n')

export const startSolanaScene = async (): Promise<SolanaScene> => {
  await using starting = new AsyncDisposableStack()
  const [cluster, elsewhere] = [starting.use(await startLitesvm()), starting.use(await startLitesvm())]
  const [usdc, eurc] = [createTokens(cluster), createTokens(cluster, TOKEN_2022_PROGRAM as Address)]
  const second = await cluster.listen((...asked) => scene.bend(...asked))
  const folder = mkdtempSync(join(tmpdir(), 'countersign-solana-'))
  starting.defer(() => rmSync(folder, { recursive: true, force: true }))
  const config = join(folder, 'countersign.toml')
  writeFileSync(config, settingsOf(cluster, second, elsewhere, usdc, eurc))
  let stack: AsyncDisposableStack = starting
  const start = async () => {
    const daemon = stack.use(await startDaemon({ dataDir: folder, args: ['--config', config], keepData: true }))
    const admin = connect(daemon, daemon.adminKey)
    stack.defer(() => admin.close())
    return { daemon, admin }
  }
  const { daemon, admin } = await start()
  const spender = await newWallet(admin, 'spender', '', KeyType.ED25519)
  cluster.airdrop(spender.address as Address, 10_000_000_000n)
  const spenders = ['solana', 'solana-devnet'].map((network) => ({ network, walletId: spender.walletId }))
  await admin.admin.updateProject({
    project: { projectId: 'default', siweDomains: [DOMAIN, 'localhost:3000'], spenders },
    updateMask: { paths: ['siwe_domains', 'spenders'] },
  })
  const issue: SolanaScene['issue'] = (person, userId, network = 'solana') =>
    admin.delegation.issueDelegationToken({ userId, network, address: person.address })
  const delegation: SolanaScene['delegation'] = async (userId, { units = 50_000_000n, balance = 7_250_000n, tokens = usdc, checked = true, spender: to = spender.address as Address } = {}) => {
    const person = tokens.person()
    await tokens.give(person.address, balance)
    const txHash = await tokens.approve(person, to, units, checked)
    const { token, nonce } = await issue(person, userId)
    const amount = `${units / 1_000_000n}.${String(units % 1_000_000n).padStart(6, '0')}`
    const common = { address: person.address as string, network: 'solana', currency: tokens === usdc ? 'usdc' : 'eurc', amount }
    return { person, nonce, request: { ...common, ...signedBy(person, messageOf(person, nonce)), txHash, token } }
  }
  const held = starting.move()
  stack = held
  const scene: SolanaScene = {
    cluster, elsewhere, usdc, eurc, daemon, admin, spender, bend: honest, restart: start, issue, delegation,
    [Symbol.asyncDispose]: () => held.disposeAsync(),
  }
  return scene
}
