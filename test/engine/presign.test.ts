import { describe, expect, test } from 'vitest'
import { mulBase, negatePoint } from '../../src/engine/curve/secp256k1.ts'
import { commitment, taggedHash } from '../../src/engine/hash/tagged-hash.ts'
import { concatBytes, u8 } from '../../src/engine/hash/encoding.ts'
import { nonceContext } from '../../src/engine/dkls23/contexts.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { Entropy } from '../../src/engine/dkls23/operation-generator.ts'
import { type PresignSlot, presignSlotOf, type SlotName } from '../../src/engine/dkls23/presign-plan.ts'
import {
  abandonPresign,
  advancePresignC,
  advancePresignS,
  finishPresignC,
  type PresignC3,
  type PresignS2,
  startPresignC,
  startPresignS,
  startSelfTestS,
} from '../../src/engine/dkls23/presign.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { oteMessageBytes, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { extendTranscript } from '../../src/engine/dkls23/transcript.ts'
import { scalarAdd, scalarMul } from '../../src/engine/kernel/scalar.ts'
import { fromLe, hexOf, MAX_256, mod, Q, toLe } from './bigint-reference.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { activate, LINK, makeMaterial, makeWallets } from './link-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

const material = makeMaterial('presign')
const wallets = { c: activate(makeWallets(5, 'presign').c), s: activate(makeWallets(5, 'presign').s) }
const HALF_SLOT = 40_000

const at = <T>(items: readonly T[], index: number): T => {
  const item = items[index]
  if (item === undefined) throw new Error(`no item ${index}`)
  return item
}

const slotOf = (side: 'c' | 's', record: WalletRecord): PresignSlot => {
  const slot = presignSlotOf(LINK, material[side], record)
  if (slot === undefined) throw new Error('the wallet may not presign')
  return slot
}

type Options = {
  readonly order?: readonly number[]
  readonly seed?: string
  readonly entropyC?: Entropy
  readonly resolve?: (name: SlotName) => PresignSlot | undefined
}

const known = (name: SlotName) =>
  wallets.s.map((record) => slotOf('s', record)).find((slot) => hexOf(slot.walletId) === hexOf(name.walletId))

/** P1 and P2 of honest sides. */
function begin({ order = [0, 1], seed = 'run', entropyC, resolve = known }: Options = {}) {
  const slots = order.map((w) => slotOf('c', at(wallets.c, w)))
  const entropy = entropyC ?? seededEntropy(`${seed}/C`)
  const c1 = startPresignC({ link: LINK, material: material.c, entropy, slots })
  const inputsS = { link: LINK, material: material.s, entropy: seededEntropy(`${seed}/S`), resolve }
  const s2 = startPresignS(inputsS, { sid: NO_SID, body: c1.body })
  return { order, c1, s2 }
}

/** …and P3. */
function untilP3(options: Options = {}) {
  const { order, c1, s2 } = begin(options)
  const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
  return { order, c1, s2, c3, extension: oteMessageBytes(order.length) }
}

/** …and P4. */
function untilP4(options: Options = {}) {
  const run = untilP3(options)
  return { ...run, s4: advancePresignS(run.s2.state, run.c3.body) }
}

function selfTestUntilP3() {
  const entropy = seededEntropy('self/C')
  const c1 = startPresignC({ link: LINK, material: material.c, entropy, slots: 'self-test' })
  const s2 = startSelfTestS({ link: LINK, material: material.s, entropy: seededEntropy('self/S') }, c1.body)
  const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
  return { s2, c3 }
}

const flip = (body: Uint8Array, byte: number): Uint8Array => {
  const out = body.slice()
  out[byte] = (out[byte] ?? 0) ^ 1
  return out
}

const replaced = (body: Uint8Array, offset: number, value: Uint8Array): Uint8Array => {
  const out = body.slice()
  out.set(value, offset)
  return out
}

/** S recomputes conf over a P4 that it changed: the check that remains is the one under test. */
function reconfirmed(state: PresignC3, half: Uint8Array): Uint8Array {
  const tr = extendTranscript(state.tr, ROLE_S, 0x13, half)
  return concatBytes(half, taggedHash('presign/conf', state.sid, u8(ROLE_S), tr))
}

const isWiped = (state: PresignS2 | PresignC3) =>
  Object.values(state.secrets).every((secret) => secret.every((byte) => byte === 0))

