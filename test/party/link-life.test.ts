import { randomBytes } from 'node:crypto'
import { describe, expect, it, vi } from 'vitest'
import { mulBase } from '../../src/engine/curve/secp256k1.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { encodeError, encodeFrame, FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { BASE_OT_BYTES, LINK_SLOTS_HARD, LINK_SLOTS_SOFT, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { u32 } from '../../src/engine/hash/encoding.ts'
import { toLe } from '../engine/bigint-reference.ts'
import { endOf, refusalIn } from './judging.ts'
import { deltaBit, MaliciousC, replaced } from './malicious-c.ts'
import { MaliciousS } from './malicious-s.ts'
import { typeOf } from './mutator.ts'
import { durable, jobOf, sha256, twoParties, type TwoParties, warmParties } from './two-parties.ts'

vi.setConfig({ testTimeout: 120_000 })

const payload = new Uint8Array(Buffer.from('what is signed'))
const HOUR_MS = 3_600_000
const works = async (two: TwoParties, ids: readonly Uint8Array[]): Promise<void> => {
  const [ready] = await two.c.presign(ids)
  expect(await endOf(two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload)))).toBe('done')
  expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', burnsC: 0, burnsS: 0 })
}
const refused = async (answer: Promise<{ refusal: { code: string } | undefined }>, code: string) =>
  expect((await answer).refusal?.code).toBe(code)

