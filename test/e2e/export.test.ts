/** A private key leaves through the running daemon: in two sealed parts, with a consent that the cosigner judges by itself. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { createHash, randomBytes, verify } from 'node:crypto'
import { rmSync } from 'node:fs'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { createExportKey, type ExportKey, exportPrivateKey } from '../../src/client/export-private-key.ts'
import { proveWalletSecret } from '../../src/client/wallet-secret.ts'
import { rowsOfKind } from './audit-rows.ts'
import { newDevice } from '../party/owned-wallets.ts'
import { connect, newWallet, reasonOf, refusalOf } from './callers.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

const BOTH = ['--allow-export', '--cosigner-allow-export']
const base = makeDataDir()
const device = newDevice()
let daemon: TestDaemon
let client: CountersignClient
let cosignerId: string
const wallets: { evm: Wallet; solana: Wallet; owned: Wallet } = {} as never
const approved: { evm: [string, ExportKey]; solana: [string, ExportKey]; owned: [string, ExportKey] } = {} as never

const start = async (args: readonly string[]): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args })
  client = connect(daemon, daemon.adminKey)
}

const cosignerCli = async (...args: string[]): Promise<string> => {
  const run = await runCli(['cosigner', ...args, '--data-dir', daemon.dataDir])
  if (run.code !== 0) throw new Error(run.stderr)
  return run.stdout.trim()
}

const approve = async (wallet: Wallet): Promise<[string, ExportKey]> => {
  const key = createExportKey()
  const base64 = Buffer.from(key.publicKey).toString('base64')
  return [await cosignerCli('approve-export', '--wallet', wallet.walletId, '--x25519-key', base64), key]
}

const take = (wallet: Wallet, [approvalId, exportKey]: [string, ExportKey]) => {
  const consent = { approvalId: new Uint8Array(Buffer.from(approvalId, 'hex')), exportKey }
  return exportPrivateKey(client, { wallet: wallet.walletId, cosignerId, consent })
}

const rawRequest = (wallet: Wallet, changes: object = {}) => {
  const expireMs = Date.now() + 60_000
  return client.wallets.exportPrivateKey({
    wallet: wallet.walletId,
    walletEpoch: 0,
    exportKey: { case: 'x25519', value: createExportKey().publicKey },
    expireTime: { seconds: BigInt(Math.floor(expireMs / 1_000)), nanos: 0 },
    nonce: randomBytes(32),
    consent: { case: 'approvalId', value: randomBytes(16) },
    ...changes,
  })
}

beforeAll(async () => {
  await start(['--cosigner-allow-export'])
  cosignerId = (await client.admin.getStatus({})).status?.cosignerId ?? ''
  wallets.evm = await newWallet(client, 'evm')
  wallets.solana = await newWallet(client, 'solana', '', KeyType.ED25519)
  const entry = { cosignerId, projectId: 'default', userId: 'anna' }
  const walletSecret = await proveWalletSecret(entry, device)
  const owned = { userId: 'anna', keyType: KeyType.SECP256K1, ownerType: OwnerType.END_USER }
  wallets.owned = (await client.wallets.createWallet({ ...owned, walletSecret })).wallet as Wallet
  expect(await reasonOf(rawRequest(wallets.evm))).toBe('EXPORT_NOT_ENABLED')
  const second = { ...owned, label: 'second', walletSecret: await proveWalletSecret(entry, newDevice()) }
  expect(await reasonOf(client.wallets.createWallet(second))).toBe('WALLET_SECRET_REFUSED')
  const projects = { userId: 'bert', keyType: KeyType.SECP256K1, walletSecret }
  expect(await reasonOf(client.wallets.createWallet(projects))).toBe('INVALID_REQUEST')
  await daemon.kill('SIGTERM')
  expect(await cosignerCli('identity')).toBe(cosignerId)
  for (const name of ['evm', 'solana', 'owned'] as const) approved[name] = await approve(wallets[name])
  await start(BOTH)
})
afterAll(async () => {
  await daemon.kill('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})

describe('ExportPrivateKey', () => {
  it('secp256k1: the exported key is that of the address, and signs offline; the wallet goes on signing', async () => {
    const { wallet, privateKey } = await take(wallets.evm, approved.evm)
    const account = privateKeyToAccount(`0x${Buffer.from(privateKey).toString('hex')}`)
    expect(account.address).toBe(wallets.evm.address)
    expect(wallet.exportTime).toBeUndefined()
    const here = await account.signMessage({ message: 'offline' })
    const content = { case: 'text', value: 'offline' } as const
    const verified = await client.wallets.verifySignature({
      signer: { case: 'wallet', value: wallet.walletId },
      content,
      signature: Buffer.from(here.slice(2), 'hex'),
    })
    expect(verified.valid).toBe(true)
    expect((await client.wallets.signMessage({ wallet: wallet.walletId, content })).signature).toBeDefined()
    const after = await client.wallets.getWallet({ wallet: wallet.walletId })
    expect(after.wallet?.exportTime).toBeDefined()
    const rows = await rowsOfKind(client, 'wallet.exported', 0n)
    expect(rows.map(({ subject }) => subject)).toEqual([`wallet:${wallet.walletId}`])
  })

  it('Ed25519: a scalar, which signs offline', async () => {
    const { privateKey } = await take(wallets.solana, approved.solana)
    const message = Buffer.from('offline')
    const signature = signWithScalar(privateKey, Buffer.from(wallets.solana.publicKey, 'hex'), message)
    const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), Buffer.from(wallets.solana.publicKey, 'hex')])
    expect(verify(null, message, { key: spki, format: 'der', type: 'spki' }, signature)).toBe(true)
  })

  it("an end user's key is not for the project, unless the cosigner's operator says so", async () => {
    const consent = { case: 'walletSecret', value: { secretId: device.secretId, signature: new Uint8Array(64) } } as const
    expect(await reasonOf(rawRequest(wallets.owned, { consent }))).toBe('CALLER_NOT_ALLOWED')
    const { privateKey } = await take(wallets.owned, approved.owned)
    expect(privateKeyToAccount(`0x${Buffer.from(privateKey).toString('hex')}`).address).toBe(wallets.owned.address)
  })

  it('refuses by reason', async () => {
    const { evm } = wallets
    const later = (seconds: number) => ({ expireTime: { seconds: BigInt(Math.floor(Date.now() / 1_000) + seconds), nanos: 0 } })
    const lowOrder = { exportKey: { case: 'x25519', value: new Uint8Array(32) } }
    expect(await refusalOf(rawRequest(evm))).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'EXPORT_REFUSED' })
    expect(await reasonOf(rawRequest(evm, lowOrder))).toBe('EXPORT_KEY_INVALID')
    expect(await reasonOf(rawRequest(evm, { exportKey: { case: 'rsa', value: new Uint8Array(300) } }))).toBe('EXPORT_KEY_INVALID')
    expect(await refusalOf(rawRequest(evm, { walletEpoch: 3 }))).toMatchObject({
      reason: 'WALLET_EPOCH_MISMATCH',
      metadata: { walletEpoch: '0' },
    })
    expect(await reasonOf(rawRequest(evm, later(-10)))).toBe('CONSENT_EXPIRED')
    expect(await reasonOf(rawRequest(evm, later(400)))).toBe('CONSENT_EXPIRED')
    expect(await reasonOf(rawRequest(evm, { expireTime: { seconds: 1n, nanos: 5 } }))).toBe('INVALID_REQUEST')
    expect(await reasonOf(rawRequest(evm, { nonce: new Uint8Array(31) }))).toBe('INVALID_REQUEST')
    expect(await reasonOf(client.wallets.exportPrivateKey({ wallet: evm.walletId }))).toBe('INVALID_REQUEST')
    const burst = await Promise.all(Array.from({ length: 60 }, () => reasonOf(rawRequest(evm))))
    expect(new Set(burst)).toEqual(new Set(['EXPORT_REFUSED', 'RATE_LIMITED']))
  })

  it('what was used is used, also after kill -9; nothing of a key is in the log', async () => {
    await daemon.kill('SIGKILL')
    const text = daemon.output()
    expect(text).not.toContain(Buffer.from(approved.evm[1].secret).toString('hex'))
    await start(BOTH)
    expect(await reasonOf(take(wallets.evm, approved.evm))).toBe('EXPORT_REFUSED')
    expect((await client.wallets.getWallet({ wallet: wallets.evm.walletId })).wallet?.exportTime).toBeDefined()
  })
})

/** RFC 8032 signing from the scalar alone; what a seed would give as a prefix is random here. */
const signWithScalar = (scalar: Uint8Array, publicKey: Uint8Array, message: Uint8Array): Uint8Array => {
  const L = 2n ** 252n + 27742317777372353535851937790883648493n
  const numberOf = (bytes: Uint8Array): bigint => BigInt(`0x${Buffer.from(bytes.toReversed()).toString('hex')}`)
  const bytesOf = (value: bigint): Uint8Array => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toReversed()
  const nonce = numberOf(randomBytes(64)) % L
  const point = ed25519.Point.BASE.multiply(nonce).toBytes()
  const challenge = numberOf(createHash('sha512').update(point).update(publicKey).update(message).digest()) % L
  return Buffer.concat([point, bytesOf((nonce + challenge * numberOf(scalar)) % L)])
}
