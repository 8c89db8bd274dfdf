/** What an API key may spend, how fast, from where and for how long. */
import { setTimeout as sleep } from 'node:timers/promises'
import { mkdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { ApiKeyState } from '../../gen/countersign/v1/admin_pb.ts'
import { EvmTransactionSchema, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import { type CountersignClient, createCountersignClient } from '../../src/client/countersign-client.ts'
import type { CountersignError } from '../../src/client/countersign-error.ts'
import { connect, newKey, newWallet, outcomeOf, reasonOf, refusalOf } from './callers.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'
import { TO, transferFields } from './transactions.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const CHAIN = 'eip155:1'
const base = makeDataDir()

let daemon: TestDaemon
let admin: CountersignClient
let wallet: Wallet

const start = async (args: readonly string[] = []): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true, args })
  admin = connect(daemon, daemon.adminKey)
}

/** Ends the daemon as a power cut would, and starts it on the same data. */
const crash = async (args: readonly string[] = []): Promise<void> => {
  admin.close()
  await daemon.kill('SIGKILL')
  await start(args)
}

beforeAll(async () => {
  await start()
  wallet = await newWallet(admin, 'payer')
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
  rmSync(base, { recursive: true, force: true })
})

const pay = (client: CountersignClient, wei: bigint, nonce = 0n, requestId = '') => {
  const value = create(EvmTransactionSchema, { ...transferFields(), value: String(wei), nonce })
  return client.wallets.signTransaction({ wallet: wallet.walletId, transaction: { case: 'evm', value }, requestId })
}
const hello = (client: CountersignClient) => signAs('SignMessage text', client, { wallet: 'payer' })

const tally = async (calls: readonly Promise<unknown>[]): Promise<Readonly<Record<string, number>>> => {
  const counts: Record<string, number> = {}
  for (const outcome of await Promise.all(calls.map(outcomeOf))) counts[outcome] = (counts[outcome] ?? 0) + 1
  return counts
}

describe('max_per_day', () => {
  const capped = () => newKey(admin, [{ name: 'wallet:sign', maxPerDay: [{ chain: CHAIN, token: 'native', amount: '100' }] }])

  it('is never exceeded by concurrent requests', async () => {
    const client = connect(daemon, (await capped()).secret)
    const counts = await tally(Array.from({ length: 50 }, (_, i) => pay(client, 7n, BigInt(i))))
    expect(counts).toEqual({ signed: 14, LIMIT_EXCEEDED: 36 })
    expect(await refusalOf(pay(client, 3n))).toMatchObject({
      code: 'RESOURCE_EXHAUSTED',
      retryable: 'no',
      metadata: { limit: 'wallet:sign max_per_day eip155:1/native', seen: '101', allowed: '100' },
    })
    expect(await outcomeOf(pay(client, 2n))).toBe('signed')
    expect(await outcomeOf(pay(client, 1n))).toBe('LIMIT_EXCEEDED')
    expect(await outcomeOf(pay(client, 0n))).toBe('signed')
    client.close()
  })

  it('still counts after kill -9, and in-flight requests count whether answered or not', async () => {
    const { secret } = await capped()
    const before = connect(daemon, secret)
    expect(await outcomeOf(pay(before, 60n))).toBe('signed')
    const racing = Array.from({ length: 30 }, (_, i) => outcomeOf(pay(before, 2n, BigInt(i))))
    await sleep(5)
    await crash()
    const answered = (await Promise.all(racing)).filter((outcome) => outcome === 'signed').length
    before.close()
    const after = connect(daemon, secret)
    const counts = await tally(Array.from({ length: 50 }, (_, i) => pay(after, 1n, BigInt(i))))
    expect(60 + 2 * answered + (counts['signed'] ?? 0)).toBeLessThanOrEqual(100)
    expect(await outcomeOf(pay(after, 1n))).toBe('LIMIT_EXCEEDED')
    after.close()
  })

  it('charges a repeated request once', async () => {
    const client = connect(daemon, (await capped()).secret)
    const requestId = '0b0e3b43-6c84-4b5b-9a7e-8f4f43a4a001'
    const answers = await Promise.all(Array.from({ length: 10 }, () => pay(client, 60n, 0n, requestId)))
    expect(new Set(answers.map(({ transactionHash }) => transactionHash)).size).toBe(1)
    expect(await outcomeOf(pay(client, 40n))).toBe('signed')
    expect(await outcomeOf(pay(client, 1n))).toBe('LIMIT_EXCEEDED')
    client.close()
  })

  it('is counted for each key and each grant by itself', async () => {
    const first = connect(daemon, (await capped()).secret)
    const second = connect(daemon, (await capped()).secret)
    expect(await outcomeOf(pay(first, 100n))).toBe('signed')
    expect(await outcomeOf(pay(second, 100n))).toBe('signed')
    expect(await outcomeOf(pay(first, 1n))).toBe('LIMIT_EXCEEDED')
    first.close()
    second.close()
  })
})

