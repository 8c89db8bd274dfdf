/** The main thread's view of presignatures: what fills it, what empties it, what it says to those who wait. */
import { randomBytes } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import { expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import type { ReadyPresignature } from '../../src/party/initiator.ts'
import { PresignaturePool } from '../../src/party/presignature-pool.ts'
import { reasonOf } from '../vault/fixture.ts'

const make = (walletId: Uint8Array): ReadyPresignature => ({
  walletId, presigId: new Uint8Array(randomBytes(16)), wEpoch: 0, noncePoint: new Uint8Array(33), expiresAtMs: 10_000,
})
const settings = { lowWater: 10, highWater: 20, ttlMs: 1_000 }
const waiting = () => new AbortController().signal

it('ends refilling where a link has no room for more, and still serves a demand', async () => {
  const pool = new PresignaturePool(async (ids) => ids.map(make), settings, () => 0, 32)
  for (let i = 0; i < 20; i++) pool.keepWarm(new Uint8Array(randomBytes(16)))
  await sleep(150)
  expect(pool.size).toBeGreaterThanOrEqual(32)
  expect(pool.size).toBeLessThan(32 + 16)
  const cold = new Uint8Array(randomBytes(16))
  expect((await pool.take(cold, waiting())).walletId).toEqual(cold)
})

it('tells those who wait, and those who come, why it was shut', async () => {
  const pool = new PresignaturePool(() => new Promise(() => undefined), settings, () => 0)
  const early = reasonOf(() => pool.take(new Uint8Array(16), waiting()))
  await sleep(5)
  pool.shut(failure('COSIGNER_UNAVAILABLE', { why: 'gone' }))
  expect(await early).toBe('COSIGNER_UNAVAILABLE')
  expect(await reasonOf(() => pool.take(new Uint8Array(16), waiting()))).toBe('COSIGNER_UNAVAILABLE')
})

it('gives a caller that waited too long nothing, and keeps what was made for it', async () => {
  const walletId = new Uint8Array(randomBytes(16))
  let finish: (made: readonly ReadyPresignature[]) => void = () => undefined
  const pool = new PresignaturePool(() => new Promise((resolve) => (finish = resolve)), { ...settings, lowWater: 0 }, () => 0)
  const caller = new AbortController()
  const taken = reasonOf(() => pool.take(walletId, caller.signal))
  await sleep(5)
  caller.abort()
  expect(await taken).toBe('DEADLINE_EXCEEDED')
  finish([make(walletId)])
  await sleep(5)
  expect(pool.size).toBe(1)
})
