import { describe, expect, it } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { LinkPair, openLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore } from '../../src/party/memory-store.ts'
import { endOf } from './judging.ts'
import { flipped, MaliciousC } from './malicious-c.ts'
import { typeOf } from './mutator.ts'
import { jobOf, sha256, testClock, twoParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))

/** Two links of the same two parties over the same stores, each set up, with a wallet and a presignature. */
const twoShards = async () => {
  const common = { storeC: createMemoryStore(), storeS: createMemoryStore(), clock: testClock() }
  const pairs = { c: new LinkPair(), s: new LinkPair() }
  const open = async (shard: number) => {
    const two = await twoParties({ ...common, pairs, shard })
    await two.c.warm()
    const ids = await two.newWallets(1)
    const [ready] = await two.c.presign(ids)
    if (ready === undefined) throw new Error('no presignature')
    return { two, ids, ready }
  }
  return [await open(0), await open(1)] as const
}

describe('two links of one pair of parties', () => {
  it('have ids, epochs and wallets of their own: a wallet of one is refused over the other', async () => {
    const [first, second] = await twoShards()
    expect(first.two.linkC.parties.linkId).not.toEqual(second.two.linkC.parties.linkId)
    expect(await second.two.c.presign(first.ids)).toEqual([])
    expect(await endOf(first.two.c.sign(jobOf(first.ready, payload)))).toBe('done')
    expect(await endOf(second.two.c.sign(jobOf(second.ready, payload)))).toBe('done')
  })

  it('T42 T52 a cheating session over one burns both, on both sides, and no link with another party', async () => {
    const [first, second] = await twoShards()
    const other = await twoParties({ idC: sha256(Buffer.from('another C')) })
    await other.c.warm()
    const evil = new MaliciousC(first.two)
    const run = await evil.untilP3(first.ids)
    expect((await evil.sendP3(run.sid, flipped(run.body, 100))).refusal?.code).toBe('link_burned')
    const { linkS, s } = second.two
    expect([linkS.burned, linkS.material, s.presignatureCount]).toEqual([true, undefined, 0])
    expect(linkS.record).toMatchObject({ state: 'BURNED', burns: 1 })
    // C hears of it over one link, and stops on both.
    expect(await endOf(first.two.c.presign(first.ids))).toBe('S:D:link_burned')
    expect([second.two.linkC.burned, second.two.linkC.material, second.two.c.presignatureCount]).toEqual([true, undefined, 0])
    expect(await endOf(second.two.c.sign(jobOf(second.ready, payload)))).toBe('C:A:unknown_presig')
    expect(await endOf(second.two.c.presign(second.ids))).toBe('C:A:link_burned')
    const [ready] = await other.c.presign(await other.newWallets(1))
    expect(await endOf(other.c.sign(jobOf(ready as NonNullable<typeof ready>, payload)))).toBe('done')
  })

  it('two verdicts at once are one burn, durable before either is answered', async () => {
    const [first, second] = await twoShards()
    await Promise.all([first.two.linkS.burn(), second.two.linkS.burn()])
    for (const { two } of [first, second]) {
      expect(await two.storeS.loadLink(two.linkS.parties.linkId)).toMatchObject({ state: 'BURNED', burns: 1 })
    }
  })

  it('each comes back with its own grant and its own set-up', async () => {
    const [first, second] = await twoShards()
    await Promise.all([first.two.linkS.burn(), first.two.linkC.burn()])
    first.two.clock.advance(6_000)
    for (const { two } of [first, second]) {
      for (const link of [two.linkC, two.linkS]) await link.save(() => ({ relinkGrant: 5 }))
    }
    await first.two.c.relink()
    expect([first.two.linkC.burned, second.two.linkC.burned, second.two.linkS.burned]).toEqual([false, true, true])
    expect(await first.two.c.presign(first.ids)).toHaveLength(1)
    await second.two.c.relink()
    expect(await second.two.c.presign(second.ids)).toHaveLength(1)
  })

  it('a change of one record that was under way does not take the burn back', async () => {
    const [first, second] = await twoShards()
    const burning = first.two.linkS.burn()
    await second.two.linkS.save(() => ({ renewedAtMs: 7n }))
    await burning
    expect(await second.two.storeS.loadLink(second.two.linkS.parties.linkId)).toMatchObject({ state: 'BURNED' })
  })

  /** Both burned, both granted, the first set up anew. */
  const relinkedFirst = async () => {
    const [first, second] = await twoShards()
    await Promise.all([first.two.linkS.burn(), first.two.linkC.burn()])
    first.two.clock.advance(6_000)
    for (const { two } of [first, second]) {
      for (const link of [two.linkC, two.linkS]) await link.save(() => ({ relinkGrant: 5 }))
    }
    await first.two.c.relink()
    return [first.two, second.two] as const
  }

  it.each([FRAME_TYPES.L2, FRAME_TYPES.L4, FRAME_TYPES.P2, FRAME_TYPES.P4])(
    'a burn at C while the other is relinked, when it reads %i, stands',
    async (at) => {
      const [first, second] = await relinkedFirst()
      let burning: Promise<void> | undefined
      second.wire.toC = (frame) => {
        if (frame !== undefined && typeOf(frame) === at) burning = first.linkC.burn()
        return frame
      }
      expect(await endOf(second.c.relink())).toBe('C:A:link_burned')
      await burning
      const { linkC, storeC } = second
      expect([linkC.burned, linkC.material]).toEqual([true, undefined])
      expect(await storeC.loadLink(linkC.parties.linkId)).toMatchObject({ state: 'BURNED', burns: 2, relinkGrant: 0 })
    },
  )

  it.each(['linkC', 'linkS'] as const)('a burn at %s while the other is becoming ACTIVE stands', async (side) => {
    const [first, second] = await relinkedFirst()
    const store = side === 'linkC' ? second.storeC : second.storeS
    const { saveLinks } = store
    let burning: Promise<void> | undefined
    Object.assign(store, {
      saveLinks: async (records: Parameters<typeof saveLinks>[0]) => {
        if (burning === undefined && records[0]?.state === 'ACTIVE') burning = first[side].burn()
        await saveLinks(records)
      },
    })
    expect(await endOf(second.c.relink())).toBe(side === 'linkC' ? 'C:A:link_burned' : 'S:D:link_burned')
    expect(burning).toBeDefined()
    await burning
    const link = second[side]
    expect([link.burned, link.material]).toEqual([true, undefined])
    expect(await store.loadLink(link.parties.linkId)).toMatchObject({ state: 'BURNED', burns: 2, relinkGrant: 0 })
  })

  it('a link that comes to a burned pair is burned too; one that comes after the relink is not', async () => {
    const [first, second] = await twoShards()
    const { storeC, linkC } = first.two
    const { idC, idS } = linkC.parties
    const open = (shard: number) => openLinkRecord(storeC, makeLinkParties(idC, idS, shard, 16), ROLE_C, 7n)
    expect(await open(2)).toMatchObject({ state: 'ACTIVE', burns: 0 })
    await linkC.burn()
    const late = makeLinkParties(idC, idS, 3, 16)
    expect(await open(3)).toMatchObject({ state: 'BURNED', burns: 1, relinkGrant: 0, lEpoch: 0 })
    expect(await storeC.loadLink(late.linkId)).toMatchObject({ state: 'BURNED', burns: 1 })
    expect(await openLinkRecord(storeC, makeLinkParties(idC, sha256(Buffer.from('another S')), 0, 16), ROLE_C, 7n))
      .toMatchObject({ state: 'ACTIVE', burns: 0 })
    await second.two.linkC.save(() => ({ state: 'ACTIVE', relinkGrant: 0 }))
    expect(await open(4)).toMatchObject({ state: 'ACTIVE', burns: 0 })
  })

  it('a burn over one while S reads the wallet of a signature over the other lets nothing of that out', async () => {
    const [first, second] = await twoShards()
    const { storeS, s, c, linkS } = second.two
    const { loadWallet, commitIntent } = storeS
    let burning: Promise<void> | undefined
    Object.assign(storeS, {
      commitIntent: async (intent: Parameters<typeof commitIntent>[0]) => {
        const verdict = await commitIntent(intent)
        // Read anew after this, and then the burn comes.
        s.wipeWallet(intent.walletId)
        Object.assign(storeS, {
          loadWallet: async (walletId: Uint8Array) => {
            const record = await loadWallet(walletId)
            burning ??= first.two.linkS.burn()
            return record
          },
        })
        return verdict
      },
    })
    expect(await endOf(c.sign(jobOf(second.ready, payload)))).toBe('S:D:link_burned')
    expect(burning).toBeDefined()
    await burning
    expect(linkS.burned).toBe(true)
  })
})
