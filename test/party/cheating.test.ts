import { beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { mulBase, negatePoint } from '../../src/engine/curve/secp256k1.ts'
import { directionSid } from '../../src/engine/dkls23/contexts.ts'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { oteSend } from '../../src/engine/dkls23/ot-extension.ts'
import { advancePresignC, type PresignC3, type PresignS2 } from '../../src/engine/dkls23/presign.ts'
import { oteMessageBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { scalarAdd } from '../../src/engine/kernel/scalar.ts'
import { fromLe, MAX_256, mod, Q, toLe } from '../engine/bigint-reference.ts'
import { referenceExtend, referenceOteMessage, referenceRvoleSend } from '../engine/multiplication-reference.ts'
import { endOf } from './judging.ts'
import { betOnRow, deltaBit, flipped, MaliciousC, replaced } from './malicious-c.ts'
import { type Bends, MaliciousS } from './malicious-s.ts'
import { durable, jobOf, keepHealing, sha256, twoParties, type TwoParties } from './two-parties.ts'

const SLOT = 40_000
const payload = new Uint8Array(Buffer.from('what is signed'))
const one = toLe(1n)
let two: TwoParties
let ids: Uint8Array[]
let heal: () => Promise<void>

beforeAll(async () => {
  two = await twoParties()
  await two.c.warm()
  ids = await two.newWallets(5)
  const healLinks = keepHealing(two)
  heal = async () => {
    await healLinks()
    two.s.wipeSessions()
    two.c.wipeSessions()
    for (const id of ids) for (const store of [two.storeC, two.storeS]) await store.setWalletState(id, 'ACTIVE', '')
  }
})
beforeEach(() => heal())

/** Offsets into the half of P3 (after the extension) and of P4. */
const half = (from: number, slots: number) => {
  const points = from + SLOT * slots
  const salt = points + 33 * slots
  const gammaU = salt + 32
  return { points, salt, gammaU, gammaV: gammaU + 33 * slots, psi: gammaU + 66 * slots }
}

type Cheat = (body: Uint8Array, at: ReturnType<typeof half>, from: number) => Uint8Array
const add = (body: Uint8Array, at: number, value: Uint8Array): Uint8Array =>
  replaced(body, at, scalarAdd(body.subarray(at, at + 32), value))

/** What both roles can do to their half, and the class that it is. */
const HALVES: readonly (readonly [string, 'C' | 'D', Cheat])[] = [
  ...[Q, Q + 1n, MAX_256].flatMap((value): (readonly [string, 'C', Cheat])[] => [
    [`T7 ã = ${value}`, 'C', (body, _, from) => replaced(body, from, toLe(value))],
    [`T7 η = ${value}`, 'C', (body, _, from) => replaced(body, from + SLOT + 39_936, toLe(value))],
    [`T7 ψ = ${value}`, 'C', (body, at) => replaced(body, at.psi + 32, toLe(value))],
  ]),
  ['T7 ã = 0', 'D', (body, _, from) => replaced(body, from, toLe(0n))],
  ['T7 η = 0', 'D', (body, _, from) => replaced(body, from + 39_936, toLe(0n))],
  ['T10 η + 1', 'D', (body, _, from) => add(body, from + 39_936, one)],
  ['T10 another μ hash', 'D', (body, _, from) => flipped(body, from + 39_968)],
  ['T10 ã + 1 in one row', 'D', (body, _, from) => add(body, from + 96 * 100, one)],
  ['T3 the messages of two slots change places', 'D', (body, _, from) => {
    const swapped = replaced(body, from, body.subarray(from + SLOT, from + 2 * SLOT))
    return replaced(swapped, from + SLOT, body.subarray(from, from + SLOT))
  }],
  ['T6 Γu another point', 'D', (body, at) => replaced(body, at.gammaU, mulBase(toLe(5n)))],
  ['T6 Γv negated', 'D', (body, at) => replaced(body, at.gammaV, negatePoint(body.slice(at.gammaV, at.gammaV + 33)))],
  ...[0, 4, 6, 7].map((prefix): readonly [string, 'C', Cheat] => [
    `T6 prefix ${prefix}`,
    'C',
    (body, at) => replaced(body, at.gammaU, Uint8Array.of(prefix)),
  ]),
  ['T6 x ≥ p', 'C', (body, at) => replaced(body, at.gammaV + 34, new Uint8Array(32).fill(255))],
  ['T6 the identity as zeros', 'C', (body, at) => replaced(body, at.gammaV, new Uint8Array(33))],
  ['R other than committed', 'C', (body, at) => replaced(body, at.points, mulBase(toLe(5n)))],
  ['R of the two slots change places', 'C', (body, at) => {
    const swapped = replaced(body, at.points, body.subarray(at.points + 33, at.points + 66))
    return replaced(swapped, at.points + 33, body.subarray(at.points, at.points + 33))
  }],
  ['another salt', 'C', (body, at) => flipped(body, at.salt)],
]

describe('C cheats S in a presign session', () => {
  const cheat = async (change: Cheat) => {
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids.slice(0, 2))
    return evil.sendP3(run.sid, change(run.body, half(run.extension, 2), run.extension))
  }

  it.each(HALVES)('%s: class %s', async (_, faultClass, change) => {
    const { refusal } = await cheat(change)
    expect(refusal?.code).toBe(faultClass === 'C' ? 'protocol' : 'link_burned')
    const { s, strikesS } = await durable(two)
    expect([s, strikesS]).toEqual(faultClass === 'C' ? ['ACTIVE', 1] : ['BURNED', 0])
    expect(two.s.presignatureCount).toBe(0)
    expect(await endOf(two.c.presign(ids))).toBe(faultClass === 'C' ? 'done' : 'S:D:link_burned')
  })

  it('T29 every answer of class D is the same bytes, whatever the reason, the slot or the session', async () => {
    const answers = new Set<string>()
    const keep = (bytes: Uint8Array) => answers.add(Buffer.from(bytes.subarray(60)).toString('hex'))
    for (const [, faultClass, change] of HALVES) {
      if (faultClass !== 'D') continue
      await heal()
      keep((await cheat(change)).bytes)
    }
    for (const change of [(body: Uint8Array) => flipped(body, 100), (body: Uint8Array) => flipped(body, 2 * 128 * 112)]) {
      await heal()
      keep((await cheat(change)).bytes)
    }
    // In the self-test as well.
    await heal()
    const evil = new MaliciousC(two)
    keep((await evil.setUp('erase', evil.mine.lEpoch + 1, { P3: (body) => flipped(body, 9) })).bytes)
    // bodyLen 3 ‖ code 8 ‖ no detail.
    expect([...answers]).toEqual(['03000000080000'])
  })

  it('T8 x̂, t̂, an empty U, U of another session, another x in some rows', async () => {
    const evil = new MaliciousC(two)
    const old = await evil.untilP3(ids)
    const U = 128 * ((oteMessageBytes(5) - 2064) / 128)
    const polychromatic = (state: PresignC3, body: Uint8Array): Uint8Array => {
      const { choices } = state.secrets
      const id = directionSid(state.sid, ROLE_S, ROLE_C)
      const { u, t } = referenceExtend(id, state.material.seedPairs, choices)
      const other = u.map((row, i) => (i < 64 ? row.map((byte, k) => byte ^ (choices[k] ?? 0) ^ 0x5a) : row))
      return replaced(body, 0, referenceOteMessage(id, other, t, choices))
    }
    const changes: ((body: Uint8Array, state: PresignC3) => Uint8Array)[] = [
      (body) => flipped(body, U),
      (body) => flipped(body, U + 16 + 16 * 77),
      (body) => replaced(body, 0, new Uint8Array(U)),
      (body) => replaced(body, 0, old.body.subarray(0, old.extension)),
      (body, state) => polychromatic(state, body),
    ]
    for (const change of changes) {
      await heal()
      const run = await evil.untilP3(ids)
      expect((await evil.sendP3(run.sid, change(run.body, run.state))).refusal?.code).toBe('link_burned')
      expect(await durable(two)).toMatchObject({ s: 'BURNED' })
    }
  })

  it.each(['nonces', 'shares'] as const)('T11 T42 other %s in one slot of five wallets stop all of them', async (field) => {
    const other = await twoParties({ idC: sha256(Buffer.from('another C')) })
    const [elsewhere] = await other.newWallets(1)
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids, ({ secrets }) => {
      const input = secrets[field].subarray(96, 128)
      input.set(scalarAdd(input, one))
    })
    expect((await evil.sendP3(run.sid, run.body)).refusal?.code).toBe('link_burned')
    expect(two.s.presignatureCount).toBe(0)
    for (const id of ids) expect((await evil.begin([id])).p2.refusal?.code).toBe('link_burned')
    // A link with somebody else goes on.
    expect(await other.c.presign([elsewhere as Uint8Array])).toHaveLength(1)
  })

  it('T11 the share of another wallet of the link', async () => {
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids, ({ secrets }) => void secrets.shares.copyWithin(0, 32, 64))
    expect((await evil.sendP3(run.sid, run.body)).refusal?.code).toBe('link_burned')
  })

  it('T31 what a library throws inside a check is class D, with the burn', async () => {
    const evil = new MaliciousC(two)
    const run = await evil.untilP3(ids.slice(0, 1))
    const { seedPairs, chosenSeeds } = two.linkS.material as NonNullable<typeof two.linkS.material>
    expect(seedPairs.length + chosenSeeds.length).toBe(6144)
    Object.assign(two.linkS.material as object, { chosenSeeds: new Uint8Array(1) })
    expect((await evil.sendP3(run.sid, run.body)).refusal?.code).toBe('link_burned')
    expect(await durable(two)).toMatchObject({ s: 'BURNED' })
  })

  it('T43 64 times a cheating U in a malformed message: the check never runs, three strikes suspend the link', async () => {
    const ready = await two.c.presign([ids[0] as Uint8Array])
    const evil = new MaliciousC(two)
    const answers = new Set<string>()
    for (let i = 0; i < 64; i++) {
      const before = await durable(two)
      if (before.s === 'SUSPENDED') {
        // The operator clears it, and it starts over.
        expect(before.strikesS).toBe(3)
        expect((await evil.begin(ids)).p2.refusal?.code).toBe('link_suspended')
        expect((await evil.setUp('erase', evil.mine.lEpoch + 1)).refusal?.code).toBe('link_suspended')
        const w1 = await evil.send(FRAME_TYPES.W1, NO_SID, evil.mine.lEpoch, new Uint8Array(67))
        expect(w1.refusal?.code).toBe('link_suspended')
        await two.linkS.save(() => ({ state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] }))
      }
      const run = await evil.untilP3(ids.slice(0, 1))
      const at = half(run.extension, 1)
      const cheating = betOnRow(run.state, run.body, [i])
      const bad = [
        replaced(cheating, at.psi, toLe(Q)),
        replaced(cheating, at.gammaV, Uint8Array.of(5)),
        flipped(cheating, at.salt),
      ][i % 3] as Uint8Array
      const answer = await evil.sendP3(run.sid, bad)
      answers.add(Buffer.from(answer.bytes.subarray(60)).toString('hex'))
    }
    expect([...answers]).toEqual(['03000000070000'])
    await two.s.answer(new Uint8Array(1))
    await two.s.answer(new Uint8Array(1))
    expect(await durable(two)).toMatchObject({ s: 'SUSPENDED', burnsS: 0 })
    // Signing from finished presignatures goes on.
    expect(await endOf(two.c.sign(jobOf(ready[0] as (typeof ready)[0], payload)))).toBe('done')
    expect(await endOf(two.c.presign(ids))).toBe('S:A:link_suspended')
    const again = await two.restart()
    expect(await endOf(again.c.presign(ids))).toBe('S:A:link_suspended')
  })

  it('strikes older than a day do not count', async () => {
    for (let i = 0; i < 5; i++) {
      await two.s.answer(new Uint8Array(1))
      two.clock.advance(13 * 3_600_000)
    }
    expect((await durable(two)).s).toBe('ACTIVE')
  })

  it('three violations in one tick are three strikes, and no row is kept after the third', async () => {
    let rows = 0
    const { recordStrike } = two.storeS
    const counting = async (...args: Parameters<typeof recordStrike>) => {
      rows += 1
      await new Promise((wake) => setTimeout(wake, 2))
      return recordStrike(...args)
    }
    Object.assign(two.storeS, { recordStrike: counting })
    await Promise.all(Array.from({ length: 20 }, () => two.s.answer(new Uint8Array(1))))
    Object.assign(two.storeS, { recordStrike })
    expect(await durable(two)).toMatchObject({ s: 'SUSPENDED', strikesS: 3 })
    expect(rows).toBe(3)
  })

  it('a strike that cannot be made durable is not answered', async () => {
    const { recordStrike } = two.storeS
    Object.assign(two.storeS, { recordStrike: () => Promise.reject(new Error('disk full')) })
    await expect(two.s.answer(new Uint8Array(1))).rejects.toThrow('disk full')
    Object.assign(two.storeS, { recordStrike })
    expect(await two.c.presign(ids)).toHaveLength(5)
  })
})

