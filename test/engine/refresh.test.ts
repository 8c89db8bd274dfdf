import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { verifySignature as verifyEd } from '../../src/engine/curve/ed25519.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { verifySignature } from '../../src/engine/curve/secp256k1.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { decodeWalletRecord, encodeWalletRecord, verifyWalletRecord } from '../../src/engine/dkls23/records.ts'
import {
  abandonRefresh,
  answerRefreshS,
  finishRefreshC,
  finishRefreshS,
  openRefreshC,
  readRefreshNames,
  startRefreshC,
} from '../../src/engine/dkls23/refresh.ts'
import { decodeSignRequest } from '../../src/engine/dkls23/sign-messages.ts'
import { agreeOnSigning, answerSign, finishSign, startSign } from '../../src/engine/dkls23/sign.ts'
import { decodeEdSignRequest } from '../../src/engine/frost/sign-messages.ts'
import { agreeOnEdSigning, answerEdSign, finishEdSign, startEdSign } from '../../src/engine/frost/sign.ts'
import { fromLe, toLe } from './bigint-reference.ts'
import { makeEdPresignatures } from './ed-fixtures.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { hex, LINK, makeMaterial, makePresignatures } from './link-fixtures.ts'
import { CURVES, layoutOf, only, refresh, refreshInputs, switched, type Wallets, walletsOf } from './refresh-fixtures.ts'
import { ReferenceRefresh } from './refresh-reference.ts'

const PAYLOAD = new TextEncoder().encode('pay 1 to Bob')
const DIGEST = new Uint8Array(createHash('sha256').update(PAYLOAD).digest())
const REQ_ID = new Uint8Array(16).fill(9)

/** Signs with the first wallet of each side through the whole protocol, and verifies under the key given. */
function signs(wallets: Wallets, publicKey: Uint8Array, seed: string): boolean {
  const [walletC, walletS] = [only(wallets.c), only(wallets.s)]
  if (walletC.alg === 2) {
    const pair = makeEdPresignatures({ c: [walletC], s: [walletS] }, seed)
    const { share } = walletC
    const inputs = { link: LINK, wallet: walletC, message: PAYLOAD, share, reqId: REQ_ID, payload: PAYLOAD }
    const c = startEdSign(inputs, only(pair.c))
    const request = decodeEdSignRequest(c.body, LINK.linkId)
    const context = agreeOnEdSigning({ link: LINK, wallet: walletS, message: PAYLOAD }, request, only(pair.s))
    const signature = finishEdSign(c.state, answerEdSign(context, request, only(pair.s), walletS.share).body)
    return verifyEd(signature, PAYLOAD, publicKey)
  }
  const pair = makePresignatures(makeMaterial(seed), { c: [walletC], s: [walletS] }, seed)
  const inputs = { link: LINK, wallet: walletC, digest: DIGEST, path: [], reqId: REQ_ID, payload: PAYLOAD }
  const c = startSign(inputs, only(pair.c))
  const request = decodeSignRequest(c.body, LINK.linkId)
  const own = { link: LINK, wallet: walletS, digest: DIGEST, path: [] }
  const answer = answerSign(agreeOnSigning(own, request, only(pair.s)), request, only(pair.s))
  const { r, s } = finishSign(c.state, answer.body)
  return verifySignature(r, s, DIGEST, publicKey)
}

/** Whether two shares make the key. */
function open(alg: 1 | 2, a: Uint8Array, b: Uint8Array, publicKey: Uint8Array): boolean {
  const group = groupOf(alg)
  return hex(group.mulBase(group.scalarAdd(a, b))) === hex(publicKey)
}

