/**
 * Both parties refresh a wallet over memory stores: the healing order, the two-phase switch, and what is left when a
 * message or a write is lost, or a side starts anew, at every point.
 */
import { describe, expect, it } from 'vitest'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { encodeOutcomeAnswers } from '../../src/engine/dkls23/outcome.ts'
import { RefreshNotDue } from '../../src/party/refresh-initiator.ts'
import { ERASE_GATHER_MS } from '../../src/party/link.ts'
import { UndecidedWallets } from '../../src/party/undecided-wallets.ts'
import { endOf } from './judging.ts'
import { typeOf } from './mutator.ts'
import { ALGS, epochs, expectWhole, losing, oneWallet, PAYLOAD, settled, sign, slotsOf, whole } from './refresh-scenes.ts'
import { durable, jobOf, type TwoParties, twoParties } from './two-parties.ts'

const { F1, F2, F3, F4, F5, L1, P1 } = FRAME_TYPES

/** The types of the frames that C sends from now on. */
const recorded = (two: TwoParties): number[] => {
  const types: number[] = []
  two.wire.toS = (frame) => {
    types.push(typeOf(frame))
    return frame
  }
  return types
}

describe('a refresh', () => {
  it.each(ALGS)('of a %s wallet changes both shares, keeps the key and signs', async (_, alg) => {
    const { two, id } = await oneWallet(alg)
    const before = slotsOf(two, id)
    const [oldC, oldS] = [before.c.record, before.s.record]
    const shares = [oldC.share.slice(), oldS.share.slice()]
    for (let round = 1; round <= 3; round++) {
      expect(await two.c.refreshes.refresh(id)).toEqual({ wEpoch: round, renewed: false })
      expect(epochs(two, id)).toBe(`${round}/${round}`)
    }
    await expectWhole(two, id, 3)
    const { c, s } = slotsOf(two, id)
    expect(Buffer.from(c.record.share)).not.toEqual(Buffer.from(shares[0] as Uint8Array))
    expect(Buffer.from(s.record.share)).not.toEqual(Buffer.from(shares[1] as Uint8Array))
    // The old records' own bytes are overwritten.
    expect([...oldC.share, ...oldS.share].every((byte) => byte === 0)).toBe(true)
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
  })

  it('renews the link first when the share met its material, and the new share meets only the new', async () => {
    const { two, id } = await oneWallet()
    await sign(two, id)
    const { lEpoch } = two.linkC.record
    const material = two.linkS.material
    two.clock.advance(6_000)
    const types = recorded(two)
    expect(await two.c.refreshes.refresh(id)).toEqual({ wEpoch: 1, renewed: true })
    expect(types.filter((type) => [L1, F1, F3, F5].includes(type as never))).toEqual([L1, F1, F3, F5])
    expect(two.linkC.record).toMatchObject({ lEpoch: lEpoch + 1, eraseDueAtMs: 0n })
    expect(two.linkS.record.lastEraseAtMs).toBeGreaterThan(0n)
    // The material that met the old share is gone on the other side too.
    expect(two.linkS.material).not.toBe(material)
    const { c, s } = slotsOf(two, id)
    expect([c.record.minLinkEpoch, s.record.minLinkEpoch]).toEqual([lEpoch + 1, lEpoch + 1])
    await expectWhole(two, id, 1)
  })

  it('needs no renewal for an Ed25519 wallet, nor for a share that met older material only', async () => {
    const { two, id } = await oneWallet(ALG_ED25519)
    await sign(two, id)
    const { minLinkEpoch } = slotsOf(two, id).s.record
    const types = recorded(two)
    expect(await two.c.refreshes.refresh(id)).toEqual({ wEpoch: 1, renewed: false })
    const secp = await two.newWallets(1)
    await two.c.presign(secp)
    two.clock.advance(6_000)
    await two.c.renewForErasure()
    types.splice(0)
    expect(await two.c.refreshes.refresh(secp[0] as Uint8Array)).toEqual({ wEpoch: 1, renewed: false })
    expect(types).not.toContain(L1)
    const { c, s } = slotsOf(two, id)
    expect([c.record.minLinkEpoch, s.record.minLinkEpoch]).toEqual([minLinkEpoch, minLinkEpoch])
    // That share had met older material: the refresh heals it too.
    expect(slotsOf(two, secp[0] as Uint8Array).s.record.minLinkEpoch).toBe(two.linkS.record.lEpoch)
    await expectWhole(two, id, 1)
  })

  it('T59 gathers: one set-up a minute, what comes sooner is told how long to wait and changes nothing', async () => {
    const { two, id } = await oneWallet()
    await sign(two, id)
    two.clock.advance(6_000)
    await two.c.refreshes.refresh(id)
    await sign(two, id)
    two.clock.advance(6_000)
    const waitMs = await two.c.refreshes.waitMs(id)
    expect(waitMs).toBeGreaterThan(ERASE_GATHER_MS - 8_000)
    expect(waitMs).toBeLessThanOrEqual(ERASE_GATHER_MS - 6_000)
    await expect(two.c.refreshes.refresh(id)).rejects.toBeInstanceOf(RefreshNotDue)
    expect(epochs(two, id)).toBe('1/1')
    await sign(two, id)
    two.clock.advance(ERASE_GATHER_MS)
    expect(await two.c.refreshes.waitMs(id)).toBe(0)
    expect(await two.c.refreshes.refresh(id)).toMatchObject({ wEpoch: 2, renewed: true })
    await expectWhole(two, id, 2)
  })

  it('leaves other wallets their presignatures, and takes all of its own on both sides', async () => {
    const { two, id } = await oneWallet()
    const [other] = (await two.newWallets(1)) as [Uint8Array]
    const ready = await two.c.presign([id, other, id])
    two.clock.advance(6_000)
    await two.c.refreshes.refresh(id)
    expect([two.c.presignatureCount, two.s.presignatureCount]).toEqual([1, 1])
    const [own, others] = [ready[0], ready[1]] as [(typeof ready)[0], (typeof ready)[0]]
    expect(await endOf(two.c.sign(jobOf(own, PAYLOAD)))).toBe('C:A:unknown_presig')
    expect(await endOf(two.c.sign(jobOf(others, PAYLOAD)))).toBe('done')
  })

  it('two at once: the second is busy, and one epoch is made', async () => {
    const { two, id } = await oneWallet()
    const ends = await Promise.all([1, 2].map(() => endOf(two.c.refreshes.refresh(id))))
    expect(ends.toSorted()).toEqual(['C:A:busy', 'done'])
    await expectWhole(two, id, 1)
  })

  it('a presign session that runs meanwhile gives nothing of the old epoch', async () => {
    const { two, id } = await oneWallet()
    const [other] = (await two.newWallets(1)) as [Uint8Array]
    let refreshing: Promise<unknown> | undefined
    two.wire.toS = (frame) => {
      // C has read the old record; the refresh goes by while P1 is on its way.
      if (typeOf(frame) === P1) refreshing ??= two.c.refreshes.refresh(id)
      return frame
    }
    const ready = await two.c.presign([id, other])
    expect(ready.map(({ walletId }) => Buffer.compare(walletId, id)).includes(0)).toBe(false)
    two.clock.advance(6_000)
    await refreshing?.catch(() => undefined)
    whole(two)
    await two.c.refreshes.refresh(id).catch(() => undefined)
    const { wEpoch } = slotsOf(two, id).c.record
    expect(wEpoch).toBeGreaterThan(0)
    await expectWhole(two, id, wEpoch)
  })

  it('no slot is given to a wallet that is being refreshed, by either side', async () => {
    const { two, id } = await oneWallet()
    const seen: number[] = []
    two.wire.toC = async (frame) => {
      if (frame !== undefined && typeOf(frame) === F4) seen.push((await two.c.presign([id])).length)
      return frame
    }
    await two.c.refreshes.refresh(id)
    expect(seen).toEqual([0])
    whole(two)
    await expectWhole(two, id, 1)
  })
})