describe('T45 renewal', () => {
  it('by count: the pool survives, the next session has another Δ', async () => {
    const { two, ids } = await warmParties()
    const ready = await two.c.presign(ids)
    const before = structuredClone(two.linkS.material)
    two.linkC.countSlots(LINK_SLOTS_SOFT)
    expect(two.linkC.renewalDue()).toBe('count')
    const more = await two.c.presign(ids)
    expect(two.linkC.record.lEpoch).toBe(2)
    expect(two.linkS.material?.delta).not.toEqual(before?.delta)
    for (const one of [...ready, ...more]) expect(await endOf(two.c.sign(jobOf(one, payload)))).toBe('done')
  })

  it('by age and at start', async () => {
    const { two, ids } = await warmParties()
    two.clock.advance(24 * HOUR_MS)
    expect(two.linkC.renewalDue()).toBe('age')
    await works(two, ids)
    expect(two.linkC.record.lEpoch).toBe(2)
    const again = await two.restart()
    await works(again, ids)
    expect(again.linkS.record.lEpoch).toBe(3)
  })

  it('past a hard limit S refuses P1 and has no material any more, whatever C does', async () => {
    for (const pass of [
      (two: TwoParties) => two.linkS.countSlots(LINK_SLOTS_HARD),
      (two: TwoParties) => two.clock.advance(48 * HOUR_MS),
    ]) {
      const { two, ids } = await warmParties()
      const evil = new MaliciousC(two)
      pass(two)
      await refused(evil.begin(ids).then(({ p2 }) => p2), 'link_stale')
      expect(two.linkS.material).toBeUndefined()
      await works(two, ids)
    }
  })

  it('sessions that the peer ends after P2 are counted', async () => {
    const { two, ids } = await warmParties()
    two.linkC.countSlots(LINK_SLOTS_SOFT - 2)
    two.wire.toC = (frame) => {
      if (frame !== undefined && typeOf(frame) === FRAME_TYPES.P4) throw new Error('cut off')
      return frame
    }
    expect(await endOf(two.c.presign(ids))).toBe('error:Error')
    expect(two.linkC.renewalDue()).toBe('count')
  })

  it('S accepts +1 and +1 024; +1 025, the largest, its own and an older epoch are class A', async () => {
    const { two } = await warmParties()
    const evil = new MaliciousC(two)
    const own = two.linkS.record.lEpoch
    for (const bad of [own, own - 1, own + 1025, 2 ** 32 - 1]) {
      const answer = await evil.setUp('count', bad)
      expect(answer.refusal).toEqual({ code: 'epoch_rejected', lEpoch: own })
    }
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
    expect((await evil.setUp('count', own + 1)).refusal).toBeUndefined()
    two.clock.advance(6_000)
    expect((await evil.setUp('count', own + 1 + 1024)).refusal).toBeUndefined()
    expect(two.linkS.record.lEpoch).toBe(own + 1025)
  })

  it('C follows a peer that is ahead, by at most 1 024', async () => {
    for (const [ahead, end] of [[1023, 'done'], [1024, 'S:A:epoch_rejected'], [2 ** 31, 'S:A:epoch_rejected']] as const) {
      const { two } = await warmParties()
      const own = two.linkC.record.lEpoch
      await two.linkS.save(() => ({ lEpoch: own + ahead }))
      two.linkC.wipeMaterial()
      expect(await endOf(two.c.warm())).toBe(end)
      expect(two.linkC.record.lEpoch).toBe(end === 'done' ? own + ahead + 1 : own)
    }
  })

  it('a set-up that is cut off at any message is made good by the next session; a signature goes on meanwhile', async () => {
    const { L1, L2, L3, L4, L5, P2, P3, P4 } = FRAME_TYPES
    for (const cut of [L1, L2, L3, L4, L5, P2, P3, P4]) {
      const { two, ids } = await warmParties()
      const ready = await two.c.presign(ids)
      two.linkC.countSlots(LINK_SLOTS_SOFT)
      const cutOff = <T extends Uint8Array | undefined>(frame: T): T => {
        if (frame !== undefined && typeOf(frame) === cut) throw new Error('cut off')
        return frame
      }
      two.wire.toS = cutOff
      two.wire.toC = cutOff
      expect(await endOf(two.c.presign(ids))).toBe('error:Error')
      expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('done')
      two.wire.toS = (frame) => frame
      two.wire.toC = (frame) => frame
      two.clock.advance(11_000)
      await works(two, ids)
      expect(await endOf(two.c.sign(jobOf(ready[1] as (typeof ready)[0], payload)))).toBe('done')
    }
  })

  it('material that is overwritten in the middle of a session ends it as class A, never as a failed check', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    two.linkS.wipeMaterial()
    await refused(evil.sendP3(run.sid, run.body), 'link_stale')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
    for (const [side, at] of [['linkC', FRAME_TYPES.P2], ['linkC', FRAME_TYPES.P4], ['linkS', FRAME_TYPES.P2]] as const) {
      two.clock.advance(6_000)
      let once = true
      two.wire.toC = (frame) => {
        if (once && frame !== undefined && typeOf(frame) === at) {
          once = false
          two[side].wipeMaterial()
        }
        return frame
      }
      await works(two, ids)
      expect(once).toBe(false)
    }
  })

  it('the session that reaches the hard limit is refused, not failed', async () => {
    const { two, ids } = await warmParties()
    two.linkS.countSlots(LINK_SLOTS_HARD - 1)
    await works(two, ids)
    expect(two.linkS.record.lEpoch).toBe(2)
  })
})

