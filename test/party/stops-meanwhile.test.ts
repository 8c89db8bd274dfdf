import { describe, expect, it } from 'vitest'
import { decodeFrame, encodeError, encodeFrame, FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { endOf } from './judging.ts'
import { MaliciousS } from './malicious-s.ts'
import { typeOf } from './mutator.ts'
import { jobOf, type TwoParties, warmParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))

const refusalTo = (frame: Uint8Array, code: 'busy' | 'link_burned'): Uint8Array => {
  const { linkId, lEpoch, sid } = decodeFrame(frame, ROLE_C)
  return encodeFrame({ type: FRAME_TYPES.ERROR, role: ROLE_S, linkId, lEpoch, sid, body: encodeError({ code }) })
}

/** A peer that takes part in set-ups up to L5 and is then too busy, with a new material at any epoch. */
const busyAtL5 = (two: TwoParties): number[] => {
  const proposed: number[] = []
  two.wire.peer = async (frame) => {
    if (typeOf(frame) === FRAME_TYPES.L1) proposed.push(decodeFrame(frame, ROLE_C).lEpoch)
    if (typeOf(frame) === FRAME_TYPES.L5) return refusalTo(frame, 'busy')
    const evil = (peers.get(two) ?? peers.set(two, new MaliciousS(two)).get(two)) as MaliciousS
    evil.lEpoch = 0
    return evil.answer(frame)
  }
  return proposed
}
const peers = new Map<TwoParties, MaliciousS>()

/** C hears from another request of its own that the link is burned, while `at` is on its way to it. */
const burnAt = (two: TwoParties, at: number): void => {
  two.wire.toC = async (frame) => {
    if (frame !== undefined && typeOf(frame) === at && !two.linkC.burned) await two.linkC.burn()
    return frame
  }
}

describe('what C reads again after every wait', () => {
  it('no epoch is proposed twice, whatever the peer says after C has committed it', async () => {
    const { two } = await warmParties()
    const own = two.linkC.record.lEpoch
    const proposed = busyAtL5(two)
    two.linkC.wipeMaterial()
    const ended = endOf(two.c.warm())
    while (proposed.length < 4) await new Promise((next) => setTimeout(next, 50))
    await two.linkC.save(() => ({ state: 'SUSPENDED' }))
    expect(await ended).toBe('C:A:link_suspended')
    expect(proposed).toEqual(proposed.map((_, i) => own + 1 + i))
    expect(two.linkC.record.lEpoch).toBe(proposed.at(-1))
    expect(two.linkC.material).toBeUndefined()
  })

  it('a relink grant is good for five set-ups, within one call as well', async () => {
    const { two } = await warmParties()
    await two.linkC.burn()
    await two.linkC.save(() => ({ relinkGrant: 5 }))
    const proposed = busyAtL5(two)
    expect(await endOf(two.c.relink())).toBe('C:A:link_burned')
    expect(proposed).toHaveLength(5)
    expect(two.linkC.record).toMatchObject({ state: 'BURNED', relinkGrant: 0 })
  })

  it('a burn in the middle of a set-up leaves no material on the burned link', async () => {
    for (const at of [FRAME_TYPES.L2, FRAME_TYPES.L4, FRAME_TYPES.P2, FRAME_TYPES.P4]) {
      const { two } = await warmParties()
      two.clock.advance(6_000)
      two.linkC.wipeMaterial()
      burnAt(two, at)
      expect(await endOf(two.c.warm())).toBe('C:A:link_burned')
      expect(two.linkC.material).toBeUndefined()
      expect(two.linkC.record.state).toBe('BURNED')
    }
  })

  it('a burn in the middle of a key generation ends it, and no record of it stays', async () => {
    for (const at of [FRAME_TYPES.W2, FRAME_TYPES.W4]) {
      const { two } = await warmParties()
      const before = two.storeC.wallets.size
      burnAt(two, at)
      expect(await endOf(two.c.generate(1))).toBe('C:A:link_burned')
      expect(two.storeC.wallets.size).toBe(before)
    }
  })

  it('a burn in the middle of a presign session ends it, and the presignatures before it sign nothing', async () => {
    for (const at of [FRAME_TYPES.P2, FRAME_TYPES.P4]) {
      const { two, ids } = await warmParties()
      const [ready] = await two.c.presign(ids)
      burnAt(two, at)
      expect(await endOf(two.c.presign(ids))).toBe('C:A:link_burned')
      expect(two.c.presignatureCount).toBe(0)
      expect(await endOf(two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload)))).toBe('C:A:unknown_presig')
    }
  })
})
