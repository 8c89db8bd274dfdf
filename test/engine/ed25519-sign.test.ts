/**
 * The Ed25519 presign session and online signature: T33 where it reaches them, wrong shares, disagreements,
 * damage.
 */
import { createPublicKey, verify } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { mulBase, scalarAdd, scalarMul } from '../../src/engine/curve/ed25519.ts'
import type { ProtocolFault } from '../../src/engine/dkls23/fault.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { SlotName } from '../../src/engine/dkls23/presign-plan.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { concatBytes, readU16 } from '../../src/engine/hash/encoding.ts'
import {
  abandonEdPresign,
  answerEdPresign,
  edSlotOf,
  finishEdPresignC,
  startEdPresignC,
} from '../../src/engine/frost/presign.ts'
import { assertBelongs } from '../../src/engine/dkls23/presignature.ts'
import { type EdPresignature, wipeEdPresignature } from '../../src/engine/frost/presignature.ts'
import {
  agreeOnEdSigning,
  answerEdSign,
  assertEdRequestScalar,
  edSignatureShare,
  edSigningContext,
  finishEdSign,
  startEdSign,
} from '../../src/engine/frost/sign.ts'
import { decodeEdSignRequest, edMessageHash, edSignRequestKey } from '../../src/engine/frost/sign-messages.ts'
import {
  BAD_POINTS,
  bytesOf,
  clonePresignature,
  edSlot,
  encodeNumber,
  first,
  L,
  L_EPOCH,
  makeEdPresignatures,
  makeEdWallets,
  numberOf,
  scalarOf,
} from './ed-fixtures.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { hex, LINK, makeWallets } from './link-fixtures.ts'
import { type Field, mutationsOf } from './mutations.ts'
import { seededEntropy } from './seeded-entropy.ts'

const WALLETS = makeEdWallets(3, 'ed sign')
const [C, S] = [first(WALLETS.c), first(WALLETS.s)]
const ONE = { c: [C], s: [S] }
const PAYLOAD = Buffer.from('a typed payload')
const MESSAGE = Buffer.from('the message that the payload says')
const REQ_ID = new Uint8Array(16).fill(3)
const STRIKE = { faultClass: 'C', code: 'protocol', consequence: 'strike' } as const
const SUSPEND = { faultClass: 'C', code: 'protocol', consequence: 'suspend-wallet' } as const

const patch = (offset: number, bytes: Uint8Array) => (body: Uint8Array) => {
  const out = body.slice()
  out.set(bytes, offset)
  return out
}
const isWiped = ({ spent, hidingNonce, bindingNonce }: EdPresignature) =>
  spent && [...hidingNonce, ...bindingNonce].every((byte) => byte === 0)

/** S's payload reader: what it derives m from. */
const readPayload = (payload: Uint8Array) =>
  hex(payload) === hex(PAYLOAD) ? MESSAGE : Buffer.from('another message')

/** S's part in the order of the protocol, over a map of one presignature. */
function answer(body: Uint8Array, presignature: EdPresignature, wallet = S) {
  const request = decodeEdSignRequest(body, LINK.linkId)
  const taken = hex(request.presigId) === hex(presignature.presigId) ? presignature : undefined
  assertEdRequestScalar(request)
  assertBelongs(taken, request.linkId, request.walletId, request.wEpoch)
  const context = agreeOnEdSigning({ link: LINK, wallet, message: readPayload(request.payload) }, request, taken)
  return answerEdSign(context, request, taken, wallet.share)
}

const inputsC = { link: LINK, wallet: C, share: C.share, message: MESSAGE, reqId: REQ_ID, payload: PAYLOAD }

type Bend = (body: Uint8Array) => Uint8Array
type Tamper = { readonly request?: Bend; readonly response?: Bend }

function sign(presigned: { c: readonly EdPresignature[]; s: readonly EdPresignature[] }, tamper: Tamper = {}) {
  const [forC, forS] = [first(presigned.c), first(presigned.s)]
  const { state, body } = startEdSign(inputsC, forC)
  const answered = answer(tamper.request?.(body) ?? body, forS)
  return finishEdSign(state, tamper.response?.(answered.body) ?? answered.body)
}

