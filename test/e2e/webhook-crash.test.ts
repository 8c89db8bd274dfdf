/**
 * A daemon that is killed while wallets are made and webhooks are sent: every wallet that exists was written down as one
 * event, every event reaches the receiver at least once, and none that does not belong to a wallet.
 */
import { rmSync } from 'node:fs'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it, vi } from 'vitest'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { verifyWebhook } from '../../src/client/verify-webhook.ts'
import { listenReceiver } from '../delegation/webhook-receiver.ts'
import { connect, newWallet } from './callers.ts'
import { makeDataDir, startDaemon } from './start-daemon.ts'

vi.setConfig({ testTimeout: 120_000 })

const ROUNDS = 2
const AT_ONCE = 6

/** The same moments in every run. */
const seeded = (seed: number) => () => {
  seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
  return seed / 2 ** 32
}

const walletIds = async (client: CountersignClient): Promise<string[]> => {
  const found: string[] = []
  let pageToken = ''
  do {
    const page = await client.wallets.listWallets({ pageSize: 500, pageToken })
    found.push(...page.wallets.map(({ walletId }) => walletId))
    pageToken = page.nextPageToken
  } while (pageToken !== '')
  return found
}

/** Makes wallets as fast as it can until the daemon is gone. */
const makeWallets = async (client: CountersignClient, made: () => void): Promise<void> => {
  for (;;) {
    try {
      await newWallet(client)
      made()
    } catch {
      return
    }
  }
}

it('forgets no event and makes none up', async () => {
  const random = seeded(20_261_121)
  // Slow enough that the daemon dies while it waits for answers.
  const receiver = await listenReceiver((response) => void setTimeout(() => response.end(), 25))
  const base = makeDataDir()
  const start = () => startDaemon({ dataDir: base, keepData: true, args: ['--egress-allow', '127.0.0.1/32'] })
  let daemon = await start()
  try {
    const first = connect(daemon, daemon.adminKey)
    const { secret } = await first.admin.createWebhook({ url: receiver.url, eventTypes: ['wallet.created'] })
    first.close()
    for (let round = 0; round < ROUNDS; round++) {
      const client = connect(daemon, daemon.adminKey)
      let count = 0
      const enough = 2 + Math.floor(random() * 8)
      const dying = Promise.withResolvers<void>()
      const made = (): void => {
        count += 1
        if (count === enough) dying.resolve()
      }
      const making = Promise.all(Array.from({ length: AT_ONCE }, () => makeWallets(client, made)))
      await dying.promise
      await sleep(random() * 20)
      await daemon.kill('SIGKILL')
      await making
      client.close()
      daemon = await start()
    }
    const client = connect(daemon, daemon.adminKey)
    const wallets = await walletIds(client)
    expect(wallets.length).toBeGreaterThanOrEqual(2 * ROUNDS)
    const told = (): Map<string, Set<string>> => {
      const eventsOf = new Map<string, Set<string>>()
      for (const { headers, body } of receiver.received) {
        // It was signed a while ago for the first of them.
        const read = verifyWebhook({ headers, body, secrets: [secret], toleranceMs: 600_000 })
        if (!read.ok) throw new Error(read.reason)
        const walletId = String(read.event.data['wallet_id'])
        eventsOf.set(walletId, (eventsOf.get(walletId) ?? new Set()).add(read.event.eventId))
      }
      return eventsOf
    }
    await vi.waitFor(() => expect([...told().keys()].toSorted()).toEqual(wallets.toSorted()), { timeout: 60_000, interval: 100 })
    expect([...told().values()].every((events) => events.size === 1)).toBe(true)
    client.close()
  } finally {
    receiver.close()
    await daemon.kill('SIGKILL')
    rmSync(base, { recursive: true, force: true })
  }
})