describe.each(CURVES)('a refresh on %s', (name, alg, pointBytes) => {
  const before = walletsOf(alg, 3, `refresh ${name}`)

  test('keeps the key, changes both halves, and counts', () => {
    const { c, s, sid } = refresh(before)
    expect([hex(c.sid), hex(s.sid)]).toEqual([hex(sid), hex(sid)])
    expect([c.records.length, s.records.length]).toEqual([3, 3])
    for (const [i, mine] of c.records.entries()) {
      const [theirs, old, oldS] = [only(s.records, i), only(before.c, i), only(before.s, i)]
      for (const key of ['walletId', 'publicKey', 'chainCode', 'linkId', 'createdAtMs', 'origin', 'alg'] as const) {
        expect([mine[key], theirs[key]]).toEqual([old[key], old[key]])
      }
      for (const key of ['pointC', 'pointS'] as const) {
        expect(hex(mine[key])).toBe(hex(theirs[key]))
        expect(hex(mine[key])).not.toBe(hex(old[key]))
      }
      expect([mine.state, theirs.state]).toEqual(['ACTIVE', 'PENDING'])
      expect([mine.role, mine.wEpoch, mine.refreshCount, mine.minLinkEpoch]).toEqual([1, 1, 1, 3])
      expect([theirs.role, theirs.wEpoch, theirs.refreshCount, theirs.minLinkEpoch]).toEqual([2, 1, 1, 3])
      verifyWalletRecord(mine)
      verifyWalletRecord(theirs)
      expect(hex(decodeWalletRecord(encodeWalletRecord(theirs)).share)).toBe(hex(theirs.share))
      // New with new makes the key; new with old, either way, does not.
      expect(open(alg, mine.share, theirs.share, old.publicKey)).toBe(true)
      expect(open(alg, old.share, theirs.share, old.publicKey)).toBe(false)
      expect(open(alg, mine.share, oldS.share, old.publicKey)).toBe(false)
    }
  })

  test('each wallet gets a coin of its own, and two refreshes share nothing', () => {
    const coins = [refresh(before, { seed: 'one' }), refresh(before, { seed: 'two' })].flatMap(({ c }) =>
      c.records.map(({ share }, i) => fromLe(share) - fromLe(only(before.c, i).share)),
    )
    expect(new Set(coins).size).toBe(6)
  })

  test('raises minLinkEpoch when it heals, and never lowers it', () => {
    const healed = refresh(before, { healingEpoch: 9 })
    expect([...healed.c.records, ...healed.s.records].map((one) => one.minLinkEpoch)).toEqual(Array(6).fill(9))
    const again = refresh(switched(healed), { healingEpoch: 4 })
    expect(only(again.c.records).minLinkEpoch).toBe(9)
    expect(only(again.s.records).wEpoch).toBe(2)
  })

  test('signatures verify under the same key afterwards; one old half cannot presign', () => {
    const { publicKey } = only(before.c)
    const after = switched(refresh(before))
    expect(signs(after, publicKey, 'after')).toBe(true)
    expect(signs(switched(refresh(after)), publicKey, 'twice')).toBe(true)
    for (const mixed of [{ c: before.c, s: after.s }, { c: after.c, s: before.s }]) {
      expectFault(() => signs(mixed, publicKey, 'mixed'), { faultClass: 'A', code: 'plan_refused' })
    }
  })

  test('an old share in a new record is a damaged record, before anything is sent', () => {
    const after = switched(refresh(before))
    const mixed = after.c.map((record, i) => ({ ...record, share: only(before.c, i).share }))
    const fault = { faultClass: 'B', consequence: 'quarantine-wallet' } as const
    expectFault(() => signs({ c: mixed, s: after.s }, only(before.c).publicKey, 'damaged'), fault)
    expectFault(() => startRefreshC(refreshInputs('damaged'), mixed), fault)
  })

  test('has the bytes of the text: the reference as C, and as S', () => {
    const asC = new ReferenceRefresh(LINK, 1, before.c, 'reference C')
    const s2 = answerRefreshS(refreshInputs('S'), { sid: NO_SID, body: asC.f1() }, before.s)
    const s4 = finishRefreshS(s2.state, asC.f3(s2.body))
    expect([hex(asC.sid), asC.accepts(s4.body)]).toEqual([hex(s2.sid), true])

    const asS = new ReferenceRefresh(LINK, 2, before.s, 'reference S')
    const c1 = startRefreshC(refreshInputs('C'), before.c)
    const f2 = asS.f2(c1.body)
    const c3 = openRefreshC(c1.state, { sid: asS.sid, body: f2 })
    const done = finishRefreshC(c3.state, asS.f4(c3.body))

    for (const [mine, theirs] of [[asC, s4.pending.records], [asS, done.records]] as const) {
      for (const [i, record] of theirs.entries()) {
        const points = mine.points[i]
        expect([hex(record.pointC), hex(record.pointS)]).toEqual([hex(points?.pointC ?? NO_SID), hex(points?.pointS ?? NO_SID)])
        expect(open(alg, record.share, toLe(mine.shares[i] ?? 0n), record.publicKey)).toBe(true)
      }
    }
  })

  test('messages have exactly the lengths of the layouts', () => {
    for (const n of [1, 3]) {
      const some = { c: before.c.slice(0, n), s: before.s.slice(0, n) }
      const { bodies } = refresh(some)
      const layout = layoutOf(pointBytes, n)
      for (const message of ['F1', 'F2', 'F3', 'F4'] as const) {
        expect(bodies[message].length).toBe(layout[message].reduce((sum, { length }) => sum + length, 0))
      }
    }
  })

  test('the records of S may come in any order and number; the sid follows F1', () => {
    const [one, two, three] = [only(before.s), only(before.s, 1), only(before.s, 2)]
    const done = refresh({ c: before.c.slice(0, 2), s: [three, two, one] })
    expect(done.s.records.map(({ walletId }) => hex(walletId))).toEqual([hex(one.walletId), hex(two.walletId)])
  })

  test('256 wallets go through one exchange', () => {
    const batches = Array.from({ length: 4 }, (_, i) => walletsOf(alg, 64, `many ${name} ${i}`))
    const many = { c: batches.flatMap(({ c }) => c), s: batches.flatMap(({ s }) => s) }
    const done = refresh(many)
    for (const i of [0, 100, 255]) {
      const [mine, theirs] = [only(done.c.records, i), only(done.s.records, i)]
      expect(open(alg, mine.share, theirs.share, only(many.c, i).publicKey)).toBe(true)
    }
    expect(() => startRefreshC(refreshInputs('C'), [...many.c, ...before.c])).toThrow(RangeError)
  })

  test('every secret of a state is overwritten when it is over, failed or abandoned; the records are only read', () => {
    const [oldC, oldS] = [hex(only(before.c).share), hex(only(before.s).share)]
    const isZero = (bytes: Uint8Array) => bytes.every((byte) => byte === 0)
    const begin = () => {
      const c1 = startRefreshC(refreshInputs('C'), before.c)
      const s2 = answerRefreshS(refreshInputs('S'), { sid: NO_SID, body: c1.body }, before.s)
      return { c1, s2, f2: { sid: s2.sid, body: s2.body } }
    }
    const secretsOf = ({ own, shares }: ReturnType<typeof begin>['c1' | 's2']['state']) => [own.seed, own.scalar, shares]
    const done = begin()
    const c3 = openRefreshC(done.c1.state, done.f2)
    finishRefreshS(done.s2.state, c3.body)
    expect([...secretsOf(done.c1.state), ...secretsOf(done.s2.state)].every(isZero)).toBe(true)
    faultOf(() => finishRefreshC(c3.state, new Uint8Array(3)))
    expect(c3.state.renewed.every(({ share }) => isZero(share))).toBe(true)

    const failed = begin()
    faultOf(() => openRefreshC(failed.c1.state, { ...failed.f2, body: new Uint8Array(1) }))
    faultOf(() => finishRefreshS(failed.s2.state, new Uint8Array(1)))
    const abandoned = begin()
    abandonRefresh(abandoned.s2.state)
    const opened = openRefreshC(abandoned.c1.state, abandoned.f2)
    abandonRefresh(opened.state)
    const early = begin()
    abandonRefresh(early.c1.state)
    for (const { c1, s2 } of [failed, abandoned]) {
      expect([...secretsOf(c1.state), ...secretsOf(s2.state)].every(isZero)).toBe(true)
    }
    expect(secretsOf(early.c1.state).every(isZero)).toBe(true)
    expect(opened.state.renewed.every(({ share }) => isZero(share))).toBe(true)
    expectFault(() => finishRefreshC(opened.state, new Uint8Array(1)), { faultClass: 'A', code: 'session' })
    expect([hex(only(before.c).share), hex(only(before.s).share)]).toEqual([oldC, oldS])
  })

  test('S learns the names of F1 before it loads records', () => {
    const { body } = startRefreshC(refreshInputs('C'), before.c)
    const names = readRefreshNames({ sid: NO_SID, body })
    expect(names.map(({ walletId, wEpoch }) => [hex(walletId), wEpoch])).toEqual(
      before.c.map(({ walletId }) => [hex(walletId), 0]),
    )
  })
})