describe('S cheats C in a presign session', () => {
  const against = async (bends: Bends): Promise<string> => {
    const evil = new MaliciousS(two, bends)
    two.wire.peer = evil.answer
    const end = await endOf(two.c.presign(ids.slice(0, 2)))
    two.wire.peer = undefined
    return end
  }

  it('the tool itself is honest when nothing is bent', async () => {
    const evil = new MaliciousS(two)
    two.wire.peer = evil.answer
    const [ready] = await two.c.presign(ids.slice(0, 2))
    expect(await endOf(two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload)))).toBe('done')
  })

  it.each(HALVES)('%s: class %s', async (_, faultClass, change) => {
    expect(await against({ P4: (body) => change(body, half(0, 2), 0) })).toBe(
      faultClass === 'C' ? 'C:C:protocol' : 'C:D:link_burned',
    )
    const { c, strikesC } = await durable(two)
    expect([c, strikesC]).toEqual(faultClass === 'C' ? ['ACTIVE', 1] : ['BURNED', 0])
    expect(two.c.presignatureCount).toBe(0)
    expect(await endOf(two.c.presign(ids))).toBe(faultClass === 'C' ? 'done' : 'C:A:link_burned')
  })

  const betOfS = (row: number) => (body: Uint8Array, state: PresignS2) => {
    const { choices } = state.secrets
    const id = directionSid(state.sid, ROLE_C, ROLE_S)
    const { u, t } = referenceExtend(id, state.material.seedPairs, choices)
    const bet = u.map((bits, i) => (i === row ? bits.map((byte, at) => (at === 5 ? byte ^ 4 : byte)) : bits))
    return replaced(body, 64, referenceOteMessage(id, bet, t, choices))
  }

  it("T8 S bets on a row of C's Δ: the session goes on exactly when the bit is 0", async () => {
    const seen = new Set<number>()
    for (let row = 0; row < 64 && seen.size < 2; row++) {
      await heal()
      const bit = deltaBit(two.linkC.material as NonNullable<typeof two.linkC.material>, row)
      expect(await against({ P2: betOfS(row) })).toBe(bit === 0 ? 'done' : 'C:D:link_burned')
      expect(two.linkC.burned).toBe(bit === 1)
      seen.add(bit)
    }
  })

  it.each(['nonces', 'shares'] as const)('T11 other %s', async (field) => {
    const beforeP4 = ({ secrets }: PresignS2): void => secrets[field].set(scalarAdd(secrets[field].subarray(0, 32), one))
    expect(await against({ beforeP4 })).toBe('C:D:link_burned')
  })

  it('T41 other pinned points on one side meet as class A, before any OT message is checked', async () => {
    const wrong = mulBase(toLe(99n))
    expect(await against({ slot: (slot) => ({ ...slot, wctx: sha256(wrong) }) })).toBe('C:A:session')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', strikesC: 0 })
  })

  it('T6 R_S = −R_C is not to be had: R_S is committed before R_C is opened', async () => {
    const negated = (body: Uint8Array) => replaced(body, half(0, 2).points, mulBase(toLe(7n)))
    expect(await against({ P4: negated })).toBe('C:C:protocol')
  })

  it('T29 C tells S nothing of what failed: it sends no frame at all', async () => {
    const sent: number[] = []
    two.wire.toS = (frame) => {
      sent.push(frame[5] ?? 0)
      return frame
    }
    await against({ P4: (body) => add(body, 39_936, one) })
    expect(sent).toEqual([FRAME_TYPES.P1, FRAME_TYPES.P3])
  })

  it('T30 an S that answers nothing, the wrong frame or too late leaves no lock held', async () => {
    for (const peer of [
      async () => undefined,
      async () => Promise.reject(new Error('timed out')),
      async (frame: Uint8Array) => frame,
    ]) {
      await heal()
      two.wire.peer = peer
      expect(await endOf(two.c.presign(ids))).not.toBe('done')
      expect(await endOf(two.c.generate(1))).not.toBe('done')
      two.wire.peer = undefined
      expect(two.linkC.lock.busy).toBe(false)
      expect(await endOf(two.c.presign(ids))).toBe('done')
    }
  })
})

