/**
 * The formulas of docs/protocol.md written out a second time, with nothing of the engine but its outputs: hashes
 * over hand-built preimages and points by another library. What the two sides agree on could still be the wrong
 * bytes.
 */
import { createHash, createHmac } from 'node:crypto'
import { secp256k1 } from '@noble/curves/secp256k1.js'
import { describe, expect, test } from 'vitest'
import { answerBaseOt, finishBaseOtReceiver, startBaseOtReceiver } from '../../src/engine/dkls23/base-ot.ts'
import {
  directionSid,
  linkContext,
  linkContext0,
  makeLinkParties,
  nonceContext,
  nullWalletContext,
  planOf,
  presigIdOf,
  presignSid,
  walletContext,
  walletContext0,
} from '../../src/engine/dkls23/contexts.ts'
import { advanceDkgC, advanceDkgS, finishDkgC, startDkgC, startDkgS } from '../../src/engine/dkls23/dkg.ts'
import { hashToGroup } from '../../src/engine/dkls23/hash-to-group.ts'
import {
  advanceLinkC,
  advanceLinkS,
  finishLinkC,
  startLinkC,
  startLinkS,
} from '../../src/engine/dkls23/link-setup.ts'
import { OperationGenerator } from '../../src/engine/dkls23/operation-generator.ts'
import { decodeSignRequest, signRequestKey } from '../../src/engine/dkls23/sign-messages.ts'
import { signingContext, startSign } from '../../src/engine/dkls23/sign.ts'
import { activate, dkgInputs, hex, LINK, makeMaterial, makePresignatures, makeWallets } from './link-fixtures.ts'
import { seededEntropy } from './seeded-entropy.ts'

const Q = secp256k1.Point.Fn.ORDER
const fill = (value: number, length = 32) => Buffer.alloc(length, value)
const text = (value: string) => Buffer.from(value)
const cat = (...parts: readonly Uint8Array[]) => Buffer.concat(parts)
const le = (value: number, width: number) => {
  const out = Buffer.alloc(width)
  out.writeUIntLE(value, 0, width)
  return out
}
const toBig = (be: Uint8Array) => BigInt(`0x${hex(be)}`)
const fromLe = (bytes: Uint8Array) => toBig(bytes.toReversed())
const toLe = (value: bigint) => Buffer.from(value.toString(16).padStart(64, '0'), 'hex').toReversed()
const pointOf = (bytes: Uint8Array) => secp256k1.Point.fromHex(hex(bytes))
const [C, S] = [le(1, 1), le(2, 1)]
const SUITE = le(1, 1)

function th(algorithm: 'sha256' | 'sha512', tag: string, items: readonly Uint8Array[]): Buffer {
  const name = text(`countersign/dkls2p/v2/${tag}`)
  const body = items.map((item) => cat(le(item.length, 4), item))
  return createHash(algorithm).update(cat(le(name.length, 1), name, le(items.length, 1), ...body)).digest()
}
const TH = (tag: string, ...items: readonly Uint8Array[]) => th('sha256', tag, items)
const H2S = (tag: string, ...items: readonly Uint8Array[]) => fromLe(th('sha512', tag, items)) % Q
const NEXT = (tr: Uint8Array, role: Uint8Array, type: number, body: Uint8Array) =>
  TH('tr', tr, role, le(type, 1), body)

const { linkId, idC, idS } = LINK

