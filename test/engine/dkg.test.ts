import { secp256k1 } from '@noble/curves/secp256k1.js'
import { beforeAll, describe, expect, test } from 'vitest'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { mulBase, negatePoint } from '../../src/engine/curve/secp256k1.ts'
import {
  abandonDkg,
  advanceDkgC,
  advanceDkgS,
  finishDkgC,
  startDkgC,
  startDkgS,
} from '../../src/engine/dkls23/dkg.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { respond, verifyResponse } from '../../src/engine/dkls23/proof-of-knowledge.ts'
import { verifyWalletRecord } from '../../src/engine/dkls23/records.ts'
import { hashToScalar } from '../../src/engine/hash/tagged-hash.ts'
import { scalarNegate } from '../../src/engine/kernel/scalar.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { dkgInputs, hex, makeWallets } from './link-fixtures.ts'
import { type Field, mutationsOf } from './mutations.ts'

beforeAll(ed25519Ready)

type Tamper = Partial<Record<'W1' | 'W2' | 'W3' | 'W4', (body: Uint8Array) => Uint8Array>>

function run(count: number, tamper: Tamper = {}) {
  const on = (name: keyof Tamper, body: Uint8Array) => tamper[name]?.(body) ?? body
  const c1 = startDkgC(dkgInputs('C'), count)
  const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: on('W1', c1.body) })
  const c3 = advanceDkgC(c1.state, { sid: s2.state.sid, body: on('W2', s2.body) })
  const s4 = advanceDkgS(s2.state, on('W3', c3.body))
  finishDkgC(c3.state, on('W4', s4.body))
  return { c: c3.pending, s: s4.pending, sid: s2.state.sid }
}

function patch(offset: number, bytes: Uint8Array): (body: Uint8Array) => Uint8Array {
  return (body) => {
    const out = body.slice()
    out.set(bytes, offset)
    return out
  }
}

function repeat(count: number, fields: readonly Field[]): Field[] {
  return Array.from({ length: count }, (_, i) => fields.map((f) => ({ ...f, name: `${f.name}[${i}]` }))).flat()
}

const nonce: Field = { name: 'N', length: 32 }
const contribution: Field[] = [{ name: 'X', length: 33 }, { name: 'cc', length: 32 }]
const proof: Field[] = [{ name: 'A', length: 33 }, { name: 'z', length: 32 }]
const conf: Field = { name: 'conf', length: 32 }
const layout = (n: number): Record<keyof Tamper, Field[]> => ({
  W1: [nonce, { name: 'alg', length: 1 }, { name: 'n', length: 2 }, { name: 'com', length: 32 }],
  W2: [nonce, ...repeat(n, [...contribution, ...proof])],
  W3: [...repeat(n, contribution), { name: 'salt', length: 32 }, ...repeat(n, proof), conf],
  W4: [conf],
})