describe('T10 another input in one row of a multiplication, with θ, η and μ made anew', () => {
  it('passes exactly as often as the choice bit is 0, and then changes nothing', async () => {
    const ends = new Set<string>()
    for (let row = 0; row < 64 && ends.size < 2; row++) {
      await heal()
      const evil = new MaliciousC(two)
      const { c1, p2 } = await evil.begin(ids.slice(0, 1))
      const sharesAndNonces = [c1.secrets.nonces.slice(), c1.secrets.shares.slice()].map(fromLe) as [bigint, bigint]
      const { state, body, sid } = advancePresignC(c1, p2)
      const sending = directionSid(sid, ROLE_C, ROLE_S)
      const { chosenSeeds, delta } = evil.mine
      const { rows } = oteSend(sending, 1, chosenSeeds, delta, p2.body.subarray(64))
      const [r, x] = sharesAndNonces
      const eta = 5n
      const forged = referenceRvoleSend(sending, 0, delta, rows, (j) => (j === row ? [r, mod(x + 5n), eta] : [r, x, eta]))
      const from = oteMessageBytes(1)
      const at = half(from, 1)
      const points = forged.c.map((c) => mulBase(toLe(c))) as [Uint8Array, Uint8Array]
      const bet = replaced(replaced(replaced(body, from, forged.message), at.gammaU, points[0]), at.gammaV, points[1])
      const { refusal } = await evil.sendP3(sid, bet)
      ends.add(refusal?.code ?? 'passed')
      expect(await durable(two)).toMatchObject({ s: refusal === undefined ? 'ACTIVE' : 'BURNED' })
      expect(state.sid).toEqual(sid)
    }
    expect(ends).toEqual(new Set(['passed', 'link_burned']))
  })
})

