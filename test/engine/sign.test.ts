/** Online signing: T7, T12, T26, T27, T28 and the shape of the two messages. */
import { createHash, createPublicKey, verify } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { beforeAll, describe, expect, test } from 'vitest'
import {
  decompress,
  isPoint,
  mulBase,
  pointFromX,
  recoverPoint,
  verifySignature,
} from '../../src/engine/curve/secp256k1.ts'
import { deriveChild } from '../../src/engine/dkls23/derive.ts'
import { assertBelongs, type Presignature } from '../../src/engine/dkls23/presignature.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import {
  decodeSignRequest,
  decodeSignResponse,
  encodeSignRequest,
  encodeSignResponse,
  signRequestKey,
} from '../../src/engine/dkls23/sign-messages.ts'
import {
  agreeOnSigning,
  answerSign,
  assertRequestScalars,
  combine,
  finishSign,
  recoveryIdOf,
  signableScalar,
  signingContext,
  startSign,
} from '../../src/engine/dkls23/sign.ts'
import { concatBytes, u32, u8 } from '../../src/engine/hash/encoding.ts'
import { isHighScalar, isZeroScalar } from '../../src/engine/kernel/scalar.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { activate, hex, LINK, makeMaterial, makePresignatures, makeWallets } from './link-fixtures.ts'
import { type Field, mutationsOf } from './mutations.ts'

const Q = Uint8Array.from(Buffer.from('fffffffffffffffffffffffffffffffebaaedce6af48a03bbfd25e8cd0364141', 'hex'))
const SUSPEND = { faultClass: 'C', code: 'protocol', consequence: 'suspend-wallet' } as const
const DISAGREE = { faultClass: 'A', code: 'disagreement', consequence: 'none' } as const
const PAYLOAD = new TextEncoder().encode('pay 1 to Bob')
const sha256 = (payload: Uint8Array) => new Uint8Array(createHash('sha256').update(payload).digest())
const DIGEST = sha256(PAYLOAD)

const material = makeMaterial('sign')
const made = makeWallets(1, 'sign')
const records = { c: activate(made.c), s: activate(made.s) }
const [walletC, walletS] = [records.c[0], records.s[0]] as [WalletRecord, WalletRecord]
let pool: { c: Presignature[]; s: Presignature[] } = { c: [], s: [] }
let sessions = 0

/** The next pair of presignatures, copied so that a test may look at them after they were wiped. */
function nextPair(): { c: Presignature; s: Presignature } {
  if (pool.c.length === 0) {
    const many = (record: WalletRecord) => Array.from({ length: 16 }, () => record)
    sessions += 1
    const made = makePresignatures(material, { c: many(walletC), s: many(walletS) }, `pool/${sessions}`)
    pool = { c: [...made.c], s: [...made.s] }
  }
  const [c, s] = [pool.c.pop(), pool.s.pop()]
  if (c === undefined || s === undefined) throw new Error('no presignature')
  return { c, s }
}

type Run = {
  readonly path?: readonly number[]
  readonly request?: (body: Uint8Array) => Uint8Array
  readonly response?: (body: Uint8Array) => Uint8Array
  readonly payloadAtS?: Uint8Array
}

function sign(run: Run = {}) {
  const pair = nextPair()
  const path = run.path ?? []
  const reqId = new Uint8Array(16).fill(6)
  const inputs = { link: LINK, wallet: walletC, digest: DIGEST, path, reqId, payload: PAYLOAD }
  const c = startSign(inputs, pair.c)
  const body = run.request?.(c.body) ?? c.body
  const request = decodeSignRequest(body, LINK.linkId)
  assertRequestScalars(request)
  const named = hex(request.presigId) === hex(pair.s.presigId) ? pair.s : undefined
  assertBelongs(named, LINK.linkId, request.walletId, request.wEpoch)
  const digest = sha256(run.payloadAtS ?? request.payload)
  const own = { link: LINK, wallet: walletS, digest, path: request.path }
  const context = agreeOnSigning(own, request, pair.s)
  const answer = answerSign(context, request, pair.s)
  const signature = finishSign(c.state, run.response?.(answer.body) ?? answer.body)
  return { signature, context, pair, body, response: answer.body }
}

