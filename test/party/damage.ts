/** One frame of an honest run damaged on its way, and what each side makes of it: T1 of the catalogue. */
import { expect } from 'vitest'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { keepHealingWallet, runBent, sampleFrame } from './bent-wire.ts'
import { classOf, endOf } from './judging.ts'
import { BODIES, type Case, casesOf, headerFields, signRequestFields } from './mutator.ts'
import { durable, jobOf, type TwoParties } from './two-parties.ts'

const payload = new Uint8Array(Buffer.from('what is signed'))

type Operation = 'presign' | 'sign' | 'generate' | 'setUp'

/** Each frame, the operation that it is of, and the classes that another sid ends in. */
export const FRAMES: readonly (readonly [keyof typeof BODIES | 'SIGN_REQUEST', Operation, string])[] = [
  ['P1', 'presign', 'C'],
  ['P2', 'presign', 'A'],
  ['P3', 'presign', 'A'],
  ['P4', 'presign', 'A'],
  ['W1', 'generate', 'C'],
  ['W2', 'generate', 'A'],
  ['W3', 'generate', 'A'],
  ['W4', 'generate', 'A'],
  ['SIGN_REQUEST', 'sign', 'C'],
  ['SIGN_RESPONSE', 'sign', 'A'],
  ['L1', 'setUp', 'C'],
  ['L2', 'setUp', 'A'],
  ['L3', 'setUp', 'A'],
  ['L4', 'setUp', 'A'],
  ['L5', 'setUp', 'A'],
]

export type FrameRow = (typeof FRAMES)[number]

/** Both links and the wallet ACTIVE again with the same material. */
export const openDamage = (two: TwoParties, wallet: Uint8Array) => {
  const heal = keepHealingWallet(two, wallet)
  const presign = () => two.c.presign([wallet])
  const operations: { readonly [O in Operation]: () => Promise<unknown> } = {
    presign,
    sign: async () => {
      const [ready] = await presign()
      if (ready === undefined) throw new Error('no presignature')
      return two.c.sign(jobOf(ready, payload))
    },
    generate: () => two.newWallets(1),
    /** With its self-test. */
    setUp: async () => {
      two.linkC.wipeMaterial()
      await two.c.warm()
    },
  }

  const sampleOf = async (type: number, operation: Operation): Promise<Uint8Array> => {
    // The last set-up was just made.
    await heal()
    const sample = await sampleFrame(two, type, operations[operation])
    await heal()
    return sample
  }

  const assertCase = async (type: number, operation: Operation, one: Case): Promise<void> => {
    await heal()
    const { end, code, made } = await runBent(two, type, one.bend, operations[operation])
    const state = await durable(two)
    const wallets = [...two.storeC.wallets.values(), ...two.storeS.wallets.values()]
    const suspended = wallets.some(({ record }) => record.state === 'SUSPENDED')
    // What a refusal leaves out (a slot of the plan) or what is tried again is no success of the bent frame.
    const atS = code !== undefined
    const seen = atS ? classOf(code) : (end.split(':')[1] ?? '?')
    const verdict = seen === 'C' && suspended ? 'F' : seen
    if (!atS) expect(end).not.toBe('done')
    const triedAgain = operation === 'generate' ? 'session' : 'link_stale'
    if (end === 'done') expect(['plan_refused', 'epoch_rejected', triedAgain]).toContain(code)
    if (code === 'plan_refused') expect(made).toEqual([])
    expect(one.classes).toContain(verdict)
    const judge = atS || end.startsWith('S') ? 'S' : 'C'
    const strikes = { C: state.strikesC, S: state.strikesS }
    expect(strikes).toEqual({ C: 0, S: 0, [judge]: verdict === 'C' ? 1 : 0 })
    expect([state.c, state.s].includes('BURNED')).toBe(verdict === 'D')
    if (verdict === 'D') expect(judge === 'S' ? state.s : state.c).toBe('BURNED')
    expect(suspended).toBe(verdict === 'F')
  }

  /** Every case that `isWanted` picks is judged; answers how many those were. Then an honest run works. */
  const judge = async ([name, operation, sidClasses]: FrameRow, isWanted: (at: number) => boolean): Promise<number> => {
    const type = FRAME_TYPES[name]
    const sample = await sampleOf(type, operation)
    const fields = name === 'SIGN_REQUEST' ? signRequestFields(payload.length) : BODIES[name]
    const all = [...casesOf(sample, headerFields(sidClasses, name === 'L1' ? 'AC' : 'A'), fields)]
    // A set-up costs a tenth of a second: fewer kinds of damage are enough there.
    const few = /^header (type|lEpoch|sid): first bit|^body .*(: (first bit|zero)|by one|empty)$/
    const cases = all.filter((one) => operation !== 'setUp' || few.test(one.name)).filter((_, at) => isWanted(at))
    for (const one of cases) {
      await assertCase(type, operation, one).catch((error: unknown) => {
        throw new Error(`${name} ${one.name}`, { cause: error })
      })
    }
    await heal()
    expect(await endOf(operations[operation]())).toBe('done')
    return cases.length
  }
  return { heal, judge }
}
