import { beforeAll, describe, expect, it, vi } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { classOf, endOf, refusalIn } from './judging.ts'
import { MaliciousC } from './malicious-c.ts'
import { BODIES, type Case, casesOf, headerFields, signRequestFields, typeOf } from './mutator.ts'
import { durable, jobOf, keepHealing, twoParties, type TwoParties } from './two-parties.ts'

// Hundreds of runs a test: slow machines get the time for them.
vi.setConfig({ testTimeout: 120_000 })

const payload = new Uint8Array(Buffer.from('what is signed'))
let two: TwoParties
let wallet: Uint8Array
let heal: () => Promise<void>

beforeAll(async () => {
  two = await twoParties()
  await two.c.warm()
  const [made] = await two.newWallets(1)
  wallet = made as Uint8Array
  const healLinks = keepHealing(two)
  heal = async () => {
    await healLinks()
    for (const store of [two.storeC, two.storeS]) await store.setWalletState(wallet, 'ACTIVE', '')
  }
})

const presign = () => two.c.presign([wallet])
const sign = async () => {
  const [ready] = await presign()
  if (ready === undefined) throw new Error('no presignature')
  return two.c.sign(jobOf(ready, payload))
}
const generate = () => two.newWallets(1)

/** A set-up with its self-test. */
const setUp = async () => {
  two.linkC.wipeMaterial()
  await two.c.warm()
}

type Operation = 'presign' | 'sign' | 'generate' | 'setUp'
const OPERATIONS: { readonly [O in Operation]: () => Promise<unknown> } = { presign, sign, generate, setUp }

/** The first frame of this type that an honest run puts on the wire. */
const sampleOf = async (type: number, operation: Operation): Promise<Uint8Array> => {
  let sample: Uint8Array | undefined
  const see = <T extends Uint8Array | undefined>(frame: T): T => {
    if (frame !== undefined && typeOf(frame) === type) sample ??= frame.slice()
    return frame
  }
  two.wire.toS = see
  two.wire.toC = see
  await OPERATIONS[operation]()
  await heal()
  return sample as Uint8Array
}

/** Runs the operation with one frame bent; gives what each side said to it. */
const runBent = async (type: number, operation: Operation, bend: Case['bend']) => {
  let bent = false
  let answer: Uint8Array | undefined
  const once = (frame: Uint8Array): Uint8Array => {
    if (bent || typeOf(frame) !== type) return frame
    bent = true
    return bend(frame)
  }
  let toS = false
  two.wire.toS = (frame) => {
    const was = bent
    const sent = once(frame)
    toS = bent && !was
    return sent
  }
  two.wire.toC = (frame) => {
    if (toS) answer = frame
    toS = false
    return frame === undefined ? frame : once(frame)
  }
  const before = { presignatures: [two.c.presignatureCount, two.s.presignatureCount] }
  let made: unknown
  const end = await endOf(OPERATIONS[operation]().then((result) => (made = result)))
  return { end, code: refusalIn(answer)?.code, made, before }
}

const assertCase = async (type: number, operation: Operation, one: Case): Promise<void> => {
  await heal()
  const { end, code, made } = await runBent(type, operation, one.bend)
  const state = await durable(two)
  const wallets = [...two.storeC.wallets.values(), ...two.storeS.wallets.values()]
  const suspended = wallets.some(({ record }) => record.state === 'SUSPENDED')
  // What a refusal leaves out (a slot of the plan) or what is tried again is no success of the bent frame.
  const atS = code !== undefined
  const seen = atS ? classOf(code) : (end.split(':')[1] ?? '?')
  const verdict = seen === 'C' && suspended ? 'F' : seen
  if (!atS) expect(end).not.toBe('done')
  if (end === 'done') expect(['plan_refused', 'link_stale', 'epoch_rejected']).toContain(code)
  if (code === 'plan_refused') expect(made).toEqual([])
  expect(one.classes).toContain(verdict)
  const judge = atS || end.startsWith('S') ? 'S' : 'C'
  const strikes = { C: state.strikesC, S: state.strikesS }
  expect(strikes).toEqual({ C: 0, S: 0, [judge]: verdict === 'C' ? 1 : 0 })
  expect([state.c, state.s].includes('BURNED')).toBe(verdict === 'D')
  if (verdict === 'D') expect(judge === 'S' ? state.s : state.c).toBe('BURNED')
  expect(suspended).toBe(verdict === 'F')
}

