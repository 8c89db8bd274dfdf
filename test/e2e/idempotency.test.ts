/** One request id stands for one request: concurrently, after a restart, after kill -9. */
import { randomUUID } from 'node:crypto'
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { create, toBinary } from '@bufbuild/protobuf'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { KeyType } from '../../gen/countersign/v1/common_pb.ts'
import { CreateApiKeyResponseSchema } from '../../gen/countersign/v1/admin_pb.ts'
import { EvmTransactionSchema, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, hex, newKey, newWallet, outcomeOf, refusalOf } from './callers.ts'
import { SIGNING_NAMES, signAs } from './signing-calls.ts'
import { makeDataDir, startDaemon, type TestDaemon } from './start-daemon.ts'
import { transferFields } from './transactions.ts'

/** Each restart takes a second, and several on a machine with other work. */
vi.setConfig({ testTimeout: 90_000, hookTimeout: 120_000 })

const base = makeDataDir()
let daemon: TestDaemon
let client: CountersignClient
let wallet: Wallet

const start = async (): Promise<void> => {
  daemon = await startDaemon({ dataDir: base, keepData: true })
  client = connect(daemon, daemon.adminKey)
}
const restart = async (signal: NodeJS.Signals): Promise<void> => {
  client.close()
  await daemon.kill(signal)
  await start()
}

beforeAll(async () => {
  await start()
  wallet = await newWallet(client, 'once')
})
afterAll(async () => {
  client.close()
  await daemon[Symbol.asyncDispose]()
  rmSync(base, { recursive: true, force: true })
})

const intentsOf = async (requestId: string): Promise<number> => {
  const { events } = await client.audit.listEvents({ kind: 'sign.intent', subject: wallet.walletId, pageSize: 500 })
  return events.filter((event) => event.requestId === requestId).length
}

/** An answer as text, to the byte. */
const bytesOf = (answer: unknown): string =>
  JSON.stringify(answer, (_key, value: unknown) =>
    typeof value === 'bigint' ? `${value}n` : value instanceof Uint8Array ? hex(value) : value,
  )

describe('the same request id and body', () => {
  it.each(SIGNING_NAMES)('%s: twenty at once get one signature and one intent', async (name) => {
    const ask = { wallet: 'once', seed: name, requestId: randomUUID() }
    const answers = await Promise.all(Array.from({ length: 20 }, () => signAs(name, client, ask)))
    expect(new Set(answers.map(bytesOf)).size).toBe(1)
    expect(await intentsOf(ask.requestId)).toBe(1)
    expect(bytesOf(await signAs(name, client, ask))).toBe(bytesOf(answers[0]))
    expect(await intentsOf(ask.requestId)).toBe(1)
  })

  it('get the same answer after a clean stop and after kill -9', async () => {
    const asks = SIGNING_NAMES.map((name) => [name, { wallet: 'once', seed: `restart ${name}`, requestId: randomUUID() }] as const)
    const before = await Promise.all(asks.map(([name, ask]) => signAs(name, client, ask)))
    for (const signal of ['SIGTERM', 'SIGKILL'] as const) {
      await restart(signal)
      const after = await Promise.all(asks.map(([name, ask]) => signAs(name, client, ask)))
      expect(after.map(bytesOf)).toEqual(before.map(bytesOf))
    }
    for (const [, { requestId }] of asks) expect(await intentsOf(requestId)).toBe(1)
  })

  it('make one wallet, one key, one project, one freeze', async () => {
    const ids = Array.from({ length: 4 }, () => randomUUID())
    const [walletId, keyId, projectId, freezeId] = ids as [string, string, string, string]
    const name = `made-once-${walletId.slice(0, 8)}`
    const calls: (() => Promise<unknown>)[] = [
      () => client.wallets.createWallet({ userId: name, keyType: KeyType.SECP256K1, requestId: walletId }),
      () => newKey(client, [{ name: 'wallet:read' }], { name, requestId: keyId }),
      () => client.admin.createProject({ projectId: name, requestId: projectId }),
      () => client.admin.freeze({ scope: 1, id: wallet.walletId, note: 'drill', requestId: freezeId }),
    ]
    const first = await Promise.all(calls.map((call) => Promise.all([call(), call(), call()])))
    for (const answers of first) expect(new Set(answers.map(bytesOf)).size).toBe(1)
    await restart('SIGKILL')
    const again = await Promise.all(calls.map((call) => call()))
    expect(again.map(bytesOf)).toEqual(first.map(([answer]) => bytesOf(answer)))
    await client.admin.unfreeze({ scope: 1, id: wallet.walletId })
    const { apiKeys } = await client.admin.listApiKeys({ pageSize: 500 })
    expect(apiKeys.filter((key) => key.name === name)).toHaveLength(1)
  })

  it('sign once for all that the client saw, whatever kill -9 cut off', async () => {
    for (let round = 0; round < 2; round++) {
      const asks = Array.from({ length: 24 }, (_, i) => {
        const name = SIGNING_NAMES[i % SIGNING_NAMES.length] ?? ''
        return [name, { wallet: 'once', seed: `cut ${round} ${i}`, requestId: randomUUID() }] as const
      })
      const racing = asks.map(([name, ask]) => signAs(name, client, ask).then(bytesOf, () => undefined))
      await sleep(4 + round * 6)
      await restart('SIGKILL')
      const before = await Promise.all(racing)
      const after = await Promise.all(asks.map(([name, ask]) => signAs(name, client, ask).then(bytesOf)))
      for (const [i, answer] of before.entries()) if (answer !== undefined) expect(after[i]).toBe(answer)
      const again = await Promise.all(asks.map(([name, ask]) => signAs(name, client, ask).then(bytesOf)))
      expect(again).toEqual(after)
    }
    expect((await client.audit.verifyChain({})).valid).toBe(true)
  })

  it('finish a wallet that kill -9 cut off, and never make two', async () => {
    for (let round = 0; round < 2; round++) {
      const userId = `cut-${round}-${randomUUID()}`
      const request = { userId, keyType: KeyType.SECP256K1, requestId: randomUUID() }
      const racing = client.wallets.createWallet(request).then(bytesOf, () => undefined)
      await sleep(3 + 5 * round)
      await restart('SIGKILL')
      const before = await racing
      const after = await client.wallets.createWallet(request)
      if (before !== undefined) expect(bytesOf(after)).toBe(before)
      expect((await client.wallets.listWallets({ userId })).wallets).toEqual([after.wallet])
      expect(await outcomeOf(signAs('SignMessage text', client, { wallet: userId }))).toBe('signed')
    }
  })
})