beforeAll(() => void nextPair())

describe('online signing', () => {
  test.each([[[]], [[0]], [[44, 60, 0, 0, 7]], [[2 ** 31 - 1, 1, 2, 3, 4, 5, 6, 7, 8, 9]]])(
    'path %j: the signature verifies in three libraries, is low-s and recovers the key',
    (path) => {
      const { signature, pair } = sign({ path })
      const key = deriveChild(walletC.publicKey, walletC.chainCode, path).publicKey
      const compact = Uint8Array.from([...signature.r, ...signature.s])
      expect(verifySignature(signature.r, signature.s, DIGEST, key)).toBe(true)
      expect(secp256k1.verify(compact, DIGEST, key, { prehash: false, lowS: true })).toBe(true)
      expect(verifiesInNode(compact, key)).toBe(true)
      expect(isHighScalar(signature.s.toReversed())).toBe(false)
      expect(hex(recoverPoint(signature.r, signature.s, signature.recid, DIGEST) ?? key.slice(1))).toBe(hex(key))
      const secrets = [pair.c, pair.s].flatMap(({ phi, u, v }) => [phi, u, v])
      expect(secrets.every((secret) => isZeroScalar(secret))).toBe(true)
    },
  )

  test('every signature of many is low-s and names its recid; both parities occur', () => {
    const recids = Array.from({ length: 24 }, () => sign().signature.recid)
    expect(new Set(recids)).toEqual(new Set([0, 1]))
  })

  test('messages have exactly the lengths of the layouts', () => {
    const { body, response } = sign({ path: [1, 2] })
    expect(body.length).toBe(218 + 8 + PAYLOAD.length)
    expect(response.length).toBe(81)
  })

  test('request round trip', () => {
    const request = {
      linkId: LINK.linkId,
      walletId: new Uint8Array(16).fill(1),
      wEpoch: 3,
      presigId: new Uint8Array(16).fill(2),
      reqId: new Uint8Array(16).fill(3),
      digest: DIGEST,
      path: [5, 6, 7],
      childKey: mulBase(new Uint8Array(32).fill(1)),
      echo: new Uint8Array(16).fill(4),
      w: new Uint8Array(32).fill(5),
      u: new Uint8Array(32).fill(6),
      payload: PAYLOAD,
    }
    expect(decodeSignRequest(encodeSignRequest(request), LINK.linkId)).toEqual(request)
  })
})