describe('key generation', () => {
  test.each([1, 3, 64])('%i wallets: both sides agree and each half opens its own point', (count) => {
    const { c, s, sid } = run(count)
    expect(hex(c.sid)).toBe(hex(sid))
    expect(c.records.length).toBe(count)
    for (const [i, mine] of c.records.entries()) {
      const theirs = s.records[i]
      if (theirs === undefined) throw new Error('missing record')
      for (const key of ['walletId', 'pointC', 'pointS', 'publicKey', 'chainCode', 'linkId'] as const) {
        expect(hex(mine[key])).toBe(hex(theirs[key]))
      }
      expect([mine.role, theirs.role, mine.state, mine.wEpoch, mine.minLinkEpoch]).toEqual([1, 2, 'PENDING', 0, 3])
      verifyWalletRecord(mine)
      verifyWalletRecord(theirs)
      expect(hex(mine.share)).not.toBe(hex(theirs.share))
      const point = secp256k1.Point.fromHex(hex(mine.pointC)).add(secp256k1.Point.fromHex(hex(mine.pointS)))
      expect(point.toHex(true)).toBe(hex(mine.publicKey))
    }
    expect(new Set(c.records.map(({ walletId }) => hex(walletId))).size).toBe(count)
    expect(new Set(c.records.map(({ chainCode }) => hex(chainCode))).size).toBe(count)
  })

  test('messages have exactly the lengths of the layouts', () => {
    const lengths: number[] = []
    const note = (body: Uint8Array) => {
      lengths.push(body.length)
      return body
    }
    run(3, { W1: note, W2: note, W3: note, W4: note })
    expect(lengths).toEqual([67, 32 + 3 * 130, 3 * 65 + 32 + 3 * 65 + 32, 32])
  })

  test.each(['W1', 'W2', 'W3', 'W4'] as const)('no damage to %s completes a generation', (name) => {
    let honest = new Uint8Array(0)
    run(2, {
      [name]: (body: Uint8Array) => {
        honest = body.slice()
        return body
      },
    })
    for (const mutation of mutationsOf(honest, layout(2)[name])) {
      const fault = faultOf(() => run(2, { [name]: () => mutation.body }))
      expect(['A', 'C'], `${name} ${mutation.name}`).toContain(fault.faultClass)
      if (mutation.body.length !== honest.length) expect(fault.faultClass).toBe('C')
    }
  })

  test('refuses counts of 0 and 65 and an algorithm that does not exist', () => {
    for (const count of [0, 65]) {
      expectFault(() => run(1, { W1: patch(33, Uint8Array.of(count, 0)) }), { faultClass: 'C' })
      expect(() => startDkgC(dkgInputs('C'), count)).toThrow(RangeError)
    }
    expectFault(() => run(1, { W1: patch(32, Uint8Array.of(0)) }), { faultClass: 'C' })
    expectFault(() => run(1, { W1: patch(32, Uint8Array.of(3)) }), { faultClass: 'C' })
    // S answers with points of the other algorithm, so W2 is too short for C.
    expectFault(() => run(1, { W1: patch(32, Uint8Array.of(2)) }), { faultClass: 'C' })
    expectFault(() => startDkgS(dkgInputs('S'), { sid: new Uint8Array(32).fill(1), body: new Uint8Array(67) }), {
      faultClass: 'C',
    })
  })

  test('a rogue key without a proof of knowledge is refused', () => {
    // X_S = Y − X_C would make the joint key Y. S does not know X_C here, but not even a replaced point passes.
    const rogue = mulBase(new Uint8Array(32).fill(9))
    expectFault(() => run(1, { W2: patch(32, rogue) }), { faultClass: 'C' })
    expectFault(() => run(1, { W2: patch(32 + 65, rogue) }), { faultClass: 'C' })
  })

  test('a proof made for the other role or for another session is refused', () => {
    for (const [role, session] of [[1, 'own'], [2, 'other']] as const) {
      const c1 = startDkgC(dkgInputs('C'), 1)
      const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: c1.body })
      const [own] = s2.state.own
      if (own === undefined) throw new Error('no contribution')
      const a = new Uint8Array(32).fill(5)
      const sid = session === 'own' ? s2.state.sid : new Uint8Array(32)
      const z = respond(a, hashToScalar('dkg/pok', sid, Uint8Array.of(role), own.point, mulBase(a)), own.share)
      const body = patch(32 + 65, Uint8Array.from([...mulBase(a), ...z]))(s2.body)
      expectFault(() => advanceDkgC(c1.state, { sid: s2.state.sid, body }), { faultClass: 'C' })
    }
    // The same forgery with the right role and session passes: the check above is the one that refuses.
    const c1 = startDkgC(dkgInputs('C'), 1)
    const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: c1.body })
    const [own] = s2.state.own
    if (own === undefined) throw new Error('no contribution')
    const a = new Uint8Array(32).fill(5)
    const e = hashToScalar('dkg/pok', s2.state.sid, Uint8Array.of(2), own.point, mulBase(a))
    const body = patch(32 + 65, Uint8Array.from([...mulBase(a), ...respond(a, e, own.share)]))(s2.body)
    expect(advanceDkgC(c1.state, { sid: s2.state.sid, body }).pending.records.length).toBe(1)
  })

  test.each([
    ['zeros', new Uint8Array(33)],
    ['x at p', Uint8Array.from(Buffer.from(`02${'ff'.repeat(27)}fefffffc2f`, 'hex'))],
    ['x above p', new Uint8Array(33).fill(0xff).fill(2, 0, 1)],
    ['off the curve', Uint8Array.from([2, ...new Uint8Array(31), 5])],
    ['hybrid prefix', Uint8Array.from([6, ...mulBase(new Uint8Array(32).fill(1)).slice(1)])],
    ['uncompressed prefix', Uint8Array.from([4, ...mulBase(new Uint8Array(32).fill(1)).slice(1)])],
  ])('a point that is %s is refused for X and A of either side', (_, point) => {
    const refused = { faultClass: 'C' } as const
    for (const offset of [32, 32 + 65]) expectFault(() => run(1, { W2: patch(offset, point) }), refused)
    for (const offset of [0, 65 + 32]) expectFault(() => run(1, { W3: patch(offset, point) }), refused)
  })

  test('scalars at q and above are refused', () => {
    const q = Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex').toReversed()
    for (const z of [q, new Uint8Array(32).fill(0xff)]) {
      expectFault(() => run(1, { W2: patch(32 + 65 + 33, z) }), { faultClass: 'C' })
      expectFault(() => run(1, { W3: patch(65 + 32 + 33, z) }), { faultClass: 'C' })
    }
  })

  test('X_S = −X_C with a valid proof gives no key', () => {
    // Only a peer that knows x_C can build this; it passes the proof and stops at the sum, which is the identity.
    const c1 = startDkgC(dkgInputs('C'), 1)
    const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: c1.body })
    const own = c1.state.own[0]
    if (own === undefined) throw new Error('no contribution')
    const [point, a] = [negatePoint(own.point), new Uint8Array(32).fill(3)]
    const e = hashToScalar('dkg/pok', s2.state.sid, Uint8Array.of(2), point, mulBase(a))
    const z = respond(a, e, scalarNegate(own.share))
    expect(verifyResponse(z, mulBase(a), e, point)).toBe(true)
    const body = patch(32, Uint8Array.from([...point, ...new Uint8Array(32), ...mulBase(a), ...z]))(s2.body)
    const fault = faultOf(() => advanceDkgC(c1.state, { sid: s2.state.sid, body }))
    expect([fault.faultClass, fault.consequence]).toEqual(['C', 'strike'])
    expect(fault.message).toContain('identity')
  })

  test('reflection: the peer may not return a point of the exchange', () => {
    const c1 = startDkgC(dkgInputs('C'), 2)
    const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: c1.body })
    const own = c1.state.own[1]?.point
    if (own === undefined) throw new Error('no contribution')
    const message = { sid: s2.state.sid, body: patch(32, own)(s2.body) }
    expectFault(() => advanceDkgC(c1.state, message), { faultClass: 'C' })
    // Its own first entry repeated whole, proof included, is refused as well.
    const twice = (body: Uint8Array) => patch(32 + 130, body.slice(32, 32 + 130))(body)
    expectFault(() => run(2, { W2: twice }), { faultClass: 'C' })
    // S's answer sent back as an opening does not open C's commitment.
    let w2 = new Uint8Array(0)
    const W2 = (body: Uint8Array) => {
      w2 = body.slice()
      return body
    }
    expectFault(() => run(1, { W2, W3: (body) => patch(0, w2.slice(32, 32 + 65))(body) }), { faultClass: 'C' })
  })

  test('split view: two answers to one state of C lead to different sids', () => {
    const c1 = startDkgC(dkgInputs('C'), 1)
    const [one, two] = ['S1', 'S2'].map((seed) => startDkgS(dkgInputs(seed), { sid: NO_SID, body: c1.body }))
    if (one === undefined || two === undefined) throw new Error('no answers')
    const c3 = advanceDkgC(c1.state, { sid: one.state.sid, body: one.body })
    expectFault(() => advanceDkgS(two.state, c3.body), { faultClass: 'C' })
    const again = { sid: two.state.sid, body: two.body }
    expectFault(() => advanceDkgC(c1.state, again), { faultClass: 'A', code: 'session' })
  })

  test('a chain code that S changes on the way breaks the confirmation', () => {
    // cc_S is under no proof: C takes the changed one, and conf_C then does not match at S.
    expectFault(() => run(1, { W2: patch(32 + 33, new Uint8Array(32)) }), { faultClass: 'C' })
  })

  test('C is not convinced by its own confirmation', () => {
    let confC = new Uint8Array(0)
    const W3 = (body: Uint8Array) => {
      confC = body.slice(-32)
      return body
    }
    expectFault(() => run(1, { W3, W4: () => confC }), { faultClass: 'C' })
  })

  test('a failed or abandoned generation leaves no share behind', () => {
    const c1 = startDkgC(dkgInputs('C'), 1)
    const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: c1.body })
    abandonDkg(c1.state)
    expectFault(() => advanceDkgS(s2.state, new Uint8Array(1)), { faultClass: 'C' })
    const shares = [c1.state, s2.state].map((state) => hex(state.own[0]?.share ?? Uint8Array.of(1)))
    expect(shares).toEqual(['00'.repeat(32), '00'.repeat(32)])
  })

  test('two generations share nothing', () => {
    const [a, b] = [makeWallets(1, 'a').c[0], makeWallets(1, 'b').c[0]]
    expect(hex(a?.publicKey ?? NO_SID)).not.toBe(hex(b?.publicKey ?? NO_SID))
  })
})
