/** Nobody waits for ever: not behind pools that are filled without end, and not behind one wallet that everybody uses. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import type { Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newWallet } from './callers.ts'
import { startDaemon, type TestDaemon } from './start-daemon.ts'

/** Far above what it takes on a busy machine, far below the deadline of a call. */
const PATIENCE_MS = 15_000
/** Somebody who signs leaves this long between one and the next: no quiet that filling would wait for. */
const BETWEEN_MS = 8

let daemon: TestDaemon
let admin: CountersignClient

beforeAll(async () => {
  daemon = await startDaemon({ args: ['--presignatures-capacity', '65536', '--metrics-listen', '127.0.0.1:0'] })
  admin = connect(daemon, daemon.adminKey)
})
afterAll(async () => {
  admin.close()
  await daemon[Symbol.asyncDispose]()
})

const sign = (wallet: Wallet, text: string) =>
  admin.wallets.signMessage({ wallet: wallet.walletId, content: { case: 'text', value: text } })

const tookMs = async (work: Promise<unknown>): Promise<number> => {
  const startMs = performance.now()
  await work
  return performance.now() - startMs
}

const wallets = (name: string, count: number): Promise<Wallet[]> =>
  Promise.all(Array.from({ length: count }, (_, i) => newWallet(admin, `${name}-${i}`)))

const gauge = async (name: string): Promise<number> => {
  const { metrics } = daemon.endpoints as unknown as { readonly metrics: string }
  const text = await (await fetch(`http://${metrics}/metrics`)).text()
  return Number(new RegExp(`^${name} (\\S+)$`, 'm').exec(text)?.[1] ?? Number.NaN)
}

const ready = (): Promise<number> => gauge('countersign_presignatures')

/** Many wallets are to be filled as deep as can be: the filler has work for minutes. */
const saturateFiller = async (): Promise<void> => {
  for (const { walletId } of await wallets('deep', 6))
    admin.wallets.warmPresignatures({ wallet: walletId, depth: 4_096 }).catch(() => undefined)
  await sleep(200)
}

describe('while the filler has more to do than it can', () => {
  it('live requests are served, with a presignature at hand and without, and creations too', async () => {
    const [warm] = await wallets('live', 1)
    if (warm === undefined) throw new Error('no wallet')
    await admin.wallets.warmPresignatures({ wallet: warm.walletId, depth: 40 })
    await saturateFiller()
    const before = await ready()
    const times: number[] = []
    for (let i = 0; i < 40; i++) times.push(await tookMs(sign(warm, `live ${i}`)))
    for (const fresh of await wallets('fresh', 5)) times.push(await tookMs(sign(fresh, 'first')))
    times.push(...(await Promise.all(Array.from({ length: 64 }, (_, i) => tookMs(sign(warm, `together ${i}`))))))
    expect(times.filter((ms) => ms > PATIENCE_MS)).toEqual([])
    // Filling gives way, and goes on.
    await expect.poll(ready, { timeout: 20_000 }).toBeGreaterThan(before + 8)
  })

  it('a wallet that is signed from all the time, slower than filling goes, gets its pool back', { timeout: 120_000 }, async () => {
    const [busy] = await wallets('busy', 1)
    if (busy === undefined) throw new Error('no wallet')
    const made = await gauge('countersign_presignatures_made')
    const over = new AbortController()
    let signed = 0
    const worker = async (): Promise<void> => {
      while (!over.signal.aborted) {
        await sign(busy, `busy ${signed}`)
        signed += 1
        await sleep(BETWEEN_MS)
      }
    }
    const working = worker()
    try {
      // More than what was signed took, however long that takes here.
      const beyond = async (): Promise<number> => (await gauge('countersign_presignatures_made')) - made - signed
      await expect.poll(beyond, { timeout: 90_000 }).toBeGreaterThan(16)
    } finally {
      over.abort()
      await working
    }
    expect(signed).toBeGreaterThan(4)
  })
})

describe('one wallet that everybody uses', () => {
  it('does not keep the others from being served', async () => {
    const [hot, ...others] = await wallets('shared', 9)
    if (hot === undefined) throw new Error('no wallet')
    const over = new AbortController()
    const hammer = async (at: number): Promise<number> => {
      let count = 0
      for (; !over.signal.aborted; count++) await sign(hot, `hot ${at} ${count}`)
      return count
    }
    const hammering = Promise.all(Array.from({ length: 48 }, (_, at) => hammer(at)))
    await sleep(300)
    const times: number[] = []
    for (let round = 0; round < 4; round++)
      times.push(...(await Promise.all(others.map((wallet) => tookMs(sign(wallet, `quiet ${round}`))))))
    over.abort()
    const counts = await hammering
    expect(times.filter((ms) => ms > PATIENCE_MS)).toEqual([])
    // And among those who use it nobody is left out.
    expect(Math.min(...counts)).toBeGreaterThan(0)
  })
})