describe('requests_per_second', () => {
  /** Many calls at once; how many may be answered depends on how long that took. */
  const burst = async (key: { readonly secret: string }, perSecond: number) => {
    const client = connect(daemon, key.secret)
    const startMs = performance.now()
    const asked = await Promise.allSettled(Array.from({ length: 20 * perSecond }, () => hello(client)))
    const most = perSecond + 1 + (perSecond * (performance.now() - startMs)) / 1_000
    const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason as CountersignError] : []))
    const signed = asked.length - refused.length
    expect(signed).toBeGreaterThanOrEqual(perSecond)
    expect(signed).toBeLessThanOrEqual(most)
    expect(new Set(refused.map(({ reason }) => reason))).toEqual(new Set(['RATE_LIMITED']))
    return { client, refusal: refused.at(-1) }
  }

  it('holds a permission to its rate, says when to come again, and lets through then', async () => {
    const key = await newKey(admin, [{ name: 'wallet:sign', requestsPerSecond: 5 }])
    const { client, refusal } = await burst(key, 5)
    expect(refusal).toMatchObject({ code: 'RESOURCE_EXHAUSTED', reason: 'RATE_LIMITED', retryable: 'yes' })
    expect(refusal?.retryAfterMs).toBeGreaterThan(0)
    expect(refusal?.retryAfterMs).toBeLessThanOrEqual(200)
    await sleep((refusal?.retryAfterMs ?? 0) + 20)
    expect(await outcomeOf(hello(client))).toBe('signed')
    client.close()
  })

  it('holds a key to its own rate over all its calls', async () => {
    const key = await newKey(admin, [{ name: 'wallet:sign' }, { name: 'wallet:read' }], { requestsPerSecond: 4 })
    const { client } = await burst(key, 4)
    // Of another permission, and at the cost of the same rate.
    const mixed = await Promise.all(Array.from({ length: 40 }, () => outcomeOf(client.wallets.listWallets({}))))
    expect(mixed).toContain('RATE_LIMITED')
    client.close()
  })
})