describe('an honest session', () => {
  test('over five wallets in eight slots: u_C+u_S = kφ, v_C+v_S = xφ, R = kG', () => {
    const order = [0, 1, 2, 3, 4, 0, 2, 2]
    const run = untilP3({ order, seed: 'honest' })
    const r = [run.c3.state.secrets.nonces.slice(), run.s2.state.secrets.nonces.slice()]
    const s4 = advancePresignS(run.s2.state, run.c3.body)
    const c = finishPresignC(run.c3.state, s4.body).presignatures
    const s = s4.presignatures
    expect([run.c1.body, run.s2.body, run.c3.body, s4.body].map((body) => body.length)).toEqual([
      66 + 20 * 8, 64 + run.extension, run.extension + 40_131 * 8 + 32, 40_131 * 8 + 64,
    ])
    order.forEach((w, b) => {
      const [own, peer] = [at(c, b), at(s, b)]
      const phi = scalarAdd(own.phi, peer.phi)
      const x = scalarAdd(at(wallets.c, w).share, at(wallets.s, w).share)
      const k = scalarAdd(...(r.map((all) => all.subarray(32 * b, 32 * b + 32)) as [Uint8Array, Uint8Array]))
      expect(hexOf(scalarAdd(own.u, peer.u))).toBe(hexOf(scalarMul(k, phi)))
      expect(hexOf(scalarAdd(own.v, peer.v))).toBe(hexOf(scalarMul(x, phi)))
      expect(hexOf(own.noncePoint)).toBe(hexOf(mulBase(k)))
      expect(hexOf(peer.noncePoint)).toBe(hexOf(own.noncePoint))
      expect(hexOf(own.walletId)).toBe(hexOf(at(wallets.c, w).walletId))
      expect(hexOf(own.presigId)).toBe(hexOf(peer.presigId))
      expect(own.lEpoch).toBe(material.c.lEpoch)
    })
    expect(isWiped(run.s2.state) && isWiped(run.c3.state)).toBe(true)
    expect(at(wallets.c, 0).share.some((byte) => byte !== 0)).toBe(true)
  })

  test('the largest session, and none above it', () => {
    const order = Array.from({ length: 64 }, (_, b) => b % 5)
    const run = untilP4({ order, seed: 'large' })
    expect(finishPresignC(run.c3.state, run.s4.body).presignatures.length).toBe(64)
    expect(() => begin({ order: [...order, 0] })).toThrow(RangeError)
    expect(() => begin({ order: [] })).toThrow(RangeError)
  })

  test('the self-test runs every check and gives nothing', () => {
    const { s2, c3 } = selfTestUntilP3()
    const s4 = advancePresignS(s2.state, c3.body)
    expect([c3.body.length, s4.body.length]).toEqual([52_500, 40_228])
    expect(s4.presignatures).toEqual([])
    expect(finishPresignC(c3.state, s4.body).presignatures).toEqual([])
  })
})

describe('secrets are drawn late', () => {
  test('a generator that replays meets another N_S with the same nonce and with no other repeat', () => {
    const runs = ['first', 'second'].map((seed) => untilP3({ seed, entropyC: seededEntropy('clone') }))
    const parts = runs.map(({ c1, c3, extension }) => {
      const tail = extension + 2 * HALF_SLOT
      return {
        p1: hexOf(c1.body),
        points: hexOf(c3.body.subarray(tail, tail + 66)),
        later: [0, 16, extension - 2000, extension, extension + 39_936, tail + 98, tail + 164, tail + 230].map(
          (offset) => hexOf(c3.body.subarray(offset, offset + 16)),
        ),
      }
    })
    const [a, b] = [at(parts, 0), at(parts, 1)]
    expect(a.p1).toBe(b.p1)
    expect(a.points).toBe(b.points)
    a.later.forEach((value, i) => expect(value).not.toBe(at(b.later, i)))
  })
})

