import { setImmediate as turn } from 'node:timers/promises'
import { afterEach, describe, expect, it } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { CryptoThread } from '../../src/party/crypto-thread.ts'
import { workerSessionsOfC, workerSessionsOfS } from '../../src/party/worker-sessions.ts'
import { entropy, jobOf, sha256, twoParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))
const idC = sha256(Buffer.from('party C'))
const idS = sha256(Buffer.from('party S'))

const open: CryptoThread[] = []
afterEach(async () => {
  await Promise.all(open.splice(0).map((thread) => thread.close()))
})

const withWorkers = async () => {
  const parties = makeLinkParties(idC, idS, 0)
  const gone: string[] = []
  const [threadC, threadS] = ['C', 'S'].map((side) => new CryptoThread(`crypto ${side}`, parties, () => gone.push(side)))
  if (threadC === undefined || threadS === undefined) throw new Error('two threads')
  open.push(threadC, threadS)
  await Promise.all([threadC.start(), threadS.start()])
  const sessions = { c: workerSessionsOfC(threadC, parties, entropy), s: workerSessionsOfS(threadS, parties, entropy) }
  return { two: await twoParties({ sessions }), gone, threadC, threadS }
}

describe('sessions in crypto workers', () => {
  it('set up a link, presign for several wallets and sign; no secret of a material is in the party', async () => {
    const { two } = await withWorkers()
    await two.c.warm()
    expect(Object.keys(two.linkC.material ?? {}).toSorted()).toEqual(['hk', 'lEpoch', 'lctx', 'role'])
    const ids = await two.newWallets(2)
    const made = await two.c.presign([...ids, ...ids])
    expect(made).toHaveLength(4)
    for (const ready of made) expect((await two.c.sign(jobOf(ready, payload))).r).toHaveLength(32)
    expect(await two.c.presign(Array.from({ length: 16 }, (_, i) => ids[i % 2] as Uint8Array))).toHaveLength(16)
  })
})

describe('workers that come up while the parties are at work', () => {
  it.each([0, 1, 2, 3])('take the material over between two sessions (%i)', async (round) => {
    const parties = makeLinkParties(idC, idS, 0)
    const [threadC, threadS] = ['C', 'S'].map((side) => new CryptoThread(`crypto ${side}`, parties, () => {}))
    if (threadC === undefined || threadS === undefined) throw new Error('two threads')
    open.push(threadC, threadS)
    const sessions = { c: workerSessionsOfC(threadC, parties, entropy), s: workerSessionsOfS(threadS, parties, entropy) }
    const two = await twoParties({ sessions })
    void threadC.start()
    if (round % 2 === 1) void threadS.start()
    if (round > 1) await threadC.start()
    await two.c.warm()
    const ids = await two.newWallets(1)
    void threadS.start()
    while (!threadC.isReady || !threadS.isReady) {
      expect(await two.c.presign([...ids, ...ids])).toHaveLength(2)
      await turn()
    }
    for (let i = 0; i < 3; i++) expect(await two.c.presign([...ids, ...ids])).toHaveLength(2)
    two.clock.advance(6_000)
    await two.c.renewForErasure()
    const [ready] = await two.c.presign(ids)
    expect((await two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))).r).toHaveLength(32)
    expect(two.alerts).toEqual([])
  })
})