function verifiesInNode(signature: Uint8Array, message: Uint8Array, publicKey: Uint8Array): boolean {
  const spki = Buffer.concat([Buffer.from('302a300506032b6570032100', 'hex'), publicKey])
  return verify(null, message, createPublicKey({ key: spki, format: 'der', type: 'spki' }), signature)
}

describe('signing', () => {
  test('200 signatures over four sessions of three wallets verify with node:crypto', () => {
    let verified = 0
    for (let session = 0; session < 4; session++) {
      const order = Array.from({ length: 50 }, (_, i) => i % 3)
      const pick = (records: typeof WALLETS.c) => order.map((i) => records[i] ?? first(records))
      const [slotsC, slotsS] = [pick(WALLETS.c), pick(WALLETS.s)]
      const presigned = makeEdPresignatures({ c: slotsC, s: slotsS }, `200/${session}`)
      expect(new Set(presigned.c.map(({ presigId }) => hex(presigId))).size).toBe(50)
      for (const [i, forC] of presigned.c.entries()) {
        const [wallet, mine, forS] = [slotsC[i] ?? C, slotsS[i] ?? S, presigned.s[i] ?? first(presigned.s)]
        const message = Buffer.from(`${session}/${i}`.repeat(i))
        const { state, body } = startEdSign({ ...inputsC, wallet, share: wallet.share, message }, forC)
        const request = decodeEdSignRequest(body, LINK.linkId)
        const context = agreeOnEdSigning({ link: LINK, wallet: mine, message }, request, forS)
        const answered = answerEdSign(context, request, forS, mine.share)
        const signature = finishEdSign(state, answered.body)
        expect(hex(signature)).toBe(hex(answered.signature))
        if (verifiesInNode(signature, message, wallet.publicKey)) verified += 1
        expect(isWiped(forC) && isWiped(forS)).toBe(true)
      }
    }
    expect(verified).toBe(200)
  })

  test('0x22 and 0x23 have the bytes of the layout', () => {
    const presigned = makeEdPresignatures(ONE, 'layout')
    const [forC, forS] = [first(presigned.c), first(presigned.s)]
    const nonces = { d: forC.hidingNonce.slice(), e: forC.bindingNonce.slice() }
    const { body } = startEdSign(inputsC, forC)
    const context = edSigningContext(inputsC, forS)
    const z = scalarOf(
      numberOf(nonces.d) +
        numberOf(context.factors.c) * numberOf(nonces.e) +
        numberOf(context.challenge) * numberOf(C.share),
    )
    const expected = concatBytes(
      LINK.linkId, C.walletId, new Uint8Array(4), forS.presigId, REQ_ID, edMessageHash(MESSAGE), z,
      Uint8Array.of(PAYLOAD.length, 0, 0, 0), PAYLOAD,
    )
    expect(hex(body)).toBe(hex(expected))
    const answered = answer(body, forS)
    expect(hex(answered.body)).toBe(hex(concatBytes(REQ_ID, context.noncePoint, answered.signature.subarray(32))))
    expect(answered.body.length).toBe(80)
  })

  const requestFields: Field[] = [
    { name: 'linkId', length: 16 }, { name: 'walletId', length: 16 }, { name: 'wEpoch', length: 4 },
    { name: 'presigId', length: 16 }, { name: 'reqId', length: 16 }, { name: 'ed/msg', length: 32 },
    { name: 'z_C', length: 32 }, { name: 'payloadLen', length: 4 }, { name: 'payload', length: PAYLOAD.length },
  ]
  const expectedFault: Record<string, readonly [string, string]> = {
    linkId: ['C', 'strike'], walletId: ['A', 'none'], wEpoch: ['A', 'none'], presigId: ['A', 'none'],
    reqId: ['A', 'none'], 'ed/msg': ['A', 'none'], payloadLen: ['C', 'strike'], payload: ['A', 'none'],
  }

  test('no damage to 0x22 gives a signature', () => {
    let honest = new Uint8Array(0)
    sign(makeEdPresignatures(ONE, 'mutate 22'), { request: (body) => (honest = body.slice()) })
    for (const mutation of mutationsOf(honest, requestFields)) {
      const presigned = makeEdPresignatures(ONE, 'mutate 22')
      const fault = faultOf(() => sign(presigned, { request: () => mutation.body }))
      const field = mutation.name.split(':')[0] ?? ''
      if (mutation.body.length !== honest.length) expect(fault.consequence).toBe('strike')
      else if (field === 'z_C') expect(fault.faultClass).toBe('C')
      else expect([fault.faultClass, fault.consequence], mutation.name).toEqual(expectedFault[field])
    }
  })

  test('no damage to 0x23 is taken for a signature', () => {
    let honest = new Uint8Array(0)
    sign(makeEdPresignatures(ONE, 'mutate 23'), { response: (body) => (honest = body.slice()) })
    const fields = [{ name: 'reqId', length: 16 }, { name: 'R', length: 32 }, { name: 'z', length: 32 }]
    for (const mutation of mutationsOf(honest, fields)) {
      const fault = faultOf(() => sign(makeEdPresignatures(ONE, 'mutate 23'), { response: () => mutation.body }))
      if (mutation.body.length !== honest.length) expect(fault.consequence).toBe('strike')
      else if (mutation.name.startsWith('reqId')) expect(fault.faultClass).toBe('A')
      else expect([fault.faultClass, fault.consequence], mutation.name).toEqual(['C', 'suspend-wallet'])
    }
    const high = (body: Uint8Array) => patch(48, encodeNumber(numberOf(body.slice(48)) + L))(body)
    expectFault(() => sign(makeEdPresignatures(ONE, 'high'), { response: high }), SUSPEND)
  })

  test('disagreement is benign: a payload that S reads otherwise', () => {
    const presigned = makeEdPresignatures(ONE, 'disagree')
    const request = { ...inputsC, payload: Buffer.from('a typed payl0ad') }
    const { body } = startEdSign(request, first(presigned.c))
    const disagreement = { faultClass: 'A', code: 'disagreement', consequence: 'none' } as const
    expectFault(() => answer(body, first(presigned.s)), disagreement)
  })

  test('a presignature of another wallet, epoch or session is unknown', () => {
    const unknown = { faultClass: 'A', code: 'unknown_presig' } as const
    const [otherC, otherS] = [WALLETS.c[1] ?? C, WALLETS.s[1] ?? S]
    const presigned = makeEdPresignatures({ c: [otherC], s: [otherS] }, 'others')
    const theirs = first(presigned.c)
    expectFault(() => startEdSign(inputsC, theirs), unknown)
    expect(isWiped(theirs)).toBe(true)
    const { body } = startEdSign(inputsC, first(makeEdPresignatures(ONE, 'own').c))
    expectFault(() => answer(body, first(presigned.s)), unknown)
    const later = { ...inputsC, wallet: { ...C, wEpoch: 1 } }
    expectFault(() => startEdSign(later, first(makeEdPresignatures(ONE, 'epoch').c)), unknown)
  })

  test('a wallet of secp256k1 is not signed with', () => {
    const wallet = { ...first(makeWallets(1).c) }
    const { commitments } = first(makeEdPresignatures(ONE, 'alg').c)
    expect(() => edSigningContext({ link: LINK, wallet, message: MESSAGE }, { commitments })).toThrow(RangeError)
  })

  test('the request key of a retry', () => {
    const { body } = startEdSign(inputsC, first(makeEdPresignatures(ONE, 'key').c))
    const request = decodeEdSignRequest(body, LINK.linkId)
    const base = hex(edSignRequestKey(request))
    const changed = [
      { walletId: new Uint8Array(16) }, { wEpoch: 1 }, { messageHash: new Uint8Array(32) }, { payload: MESSAGE },
    ].map((change) => hex(edSignRequestKey({ ...request, ...change })))
    expect(new Set([base, ...changed]).size).toBe(5)
    const [presigId, share, reqId] = [new Uint8Array(16), new Uint8Array(32), new Uint8Array(16)]
    const retry = { ...request, presigId, share, reqId }
    expect(hex(edSignRequestKey(retry))).toBe(base)
  })
})

