/** T1 and T21 for the frames of a refresh: whatever is bent on the way, both halves of the key stay halves of it. */
import { beforeAll, describe, expect, it, vi } from 'vitest'
import { groupOf } from '../../src/engine/curve/group.ts'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { encodeOutcomeAnswers, type OutcomeAnswer } from '../../src/engine/dkls23/outcome.ts'
import { type Alg, ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { keepHealingWallet, runBent, sampleFrame } from './bent-wire.ts'
import { classOf, endOf } from './judging.ts'
import { MaliciousC } from './malicious-c.ts'
import { type Case, casesOf, headerFields, type JudgedField } from './mutator.ts'
import { ALGS, epochs, expectWhole, losing, oneWallet, sign, slotsOf, whole } from './refresh-scenes.ts'
import { durable, type TwoParties } from './two-parties.ts'

vi.setConfig({ testTimeout: 120_000 })

const { F1, F2, F3, F4, F5 } = FRAME_TYPES
const f = (name: string, length: number, classes: string): JudgedField => ({ name, length, classes })
const bodyOf = (pointBytes: number): { readonly [type: number]: readonly JudgedField[] } => {
  const proof = [f('A', pointBytes, 'C'), f('z', 32, 'C'), f('conf', 32, 'C')]
  return {
    [F1]: [f('N_C', 32, 'A'), f('n', 2, 'C'), f('walletId', 16, 'A'), f('wEpoch', 4, 'A'), f('com_C', 32, 'C')],
    [F2]: [f('N_S', 32, 'A'), f('seed_S', 32, 'C'), f('E_S', pointBytes, 'C')],
    [F3]: [f('seed_C', 32, 'C'), f('E_C', pointBytes, 'C'), f('salt_C', 32, 'C'), ...proof],
    [F4]: proof,
  }
}

/** Both sides hold halves of one key, of one epoch, and nothing is undecided. */
const assertOneKey = (two: TwoParties, id: Uint8Array): void => {
  const { c, s } = slotsOf(two, id)
  expect(epochs(two, id)).toBe(`${c.record.wEpoch}/${c.record.wEpoch}`)
  const group = groupOf(c.record.alg)
  const sum = group.addPoints([group.mulBase(c.record.share), group.mulBase(s.record.share)])
  expect(hexOf(sum ?? NO_SID)).toBe(hexOf(c.record.publicKey))
}

describe.each(ALGS)('T1 every field of every frame of a refresh, %s', (_, alg: Alg) => {
  let two: TwoParties
  let id: Uint8Array
  let heal: () => Promise<void>
  beforeAll(async () => {
    const made = await oneWallet(alg)
    two = made.two
    id = made.id
    heal = keepHealingWallet(two, id)
  })

  const refresh = () => two.c.refreshes.refresh(id)
  const sampleOf = async (type: number): Promise<Uint8Array> => {
    const sample = await sampleFrame(two, type, refresh)
    whole(two)
    return sample
  }

  const refreshBent = async (type: number, bend: Case['bend']) => {
    const { end, code } = await runBent(two, type, bend, refresh)
    whole(two)
    return { end, code }
  }

  const assertCase = async (type: number, one: Case): Promise<void> => {
    await heal()
    const { wEpoch } = slotsOf(two, id).c.record
    const { end, code } = await refreshBent(type, one.bend)
    const atS = code !== undefined
    const verdict = atS ? classOf(code) : (end.split(':')[1] ?? '?')
    if (!atS) expect(end).not.toBe('done')
    // What S calls another session is tried again, whole.
    if (end === 'done') expect(code).toBe('session')
    expect(one.classes).toContain(verdict)
    const { strikesC, strikesS, c, s } = await durable(two)
    const judge = atS || end.startsWith('S') ? 'S' : 'C'
    expect({ C: strikesC, S: strikesS }).toEqual({ C: 0, S: 0, [judge]: verdict === 'C' ? 1 : 0 })
    expect([c, s]).toEqual(['ACTIVE', 'ACTIVE'])
    expect(slotsOf(two, id).c.record.wEpoch).toBe(end === 'done' ? wEpoch + 1 : wEpoch)
    assertOneKey(two, id)
  }

  it.each([['F1', 'C'], ['F2', 'A'], ['F3', 'A'], ['F4', 'A']] as const)('%s', async (name, sidClasses) => {
    const type = FRAME_TYPES[name]
    const sample = await sampleOf(type)
    let count = 0
    for (const one of casesOf(sample, headerFields(sidClasses), bodyOf(alg === ALG_ED25519 ? 32 : 33)[type] ?? [])) {
      count += 1
      await assertCase(type, one).catch((error: unknown) => {
        throw new Error(`${name} ${one.name}`, { cause: error })
      })
    }
    expect(count).toBeGreaterThan(40)
    await heal()
    const { wEpoch } = await two.c.refreshes.refresh(id)
    assertOneKey(two, id)
    expect(slotsOf(two, id).s.record.wEpoch).toBe(wEpoch)
  })

  it('F5: a bent one leaves S undecided at most, and the next use settles it', async () => {
    const sample = await sampleOf(F5)
    for (const one of casesOf(sample, headerFields('A'), [])) {
      await heal()
      const { end } = await refreshBent(F5, one.bend)
      expect(end, one.name).toBe('done')
      const { c, s } = slotsOf(two, id)
      expect([s.record.wEpoch, s.next?.record.wEpoch], one.name).toContain(c.record.wEpoch)
      await heal()
      await two.c.refreshes.refresh(id)
      assertOneKey(two, id)
    }
  })
})

describe('T21 T55 what C says about an undecided refresh', () => {
  /** S undecided: C committed and its F5 was lost, or C gave up and its answer was lost. */
  const undecided = async (lost: 'F5' | 'F4') => {
    const { two, id } = await oneWallet()
    const { settleOutcome } = two.storeC
    if (lost === 'F4') Object.assign(two.storeC, { settleOutcome: () => Promise.reject(new Error('dead')) })
    losing(two, FRAME_TYPES[lost])
    await endOf(two.c.refreshes.refresh(id))
    whole(two)
    Object.assign(two.storeC, { settleOutcome })
    const [question] = await two.storeS.pendingWallets()
    if (question === undefined) throw new Error('S is not undecided')
    const evil = new MaliciousC(two)
    const answer = async (...answers: OutcomeAnswer[]) => {
      const body = encodeOutcomeAnswers(answers)
      await evil.send(FRAME_TYPES.OUTCOME_ANSWER, NO_SID, 1, body).catch(() => undefined)
    }
    return { two, id, question, answer }
  }

  it('an answer about another sid, epoch or wallet changes nothing', async () => {
    const { two, id, question, answer } = await undecided('F4')
    for (const verdict of ['COMMITTED', 'ABORTED'] as const) {
      await answer({ ...question, verdict, sid: new Uint8Array(32).fill(1) })
      await answer({ ...question, verdict, wEpoch: 0 })
      await answer({ ...question, verdict, wEpoch: 2 })
      await answer({ ...question, verdict, walletId: new Uint8Array(16) })
      expect(epochs(two, id)).toBe('0/0+')
    }
    await answer({ ...question, verdict: 'ABORTED' })
    expect(epochs(two, id)).toBe('0/0')
    await expectWhole(two, id, 0)
  })

  it('the same answer again, twice in one message or late, does not reach the refresh after it', async () => {
    const { two, id, question, answer } = await undecided('F4')
    const aborted = { ...question, verdict: 'ABORTED' as const }
    await answer(aborted, aborted)
    losing(two, F5)
    await two.c.refreshes.refresh(id)
    whole(two)
    expect(epochs(two, id)).toBe('1/0+')
    await Promise.all([answer(aborted), answer(aborted, aborted)])
    expect(epochs(two, id)).toBe('1/0+')
    await expectWhole(two, id, 1)
  })

  it('an answer that was read before another one was carried out does not reach the refresh after it', async () => {
    const { two, id, question, answer } = await undecided('F4')
    const { pendingWallets } = two.storeS
    const gate = Promise.withResolvers<void>()
    let held = false
    Object.assign(two.storeS, {
      pendingWallets: async () => {
        const seen = await pendingWallets()
        if (held) return seen
        held = true
        await gate.promise
        return seen
      },
    })
    const aborted = { ...question, verdict: 'ABORTED' as const }
    const late = answer(aborted)
    const rest = (async () => {
      await answer(aborted)
      losing(two, F5)
      await two.c.refreshes.refresh(id).catch(() => undefined)
      whole(two)
    })()
    await Promise.race([rest, new Promise((wake) => setTimeout(wake, 300))])
    gate.resolve()
    await Promise.all([late, rest])
    const { c, s } = slotsOf(two, id)
    expect([s.record.wEpoch, s.next?.record.wEpoch]).toContain(c.record.wEpoch)
    await two.c.refreshes.refresh(id).catch(() => undefined)
    await sign(two, id)
    assertOneKey(two, id)
  })
})
