/** End users at the running daemon: the wallets they own, over gRPC and Connect JSON, and what a proof is good for. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { generateWalletJwt } from '@coinbase/cdp-sdk/auth'
import { verifyMessage } from 'viem'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { OwnerType, SignMessageRequestSchema, type Wallet, WalletState } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { openSignStream } from '../../src/client/sign-stream.ts'
import { walletKey } from '../user/tokens.ts'
import { detailOf, rowsOfKind } from './audit-rows.ts'
import { connect, newKey, newWallet, reasonOf, refusalOf, sha256 } from './callers.ts'
import { connectAs, connectWithDevice, makePeople, type Person } from './end-users.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'
import { callWeb } from './web-call.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

const base = makeDataDir()
let daemon: TestDaemon
let project: CountersignClient
let alice: CountersignClient
let bob: CountersignClient
let people: Readonly<Record<'alice' | 'bob' | 'web' | 'many', Person>>

beforeAll(async () => {
  const [first, second, third, fourth] = await makePeople(base, ['alice', 'bob', 'web', 'many'])
  people = { alice: first!, bob: second!, web: third!, many: fourth! }
  daemon = await startDaemon({ dataDir: base, keepData: true })
  project = connect(daemon, daemon.adminKey)
  alice = await connectWithDevice(daemon, people.alice)
  bob = await connectWithDevice(daemon, people.bob)
})
afterAll(async () => {
  for (const client of [project, alice, bob]) client.close()
  await daemon[Symbol.asyncDispose]()
  rmSync(base, { recursive: true, force: true })
})

const make = async (client: CountersignClient, userId: string, rest: object = {}): Promise<Wallet> => {
  const { wallet } = await client.wallets.createWallet({ userId, keyType: KeyType.SECP256K1, label: randomUUID(), ...rest })
  if (wallet === undefined) throw new Error('no wallet in the answer')
  return wallet
}
const text = (value: string) => ({ case: 'text', value }) as const
const sign = (client: CountersignClient, wallet: string) => client.wallets.signMessage({ wallet, content: text('hello') })
const idsOf = ({ wallets }: { readonly wallets: readonly Wallet[] }) => wallets.map(({ walletId }) => walletId)

describe('an end user', () => {
  it('makes, reads, signs with and archives wallets of their own', async () => {
    const wallet = await make(alice, 'alice')
    expect(wallet).toMatchObject({ userId: 'alice', ownerType: OwnerType.END_USER, projectId: 'default' })
    const other = await make(alice, 'alice', { ownerType: OwnerType.END_USER, keyType: KeyType.ED25519 })
    expect(idsOf(await alice.wallets.listWallets({}))).toEqual([wallet.walletId, other.walletId])
    expect((await alice.wallets.getWallet({ wallet: wallet.address })).wallet?.walletId).toBe(wallet.walletId)
    const { signature } = await sign(alice, wallet.walletId)
    const valid = await verifyMessage({
      address: wallet.address as `0x${string}`,
      message: 'hello',
      signature: signature?.hex as `0x${string}`,
    })
    expect(valid).toBe(true)
    await alice.wallets.signDigest({ wallet: wallet.walletId, digest: sha256('anything') })
    await sign(alice, other.walletId)
    const zero = alice.wallets.signAuthorization({ wallet: wallet.walletId, chainId: 0n, address: wallet.address })
    expect(await reasonOf(zero)).toBe('AUTHORIZATION_CHAIN_ZERO')
    const rows = (await rowsOfKind(project, 'sign.intent', 0n)).filter(({ subject }) => subject === `wallet:${wallet.walletId}`)
    expect(rows.map(({ actor }) => actor)).toEqual(['end_user:user:default/alice', 'end_user:user:default/alice'])
    expect(detailOf(rows[0]!, 'walletSecret')).toMatch(/^[0-9a-f]{32}$/)
    const byProject = await reasonOf(project.wallets.archiveWallet({ wallet: wallet.walletId }))
    expect(byProject, 'the project, which may freeze it').toBe('DELEGATION_NOT_ENABLED')
    const archived = await alice.wallets.archiveWallet({ wallet: wallet.walletId })
    expect(archived.wallet?.state).toBe(WalletState.ARCHIVED)
    expect(await reasonOf(sign(alice, wallet.walletId))).toBe('WALLET_ARCHIVED')
  })

  it('finds no wallet but their own, by no name', async () => {
    const hers = await make(alice, 'alice')
    const ofProject = await newWallet(project, 'bob', randomUUID())
    const forBob = await make(project, 'bob', { ownerType: OwnerType.END_USER })
    const stranger = await newWallet(project, 'alice', randomUUID())
    for (const wallet of [hers, ofProject, stranger])
      for (const name of [wallet.walletId, wallet.address]) {
        expect(await reasonOf(bob.wallets.getWallet({ wallet: name }))).toBe('WALLET_NOT_FOUND')
        expect(await reasonOf(sign(bob, name))).toBe('WALLET_NOT_FOUND')
        expect(await reasonOf(bob.wallets.archiveWallet({ wallet: name }))).toBe('WALLET_NOT_FOUND')
      }
    expect(await reasonOf(bob.wallets.getWallet({ wallet: 'alice' }))).toBe('WALLET_NOT_FOUND')
    expect(idsOf(await bob.wallets.listWallets({}))).toEqual([forBob.walletId])
    expect(idsOf(await bob.wallets.listWallets({ userId: 'alice' }))).toEqual([])
    // Made for him by the project: his, and not the project's to sign with.
    await sign(bob, forBob.walletId)
    expect((await project.wallets.getWallet({ wallet: forBob.walletId })).wallet?.userId).toBe('bob')
    expect(await reasonOf(sign(project, forBob.walletId))).toBe('DELEGATION_NOT_ENABLED')
  })

  it('makes none for others, none for the project, and so many', async () => {
    const refused = await refusalOf(make(bob, 'alice'))
    expect([refused.reason, refused.metadata['narrowedBy']]).toEqual(['PERMISSION_MISSING', 'user'])
    const forProject = await refusalOf(make(bob, 'bob', { ownerType: OwnerType.PROJECT }))
    expect([forProject.reason, forProject.metadata['narrowedBy']]).toEqual(['PERMISSION_MISSING', 'owner_type'])
    using many = await connectWithDevice(daemon, people.many)
    await Promise.all(Array.from({ length: 20 }, () => make(many, 'many')))
    const limit = await refusalOf(make(many, 'many'))
    expect([limit.reason, limit.metadata['allowed']]).toEqual(['LIMIT_EXCEEDED', '20'])
    await make(many, 'many', { keyType: KeyType.ED25519 })
    const [first] = (await many.wallets.listWallets({ keyType: KeyType.SECP256K1 })).wallets
    await many.wallets.archiveWallet({ wallet: first!.walletId })
    await make(many, 'many')
  })

  it('needs a wallet secret for all that is done, and none to look', async () => {
    using bare = connectAs(daemon, people.alice)
    await bare.wallets.listWallets({})
    const { wallets } = await alice.wallets.listWallets({ state: WalletState.ACTIVE })
    const wallet = wallets[0]!.walletId
    expect(await reasonOf(sign(bare, wallet))).toBe('WALLET_SECRET_REQUIRED')
    expect(await reasonOf(make(bare, 'alice'))).toBe('WALLET_SECRET_REQUIRED')
    expect(await reasonOf(bare.wallets.archiveWallet({ wallet }))).toBe('WALLET_SECRET_REQUIRED')
    expect(await reasonOf(bare.wallets.refreshShares({ wallet }))).toBe('CALLER_NOT_ALLOWED')
    expect(await reasonOf(bare.admin.getStatus({}))).toBe('CALLER_NOT_ALLOWED')
    expect(await reasonOf(bare.audit.listEvents({}))).toBe('CALLER_NOT_ALLOWED')
    const denied = await rowsOfKind(project, 'access.denied', 0n)
    expect(denied.filter(({ actor }) => actor === 'end_user:user:default/alice').length).toBeGreaterThanOrEqual(6)
  })

  it('signs a stream of items with one proof, until its wallet secret is taken back', async () => {
    const wallet = await make(alice, 'alice')
    using person = await connectWithDevice(daemon, people.alice)
    const stream = openSignStream(person.wallets)
    const item = () => {
      const request = create(SignMessageRequestSchema, { wallet: wallet.walletId, content: text(randomUUID()) })
      return stream.sign('signMessage', request)
    }
    await Promise.all(Array.from({ length: 20 }, item))
    const secrets = (await person.endUsers.listWalletSecrets({})).walletSecrets
    await person.endUsers.revokeWalletSecret({ walletSecretId: secrets.at(-1)!.walletSecretId })
    await expect(item()).rejects.toThrow()
    await stream.close().catch(() => {})
    expect(await reasonOf(sign(person, wallet.walletId))).toBe('WALLET_AUTH_INVALID')
  })
})

describe('over Connect JSON, with the published SDK', () => {
  it('registers, creates and signs; a proof counts once, also after kill -9', async () => {
    const key = walletKey()
    const authorization = `Bearer ${people.web.accessToken}`
    const call = async (method: string, body: Record<string, unknown>, jwt?: string) => {
      const proof =
        jwt ??
        (await generateWalletJwt({
          walletSecret: key.walletSecret,
          requestMethod: 'POST',
          requestHost: daemon.endpoints.connect,
          requestPath: `/countersign.v1.${method}`,
          requestData: body,
        }))
      return { proof, ...(await callWeb(daemon, method, body, { authorization, 'X-Wallet-Auth': proof })) }
    }
    const validUntil = new Date(Date.now() + 600_000).toISOString()
    const registered = await call('EndUserService/RegisterWalletSecret', { publicKey: key.spki, validUntil, walletSecretId: 'sdk' })
    expect(registered.reason).toBe('')
    const made = await call('WalletService/CreateWallet', { userId: 'web', keyType: 'KEY_TYPE_SECP256K1' })
    expect(made.message['wallet']).toMatchObject({ userId: 'web', ownerType: 'OWNER_TYPE_END_USER' })
    const body = { wallet: 'web', text: 'é<&>😀 "quoted"' }
    const signed = await call('WalletService/SignMessage', body)
    expect(signed.reason).toBe('')
    const { address } = made.message['wallet'] as { readonly address: `0x${string}` }
    const { hex } = signed.message['signature'] as { readonly hex: `0x${string}` }
    expect(await verifyMessage({ address, message: body.text, signature: hex })).toBe(true)
    expect((await call('WalletService/SignMessage', body, signed.proof)).reason).toBe('WALLET_AUTH_REPLAYED')
    expect((await call('WalletService/SignMessage', { ...body, text: 'é<&>😀 "quoted!' }, signed.proof)).reason).toBe('WALLET_AUTH_INVALID')
    await daemon.kill('SIGKILL')
    const port = Number(daemon.endpoints.connect.split(':')[1])
    for (const client of [project, alice, bob]) client.close()
    daemon = await startDaemon({ dataDir: base, keepData: true, args: ['--connect-listen', `127.0.0.1:${port}`] })
    project = connect(daemon, daemon.adminKey)
    expect((await call('WalletService/SignMessage', body, signed.proof)).reason).toBe('WALLET_AUTH_REPLAYED')
    expect((await call('WalletService/SignMessage', body)).reason).toBe('')
  })
})

describe('an API key of the project', () => {
  it('is no end user', async () => {
    const { secret } = await newKey(project, [{ name: 'wallet:create' }, { name: 'wallet:read' }, { name: 'wallet:sign' }])
    using client = connect(daemon, secret)
    const validUntil = timestampFromMs(Date.now() + 60_000)
    expect(await reasonOf(client.endUsers.registerWalletSecret({ publicKey: walletKey().spki, validUntil }))).toBe('CALLER_NOT_ALLOWED')
    expect(await reasonOf(client.endUsers.listWalletSecrets({}))).toBe('CALLER_NOT_ALLOWED')
  })
})
