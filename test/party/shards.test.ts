import { describe, expect, it } from 'vitest'
import { LinkPair } from '../../src/party/link.ts'
import { createMemoryStore } from '../../src/party/memory-store.ts'
import { endOf } from './judging.ts'
import { flipped, MaliciousC } from './malicious-c.ts'
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
})