describe('a key', () => {
  it('that is absent, malformed or unknown is refused apart', async () => {
    const nobody = createCountersignClient({ endpoint: daemon.endpoints.grpc })
    expect(await refusalOf(hello(nobody))).toMatchObject({ code: 'UNAUTHENTICATED', reason: 'API_KEY_MISSING' })
    nobody.close()
    const { secret } = await newKey(admin, [{ name: 'wallet:sign' }])
    const last = secret.endsWith('A') ? 'B' : 'A'
    for (const wrong of ['csk_', 'x', secret.slice(0, -1), `${secret.slice(0, -1)}${last}`, `${secret}A`, secret.toUpperCase()]) {
      const client = connect(daemon, wrong)
      expect(await refusalOf(hello(client)), wrong).toMatchObject({ code: 'UNAUTHENTICATED', reason: 'API_KEY_INVALID' })
      client.close()
    }
  })

  it('ends at its expiry', async () => {
    const expireMs = Date.now() + 1_500
    const key = await newKey(admin, [{ name: 'wallet:sign' }], { expireTime: timestampFromMs(expireMs) })
    const client = connect(daemon, key.secret)
    expect(await outcomeOf(hello(client))).toBe('signed')
    await sleep(expireMs - Date.now() + 20)
    for (const name of SIGNING_NAMES) {
      expect(await refusalOf(signAs(name, client, { wallet: 'payer' }))).toMatchObject({
        code: 'UNAUTHENTICATED',
        reason: 'API_KEY_EXPIRED',
      })
    }
    const { apiKey } = await admin.admin.getApiKey({ apiKeyId: key.apiKeyId })
    expect(apiKey?.state).toBe(ApiKeyState.EXPIRED)
    client.close()
  })

  it('that expires in the past is not made', async () => {
    const past = newKey(admin, [{ name: 'wallet:sign' }], { expireTime: timestampFromMs(Date.now() - 1) })
    expect(await reasonOf(past)).toBe('INVALID_REQUEST')
  })

  it('that is revoked signs nothing after the answer, in flight or later, restarted or not', async () => {
    // It revokes itself: over one connection the answers arrive in the order in which they left.
    const rights = ['wallet:sign', 'sign:digest', 'sign:authorization', 'admin']
    const key = await newKey(admin, rights.map((name) => ({ name })))
    const client = connect(daemon, key.secret)
    let acknowledged = false
    let late = 0
    const racing = Array.from({ length: 60 }, (_, i) =>
      signAs(SIGNING_NAMES[i % SIGNING_NAMES.length] ?? '', client, { wallet: 'payer', seed: `${i}` }).then(
        () => (late += acknowledged ? 1 : 0),
        () => undefined,
      ),
    )
    await sleep(10)
    const { apiKey } = await client.admin.revokeApiKey({ apiKeyId: key.apiKeyId })
    acknowledged = true
    expect(apiKey?.state).toBe(ApiKeyState.REVOKED)
    await Promise.all(racing)
    expect(late).toBe(0)
    expect(await reasonOf(hello(client))).toBe('API_KEY_INVALID')
    client.close()
    await crash()
    const again = connect(daemon, key.secret)
    expect(await reasonOf(hello(again))).toBe('API_KEY_INVALID')
    again.close()
  })

  it('that is rotated keeps its old secret for the overlap and no longer', async () => {
    const key = await newKey(admin, [{ name: 'wallet:sign' }])
    const { secret } = await admin.admin.rotateApiKey({ apiKeyId: key.apiKeyId, overlapSeconds: 2 })
    const [old, next] = [connect(daemon, key.secret), connect(daemon, secret)]
    expect(await outcomeOf(hello(old))).toBe('signed')
    expect(await outcomeOf(hello(next))).toBe('signed')
    await sleep(2_100)
    expect(await outcomeOf(hello(old))).toBe('API_KEY_INVALID')
    expect(await outcomeOf(hello(next))).toBe('signed')
    old.close()
    next.close()
  })

  it('works only from its networks', async () => {
    const rights = [{ name: 'wallet:sign' }]
    const here = await newKey(admin, rights, { allowedCidrs: ['10.0.0.0/8', '127.0.0.0/8'] })
    const away = await newKey(admin, rights, { allowedCidrs: ['10.0.0.0/8'] })
    const [near, far] = [connect(daemon, here.secret), connect(daemon, away.secret)]
    expect(await outcomeOf(hello(near))).toBe('signed')
    expect(['API_KEY_INVALID', 'CALLER_NOT_ALLOWED']).toContain(await reasonOf(hello(far)))
    near.close()
    far.close()
  })

  it('without the permission is refused on every RPC that signs, by name', async () => {
    const { secret } = await newKey(admin, [{ name: 'wallet:read' }])
    const client = connect(daemon, secret)
    for (const name of SIGNING_NAMES) {
      const refusal = await refusalOf(signAs(name, client, { wallet: 'payer' }))
      expect(refusal).toMatchObject({ code: 'PERMISSION_DENIED', reason: 'PERMISSION_MISSING', retryable: 'no' })
      expect(refusal.metadata['permission']).toMatch(/^(wallet:sign|sign:digest|sign:authorization)$/)
    }
    expect(await reasonOf(newWallet(client))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(client.admin.getStatus({}))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(client.audit.listEvents({}))).toBe('PERMISSION_MISSING')
    client.close()
  })
})

describe('a sidecar socket', () => {
  it('is one API key, needs no secret, and reaches no further', async () => {
    const right = { name: 'wallet:sign', wallets: [wallet.walletId], chains: [CHAIN], destinations: [TO] }
    const key = await newKey(admin, [right])
    const dir = join(base, 'sockets')
    mkdirSync(dir, { mode: 0o700, recursive: true })
    const path = join(dir, 'bot.sock')
    const config = join(base, 'countersign.toml')
    writeFileSync(config, `[[socket]]\npath = "${path}"\napi_key_id = "${key.apiKeyId}"\n`)
    await crash(['--config', config])
    const bot = createCountersignClient({ socketPath: path })
    expect(await outcomeOf(pay(bot, 1n))).toBe('signed')
    expect(await outcomeOf(hello(bot))).toBe('PERMISSION_MISSING')
    expect(await outcomeOf(bot.admin.getStatus({}))).toBe('PERMISSION_MISSING')
    const { events } = await admin.audit.listEvents({ kind: 'sign.intent', subject: wallet.walletId, pageSize: 500 })
    expect(events.at(-1)?.actor).toBe(`api_key:${key.apiKeyId}`)
    const pretender = createCountersignClient({ socketPath: path, apiKey: daemon.adminKey })
    expect(await outcomeOf(pretender.admin.getStatus({}))).not.toBe('signed')
    await admin.admin.revokeApiKey({ apiKeyId: key.apiKeyId })
    expect(await outcomeOf(pay(bot, 1n))).toBe('API_KEY_INVALID')
    bot.close()
    pretender.close()
    const unbound = createCountersignClient({ socketPath: daemon.endpoints.socket })
    expect(await reasonOf(hello(unbound))).toBe('API_KEY_MISSING')
    unbound.close()
  })
})
