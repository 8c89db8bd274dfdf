/** Stops hold whatever runs beside them; what was given up leaves nothing behind; narrow keys reach nothing wide. */
import { randomUUID } from 'node:crypto'
import { connect as connectHttp2 } from 'node:http2'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import Database from 'better-sqlite3'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { CreateWalletRequestSchema, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf } from './callers.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'

const base = makeDataDir()
let daemon: TestDaemon
let admin: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon({ dataDir: base })
  admin = connect(daemon, daemon.adminKey)
  wallet = await newWallet(admin, 'stopped')
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

const hello = (client: CountersignClient) => signAs('SignMessage text', client, { wallet: 'stopped' })
const standing = async (id: string): Promise<boolean> =>
  (await admin.admin.getStatus({})).status?.freezes.some((freeze) => freeze.id === id) === true

describe('a freeze placed while another is lifted', () => {
  it.each(['wallet', 'api key'] as const)('%s: signs exactly when none stands, and can be lifted', async (what) => {
    const { apiKeyId, secret } = await newKey(admin, [{ name: 'wallet:sign' }])
    const client = connect(daemon, secret)
    const target =
      what === 'wallet'
        ? { scope: FreezeScope.WALLET, id: wallet.walletId }
        : { scope: FreezeScope.API_KEY, id: apiKeyId }
    for (let round = 0; round < 10; round++) {
      await admin.admin.freeze({ ...target, note: 'first' })
      await Promise.allSettled([admin.admin.unfreeze(target), admin.admin.freeze({ ...target, note: 'second' })])
      const isFrozen = await standing(target.id)
      expect(await outcomeOf(hello(client))).toBe(isFrozen ? 'FROZEN' : 'signed')
      if (isFrozen) await admin.admin.unfreeze(target)
      expect(await outcomeOf(hello(client))).toBe('signed')
    }
    client.close()
  })
})

describe('a kept answer', () => {
  it.each(SIGNING_NAMES)('%s: is withheld behind a freeze and released after it', async (name) => {
    const ask = { wallet: 'stopped', seed: name, requestId: randomUUID() }
    const first = await signAs(name, admin, ask)
    const target = { scope: FreezeScope.WALLET, id: wallet.walletId }
    await admin.admin.freeze({ ...target, note: '' })
    expect(await reasonOf(signAs(name, admin, ask))).toBe('FROZEN')
    await admin.admin.unfreeze(target)
    expect((await signAs(name, admin, ask)).signature).toEqual(first.signature)
  })

  it('of an archived wallet is withheld for good', async () => {
    const gone = await newWallet(admin)
    const ask = { wallet: gone.walletId, requestId: randomUUID() }
    await signAs('SignMessage text', admin, ask)
    await admin.wallets.archiveWallet({ wallet: gone.walletId })
    expect(await reasonOf(signAs('SignMessage text', admin, ask))).toBe('WALLET_ARCHIVED')
  })
})

describe('a permission that reaches a whole project', () => {
  it.each(['admin', 'audit:read'])('%s cannot be narrowed', async (name) => {
    const narrowed = [{ name, wallets: [wallet.walletId] }]
    expect(await reasonOf(newKey(admin, narrowed))).toBe('INVALID_REQUEST')
    expect(await outcomeOf(newKey(admin, [{ name, requestsPerSecond: 5 }]))).toBe('signed')
  })

  it('is held to its rate', async () => {
    const { secret } = await newKey(admin, [{ name: 'audit:read', requestsPerSecond: 1 }])
    const client = connect(daemon, secret)
    const outcomes = await Promise.all([1, 2, 3].map(() => outcomeOf(client.audit.listEvents({}))))
    expect(outcomes.sort()).toEqual(['RATE_LIMITED', 'RATE_LIMITED', 'signed'])
    client.close()
  })
})