describe('T53 a generator of C that repeats', () => {
  it('shares with its earlier run only what was committed before S answered', async () => {
    const stuck = { wallNs: 1n, monotonicNs: 1n }
    const entropyC = {
      osRandom64: () => new Uint8Array(64).fill(1),
      nonce32: () => new Uint8Array(32).fill(2),
      clock: () => stuck,
    }
    const cloned = await twoParties({ entropyC })
    const [wallet] = (await cloned.newWallets(1)) as [Uint8Array]
    await cloned.c.warm()
    const bodies: Uint8Array[] = []
    cloned.wire.toS = (frame) => {
      if (frame[5] === FRAME_TYPES.P3) bodies.push(frame.slice(64))
      return frame
    }
    const [first] = await cloned.c.presign([wallet])
    const [second] = await cloned.c.presign([wallet])
    const [a, b] = bodies as [Uint8Array, Uint8Array]
    const from = oteMessageBytes(1)
    const at = half(from, 1)
    expect(a.subarray(at.points, at.points + 33)).toEqual(b.subarray(at.points, at.points + 33))
    for (const offset of [0, from - 2_000, from, from + 39_936, from + 39_968, at.gammaU, at.gammaV, at.psi]) {
      expect(a.subarray(offset, offset + 32)).not.toEqual(b.subarray(offset, offset + 32))
    }
    expect(first?.noncePoint).not.toEqual(second?.noncePoint)
    expect(first?.presigId).not.toEqual(second?.presigId)
  })
})
