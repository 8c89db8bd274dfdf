/** T1, T2, T4, T6, T7, T19–T21 and T56 for the messages of a refresh. After every failure both old halves stand. */
import { describe, expect, test } from 'vitest'
import { groupOf } from '../../src/engine/curve/group.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import { verifyWalletRecord } from '../../src/engine/dkls23/records.ts'
import {
  answerRefreshS,
  finishRefreshC,
  finishRefreshS,
  openRefreshC,
  readRefreshNames,
  startRefreshC,
} from '../../src/engine/dkls23/refresh.ts'
import { renewAll } from '../../src/engine/dkls23/refresh-coin.ts'
import { edSlotOf } from '../../src/engine/frost/presign.ts'
import { toLe } from './bigint-reference.ts'
import { BAD_POINTS } from './ed-fixtures.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { hex, LINK, makeMaterial } from './link-fixtures.ts'
import { mutationsOf } from './mutations.ts'
import { CURVES, layoutOf, only, refresh, refreshInputs, switched, walletsOf } from './refresh-fixtures.ts'
import { type Bend, curveOf, ReferenceRefresh } from './refresh-reference.ts'

const OTHER_LINK = makeLinkParties(new Uint8Array(32).fill(0xc), new Uint8Array(32).fill(0x6), 0)
const STRIKE = { faultClass: 'C', code: 'protocol', consequence: 'strike' } as const
const REFUSED = { faultClass: 'A', code: 'plan_refused', consequence: 'none' } as const
const BAD_SECP = [
  ['zeros', new Uint8Array(33)],
  ['x at p', Uint8Array.from(Buffer.from(`02${'ff'.repeat(27)}fefffffc2f`, 'hex'))],
  ['off the curve', Uint8Array.from([2, ...new Uint8Array(31), 5])],
  ['hybrid prefix', Uint8Array.from([6, ...groupOf(1).mulBase(new Uint8Array(32).fill(1)).slice(1)])],
] as const

const patch = (offset: number, bytes: Uint8Array) => (body: Uint8Array) => {
  const out = body.slice()
  out.set(bytes, offset)
  return out
}
/** Two stretches of a body in each other's place. */
const swap = (a: number, b: number, length: number) => (body: Uint8Array) => {
  const [first, second] = [body.slice(a, a + length), body.slice(b, b + length)]
  return patch(b, first)(patch(a, second)(body))
}

/** What a change of each field may end in, and nothing else. */
const CLASSES = {
  N_C: 'A', n: 'C', walletId: 'A', wEpoch: 'A', com: 'C',
  N_S: 'A', seed_S: 'C', E_S: 'C',
  seed_C: 'C', E_C: 'C', salt: 'C', A: 'C', z: 'C', conf: 'C',
} as const

