/** Streams, pools, deadlines and metrics of the real daemon. */
import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { create } from '@bufbuild/protobuf'
import { timestampFromMs } from '@bufbuild/protobuf/wkt'
import { recoverMessageAddress } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { TokenLimitSchema } from '../../gen/countersign/v1/common_pb.ts'
import { EvmTransactionSchema, PoolMode, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { openSignStream, type SignStream } from '../../src/client/sign-stream.ts'
import { connect, hex, newKey, newWallet, outcomeOf, reasonOf, refusalOf, sha256 } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'
import { TO, transferFields } from './transactions.ts'

let daemon: TestDaemon
let admin: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  daemon = await startDaemon({ args: ['--metrics-listen', '127.0.0.1:0', '--slow-signature-milliseconds', '1'] })
  admin = connect(daemon, daemon.adminKey)
  wallet = await newWallet(admin, 'streams')
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

const text = (value: string) => ({ case: 'text', value }) as const
const say = (stream: SignStream, value: string, rest: object = {}) =>
  stream.sign('signMessage', { wallet: wallet.walletId, content: text(value), ...rest })
const scrape = async (): Promise<string> => {
  const { metrics } = daemon.endpoints as unknown as { readonly metrics: string }
  return (await fetch(`http://${metrics}/metrics`)).text()
}
const valueOf = (exposition: string, series: string): number =>
  Number(exposition.split('\n').find((line) => line.startsWith(`${series} `))?.split(' ')[1] ?? Number.NaN)

describe('SignStream', () => {
  it('signs a thousand items, each with its own signature and audit row', async () => {
    const stream = openSignStream(admin.wallets)
    const answers = await Promise.all(Array.from({ length: 1_000 }, (_, index) => say(stream, `item ${index}`)))
    await stream.close()
    expect(new Set(answers.map(({ receipt }) => receipt?.sequence)).size).toBe(1_000)
    expect(new Set(answers.map(({ signature }) => hex(signature?.r ?? new Uint8Array()))).size).toBe(1_000)
    for (const index of [0, 1, 499, 999]) {
      const signature = answers[index]?.signature?.hex as `0x${string}`
      expect(await recoverMessageAddress({ message: `item ${index}`, signature })).toBe(wallet.address)
    }
  })

  it('refuses items one by one, as their RPCs do', async () => {
    const stream = openSignStream(admin.wallets)
    const outcomes = await Promise.all([
      outcomeOf(say(stream, 'good')),
      outcomeOf(stream.sign('signMessage', { wallet: 'nobody', content: text('x') })),
      outcomeOf(stream.sign('signTypedData', { wallet: 'streams', typedDataJson: '{"types":1}' })),
      outcomeOf(stream.sign('signDigest', { wallet: 'streams', digest: new Uint8Array(32) })),
      outcomeOf(stream.sign('signDigest', { wallet: 'streams', digest: sha256('x') })),
      outcomeOf(stream.sign('signAuthorization', { wallet: 'streams', chainId: 0n, address: TO })),
      outcomeOf(say(stream, 'late', { notAfter: timestampFromMs(Date.now() - 1_000) })),
    ])
    expect(outcomes).toEqual([
      'signed',
      'WALLET_NOT_FOUND',
      'TYPED_DATA_INVALID',
      'DIGEST_REFUSED',
      'signed',
      'AUTHORIZATION_CHAIN_ZERO',
      'DEADLINE_EXCEEDED',
    ])
    await stream.close()
  })

  it('gives one answer for one request_id, streamed or not', async () => {
    const stream = openSignStream(admin.wallets)
    const requestId = randomUUID()
    const first = await say(stream, 'once', { requestId })
    const again = await say(stream, 'once', { requestId })
    const beside = await admin.wallets.signMessage({ wallet: wallet.walletId, content: text('once'), requestId })
    expect([again, beside]).toEqual([first, first])
    expect(await reasonOf(say(stream, 'twice', { requestId }))).toBe('IDEMPOTENCY_MISMATCH')
    await stream.close()
  })

  it('holds a narrowed key to its wallet, chain, caps and permissions', async () => {
    const other = await newWallet(admin)
    const limit = create(TokenLimitSchema, { chain: 'eip155:1', token: 'native', amount: '5' })
    const narrowing = { wallets: [wallet.walletId], chains: ['eip155:1'], maxPerDay: [limit] }
    const { secret } = await newKey(admin, [{ name: 'wallet:sign', ...narrowing }])
    const bot = connect(daemon, secret)
    const stream = openSignStream(bot.wallets)
    const transfer = (walletRef: string, rest: object = {}) => {
      const value = create(EvmTransactionSchema, transferFields({ value: '2', ...rest }))
      return outcomeOf(stream.sign('signTransaction', { wallet: walletRef, transaction: { case: 'evm', value } }))
    }
    expect(await transfer(other.walletId)).toBe('PERMISSION_MISSING')
    expect(await transfer(wallet.walletId, { chainId: 137n })).toBe('PERMISSION_MISSING')
    expect(await outcomeOf(say(stream, 'a message'))).toBe('PERMISSION_MISSING')
    expect(await outcomeOf(stream.sign('signDigest', { wallet: wallet.walletId, digest: sha256('x') }))).toBe('PERMISSION_MISSING')
    const many = await Promise.all(Array.from({ length: 10 }, (_, nonce) => transfer(wallet.walletId, { nonce: BigInt(nonce) })))
    expect(many.filter((outcome) => outcome === 'signed')).toHaveLength(2)
    expect(many.filter((outcome) => outcome === 'LIMIT_EXCEEDED')).toHaveLength(8)
    await stream.close()
    bot.close()
  })

  it('releases nothing after a freeze was acknowledged, and goes on when it is lifted', async () => {
    const frozen = await newWallet(admin, 'to-freeze')
    const stream = openSignStream(admin.wallets)
    const sign = (value: string) =>
      stream.sign('signMessage', { wallet: frozen.walletId, content: text(value) }).then(
        () => ({ outcome: 'signed', atMs: performance.now() }),
        (error: { readonly reason?: string }) => ({ outcome: error.reason, atMs: performance.now() }),
      )
    const target = { scope: FreezeScope.WALLET, id: frozen.walletId }
    const asked = Array.from({ length: 200 }, (_, index) => sign(`before ${index}`))
    await asked[20]
    await admin.admin.freeze(target)
    const frozenAtMs = performance.now()
    const outcomes = await Promise.all(asked)
    expect(outcomes.filter(({ outcome, atMs }) => outcome === 'signed' && atMs > frozenAtMs + 20)).toEqual([])
    expect(new Set(outcomes.map(({ outcome }) => outcome))).toEqual(new Set(['signed', 'FROZEN']))
    expect((await sign('while')).outcome).toBe('FROZEN')
    expect(await reasonOf(admin.wallets.warmPresignatures({ wallet: frozen.walletId }))).toBe('FROZEN')
    await admin.admin.unfreeze(target)
    expect((await sign('after')).outcome).toBe('signed')
    await stream.close()
  })

  it('ends when its key is revoked, mid-stream', async () => {
    const { secret, apiKeyId } = await newKey(admin, [{ name: 'wallet:sign' }])
    const bot = connect(daemon, secret)
    const stream = openSignStream(bot.wallets)
    await say(stream, 'before')
    const running = Array.from({ length: 100 }, (_, index) => outcomeOf(say(stream, `during ${index}`)))
    await running[5]
    await admin.admin.revokeApiKey({ apiKeyId })
    const outcomes = new Set(await Promise.all(running))
    outcomes.delete('signed')
    for (const outcome of outcomes) expect(['API_KEY_INVALID', 'FROZEN']).toContain(outcome)
    expect(await outcomeOf(say(stream, 'after'))).toBe('API_KEY_INVALID')
    bot.close()
  })

  it('leaves nothing running when the client goes away', async () => {
    const bot = connect(daemon, daemon.adminKey)
    const stream = openSignStream(bot.wallets)
    const gone = Promise.allSettled(Array.from({ length: 200 }, (_, index) => say(stream, `gone ${index}`)))
    await sleep(5)
    bot.close()
    await gone
    await expect.poll(async () => valueOf(await scrape(), 'countersign_calls_in_flight'), { timeout: 20_000 }).toBe(0)
    await admin.wallets.signMessage({ wallet: wallet.walletId, content: text('still there') })
  })
})

describe('pools', () => {
  it('are filled on request and say how deep they are', async () => {
    const warm = await newWallet(admin, 'warm')
    const pool = await admin.wallets.warmPresignatures({ wallet: 'warm', depth: 100 })
    expect(pool).toMatchObject({ depth: 100, capacity: 4_096 })
    expect(pool.fillRate).toBeGreaterThan(1)
    const content = text('x')
    await Promise.all(
      Array.from({ length: 60 }, () => admin.wallets.signMessage({ wallet: warm.walletId, content, poolMode: PoolMode.FAIL })),
    )
  })

  it('refuse who does not want to wait, with when to come again', async () => {
    const cold = await newWallet(admin, 'cold')
    const ask = { wallet: cold.walletId, content: text('x'), poolMode: PoolMode.FAIL }
    // A new wallet is given a few before it is used.
    const asked = await Promise.allSettled(Array.from({ length: 100 }, () => admin.wallets.signMessage(ask)))
    const refused = asked.flatMap((one) => (one.status === 'rejected' ? [one.reason as Error] : []))
    expect(refused.length).toBeGreaterThan(50)
    expect(await refusalOf(Promise.reject(refused[0] as Error))).toMatchObject({
      reason: 'PRESIGNATURES_EXHAUSTED',
      retryable: 'yes',
      retryAfterMs: 100,
    })
    await expect.poll(() => outcomeOf(admin.wallets.signMessage(ask)), { timeout: 20_000 }).toBe('signed')
  })

  it('vanish with a freeze, and are not filled while it stands', async () => {
    const frozen = await newWallet(admin, 'no-pool')
    await admin.wallets.warmPresignatures({ wallet: 'no-pool', depth: 30 })
    const before = valueOf(await scrape(), 'countersign_presignature_wallets')
    const target = { scope: FreezeScope.WALLET, id: frozen.walletId }
    await admin.admin.freeze(target)
    expect(valueOf(await scrape(), 'countersign_presignature_wallets')).toBe(before - 1)
    await sleep(100)
    await admin.admin.unfreeze(target)
    const ask = { wallet: frozen.walletId, content: text('x'), poolMode: PoolMode.FAIL }
    expect(await reasonOf(admin.wallets.signMessage(ask))).toBe('PRESIGNATURES_EXHAUSTED')
  })

  it('are for those who may sign with the wallet', async () => {
    const { secret } = await newKey(admin, [{ name: 'wallet:sign', wallets: [`wal_${'0'.repeat(32)}`] }])
    const bot = connect(daemon, secret)
    expect(await reasonOf(bot.wallets.warmPresignatures({ wallet: wallet.walletId }))).toBe('PERMISSION_MISSING')
    expect(await reasonOf(admin.wallets.warmPresignatures({ wallet: 'nobody' }))).toBe('WALLET_NOT_FOUND')
    expect(await reasonOf(admin.wallets.warmPresignatures({ wallet: 'streams', depth: 4_097 }))).toBe('INVALID_REQUEST')
    bot.close()
  })
})

describe('deadlines', () => {
  it('refuse what the queue leaves no time for, before it begins, with the facts', async () => {
    const busy = await newWallet(admin, 'busy')
    const sign = (value: string, rest: object = {}) =>
      admin.wallets.signMessage({ wallet: busy.walletId, content: text(value), ...rest })
    const load = Promise.all(Array.from({ length: 200 }, (_, index) => sign(`load ${index}`)))
    await sleep(30)
    const soon = await Promise.allSettled(
      Array.from({ length: 20 }, (_, index) => sign(`soon ${index}`, { notAfter: timestampFromMs(Date.now() + 3) })),
    )
    await load
    const refusals = await Promise.all(soon.filter(({ status }) => status === 'rejected').map((one) => refusalOf(Promise.reject((one as PromiseRejectedResult).reason as Error))))
    expect(refusals.length).toBeGreaterThan(10)
    for (const { reason } of refusals) expect(reason).toBe('DEADLINE_EXCEEDED')
  })
})

describe('where the time went', () => {
  it('is told with each answer', async () => {
    let timing: string | null = null
    const onTrailer = (trailer: Headers) => (timing = trailer.get('countersign-timing'))
    await admin.wallets.signMessage({ wallet: wallet.walletId, content: text('timed') }, { onTrailer })
    const stages = [...(timing ?? '').matchAll(/(\w+);dur=([\d.]+)/g)].map(([, name, ms]) => [name, Number(ms)] as const)
    expect(stages.map(([name]) => name)).toEqual(['queue', 'decode', 'decide', 'presign', 'commit', 'rounds', 'total'])
    const total = stages.at(-1)?.[1] ?? 0
    const parts = stages.slice(0, -1).reduce((sum, [, ms]) => sum + ms, 0)
    expect(parts).toBeGreaterThan(0)
    expect(parts).toBeLessThanOrEqual(total + 1)
  })

  it('is measured, under names without wallets, users or keys', async () => {
    const exposition = await scrape()
    expect(valueOf(exposition, 'countersign_calls_total{method="SignMessage",reason="OK",item="true"}')).toBeGreaterThan(1_000)
    expect(valueOf(exposition, 'countersign_sign_stage_seconds_count{method="SignMessage",stage="rounds"}')).toBeGreaterThan(1_000)
    expect(valueOf(exposition, 'countersign_link_state{state="ready"}')).toBe(1)
    expect(valueOf(exposition, 'countersign_presignatures')).toBeGreaterThan(0)
    expect(exposition).not.toMatch(/wal_|key_|"streams|0x[0-9a-f]{4}/)
    expect(daemon.output()).toMatch(/"event":"sign.slow".*rounds;dur=/)
  })
})
