/** A private key comes in through the running daemon, in two halves that the client library makes. */
import { createPublicKey, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { verifyMessage } from 'viem'
import { generatePrivateKey, privateKeyToAccount } from 'viem/accounts'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { OwnerType, WalletOrigin, WalletState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { importPrivateKey, type ImportOptions } from '../../src/client/import-private-key.ts'
import { newDevice } from '../party/owned-wallets.ts'
import { rowsOfKind } from './audit-rows.ts'
import { connect, newWallet, reasonOf, refusalOf } from './callers.ts'
import { makeDataDir, runCli, startDaemon, type TestDaemon } from './start-daemon.ts'

const BOTH = ['--allow-import', '--cosigner-allow-import']
const base = makeDataDir()
let daemon: TestDaemon
let client: CountersignClient
let cosignerId: string

const start = async (args: readonly string[] = BOTH): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args })
  client = connect(daemon, daemon.adminKey)
}

beforeAll(async () => {
  await start()
  cosignerId = (await client.admin.getStatus({})).status?.cosignerId ?? ''
})
afterAll(async () => {
  await daemon.kill('SIGKILL')
  rmSync(base, { recursive: true, force: true })
})

const bytesOf = (hex: string): Uint8Array => new Uint8Array(Buffer.from(hex.replace('0x', ''), 'hex'))

const takeOnce = (userId: string, privateKey: ImportOptions['privateKey'], rest: Partial<ImportOptions> = {}) =>
  importPrivateKey(client, { userId, privateKey, projectId: 'default', cosignerId, ...rest })

/** Asks again while it was too fast. */
const patiently = async <T>(ask: () => Promise<T>): Promise<T> => {
  for (;;) {
    try {
      return await ask()
    } catch (error) {
      if ((error as { reason?: string }).reason !== 'RATE_LIMITED') throw error
      await sleep(300)
    }
  }
}

const take: typeof takeOnce = (...args) => patiently(() => takeOnce(...args))

/** What a client would have sent, for a daemon that is asked below the library. */
const recorded = async (userId: string, privateKey: Uint8Array) => {
  let request: Parameters<CountersignClient['wallets']['importPrivateKey']>[0] | undefined
  const recording = {
    ...client,
    wallets: {
      ...client.wallets,
      importPrivateKey: async (asked: typeof request) => {
        request = asked
        return {}
      },
    },
  } as unknown as CountersignClient
  await importPrivateKey(recording, { userId, privateKey: { secp256k1: privateKey }, projectId: 'default', cosignerId }).catch(() => undefined)
  if (request === undefined) throw new Error('nothing was asked')
  return request
}