const table: readonly [keyof typeof BODIES | 'SIGN_REQUEST', Operation, string][] = [
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

describe('T1 every field of every frame, damaged in every way', () => {
  it.each(table)('%s', async (name, operation, sidClasses) => {
    const type = FRAME_TYPES[name]
    const sample = await sampleOf(type, operation)
    const fields = name === 'SIGN_REQUEST' ? signRequestFields(payload.length) : BODIES[name]
    let count = 0
    for (const one of casesOf(sample, headerFields(sidClasses, name === 'L1' ? 'AC' : 'A'), fields)) {
      // A set-up costs a tenth of a second: fewer kinds of damage are enough there.
      if (operation === 'setUp' && !/^header (type|lEpoch|sid): first bit|^body .*(: (first bit|zero)|by one|empty)$/.test(one.name)) continue
      count += 1
      await assertCase(type, operation, one).catch((error: unknown) => {
        throw new Error(`${name} ${one.name}`, { cause: error })
      })
    }
    expect(count).toBeGreaterThan(9)
    await heal()
    expect(await endOf(OPERATIONS[operation]())).toBe('done')
  })
})

describe('T1 frames without a session', () => {
  it('a hello with another length or a sid is a violation, on either side', async () => {
    await heal()
    const evil = new MaliciousC(two)
    const { lEpoch } = evil.mine
    expect((await evil.send(FRAME_TYPES.HELLO, NO_SID, lEpoch, new Uint8Array(15))).refusal?.code).toBe('protocol')
    const sid = new Uint8Array(32).fill(1)
    expect((await evil.send(FRAME_TYPES.HELLO, sid, lEpoch, new Uint8Array(16))).refusal?.code).toBe('protocol')
    expect(await durable(two)).toMatchObject({ strikesC: 0, strikesS: 2 })
    two.wire.toC = (frame) => frame?.slice(0, -1)
    expect(await endOf(two.c.connect())).toBe('C:C:protocol')
    expect(await durable(two)).toMatchObject({ strikesC: 1, strikesS: 2 })
  })

  it('a type that is not offered is class A; one that does not exist is class C; an error frame has no answer', async () => {
    await heal()
    const evil = new MaliciousC(two)
    for (const type of [FRAME_TYPES.FORK3, FRAME_TYPES.SEALED_SHARE, FRAME_TYPES.REHOME5]) {
      const body = new Uint8Array(0)
      expect((await evil.send(type, NO_SID, evil.mine.lEpoch, body)).refusal?.code).toBe('policy_denied')
    }
    expect(await durable(two)).toMatchObject({ strikesS: 0 })
    await expect(evil.send(FRAME_TYPES.ERROR, NO_SID, 1, Uint8Array.of(7, 0, 0))).rejects.toThrow('no answer')
    expect((await evil.send(0x60 as never, NO_SID, 1, new Uint8Array(0))).refusal?.code).toBe('protocol')
    expect(await durable(two)).toMatchObject({ strikesS: 1 })
  })

  it('outcome questions and answers: malformed is class C, a foreign one changes nothing', async () => {
    await heal()
    const evil = new MaliciousC(two)
    const { OUTCOME_ANSWER } = FRAME_TYPES
    const answer = (body: Uint8Array) => evil.send(OUTCOME_ANSWER, NO_SID, 1, body)
    const one = Uint8Array.of(1, 0, ...wallet, 0, 0, 0, 0, ...new Uint8Array(32), 2)
    await expect(answer(one)).rejects.toThrow('no answer')
    expect((await two.storeS.loadWallet(wallet))?.state).toBe('ACTIVE')
    const bad = [new Uint8Array(0), Uint8Array.of(0, 0), one.slice(0, -1), Uint8Array.of(...one.slice(0, -1), 3)]
    for (const body of bad) {
      await heal()
      expect((await answer(body)).refusal?.code).toBe('protocol')
      expect((await durable(two)).strikesS).toBe(1)
    }
  })
})