describe('S on P1', () => {
  const inputsS = { link: LINK, material: material.s, entropy: seededEntropy('p1'), resolve: known }
  const { body } = startPresignC({
    link: LINK,
    material: material.c,
    entropy: seededEntropy('p1/C'),
    slots: [0, 1, 2].map((w) => slotOf('c', at(wallets.c, w))),
  })
  const start = (p1: Uint8Array, sid = NO_SID) => startPresignS(inputsS, { sid, body: p1 })

  test('class C: a sid, no slots, 65 slots, another length', () => {
    expectFault(() => start(body, new Uint8Array(32).fill(1)), { faultClass: 'C' })
    const count0 = concatBytes(body.subarray(0, 32), Uint8Array.of(0, 0), body.subarray(94))
    expectFault(() => start(count0), { faultClass: 'C' })
    const count65 = concatBytes(body.subarray(0, 32), Uint8Array.of(65, 0), new Uint8Array(65 * 20 + 32))
    expectFault(() => start(count65), { faultClass: 'C' })
    expectFault(() => start(replaced(body, 32, Uint8Array.of(2, 0))), { faultClass: 'C' })
    for (const bad of [body.subarray(1), concatBytes(body, u8(0)), new Uint8Array(0)]) {
      expectFault(() => start(bad), { faultClass: 'C' })
    }
  })

  test('class A names every refused slot: unknown wallet, another epoch, the null slot', () => {
    const unknown = replaced(body, 34, new Uint8Array(16).fill(0xee))
    const both = replaced(unknown, 34 + 40 + 16, Uint8Array.of(9, 0, 0, 0))
    const fault = faultOf(() => start(both))
    expect([fault.faultClass, fault.codeName, hexOf(fault.detail)]).toEqual(['A', 'plan_refused', '020000000200'])
    expectFault(() => start(replaced(body, 34, new Uint8Array(20))), { faultClass: 'A', code: 'plan_refused' })
  })

  test('a wallet that is not ACTIVE, of another link or role, or younger than the material has no slot', () => {
    const record = at(wallets.s, 0)
    const slot = (change: Partial<WalletRecord>) => presignSlotOf(LINK, material.s, { ...record, ...change })
    expect(slot({})).toBeDefined()
    for (const state of ['PENDING', 'FORKED', 'IMPORTED', 'SUSPENDED', 'REVOKED', 'FROZEN'] as const) {
      expect(slot({ state })).toBeUndefined()
    }
    expect(slot({ minLinkEpoch: material.s.lEpoch + 1 })).toBeUndefined()
    expect(slot({ linkId: new Uint8Array(16) })).toBeUndefined()
    expect(slot({ alg: 2 })).toBeUndefined()
    expect(slot({ role: ROLE_C })).toBeUndefined()
  })

  test('an own share that does not prove its point is class B and quarantines the wallet', () => {
    const resolve = (name: SlotName) => {
      const slot = known(name)
      return slot === undefined ? undefined : { ...slot, share: scalarAdd(slot.share, toLe(1n)) }
    }
    expectFault(() => begin({ resolve }), { faultClass: 'B', consequence: 'quarantine-wallet' })
  })

  test('the self-test plan is the null slot alone', () => {
    const inputs = { link: LINK, material: material.s, entropy: seededEntropy('null') }
    expectFault(() => startSelfTestS(inputs, body), { faultClass: 'C' })
  })
})

describe('C on P2', () => {
  test('class A: different pinned points give different sids before any check', () => {
    const other = mulBase(toLe(77n))
    const resolve = (name: SlotName) => {
      const slot = known(name)
      const wctx = taggedHash('wctx', other)
      return slot === undefined ? undefined : { ...slot, pointC: other, wctx }
    }
    const { c1, s2 } = begin({ resolve })
    const take = () => advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
    expectFault(take, { faultClass: 'A', code: 'session' })
  })

  test('class A: another N_S under the old sid; class C: length; and the session is over', () => {
    const run = begin()
    const take = (body: Uint8Array) => () => advancePresignC(run.c1.state, { sid: run.s2.sid, body })
    expectFault(take(flip(run.s2.body, 0)), { faultClass: 'A' })
    expectFault(take(run.s2.body), { faultClass: 'A' })
    for (const change of [(b: Uint8Array) => b.subarray(1), (b: Uint8Array) => concatBytes(b, u8(0))]) {
      const again = begin()
      const message = { sid: again.s2.sid, body: change(again.s2.body) }
      expectFault(() => advancePresignC(again.c1.state, message), { faultClass: 'C' })
    }
  })

  test.each([64, 5000, 14_000, 16_000])('class D: byte %i of the OT extension', (byte) => {
    const { c1, s2 } = begin()
    expectFault(() => advancePresignC(c1.state, { sid: s2.sid, body: flip(s2.body, byte) }), {
      faultClass: 'D',
      code: 'link_burned',
      consequence: 'burn-link',
    })
  })
})