describe('T59 erasures', () => {
  it.each([1, 5, 10])('one every %i s: others presign, at most one set-up a minute, none refused', async (everyS) => {
    const { two, ids } = await warmParties()
    const start = two.linkC.record.lEpoch
    const minutes = 5
    for (let s = 0; s < minutes * 60; s += everyS) {
      two.clock.advance(everyS * 1000)
      await Promise.all([two.c.noteErasure(), two.linkS.markEraseDue()])
      if (s % 10 === 0) expect(await two.c.presign([ids[0]])).toHaveLength(1)
    }
    const setUps = two.linkC.record.lEpoch - start
    expect(setUps).toBeGreaterThanOrEqual(minutes)
    expect(setUps).toBeLessThanOrEqual(minutes + 1)
  })

  it('the first erasure wipes at once and durably, the next waits for the end of the minute', async () => {
    const { two, ids } = await warmParties()
    await two.linkS.markEraseDue()
    expect(two.linkS.material).toBeUndefined()
    expect((await two.storeS.loadLink(two.linkS.parties.linkId))?.eraseDueAtMs).not.toBe(0n)
    await works(two, ids)
    expect(two.linkS.record.eraseDueAtMs).toBe(0n)
    await two.linkS.markEraseDue()
    expect(two.linkS.material).toBeDefined()
    const due = two.linkS.record.eraseDueAtMs
    two.clock.advance(30_000)
    await two.linkS.markEraseDue()
    expect(two.linkS.record.eraseDueAtMs).toBe(due)
    two.clock.advance(31_000)
    expect(two.linkS.material).toBeUndefined()
    await works(two, ids)
  })

  it('an erasure that is due survives a restart and costs one set-up', async () => {
    const { two, ids } = await warmParties()
    await two.c.noteErasure()
    const again = await two.restart()
    await works(again, ids)
    expect(again.linkC.record).toMatchObject({ lEpoch: 2, eraseDueAtMs: 0n })
  })
})

describe('T38 a base-OT sender that garbles one branch', () => {
  it('passes exactly when the other branch was chosen; otherwise the link burns before a share was used', async () => {
    const seen = new Set<string>()
    for (let row = 0; row < 64 && seen.size < 2; row++) {
      const { two } = await warmParties(0)
      const evil = new MaliciousC(two)
      const old = structuredClone(two.linkS.material)
      // Y_{row,1} is another point than the one whose key C keeps.
      const garble = (body: Uint8Array) => replaced(body, BASE_OT_BYTES + 33 * (2 * row + 1), mulBase(toLe(77n)))
      const answer = await evil.setUp('count', 2, { L3: garble })
      seen.add(answer.refusal?.code ?? 'passed')
      if (answer.refusal === undefined) expect(deltaBit(two.linkS.material as NonNullable<typeof old>, row)).toBe(0)
      else {
        expect(answer.refusal.code).toBe('link_burned')
        expect(await durable(two)).toMatchObject({ s: 'BURNED', burnsS: 1 })
        two.clock.advance(6_000)
        await refused(evil.setUp('count', 3), 'link_burned')
      }
      expect(two.linkS.material?.delta ?? new Uint8Array(16)).not.toEqual(old?.delta)
    }
    expect(seen).toEqual(new Set(['passed', 'link_burned']))
  })

  it('on the side of S as well', async () => {
    const seen = new Set<string>()
    for (let row = 0; row < 64 && seen.size < 2; row++) {
      const { two } = await warmParties(0)
      // conf_S is over the honest transcript, so a changed answer is caught there: the garbling has to be S's own.
      const evil = new MaliciousS(two, {
        L4: (body, state) => {
          const seedPairs = state.material.seedPairs.slice().fill(7, 2048 + 16 * row, 2048 + 16 * row + 16)
          Object.assign(state.material, { seedPairs })
          return body
        },
      })
      two.wire.peer = evil.answer
      two.linkC.wipeMaterial()
      const end = await endOf(two.c.warm())
      seen.add(end)
      if (end === 'done') expect(deltaBit(two.linkC.material as NonNullable<typeof two.linkC.material>, row)).toBe(0)
      else expect(await durable(two)).toMatchObject({ c: 'BURNED', burnsC: 1 })
    }
    expect(seen).toEqual(new Set(['done', 'C:D:link_burned']))
  })
})

