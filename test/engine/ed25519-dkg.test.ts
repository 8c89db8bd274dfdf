/** Key generation and records of Ed25519; T33 where points are received. */
import { ed25519 } from '@noble/curves/ed25519.js'
import { createHash } from 'node:crypto'
import { describe, expect, test } from 'vitest'
import { mulBase } from '../../src/engine/curve/ed25519.ts'
import { ED25519_GROUP } from '../../src/engine/curve/group.ts'
import { walletContext0, walletSid } from '../../src/engine/dkls23/contexts.ts'
import { advanceDkgC, advanceDkgS, finishDkgC, startDkgC, startDkgS } from '../../src/engine/dkls23/dkg.ts'
import { NO_SID } from '../../src/engine/dkls23/frame.ts'
import { respond } from '../../src/engine/dkls23/proof-of-knowledge.ts'
import {
  decodeWalletRecord,
  ED_WALLET_RECORD_BYTES,
  encodeWalletRecord,
  verifyWalletRecord,
  type WalletRecord,
} from '../../src/engine/dkls23/records.ts'
import { ALG_ED25519, ROLE_C, ROLE_S, type Role } from '../../src/engine/dkls23/suite.ts'
import { concatBytes, u16 } from '../../src/engine/hash/encoding.ts'
import { commitment, hashToScalarOf, taggedHash } from '../../src/engine/hash/tagged-hash.ts'
import {
  BAD_POINTS,
  encodeNumber,
  first,
  L,
  makeEdWallets,
  numberOf,
  scalarOf,
  SMALL_ORDER,
} from './ed-fixtures.ts'
import { expectFault, faultOf } from './expect-fault.ts'
import { dkgInputs, hex, LINK, makeWallets } from './link-fixtures.ts'
import { type Field, mutationsOf } from './mutations.ts'

type Tamper = Partial<Record<'W1' | 'W2' | 'W3' | 'W4', (body: Uint8Array) => Uint8Array>>

function run(count: number, tamper: Tamper = {}) {
  const on = (name: keyof Tamper, body: Uint8Array) => tamper[name]?.(body) ?? body
  const c1 = startDkgC(dkgInputs('C'), count, ALG_ED25519)
  const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: on('W1', c1.body) })
  const c3 = advanceDkgC(c1.state, { sid: s2.state.sid, body: on('W2', s2.body) })
  const s4 = advanceDkgS(s2.state, on('W3', c3.body))
  finishDkgC(c3.state, on('W4', s4.body))
  return { c: c3.pending, s: s4.pending, sid: s2.state.sid }
}

const patch = (offset: number, bytes: Uint8Array) => (body: Uint8Array) => {
  const out = body.slice()
  out.set(bytes, offset)
  return out
}

function repeat(count: number, fields: readonly Field[]): Field[] {
  return Array.from({ length: count }, (_, i) => fields.map((f) => ({ ...f, name: `${f.name}[${i}]` }))).flat()
}

const nonce: Field = { name: 'N', length: 32 }
const contribution: Field[] = [{ name: 'X', length: 32 }, { name: 'cc', length: 32 }]
const proof: Field[] = [{ name: 'A', length: 32 }, { name: 'z', length: 32 }]
const conf: Field = { name: 'conf', length: 32 }
const layout = (n: number): Record<keyof Tamper, Field[]> => ({
  W1: [nonce, { name: 'alg', length: 1 }, { name: 'n', length: 2 }, { name: 'com', length: 32 }],
  W2: [nonce, ...repeat(n, [...contribution, ...proof])],
  W3: [...repeat(n, contribution), { name: 'salt', length: 32 }, ...repeat(n, proof), conf],
  W4: [conf],
})

