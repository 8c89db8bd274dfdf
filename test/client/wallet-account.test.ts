import { randomUUID } from 'node:crypto'
import {
  createWalletClient,
  http,
  recoverMessageAddress,
  recoverTransactionAddress,
  serializeTransaction,
  verifyTypedData,
  type Hex,
  type TransactionSerializable,
} from 'viem'
import { generatePrivateKey, privateKeyToAddress } from 'viem/accounts'
import { foundry } from 'viem/chains'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import { type CountersignAccount, toCountersignAccount } from '../../src/client/countersign-account.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import { startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { type Anvil, startAnvil } from './start-anvil.ts'

const ETHER = 10n ** 18n
const GWEI = 10n ** 9n

let anvil: Anvil
let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet
let account: CountersignAccount

const createWallet = async (): Promise<Wallet> => {
  const request = { userId: `account-${randomUUID()}`, keyType: KeyType.SECP256K1, ownerType: OwnerType.PROJECT }
  const answer = await client.wallets.createWallet(request)
  return answer.wallet as Wallet
}

beforeAll(async () => {
  anvil = await startAnvil()
  daemon = await startDaemon()
  client = createCountersignClient({ endpoint: daemon.endpoints.grpc, apiKey: daemon.adminKey })
  wallet = await createWallet()
  account = toCountersignAccount(client, wallet)
  await anvil.fund(account.address, ETHER)
})

afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
  await anvil?.[Symbol.asyncDispose]()
})

const to = privateKeyToAddress(generatePrivateKey())
const fees = { maxFeePerGas: 20n * GWEI, maxPriorityFeePerGas: GWEI }
const accessList = [{ address: to, storageKeys: [`0x${'11'.repeat(32)}`] }] as const

/** Signs, has the chain accept it, and waits for the receipt. */
const send = async (fields: object) => {
  const nonce = await anvil.node.getTransactionCount({ address: account.address })
  const complete = { ...fields, chainId: anvil.chainId, nonce, gas: 100_000n } as TransactionSerializable
  const serializedTransaction = await account.signTransaction(complete)
  const hash = await anvil.node.sendRawTransaction({ serializedTransaction })
  return await anvil.node.waitForTransactionReceipt({ hash })
}

describe('a viem account on the daemon', () => {
  it.each([
    ['legacy', { gasPrice: 20n * GWEI }],
    ['eip2930', { gasPrice: 20n * GWEI, accessList }],
    ['eip1559', fees],
    ['eip1559', { ...fees, accessList }],
  ] as const)('signs %s transactions that the chain accepts', async (type, fields) => {
    const before = await anvil.node.getBalance({ address: to })
    const receipt = await send({ type, to, value: 7n, ...fields })
    expect(receipt).toMatchObject({ status: 'success', type, from: account.address.toLowerCase() })
    expect(await anvil.node.getBalance({ address: to })).toBe(before + 7n)
  })

  it('creates a contract', async () => {
    // Returns one byte of code, 0x00: PUSH1 1, PUSH1 0, RETURN.
    const receipt = await send({ type: 'eip1559', ...fees, data: '0x60016000f3' })
    expect(receipt.status).toBe('success')
    expect(await anvil.node.getCode({ address: receipt.contractAddress as Hex })).toBe('0x00')
  })

  it('delegates to a contract under EIP-7702 and takes it back', async () => {
    for (const contract of [to, '0x0000000000000000000000000000000000000000'] as const) {
      const nonce = await anvil.node.getTransactionCount({ address: account.address })
      const asked = { address: contract, chainId: anvil.chainId, nonce: nonce + 1 }
      const authorizationList = [await account.signAuthorization(asked)]
      const receipt = await send({ type: 'eip7702', to, ...fees, authorizationList })
      expect(receipt).toMatchObject({ status: 'success', type: 'eip7702' })
      const code = await anvil.node.getCode({ address: account.address })
      expect(code).toBe(contract === to ? `0xef0100${to.slice(2).toLowerCase()}` : undefined)
    }
  })

  it('signs blob transactions, without their blobs', async () => {
    const blobVersionedHashes: Hex[] = [`0x01${'22'.repeat(31)}`]
    const fields = { chainId: anvil.chainId, nonce: 0, gas: 21_000n, to, ...fees, maxFeePerBlobGas: GWEI }
    const signed = await account.signTransaction({ type: 'eip4844', ...fields, blobVersionedHashes })
    expect(signed.slice(0, 4)).toBe('0x03')
    expect(await recoverTransactionAddress({ serializedTransaction: signed as `0x03${string}` })).toBe(account.address)
  })

  it('sends through a wallet client like any account', async () => {
    const sender = createWalletClient({ account, chain: foundry, transport: http(anvil.rpcUrl) })
    const hash = await sender.sendTransaction({ to, value: 3n })
    expect((await anvil.node.waitForTransactionReceipt({ hash })).status).toBe('success')
  })

  it('signs messages and typed data that viem verifies', async () => {
    for (const message of ['', 'h\u00e9llo \u7f72\u540d', { raw: '0xdeadbeef' }] as const) {
      const signature = await account.signMessage({ message })
      expect(await recoverMessageAddress({ message, signature })).toBe(account.address)
    }
    const typedData = {
      domain: { name: 'Exchange', version: '1', chainId: anvil.chainId, verifyingContract: to },
      types: {
        Leg: [{ name: 'token', type: 'address' }],
        Order: [
          { name: 'legs', type: 'Leg[]' },
          { name: 'amount', type: 'uint256' },
          { name: 'salt', type: 'bytes32' },
          { name: 'cancel', type: 'bool' },
        ],
      },
      primaryType: 'Order',
      message: { legs: [{ token: to }], amount: 2n ** 256n - 1n, salt: `0x${'5a'.repeat(32)}`, cancel: false },
    } as const
    const signature = await account.signTypedData(typedData)
    expect(await verifyTypedData({ ...typedData, address: account.address, signature })).toBe(true)
  })

  it('signs a bare digest for a key that holds sign:digest', async () => {
    const hash: Hex = `0x${'ab'.repeat(32)}`
    const signature = await account.sign({ hash })
    const answer = await client.wallets.verifySignature({
      signer: { case: 'address', value: account.address },
      content: { case: 'digest', value: Buffer.from(hash.slice(2), 'hex') },
      signature: Buffer.from(signature.slice(2), 'hex'),
    })
    expect(answer).toMatchObject({ valid: true, recoveredAddress: account.address })
  })
})