describe('T33: a wrong z_C', () => {
  /** Gives S a z_C made by `forge` and returns the fault; nothing of S's answer is left anywhere. */
  function forged(seed: string, forge: (z: Uint8Array, forC: EdPresignature) => Uint8Array): ProtocolFault {
    const presigned = makeEdPresignatures(ONE, seed)
    const [forC, forS] = [first(presigned.c), first(presigned.s)]
    const kept = clonePresignature(forC)
    const { body } = startEdSign(inputsC, forC)
    const bad = patch(100, forge(body.slice(100, 132), kept))(body)
    const fault = faultOf(() => answer(bad, forS))
    // An engine step that refuses z_C for its encoding has not begun; the party wipes what it took.
    if (fault.consequence === 'suspend-wallet') expect(isWiped(forS)).toBe(true)
    return fault
  }

  test.each<readonly [string, (z: Uint8Array, forC: EdPresignature) => Uint8Array]>([
    ['one more', (z) => scalarAdd(z, scalarOf(1n))],
    ['zero', () => new Uint8Array(32)],
    ['negated', (z) => scalarOf(-numberOf(z))],
    ['random', () => scalarOf(123456789n ** 7n)],
  ])('%s suspends the wallet, without a strike', (name, forge) => {
    const fault = forged(`wrong ${name}`, forge)
    expect([fault.faultClass, fault.codeName, fault.consequence]).toEqual(['C', 'protocol', 'suspend-wallet'])
  })

  test('S ≥ L is a violation with a strike', () => {
    for (const add of [L, 2n * L, 8n * L]) {
      const fault = forged('high', (z) => encodeNumber(numberOf(z) + add))
      expect([fault.faultClass, fault.consequence]).toEqual(['C', 'strike'])
    }
    expect(forged('L', () => encodeNumber(L)).consequence).toBe('strike')
    expect(forged('max', () => new Uint8Array(32).fill(0xff)).consequence).toBe('strike')
  })

  test('nothing is released and S keeps no nonce', () => {
    const presigned = makeEdPresignatures(ONE, 'released')
    const forS = first(presigned.s)
    const { body } = startEdSign(inputsC, first(presigned.c))
    expectFault(() => answer(patch(100, scalarOf(5n))(body), forS), SUSPEND)
    expect(isWiped(forS)).toBe(true)
    // The honest request comes too late.
    expectFault(() => answer(body, forS), { faultClass: 'A', code: 'unknown_presig' })
  })

  test('a list in another order, swapped nonces, one nonce alone', () => {
    const share = (forC: EdPresignature, commitments: EdPresignature['commitments']) =>
      edSignatureShare(edSigningContext(inputsC, { commitments }), ROLE_C, clonePresignature(forC), C.share)
    const attempts: readonly ((z: Uint8Array, forC: EdPresignature) => Uint8Array)[] = [
      (_, one) => share(one, { c: one.commitments.s, s: one.commitments.c }),
      (_, one) => share({ ...one, hidingNonce: one.bindingNonce, bindingNonce: one.hidingNonce }, one.commitments),
      // Single-nonce Schnorr, the structure of ROS: z = d + c·x, with no binding factor.
      (_, one) => {
        const { challenge } = edSigningContext(inputsC, one)
        return scalarAdd(one.hidingNonce, scalarMul(challenge, C.share))
      },
      // The same over R = D_C + D_S, which no side ever uses.
      (_, one) => {
        const zero = { c: scalarOf(0n), s: scalarOf(0n) }
        const { challenge } = edSigningContext(inputsC, one)
        return edSignatureShare({ factors: zero, challenge }, ROLE_C, clonePresignature(one), C.share)
      },
      // Factors of another message.
      (_, one) => {
        const { challenge } = edSigningContext(inputsC, one)
        const { factors } = edSigningContext({ ...inputsC, message: Buffer.from('other') }, one)
        return edSignatureShare({ factors, challenge }, ROLE_C, clonePresignature(one), C.share)
      },
    ]
    for (const [i, attempt] of attempts.entries()) {
      const fault = forged(`structure ${i}`, attempt)
      expect([fault.faultClass, fault.consequence]).toEqual(['C', 'suspend-wallet'])
    }
    // The nonce of every signature moves with the message: no R is fixed before m is known.
    const { commitments } = first(makeEdPresignatures(ONE, 'ros').c)
    const points = ['a', 'b', 'c'].map((text) =>
      hex(edSigningContext({ ...inputsC, message: Buffer.from(text) }, { commitments }).noncePoint),
    )
    expect(new Set(points).size).toBe(3)
  })

  test("a wrong share of S's own never leaves", () => {
    const presigned = makeEdPresignatures(ONE, 'own')
    const { body } = startEdSign(inputsC, first(presigned.c))
    expectFault(() => answer(body, first(presigned.s), { ...S, share: scalarOf(1n) }), SUSPEND)
  })
})