describe('key generation of Ed25519', () => {
  test.each([1, 3, 64])('%i wallets: both sides agree and each half opens its own point', (count) => {
    const { c, s } = run(count)
    expect(c.records.length).toBe(count)
    for (const [i, mine] of c.records.entries()) {
      const theirs = s.records[i]
      if (theirs === undefined) throw new Error('missing record')
      for (const key of ['walletId', 'pointC', 'pointS', 'publicKey', 'chainCode'] as const) {
        expect(hex(mine[key])).toBe(hex(theirs[key]))
      }
      expect([mine.alg, theirs.alg, mine.publicKey.length]).toEqual([2, 2, 32])
      verifyWalletRecord(mine)
      verifyWalletRecord(theirs)
      const key = ed25519.Point.BASE.multiply((numberOf(mine.share) + numberOf(theirs.share)) % L)
      expect(key.toHex()).toBe(hex(mine.publicKey))
    }
    expect(new Set(c.records.map(({ publicKey }) => hex(publicKey))).size).toBe(count)
  })

  test('messages have the lengths of the layouts with points of 32 bytes, and alg 2', () => {
    const bodies: Uint8Array[] = []
    const note = (body: Uint8Array) => {
      bodies.push(body)
      return body
    }
    run(3, { W1: note, W2: note, W3: note, W4: note })
    expect(bodies.map(({ length }) => length)).toEqual([67, 32 + 3 * 128, 3 * 64 + 32 + 3 * 64 + 32, 32])
    expect(bodies[0]?.[32]).toBe(2)
  })

  test('sid, proof, chain code and conf are the formulas of the protocol', () => {
    let [w1, w2, w3] = [new Uint8Array(0), new Uint8Array(0), new Uint8Array(0)]
    const { c, sid } = run(1, {
      W1: (body) => (w1 = body.slice()),
      W2: (body) => (w2 = body.slice()),
      W3: (body) => (w3 = body.slice()),
    })
    const wctx0 = taggedHash(
      'wctx0', Uint8Array.of(1), Uint8Array.of(2), LINK.linkId, LINK.idC, LINK.idS, Buffer.from('dkg'),
    )
    const nonces = [w1.subarray(0, 32), w2.subarray(0, 32)] as const
    const com = w1.subarray(35)
    expect(hex(sid)).toBe(hex(taggedHash('sid', wctx0, Buffer.from('dkg'), ...nonces, u16(1), com)))
    const opened = commitment('dkg', 1, concatBytes(wctx0, nonces[0]), w3.subarray(0, 64), w3.subarray(64, 96))
    expect(hex(opened)).toBe(hex(com))
    const [x, a, z] = [w2.subarray(32, 64), w2.subarray(96, 128), w2.subarray(128, 160)]
    const e = numberOf(hashToScalarOf(ED25519_GROUP, 'dkg/pok', sid, Uint8Array.of(2), x, a))
    const right = ed25519.Point.fromBytes(a).add(ed25519.Point.fromBytes(x).multiply(e))
    expect(hex(mulBase(z))).toBe(right.toHex())
    const cc = taggedHash('dkg/cc', sid, w3.subarray(32, 64), w2.subarray(64, 96))
    expect(hex(first(c.records).chainCode)).toBe(hex(cc))
  })

  test.each(['W1', 'W2', 'W3', 'W4'] as const)('no damage to %s completes a generation', (name) => {
    let honest = new Uint8Array(0)
    run(2, { [name]: (body: Uint8Array) => (honest = body.slice()) })
    for (const mutation of mutationsOf(honest, layout(2)[name])) {
      const fault = faultOf(() => run(2, { [name]: () => mutation.body }))
      expect(['A', 'C'], `${name} ${mutation.name}`).toContain(fault.faultClass)
      if (mutation.body.length !== honest.length) expect(fault.faultClass).toBe('C')
    }
  })

  test.each(BAD_POINTS)('%s is refused for X and A of either side', (_, point) => {
    const refused = { faultClass: 'C', consequence: 'strike' } as const
    for (const offset of [32, 96]) expectFault(() => run(1, { W2: patch(offset, point) }), refused)
    for (const offset of [0, 96]) expectFault(() => run(1, { W3: patch(offset, point) }), refused)
  })

  test('z at L and above, a reflected X, the other algorithm', () => {
    const honest = { z: new Uint8Array(0), x: new Uint8Array(0) }
    run(1, {
      W2: (body) => ((honest.z = body.slice(128)), body),
      W3: (body) => ((honest.x = body.slice(0, 32)), body),
    })
    const high = encodeNumber(numberOf(honest.z) + L)
    for (const z of [high, encodeNumber(L), new Uint8Array(32).fill(0xff)]) {
      expectFault(() => run(1, { W2: patch(128, z) }), { faultClass: 'C' })
      expectFault(() => run(1, { W3: patch(128, z) }), { faultClass: 'C' })
    }
    expectFault(() => run(1, { W2: patch(32, honest.x) }), { faultClass: 'C' })
    expectFault(() => run(1, { W1: patch(32, Uint8Array.of(1)) }), { faultClass: 'C' })
  })

  test('an Ed25519 wallet is another wallet than a secp256k1 one of the same randomness', () => {
    expect(hex(first(makeEdWallets(1, 'same').c).walletId)).not.toBe(hex(first(makeWallets(1, 'same').c).walletId))
  })
})