describe('contexts', () => {
  test('ids and contexts', () => {
    expect(hex(linkId)).toBe(hex(TH('link/id', SUITE, idC, idS, le(0, 2)).subarray(0, 16)))
    const shard = makeLinkParties(idC, idS, 258, 300)
    expect(hex(shard.linkId)).toBe(hex(TH('link/id', SUITE, idC, idS, le(258, 2)).subarray(0, 16)))
    const lctx0 = TH('lctx0', SUITE, linkId, le(7, 4), idC, idS)
    expect(hex(linkContext0(LINK, 7))).toBe(hex(lctx0))
    expect(hex(linkContext(lctx0, fill(1)))).toBe(hex(TH('lctx', lctx0, fill(1))))
    const wctx0 = TH('wctx0', SUITE, le(1, 1), linkId, idC, idS, text('dkg'))
    expect(hex(walletContext0(LINK, 1, 'dkg'))).toBe(hex(wctx0))
    const [pointC, pointS, publicKey] = [fill(3, 33), fill(4, 33), fill(5, 33)]
    const [chainCode, walletId] = [fill(6), fill(7, 16)]
    const binding = { alg: 1 as const, walletId, wEpoch: 9, pointC, pointS, publicKey, chainCode }
    const wctx = TH(
      'wctx', SUITE, le(1, 1), walletId, le(9, 4), linkId, idC, idS, pointC, pointS, publicKey, chainCode,
    )
    expect(hex(walletContext(LINK, binding))).toBe(hex(wctx))
    expect(hex(nullWalletContext(fill(1)))).toBe(hex(TH('wctx/null', fill(1))))
    expect(hex(planOf([fill(1), fill(2)]))).toBe(hex(TH('plan', le(2, 2), cat(fill(1), fill(2)))))
    expect(hex(nonceContext(fill(1), fill(2), fill(3)))).toBe(hex(TH('ctx', fill(1), fill(2), fill(3))))
    const sid = TH('sid', fill(1), text('presign'), fill(2), fill(3), le(2, 2), fill(4), fill(5))
    expect(hex(presignSid(fill(1), fill(2), fill(3), 2, fill(4), fill(5)))).toBe(hex(sid))
    expect(hex(directionSid(sid, 2, 1))).toBe(hex(TH('dir', sid, S, C)))
    expect(hex(presigIdOf(sid, 300))).toBe(hex(TH('presig', sid, le(300, 2)).subarray(0, 16)))
  })
})

describe('base OT', () => {
  test('HG, the points and the keys', () => {
    const id = fill(9)
    const group = (i: number, branch: number, point: Uint8Array) => {
      for (let ctr = 0; ; ctr++) {
        const h = th('sha512', 'eot/hg', [id, le(i, 1), le(branch, 1), le(ctr, 1), point])
        try {
          return pointOf(cat(le(2 + ((h[32] ?? 0) & 1), 1), h.subarray(0, 32)))
        } catch {
          continue
        }
      }
    }
    const generator = (seed: string) =>
      new OperationGenerator(seededEntropy(seed), { op: 'link', idOwn: id, role: 1, context: id })
    const receiver = startBaseOtReceiver(id, generator('r'))
    const blinds = receiver.blinds.slice()
    const { answer, seedPairs } = answerBaseOt(id, receiver.points, new Uint8Array(0), generator('s'))
    const seeds = finishBaseOtReceiver(receiver, answer)
    const at = (bytes: Uint8Array, n: number, width: number) => bytes.subarray(n * width, n * width + width)
    for (const i of [0, 1, 2, 3, 63, 64, 127]) {
      const b = ((receiver.choices[i >> 3] ?? 0) >> (i & 7)) & 1
      const [p0, p1] = [at(receiver.points, 2 * i, 33), at(receiver.points, 2 * i + 1, 33)]
      const [chosen, free] = b === 0 ? [p0, p1] : [p1, p0]
      expect(hex(hashToGroup(id, i, b, free))).toBe(group(i, b, free).toHex(true))
      const t = fromLe(at(blinds, i, 32))
      expect(hex(chosen)).toBe(secp256k1.Point.BASE.multiply(t).subtract(group(i, b, free)).toHex(true))
      const y = at(answer, 2 * i + b, 33)
      const shared = Buffer.from(pointOf(y).multiply(t).toHex(true), 'hex')
      const key = TH('eot/key', id, le(i, 1), le(b, 1), p0, p1, y, shared).subarray(0, 16)
      expect(hex(at(seeds, i, 16))).toBe(hex(key))
      expect(hex(at(seedPairs, 128 * b + i, 16))).toBe(hex(key))
    }
  })
})

