import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { endOf } from './judging.ts'
import { betOnRow, deltaBit, flipped, MaliciousC } from './malicious-c.ts'
import { durable, jobOf, type TwoParties, warmParties } from './two-parties.ts'

const payload = Buffer.from('a payload')
/** A bet on a row of S's Δ that is lost: S must burn. */
const losingRow = (two: TwoParties): number => {
  const { material } = two.linkS
  if (material === undefined) throw new Error('no material')
  return Array.from({ length: 128 }, (_, i) => i).find((i) => deltaBit(material, i) === 1) ?? 0
}

const burn = async (two: TwoParties, ids: readonly Uint8Array[]) => {
  const evil = new MaliciousC(two)
  const run = await evil.untilP3(ids)
  const answer = await evil.sendP3(run.sid, betOnRow(run.state, run.body, [losingRow(two)]))
  expect(answer.refusal?.code).toBe('link_burned')
  return evil
}

const grant = async (two: TwoParties, side: 'C' | 'S'): Promise<void> => {
  const link = side === 'C' ? two.linkC : two.linkS
  await link.save(() => ({ relinkGrant: 5 }))
}

describe('T8 a bet on rows of the OT extension', () => {
  it('passes exactly when the bit of Δ is 0, and burns the link when it is 1', async () => {
    const seen = new Set<number>()
    for (let row = 0; row < 64 && (row < 8 || seen.size < 2); row++) {
      const { two, ids } = await warmParties()
      const evil = new MaliciousC(two)
      const bit = deltaBit(two.linkS.material as NonNullable<typeof two.linkS.material>, row)
      const run = await evil.untilP3(ids)
      const answer = await evil.sendP3(run.sid, betOnRow(run.state, run.body, [row]))
      expect(answer.refusal?.code).toBe(bit === 0 ? undefined : 'link_burned')
      expect((await durable(two)).s).toBe(bit === 0 ? 'ACTIVE' : 'BURNED')
      expect(two.s.presignatureCount).toBe(bit === 0 ? 2 : 0)
      seen.add(bit)
    }
    expect(seen).toEqual(new Set([0, 1]))
  })

  it('T9 64 times more after the first failure: every wallet and every kind of frame is refused', async () => {
    const { two, ids } = await warmParties()
    const ready = await two.c.presign([ids[0]])
    const evil = await burn(two, ids)
    expect(two.linkS.material).toBeUndefined()
    expect(two.s.presignatureCount).toBe(0)
    const before = await durable(two)
    const { lEpoch } = evil.mine
    for (let i = 0; i < 64; i++) {
      const { p2 } = await evil.begin([ids[i % 2] as Uint8Array])
      expect(p2.refusal?.code).toBe('link_burned')
    }
    const others = await Promise.all([
      evil.send(FRAME_TYPES.W1, NO_SID, lEpoch, new Uint8Array(67)),
      evil.send(FRAME_TYPES.L1, NO_SID, lEpoch + 1, new Uint8Array(37)),
      evil.setUp('relink', lEpoch + 1),
      evil.setUp('erase', lEpoch + 1),
    ])
    expect(others.map(({ refusal }) => refusal?.code)).toEqual(Array(4).fill('link_burned'))
    expect(await durable(two)).toEqual(before)
    // The honest C hears of it with its next request and stops too.
    const [first] = ready
    expect(await endOf(two.c.sign(jobOf(first as typeof first & object, payload)))).toBe('S:D:link_burned')
    expect(await durable(two)).toMatchObject({ c: 'BURNED', s: 'BURNED', burnsC: 1, burnsS: 1 })
    expect(await endOf(two.c.presign(ids))).toBe('C:A:link_burned')
    expect(await endOf(two.c.generate(1))).toBe('C:A:link_burned')
    const again = await two.restart()
    expect(await endOf(again.c.presign(ids))).toBe('C:A:link_burned')
    expect((await new MaliciousC(again).send(FRAME_TYPES.W1, NO_SID, lEpoch, new Uint8Array(67))).refusal?.code).toBe(
      'link_burned',
    )
  })

  it('T9 T52 an operator relinks: both grants are needed, the new Δ is another one, the wallets sign again', async () => {
    const { two, ids } = await warmParties()
    const old = structuredClone(two.linkS.material)
    const oldC = structuredClone(two.linkC.material)
    await burn(two, ids)
    expect(await endOf(two.c.presign(ids))).toBe('S:D:link_burned')
    expect(await endOf(two.c.relink())).toBe('C:A:link_burned')
    await grant(two, 'C')
    two.clock.advance(6_000)
    expect(await endOf(two.c.relink())).toBe('S:D:link_burned')
    // A refusal of the other side does not use the grant up.
    expect(two.linkC.record).toMatchObject({ state: 'BURNED', relinkGrant: 5, burns: 1 })
    await grant(two, 'S')
    await two.c.relink()
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE' })
    expect([two.linkC.record.relinkGrant, two.linkS.record.relinkGrant]).toEqual([0, 0])
    expect(two.linkS.material?.delta).not.toEqual(old?.delta)
    expect(two.linkC.material?.delta).not.toEqual(oldC?.delta)
    const [ready] = await two.c.presign([ids[0]])
    expect(await endOf(two.c.sign(jobOf(ready as typeof ready & object, payload)))).toBe('done')
  })

  it('T52 the grant on the side of S alone is not enough; a failed check in the relink uses the grant up', async () => {
    const { two, ids } = await warmParties()
    await burn(two, ids)
    await endOf(two.c.presign(ids))
    await grant(two, 'S')
    two.clock.advance(6_000)
    expect(await endOf(two.c.relink())).toBe('C:A:link_burned')
    const evil = new MaliciousC(two)
    const bend = { P3: (body: Uint8Array) => flipped(body, 100) }
    expect((await evil.setUp('relink', two.linkS.record.lEpoch + 1, bend)).refusal?.code).toBe('link_burned')
    expect(two.linkS.record).toMatchObject({ state: 'BURNED', relinkGrant: 0, burns: 2 })
    two.clock.advance(6_000)
    expect((await evil.setUp('relink', two.linkS.record.lEpoch + 1)).refusal?.code).toBe('link_burned')
  })

  it('T52 a set-up that does not finish leaves the grant, five of them use it up', async () => {
    const { two, ids } = await warmParties()
    await burn(two, ids)
    await grant(two, 'S')
    const evil = new MaliciousC(two)
    for (let left = 5; left > 0; left--) {
      expect(two.linkS.record.relinkGrant).toBe(left)
      two.clock.advance(11_000)
      const bend = { P3: () => new Uint8Array(0) }
      expect((await evil.setUp('relink', two.linkS.record.lEpoch + 1, bend)).refusal?.code).toBe('protocol')
      expect(two.linkS.record.state).toBe('BURNED')
    }
    two.clock.advance(11_000)
    expect((await evil.setUp('relink', two.linkS.record.lEpoch + 1)).refusal?.code).toBe('link_burned')
  })

  it('T52 after the third burn a grant, a restored one too, opens nothing', async () => {
    const { two, ids } = await warmParties()
    for (let burns = 1; burns <= 3; burns++) {
      await burn(two, ids)
      expect(two.linkS.record.burns).toBe(burns)
      await grant(two, 'C')
      await grant(two, 'S')
      two.clock.advance(6_000)
      if (burns < 3) {
        await endOf(two.c.presign(ids))
        await grant(two, 'C')
        await two.c.relink()
      }
    }
    expect((await new MaliciousC(two).setUp('relink', two.linkS.record.lEpoch + 1)).refusal?.code).toBe('link_burned')
  })

  it('T52 a burn covers every link of the pair, in both orders', async () => {
    const { two, ids } = await warmParties()
    const { idC, idS } = two.linkS.parties
    const base = two.linkS.record
    const shard = { ...base, linkId: new Uint8Array(randomBytes(16)) }
    const reversed = { ...base, role: 1 as const, linkId: new Uint8Array(randomBytes(16)), idC: idS, idS: idC }
    const foreign = { ...base, linkId: new Uint8Array(randomBytes(16)), idC: new Uint8Array(32).fill(9) }
    await two.storeS.saveLinks([shard, reversed, foreign])
    await burn(two, ids)
    const states = await Promise.all([shard, reversed, foreign].map(({ linkId }) => two.storeS.loadLink(linkId)))
    expect(states.map((record) => record?.state)).toEqual(['BURNED', 'BURNED', 'ACTIVE'])
  })
})