describe('ImportPrivateKey', () => {
  it("secp256k1: the wallet has the key's address, and signs", async () => {
    const privateKey = generatePrivateKey()
    const { address } = privateKeyToAccount(privateKey)
    const wallet = await take('alice', { secp256k1: bytesOf(privateKey) })
    expect(wallet).toMatchObject({
      address,
      state: WalletState.ACTIVE,
      origin: WalletOrigin.IMPORTED,
      ownerType: OwnerType.PROJECT,
      walletEpoch: 1,
    })
    const { signature } = await client.wallets.signMessage({ wallet: address, content: { case: 'text', value: 'hello' } })
    const hex = signature?.hex as `0x${string}`
    expect(await verifyMessage({ address, message: 'hello', signature: hex })).toBe(true)
    const kinds = [...(await rowsOfKind(client, 'wallet.imported', 0n)), ...(await rowsOfKind(client, 'wallet.refreshed', 0n))]
    expect(kinds.map(({ kind, subject }) => `${kind} ${subject}`)).toEqual([
      `wallet.imported wallet:${wallet.walletId}`,
      `wallet.refreshed wallet:${wallet.walletId}`,
    ])
  })

  it("Ed25519: from a seed, the wallet has the seed's public key, and signs", async () => {
    const pair = generateKeyPairSync('ed25519')
    const seed = new Uint8Array(pair.privateKey.export({ format: 'der', type: 'pkcs8' }).subarray(-32))
    const wallet = await take('sol', { ed25519Seed: seed })
    const spki = pair.publicKey.export({ format: 'der', type: 'spki' })
    expect(wallet.publicKey).toBe(spki.subarray(-32).toString('hex'))
    const { signature } = await client.wallets.signMessage({ wallet: wallet.walletId, content: { case: 'text', value: 'hello' } })
    const key = createPublicKey({ key: spki, format: 'der', type: 'spki' })
    expect(verify(null, Buffer.from('hello'), key, signature!.raw)).toBe(true)
  })

  it("an end user's, with the first wallet secret in the cosigner's register", async () => {
    const wallet = await take('anna', { secp256k1: bytesOf(generatePrivateKey()) }, { walletSecret: newDevice() })
    expect(wallet).toMatchObject({ ownerType: OwnerType.END_USER, origin: WalletOrigin.IMPORTED })
    const other = take('anna', { secp256k1: bytesOf(generatePrivateKey()) }, { walletSecret: newDevice(), label: 'b' })
    expect(await reasonOf(other)).toBe('WALLET_SECRET_REFUSED')
  })

  it('the client sends nothing where the cosigner is not the one that is pinned', async () => {
    const privateKey = { secp256k1: bytesOf(generatePrivateKey()) }
    const wrong = 'ab'.repeat(32)
    await expect(take('bert', privateKey, { cosignerId: wrong })).rejects.toThrow('pinned')
    await expect(take('bert', privateKey, { cosignerId: '' })).rejects.toThrow('64 hex digits')
    const ownId = (await client.wallets.getImportKeys({})).daemon!.partyId
    await expect(take('bert', privateKey, { cosignerId: Buffer.from(ownId).toString('hex') })).rejects.toThrow('pinned')
    await expect(take('bert', { secp256k1: new Uint8Array(32) })).rejects.toThrow('range')
  })

  it('refuses by reason, and nothing of a key that is refused stays', async () => {
    const asked = await recorded('carl', bytesOf(generatePrivateKey()))
    expect(await refusalOf(patiently(() => client.wallets.importPrivateKey({ ...asked, chainCode: randomBytes(32) })))).toMatchObject({
      code: 'FAILED_PRECONDITION',
      reason: 'IMPORT_REFUSED',
    })
    expect(await reasonOf(patiently(() => client.wallets.importPrivateKey({ ...asked, userId: 'mallory' })))).toBe('IMPORT_REFUSED')
    expect(await reasonOf(patiently(() => client.wallets.importPrivateKey({ ...asked, cosignerEnvelope: randomBytes(80) })))).toBe('IMPORT_REFUSED')
    expect(await reasonOf(patiently(() => client.wallets.importPrivateKey({ ...asked, importId: randomBytes(3) })))).toBe('INVALID_REQUEST')
    expect(await reasonOf(client.wallets.getWallet({ wallet: 'carl' }))).toBe('WALLET_NOT_FOUND')
    await newWallet(client, 'dora')
    expect(await reasonOf(take('dora', { secp256k1: bytesOf(generatePrivateKey()) }))).toBe('WALLET_ALREADY_EXISTS')
    expect((await client.admin.getStatus({})).status?.cosignerAvailable).toBe(true)
  })

  it('the same import again answers the same wallet; another with its id is refused', async () => {
    const asked = await recorded('erna', bytesOf(generatePrivateKey()))
    const { wallet } = await patiently(() => client.wallets.importPrivateKey(asked))
    expect((await patiently(() => client.wallets.importPrivateKey(asked))).wallet).toEqual(wallet)
    expect(await reasonOf(patiently(() => client.wallets.importPrivateKey({ ...asked, userId: 'frieda' })))).toBe('IMPORT_REFUSED')
  })

  it('killed soon after it was asked: the wallet is whole, or there is none', async () => {
    const userId = 'gina'
    // At some moment of the tens of milliseconds that it takes.
    const delayMs = Math.floor(Math.random() * 60)
    const privateKey = generatePrivateKey()
    const asked = await recorded(userId, bytesOf(privateKey))
    const answer = client.wallets.importPrivateKey(asked).catch(() => undefined)
    await sleep(delayMs)
    await daemon.kill('SIGKILL')
    await answer
    await start()
    const again = await client.wallets.importPrivateKey(asked).then(
      ({ wallet }) => wallet?.address,
      ({ reason }: { reason: string }) => reason,
    )
    if (again === 'IMPORT_REFUSED') {
      expect(await reasonOf(client.wallets.getWallet({ wallet: userId }))).toBe('WALLET_NOT_FOUND')
      return
    }
    expect(again).toBe(privateKeyToAccount(privateKey).address)
    const signed = await client.wallets.signMessage({ wallet: userId, content: { case: 'text', value: 'x' } })
    expect(signed.signature).toBeDefined()
  })

  it('is off unless it was switched on', async () => {
    await daemon.kill('SIGTERM')
    await start(['--cosigner-allow-import'])
    expect(await reasonOf(client.wallets.getImportKeys({}))).toBe('IMPORT_NOT_ENABLED')
    expect((await runCli(['cosigner', 'identity', '--data-dir', `${base}/nowhere`])).code).toBe(1)
  })
})