describe('link set-up', () => {
  test('sid, ltr, lctx, confirmations and hk', () => {
    const c1 = startLinkC({ link: LINK, entropy: seededEntropy('C'), lEpoch: 6, reason: 'age' })
    const inputsS = { link: LINK, entropy: seededEntropy('S'), ownLEpoch: 5 }
    const s2 = startLinkS(inputsS, { sid: new Uint8Array(32), lEpoch: 6, body: c1.body })
    const lctx0 = TH('lctx0', SUITE, linkId, le(6, 4), idC, idS)
    const sid = TH('sid', lctx0, text('link'), c1.body.subarray(0, 32), s2.body.subarray(0, 32))
    expect(hex(s2.state.sid)).toBe(hex(sid))
    expect(hex(c1.body.subarray(32))).toBe('0600000004')
    const c3 = advanceLinkC(c1.state, { sid, body: s2.body })
    const s4 = advanceLinkS(s2.state, c3.body)
    const end = finishLinkC(c3.state, s4.body)
    const tr1 = NEXT(new Uint8Array(32), C, 1, c1.body)
    const ltr = NEXT(NEXT(NEXT(tr1, S, 2, s2.body), C, 3, c3.body), S, 4, s4.body.subarray(0, 8448))
    const lctx = TH('lctx', lctx0, ltr)
    expect(hex(end.material.lctx)).toBe(hex(lctx))
    expect(hex(s4.body.subarray(8448))).toBe(hex(TH('link/conf', sid, S, lctx)))
    expect(hex(end.confC)).toBe(hex(TH('link/conf', sid, C, lctx)))
    expect(hex(end.material.hk)).toBe(hex(TH('ote/hk', end.material.seedPairs)))
  })
})

describe('key generation', () => {
  test('commitment, sid, proofs, chain codes, confirmations and wallet ids', () => {
    const n = 2
    const c1 = startDkgC(dkgInputs('C'), n)
    const s2 = startDkgS(dkgInputs('S'), { sid: new Uint8Array(32), body: c1.body })
    const c3 = advanceDkgC(c1.state, { sid: s2.state.sid, body: s2.body })
    const s4 = advanceDkgS(s2.state, c3.body)
    finishDkgC(c3.state, s4.body)
    const [w1, w2, w3] = [c1.body, s2.body, c3.body]
    const [nonceC, comC, nonceS] = [w1.subarray(0, 32), w1.subarray(35), w2.subarray(0, 32)]
    expect(hex(w1.subarray(32, 35))).toBe('010200')
    const wctx0 = TH('wctx0', SUITE, le(1, 1), linkId, idC, idS, text('dkg'))
    const salt = w3.subarray(65 * n, 65 * n + 32)
    expect(hex(comC)).toBe(hex(TH('com/dkg', C, cat(wctx0, nonceC), w3.subarray(0, 65 * n), salt)))
    const sid = TH('sid', wctx0, text('dkg'), nonceC, nonceS, le(n, 2), comC)
    expect(hex(s2.state.sid)).toBe(hex(sid))
    const keys: Buffer[] = []
    const codes: Buffer[] = []
    for (let i = 0; i < n; i++) {
      const [entryC, entryS] = [w3.subarray(65 * i, 65 * i + 65), w2.subarray(32 + 130 * i, 32 + 130 * i + 130)]
      const [X_C, cc_C] = [entryC.subarray(0, 33), entryC.subarray(33)]
      const [X_S, cc_S] = [entryS.subarray(0, 33), entryS.subarray(33, 65)]
      const proofC = w3.subarray(65 * n + 32 + 65 * i, 65 * n + 32 + 65 * i + 65)
      for (const [role, X, proof] of [[C, X_C, proofC], [S, X_S, entryS.subarray(65)]] as const) {
        const e = H2S('dkg/pok', sid, role, X, proof.subarray(0, 33))
        const right = pointOf(proof.subarray(0, 33)).add(pointOf(X).multiply(e))
        expect(secp256k1.Point.BASE.multiply(fromLe(proof.subarray(33))).equals(right)).toBe(true)
      }
      keys.push(Buffer.from(pointOf(X_C).add(pointOf(X_S)).toHex(true), 'hex'))
      codes.push(TH('dkg/cc', sid, cc_C, cc_S))
      const record = c3.pending.records[i]
      expect(hex(record?.publicKey ?? fill(0))).toBe(hex(keys[i] ?? fill(1)))
      expect(hex(record?.chainCode ?? fill(0))).toBe(hex(codes[i] ?? fill(1)))
      expect(hex(record?.walletId ?? fill(0))).toBe(hex(TH('wallet/id', sid, le(i, 2)).subarray(0, 16)))
    }
    const tr2 = NEXT(NEXT(new Uint8Array(32), C, 8, w1), S, 9, w2)
    const tr = NEXT(tr2, C, 0x0a, w3.subarray(0, -32))
    expect(hex(w3.subarray(-32))).toBe(hex(TH('dkg/conf', sid, C, tr, cat(...keys), cat(...codes))))
    expect(hex(s4.body)).toBe(hex(TH('dkg/conf', sid, S, tr, cat(...keys), cat(...codes))))
  })
})

