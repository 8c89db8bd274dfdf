/** VerifySignature of contract accounts, against a real EVM: accounts that are deployed, that are not, and odd ones. */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { createWalletClient, encodeAbiParameters, encodeFunctionData, getAddress, getContractAddress, hashMessage, http, keccak256, parseAbi, toBytes } from 'viem'
import type { Hex } from 'viem'
import { privateKeyToAccount } from 'viem/accounts'
import { foundry } from 'viem/chains'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { SignerKind } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { type Anvil, startAnvil } from '../client/start-anvil.ts'
import { connect, newWallet, reasonOf } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

const contracts = JSON.parse(readFileSync(resolve(import.meta.dirname, '../contracts/accounts.json'), 'utf8')) as Record<
  'OwnedAccount' | 'AccountFactory' | 'OddAccount', Hex
>
const FACTORY = parseAbi(['function deploy(address) returns (address)', 'function addressOf(address) view returns (address)'])
const MAGIC_TAIL = '6492'.repeat(16)

let anvil: Anvil
let daemon: TestDaemon
let client: CountersignClient
let folder: string
let owner: Hex
let owned: Hex
let odd: Hex
let factory: Hex

const deploy = async (from: ReturnType<typeof deployer>, nonce: number, code: Hex, args: Hex = '0x'): Promise<Hex> => {
  const hash = await from.sendTransaction({ data: `${code}${args.slice(2)}`, nonce, gas: 5_000_000n })
  await anvil.node.waitForTransactionReceipt({ hash })
  return getContractAddress({ from: from.account.address, nonce: BigInt(nonce) })
}

const deployer = () =>
  createWalletClient({ account: privateKeyToAccount(keccak256(toBytes('deployer'))), chain: foundry, transport: http(anvil.rpcUrl) })

beforeAll(async () => {
  anvil = await startAnvil()
  folder = mkdtempSync(join(tmpdir(), 'countersign-chains-'))
  const config = join(folder, 'countersign.toml')
  writeFileSync(config, [
    'egress_allow = "127.0.0.1"',
    '[[chain]]', 'network = "local"', `chain_id = ${anvil.chainId}`, `rpc = "${anvil.rpcUrl},${anvil.rpcUrl}"`,
    '[[chain]]', 'network = "elsewhere"', 'chain_id = 1', `rpc = "${anvil.rpcUrl}"`,
    '[[chain]]', 'network = "away"', 'chain_id = 5', 'rpc = "http://127.0.0.1:1"',
  ].join('\n'))
  daemon = await startDaemon({ args: ['--config', config] })
  client = connect(daemon, daemon.adminKey)
  owner = (await newWallet(client, 'owner')).address as Hex
  const from = deployer()
  await anvil.fund(from.account.address, 10n ** 20n)
  owned = await deploy(from, 0, contracts.OwnedAccount, encodeAbiParameters([{ type: 'address' }], [owner]))
  odd = await deploy(from, 1, contracts.OddAccount)
  factory = await deploy(from, 2, contracts.AccountFactory)
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
  await anvil[Symbol.asyncDispose]()
  rmSync(folder, { recursive: true, force: true })
})

const signed = async (text: string): Promise<Uint8Array> => {
  const { signature } = await client.wallets.signMessage({ wallet: 'owner', content: { case: 'text', value: text } })
  return signature?.raw as Uint8Array
}

const verify = (address: string, signature: Uint8Array, network = 'local', text = 'hello') =>
  client.wallets.verifySignature({
    signer: { case: 'address', value: address }, content: { case: 'text', value: text }, signature, network,
  })