describe('single use', () => {
  test('a presignature signs once; used, wiped or shallowly copied it gives nothing', () => {
    const unknown = { faultClass: 'A', code: 'unknown_presig' } as const
    const [used, wiped] = [first(makeEdPresignatures(ONE, 'once').c), first(makeEdPresignatures(ONE, 'wiped').c)]
    const copy = { ...used }
    startEdSign(inputsC, used)
    expectFault(() => startEdSign(inputsC, used), unknown)
    // Nonces of zero would give z = c·x.
    expect(copy.spent).toBe(false)
    expectFault(() => startEdSign(inputsC, copy), unknown)
    wipeEdPresignature(wiped)
    expectFault(() => startEdSign(inputsC, wiped), unknown)
    const half = { ...first(makeEdPresignatures(ONE, 'half').c), bindingNonce: new Uint8Array(32) }
    expectFault(() => startEdSign(inputsC, half), unknown)
  })

  test('why a cloned presignature must never be used: two messages give the key share', () => {
    const forC = first(makeEdPresignatures(ONE, 'cloned').c)
    const clones = [forC, clonePresignature(forC), clonePresignature(forC)]
    const rows = clones.map((clone, i) => {
      const context = edSigningContext({ ...inputsC, message: Buffer.from(`${i}`) }, forC)
      const z = edSignatureShare(context, ROLE_C, clone, C.share)
      return [1n, numberOf(context.factors.c), numberOf(context.challenge), numberOf(z)] as const
    })
    const [a, b, c] = rows as [(typeof rows)[0], (typeof rows)[0], (typeof rows)[0]]
    const mod = (value: bigint) => ((value % L) + L) % L
    const inverse = (value: bigint) => numberOf(scalarOf(power(mod(value), L - 2n)))
    const reduce = (row: typeof a) => [mod(row[1] - a[1]), mod(row[2] - a[2]), mod(row[3] - a[3])] as const
    const [p, q] = [reduce(b), reduce(c)]
    const x = mod(mod(p[2] * q[0] - q[2] * p[0]) * inverse(p[1] * q[0] - q[1] * p[0]))
    expect(hex(mulBase(scalarOf(x)))).toBe(hex(C.pointC))
  })

  test('an answer is taken once', () => {
    const presigned = makeEdPresignatures(ONE, 'answer once')
    const { state, body } = startEdSign(inputsC, first(presigned.c))
    const answered = answer(body, first(presigned.s))
    finishEdSign(state, answered.body)
    expectFault(() => finishEdSign(state, answered.body), { faultClass: 'A', code: 'session' })
  })
})

