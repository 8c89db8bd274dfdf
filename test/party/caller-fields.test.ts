import { beforeAll, describe, expect, it } from 'vitest'
import { seededBytes } from '../engine/bigint-reference.ts'
import { classOf, endOf } from './judging.ts'
import { durable, jobOf, sha256, twoParties, type TwoParties } from './two-parties.ts'

const CALLS = 800
const BATCH = 32

/** A reader that refuses some payloads, as a parser does, and reads others in another way than C. */
const readPayload = (payload: Uint8Array) => {
  if (payload.length === 0 || (payload[0] ?? 0) % 5 === 0) throw new Error('it does not parse')
  if ((payload[0] ?? 0) % 5 === 1) return { digest: sha256(payload.subarray(1)), summary: 'read otherwise' }
  return { digest: sha256(payload), summary: '' }
}

describe('T54 whatever a caller of an honest C chooses', () => {
  let two: TwoParties
  let wallets: Uint8Array[]
  beforeAll(async () => {
    two = await twoParties({ readPayload })
    wallets = await two.newWallets(3)
  })

  it(`costs no strike and stops no link: ${CALLS} calls`, async () => {
    const next = seededBytes('T54')
    const byte = (): number => next(1)[0] ?? 0
    const pick = <T>(items: readonly T[]): T => items[byte() % items.length] as T
    const path = (): number[] => {
      const length = pick([0, 0, 0, 1, 2, 5, 10, 11, 12, 255, 300])
      return Array.from({ length }, () =>
        pick([0, 1, 7, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1, 2 ** 32, -1, 1.5, Number.NaN]),
      ).map((index) => (byte() % 4 === 0 ? index : Math.abs(Math.trunc(index || 0)) % 2 ** 31))
    }
    const digest = (payload: Uint8Array): Uint8Array =>
      pick([sha256(payload), sha256(payload), sha256(payload), next(32), new Uint8Array(32), new Uint8Array(32).fill(255), next(31)])
    const reqIds = Array.from({ length: 8 }, () => next(16))
    const ends = new Map<string, number>()
    for (let call = 0; call < CALLS; call += BATCH) {
      const ready = await two.c.presign(Array.from({ length: BATCH }, () => pick(wallets)))
      await Promise.all(
        ready.map(async (one) => {
          const payload = next(pick([0, 1, 2, 100, 5_000]))
          const reqId = byte() % 4 === 0 ? pick(reqIds) : next(pick([16, 16, 16, 16, 15, 0]))
          const job = { ...jobOf(one, payload, reqId), path: path(), digest: digest(payload) }
          const end = await endOf(two.c.sign(job))
          ends.set(end, (ends.get(end) ?? 0) + 1)
          const [side, faultClass, code] = end.split(':')
          // A caller ends in class A, in class B (an invalid child) or in a refusal of C before anything is sent.
          if (side !== 'done' && side !== 'error') expect(['A', 'B'], end).toContain(faultClass)
          if (side === 'S') expect(classOf(code ?? ''), end).toBe('A')
        }),
      )
    }
    expect(await durable(two)).toEqual({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0, burnsC: 0, burnsS: 0 })
    for (const wallet of wallets) {
      for (const store of [two.storeC, two.storeS]) expect((await store.loadWallet(wallet))?.state).toBe('ACTIVE')
    }
    // The corpus reaches every kind of end.
    const reached = ['done', 'S:A:disagreement', 'S:A:policy_denied', 'S:A:reqid_conflict', 'C:A:policy_denied', 'error:RangeError']
    for (const end of reached) expect(ends.get(end) ?? 0, end).toBeGreaterThan(0)
    expect([two.c.presignatureCount, two.s.presignatureCount]).toEqual([0, expect.any(Number)])
  })

  it('a payload that no frame can hold is refused by C', async () => {
    const [ready] = await two.c.presign([wallets[0] as Uint8Array])
    const job = jobOf(ready as NonNullable<typeof ready>, new Uint8Array(3 * 1024 * 1024).fill(3))
    expect(await endOf(two.c.sign(job))).toBe('C:A:policy_denied')
    expect(await durable(two)).toMatchObject({ strikesC: 0, strikesS: 0 })
  })

  it('wallets that do not exist, twice the same, more than one session holds', async () => {
    expect(await two.c.presign([new Uint8Array(16), new Uint8Array(16).fill(7)])).toEqual([])
    expect(await two.c.presign([])).toEqual([])
    const many = Array.from({ length: 65 }, () => wallets[0] as Uint8Array)
    expect(await endOf(two.c.presign(many))).toBe('error:RangeError')
    for (const count of [0, 65, -1, 1.5]) expect(await endOf(two.c.generate(count))).toBe('error:RangeError')
    expect(two.linkC.lock.busy).toBe(false)
    expect(await two.c.presign(many.slice(1))).toHaveLength(64)
    expect(await durable(two)).toMatchObject({ strikesC: 0, strikesS: 0 })
  })
})
