/** Forks on both curves: against the reference in BigInt, and T1, T2, T4, T17, T21, T23, T49 and T56 for their messages. */
import { describe, expect, test } from 'vitest'
import { groupOf } from '../../src/engine/curve/group.ts'
import { makeLinkParties, walletIdOf } from '../../src/engine/dkls23/contexts.ts'
import { abandonFork, answerForkS, finishForkC, finishForkS, type ForkedHalf, forkedRecord, openForkC, publicSharesHash, readForkName, spendForDelegate, startForkC } from '../../src/engine/dkls23/fork.ts'
import { bodyLengthFromCounts, FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { presignSlotOf } from '../../src/engine/dkls23/presign-plan.ts'
import { decodeWalletRecord, encodeWalletRecord, type WalletRecord } from '../../src/engine/dkls23/records.ts'
import { assertSameShare, decodeSealedShare, encodeSealedShare } from '../../src/engine/dkls23/sealed-share.ts'
import { edSlotOf } from '../../src/engine/frost/presign.ts'
import { decodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { fromLe, toLe } from './bigint-reference.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { fork, forkInputs, purposeOf, TERMS } from './fork-fixtures.ts'
import { hex, LINK, makeMaterial } from './link-fixtures.ts'
import { mutationsOf } from './mutations.ts'
import { CURVES, layoutOf, only, refresh, refreshInputs, switched, type Wallets, walletsOf } from './refresh-fixtures.ts'
import { type Bend, curveOf, forkedWalletId, ReferenceRefresh } from './refresh-reference.ts'
import { answerRefreshS, finishRefreshC, finishRefreshS, openRefreshC, startRefreshC } from '../../src/engine/dkls23/refresh.ts'

const STRIKE = { faultClass: 'C', code: 'protocol', consequence: 'strike' } as const
const SESSION = { faultClass: 'A', code: 'session', consequence: 'none' } as const
const CLASSES = {
  N_C: 'A', n: 'C', walletId: 'A', wEpoch: 'A', com: 'C', N_S: 'A', seed_S: 'C', E_S: 'C',
  seed_C: 'C', E_C: 'C', salt: 'C', A: 'C', z: 'C', conf: 'C',
} as const
const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)

describe.each(CURVES)('a fork on %s', (name, alg, pointBytes) => {
  const wallets = walletsOf(alg, 1, `fork ${name}`)
  const [mine, theirs] = [only(wallets.c), only(wallets.s)]
  const before = [mine, theirs].map(({ share }) => hex(share))
  const unchanged = () => [mine, theirs].map(({ share }) => hex(share))
  const group = groupOf(alg)
  const sumOf = (a: Uint8Array, b: Uint8Array) => hex(group.mulBase(group.scalarAdd(a, b)))
  const { idC, idS } = LINK

  /** The delegate's link, and both of its records: C the delegate, S the daemon. */
  const delegated = (c: ForkedHalf, s: ForkedHalf) => {
    const link = { linkId: TERMS.linkId, idC: TERMS.idG, idS: idC }
    const atD = forkedRecord(c, 7n)
    const text = spendForDelegate({ ...s, share: s.share.slice() }, idC)
    const read = decodeDelegatedShare(text)
    if (read.kind !== 'own') throw new Error(read.kind)
    const { idG, idD, pointG, pointD, share, ...rest } = read.share
    expect([hex(idG), hex(idD)]).toEqual([hex(TERMS.idG), hex(idC)])
    const atG: WalletRecord = { ...atD, ...rest, role: 1, share, pointC: pointG, pointS: pointD }
    return { link, atD, atG }
  }

  test('makes a second sharing of the same key, and the first stays', () => {
    const { c, s, sid } = fork(wallets)
    for (const half of [c, s]) {
      expect([hex(half.walletId), hex(half.sid)]).toEqual([hex(walletIdOf(sid, 0)), hex(sid)])
      expect([hex(half.publicKey), hex(half.chainCode)]).toEqual([hex(mine.publicKey), hex(mine.chainCode)])
    }
    expect(sumOf(c.share, s.share)).toBe(hex(mine.publicKey))
    // Old with new, either way, is no key: the two sharings are independent but for the coin.
    expect(sumOf(mine.share, s.share)).not.toBe(hex(mine.publicKey))
    expect(sumOf(c.share, theirs.share)).not.toBe(hex(mine.publicKey))
    expect(hex(publicSharesHash(c))).toBe(hex(publicSharesHash(s)))
    expect(unchanged()).toEqual(before)
  })

  test('D holds a record that neither presigns nor signs, and K text for the delegate', () => {
    const { c, s } = fork(wallets)
    const { atD, atG } = delegated(c, s)
    expect(atD).toMatchObject({ role: 2, state: 'FORKED', wEpoch: 0, origin: 'fork', minLinkEpoch: 0, refreshCount: 0 })
    for (const record of [atD, atG]) expect(decodeWalletRecord(encodeWalletRecord(record))).toEqual(record)
    const material = makeMaterial('forked')
    const own = { ...LINK, linkId: TERMS.linkId }
    if (alg === 1) expect(presignSlotOf(own, material.s, atD)).toBeUndefined()
    else expect(edSlotOf(own, 2, material.s.lEpoch, atD)).toBeUndefined()
    const spent = { ...s, share: s.share.slice() }
    spendForDelegate(spent, idC)
    expect(isZero(spent.share)).toBe(true)
  })

  test('the delegate and D refresh it over their own link, after which K knows neither half', () => {
    const { c, s } = fork(wallets)
    const { link, atD, atG } = delegated(c, s)
    const inputs = (seed: string) => ({ ...refreshInputs(seed), link })
    const c1 = startRefreshC(inputs('G'), [atG])
    const s2 = answerRefreshS(inputs('D'), { sid: NO_SID, body: c1.body }, [atD])
    const c3 = openRefreshC(c1.state, { sid: s2.sid, body: s2.body })
    const s4 = finishRefreshS(s2.state, c3.body)
    const [nextG, nextD] = [only(finishRefreshC(c3.state, s4.body).records), only(s4.pending.records)]
    expect([nextG.wEpoch, nextD.wEpoch, nextG.state, nextG.origin]).toEqual([1, 1, 'ACTIVE', 'fork'])
    expect(sumOf(nextG.share, nextD.share)).toBe(hex(mine.publicKey))
    expect(sumOf(s.share, nextD.share)).not.toBe(hex(mine.publicKey))
    // T23: the share of the fork is of no use after it.
    const late = startRefreshC(inputs('late'), [atG])
    const offered = switched({ c: { sid: s2.sid, records: [nextG] }, s: { sid: s2.sid, records: [nextD] } } as never).s
    expectFault(() => answerRefreshS(inputs('D2'), { sid: NO_SID, body: late.body }, offered), { faultClass: 'A', code: 'plan_refused' })
  })

  test('the wallet itself can be refreshed afterwards, and forked again into something else', () => {
    const after = switched(refresh(wallets))
    const [one, two] = [fork(wallets, { seed: 'one' }), fork(after, { seed: 'two' })]
    expect(hex(one.c.walletId)).not.toBe(hex(two.c.walletId))
    expect(sumOf(two.c.share, two.s.share)).toBe(hex(mine.publicKey))
    expect(sumOf(one.c.share, two.s.share)).not.toBe(hex(mine.publicKey))
  })

  test('has the bytes of the text: the reference as C, and as S', () => {
    const asC = new ReferenceRefresh(LINK, 1, wallets.c, 'reference C', {}, purposeOf(TERMS))
    const s2 = answerForkS(forkInputs('S'), { sid: NO_SID, body: asC.f1() }, wallets.s)
    const s4 = finishForkS(s2.state, asC.f3(s2.body))
    expect([hex(asC.sid), asC.accepts(s4.body)]).toEqual([hex(s2.sid), true])
    const asS = new ReferenceRefresh(LINK, 2, wallets.s, 'reference S', {}, purposeOf(TERMS))
    const c1 = startForkC(forkInputs('C'), mine)
    const c3 = openForkC(c1.state, { body: asS.f2(c1.body), sid: asS.sid })
    const done = finishForkC(c3.state, asS.f4(c3.body))
    for (const [reference, half] of [[asC, s4.half], [asS, done]] as const) {
      expect(hex(half.walletId)).toBe(hex(forkedWalletId(reference.sid)))
      const [points, share] = [only(reference.points), only(reference.shares)]
      expect([hex(half.pointC), hex(half.pointS)]).toEqual([hex(points.pointC), hex(points.pointS)])
      expect(sumOf(half.share, toLe(share))).toBe(hex(mine.publicKey))
    }
    const { order } = curveOf(alg)
    const difference = (a: Uint8Array | bigint, b: Uint8Array) =>
      (((typeof a === 'bigint' ? a : fromLe(a)) - fromLe(b)) % order + order) % order
    // σ: C adds the coin, S takes it away.
    expect(difference(s4.half.share, theirs.share)).toBe(order - difference(only(asC.shares), mine.share))
  })

  const honest = fork(wallets).bodies
  const layout = layoutOf(pointBytes, 1)

  test.each(['F1', 'F2', 'F3', 'F4'] as const)('T1: no damage to %s completes it', (message) => {
    expect(honest[message]).toHaveLength(layout[message].reduce((sum, { length }) => sum + length, 0))
    for (const { name: what, body } of mutationsOf(honest[message], layout[message])) {
      const fault = faultOf(() => fork(wallets, { tamper: { [message]: () => body } }))
      const field = what.split(/[[:]/)[0] as keyof typeof CLASSES
      const expected = body.length === honest[message].length ? CLASSES[field] : 'C'
      expect(fault.faultClass, `${message} ${what}: ${fault.message}`).toBe(expected)
    }
    expect(unchanged()).toEqual(before)
  })

  test('T2 T4 T17: messages of another fork, the own ones, and a step taken twice', () => {
    const other = fork(wallets, { seed: 'another' }).bodies
    for (const message of ['F2', 'F3', 'F4'] as const) {
      const fault = faultOf(() => fork(wallets, { tamper: { [message]: () => other[message] } }))
      expect(fault.faultClass).toBe(message === 'F2' ? 'A' : 'C')
    }
    expectFault(() => fork(wallets, { tamper: { F4: () => honest.F3.slice(64 + pointBytes) } }), STRIKE)
    const c1 = startForkC(forkInputs('C'), mine)
    const s2 = answerForkS(forkInputs('S'), { sid: NO_SID, body: c1.body }, wallets.s)
    const c3 = openForkC(c1.state, { sid: s2.sid, body: s2.body })
    const s4 = finishForkS(s2.state, c3.body)
    expectFault(() => openForkC(c1.state, { sid: s2.sid, body: s2.body }), SESSION)
    expectFault(() => finishForkS(s2.state, c3.body), SESSION)
    finishForkC(c3.state, s4.body)
    expectFault(() => finishForkC(c3.state, s4.body), SESSION)
  })

  test('no message of a refresh is one of a fork, nor the other way round', () => {
    const refreshed = refresh(wallets, { seed: 'fork' }).bodies
    for (const message of ['F1', 'F2', 'F3', 'F4'] as const) {
      expect(['A', 'C']).toContain(faultOf(() => fork(wallets, { tamper: { [message]: () => refreshed[message] } })).faultClass)
      expect(['A', 'C']).toContain(faultOf(() => refresh(wallets, { seed: 'fork', tamper: { [message]: () => honest[message] } })).faultClass)
    }
  })

  test('T49: two sides that mean another delegate, or another link of it, disagree before anything secret', () => {
    const elsewhere = [{ idG: new Uint8Array(32).fill(0x7a) }, { linkId: new Uint8Array(16).fill(0x7b) }]
    for (const terms of elsewhere) {
      expectFault(() => fork(wallets, { c: terms }), SESSION)
      expectFault(() => fork(wallets, { s: terms }), SESSION)
    }
  })

  test('one wallet a run; others, other epochs and other links are refused', () => {
    const two = walletsOf(alg, 2, `two ${name}`)
    expectFault(() => readForkName({ sid: NO_SID, body: refresh(two).bodies.F1 }), STRIKE)
    expectFault(() => readForkName({ sid: new Uint8Array(32).fill(1), body: honest.F1 }), STRIKE)
    expect(hex(readForkName({ sid: NO_SID, body: honest.F1 }).walletId)).toBe(hex(mine.walletId))
    const refused = { faultClass: 'A', code: 'plan_refused' } as const
    const offers: Wallets['s'][] = [[], [{ ...theirs, wEpoch: 1 }], [{ ...theirs, role: 1 }], only([two]).s.slice(1)]
    for (const s of offers) expectFault(() => fork({ c: wallets.c, s }), refused)
    const other = makeLinkParties(idC, idS, 1, 2)
    expectFault(() => answerForkS(forkInputs('S', {}, other), { sid: NO_SID, body: honest.F1 }, wallets.s), refused)
  })

  test('T56: channel and identity without the share complete nothing, on either side; nor does another coin', () => {
    const cheat = (role: 1 | 2, bend: Bend) => {
      const cheater = new ReferenceRefresh(LINK, role, role === 1 ? wallets.c : wallets.s, 'cheat', bend, purposeOf(TERMS))
      if (role === 1) {
        const s2 = answerForkS(forkInputs('S'), { sid: NO_SID, body: cheater.f1() }, wallets.s)
        return finishForkS(s2.state, cheater.f3(s2.body)).half
      }
      const c1 = startForkC(forkInputs('C'), mine)
      const c3 = openForkC(c1.state, { body: cheater.f2(c1.body), sid: cheater.sid })
      return finishForkC(c3.state, cheater.f4(c3.body))
    }
    for (const role of [1, 2] as const) {
      expect(hex(cheat(role, {}).publicKey)).toBe(hex(mine.publicKey))
      for (const guess of [1n, 12345678901234567890n]) {
        expect(faultOf(() => cheat(role, { guess })).message).toBe('protocol fault, class C: proof of knowledge')
      }
      for (const rho of [(one: bigint) => one + 1n, (one: bigint) => -one, () => 1n]) expectFault(() => cheat(role, { rho }), STRIKE)
    }
    expect(faultOf(() => cheat(1, { openedSeed: new Uint8Array(32).fill(1) })).message).toContain('commitment')
    expect(unchanged()).toEqual(before)
  })

  test('every secret of a state is overwritten when it is over, failed or abandoned', () => {
    const begin = () => {
      const c1 = startForkC(forkInputs('C'), mine)
      const s2 = answerForkS(forkInputs('S'), { sid: NO_SID, body: c1.body }, wallets.s)
      return { c1, s2, f2: { sid: s2.sid, body: s2.body } }
    }
    const secretsOf = ({ own, shares }: ReturnType<typeof begin>['c1' | 's2']['state']) => [own.seed, own.scalar, shares]
    const done = begin()
    const c3 = openForkC(done.c1.state, done.f2)
    finishForkS(done.s2.state, c3.body)
    faultOf(() => finishForkC(c3.state, new Uint8Array(3)))
    const dropped = begin()
    abandonFork(dropped.c1.state)
    abandonFork(dropped.s2.state)
    for (const { c1, s2 } of [done, dropped]) expect([...secretsOf(c1.state), ...secretsOf(s2.state)].every(isZero)).toBe(true)
    expect(c3.state.renewed.every(({ share }) => isZero(share))).toBe(true)
  })

  test('0x45 says whom it is for, and D\'s answer is the same without the envelope', () => {
    const { s } = fork(wallets)
    const { walletId, publicKey, chainCode, pointC: pointD, pointS: pointG } = s
    const message = {
      alg, walletId, ...TERMS, idD: idC, publicKey, pointG, pointD, chainCode,
      keyId: new Uint8Array(32).fill(5), envelope: new Uint8Array(700).fill(6),
    }
    for (const envelope of [message.envelope, new Uint8Array(0)]) {
      const body = encodeSealedShare({ ...message, envelope })
      expect(body).toHaveLength(263 - (alg === 2 ? 3 : 0) + envelope.length)
      expect(bodyLengthFromCounts(FRAME_TYPES.SEALED_SHARE, body)).toBe(body.length)
      expect(decodeSealedShare(body)).toEqual({ ...message, envelope })
      for (const bad of [body.slice(1), body.slice(0, -1), Uint8Array.from([...body, 0]), new Uint8Array(body.length)]) {
        expectFault(() => decodeSealedShare(bad), STRIKE)
      }
    }
    assertSameShare(message, message)
    const others = [{ walletId: new Uint8Array(16) }, { idG: idC }, { keyId: new Uint8Array(32) }, { pointG: pointD }, { chainCode: new Uint8Array(32) }]
    for (const change of others) expectFault(() => assertSameShare({ ...message, ...change }, message), STRIKE)
  })
})
