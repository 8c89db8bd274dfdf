/** An end user takes their own key out: with the wallet secret of their first wallet, or one that the cosigner has known for a day. */
import { rmSync } from 'node:fs'
import { join } from 'node:path'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { type CreateWalletResponse, OwnerType, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { exportPrivateKey } from '../../src/client/export-private-key.ts'
import { OwnerMismatch, verifyWalletOwner } from '../../src/client/verify-wallet-owner.ts'
import { proveWalletSecret, signSecretChange, type WalletSecret } from '../../src/client/wallet-secret.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { deleteOwnerSecret, insertOwnerSecret, listOwnerSecrets } from '../../src/vault/owner-register.ts'
import { connect, reasonOf } from './callers.ts'
import { connectAs, type Device, makePeople, newDevice, type Person } from './end-users.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

const DAY_MS = 86_400_000
const base = makeDataDir()
const laptop = newDevice()
const phone = newDevice()
let daemon: TestDaemon
let people: readonly Person[]
let cosignerId: string
let anna: CountersignClient
let created: CreateWalletResponse
let wallet: Wallet

const secretOf = ({ publicKey, sign }: Device): WalletSecret => ({ publicKey: new Uint8Array(Buffer.from(publicKey, 'base64')), sign })
const validUntil = () => timestampFromMs(Date.now() + 3_600_000)

const start = async (): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args: ['--allow-export', '--cosigner-allow-export'] })
  anna = connectAs(daemon, people[0]!, laptop)
}

/** A day goes by for the cosigner's register. */
const growOld = async (): Promise<void> => {
  const provider = createRootKeyProvider(`file:${join(daemon.dataDir, 'cosigner-root.key')}`)
  await using vault = await openCosignerVault({ path: join(daemon.dataDir, 'cosigner.db'), provider, nowMs: Date.now() })
  const owner = { project: 'default', userId: 'anna' }
  await vault.commit((tx) => {
    for (const secret of listOwnerSecrets(tx, owner)) {
      deleteOwnerSecret(tx, owner, secret.secretId, Date.now())
      insertOwnerSecret(tx, { ...secret, bindMs: secret.bindMs - DAY_MS })
    }
  })
}

const take = (client: CountersignClient, device: Device) =>
  exportPrivateKey(client, { wallet: wallet.walletId, cosignerId, consent: { walletSecret: secretOf(device) } })

/** An order of anna's to the cosigner, about another device. */
const orderAbout = async (change: 'bind' | 'remove', device: Device, by = laptop) => {
  const entry = { cosignerId, projectId: 'default', userId: 'anna' }
  const { expireMs, nonce, signedBy, signature } = await signSecretChange(entry, secretOf(by), { change, publicKey: secretOf(device).publicKey })
  return { expireTime: timestampFromMs(expireMs), nonce, signedBy, signature }
}

beforeAll(async () => {
  people = await makePeople(base, ['anna', 'bert'])
  await start()
  cosignerId = (await connect(daemon, daemon.adminKey).admin.getStatus({})).status?.cosignerId ?? ''
  await anna.endUsers.registerWalletSecret({ publicKey: laptop.publicKey, validUntil: validUntil() })
  const walletSecret = await proveWalletSecret({ cosignerId, projectId: 'default', userId: 'anna' }, secretOf(laptop))
  const request = { userId: 'anna', keyType: KeyType.SECP256K1, ownerType: OwnerType.END_USER, walletSecret }
  created = await anna.wallets.createWallet(request)
  wallet = created.wallet as Wallet
})
afterAll(async () => {
  await daemon[Symbol.asyncDispose]()
  rmSync(base, { recursive: true, force: true })
})

describe('an end user and their key', () => {
  it('the pinned cosigner says whose the wallet is, and which secrets speak for them', () => {
    const entry = { cosignerId, projectId: 'default', userId: 'anna' }
    const own = [secretOf(laptop).publicKey]
    verifyWalletOwner(created, entry, own)
    const { ownerStatement } = created
    const lies = [
      () => verifyWalletOwner(created, entry, [secretOf(phone).publicKey]),
      () => verifyWalletOwner(created, entry, [...own, secretOf(phone).publicKey]),
      () => verifyWalletOwner(created, entry, []),
      () => verifyWalletOwner(created, { ...entry, userId: 'bert' }, own),
      () => verifyWalletOwner(created, { ...entry, projectId: 'other' }, own),
      () => verifyWalletOwner(created, { ...entry, cosignerId: 'ab'.repeat(32) }, own),
      () => verifyWalletOwner({ wallet: { ...wallet, walletId: `wal_${'00'.repeat(16)}` }, ownerStatement }, entry, own),
      () => verifyWalletOwner({ wallet }, entry, own),
    ]
    for (const lie of lies) expect(lie).toThrow(OwnerMismatch)
  })

  it('the key is theirs at once with the secret of their first wallet, and it is the wallet’s', async () => {
    const { privateKey } = await take(anna, laptop)
    expect(privateKeyToAccount(`0x${Buffer.from(privateKey).toString('hex')}`).address).toBe(wallet.address)
    expect((await anna.wallets.getWallet({ wallet: wallet.walletId })).wallet).toMatchObject({ publicKey: wallet.publicKey })
    const { signature } = await anna.wallets.signMessage({ wallet: wallet.walletId, content: { case: 'text', value: 'still here' } })
    expect(signature).toBeDefined()
  })

  it('a secret that only the daemon knows does not count; the cosigner takes one on the word of another', async () => {
    const asPhone = connectAs(daemon, people[0]!, phone)
    const registered = { publicKey: phone.publicKey, validUntil: validUntil() }
    expect(await reasonOf(asPhone.endUsers.registerWalletSecret({ ...registered, cosignerOrder: await orderAbout('bind', phone, phone) }))).toBe(
      'WALLET_SECRET_REFUSED',
    )
    await asPhone.endUsers.registerWalletSecret(registered)
    expect(await reasonOf(take(asPhone, phone))).toBe('EXPORT_REFUSED')
    await asPhone.endUsers.registerWalletSecret({ ...registered, cosignerOrder: await orderAbout('bind', phone) })
    expect(await reasonOf(take(asPhone, phone))).toBe('EXPORT_REFUSED')
    await daemon.kill('SIGTERM')
    await growOld()
    await start()
    expect((await take(connectAs(daemon, people[0]!, phone), phone)).privateKey).toHaveLength(32)
  })

  it('nobody else’s: for others the wallet is not there', async () => {
    const bertsOwn = newDevice()
    const bert = connectAs(daemon, people[1]!, bertsOwn)
    await bert.endUsers.registerWalletSecret({ publicKey: bertsOwn.publicKey, validUntil: validUntil() })
    expect(await reasonOf(take(bert, bertsOwn))).toBe('WALLET_NOT_FOUND')
    expect(await reasonOf(take(connectAs(daemon, people[0]!), laptop))).toBe('WALLET_SECRET_REQUIRED')
  })

  it('a secret that was taken out of the register exports nothing more', async () => {
    const { walletSecrets } = await anna.endUsers.listWalletSecrets({})
    const { walletSecretId } = walletSecrets.find(({ publicKey }) => publicKey === laptop.publicKey)!
    const order = await orderAbout('remove', laptop, phone)
    await anna.endUsers.revokeWalletSecret({ walletSecretId, cosignerOrder: order })
    expect(await reasonOf(take(connectAs(daemon, people[0]!, phone), laptop))).toBe('EXPORT_REFUSED')
  })
})