describe('what S refuses', () => {
  const fields: Field[] = [
    { name: 'linkId', length: 16 }, { name: 'walletId', length: 16 }, { name: 'wEpoch', length: 4 },
    { name: 'presigId', length: 16 }, { name: 'digest', length: 32 },
  ]
  const tail: Field[] = [
    { name: 'depth', length: 1 }, { name: 'index', length: 4 }, { name: 'PK\'', length: 33 },
    { name: 'echo', length: 16 }, { name: 'w', length: 32 }, { name: 'u', length: 32 },
    { name: 'payloadLen', length: 4 }, { name: 'payload', length: PAYLOAD.length },
  ]
  test('every damaged field of the request, without ever evidence of cheating', () => {
    const layout = [...fields.slice(0, 4), { name: 'reqId', length: 16 }, ...fields.slice(4), ...tail]
    const { body } = sign({ path: [9] })
    let runs = 0
    for (const { name } of mutationsOf(body, layout)) {
      // The names are stable across bodies; each run damages its own request in the same way.
      const damage = (own: Uint8Array) =>
        [...mutationsOf(own, layout)].find((m) => m.name === name)?.body ?? own.slice(1)
      const attempt = () => sign({ path: [9], request: damage })
      const fault = faultOf(attempt)
      expect(['A', 'C'], name).toContain(fault.faultClass)
      expect(fault.consequence, name).not.toBe('burn-link')
      // A different value of w or u is found by the final verification only.
      if (/^[wu]: (first|middle) bit/.test(name)) expect(fault.consequence, name).toBe('suspend-wallet')
      const compared = /^(echo|PK'|digest|index|payload): first bit/.test(name)
      if (compared) expect(fault.codeName, name).toBe('disagreement')
      runs += 1
    }
    expect(runs).toBeGreaterThan(50)
  })

  test('w or u at q and above, as a violation', () => {
    for (const value of [Q.toReversed(), new Uint8Array(32).fill(0xff)]) {
      for (const fromEnd of [68, 36]) {
        const request = (body: Uint8Array) => {
          const out = body.slice()
          out.set(value, out.length - PAYLOAD.length - fromEnd)
          return out
        }
        expectFault(() => sign({ request }), { faultClass: 'C', consequence: 'strike' })
      }
    }
  })

  test('zero w and u lead to an invalid final signature, also through U = 0', () => {
    const zeroed = (fromEnd: number) => (body: Uint8Array) => {
      const at = body.length - PAYLOAD.length - fromEnd
      return body.slice().fill(0, at, at + 32)
    }
    for (const fromEnd of [68, 36]) expectFault(() => sign({ request: zeroed(fromEnd) }), SUSPEND)
    const [zero, one] = [new Uint8Array(32), new Uint8Array(32).fill(1)]
    const context = { delta: one, noncePoint: mulBase(one), r: one }
    expectFault(() => combine(context, { w: one, u: zero }, { w: one, u: zero }), SUSPEND)
    expectFault(() => combine(context, { w: zero, u: one }, { w: zero, u: one }), SUSPEND)
  })

  test('a payload that says something else is a disagreement', () => {
    expectFault(() => sign({ payloadAtS: new TextEncoder().encode('pay 1000 to Eve') }), DISAGREE)
  })

  test('with the echo forged for another digest, the final verification refuses and only the wallet stops', () => {
    const pair = nextPair()
    const other = sha256(new TextEncoder().encode('other'))
    const reqId = new Uint8Array(16)
    const inputs = { link: LINK, wallet: walletC, path: [], reqId, payload: PAYLOAD }
    const context = signingContext({ ...inputs, digest: other }, pair.c)
    const { body } = startSign({ ...inputs, digest: DIGEST }, pair.c)
    const request = { ...decodeSignRequest(body, LINK.linkId), digest: other, echo: context.echo }
    const agreed = agreeOnSigning({ link: LINK, wallet: walletS, digest: other, path: [] }, request, pair.s)
    expectFault(() => answerSign(agreed, request, pair.s), SUSPEND)
    expect(isZeroScalar(pair.s.phi)).toBe(true)
  })

  test('a deep or hardened path is the caller\'s mistake', () => {
    const pathBytes = (body: Uint8Array, path: readonly number[]) =>
      concatBytes(body.slice(0, 100), u8(path.length), ...path.map((i) => u32(i)), body.slice(101))
    for (const path of [[2 ** 31], [2 ** 32 - 1], Array.from({ length: 11 }, () => 0)]) {
      const request = (body: Uint8Array) => pathBytes(body, path)
      expectFault(() => sign({ request }), { faultClass: 'A', code: 'policy_denied' })
    }
  })

  test('a body link other than the header\'s, and lengths that the counts do not give', () => {
    const { body } = sign()
    expectFault(() => decodeSignRequest(body, new Uint8Array(16)), { faultClass: 'C' })
    const huge = body.slice()
    huge.set(u32(0xffff_ffff), body.length - PAYLOAD.length - 4)
    for (const bad of [body.slice(1), huge, body.slice(0, 50), new Uint8Array(0)]) {
      expectFault(() => decodeSignRequest(bad, LINK.linkId), { faultClass: 'C' })
    }
  })

  test('the digests that are zero modulo the order', () => {
    for (const digest of [new Uint8Array(32), Q]) {
      expectFault(() => signableScalar(digest), { faultClass: 'A', code: 'policy_denied' })
    }
    expect(() => signableScalar(new Uint8Array(31))).toThrow(RangeError)
  })

  test('a presignature that is not there, of another wallet or of another epoch', () => {
    const unknown = { faultClass: 'A', code: 'unknown_presig' } as const
    const { s } = nextPair()
    expectFault(() => assertBelongs(undefined, LINK.linkId, s.walletId, 0), unknown)
    expectFault(() => assertBelongs(s, LINK.linkId, new Uint8Array(16), 0), unknown)
    expectFault(() => assertBelongs(s, LINK.linkId, s.walletId, 1), unknown)
    expectFault(() => assertBelongs(s, new Uint8Array(16), s.walletId, 0), unknown)
    assertBelongs(s, LINK.linkId, s.walletId, 0)
  })
})

describe('what C refuses', () => {
  const fields: Field[] = [{ name: 'r', length: 32 }, { name: 's', length: 32 }, { name: 'recid', length: 1 }]
  test('every damaged field of the response', () => {
    const { response } = sign()
    const layout = [{ name: 'reqId', length: 16 }, ...fields]
    for (const { name } of mutationsOf(response, layout)) {
      const damage = (own: Uint8Array) => [...mutationsOf(own, layout)].find((m) => m.name === name)?.body
      const run = () => sign({ response: (own) => damage(own) ?? own.slice(1) })
      // recid zero is a damage only when it was not zero already.
      if (name === 'recid: zero') continue
      const fault = faultOf(run)
      if (name.startsWith('reqId')) expect([fault.faultClass, fault.codeName]).toEqual(['A', 'session'])
      else if (/^(r|s|recid):/.test(name)) expect(fault.consequence, name).toBe('suspend-wallet')
      else expect([fault.faultClass, fault.consequence]).toEqual(['C', 'strike'])
    }
  })

  test('the high twin of s, whatever its recid', () => {
    const twin = (flip: number) => (body: Uint8Array) => {
      const { reqId, signature } = decodeSignResponse(body)
      const s = BigInt(`0x${hex(signature.s)}`)
      const high = (BigInt(`0x${hex(Q)}`) - s).toString(16).padStart(64, '0')
      return encodeSignResponse(reqId, {
        ...signature, s: Uint8Array.from(Buffer.from(high, 'hex')), recid: signature.recid ^ flip,
      })
    }
    for (const flip of [0, 1]) expectFault(() => sign({ response: twin(flip) }), SUSPEND)
  })

  test('the other recid, and recids above 3', () => {
    const with_ = (change: (recid: number) => number) => (body: Uint8Array) =>
      Uint8Array.from([...body.slice(0, 80), change(body[80] ?? 0)])
    for (const change of [(r: number) => r ^ 1, (r: number) => r | 2, () => 4, () => 255]) {
      expectFault(() => sign({ response: with_(change) }), SUSPEND)
    }
  })

  test('a valid signature of another request', () => {
    const { response } = sign({ path: [1] })
    expectFault(() => sign({ response: () => response }), SUSPEND)
  })
})

describe('re-randomised nonce', () => {
  test('δ and the echo depend on every input', () => {
    const { c } = nextPair()
    const base = { link: LINK, wallet: walletC, digest: DIGEST, path: [1] }
    const otherPoint = mulBase(new Uint8Array(32).fill(7))
    const child = deriveChild(walletC.publicKey, walletC.chainCode, [1])
    const wallet = (change: Partial<WalletRecord>) => ({ ...base, wallet: { ...walletC, ...change }, child })
    const contexts = [
      signingContext(base, c),
      signingContext({ ...base, digest: sha256(DIGEST) }, c),
      signingContext({ ...base, path: [2] }, c),
      signingContext({ ...base, path: [] }, c),
      signingContext(base, { ...c, presigId: new Uint8Array(16) }),
      signingContext(base, { ...c, noncePoint: otherPoint }),
      signingContext(wallet({ wEpoch: 1 }), c),
      signingContext(wallet({ walletId: new Uint8Array(16) }), c),
      signingContext(wallet({ pointC: otherPoint }), c),
      signingContext(wallet({ chainCode: new Uint8Array(32) }), c),
      signingContext({ ...base, link: { ...LINK, idC: new Uint8Array(32) } }, c),
    ]
    expect(new Set(contexts.map(({ delta }) => hex(delta))).size).toBe(contexts.length)
    expect(new Set(contexts.map(({ echo }) => hex(echo))).size).toBe(contexts.length)
    expect(new Set(contexts.map(({ r }) => hex(r))).size).toBe(contexts.length)
  })

  test('one presignature under two digests gives two r, so an index on r alone misses the reuse', () => {
    const { c } = nextPair()
    const inputs = { link: LINK, wallet: walletC, path: [] }
    const [one, two] = [DIGEST, sha256(DIGEST)].map((digest) => signingContext({ ...inputs, digest }, c).r)
    expect(hex(one ?? DIGEST)).not.toBe(hex(two ?? DIGEST))
  })
})

describe('recovery id', () => {
  test('names the parity of y, and x at or above the order', () => {
    expect([recoveryIdOf(mulBase(new Uint8Array(32).fill(1))) & 2]).toEqual([0])
    // The first x ≥ q that is on the curve; such a point is too rare to be met by signing.
    const x = Q.slice()
    let even: Uint8Array | undefined
    while (even === undefined) {
      x[31] = (x[31] ?? 0) + 1
      even = pointFromX(x, false)
    }
    const odd = pointFromX(x, true) ?? even
    expect(isPoint(even)).toBe(true)
    expect([recoveryIdOf(even), recoveryIdOf(odd)]).toEqual([2, 3])
    const last = Q.slice()
    last[31] = (last[31] ?? 0) - 1
    expect(recoveryIdOf(Uint8Array.from([2, ...last]))).toBe(0)
    expect(recoveryIdOf(Uint8Array.from([3, ...Q]))).toBe(3)
  })
})

describe('request key', () => {
  test('depends on wallet, epoch, digest, path, key and payload, and on nothing else', () => {
    const request = decodeSignRequest(sign({ path: [1] }).body, LINK.linkId)
    const base = hex(signRequestKey(request))
    const changed = [
      { walletId: new Uint8Array(16) }, { wEpoch: 1 }, { digest: sha256(DIGEST) }, { path: [2] }, { path: [] },
      { childKey: new Uint8Array(33) }, { payload: new Uint8Array(0) },
    ].map((change) => hex(signRequestKey({ ...request, ...change })))
    expect(new Set([base, ...changed]).size).toBe(8)
    const retry = { ...request, presigId: new Uint8Array(16), w: new Uint8Array(32), reqId: new Uint8Array(16) }
    expect(hex(signRequestKey(retry))).toBe(base)
  })
})

function verifiesInNode(compact: Uint8Array, key: Uint8Array): boolean {
  const point = decompress(key)
  const b64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64url')
  const jwk = { kty: 'EC', crv: 'secp256k1', x: b64(point.slice(1, 33)), y: b64(point.slice(33)) }
  // node:crypto hashes by itself, so it is given the payload.
  const publicKey = createPublicKey({ key: jwk, format: 'jwk' })
  return verify('sha256', PAYLOAD, { key: publicKey, dsaEncoding: 'ieee-p1363' }, compact)
}