describe('T4 reflection', () => {
  it("S's own base-OT points come back to it as C's: class C", async () => {
    const { two } = await warmParties(0)
    const evil = new MaliciousC(two)
    await refused(evil.setUp('count', 2, { L3: (body, l2) => replaced(body, 0, l2.subarray(32)) }), 'protocol')
    two.clock.advance(6_000)
    await refused(evil.setUp('count', 2, { L3: (body, l2) => replaced(body, 33 * 9, l2.subarray(32, 65)) }), 'protocol')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 2 })
  })

  it('own frames come back: the role byte refuses them', async () => {
    const { two, ids } = await warmParties()
    const own: Uint8Array[] = []
    two.wire.toC = (frame) => {
      if (frame !== undefined) own.push(frame.slice())
      return frame
    }
    await two.c.presign(ids)
    for (const frame of own) expect(refusalIn(await two.s.answer(frame))?.code).toBe('protocol')
    two.wire.peer = async (frame) => frame
    expect(await endOf(two.c.presign(ids))).toBe('C:C:protocol')
  })
})

describe('T16 ids', () => {
  it('the frames of one link, and of the same parties in the other order, are class A on another', async () => {
    const { two } = await warmParties()
    const { idC, idS } = two.linkS.parties
    const other = await twoParties({ idC: sha256(Buffer.from('another C')) })
    for (const { linkId } of [makeLinkParties(idS, idC, 0), other.linkC.parties]) {
      const body = new Uint8Array(37)
      const frame = encodeFrame({ type: FRAME_TYPES.L1, role: ROLE_C, linkId, lEpoch: 2, sid: NO_SID, body })
      expect(refusalIn(await two.s.answer(frame))?.code).toBe('session')
    }
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
    expect(() => makeLinkParties(idC, idC, 0)).toThrow()
    expect(() => makeLinkParties(idC, idS, 1)).toThrow()
  })

  it('two clients on one link take turns', async () => {
    const { two, ids } = await warmParties()
    const [first, second] = [new MaliciousC(two), new MaliciousC(two)]
    const run = await first.untilP3(ids)
    await refused(second.begin(ids).then(({ p2 }) => p2), 'busy')
    expect((await first.sendP3(run.sid, run.body)).refusal).toBeUndefined()
    expect((await second.begin(ids)).p2.refusal).toBeUndefined()
  })
})

describe('T19 T20 parameters and lengths', () => {
  it('no slots, 65 slots, a plan of another length, another suite: class C', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const { p1 } = await evil.begin(ids)
    two.clock.advance(11_000)
    const counts = [0, 65, 1, 3].map((count) => replaced(p1, 32, Uint8Array.of(count, 0)))
    for (const body of [...counts, p1.slice(0, -20), new Uint8Array(0)]) {
      await two.linkS.save(() => ({ strikeAtMs: [0n, 0n, 0n] }))
      await refused(evil.send(FRAME_TYPES.P1, NO_SID, evil.mine.lEpoch, body), 'protocol')
      expect((await durable(two)).strikesS).toBe(1)
    }
  })
})

describe('T40 material that is not the other side’s', () => {
  it('the right epoch over other material is class A and never a failed check', async () => {
    const { two, ids } = await warmParties()
    const foreign = await twoParties()
    await foreign.c.warm()
    two.linkS.setMaterial(structuredClone(foreign.linkS.material as NonNullable<typeof two.linkS.material>))
    expect(await endOf(two.c.presign(ids))).toBe('C:A:session')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
    two.linkC.wipeMaterial()
    two.clock.advance(6_000)
    await works(two, ids)
  })

  it('a control row put back to an older epoch on either side is made good', async () => {
    for (const side of ['linkC', 'linkS'] as const) {
      const { two, ids } = await warmParties()
      two.linkC.wipeMaterial()
      await two.c.warm()
      await two[side].save(() => ({ lEpoch: 1 }))
      const again = await two.restart()
      await works(again, ids)
      expect(again.linkC.record.lEpoch).toBe(3)
    }
  })
})