describe('S on P3', () => {
  const offsets = (extension: number) => {
    const points = extension + 2 * HALF_SLOT
    return { points, salt: points + 66, gammaU: points + 98, gammaV: points + 164, psi: points + 230 }
  }

  test('class C over the whole message: lengths, scalars, points, opening', () => {
    const { extension, c3 } = untilP3()
    const field = offsets(extension)
    const secondR = c3.body.slice(field.points + 33, field.points + 66)
    const bad: [string, Uint8Array][] = [
      ['short', c3.body.subarray(1)],
      ['long', concatBytes(c3.body, u8(0))],
      ['empty', new Uint8Array(0)],
      ['R of the other slot', replaced(c3.body, field.points, secondR)],
      ['R negated', replaced(c3.body, field.points, negatePoint(c3.body.slice(field.points, field.points + 33)))],
      ['salt', flip(c3.body, field.salt)],
    ]
    for (const value of [Q, Q + 1n, MAX_256]) {
      bad.push(['ã', replaced(c3.body, extension, toLe(value))])
      bad.push(['η of slot 1', replaced(c3.body, extension + HALF_SLOT + 39_936, toLe(value))])
      bad.push(['ψ of slot 1', replaced(c3.body, field.psi + 32, toLe(value))])
    }
    for (const prefix of [0, 4, 6, 7]) bad.push(['prefix', replaced(c3.body, field.gammaV + 33, u8(prefix))])
    bad.push(['x ≥ p', replaced(c3.body, field.gammaU + 1, new Uint8Array(32).fill(255))])
    for (const [name, body] of bad) {
      const { s2 } = untilP3()
      const fault = faultOf(() => advancePresignS(s2.state, body))
      expect(fault.faultClass, name).toBe('C')
      expect(isWiped(s2.state)).toBe(true)
    }
  })

  test('class C goes before class D: a cheating U with a bad scalar never reaches the check', () => {
    for (let i = 0; i < 8; i++) {
      const { s2, c3, extension } = untilP3()
      const cheating = flip(c3.body, 112 * i)
      const malformed = replaced(cheating, extension + 39_936, toLe(Q))
      expectFault(() => advancePresignS(s2.state, malformed), { faultClass: 'C' })
    }
  })

  test('class D: OT extension, μ, and the relations of u and v, all with one face', () => {
    const { extension } = untilP3()
    const field = offsets(extension)
    const faults = [
      (body: Uint8Array) => flip(body, 100),
      (body: Uint8Array) => flip(body, extension - 1),
      (body: Uint8Array) => flip(body, extension),
      (body: Uint8Array) => flip(body, extension + HALF_SLOT - 1),
      (body: Uint8Array) => replaced(body, field.gammaU, mulBase(toLe(5n))),
      (body: Uint8Array) => replaced(body, field.gammaV + 33, mulBase(toLe(5n))),
    ].map((change) => {
      const run = untilP3()
      const fault = faultOf(() => advancePresignS(run.s2.state, change(run.c3.body)))
      expect(isWiped(run.s2.state)).toBe(true)
      return [fault.faultClass, fault.codeName, fault.consequence, fault.message, hexOf(fault.detail)].join('|')
    })
    const face = 'D|link_burned|burn-link|protocol fault, class D: cheating evidence|'
    expect(new Set(faults)).toEqual(new Set([face]))
  })

  test('class D: one slot of five wallets multiplied with another input, nonce or share', () => {
    for (const field of ['nonces', 'shares'] as const) {
      const { c1, s2 } = begin({ order: [0, 1, 2, 3, 4] })
      const input = c1.state.secrets[field].subarray(32 * 3, 32 * 4)
      input.set(scalarAdd(input, toLe(1n)))
      const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
      expectFault(() => advancePresignS(s2.state, c3.body), { faultClass: 'D' })
    }
  })

  test('class D: the share of another wallet of the link', () => {
    const { c1, s2 } = begin({ order: [0, 1] })
    c1.state.secrets.shares.copyWithin(0, 32, 64)
    const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
    expectFault(() => advancePresignS(s2.state, c3.body), { faultClass: 'D' })
  })

  test('class D whatever is thrown inside a check', () => {
    const { s2, c3 } = untilP3()
    s2.state.secrets.rows = new Uint8Array(1)
    expectFault(() => advancePresignS(s2.state, c3.body), { faultClass: 'D' })
  })

  test('class B: R_C = −R_S, made by a C that learned R_S', () => {
    const { c1, s2 } = begin({ order: [0] })
    const negated = toLe(Q - fromLe(s2.state.secrets.nonces))
    c1.state.secrets.nonces.set(negated)
    const points = mulBase(negated)
    c1.state.opening.points.set(points)
    const context = nonceContext(material.c.lctx, c1.state.nonceC, c1.state.plan)
    // The sid was made with the honest commitment; only the opening is compared with this one.
    s2.state.comC.set(commitment('R', ROLE_C, context, points, c1.state.secrets.salt))
    const c3 = advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
    expectFault(() => advancePresignS(s2.state, c3.body), { faultClass: 'B' })
  })

  test('P3 is answered once', () => {
    const { s2, c3 } = untilP3()
    advancePresignS(s2.state, c3.body)
    expectFault(() => advancePresignS(s2.state, c3.body), { faultClass: 'A', code: 'session' })
  })

  test('the opened Z of a self-test is committed', () => {
    const { s2, c3 } = selfTestUntilP3()
    const z = oteMessageBytes(1) + HALF_SLOT + 33
    expectFault(() => advancePresignS(s2.state, replaced(c3.body, z, mulBase(toLe(5n)))), { faultClass: 'C' })
  })
})

