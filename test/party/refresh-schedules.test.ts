/**
 * T55 on the code itself: seeded schedules of refreshes in which any message is lost, any earlier one of C comes again,
 * and either side dies or starts anew, at any point. After every step: where C is an epoch ahead, S holds that epoch
 * undecided; at the end the key is whole and signs. The control breaks S's rule, and the schedules find it.
 */
import { describe, expect, it } from 'vitest'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ALG_ED25519 } from '../../src/engine/dkls23/suite.ts'
import { typeOf } from './mutator.ts'
import { epochs, expectWhole, oneWallet, settled, sign, slotsOf, whole } from './refresh-scenes.ts'
import type { TwoParties } from './two-parties.ts'

const { F1, F2, F3, F4, F5, OUTCOME_ANSWER } = FRAME_TYPES
const CUTS = [undefined, undefined, undefined, F1, F2, F3, F4, F5, OUTCOME_ANSWER] as const
const STEPS = 14

const randomOf = (seed: number): ((below: number) => number) => {
  let state = seed >>> 0
  return (below) => {
    state = (state + 0x6d2b79f5) >>> 0
    let t = Math.imul(state ^ (state >>> 15), state | 1)
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61)
    return ((t ^ (t >>> 14)) >>> 0) % below
  }
}

type Run = { two: TwoParties; readonly id: Uint8Array; readonly sent: Uint8Array[]; readonly told: string[] }
type Step = (run: Run, random: (below: number) => number) => Promise<void>

/** Loses up to two kinds of frame, and remembers all that C sends. */
const bend = ({ two, sent }: Run, random: (below: number) => number): void => {
  const cuts = [CUTS[random(CUTS.length)], CUTS[random(CUTS.length)]]
  const pass = <T extends Uint8Array | undefined>(frame: T): T => {
    if (frame !== undefined && cuts.includes(typeOf(frame) as never)) throw new Error('cut off')
    return frame
  }
  two.wire.toS = (frame) => {
    sent.push(frame.slice())
    return pass(frame)
  }
  two.wire.toC = pass
  two.wire.question = (frame) => {
    if (random(3) === 0) throw new Error('cut off')
    return frame
  }
}

/** C dies in the middle: it says nothing about what it had begun. */
const refresh: Step = async (run, random) => {
  bend(run, random)
  const { storeC } = run.two
  const { settleOutcome } = storeC
  const dies = random(3) === 0
  if (dies) Object.assign(storeC, { settleOutcome: () => Promise.reject(new Error('dead')) })
  await run.two.c.refreshes.refresh(run.id).catch(() => undefined)
  Object.assign(storeC, { settleOutcome })
  if (dies) await restart(run, random)
}

const restart: Step = async (run, random) => {
  run.two = await run.two.restart()
  if (random(2) === 0) await settled()
}

const presign: Step = async (run, random) => {
  bend(run, random)
  await sign(run.two, run.id).catch(() => undefined)
}

/** Something that C sent at any time before comes once more. */
const again: Step = async ({ two, sent }, random) => {
  const late = sent[random(Math.max(1, sent.length))]
  if (late !== undefined) await two.s.answer(late.slice()).catch(() => undefined)
}

const ACTIONS: readonly (readonly [string, Step])[] = [
  ['refresh', refresh],
  ['refresh', refresh],
  ['restart', restart],
  ['presign', presign],
  ['again', again],
]

/** Where C is ahead, S holds the very epoch undecided; S is never ahead. */
const holds = ({ two, id }: Run): boolean => {
  const { c, s } = slotsOf(two, id)
  const ahead = c.record.wEpoch - s.record.wEpoch
  return ahead === 0 || (ahead === 1 && s.next?.record.wEpoch === c.record.wEpoch)
}

const play = async (seed: number, prepare: (two: TwoParties) => void = () => undefined): Promise<Run> => {
  const random = randomOf(seed)
  const { two, id } = await oneWallet(ALG_ED25519)
  prepare(two)
  const run: Run = { two, id, sent: [], told: [] }
  for (let step = 0; step < STEPS; step++) {
    const [name, act] = ACTIONS[random(ACTIONS.length)] ?? ['', restart]
    await act(run, random)
    run.told.push(`${name} ${epochs(run.two, id)}`)
    if (!holds(run)) throw new Error(`seed ${seed}: ${run.told.join(', ')}`)
  }
  whole(run.two)
  run.two.wire.question = (frame) => frame
  return run
}

describe('T55 schedules', () => {
  it.each([1, 2, 3, 4])('from seed %i000: never an epoch that the other side cannot follow, never a key lost', async (thousand) => {
    let changed = 0
    for (let seed = thousand * 1_000; seed < thousand * 1_000 + 25; seed++) {
      const run = await play(seed)
      await restart(run, () => 0)
      await settled()
      const { c } = slotsOf(run.two, run.id)
      await expectWhole(run.two, run.id, c.record.wEpoch)
      expect(await run.two.storeS.pendingWallets(), run.told.join()).toEqual([])
      changed += c.record.wEpoch
    }
    expect(changed).toBeGreaterThan(25)
  })

  it('control: an S that gives up what is undecided when it is asked for the next loses keys, and they find it', async () => {
    const found: number[] = []
    for (let seed = 1; seed <= 60 && found.length === 0; seed++) {
      const broken = play(seed, ({ storeS }) => {
        const { pendingWallets, dropPending } = storeS
        const forget = async () => {
          for (const one of await pendingWallets()) if (one.wEpoch > 0) await dropPending(one.walletId, one.wEpoch)
          return []
        }
        Object.assign(storeS, { pendingWallets: forget })
      })
      await broken.catch((error: Error) => {
        if (!error.message.startsWith('seed')) throw error
        found.push(seed)
      })
    }
    expect(found).toHaveLength(1)
  })
})