describe('what the daemon refuses through the account', () => {
  it('transactions that are valid on every chain', async () => {
    const unprotected = { type: 'legacy', to, gas: 21_000n, gasPrice: 1n, nonce: 0 } as const
    await expect(account.signTransaction(unprotected)).rejects.toMatchObject({
      name: 'CountersignError',
      code: 'INVALID_ARGUMENT',
      reason: 'TRANSACTION_INVALID',
      retryable: 'no',
    })
  })

  it('what a custom serializer writes, where it is no transaction', async () => {
    const serializer: typeof serializeTransaction = () => '0x7ec0' as never
    const signed = account.signTransaction({ type: 'eip1559', chainId: 1, to, ...fees }, { serializer })
    await expect(signed).rejects.toMatchObject({ reason: 'TRANSACTION_INVALID' })
  })

  it('the zero digest', async () => {
    const signed = account.sign({ hash: `0x${'00'.repeat(32)}` })
    await expect(signed).rejects.toMatchObject({ reason: 'DIGEST_REFUSED' })
  })

  it('an archived wallet', async () => {
    const archived = await createWallet()
    const ghost = toCountersignAccount(client, archived)
    await client.wallets.archiveWallet({ wallet: archived.walletId })
    await expect(ghost.signMessage({ message: 'x' })).rejects.toMatchObject({ reason: 'WALLET_ARCHIVED' })
  })

  it('a caller without a key, and one with a wrong key', async () => {
    using nameless = createCountersignClient({ endpoint: daemon.endpoints.grpc })
    const missing = toCountersignAccount(nameless, wallet).signMessage({ message: 'x' })
    await expect(missing).rejects.toMatchObject({ code: 'UNAUTHENTICATED', reason: 'API_KEY_MISSING' })
    using wrong = createCountersignClient({ endpoint: daemon.endpoints.grpc, apiKey: `csk_${'a'.repeat(43)}` })
    const invalid = toCountersignAccount(wrong, wallet).signMessage({ message: 'x' })
    await expect(invalid).rejects.toMatchObject({ code: 'UNAUTHENTICATED', reason: 'API_KEY_INVALID' })
  })
})

describe('the client on the unix socket', () => {
  it('finds the wallet and watches the audit log until it leaves', async () => {
    using local = createCountersignClient({ socketPath: daemon.endpoints.socket, apiKey: daemon.adminKey })
    const answer = await local.wallets.getWallet({ wallet: wallet.walletId })
    expect(answer.wallet?.address).toBe(wallet.address)
    const kinds: string[] = []
    for await (const { event } of local.audit.watchEvents({ subject: wallet.walletId })) {
      kinds.push(event?.kind ?? '')
      if (event?.kind === 'sign.intent') break
    }
    expect(kinds).toContain('wallet.created')
    // The daemon is still there for others, and stops at once: the stream did not stay open.
    expect((await local.wallets.getWallet({ wallet: wallet.walletId })).wallet?.walletId).toBe(wallet.walletId)
  })
})
