import { beforeAll, describe, expect, it, vi } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { FRAMES, openDamage } from './damage.ts'
import { endOf } from './judging.ts'
import { MaliciousC } from './malicious-c.ts'
import { durable, twoParties, type TwoParties } from './two-parties.ts'

// Hundreds of runs a test: slow machines get the time for them.
vi.setConfig({ testTimeout: 120_000 })

let two: TwoParties
let wallet: Uint8Array
let damage: ReturnType<typeof openDamage>
const heal = () => damage.heal()

beforeAll(async () => {
  two = await twoParties()
  await two.c.warm()
  const [made] = await two.newWallets(1)
  wallet = made as Uint8Array
  damage = openDamage(two, wallet)
})

describe('T1 every field of every frame, damaged in every way', () => {
  it.each(FRAMES)('%s', async (...row) => {
    expect(await damage.judge(row, () => true)).toBeGreaterThan(9)
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
    for (const type of [FRAME_TYPES.REHOME1, FRAME_TYPES.REHOME3, FRAME_TYPES.REHOME5]) {
      const body = new Uint8Array(0)
      expect((await evil.send(type, NO_SID, evil.mine.lEpoch, body)).refusal?.code).toBe('policy_denied')
    }
    // Of a session that there is not.
    for (const type of [FRAME_TYPES.FORK3, FRAME_TYPES.F3]) {
      expect((await evil.send(type, NO_SID, evil.mine.lEpoch, new Uint8Array(0))).refusal?.code).toBe('session')
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