describe('signing', () => {
  test('tweak, δ, R\', echo, w and the request key', () => {
    const made = makeWallets(1, 'formulas')
    const wallets = { c: activate(made.c), s: activate(made.s) }
    const presigs = makePresignatures(makeMaterial('formulas'), wallets, 'formulas')
    const [wallet, presig] = [wallets.c[0], presigs.c[0]]
    if (wallet === undefined || presig === undefined) throw new Error('missing')
    const [phi, v, u] = [fromLe(presig.phi), fromLe(presig.v), hex(presig.u)]
    const digest = createHash('sha256').update('m').digest()
    const seed = cat(wallet.publicKey, Buffer.from([0, 0, 0, 5]))
    const mac = createHmac('sha512', wallet.chainCode).update(seed).digest()
    const t = toBig(mac.subarray(0, 32))
    const child = Buffer.from(pointOf(wallet.publicKey).add(secp256k1.Point.BASE.multiply(t)).toHex(true), 'hex')
    const wctx = TH(
      'wctx', SUITE, le(1, 1), wallet.walletId, le(0, 4), linkId, idC, idS,
      wallet.pointC, wallet.pointS, wallet.publicKey, wallet.chainCode,
    )
    const tLe = toLe(t)
    const delta = H2S('sign/delta', wctx, presig.presigId, child, presig.noncePoint, digest, tLe)
    const R = Buffer.from(pointOf(presig.noncePoint).multiply(delta).toHex(true), 'hex')
    const r = toBig(R.subarray(1)) % Q
    const inputs = { link: LINK, wallet, digest, path: [5], reqId: fill(1, 16), payload: text('payload') }
    const context = signingContext(inputs, presig)
    expect(fromLe(context.delta)).toBe(delta)
    expect(hex(context.noncePoint)).toBe(hex(R))
    expect(fromLe(context.r)).toBe(r)
    const { body } = startSign(inputs, presig)
    const echo = TH('sign/echo', wctx, presig.presigId, child, R, digest, tLe).subarray(0, 16)
    const w = toLe(((toBig(digest) + r * t) * phi + r * v) % Q)
    const expected = cat(
      linkId, wallet.walletId, le(0, 4), presig.presigId, fill(1, 16), digest, le(1, 1), le(5, 4), child, echo, w,
      Buffer.from(u, 'hex'), le(7, 4), text('payload'),
    )
    expect(hex(body)).toBe(hex(expected))
    const path = Buffer.from([1, 5, 0, 0, 0])
    const key = TH('sign/req', wallet.walletId, le(0, 4), digest, path, child, text('payload'))
    expect(hex(signRequestKey(decodeSignRequest(body, linkId)))).toBe(hex(key))
  })
})
