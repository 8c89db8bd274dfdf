import { randomUUID } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { Code, type ConnectError } from '@connectrpc/connect'
import { describe, expect, it } from 'vitest'
import { AdminService } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { RetryInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { failure } from '../../src/domain/failure.ts'
import type { AuditEventView } from '../../src/rpc/use-cases.ts'
import { infoOf, reasonOf, refusalOf } from './support/refusal.ts'
import { memoryStore, openTestEdge, SIGNED, testKey, WALLET } from './support/test-edge.ts'

const signer = testKey(1, ['wallet:create', 'wallet:read', 'wallet:sign', 'audit:read'])
const admin = testKey(2, ['admin'])
const newWallet = { userId: 'alice', keyType: KeyType.SECP256K1 }
const CANARY = 'csk_text-that-must-not-leave'
const until = (signal: AbortSignal) =>
  new Promise<never>((_resolve, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason as Error))
  })

describe('a repeat with the same request_id', () => {
  it('gets the same answer, and the work is done once', async () => {
    let made = 0
    await using open = await openTestEdge({
      keys: [admin],
      admin: {
        createApiKey: async () => {
          made += 1
          return {
            secret: `csk_${made}`,
            apiKey: {
              apiKeyId: admin.record.apiKeyId,
              projectId: admin.record.projectId,
              name: '',
              grants: [],
              allowedCidrs: [],
              requestsPerSecond: 0,
              expireTimeMs: undefined,
              createTimeMs: made,
              rotateTimeMs: undefined,
              revokeTimeMs: undefined,
              publicKey: undefined,
              needsDeveloperAuth: false,
              state: 'active',
            },
          }
        },
      },
    })
    const requestId = randomUUID()
    const request = { permissions: [{ name: 'wallet:read' }], requestId }
    const overGrpc = await open.client(AdminService, admin.secret).createApiKey(request)
    const overJson = await open
      .client(AdminService, admin.secret, 'connect')
      .createApiKey({ ...request, requestId: requestId.toUpperCase() })
    // The id is one in any letter case.
    expect(overJson).toEqual(overGrpc)
    const other = { ...request, name: 'another' }
    const refusal = await refusalOf(open.client(AdminService, admin.secret).createApiKey(other))
    expect(infoOf(refusal)?.reason).toBe('IDEMPOTENCY_MISMATCH')
    const again = await open.client(AdminService, admin.secret, 'connect').createApiKey(request)
    expect(again).toEqual(overGrpc)
    expect(made).toBe(1)
  })

  it('waits for the first while it runs', async () => {
    const go = Promise.withResolvers<void>()
    await using open = await openTestEdge({
      keys: [signer],
      wallets: {
        createWallet: async () => {
          await go.promise
          return WALLET
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const request = { ...newWallet, requestId: randomUUID() }
    const calls = Array.from({ length: 10 }, () => client.createWallet(request))
    await sleep(100)
    expect(open.reached).toHaveLength(1)
    go.resolve()
    for (const call of calls) expect((await call).wallet?.walletId).toBe(WALLET.walletId)
    expect(open.reached).toHaveLength(1)
  })

  it('leaves only as what is kept still may, while it waits for the first and after', async () => {
    const go = Promise.withResolvers<void>()
    let stands = true
    const idempotency = {
      ...memoryStore(),
      assertReleasable: () => {
        if (!stands) throw failure('GRANT_REVOKED', { grantId: 'g' })
      },
    }
    await using open = await openTestEdge({
      keys: [signer],
      idempotency,
      signing: {
        signMessage: async () => {
          await go.promise
          return SIGNED
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const request = { wallet: 'a', content: { case: 'text', value: 'x' } as const, requestId: randomUUID() }
    const first = client.signMessage(request)
    await expect.poll(() => open.reached.length).toBe(1)
    const waiting = reasonOf(client.signMessage(request))
    await sleep(50)
    stands = false
    go.resolve()
    expect((await first).receipt).toBeDefined()
    expect(await waiting).toBe('GRANT_REVOKED')
    expect(await reasonOf(client.signMessage(request))).toBe('GRANT_REVOKED')
    stands = true
    expect((await client.signMessage(request)).receipt).toBeDefined()
    expect(open.reached).toHaveLength(1)
  })

  it('is refused with another body, while the first runs and after', async () => {
    const go = Promise.withResolvers<void>()
    await using open = await openTestEdge({
      keys: [signer],
      wallets: {
        createWallet: async () => {
          await go.promise
          return WALLET
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const requestId = randomUUID()
    const first = client.createWallet({ ...newWallet, requestId })
    await expect.poll(() => open.reached.length).toBe(1)
    const other = { ...newWallet, userId: 'bob', requestId }
    const error = await refusalOf(client.createWallet(other))
    expect([error.code, infoOf(error)?.reason]).toEqual([Code.FailedPrecondition, 'IDEMPOTENCY_MISMATCH'])
    go.resolve()
    await first
    expect(await reasonOf(client.createWallet(other))).toBe('IDEMPOTENCY_MISMATCH')
    expect(open.reached).toHaveLength(1)
  })

  it('is one of another caller, or of another RPC, no repeat at all', async () => {
    const other = testKey(7, ['wallet:create', 'wallet:sign'])
    await using open = await openTestEdge({ keys: [signer, other] })
    const requestId = randomUUID()
    await open.client(WalletService, signer.secret).createWallet({ ...newWallet, requestId })
    await open.client(WalletService, other.secret).createWallet({ ...newWallet, userId: 'bob', requestId })
    await open.client(WalletService, signer.secret).signMessage({
      wallet: 'alice',
      content: { case: 'text', value: 'hi' },
      requestId,
    })
    expect(open.reached.map(({ name }) => name)).toEqual(['createWallet', 'createWallet', 'signMessage'])
  })

  it('runs again after a refusal, with another body only where nothing can have been done', async () => {
    const outcomes = [
      failure('USER_ID_RESERVED', { userId: 'x' }),
      failure('COSIGNER_UNAVAILABLE', { why: 'gone' }),
      undefined,
    ]
    await using open = await openTestEdge({
      keys: [signer],
      wallets: {
        createWallet: async () => {
          const refusal = outcomes.shift()
          if (refusal !== undefined) throw refusal
          return WALLET
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const requestId = randomUUID()
    expect(await reasonOf(client.createWallet({ ...newWallet, userId: 'x', requestId }))).toBe('USER_ID_RESERVED')
    expect(await reasonOf(client.createWallet({ ...newWallet, requestId }))).toBe('COSIGNER_UNAVAILABLE')
    expect(await reasonOf(client.createWallet({ ...newWallet, userId: 'y', requestId }))).toBe(
      'IDEMPOTENCY_MISMATCH',
    )
    expect((await client.createWallet({ ...newWallet, requestId })).wallet?.userId).toBe('alice')
    expect(open.reached.map(({ call }) => call.isRepeat)).toEqual([false, false, true])
  })

  it('is not held back by a first that its caller gave up', async () => {
    let runs = 0
    await using open = await openTestEdge({
      keys: [signer],
      wallets: {
        createWallet: async ({ signal }) => {
          runs += 1
          return runs === 1 ? until(signal) : WALLET
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    const request = { ...newWallet, requestId: randomUUID() }
    const controller = new AbortController()
    const first = refusalOf(client.createWallet(request, { signal: controller.signal }))
    await expect.poll(() => runs).toBe(1)
    const second = client.createWallet(request)
    await sleep(50)
    controller.abort()
    expect((await second).wallet?.userId).toBe('alice')
    await first
    expect(open.reached.map(({ call }) => call.isRepeat)).toEqual([false, true])
  })

  it('gets the stored answer after a restart', async () => {
    const idempotency = memoryStore()
    const request = { ...newWallet, requestId: randomUUID() }
    {
      await using open = await openTestEdge({ keys: [signer], idempotency })
      await open.client(WalletService, signer.secret).createWallet(request)
    }
    await using open = await openTestEdge({ keys: [signer], idempotency })
    const again = await open.client(WalletService, signer.secret).createWallet(request)
    expect(again.wallet?.walletId).toBe(WALLET.walletId)
    expect(open.reached).toHaveLength(0)
  })
})

describe('a deadline', () => {
  it.each(['grpc', 'connect', 'grpcWeb'] as const)('abandons the work and says so over %s', async (protocol) => {
    const aborted: unknown[] = []
    await using open = await openTestEdge({
      keys: [signer],
      signing: {
        signMessage: async ({ signal }) => {
          try {
            return await until(signal)
          } catch (error) {
            aborted.push(error)
            throw error
          }
        },
      },
    })
    const content = { case: 'text', value: 'hi' } as const
    const client = open.client(WalletService, signer.secret, protocol)
    const error = await refusalOf(client.signMessage({ wallet: 'alice', content }, { timeoutMs: 60 }))
    expect(error.code).toBe(Code.DeadlineExceeded)
    await expect.poll(() => aborted.length).toBe(1)
  })

  it('is told to the handler, and is never more than 30 seconds away', async () => {
    await using open = await openTestEdge({ keys: [signer] })
    const client = open.client(WalletService, signer.secret)
    const nowMs = Date.now()
    await client.getWallet({ wallet: 'alice' }, { timeoutMs: 5_000 })
    await client.getWallet({ wallet: 'alice' }, { timeoutMs: 500_000 })
    await client.getWallet({ wallet: 'alice' })
    const lefts = open.reached.map(({ call }) => call.deadlineMs - nowMs)
    expect(lefts[0]).toBeLessThanOrEqual(6_000)
    expect(lefts[1]).toBeLessThanOrEqual(31_000)
    expect(lefts[2]).toBeGreaterThan(29_000)
  })

  it('answers in time for a handler that does not listen, and drops what it makes later', async () => {
    const go = Promise.withResolvers<void>()
    await using open = await openTestEdge({
      keys: [signer],
      signing: {
        signMessage: async () => {
          await go.promise
          return SIGNED
        },
      },
    })
    const content = { case: 'text', value: 'hi' } as const
    const call = open
      .client(WalletService, signer.secret)
      .signMessage({ wallet: 'alice', content }, { timeoutMs: 50 })
    expect((await refusalOf(call)).code).toBe(Code.DeadlineExceeded)
    expect(open.edge.inFlight()).toBe(1)
    go.resolve()
    await expect.poll(() => open.edge.inFlight()).toBe(0)
  })
})

describe('a revoked key', () => {
  it('gets nothing that was in flight', async () => {
    const key = testKey(5, ['wallet:read'])
    const go = Promise.withResolvers<void>()
    await using open = await openTestEdge({
      keys: [key],
      wallets: {
        getWallet: async () => {
          await go.promise
          return WALLET
        },
      },
    })
    const call = reasonOf(open.client(WalletService, key.secret).getWallet({ wallet: 'alice' }))
    await expect.poll(() => open.reached.length).toBe(1)
    key.isRevoked = true
    go.resolve()
    expect(await call).toBe('API_KEY_INVALID')
  })

  it('hears no more of a stream', async () => {
    const key = testKey(6, ['audit:read'])
    const event: AuditEventView = {
      sequence: 1n,
      timeMs: 1,
      kind: 'k',
      projectId: 'default',
      actor: 'daemon:',
      subject: '',
      method: '',
      requestId: '',
      outcome: undefined,
      reason: '',
      detailsJson: '{}',
      prevHash: new Uint8Array(32),
      hash: new Uint8Array(32),
    }
    const next = { go: Promise.withResolvers<void>() }
    await using open = await openTestEdge({
      keys: [key],
      audit: {
        async *watchEvents() {
          for (let sequence = 1n; ; sequence += 1n) {
            yield { ...event, sequence }
            await next.go.promise
          }
        },
      },
    })
    const heard: bigint[] = []
    const watching = (async () => {
      for await (const { event: told } of open.client(AuditService, key.secret).watchEvents({}))
        heard.push(told?.sequence ?? 0n)
    })()
    const reason = reasonOf(watching)
    await expect.poll(() => heard.length).toBe(1)
    key.isRevoked = true
    next.go.resolve()
    expect(await reason).toBe('API_KEY_INVALID')
    expect(heard).toEqual([1n])
  })
})

describe('rates and room', () => {
  it('holds a key to its requests a second, and says how long to wait', async () => {
    const slow = testKey(8, ['wallet:read'], { requestsPerSecond: 5 })
    await using open = await openTestEdge({ keys: [slow, signer] })
    const client = open.client(WalletService, slow.secret)
    const startMs = performance.now()
    const asked = Array.from({ length: 60 }, () => client.getWallet({ wallet: 'alice' }))
    const results = await Promise.allSettled(asked)
    // Five at once, and five more each second that this took.
    const most = 6 + (5 * (performance.now() - startMs)) / 1_000
    const refused = results.flatMap((result) => (result.status === 'rejected' ? [result.reason as ConnectError] : []))
    expect(60 - refused.length).toBeGreaterThanOrEqual(5)
    expect(60 - refused.length).toBeLessThanOrEqual(most)
    for (const error of refused)
      expect([error.code, infoOf(error)?.reason]).toEqual([Code.ResourceExhausted, 'RATE_LIMITED'])
    const retry = refused.at(-1)?.findDetails(RetryInfoSchema)[0]?.retryDelay
    const waitMs = Number(retry?.seconds) * 1_000 + Number(retry?.nanos) / 1_000_000
    expect(waitMs).toBeGreaterThan(0)
    expect(waitMs).toBeLessThanOrEqual(200)
    await open.client(WalletService, signer.secret).getWallet({ wallet: 'alice' })
    await sleep(waitMs + 50)
    await client.getWallet({ wallet: 'alice' })
  })

  it('answers a freeze when it is full, and turns the rest away', async () => {
    const go = Promise.withResolvers<void>()
    const key = testKey(9, ['wallet:read'])
    await using open = await openTestEdge({
      keys: [key, admin],
      listen: { maxConcurrentRequests: 4 },
      wallets: {
        getWallet: async () => {
          await go.promise
          return WALLET
        },
      },
    })
    const client = open.client(WalletService, key.secret)
    const calls = Array.from({ length: 150 }, () => client.getWallet({ wallet: 'alice' }))
    let refused = 0
    for (const call of calls) call.catch(() => (refused += 1))
    const settled = Promise.allSettled(calls)
    await expect.poll(() => open.reached.length).toBe(4)
    const operator = open.client(AdminService, admin.secret)
    // While all four places are taken: they are not given back before `go`.
    await operator.freeze({ scope: 4 })
    await operator.getStatus({})
    await expect.poll(() => refused).toBe(146)
    go.resolve()
    const reasons = (await settled).map((result) =>
      result.status === 'rejected' ? infoOf(result.reason as never)?.reason : 'ok',
    )
    expect(reasons.filter((reason) => reason === 'ok')).toHaveLength(4)
    expect(reasons.filter((reason) => reason === 'OVERLOADED')).toHaveLength(146)
    expect(open.edge.inFlight()).toBe(0)
    expect((await client.getWallet({ wallet: 'alice' })).wallet?.userId).toBe('alice')
  })

  it('opens only so many streams for a key', async () => {
    await using open = await openTestEdge({
      keys: [signer],
      audit: {
        watchEvents: ({ signal }) => ({ [Symbol.asyncIterator]: () => ({ next: () => until(signal) }) }),
      },
    })
    const client = open.client(AuditService, signer.secret)
    const controller = new AbortController()
    const watch = async (signal?: AbortSignal) => {
      for await (const _ of client.watchEvents({}, signal ? { signal } : {})) continue
    }
    const streams = Array.from({ length: 64 }, () => refusalOf(watch(controller.signal)))
    await expect.poll(() => open.reached.length).toBe(64)
    expect(await reasonOf(watch())).toBe('RATE_LIMITED')
    controller.abort()
    await Promise.all(streams)
    await expect.poll(() => open.events.length).toBe(65)
    const last = new AbortController()
    const again = refusalOf(watch(last.signal))
    await expect.poll(() => open.reached.length).toBe(65)
    last.abort()
    await again
  })
})

describe('many callers at once', () => {
  it('are never taken for each other', async () => {
    const keys = Array.from({ length: 50 }, (_, index) => testKey(100 + index, ['wallet:read']))
    await using open = await openTestEdge({
      keys,
      listen: { maxConcurrentRequests: 2_000 },
      wallets: {
        getWallet: async () => {
          await sleep(Math.random() * 20)
          return WALLET
        },
      },
    })
    const clients = keys.map(({ secret }, index) =>
      open.client(WalletService, secret, index % 2 === 0 ? 'grpc' : 'grpcWeb'),
    )
    await Promise.all(
      Array.from({ length: 1_000 }, async (_, index) => {
        await clients[index % 50]?.getWallet({ wallet: `user-${index % 50}` })
      }),
    )
    expect(open.reached).toHaveLength(1_000)
    for (const { call, args } of open.reached) {
      const index = Number((args as { walletRef: string }).walletRef.slice(5))
      expect(call.caller.principal).toBe(keys[index]?.record.apiKeyId)
    }
  })
})

describe('an event', () => {
  it('tells how each call ended, and a bug is told to the operator alone', async () => {
    await using open = await openTestEdge({
      keys: [signer],
      wallets: {
        getWallet: async (_call, { walletRef }) => {
          if (walletRef === 'bug') throw new TypeError(CANARY)
          if (walletRef === 'missing') throw failure('WALLET_NOT_FOUND', {})
          return WALLET
        },
      },
    })
    const client = open.client(WalletService, signer.secret)
    await client.getWallet({ wallet: 'alice' })
    expect(await reasonOf(client.getWallet({ wallet: 'missing' }))).toBe('WALLET_NOT_FOUND')
    const bug = await refusalOf(client.getWallet({ wallet: 'bug' }))
    expect(JSON.stringify([bug.message, [...bug.metadata]])).not.toContain(CANARY)
    expect(await reasonOf(open.client(WalletService).getWallet({ wallet: 'x' }))).toBe('API_KEY_MISSING')
    expect(open.events.map(({ callerId, reason }) => [callerId, reason])).toEqual([
      [signer.record.apiKeyId, undefined],
      [signer.record.apiKeyId, 'WALLET_NOT_FOUND'],
      [signer.record.apiKeyId, 'INTERNAL'],
      [undefined, 'API_KEY_MISSING'],
    ])
    for (const { method, tookMs } of open.events) {
      expect(method).toBe('countersign.v1.WalletService/GetWallet')
      expect(tookMs).toBeGreaterThan(0)
    }
    expect(open.internal).toHaveLength(1)
  })
})