describe('a proof searched to fit a point with torsion', () => {
  const orders = [[2, 4], [4, 2], [8, 1]] as const

  /** x·B + T for X, and a nonce whose challenge cancels e·T: what a library without a subgroup check lets pass. */
  function search(sid: Uint8Array, role: Role, torsion: number, where: 'X' | 'A') {
    const t = SMALL_ORDER[torsion] ?? ed25519.Point.ZERO
    const x = scalarOf(0x1234567n)
    for (let tries = 1; tries < 200; tries++) {
      const a = scalarOf(numberOf(new Uint8Array(createHash('sha256').update(`${tries}`).digest())))
      const [plainX, plainA] = [ed25519.Point.fromBytes(mulBase(x)), ed25519.Point.fromBytes(mulBase(a))]
      const point = plainX.add(t)
      const noncePoint = where === 'A' ? plainA.add(t) : plainA
      const items = [sid, Uint8Array.of(role), point.toBytes(), noncePoint.toBytes()]
      const e = hashToScalarOf(ED25519_GROUP, 'dkg/pok', ...items)
      const z = respond(a, e, x, ED25519_GROUP)
      const right = noncePoint.add(point.multiplyUnsafe(numberOf(e)))
      if (hex(mulBase(z)) !== right.toHex()) continue
      return { point: point.toBytes(), noncePoint: noncePoint.toBytes(), z, tries }
    }
    throw new Error('nothing fits')
  }

  test.each(orders)('of S: order %i is refused for what it is', (_, torsion) => {
    for (const where of ['X', 'A'] as const) {
      const c1 = startDkgC(dkgInputs('C'), 1, ALG_ED25519)
      const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: c1.body })
      const { point, noncePoint, z, tries } = search(s2.state.sid, ROLE_S, torsion, where)
      expect(tries).toBeLessThan(100)
      const body = concatBytes(s2.body.subarray(0, 32), point, s2.body.subarray(64, 96), noncePoint, z)
      const fault = faultOf(() => advanceDkgC(c1.state, { sid: s2.state.sid, body }))
      expect([fault.faultClass, fault.consequence]).toEqual(['C', 'strike'])
      expect(fault.message).toContain('point')
    }
  })

  test.each(orders)('of C: order %i is refused for what it is', (_, torsion) => {
    const nonceC = new Uint8Array(32).fill(7)
    const wctx0 = walletContext0(LINK, ALG_ED25519, 'dkg')
    const [salt, cc] = [new Uint8Array(32).fill(8), new Uint8Array(32).fill(9)]
    const t = SMALL_ORDER[torsion] ?? ed25519.Point.ZERO
    const point = ed25519.Point.fromBytes(mulBase(scalarOf(0x1234567n))).add(t).toBytes()
    const comC = commitment('dkg', ROLE_C, concatBytes(wctx0, nonceC), concatBytes(point, cc), salt)
    const w1 = concatBytes(nonceC, Uint8Array.of(ALG_ED25519), u16(1), comC)
    const s2 = startDkgS(dkgInputs('S'), { sid: NO_SID, body: w1 })
    expect(hex(s2.state.sid)).toBe(hex(walletSid(wctx0, 'dkg', nonceC, s2.body.subarray(0, 32), u16(1), comC)))
    const found = search(s2.state.sid, ROLE_C, torsion, 'X')
    expect(hex(found.point)).toBe(hex(point))
    const w3 = concatBytes(point, cc, salt, found.noncePoint, found.z, new Uint8Array(32))
    const fault = faultOf(() => advanceDkgS(s2.state, w3))
    expect([fault.faultClass, fault.message]).toEqual(['C', expect.stringContaining('point')])
  })
})