describe('the same request id and another body', () => {
  it.each(SIGNING_NAMES)('is refused: %s', async (name) => {
    const ask = { wallet: 'once', requestId: randomUUID() }
    await signAs(name, client, { ...ask, seed: 'one' })
    for (const other of [{ ...ask, seed: 'two' }, { ...ask, seed: 'one', wallet: wallet.walletId }]) {
      expect(await refusalOf(signAs(name, client, other))).toMatchObject({
        code: 'FAILED_PRECONDITION',
        reason: 'IDEMPOTENCY_MISMATCH',
        retryable: 'no',
        metadata: { requestId: ask.requestId },
      })
    }
    expect(await intentsOf(ask.requestId)).toBe(1)
  })

  it('is refused while the first runs, and after a restart', async () => {
    const requestId = randomUUID()
    const outcomes = await Promise.all(
      Array.from({ length: 12 }, (_, i) =>
        outcomeOf(signAs('SignMessage text', client, { wallet: 'once', seed: `${i % 2}`, requestId })),
      ),
    )
    expect(outcomes.filter((outcome) => outcome === 'signed')).toHaveLength(6)
    expect(outcomes.filter((outcome) => outcome === 'IDEMPOTENCY_MISMATCH')).toHaveLength(6)
    await restart('SIGKILL')
    const later = await Promise.all(
      ['0', '1'].map((seed) => outcomeOf(signAs('SignMessage text', client, { wallet: 'once', seed, requestId }))),
    )
    expect(later.toSorted()).toEqual(['IDEMPOTENCY_MISMATCH', 'signed'])
  })

  it('is free after a refusal that had no effect', async () => {
    const requestId = randomUUID()
    const ask = (walletRef: string) => outcomeOf(signAs('SignMessage text', client, { wallet: walletRef, requestId }))
    expect(await ask('nobody')).toBe('WALLET_NOT_FOUND')
    expect(await ask('once')).toBe('signed')
  })
})

describe('a request id', () => {
  it('is scoped to its caller and its RPC', async () => {
    const requestId = randomUUID()
    const key = await newKey(client, [{ name: 'wallet:sign' }])
    const other = connect(daemon, key.secret)
    const mine = await signAs('SignMessage text', client, { wallet: 'once', requestId })
    const theirs = await signAs('SignMessage text', other, { wallet: 'once', requestId })
    expect(bytesOf(theirs)).not.toBe(bytesOf(mine))
    expect(await outcomeOf(signAs('SignDigest', client, { wallet: 'once', requestId }))).toBe('signed')
    other.close()
  })

  it('is one id in any letter case', async () => {
    const requestId = randomUUID()
    const first = await signAs('SignMessage text', client, { wallet: 'once', requestId })
    const second = await signAs('SignMessage text', client, { wallet: 'once', requestId: requestId.toUpperCase() })
    expect(bytesOf(second)).toBe(bytesOf(first))
  })

  it('has to be a UUID', async () => {
    for (const requestId of ['x', '1234', randomUUID().replaceAll('-', '')]) {
      const refusal = await refusalOf(signAs('SignMessage text', client, { wallet: 'once', requestId }))
      expect(refusal.violations.map(({ field }) => field)).toEqual(['request_id'])
    }
  })

  it('keeps a secret that is shown once, for the same asker alone', async () => {
    const requestId = randomUUID()
    const ask = { name: 'kept', permissions: [{ name: 'wallet:read' }], requestId }
    const first = toBinary(CreateApiKeyResponseSchema, await client.admin.createApiKey(ask))
    const second = toBinary(CreateApiKeyResponseSchema, await client.admin.createApiKey(ask))
    expect(hex(second)).toBe(hex(first))
  })

  it('answers the one transaction of a repeated send', async () => {
    const requestId = randomUUID()
    const value = create(EvmTransactionSchema, transferFields())
    const ask = () => client.wallets.signTransaction({ wallet: 'once', transaction: { case: 'evm', value }, requestId })
    const first = await ask()
    expect((await ask()).transactionHash).toBe(first.transactionHash)
  })
})
