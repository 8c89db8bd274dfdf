/** What is late is refused before it begins or given up, and the audit chain shows nothing that was signed late. */
import { setTimeout as sleep } from 'node:timers/promises'
import { timestampFromMs, timestampMs } from '@bufbuild/protobuf/wkt'
import { hashMessage } from 'viem'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { PoolMode, type Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { CountersignError } from '../../src/client/countersign-error.ts'
import { openSignStream } from '../../src/client/sign-stream.ts'
import { detailOf, headSequence, rowsOfKind } from './audit-rows.ts'
import { connect, newWallet } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

let daemon: TestDaemon
let admin: CountersignClient
let wallet: Wallet

beforeAll(async () => {
  // Every signature waits for a presignature of its own, so that a queue builds up.
  daemon = await startDaemon({ args: ['--presignatures-low-water', '0', '--presignatures-high-water', '1'] })
  admin = connect(daemon, daemon.adminKey)
  wallet = await newWallet(admin, 'hurried')
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

const request = (text: string, deadlineMs?: number) => ({
  wallet: wallet.walletId,
  content: { case: 'text', value: text } as const,
  ...(deadlineMs === undefined ? {} : { notAfter: timestampFromMs(deadlineMs) }),
})

type Outcome = { readonly text: string; readonly signed: boolean; readonly error: CountersignError | undefined }

const settle = async (text: string, call: Promise<unknown>): Promise<Outcome> =>
  call.then(
    () => ({ text, signed: true, error: undefined }),
    (error: unknown) => ({ text, signed: false, error: error instanceof CountersignError ? error : undefined }),
  )

/** Keeps the daemon busy until `stop`. */
const flood = (name: string, width: number) => {
  const over = new AbortController()
  const worker = async (at: number): Promise<void> => {
    for (let i = 0; !over.signal.aborted; i++) await admin.wallets.signMessage(request(`${name} ${at} ${i}`))
  }
  const all = Promise.all(Array.from({ length: width }, (_, at) => worker(at)))
  return async (): Promise<void> => {
    over.abort()
    await all
  }
}

/** When each of these texts was authorised, by the rows after `after`. */
const intentsOf = async (texts: readonly string[], after: bigint): Promise<ReadonlyMap<string, number>> => {
  const byDigest = new Map(texts.map((text) => [hashMessage(text).slice(2), text]))
  const rows = await rowsOfKind(admin, 'sign.intent', after)
  return new Map(
    rows.flatMap((row) => {
      const text = byDigest.get(String(detailOf(row, 'digest')).replace(/^0x/, ''))
      return text === undefined || row.time === undefined ? [] : [[text, timestampMs(row.time)] as const]
    }),
  )
}

describe('a request that the queue leaves no time for', () => {
  it('is refused before it begins, with what it would have needed, and no intent', async () => {
    const after = await headSequence(admin)
    const stop = flood('load', 96)
    await sleep(300)
    const early: Outcome[] = []
    const giveUpMs = Date.now() + 30_000
    for (let i = 0; early.length < 10 && Date.now() < giveUpMs; i++) {
      const text = `soon ${i}`
      const outcome = await settle(text, admin.wallets.signMessage(request(text, Date.now() + 10 + (i % 10) * 10)))
      if (outcome.error?.metadata['neededMs'] !== undefined) early.push(outcome)
    }
    await stop()
    expect(early.length).toBe(10)
    for (const { error } of early) {
      expect(error?.reason).toBe('DEADLINE_EXCEEDED')
      expect(Number(error?.metadata['neededMs'])).toBeGreaterThanOrEqual(Number(error?.metadata['leftMs']))
    }
    expect([...(await intentsOf(early.map(({ text }) => text), after)).keys()]).toEqual([])
  })
})

describe('a request whose time runs out', () => {
  it.each(['alone', 'on a stream'] as const)('leaves no intent after it, and no answer: %s', async (how) => {
    const after = await headSequence(admin)
    const stream = openSignStream(admin.wallets)
    const deadlines = new Map<string, number>()
    const outcomes: Outcome[] = []
    // All at once, before there is a queue to judge by; the first in it have no less time than the last.
    for (let burst = 0; burst < 4; burst++) {
      const asked = Array.from({ length: 96 }, (_, i) => {
        const text = `late ${how} ${burst} ${i}`
        const deadlineMs = Date.now() + 20 + ((i * 7) % 60) * 20
        deadlines.set(text, deadlineMs)
        const ask = request(text, deadlineMs)
        return settle(text, how === 'alone' ? admin.wallets.signMessage(ask) : stream.sign('signMessage', ask))
      })
      outcomes.push(...(await Promise.all(asked)))
      await sleep(50)
    }
    await stream.close()
    const refused = outcomes.filter(({ signed }) => !signed)
    expect(refused.length).toBeGreaterThan(0)
    expect(refused.length).toBeLessThan(outcomes.length)
    expect(new Set(refused.map(({ error }) => error?.reason))).toEqual(new Set(['DEADLINE_EXCEEDED']))
    const intents = await intentsOf([...deadlines.keys()], after)
    const late = [...intents].filter(([text, atMs]) => atMs > (deadlines.get(text) ?? 0))
    expect(late).toEqual([])
    for (const { text, signed } of outcomes) if (signed) expect(intents.has(text)).toBe(true)
    // Nothing that was given up is taken up again.
    await sleep(300)
    expect((await intentsOf([...deadlines.keys()], after)).size).toBe(intents.size)
  })

  it('by the deadline of its call: what is not answered by then is not begun later', async () => {
    const after = await headSequence(admin)
    const stop = flood('calls', 64)
    await sleep(200)
    const gone = new Map<string, number>()
    await Promise.all(
      Array.from({ length: 60 }, async (_, i) => {
        const text = `call ${i}`
        const { signed } = await settle(text, admin.wallets.signMessage(request(text), { timeoutMs: 20 + i }))
        if (!signed) gone.set(text, Date.now())
      }),
    )
    await stop()
    await sleep(300)
    expect(gone.size).toBeGreaterThan(0)
    const late = [...(await intentsOf([...gone.keys()], after))].filter(([text, atMs]) => atMs > (gone.get(text) ?? 0))
    expect(late).toEqual([])
  })

  it('leaves nothing in doubt', async () => {
    expect(await rowsOfKind(admin, 'sign.in_doubt', 0n)).toEqual([])
  })
})

describe('not_after', () => {
  it('in the past is refused whatever else is asked, with nothing taken or written', async () => {
    const after = await headSequence(admin)
    const ask = { ...request('too late', Date.now() - 1), poolMode: PoolMode.FAIL }
    const { error } = await settle('too late', admin.wallets.signMessage(ask))
    expect(error?.reason).toBe('DEADLINE_EXCEEDED')
    expect(await headSequence(admin)).toBe(after)
  })
})