describe('wallet record of Ed25519', () => {
  const wallets = makeEdWallets(2, 'ed records')
  const QUARANTINE = { faultClass: 'B', code: 'wallet_state', consequence: 'quarantine-wallet' } as const
  const own = (role: 'c' | 's'): WalletRecord => {
    const record = first(wallets[role])
    return { ...record, share: record.share.slice() }
  }

  function rechecked(bytes: Uint8Array, offset: number, change: Uint8Array): Uint8Array {
    const content = bytes.slice(0, -32)
    content.set(change, offset)
    return concatBytes(content, taggedHash('rec/wallet', content))
  }

  test('is 248 bytes and round trips', () => {
    for (const role of ['c', 's'] as const) {
      const bytes = encodeWalletRecord(own(role))
      expect([bytes.length, bytes[2]]).toEqual([ED_WALLET_RECORD_BYTES, 2])
      expect(ED_WALLET_RECORD_BYTES).toBe(248)
      expect(decodeWalletRecord(bytes)).toEqual({ ...own(role), linkId: LINK.linkId.slice() })
      expect(bytes.subarray(45, 77)).toEqual(own(role).share)
      expect(bytes.subarray(77, 109)).toEqual(own(role).pointC)
      expect(bytes.subarray(141, 173)).toEqual(own(role).publicKey)
    }
  })

  test('any flipped bit is found', () => {
    const bytes = encodeWalletRecord(own('c'))
    for (let at = 0; at < bytes.length; at++) {
      const bad = bytes.slice()
      bad[at] = (bad[at] ?? 0) ^ 0x40
      expectFault(() => decodeWalletRecord(bad), QUARANTINE)
    }
  })

  test('an altered share, point, key or algorithm with a right checksum is found', () => {
    const bytes = encodeWalletRecord(own('c'))
    const other = wallets.c[1] ?? own('c')
    const damage: readonly (readonly [number, Uint8Array])[] = [
      [2, Uint8Array.of(1)], [2, Uint8Array.of(3)], [3, Uint8Array.of(ROLE_S)],
      [45, other.share], [45, new Uint8Array(32)], [45, encodeNumber(numberOf(own('c').share) + L)],
      [77, other.pointC], [109, other.pointS], [141, other.publicKey],
      ...BAD_POINTS.map(([, point]) => [109, point] as const),
    ]
    for (const [offset, change] of damage) {
      expectFault(() => decodeWalletRecord(rechecked(bytes, offset, change)), QUARANTINE)
    }
  })

  test('a peer point and a key that carry the same torsion do not verify', () => {
    for (const torsion of SMALL_ORDER.slice(1)) {
      const lift = (point: Uint8Array) => ed25519.Point.fromBytes(point).add(torsion).toBytes()
      const record = own('c')
      const lifted = { ...record, pointS: lift(record.pointS), publicKey: lift(record.publicKey) }
      expectFault(() => verifyWalletRecord(lifted), QUARANTINE)
      expectFault(() => verifyWalletRecord({ ...record, publicKey: lift(record.publicKey) }), QUARANTINE)
    }
  })
})