describe('an account with code', () => {
  it('is asked, and takes what its owner signed', async () => {
    const answer = await verify(owned, await signed('hello'))
    expect(answer).toMatchObject({ valid: true, signerKind: SignerKind.CONTRACT, recoveredAddress: getAddress(owner) })
    expect(answer.blockNumber).toBeGreaterThan(0n)
  })

  it('does not take another message, another signer, or nothing', async () => {
    expect(await verify(owned, await signed('other'))).toMatchObject({ valid: false, signerKind: SignerKind.CONTRACT })
    expect(await verify(owned, new Uint8Array(65).fill(1))).toMatchObject({ valid: false, signerKind: SignerKind.CONTRACT })
    expect(await verify(owned, Uint8Array.of(0))).toMatchObject({ valid: false, signerKind: SignerKind.CONTRACT })
  })

  const ODD = ['takes everything', 'reverts', 'never ends', 'answers too shortly', 'answers too long', 'answers with more in the word',
    'answers with a megabyte', undefined, 'answers nothing', 'answers 1', 'has an invalid opcode']
  it.each(ODD.flatMap((name, way) => (name === undefined || way === 0 ? [] : [[name, way] as const])))('that %s has not signed', async (_name, way) => {
    const asked = verify(odd, Uint8Array.of(way))
    // A megabyte is more than is read of a provider: nobody has answered then.
    if (way === 6) expect(await reasonOf(asked)).toBe('CHAIN_UNAVAILABLE')
    else expect(await asked).toMatchObject({ valid: false, signerKind: SignerKind.CONTRACT })
  })

  it('that takes everything is a contract that says so, and nobody whose key signed', async () => {
    expect(await verify(odd, Uint8Array.of(0))).toMatchObject({ valid: true, signerKind: SignerKind.CONTRACT })
  })
})

describe('an account without code', () => {
  it('is its key, as without a network', async () => {
    expect(await verify(owner, await signed('hello'))).toMatchObject({ valid: true, signerKind: SignerKind.EOA, blockNumber: 0n })
    const answer = await verify(owner, await signed('other'))
    expect(answer).toMatchObject({ valid: false, signerKind: SignerKind.EOA })
  })

  it('is judged by the code it would have, which is deployed nowhere', async () => {
    const account = await anvil.node.readContract({ address: factory, abi: FACTORY, functionName: 'addressOf', args: [owner] })
    const deployCall = encodeFunctionData({ abi: FACTORY, functionName: 'deploy', args: [owner] })
    const wrap = (inner: Uint8Array, to: Hex = factory): Uint8Array => {
      const parameters = [{ type: 'address' }, { type: 'bytes' }, { type: 'bytes' }] as const
      const body = encodeAbiParameters(parameters, [to, deployCall, `0x${Buffer.from(inner).toString('hex')}`])
      return new Uint8Array(Buffer.from(body.slice(2) + MAGIC_TAIL, 'hex'))
    }
    const own = await signed('hello')
    expect(await verify(account, wrap(own))).toMatchObject({ valid: true, signerKind: SignerKind.COUNTERFACTUAL })
    expect(await anvil.node.getCode({ address: account })).toBeUndefined()
    expect(await verify(account, wrap(await signed('other')))).toMatchObject({ valid: false })
    expect(await verify(account, wrap(own, odd))).toMatchObject({ valid: false })
    expect(await verify(owner, wrap(own)), 'another account than the one that is deployed').toMatchObject({ valid: false })
    const garbage = new Uint8Array(Buffer.from('ff'.repeat(40) + MAGIC_TAIL, 'hex'))
    expect(await verify(account, garbage), 'no wrapped signature behind the tail').toMatchObject({ valid: false })
  })
})

describe('a chain', () => {
  it('that is not configured is said before anything is checked', async () => {
    expect(await reasonOf(verify(owner, await signed('hello'), 'linea'))).toBe('CHAIN_NOT_CONFIGURED')
  })

  it('that is another one, or away, leaves contracts unverified', async () => {
    const signature = await signed('other')
    expect(await reasonOf(verify(owned, signature, 'elsewhere'))).toBe('CHAIN_UNAVAILABLE')
    expect(await reasonOf(verify(owned, signature, 'away'))).toBe('CHAIN_UNAVAILABLE')
  })

  it('is not needed without a network: contracts have signed nothing then, and odd signatures are malformed', async () => {
    expect(await verify(owned, await signed('hello'), '')).toMatchObject({ valid: false, signerKind: SignerKind.EOA })
    expect(await reasonOf(verify(owned, Uint8Array.of(1), ''))).toBe('SIGNATURE_MALFORMED')
    expect(hashMessage('hello')).toHaveLength(66)
  })
})
