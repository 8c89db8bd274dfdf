import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { LinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import { type Presignature, wipePresignature } from '../../src/engine/dkls23/presignature.ts'
import { memory } from '../../src/engine/kernel/load.ts'
import { MAX_PRESIGNATURES, PresignatureMap } from '../../src/party/presignature-map.ts'
import { endOf } from './judging.ts'
import { flipped, MaliciousC } from './malicious-c.ts'
import { typeOf } from './mutator.ts'
import { jobOf, twoParties, type TwoParties } from './two-parties.ts'

const isZero = (bytes: Uint8Array): boolean => bytes.every((byte) => byte === 0)
const payload = new Uint8Array(Buffer.from('what is signed'))

/** Every copy of a share and every material that the parties were given. */
const watch = (two: TwoParties) => {
  const shares: Uint8Array[] = []
  const materials: LinkMaterial[] = []
  const watching = { c: true }
  for (const store of [two.storeC, two.storeS]) {
    const { loadWallet, savePending } = store
    Object.assign(store, {
      loadWallet: async (walletId: Uint8Array) => {
        const record = await loadWallet(walletId)
        if (record !== undefined && (watching.c || store === two.storeS)) shares.push(record.share)
        return record
      },
      savePending: async (pending: Parameters<typeof savePending>[0]) => {
        shares.push(...pending.records.map(({ share }) => share))
        return savePending(pending)
      },
    })
  }
  for (const link of [two.linkC, two.linkS]) {
    const setMaterial = link.setMaterial.bind(link)
    link.setMaterial = (value) => {
      materials.push(value as LinkMaterial)
      setMaterial(value)
    }
  }
  const secretsOf = ({ delta, chosenSeeds, seedPairs, hk }: LinkMaterial) => [delta, chosenSeeds, seedPairs, hk]
  return {
    /** Off while the test itself reads shares of C. */
    watching,
    shares,
    materials,
    sharesAreGone: () => shares.length > 0 && shares.every(isZero),
    wiped: () => materials.map((material) => secretsOf(material).every(isZero)),
  }
}

describe('nothing outlives its session', () => {
  let two: TwoParties
  let ids: Uint8Array[]
  let seen: ReturnType<typeof watch>

  beforeEach(async () => {
    two = await twoParties()
    seen = watch(two)
    await two.c.warm()
    ids = await two.newWallets(2)
    two.clock.advance(6_000)
  })
  afterEach(() => {
    expect(seen.sharesAreGone()).toBe(true)
    expect(isZero(memory)).toBe(true)
  })

  it('an honest run', async () => {
    const [ready] = await two.c.presign(ids)
    await two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))
    expect(seen.wiped()).toEqual([false, false])
  })

  it('a plan that is refused, a session that is cut off, a store that fails on the way', async () => {
    await two.storeS.setWalletState(ids[0] as Uint8Array, 'FROZEN', '')
    await two.c.presign(ids)
    two.wire.toC = (frame) => (typeOf(frame as Uint8Array) === FRAME_TYPES.P4 ? undefined : frame)
    expect(await endOf(two.c.presign(ids))).toBe('C:A:session')
    two.wire.toC = (frame) => frame
    for (const store of [two.storeC, two.storeS]) {
      const { noteUse } = store
      Object.assign(store, { noteUse: () => Promise.reject(new Error('disk full')) })
      expect(await endOf(two.c.presign(ids))).toBe('error:Error')
      Object.assign(store, { noteUse })
    }
    expect(two.linkC.lock.busy || two.linkS.lock.busy).toBe(false)
    expect(await two.c.presign(ids)).toHaveLength(1)
  })

  it('a burn: Δ, the seeds and what feeds the generator are overwritten in place on both sides', async () => {
    const evil = new MaliciousC(two)
    seen.watching.c = false
    const run = await evil.untilP3(ids)
    seen.watching.c = true
    await evil.sendP3(run.sid, flipped(run.body, 100))
    await endOf(two.c.presign(ids))
    expect(seen.wiped()).toEqual([true, true])
    expect([two.c.presignatureCount, two.s.presignatureCount]).toEqual([0, 0])
  })

  it('a renewal, with success or without', async () => {
    const materials = seen.materials.length
    await two.c.renewForErasure()
    expect(seen.wiped().slice(0, materials)).toEqual([true, true])
    two.clock.advance(6_000)
    two.wire.toC = (frame) => (typeOf(frame as Uint8Array) === FRAME_TYPES.L4 ? undefined : frame)
    expect(await endOf(two.c.renewForErasure())).toBe('C:A:session')
    expect(seen.wiped()).toEqual([true, true, true, true])
    expect([two.linkC.material, two.linkS.material]).toEqual([undefined, undefined])
  })

  it('a key generation that fails on either side', async () => {
    for (const store of [two.storeC, two.storeS]) {
      const { savePending } = store
      Object.assign(store, {
        savePending: async (pending: Parameters<typeof savePending>[0]) => {
          seen.shares.push(...pending.records.map(({ share }) => share))
          throw new Error('disk full')
        },
      })
      expect(await endOf(two.c.generate(1))).toBe('error:Error')
      Object.assign(store, { savePending })
    }
  })
})