describe('T60 a peer of another incarnation', () => {
  it('S restarted with a full pool at C: the hello empties the pool', async () => {
    const { two, ids } = await warmParties()
    await two.c.presign(ids)
    const again = await two.restart()
    two.wire.peer = (frame) => again.s.answer(frame)
    expect(two.c.presignatureCount).toBe(2)
    await two.c.connect()
    expect(two.c.presignatureCount).toBe(0)
  })

  it('without a hello one request finds out, and the presignatures of its session are gone', async () => {
    const { two, ids } = await warmParties()
    const ready = await two.c.presign(ids)
    const again = await two.restart()
    let requests = 0
    two.wire.peer = (frame) => {
      if (typeOf(frame) === FRAME_TYPES.SIGN_REQUEST) requests += 1
      return again.s.answer(frame)
    }
    expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('S:A:unknown_presig')
    expect(await endOf(two.c.sign(jobOf(ready[1] as (typeof ready)[0], payload)))).toBe('C:A:unknown_presig')
    expect(requests).toBe(1)
  })

  it('C drops a presignature a minute before S does', async () => {
    const { two, ids } = await warmParties()
    const ready = await two.c.presign(ids)
    two.clock.advance(59 * 60_000 - 5_000)
    expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('done')
    two.clock.advance(6_000)
    let asked = false
    two.wire.toS = (frame) => {
      asked = true
      return frame
    }
    expect(await endOf(two.c.sign(jobOf(ready[1] as (typeof ready)[0], payload)))).toBe('C:A:unknown_presig')
    expect(asked).toBe(false)
  })
})

describe('T30 floods', () => {
  it('L1: one set-up in five seconds, 120 an hour, erasures excepted', async () => {
    const { two } = await warmParties(0)
    const evil = new MaliciousC(two)
    const l1 = (reason: number, lEpoch: number) =>
      evil.send(FRAME_TYPES.L1, NO_SID, lEpoch, Uint8Array.of(...randomBytes(32), ...u32(lEpoch), reason))
    expect((await l1(3, 2)).refusal).toBeUndefined()
    await refused(l1(3, 2), 'busy')
    two.clock.advance(3_000)
    await refused(l1(3, 2), 'busy')
    for (let i = 0; i < 119; i++) {
      two.clock.advance(5_001)
      await l1(3, 2)
    }
    two.clock.advance(5_001)
    await refused(l1(3, 2), 'busy')
    expect((await l1(5, 2)).refusal).toBeUndefined()
  })

  it('P1: one session at a time; a silent one gives way after two seconds', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const silent = await evil.untilP3(ids)
    for (let i = 0; i < 50; i++) await refused(evil.begin(ids).then(({ p2 }) => p2), 'busy')
    two.clock.advance(2_100)
    const run = await evil.untilP3(ids)
    await refused(evil.sendP3(silent.sid, silent.body), 'session')
    expect((await evil.sendP3(run.sid, run.body)).refusal).toBeUndefined()
    expect(two.linkS.lock.busy).toBe(false)
  })

  it('a session ends after ten seconds, whoever is slow', async () => {
    const { two, ids } = await warmParties()
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    two.clock.advance(10_100)
    await refused(evil.sendP3(run.sid, run.body), 'session')
    await works(two, ids)
  })

  it('an S that is always busy, or stale, or sends the epoch up, is given up on', async () => {
    const { two, ids } = await warmParties()
    const { linkId } = two.linkS.parties
    const answers = [
      { code: 'busy' },
      { code: 'link_stale', lEpoch: 1 },
      { code: 'epoch_rejected', lEpoch: 7 },
      { code: 'plan_refused', slots: [] },
      { code: 'plan_refused', slots: [9, 65_535] },
    ] as const
    for (const refusal of answers) {
      let frames = 0
      two.wire.peer = async (frame) => {
        frames += 1
        if (typeOf(frame) === FRAME_TYPES.L1) throw new Error('gone')
        const body = encodeError(refusal)
        return encodeFrame({ type: FRAME_TYPES.ERROR, role: ROLE_S, linkId, lEpoch: 1, sid: NO_SID, body })
      }
      expect(await endOf(two.c.presign(ids))).not.toBe('done')
      expect(frames).toBeLessThan(10)
    }
    expect(two.linkC.lock.busy).toBe(false)
  })
})