describe('presign session', () => {
  const pairs: Field[] = [{ name: 'D', length: 32 }, { name: 'E', length: 32 }]
  const names: Field[] = [{ name: 'walletId', length: 16 }, { name: 'wEpoch', length: 4 }]
  const layout: Record<'E1' | 'E2', Field[]> = {
    E1: [{ name: 'N_C', length: 32 }, { name: 'B', length: 2 }, ...names, ...names, ...pairs, ...pairs],
    E2: [{ name: 'N_S', length: 32 }, ...pairs, ...pairs, { name: 'conf', length: 32 }],
  }
  const TWO = { c: WALLETS.c.slice(0, 2), s: WALLETS.s.slice(0, 2) }

  test.each(['E1', 'E2'] as const)('no damage to %s completes a session', (name) => {
    let honest = new Uint8Array(0)
    makeEdPresignatures(TWO, 'mutate', { [name]: (body: Uint8Array) => (honest = body.slice()) })
    for (const mutation of mutationsOf(honest, layout[name])) {
      const fault = faultOf(() => makeEdPresignatures(TWO, 'mutate', { [name]: () => mutation.body }))
      expect(['A', 'C'], `${name} ${mutation.name}`).toContain(fault.faultClass)
      if (mutation.body.length !== honest.length) expect(fault.faultClass).toBe('C')
    }
  })

  test.each(BAD_POINTS)('T33: %s is refused for D and E of either side', (_, point) => {
    for (const at of [74, 106, 138, 170]) {
      expectFault(() => makeEdPresignatures(TWO, 'bad', { E1: patch(at, point) }), STRIKE)
    }
    for (const at of [32, 64, 96, 128]) {
      expectFault(() => makeEdPresignatures(TWO, 'bad', { E2: patch(at, point) }), STRIKE)
    }
  })

  test('T33: a nonce pair that comes twice, or comes back, is refused', () => {
    let [e1, e2] = [new Uint8Array(0), new Uint8Array(0)]
    makeEdPresignatures(TWO, 'reuse', { E1: (body) => (e1 = body.slice()), E2: (body) => (e2 = body.slice()) })
    const again = (from: Uint8Array, at: number, to: number, length: number) =>
      patch(to, from.slice(at, at + length))
    expectFault(() => makeEdPresignatures(TWO, 'reuse', { E1: again(e1, 74, 138, 64) }), STRIKE)
    expectFault(() => makeEdPresignatures(TWO, 'reuse', { E1: again(e1, 74, 106, 32) }), STRIKE)
    expectFault(() => makeEdPresignatures(TWO, 'reuse', { E2: again(e2, 32, 96, 64) }), STRIKE)
    expectFault(() => makeEdPresignatures(TWO, 'reuse', { E2: again(e1, 74, 32, 64) }), STRIKE)
    expectFault(() => makeEdPresignatures(TWO, 'reuse', { E2: again(e1, 138, 32, 32) }), STRIKE)
  })

  test('B of 0 and 65, and a sid in the first message', () => {
    for (const count of [0, 65]) {
      expectFault(() => makeEdPresignatures(ONE, 'B', { E1: patch(32, Uint8Array.of(count, 0)) }), STRIKE)
    }
    const long = new Uint8Array(34 + 84 * 65)
    long[32] = 65
    expectFault(() => makeEdPresignatures(ONE, 'B', { E1: () => long }), STRIKE)
    const inputs = { link: LINK, entropy: seededEntropy('sid'), lEpoch: L_EPOCH }
    const { body } = startEdPresignC(inputs, [edSlot(ROLE_C, C)])
    const message = { sid: new Uint8Array(32).fill(1), body }
    expectFault(() => answerEdPresign({ ...inputs, resolve: () => edSlot(ROLE_S, S) }, message), STRIKE)
    expect(() => startEdPresignC(inputs, [])).toThrow(RangeError)
    expect(() => startEdPresignC(inputs, Array.from({ length: 65 }, () => edSlot(ROLE_C, C)))).toThrow(RangeError)
  })

  test('64 slots of one wallet', () => {
    const many = { c: Array.from({ length: 64 }, () => C), s: Array.from({ length: 64 }, () => S) }
    const presigned = makeEdPresignatures(many, '64')
    expect(presigned.c.length).toBe(64)
    expect(new Set(presigned.s.map(({ hidingNonce }) => hex(hidingNonce))).size).toBe(64)
  })

  test('refuses every slot that is not an ACTIVE Ed25519 wallet of the link, by number', () => {
    const secp = { ...first(makeWallets(1).s), state: 'ACTIVE' as const }
    expect(edSlotOf(LINK, ROLE_S, L_EPOCH, secp)).toBeUndefined()
    expect(edSlotOf(LINK, ROLE_C, L_EPOCH, S)).toBeUndefined()
    expect(edSlotOf({ ...LINK, linkId: new Uint8Array(16) }, ROLE_S, L_EPOCH, S)).toBeUndefined()
    expect(edSlotOf(LINK, ROLE_S, L_EPOCH - 1, S)).toBeUndefined()
    for (const state of ['PENDING', 'SUSPENDED', 'FROZEN', 'REVOKED', 'FORKED'] as const) {
      expect(edSlotOf(LINK, ROLE_S, L_EPOCH, { ...S, state })).toBeUndefined()
    }
    const inputs = { link: LINK, entropy: seededEntropy('plan'), lEpoch: L_EPOCH }
    const { body } = startEdPresignC(inputs, WALLETS.c.map((record) => edSlot(ROLE_C, record)))
    const known = WALLETS.s.slice(1, 2).map((record) => edSlot(ROLE_S, record))
    const resolve = (name: SlotName) => known.find((slot) => hex(slot.walletId) === hex(name.walletId))
    const fault = faultOf(() => answerEdPresign({ ...inputs, resolve }, { sid: NO_SID, body }))
    expect([fault.faultClass, fault.codeName]).toEqual(['A', 'plan_refused'])
    expect([readU16(fault.detail, 0), readU16(fault.detail, 2), readU16(fault.detail, 4)]).toEqual([2, 0, 2])
  })

  test('different pinned points or chain codes are another sid, never a failed share', () => {
    const altered = { ...S, chainCode: new Uint8Array(32) }
    const benign = { faultClass: 'A', code: 'session' } as const
    expectFault(() => makeEdPresignatures({ c: [C], s: [altered] }, 'pinned'), benign)
  })

  test('a damaged own share is found before anything is sent', () => {
    const damaged = { faultClass: 'B', consequence: 'quarantine-wallet' } as const
    const bad = scalarOf(7n)
    expectFault(() => makeEdPresignatures({ c: [{ ...C, share: bad }], s: [S] }, 'damaged'), damaged)
    expectFault(() => makeEdPresignatures({ c: [C], s: [{ ...S, share: bad }] }, 'damaged'), damaged)
  })

  test('a repeated generator under another E1 gives S other nonces; shares are not changed', () => {
    const before = [C.share.slice(), S.share.slice()]
    const bodies: Uint8Array[] = []
    const note = (body: Uint8Array) => (bodies.push(body.slice()), body)
    makeEdPresignatures(ONE, 'repeat', { E2: note })
    const changed = patch(0, bytesOf('ff'.repeat(32)))
    faultOf(() => makeEdPresignatures(ONE, 'repeat', { E1: changed, E2: note }))
    const [one, two] = bodies.map((body) => hex(body.subarray(32, 96)))
    expect(one).not.toBe(two)
    expect([C.share, S.share]).toEqual(before)
  })

  test('a state is used once, and an abandoned or failed one keeps no nonce', () => {
    const inputs = { link: LINK, entropy: seededEntropy('once'), lEpoch: L_EPOCH }
    const start = () => startEdPresignC(inputs, [edSlot(ROLE_C, C)])
    const { state } = start()
    abandonEdPresign(state)
    expect(state.own.every(({ d, e }) => [...d, ...e].every((byte) => byte === 0))).toBe(true)
    expectFault(() => finishEdPresignC(state, { sid: NO_SID, body: new Uint8Array(128) }), { faultClass: 'A' })
    const second = start().state
    expectFault(() => finishEdPresignC(second, { sid: NO_SID, body: new Uint8Array(128) }), { faultClass: 'A' })
    expect(second.own.every(({ d, e }) => [...d, ...e].every((byte) => byte === 0))).toBe(true)
  })
})

function power(base: bigint, exponent: bigint): bigint {
  let [result, square, left] = [1n, base, exponent]
  for (; left > 0n; left >>= 1n) {
    if (left & 1n) result = (result * square) % L
    square = (square * square) % L
  }
  return result
}