describe('T44 a verdict cannot be undone', () => {
  it('a burn whose commit fails leaves the link shut and answers nothing', async () => {
    const { two, ids } = await warmParties()
    const ready = await two.c.presign([ids[0]])
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    const save = two.storeS.saveLinks
    Object.assign(two.storeS, { saveLinks: () => Promise.reject(new Error('disk full')) })
    await expect(evil.sendP3(run.sid, betOnRow(run.state, run.body, [losingRow(two)]))).rejects.toThrow('disk full')
    Object.assign(two.storeS, { saveLinks: save })
    expect(two.linkS.material).toBeUndefined()
    expect(two.s.presignatureCount).toBe(0)
    expect((await evil.begin(ids)).p2.refusal?.code).toBe('link_burned')
    expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('S:D:link_burned')
    // The process dies before the verdict is durable: Δ went with it.
    const again = await two.restart()
    expect(again.linkS.burned).toBe(false)
    expect(again.linkS.material).toBeUndefined()
  })

  it('frames that were queued behind the failing one, and a hello, find the link burned', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    const { lEpoch } = evil.mine
    const save = two.storeS.saveLinks
    const later = (ms: number) => new Promise((wake) => setTimeout(wake, ms))
    Object.assign(two.storeS, { saveLinks: async (links: Parameters<typeof save>[0]) => later(20).then(() => save(links)) })
    const [verdict, , ...others] = await Promise.all([
      evil.sendP3(run.sid, betOnRow(run.state, run.body, [losingRow(two)])),
      later(5).then(() => evil.send(FRAME_TYPES.HELLO, NO_SID, lEpoch, new Uint8Array(randomBytes(16)))),
      evil.begin(ids).then(({ p2 }) => p2),
      evil.setUp('erase', lEpoch + 1),
      evil.sendP3(run.sid, run.body),
    ])
    expect(verdict.refusal?.code).toBe('link_burned')
    expect(others.map(({ refusal }) => refusal?.code)).toEqual(['link_burned', 'link_burned', 'session'])
    expect((await durable(two)).s).toBe('BURNED')
  })

  it('a hello of a new incarnation before the check ends the session; nothing is learned from it', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    const [verdict] = await Promise.all([
      evil.sendP3(run.sid, betOnRow(run.state, run.body, [losingRow(two)])),
      evil.send(FRAME_TYPES.HELLO, NO_SID, evil.mine.lEpoch, new Uint8Array(randomBytes(16))),
    ])
    expect(verdict.refusal?.code).toBe('session')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
  })

  it('a strike that comes while the burn is being written does not lift it', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    const save = two.storeS.saveLinks
    const strike = two.storeS.recordStrike
    const slow = () => new Promise((wake) => setTimeout(wake, 20))
    Object.assign(two.storeS, {
      saveLinks: async (records: Parameters<typeof save>[0]) => slow().then(() => save(records)),
      recordStrike: async (...args: Parameters<typeof strike>) => slow().then(slow).then(() => strike(...args)),
    })
    await Promise.all([
      evil.sendP3(run.sid, betOnRow(run.state, run.body, [losingRow(two)])),
      evil.send(FRAME_TYPES.W1, new Uint8Array(32).fill(1), evil.mine.lEpoch, new Uint8Array(67)),
      two.s.answer(new Uint8Array(3)),
      new Promise((wake) => setTimeout(wake, 5)).then(() => two.s.answer(new Uint8Array(3))),
    ])
    expect(await durable(two)).toMatchObject({ s: 'BURNED', burnsS: 1 })
    expect((await two.restart()).linkS.burned).toBe(true)
  })
})