it('ends a stream with the time of its key', async () => {
  const expireTime = timestampFromMs(Date.now() + 1_500)
  const { secret } = await newKey(admin, [{ name: 'audit:read' }], { expireTime })
  const client = connect(daemon, secret)
  const follow = async (): Promise<void> => {
    for await (const { event } of client.audit.watchEvents({})) {
      expect(Number(event?.time?.seconds ?? 0n)).toBeLessThanOrEqual(Number(expireTime.seconds))
    }
  }
  const following = reasonOf(follow())
  await sleep(2_000)
  await newWallet(admin)
  expect(await following).toBe('API_KEY_EXPIRED')
  client.close()
})

it('makes a key with more permissions than an audit row holds', async () => {
  const destinations = Array.from({ length: 1_024 }, (_, i) => `0x${i.toString(16).padStart(40, '0')}`)
  const permissions = ['wallet:sign', 'sign:authorization', 'wallet:send'].map((name) => ({ name, destinations }))
  const { apiKeyId } = await newKey(admin, permissions)
  const { events } = await admin.audit.listEvents({ kind: 'api_key.created', subject: apiKeyId })
  expect(JSON.parse(events[0]?.detailsJson ?? '')).toMatchObject({ permissionsSha256: expect.stringMatching(/^[0-9a-f]{64}$/) })
})

it('shows a key its few wallets among many', async () => {
  const mine = [await newWallet(admin), await newWallet(admin)]
  await newWallet(admin)
  const { secret } = await newKey(admin, [{ name: 'wallet:read', wallets: mine.map(({ walletId }) => walletId).toReversed() }])
  const client = connect(daemon, secret)
  const first = await client.wallets.listWallets({ pageSize: 1 })
  const second = await client.wallets.listWallets({ pageSize: 1, pageToken: first.nextPageToken })
  expect([...first.wallets, ...second.wallets].map(({ walletId }) => walletId)).toEqual(mine.map(({ walletId }) => walletId))
  expect(second.nextPageToken).toBe('')
  client.close()
})

describe('creations that run out of time', () => {
  /** As a client that waits for the answer however late: what it is told is the deadline. */
  const createWithin = (session: ReturnType<typeof connectHttp2>, timeout: string): Promise<string> =>
    new Promise((resolve) => {
      const message = create(CreateWalletRequestSchema, { userId: `late-${randomUUID()}`, keyType: KeyType.SECP256K1 })
      const body = toBinary(CreateWalletRequestSchema, message)
      const frame = Buffer.alloc(5 + body.length)
      frame.writeUInt32BE(body.length, 1)
      frame.set(body, 5)
      const stream = session.request({
        ':method': 'POST',
        ':path': '/countersign.v1.WalletService/CreateWallet',
        'content-type': 'application/grpc',
        te: 'trailers',
        authorization: `Bearer ${daemon.adminKey}`,
        'grpc-timeout': timeout,
      })
      let status = ''
      const note = (headers: Record<string, unknown>): void => {
        const told = headers['grpc-status']
        if (typeof told === 'string') status = told
      }
      stream.on('response', note).on('trailers', note).on('data', () => undefined).on('close', () => resolve(status))
      stream.end(frame)
    })

  it('leave no share behind on either side', async () => {
    const session = connectHttp2(`http://${daemon.endpoints.grpc}`)
    const statuses = new Set<string>()
    for (const timeout of ['1m', '3m', '6m', '12m', '25m', '50m']) {
      for (const status of await Promise.all(Array.from({ length: 16 }, () => createWithin(session, timeout)))) {
        statuses.add(status)
      }
    }
    session.close()
    expect(statuses).toContain('4')
    for (const file of ['vault.db', 'cosigner.db']) {
      const db = new Database(join(daemon.dataDir, file), { readonly: true })
      const pending = db.prepare(`SELECT wallet_id FROM wallet_shares WHERE state = 'PENDING'`)
      await expect.poll(() => pending.all(), { message: file }).toEqual([])
      db.close()
    }
  })
})