describe('time alone', () => {
  afterEach(() => void vi.useRealTimers())

  it('ends a session of S and its key generations after ten seconds, with no further frame', async () => {
    const two = await twoParties()
    await two.c.warm()
    const ids = await two.newWallets(1)
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids)
    expect((await evil.begin(ids)).p2.refusal?.code).toBe('busy')
    vi.advanceTimersByTime(10_001)
    expect((await evil.sendP3(run.sid, run.body)).refusal?.code).toBe('session')
    expect((await evil.begin(ids)).p2.refusal).toBeUndefined()
  })

  it('overwrites expired presignatures of an idle process', () => {
    vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    let now = 0
    const map = new PresignatureMap(() => now, wipePresignature)
    const [first, second] = [presignature(1), presignature(2)]
    map.add(first, 30_000)
    map.add(second, 200_000)
    now = 60_000
    vi.advanceTimersByTime(60_001)
    expect([isZero(first.phi), isZero(second.phi), map.size]).toEqual([true, false, 1])
    now = 240_000
    vi.advanceTimersByTime(180_000)
    expect([isZero(second.phi), map.size]).toEqual([true, 0])
  })
})

const presignature = (seed: number): Presignature => {
  const scalar = () => new Uint8Array(32).fill(seed)
  const ids = { linkId: new Uint8Array(16), walletId: new Uint8Array(16).fill(seed), presigId: new Uint8Array(randomBytes(16)) }
  const rest = { lEpoch: 1, wEpoch: 0, sid: new Uint8Array(32).fill(seed), index: 0, noncePoint: new Uint8Array(33) }
  return { ...ids, ...rest, phi: scalar(), u: scalar(), v: scalar() } as Presignature
}

describe('T30 what a peer can make S hold', () => {
  it('the map of presignatures has an end, and what expired makes room', () => {
    let now = 0
    const map = new PresignatureMap(() => now, wipePresignature)
    for (let i = 0; i < 4; i++) map.add(presignature(i), 1_000)
    expect(map.hasRoomFor(MAX_PRESIGNATURES - 4)).toBe(true)
    expect(map.hasRoomFor(MAX_PRESIGNATURES - 3)).toBe(false)
    now = 1_000
    expect(map.hasRoomFor(MAX_PRESIGNATURES - 3)).toBe(true)
    expect(map.size).toBe(0)
  })

  it('a presignature is taken once, and one that expired is overwritten', () => {
    let now = 0
    const map = new PresignatureMap(() => now, wipePresignature)
    const [kept, late] = [presignature(1), presignature(2)]
    map.add(kept, 10)
    map.add(late, 10)
    expect(map.take(kept.presigId)).toBe(kept)
    expect(map.take(kept.presigId)).toBeUndefined()
    now = 10
    expect(map.take(late.presigId)).toBeUndefined()
    expect(isZero(late.u)).toBe(true)
  })

  it('a flood of hellos asks one round of questions at a time', async () => {
    const two = await twoParties()
    two.wire.toS = (frame) => {
      if (typeOf(frame) === FRAME_TYPES.W5) throw new Error('cut off')
      return frame
    }
    await two.newWallets(1)
    let asked = 0
    two.wire.question = (frame) => {
      asked += 1
      return frame
    }
    const evil = new MaliciousC(two)
    const hello = () => evil.send(FRAME_TYPES.HELLO, NO_SID, 0, new Uint8Array(randomBytes(16)))
    await Promise.all(Array.from({ length: 100 }, hello))
    expect(asked).toBe(1)
  })

  it('frames of every size and sort: garbage costs at most three strikes and leaves no lock', async () => {
    const two = await twoParties()
    for (const length of [0, 1, 63, 64, 65, 1_000, 3 * 1024 * 1024]) await two.s.answer(new Uint8Array(length))
    for (let i = 0; i < 200; i++) await two.s.answer(new Uint8Array(randomBytes(64 + (i % 7))))
    expect(two.linkS.record.strikeAtMs.filter((at) => at !== 0n)).toHaveLength(3)
    expect(two.linkS.lock.busy).toBe(false)
    expect(await endOf(two.c.generate(1))).toBe('S:A:link_suspended')
  })
})