describe.each(CURVES)('a bent refresh on %s', (name, alg, pointBytes) => {
  const wallets = walletsOf(alg, 2, `bent ${name}`)
  const before = [...wallets.c, ...wallets.s].map((record) => [hex(record.share), record.wEpoch, record.state])
  const unchanged = () => [...wallets.c, ...wallets.s].map((one) => [hex(one.share), one.wEpoch, one.state])
  const honest = refresh(wallets).bodies
  const layout = layoutOf(pointBytes, 2)
  const entry = pointBytes + 32

  test.each(['F1', 'F2', 'F3', 'F4'] as const)('T1: no damage to %s completes it', (message) => {
    for (const { name: what, body } of mutationsOf(honest[message], layout[message])) {
      const fault = faultOf(() => refresh(wallets, { tamper: { [message]: () => body } }))
      const field = what.split(/[[:]/)[0] as keyof typeof CLASSES
      const expected = body.length === honest[message].length ? CLASSES[field] : 'C'
      expect(fault.faultClass, `${message} ${what}: ${fault.message}`).toBe(expected)
    }
    expect(unchanged()).toEqual(before)
    expect(refresh(wallets).c.records).toHaveLength(2)
  })

  test('T1: nor does a field from another place, session or link', () => {
    const [e, n3] = [entry, 64 + pointBytes]
    const places = [
      ['F3', swap(n3, n3 + e, e)],
      ['F4', swap(0, e, e)],
      ['F3', swap(n3, n3 + e, pointBytes)],
      ['F4', swap(pointBytes, pointBytes + e, 32)],
      ['F3', swap(0, 32 + pointBytes, 32)],
    ] as const
    for (const [message, bend] of places) expectFault(() => refresh(wallets, { tamper: { [message]: bend } }), STRIKE)
    // F1's own entries in another order name another sid.
    expectFault(() => refresh(wallets, { tamper: { F1: swap(34, 54, 20) } }), { faultClass: 'A', code: 'session' })

    const elsewhere = walletsOf(alg, 2, `bent elsewhere ${name}`)
    const onOther = (records: readonly (typeof elsewhere.c)[number][]) =>
      records.map((record) => ({ ...record, linkId: OTHER_LINK.linkId }))
    const others = [
      refresh(wallets, { seed: 'another session' }).bodies,
      refresh(elsewhere).bodies,
      refresh({ c: onOther(wallets.c), s: onOther(wallets.s) }, { link: OTHER_LINK }).bodies,
    ]
    for (const other of others) {
      for (const message of ['F1', 'F2', 'F3', 'F4'] as const) {
        let offset = 0
        for (const { name: field, length } of layout[message]) {
          const at = offset
          offset += length
          const foreign = other[message].slice(at, at + length)
          if (hex(foreign) === hex(honest[message].slice(at, at + length))) continue
          const fault = faultOf(() => refresh(wallets, { tamper: { [message]: patch(at, foreign) } }))
          expect(['A', 'C'], `${message} ${field}`).toContain(fault.faultClass)
        }
      }
    }
    expect(unchanged()).toEqual(before)
  })

  test('T2: a whole message of another session is refused, and a step is taken once', () => {
    const other = refresh(wallets, { seed: 'another session' }).bodies
    for (const message of ['F2', 'F3', 'F4'] as const) {
      const fault = faultOf(() => refresh(wallets, { tamper: { [message]: () => other[message] } }))
      expect(fault.faultClass).toBe(message === 'F2' ? 'A' : 'C')
    }
    const c1 = startRefreshC(refreshInputs('C'), wallets.c)
    const s2 = answerRefreshS(refreshInputs('S'), { sid: NO_SID, body: c1.body }, wallets.s)
    const c3 = openRefreshC(c1.state, { sid: s2.sid, body: s2.body })
    const s4 = finishRefreshS(s2.state, c3.body)
    const again = { faultClass: 'A', code: 'session' } as const
    expectFault(() => openRefreshC(c1.state, { sid: s2.sid, body: s2.body }), again)
    expectFault(() => finishRefreshS(s2.state, c3.body), again)
    finishRefreshC(c3.state, s4.body)
    expectFault(() => finishRefreshC(c3.state, s4.body), again)
  })

  test('T4: own proofs and confirmations sent back convince nobody', () => {
    const { F3 } = honest
    expectFault(() => refresh(wallets, { tamper: { F4: () => F3.slice(64 + pointBytes) } }), STRIKE)
    let own = new Uint8Array(0)
    const note = (body: Uint8Array) => {
      own = body.slice(64 + pointBytes)
      return body
    }
    expectFault(() => refresh(wallets, { tamper: { F3: note, F4: () => own } }), STRIKE)
    expectFault(() => refresh(wallets, { tamper: { F3: note, F4: (body) => patch(body.length - 32, own.slice(-32))(body) } }), STRIKE)
  })

  test('T17: two answers to one F1 lead to different sids, and F3 fits one of them', () => {
    const c1 = startRefreshC(refreshInputs('C'), wallets.c)
    const answers = ['S1', 'S2'].map((seed) =>
      answerRefreshS(refreshInputs(seed), { sid: NO_SID, body: c1.body }, wallets.s),
    )
    const [one, two] = [only(answers), only(answers, 1)]
    expect(hex(one.sid)).not.toBe(hex(two.sid))
    const c3 = openRefreshC(c1.state, { sid: one.sid, body: one.body })
    expectFault(() => finishRefreshS(two.state, c3.body), STRIKE)
  })

  test('T6: points that are none, in E and A of either side', () => {
    const bad = alg === 1 ? BAD_SECP : BAD_POINTS
    for (const [what, point] of bad) {
      const at = { F2: [64], F3: [32, 64 + pointBytes], F4: [0, entry] }
      for (const message of ['F2', 'F3', 'F4'] as const) {
        for (const offset of at[message]) {
          const fault = faultOf(() => refresh(wallets, { tamper: { [message]: patch(offset, point) } }))
          expect(fault.faultClass, `${message} ${offset} ${what}`).toBe('C')
        }
      }
    }
    // A committed E_C that is no point is found once the commitment has opened.
    const f3 = (body: Uint8Array) => patch(32, only(bad)[1])(body)
    expect(faultOf(() => refresh(wallets, { tamper: { F3: f3 } })).message).toContain('commitment')
  })

  test('T7: z at the order and above', () => {
    const { order } = curveOf(alg)
    for (const z of [order, order + 1n, 2n ** 256n - 1n]) {
      const scalar = toLe(z)
      expect(faultOf(() => refresh(wallets, { tamper: { F3: patch(64 + 2 * pointBytes, scalar) } })).message).toContain('scalar')
      expect(faultOf(() => refresh(wallets, { tamper: { F4: patch(pointBytes, scalar) } })).message).toContain('scalar')
    }
  })

  test('T19 T20: counts of 0 and 257, a count that does not fit, a sid in F1', () => {
    for (const n of [0, 1, 3, 257]) {
      expectFault(() => refresh(wallets, { tamper: { F1: patch(32, Uint8Array.of(n & 255, n >> 8)) } }), STRIKE)
    }
    const many = new Uint8Array(66 + 20 * 257)
    many.set([1, 1], 32)
    for (let i = 0; i < 257; i++) many.set([i & 255, i >> 8], 34 + 20 * i)
    expectFault(() => readRefreshNames({ sid: NO_SID, body: many }), STRIKE)
    expectFault(() => readRefreshNames({ sid: new Uint8Array(32).fill(1), body: honest.F1 }), STRIKE)
    expectFault(() => refresh(wallets, { tamper: { F3: (body) => Uint8Array.from([...body.slice(0, -32 - entry), ...body.slice(-32)]) } }), STRIKE)
  })

  test('T21: a wallet named twice is class C, also at another epoch; C itself never sends it', () => {
    expectFault(() => refresh(wallets, { tamper: { F1: (body) => patch(54, body.slice(34, 54))(body) } }), STRIKE)
    expectFault(() => refresh(wallets, { tamper: { F1: (body) => patch(54, body.slice(34, 50))(body) } }), STRIKE)
    expect(() => startRefreshC(refreshInputs('C'), [only(wallets.c), only(wallets.c)])).toThrow(RangeError)
  })

  test('T21: two algorithms in one exchange are class C', () => {
    const other = walletsOf(alg === 1 ? 2 : 1, 1, 'other algorithm')
    const both = [only(wallets.s), only(other.s)]
    const F1 = patch(54, Uint8Array.from([...only(other.s).walletId, 0, 0, 0, 0]))
    const c1 = startRefreshC(refreshInputs('C'), wallets.c)
    expectFault(() => answerRefreshS(refreshInputs('S'), { sid: NO_SID, body: F1(c1.body) }, both), STRIKE)
    expect(() => startRefreshC(refreshInputs('C'), [only(wallets.c), only(other.c)])).toThrow(RangeError)
  })

  test('T21: a wallet that S does not offer, of another link, or at another epoch is class A, by its number', () => {
    const [one, two] = [only(wallets.s), only(wallets.s, 1)]
    const offers = [
      [one],
      [one, { ...two, wEpoch: 1 }],
      [one, { ...two, linkId: OTHER_LINK.linkId }],
      [one, { ...two, role: 1 as const }],
    ]
    for (const s of offers) {
      const fault = faultOf(() => refresh({ c: wallets.c, s }))
      expect([fault.faultClass, fault.codeName, hex(fault.detail)]).toEqual(['A', 'plan_refused', '01000100'])
    }
    expectFault(() => refresh({ c: wallets.c, s: [] }), REFUSED)
    // After the switch the old epoch is of no use, to either side.
    const after = switched(refresh(wallets))
    expectFault(() => refresh({ c: wallets.c, s: after.s }), REFUSED)
    expectFault(() => refresh({ c: after.c, s: wallets.s }), REFUSED)
  })

  test('T21: records that differ in a pinned point or a chain code give another sid, never a failed check', () => {
    for (const change of [{ chainCode: new Uint8Array(32) }, { pointC: only(wallets.c, 1).pointC }]) {
      const s = wallets.s.map((record) => ({ ...record, ...change }))
      expectFault(() => refresh({ c: wallets.c, s }), { faultClass: 'A', code: 'session' })
    }
  })

  test('T21: no slot for a wallet that is frozen, pending, or younger than the link epoch', () => {
    const material = makeMaterial('slots')
    const record = only(wallets.c)
    const slot = (change: Partial<typeof record>) =>
      alg === 1
        ? presignSlotOf(LINK, material.c, { ...record, ...change })
        : edSlotOf(LINK, 1, material.c.lEpoch, { ...record, ...change })
    expect(slot({})).toBeDefined()
    for (const state of ['FROZEN', 'PENDING', 'SUSPENDED', 'REVOKED'] as const) expect(slot({ state })).toBeUndefined()
    expect(slot({ minLinkEpoch: material.c.lEpoch + 1 })).toBeUndefined()
    expect(slot({ minLinkEpoch: material.c.lEpoch })).toBeDefined()
  })

  /** A cheating C against an honest S, and a cheating S against an honest C. */
  const cheat = (role: 1 | 2, bend: Bend) => {
    if (role === 1) {
      const c = new ReferenceRefresh(LINK, 1, wallets.c, 'cheat', bend)
      const s2 = answerRefreshS(refreshInputs('S'), { sid: NO_SID, body: c.f1() }, wallets.s)
      return finishRefreshS(s2.state, c.f3(s2.body)).pending
    }
    const s = new ReferenceRefresh(LINK, 2, wallets.s, 'cheat', bend)
    const c1 = startRefreshC(refreshInputs('C'), wallets.c)
    const f2 = s.f2(c1.body)
    const c3 = openRefreshC(c1.state, { sid: s.sid, body: f2 })
    return finishRefreshC(c3.state, s.f4(c3.body))
  }

  test('the forger of the following tests passes when it bends nothing', () => {
    for (const role of [1, 2] as const) expect(cheat(role, {}).records.map(verifyWalletRecord)).toHaveLength(2)
  })

  test('T21: a seed changed after the commitment', () => {
    expect(faultOf(() => cheat(1, { openedSeed: new Uint8Array(32).fill(1) })).message).toContain('commitment')
  })

  test('T6: a committed E_C that is no valid point, once the commitment has opened', () => {
    const bad = alg === 1 ? BAD_SECP : BAD_POINTS
    for (const [what, ephemeral] of bad) {
      const c = new ReferenceRefresh(LINK, 1, wallets.c, 'bad point')
      const s2 = answerRefreshS(refreshInputs('S'), { sid: NO_SID, body: new ReferenceRefresh(LINK, 1, wallets.c, 'bad point', { ephemeral }).f1() }, wallets.s)
      c.f1()
      const body = patch(32, ephemeral)(c.f3(s2.body))
      const fault = faultOf(() => finishRefreshS(s2.state, body))
      expect([fault.faultClass, fault.message], what).toEqual(['C', 'protocol fault, class C: point'])
    }
  })

  test('T21: another coin, so that X\' would not fit PK or the other half', () => {
    for (const role of [1, 2] as const) {
      expectFault(() => cheat(role, { rho: (rho) => rho + 1n }), STRIKE)
      expectFault(() => cheat(role, { rho: (rho) => -rho }), STRIKE)
      expectFault(() => cheat(role, { rho: () => 1n }), STRIKE)
    }
  })

  test('T21: a proof for the other role, another session, index, wallet or opening', () => {
    const bindings: readonly Bend['binding'][] = [
      (honestly) => ({ ...honestly, role: 3 - honestly.role }),
      (honestly) => ({ ...honestly, sid: new Uint8Array(32) }),
      (honestly) => ({ ...honestly, index: 1 - honestly.index }),
      (honestly) => ({ ...honestly, walletId: new Uint8Array(16) }),
      (honestly) => ({ ...honestly, opening: new Uint8Array(32) }),
    ]
    for (const role of [1, 2] as const) {
      for (const binding of bindings) {
        const fault = faultOf(() => cheat(role, { binding: binding ?? ((same) => same) }))
        expect([fault.faultClass, fault.message]).toEqual(['C', 'protocol fault, class C: proof of knowledge'])
      }
    }
  })

  test('T21: a confirmation of other points', () => {
    expect(faultOf(() => cheat(1, { swapConfPoints: true })).message).toContain('confirmation')
    expect(faultOf(() => cheat(2, { swapConfPoints: true })).message).toContain('confirmation')
  })

  test('T56: channel and identity without the share complete nothing, on either side', () => {
    for (const role of [1, 2] as const) {
      for (const guess of [1n, 12345678901234567890n]) {
        const fault = faultOf(() => cheat(role, { guess }))
        expect([fault.faultClass, fault.message]).toEqual(['C', 'protocol fault, class C: proof of knowledge'])
      }
    }
    expect(unchanged()).toEqual(before)
    expect(refresh(wallets).c.records).toHaveLength(2)
  })

  test('a share that the coin would turn into zero is class B, and leaves nothing behind', () => {
    const group = groupOf(alg)
    const [record, share] = [only(wallets.c), only(wallets.c).share]
    const zeros = { sid: new Uint8Array(32), seedC: new Uint8Array(32), seedS: new Uint8Array(32), shared: new Uint8Array(33) }
    const coin = { purpose: 'refresh' as const, tail: [], ...zeros }
    const rho = group.scalarAdd(only(renewAll(group, 1, [record], [share], coin)).share, group.scalarNegate(share))
    const [zero, fine] = [group.scalarNegate(rho), share]
    const zeroRecord = { ...record, share: zero, pointC: group.mulBase(zero) }
    expectFault(() => renewAll(group, 1, [zeroRecord], [zero], coin), { faultClass: 'B', consequence: 'none' })
    // The other half of the same wallet becomes zero: both sides see it, and both call it class B.
    const asS = { ...record, role: 2 as const, pointC: group.mulBase(zero), pointS: group.mulBase(fine) }
    expectFault(() => renewAll(group, 2, [asS], [fine], coin), { faultClass: 'B', consequence: 'none' })
  })
})