describe('C on P4', () => {
  test('class C: lengths, scalars, points, opening, conf', () => {
    const run = untilP4()
    const tail = 2 * HALF_SLOT
    const { body } = run.s4
    const half = body.subarray(0, -32)
    const changes: [string, Uint8Array, boolean][] = [
      ['short', body.subarray(1), false],
      ['long', concatBytes(body, u8(0)), false],
      ['conf', flip(body, body.length - 1), false],
      ['any byte without a new conf', flip(body, 39_000), false],
      ['ã', replaced(half, 0, toLe(MAX_256)), true],
      ['ψ', replaced(half, tail + 230, toLe(Q)), true],
      ['Γ', replaced(half, tail + 98, u8(5)), true],
      ['R', replaced(half, tail, mulBase(toLe(5n))), true],
      ['salt', flip(half, tail + 66), true],
    ]
    for (const [name, changed, confirm] of changes) {
      const { c3 } = untilP4()
      const p4 = confirm ? reconfirmed(c3.state, changed) : changed
      expect(faultOf(() => finishPresignC(c3.state, p4)).faultClass, name).toBe('C')
      expect(isWiped(c3.state)).toBe(true)
    }
  })

  test('class D under a right conf: ã, η, μ, Γ^u, Γ^v', () => {
    const tail = 2 * HALF_SLOT
    const half = untilP4().s4.body.subarray(0, -32)
    for (const changed of [
      flip(half, 0),
      flip(half, 39_936),
      flip(half, HALF_SLOT + 39_999),
      replaced(half, tail + 98 + 33, mulBase(toLe(5n))),
      replaced(half, tail + 164, mulBase(toLe(5n))),
    ]) {
      const { c3 } = untilP4()
      expectFault(() => finishPresignC(c3.state, reconfirmed(c3.state, changed)), { faultClass: 'D' })
    }
  })

  test('another ψ is another φ of S and no fault', () => {
    const { c3, s4 } = untilP4()
    const offset = 2 * HALF_SLOT + 230
    const psi = s4.body.subarray(offset, offset + 32)
    const half = replaced(s4.body.subarray(0, -32), offset, scalarAdd(psi, toLe(1n)))
    const { presignatures } = finishPresignC(c3.state, reconfirmed(c3.state, half))
    const [own, peer] = [at(presignatures, 0), at(s4.presignatures, 0)]
    const phi = fromLe(own.phi) + fromLe(peer.phi) + 1n
    const x = fromLe(at(wallets.c, 0).share) + fromLe(at(wallets.s, 0).share)
    const extra = fromLe(at(wallets.s, 0).share)
    expect(mod(fromLe(own.v) + fromLe(peer.v) + extra)).toBe(mod(x * phi))
  })

  test('P4 of another session', () => {
    const [a, b] = [untilP4({ seed: 'a' }), untilP4({ seed: 'b' })]
    expectFault(() => finishPresignC(a.c3.state, b.s4.body), { faultClass: 'C' })
  })
})

test('an abandoned session keeps nothing and answers nothing', () => {
  const { c1, s2 } = begin()
  abandonPresign(s2.state)
  abandonPresign(s2.state)
  abandonPresign(c1.state)
  expect(isWiped(s2.state)).toBe(true)
  const take = () => advancePresignC(c1.state, { sid: s2.sid, body: s2.body })
  expectFault(take, { faultClass: 'A', code: 'session' })
})
