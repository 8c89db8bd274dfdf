/** What stands after SIGKILL: revocations, freezes, nonces, and signatures that were asked for under a request id. */
import { randomUUID } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FreezeScope } from '../../gen/countersign/v1/admin_pb.ts'
import { type SessionKey, SessionKeyState } from '../../gen/countersign/v1/session_key_pb.ts'
import type { CountersignClient } from '../../src/client/countersign-client.ts'
import { connect, newKey, newWallet, reasonOf } from '../e2e/callers.ts'
import { rmSync } from 'node:fs'
import { makeDataDir, startDaemon, type TestDaemon } from '../e2e/start-daemon.ts'
import { activeKey, ddxOrder, hlCancel, hlOrder } from './session-daemon.ts'

let daemon: TestDaemon
let client: CountersignClient
const dataDir = makeDataDir()

const start = async (): Promise<void> => {
  daemon = await startDaemon({ dataDir, keepData: true })
  client = connect(daemon, daemon.adminKey)
}
const killAndStart = async (): Promise<void> => {
  await daemon.kill('SIGKILL')
  client.close()
  await start()
}

beforeAll(start, 30_000)
afterAll(async () => {
  client?.close()
  await daemon?.[Symbol.asyncDispose]()
  rmSync(dataDir, { recursive: true, force: true })
})

const sign = (key: SessionKey, actionJson = hlOrder(), family = 'order', rest = {}) =>
  client.sessionKeys.signAction({ sessionKeyId: key.sessionKeyId, family, actionJson, ...rest })

describe('across kill -9', () => {
  it('stops stand, and what they do not stop goes on', async () => {
    const wallet = (await newWallet(client)).walletId
    const make = () => activeKey(client, { wallet })
    const [revoked, frozen, free, other] = [await make(), await make(), await make(), await make()]
    const ddx = await activeKey(client, { wallet, profile: 'derivadex', network: 'sepolia', scopes: [1] })
    const bot = await newKey(client, [{ name: 'session:sign' }])
    for (const key of [revoked, frozen, free, other]) await sign(key)
    await client.sessionKeys.revokeSessionKey({ sessionKeyId: revoked.sessionKeyId })
    await client.admin.freeze({ scope: FreezeScope.SESSION_KEY, id: frozen.sessionKeyId })
    await client.admin.freeze({ scope: FreezeScope.VENUE_PROFILE, id: 'derivadex' })
    await client.admin.freeze({ scope: FreezeScope.API_KEY, id: bot.apiKeyId })
    await killAndStart()
    expect(await reasonOf(sign(revoked))).toBe('SESSION_REVOKED')
    expect(await reasonOf(sign(frozen))).toBe('FROZEN')
    expect(await reasonOf(sign(frozen, hlCancel(), 'cancel_order'))).toBe('FROZEN')
    expect(await reasonOf(sign(ddx, ddxOrder()))).toBe('FROZEN')
    using robot = connect(daemon, bot.secret)
    const action = { sessionKeyId: free.sessionKeyId, family: 'order', actionJson: hlOrder() }
    expect(await reasonOf(robot.sessionKeys.signAction(action))).toBe('FROZEN')
    await sign(free)
    await client.admin.unfreeze({ scope: FreezeScope.SESSION_KEY, id: frozen.sessionKeyId })
    await sign(frozen)
    await client.admin.freeze({ scope: FreezeScope.EVERYTHING, id: '' })
    await killAndStart()
    expect(await reasonOf(sign(free))).toBe('FROZEN')
    await client.admin.unfreeze({ scope: FreezeScope.EVERYTHING, id: '' })
    await sign(other)
    const { sessionKey } = await client.sessionKeys.getSessionKey({ sessionKeyId: revoked.sessionKeyId })
    expect(sessionKey?.state).toBe(SessionKeyState.REVOKED)
  })

  it('no nonce comes again, caps stay charged, and a request id signs the same again', async () => {
    const key = await activeKey(client, { limits: { maxNotionalPerDay: '10000' } })
    const prices = { profile: 'hyperliquid', network: 'testnet', prices: [{ market: '1', price: '100' }] }
    const nonces: bigint[] = []
    let kept: Awaited<ReturnType<typeof sign>> | undefined
    const requestId = randomUUID()
    for (let round = 0; round < 3; round++) {
      // Marks are kept in memory: until they are set again, a notional limit denies.
      expect(await reasonOf(sign(key))).toBe('MARK_STALE')
      await client.sessionKeys.setMarkPrices(prices)
      const again = await sign(key, hlOrder({ p: '99' }), 'order', { requestId })
      kept ??= again
      expect(again).toEqual(kept)
      // Some of these are cut off in the middle.
      const running = Array.from({ length: 60 }, () =>
        sign(key).then(
          ({ nonce }) => void nonces.push(BigInt(nonce)),
          () => undefined,
        ),
      )
      await Promise.race(running)
      await killAndStart()
      await Promise.all(running)
    }
    await client.sessionKeys.setMarkPrices(prices)
    nonces.push(BigInt((await sign(key, hlCancel(), 'cancel_order')).nonce))
    expect(new Set(nonces).size).toBe(nonces.length)
    const { events } = await client.audit.listEvents({ kind: 'session.action', subject: key.sessionKeyId, pageSize: 500 })
    const recorded = events.map(({ detailsJson }) => BigInt((JSON.parse(detailsJson) as { nonce: string }).nonce))
    expect(new Set(recorded).size).toBe(recorded.length)
    expect(recorded).toEqual(recorded.toSorted((a, b) => (a < b ? -1 : 1)))
    for (const nonce of nonces) expect(recorded).toContain(nonce)
    const orders = events.filter(({ detailsJson }) => (JSON.parse(detailsJson) as { family: string }).family === 'order').length
    const left = Math.floor((10_000 - 198 - (orders - 1) * 200) / 200)
    const outcomes = await Promise.all(Array.from({ length: left + 3 }, () => sign(key).then(() => 1, () => 0)))
    expect(outcomes.filter((one) => one === 1)).toHaveLength(left)
  }, 90_000)
})