describe('T21 T55 a crash at every message', () => {
  type Side = 'C' | 'S' | 'both' | 'none'
  const cuts = [F1, F2, F3, F4, F5]
  const matrix = cuts.flatMap((cut) => (['C', 'S', 'both', 'none'] as const).map((side) => [cut, side] as const))

  it.each(matrix)('message %i lost, then %s starts anew: one epoch, the key whole', async (cut: number, side: Side) => {
    const { two, id } = await oneWallet()
    const { settleOutcome } = two.storeC
    // A process that dies does not tidy up.
    if (side === 'C' || side === 'both') Object.assign(two.storeC, { settleOutcome: () => Promise.reject(new Error('dead')) })
    losing(two, cut)
    const end = await endOf(two.c.refreshes.refresh(id))
    expect(end).toBe(cut === F5 ? 'done' : 'error:Error')
    Object.assign(two.storeC, { settleOutcome })
    whole(two)
    let next = two
    if (side === 'S') {
      const other = await two.restart()
      two.wire.peer = (frame) => other.s.answer(frame)
      next = { ...other, c: two.c, linkC: two.linkC }
      await two.c.connect()
    } else if (side !== 'none') next = await two.restart()
    await settled()
    await expectWhole(next, id, cut === F5 ? 1 : 0)
    expect(await next.storeS.pendingWallets()).toEqual([])
    // And the next one goes through.
    next.clock.advance(70_000)
    const epoch = slotsOf(next, id).c.record.wEpoch + 1
    expect(await endOf(next.c.refreshes.refresh(id))).toBe('done')
    await expectWhole(next, id, epoch)
    expect(await durable(next)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', burnsC: 0, burnsS: 0, strikesC: 0, strikesS: 0 })
  })

  const writes = [
    ['S', 'savePending', 'before', 0],
    ['S', 'savePending', 'after', 0],
    ['S', 'activate', 'before', 1],
    ['S', 'activate', 'after', 1],
    ['C', 'commitRefresh', 'before', 0],
    ['C', 'commitRefresh', 'after', 1],
  ] as const

  it.each(writes)('%s dies in %s, %s it is durable', async (side, write, when, epoch) => {
    const { two, id } = await oneWallet()
    const store = side === 'C' ? two.storeC : two.storeS
    const real = store[write] as (...args: unknown[]) => Promise<unknown>
    const { settleOutcome } = two.storeC
    Object.assign(store, {
      [write]: async (...args: unknown[]) => {
        if (when === 'after') await real(...args)
        throw new Error('died')
      },
    })
    if (side === 'C') Object.assign(two.storeC, { settleOutcome: () => Promise.reject(new Error('dead')) })
    await two.c.refreshes.refresh(id).catch(() => undefined)
    Object.assign(store, { [write]: real })
    Object.assign(two.storeC, { settleOutcome })
    const next = await two.restart()
    await settled()
    await expectWhole(next, id, epoch)
    expect(await next.storeS.pendingWallets()).toEqual([])
  })

  it('the disk of C fails at the decision and lives on: what is durable is told', async () => {
    const { two, id } = await oneWallet()
    const { commitRefresh } = two.storeC
    Object.assign(two.storeC, {
      commitRefresh: async (decided: Parameters<typeof commitRefresh>[0]) => {
        await commitRefresh(decided)
        throw new Error('the answer was lost')
      },
    })
    expect(await two.c.refreshes.refresh(id)).toMatchObject({ wEpoch: 1 })
    await expectWhole(two, id, 1)
  })

  it('F4 comes after C answered ABORTED: the old epoch stays, and S has dropped the new', async () => {
    const { two, id } = await oneWallet()
    two.wire.toC = async (frame) => {
      if (frame !== undefined && typeOf(frame) === F4) {
        expect(epochs(two, id)).toBe('0/0+')
        const again = await twoParties({ storeC: two.storeC, storeS: two.storeS, clock: two.clock })
        await settled()
        expect(epochs(again, id)).toBe('0/0')
      }
      return frame
    }
    expect(await endOf(two.c.refreshes.refresh(id))).toBe('C:A:session')
    whole(two)
    await expectWhole(two, id, 0)
  })

  it('S holds on to what is undecided: not time, not a restart, not the old epoch named drops it', async () => {
    const { two, id } = await oneWallet()
    const { settleOutcome } = two.storeC
    Object.assign(two.storeC, { settleOutcome: () => Promise.reject(new Error('gone')) })
    losing(two, F4)
    await two.c.refreshes.refresh(id).catch(() => undefined)
    whole(two)
    expect(epochs(two, id)).toBe('0/0+')
    // Presigning, and another refresh, at the old epoch: refused, and C is asked, which does not answer.
    expect(await two.c.presign([id])).toEqual([])
    expect(await endOf(two.c.refreshes.refresh(id))).toBe('S:A:busy')
    two.clock.advance(86_400_000)
    const next = await two.restart()
    await settled()
    expect(epochs(next, id)).toBe('0/0+')
    Object.assign(two.storeC, { settleOutcome })
    await next.c.presign([id])
    await settled()
    expect(epochs(next, id)).toBe('0/0')
    await expectWhole(next, id, 0)
  })

  it('what is asked about one wallet leaves the refresh of another alone', async () => {
    const { two, id } = await oneWallet()
    const [other] = (await two.newWallets(1)) as [Uint8Array]
    const { settleOutcome } = two.storeC
    Object.assign(two.storeC, { settleOutcome: () => Promise.reject(new Error('gone')) })
    losing(two, F4)
    await two.c.refreshes.refresh(id).catch(() => undefined)
    Object.assign(two.storeC, { settleOutcome })
    whole(two)
    const seen: string[] = []
    two.wire.toC = async (frame) => {
      if (frame !== undefined && typeOf(frame) === F4) {
        // Names the wallet that is undecided, so S asks about it, with the other's record PENDING too.
        await two.c.presign([id])
        await settled()
        seen.push(epochs(two, id), epochs(two, other))
      }
      return frame
    }
    expect(await two.c.refreshes.refresh(other)).toMatchObject({ wEpoch: 1 })
    expect(seen).toEqual(['0/0', '0/0+'])
    whole(two)
    await expectWhole(two, other, 1)
    await expectWhole(two, id, 0)
  })

  it('a link settles what is undecided over it, and nothing of another link of the same store', async () => {
    const { two, id } = await oneWallet()
    losing(two, F5)
    await two.c.refreshes.refresh(id)
    whole(two)
    const { linkS: link } = await twoParties({ idC: new Uint8Array(32).fill(7) })
    const deps = { store: two.storeS, alert: () => undefined, wipeWallet: () => undefined, ask: () => undefined }
    const [foreign, own] = [new UndecidedWallets({ ...deps, link }), new UndecidedWallets({ ...deps, link: two.linkS })]
    const [pending] = await two.storeS.pendingWallets()
    if (pending === undefined) throw new Error('nothing is undecided')
    const answer = encodeOutcomeAnswers([{ ...pending, verdict: 'COMMITTED' }])
    expect(await foreign.questions()).toEqual([])
    expect((await foreign.heed([pending])).size).toBe(0)
    await foreign.acknowledge(pending.sid)
    await foreign.settle(answer)
    expect(epochs(two, id)).toBe('1/0+')
    expect(await own.questions()).toHaveLength(1)
    expect(await own.questions(new Set(['other']))).toEqual([])
    await own.settle(answer)
    expect(epochs(two, id)).toBe('1/1')
  })

  it('the ACK lost and nobody restarted: the next message that names the epoch stands for it', async () => {
    for (const follow of ['presign', 'refresh'] as const) {
      const { two, id } = await oneWallet()
      losing(two, F5)
      await two.c.refreshes.refresh(id)
      whole(two)
      expect(epochs(two, id)).toBe('1/0+')
      if (follow === 'presign') expect(await two.c.presign([id])).toHaveLength(1)
      else expect(await two.c.refreshes.refresh(id)).toMatchObject({ wEpoch: 2 })
      expect(epochs(two, id)).toBe(follow === 'presign' ? '1/1' : '2/2')
    }
  })
})

describe('a wallet that is stopped', () => {
  it.each(['SUSPENDED', 'FROZEN', 'REVOKED', 'QUARANTINED'] as const)('%s at either side is not refreshed', async (state) => {
    for (const side of ['C', 'S'] as const) {
      const { two, id } = await oneWallet()
      await (side === 'C' ? two.storeC : two.storeS).setWalletState(id, state, 'test')
      expect(await endOf(two.c.refreshes.refresh(id))).toBe(side === 'C' ? 'C:A:wallet_state' : 'S:A:plan_refused')
      expect(epochs(two, id)).toBe('0/0')
    }
  })

  it('stopped while it is refreshed: nothing changes before the decision, and it stays stopped after', async () => {
    const { two, id } = await oneWallet()
    two.wire.toC = async (frame) => {
      if (frame !== undefined && typeOf(frame) === F4) await two.storeC.setWalletState(id, 'SUSPENDED', 'test')
      return frame
    }
    expect(await endOf(two.c.refreshes.refresh(id))).toBe('C:A:wallet_state')
    expect(epochs(two, id)).toBe('0/0')
    const late = await oneWallet()
    late.two.wire.toS = async (frame) => {
      if (typeOf(frame) === F5) await late.two.storeS.setWalletState(late.id, 'REVOKED', 'test')
      return frame
    }
    await late.two.c.refreshes.refresh(late.id)
    expect(slotsOf(late.two, late.id).s.record).toMatchObject({ state: 'REVOKED', wEpoch: 1 })
  })

  it('a link that is burned or suspended refreshes nothing', async () => {
    const burned = await oneWallet()
    await burned.two.linkC.burn()
    expect(await endOf(burned.two.c.refreshes.refresh(burned.id))).toBe('C:A:link_burned')
    const suspended = await oneWallet()
    await suspended.two.linkS.save(() => ({ state: 'SUSPENDED' }))
    expect(await endOf(suspended.two.c.refreshes.refresh(suspended.id))).toBe('S:A:link_suspended')
    const meanwhile = await oneWallet()
    meanwhile.two.wire.toC = async (frame) => {
      if (frame !== undefined && typeOf(frame) === F4) await meanwhile.two.linkC.burn()
      return frame
    }
    expect(await endOf(meanwhile.two.c.refreshes.refresh(meanwhile.id))).toBe('C:A:link_burned')
    expect(epochs(meanwhile.two, meanwhile.id)).toBe('0/0')
  })

  it('an older copy of S: C names an epoch that S never prepared, which is refused and stops nothing by itself', async () => {
    const { two, id } = await oneWallet()
    const { record } = slotsOf(two, id).s
    const copy = { ...record, share: record.share.slice() }
    await two.c.refreshes.refresh(id)
    slotsOf(two, id).s.record = copy
    expect(await endOf(two.c.refreshes.refresh(id))).toBe('S:A:plan_refused')
    const { c, s } = slotsOf(two, id)
    expect([c.record.state, s.record.state]).toEqual(['ACTIVE', 'ACTIVE'])
    expect(two.alerts.some((alert) => alert.includes('wallet_behind'))).toBe(true)
    expect(await two.c.presign([id])).toEqual([])
    expect(epochs(two, id)).toBe('1/0')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
  })

  it.each(ALGS)('an older copy of S of a %s wallet gives no presignature either', async (_, alg) => {
    const { two, id } = await oneWallet(alg)
    const { record } = slotsOf(two, id).s
    const copy = { ...record, share: record.share.slice() }
    await two.c.refreshes.refresh(id)
    slotsOf(two, id).s.record = copy
    await expect(sign(two, id)).rejects.toThrow('no presignature')
    expect(slotsOf(two, id).s.record.state).toBe('ACTIVE')
  })

  it('an older copy of C signs nothing: its old share is worth nothing with the new one of S', async () => {
    const { two, id } = await oneWallet()
    const { record } = slotsOf(two, id).c
    const copy = { ...record, share: record.share.slice() }
    await two.c.refreshes.refresh(id)
    slotsOf(two, id).c.record = copy
    await expect(sign(two, id)).rejects.toThrow('no presignature')
    expect(await endOf(two.c.refreshes.refresh(id))).toBe('S:A:plan_refused')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', s: 'ACTIVE', strikesC: 0, strikesS: 0 })
  })
})
