import { describe, expect, it } from 'vitest'
import { mulBase, negatePoint } from '../../src/engine/curve/secp256k1.ts'
import { advanceDkgC, type DkgC1, type DkgS2, startDkgC } from '../../src/engine/dkls23/dkg.ts'
import { encodeFrame, FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { respond } from '../../src/engine/dkls23/proof-of-knowledge.ts'
import { ALG_ED25519, ALG_SECP256K1, LINK_SLOTS_SOFT, ROLE_C, ROLE_S, type Role } from '../../src/engine/dkls23/suite.ts'
import { u16, u8 } from '../../src/engine/hash/encoding.ts'
import { hashToScalar } from '../../src/engine/hash/tagged-hash.ts'
import { MAX_256, Q, toLe } from '../engine/bigint-reference.ts'
import { endOf, refusalIn } from './judging.ts'
import { flipped, MaliciousC, replaced } from './malicious-c.ts'
import { MaliciousS } from './malicious-s.ts'
import { typeOf } from './mutator.ts'
import { durable, entropy, jobOf, twoParties, type TwoParties } from './two-parties.ts'

const { W1, W2, W3, W4, W5 } = FRAME_TYPES
const payload = new Uint8Array(Buffer.from('what is signed'))

/** The proof of knowledge of a share, for whatever role and sid. */
const proofOf = (sid: Uint8Array, role: Role, share: Uint8Array): Uint8Array => {
  const nonce = toLe(424_242n)
  const noncePoint = mulBase(nonce)
  const challenge = hashToScalar('dkg/pok', sid, u8(role), mulBase(share), noncePoint)
  return Uint8Array.of(...noncePoint, ...respond(nonce, challenge, share))
}

const start = async (two: TwoParties, evil: MaliciousC, count = 1) => {
  const lEpoch = two.linkC.record.lEpoch
  const inputs = { link: two.linkC.parties, entropy, lEpoch, nowMs: 0n }
  const { state, body } = startDkgC(inputs, count)
  const w2 = await evil.send(W1, NO_SID, lEpoch, body)
  return { state, body, w2, lEpoch }
}

const states = (two: TwoParties): string[] =>
  [two.storeC, two.storeS].map((store) => [...store.wallets.values()].map(({ record }) => record.state).join())

describe('S cheats C', () => {
  const share = (state: DkgS2): Uint8Array => (state.own[0] as DkgS2['own'][number]).share
  const cheats: readonly (readonly [string, (body: Uint8Array, state: DkgS2) => Uint8Array])[] = [
    ['T5 a point without its share', (body) => replaced(body, 32, mulBase(toLe(12_345n)))],
    ['T5 a proof with the other role', (body, state) => replaced(body, 97, proofOf(state.sid, ROLE_C, share(state)))],
    ['T5 a proof of another session', (body, state) => replaced(body, 97, proofOf(NO_SID, ROLE_S, share(state)))],
    ['T6 X off the curve', (body) => replaced(body, 33, new Uint8Array(32).fill(5))],
    ['T6 X as zeros', (body) => replaced(body, 32, new Uint8Array(33))],
    ['T6 a hybrid prefix', (body) => replaced(body, 32, Uint8Array.of(6))],
    ['T6 X negated', (body) => replaced(body, 32, negatePoint(body.slice(32, 65)))],
    ...[Q, Q + 1n, MAX_256].map((value): readonly [string, (body: Uint8Array) => Uint8Array] => [
      `T7 z = ${value}`,
      (body) => replaced(body, 130, toLe(value)),
    ]),
    ['T20 a proof that is not there', (body) => body.slice(0, -65)],
    ['T20 a second entry', (body) => Uint8Array.of(...body, ...body.subarray(32))],
    ['T20 nothing at all', () => new Uint8Array(0)],
  ]

  it.each(cheats)('%s: class C, and nothing is stored', async (_, W2) => {
    const two = await twoParties()
    two.wire.peer = new MaliciousS(two, { W2 }).answer
    expect(await endOf(two.newWallets(1))).toBe('C:C:protocol')
    expect(await durable(two)).toMatchObject({ c: 'ACTIVE', strikesC: 1 })
    expect(states(two)).toEqual(['', ''])
    two.wire.peer = undefined
    expect(await two.newWallets(1)).toHaveLength(1)
  })

  it('the honest proof, made by the tool, is accepted', async () => {
    const two = await twoParties()
    const W2 = (body: Uint8Array, state: DkgS2) => replaced(body, 97, proofOf(state.sid, ROLE_S, share(state)))
    two.wire.peer = new MaliciousS(two, { W2 }).answer
    // S's own transcript has its first proof, so only conf_C differs: the tool stops at W3.
    await expect(two.newWallets(1)).rejects.toThrow('confirmation')
  })

  it('a wrong conf_S: C gives the wallet up', async () => {
    const two = await twoParties()
    two.wire.peer = new MaliciousS(two, { W4: (body) => flipped(body, 0) }).answer
    expect(await endOf(two.newWallets(1))).toBe('C:C:protocol')
    expect(states(two)).toEqual(['', 'PENDING'])
    const again = await two.restart()
    await settled()
    expect(states(again)).toEqual(['', ''])
  })
})

describe('C cheats S', () => {
  it.each([
    ['T5 another z', (body: Uint8Array) => flipped(body, 130)],
    ['T5 a proof with the other role', (body: Uint8Array, sid: Uint8Array, own: Uint8Array) => replaced(body, 97, proofOf(sid, ROLE_S, own))],
    ['T5 a proof of another session', (body: Uint8Array, _: Uint8Array, own: Uint8Array) => replaced(body, 97, proofOf(NO_SID, ROLE_C, own))],
    ['X other than committed', (body: Uint8Array) => replaced(body, 0, mulBase(toLe(99n)))],
    ['cc other than committed', (body: Uint8Array) => flipped(body, 40)],
    ['another salt', (body: Uint8Array) => flipped(body, 65)],
    ['another conf', (body: Uint8Array) => flipped(body, 193)],
    ['T20 shorter', (body: Uint8Array) => body.slice(0, -65)],
  ])('%s: class C, and nothing is stored', async (_, change) => {
    const two = await twoParties()
    const evil = new MaliciousC(two)
    const { state, w2, lEpoch } = await start(two, evil)
    const own = (state.own[0] as DkgC1['own'][number]).share
    const { body } = advanceDkgC(state, w2)
    const { refusal } = await evil.send(W3, w2.sid, lEpoch, change(body, w2.sid, own))
    expect(refusal?.code).toBe('protocol')
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 1 })
    expect(states(two)).toEqual(['', ''])
    // The session is over, and the next is honest.
    expect((await evil.send(W3, w2.sid, lEpoch, body)).refusal?.code).toBe('session')
    expect(await two.newWallets(1)).toHaveLength(1)
  })

  it('T2 every message again: an answer is never given twice', async () => {
    const two = await twoParties()
    const evil = new MaliciousC(two)
    const { state, body: w1, w2, lEpoch } = await start(two, evil)
    const { body } = advanceDkgC(state, w2)
    const again = await evil.send(W1, NO_SID, lEpoch, w1)
    expect(Buffer.from(again.sid)).not.toEqual(Buffer.from(w2.sid))
    expect((await evil.send(W3, w2.sid, lEpoch, body)).type).toBe(W4)
    expect((await evil.send(W3, w2.sid, lEpoch, body)).refusal?.code).toBe('session')
    // T17: the W3 of one answer of S under the other answer's sid.
    expect((await evil.send(W3, again.sid, lEpoch, body)).refusal?.code).toBe('protocol')
    expect(states(two)).toEqual(['', 'PENDING'])
    const restarted = await two.restart()
    expect((await new MaliciousC(restarted).send(W3, w2.sid, lEpoch, body)).refusal?.code).toBe('session')
  })

  it('T19 no wallets, 65 wallets, an unknown algorithm: class C; another epoch: class A', async () => {
    const two = await twoParties()
    const evil = new MaliciousC(two)
    const { body, lEpoch } = await start(two, evil)
    const cases: [Uint8Array, number, string][] = [
      [replaced(body, 33, u16(0)), lEpoch, 'protocol'],
      [replaced(body, 33, u16(65)), lEpoch, 'protocol'],
      [replaced(body, 32, u8(3)), lEpoch, 'protocol'],
      [body, lEpoch + 1, 'session'],
    ]
    for (const [w1, epoch, code] of cases) {
      await two.linkS.save(() => ({ strikeAtMs: [0n, 0n, 0n] }))
      expect((await evil.send(W1, NO_SID, epoch, w1)).refusal?.code).toBe(code)
      expect((await durable(two)).strikesS).toBe(code === 'protocol' ? 1 : 0)
    }
  })

  it('a frame of another type under the sid of a key generation kills it', async () => {
    const two = await twoParties()
    const evil = new MaliciousC(two)
    const { state, w2, lEpoch } = await start(two, evil)
    const { body } = advanceDkgC(state, w2)
    expect((await evil.send(FRAME_TYPES.P3, w2.sid, lEpoch, new Uint8Array(0))).refusal?.code).toBe('protocol')
    expect((await evil.send(W3, w2.sid, lEpoch, body)).refusal?.code).toBe('session')
  })

  it('T30 at most 64 at a time; after ten seconds they are gone', async () => {
    const two = await twoParties()
    const evil = new MaliciousC(two)
    const runs = []
    for (let i = 0; i < 64; i++) runs.push(await start(two, evil))
    expect((await start(two, evil)).w2.refusal?.code).toBe('busy')
    two.clock.advance(10_100)
    const late = runs[0] as (typeof runs)[0]
    const { body } = advanceDkgC(late.state, late.w2)
    expect((await evil.send(W3, late.w2.sid, late.lEpoch, body)).refusal?.code).toBe('session')
    expect((await start(two, evil)).w2.refusal).toBeUndefined()
    expect(states(two)).toEqual(['', ''])
  })

  it('T50 a PENDING record that cannot be stored is not confirmed', async () => {
    const two = await twoParties()
    const { savePending } = two.storeS
    Object.assign(two.storeS, { savePending: () => Promise.reject(new Error('disk full')) })
    expect(await endOf(two.newWallets(1))).toBe('error:Error')
    expect(states(two)).toEqual(['', ''])
    Object.assign(two.storeS, { savePending })
    expect(await two.newWallets(1)).toHaveLength(1)
  })

  it('a link that burns while S stores the record confirms nothing', async () => {
    const two = await twoParties()
    const { savePending } = two.storeS
    Object.assign(two.storeS, {
      savePending: async (pending: Parameters<typeof savePending>[0]) => {
        await savePending(pending)
        await two.linkS.burn()
      },
    })
    expect(await endOf(two.newWallets(1))).toBe('S:D:link_burned')
    expect(states(two)[0]).toBe('')
  })
})

describe('a set-up of the link meanwhile', () => {
  it.each([ALG_SECP256K1, ALG_ED25519] as const)('alg %i: is waited for, and the wallet is made', async (alg) => {
    const two = await twoParties()
    await two.c.warm()
    const held = await two.newWallets(1)
    two.linkC.countSlots(LINK_SLOTS_SOFT)
    two.clock.advance(6_000)
    const [renewing, refused, go] = [1, 2, 3].map(() => Promise.withResolvers<void>())
    two.wire.toS = async (frame) => {
      if (typeOf(frame) !== FRAME_TYPES.L5) return frame
      renewing?.resolve()
      await go?.promise
      return frame
    }
    two.wire.toC = (frame) => {
      if (refusalIn(frame)?.code === 'session') refused?.resolve()
      return frame
    }
    const presigning = two.c.presign(held)
    // C is at the new epoch, S is not.
    await renewing?.promise
    const making = two.c.generate(1, alg)
    await refused?.promise
    go?.resolve()
    expect((await making).wallets).toHaveLength(1)
    expect(await presigning).toHaveLength(1)
    expect(await durable(two)).toMatchObject({ strikesC: 0, strikesS: 0 })
  })
})

const settled = () => new Promise((wake) => setTimeout(wake, 5))

describe('T51 a crash at every message', () => {
  type Side = 'C' | 'S' | 'both'
  const matrix = [W1, W2, W3, W4, W5].flatMap((cut) => (['C', 'S', 'both'] as const).map((side) => [cut, side] as const))

  it.each(matrix)('message %i lost, then %s starts anew', async (cut: number, side: Side) => {
    const two = await twoParties()
    let crashed: TwoParties | undefined
    // A process that dies does not tidy up.
    if (side !== 'S') Object.assign(two.storeC, { dropPending: async () => {} })
    const cutOff = <T extends Uint8Array | undefined>(frame: T): T => {
      if (frame !== undefined && typeOf(frame) === cut) throw new Error('cut off')
      return frame
    }
    two.wire.toS = cutOff
    two.wire.toC = cutOff
    let released: Uint8Array | undefined
    await two.newWallets(1).then(
      ([made]) => (released = made),
      () => undefined,
    )
    expect(released !== undefined).toBe(cut === W5)
    // What is durable decides; a process that lives on and one that starts anew settle it alike.
    if (side === 'S') {
      two.wire.toS = (frame) => frame
      two.wire.toC = (frame) => frame
      const other = await two.restart()
      two.wire.peer = (frame) => other.s.answer(frame)
      crashed = { ...other, c: two.c, linkC: two.linkC }
      await two.c.connect()
    } else crashed = await two.restart()
    await settled()
    const [atC, atS] = states(crashed)
    expect(atS).toBe(released === undefined ? '' : 'ACTIVE')
    if (released !== undefined) {
      expect(atC).toBe('ACTIVE')
      const [ready] = await crashed.c.presign([released])
      expect(await endOf(crashed.c.sign(jobOf(ready as NonNullable<typeof ready>, payload)))).toBe('done')
    } else expect(atC).not.toContain('ACTIVE')
    expect(await crashed.storeS.pendingWallets()).toEqual([])
  })

  it('the ACK lost and nobody restarted: the next presign stands for it', async () => {
    const two = await twoParties()
    two.wire.toS = (frame) => {
      if (typeOf(frame) === W5) throw new Error('cut off')
      return frame
    }
    const ids = await two.newWallets(1)
    expect(states(two)).toEqual(['ACTIVE', 'PENDING'])
    expect(await two.c.presign(ids)).toHaveLength(1)
    expect(states(two)).toEqual(['ACTIVE', 'ACTIVE'])
  })

  it('W4 comes after C answered ABORTED: no address is released', async () => {
    const two = await twoParties()
    two.wire.toC = async (frame) => {
      if (frame === undefined || typeOf(frame) !== W4) return frame
      const again = await twoParties({ storeC: two.storeC, storeS: two.storeS, clock: two.clock })
      await settled()
      expect(states(again)).toEqual(['', ''])
      return frame
    }
    await expect(two.newWallets(1)).rejects.toThrow('no pending wallet')
    expect(states(two)).toEqual(['', ''])
  })

  it('S asks about all of them, in as many questions as it takes, and a failing answer changes nothing', async () => {
    const two = await twoParties()
    two.wire.toS = (frame) => {
      if (typeOf(frame) === W5) throw new Error('cut off')
      return frame
    }
    for (let i = 0; i < 5; i++) await two.newWallets(64)
    expect(await two.storeS.pendingWallets()).toHaveLength(320)
    const deaf = await twoParties({ storeC: two.storeC, storeS: two.storeS, clock: two.clock })
    deaf.wire.question = () => {
      throw new Error('gone')
    }
    await settled()
    const again = await twoParties({ storeC: two.storeC, storeS: two.storeS, clock: two.clock })
    await settled()
    expect(await again.storeS.pendingWallets()).toEqual([])
    expect(new Set([...again.storeS.wallets.values()].map(({ record }) => record.state))).toEqual(new Set(['ACTIVE']))
  })

  it('a store that fails while S wants to ask is an alert and no crash', async () => {
    const two = await twoParties()
    Object.assign(two.storeS, { pendingWallets: () => Promise.reject(new Error('disk full')) })
    const again = await twoParties({ storeC: two.storeC, storeS: two.storeS, clock: two.clock })
    await settled()
    expect(again.alerts).toContain('S:outcome:disk full')
  })

  it('T1 a malformed question of S is its violation; one over another link is class A', async () => {
    const two = await twoParties()
    const { linkId } = two.linkC.parties
    const question = { type: FRAME_TYPES.OUTCOME_QUESTION, role: ROLE_S, linkId, lEpoch: 0, sid: NO_SID } as const
    const ask = async (frame: Uint8Array) => {
      const answer = await two.c.answerQuestion(frame)
      // C's frames have C's role: read past the header.
      return answer?.[64]
    }
    expect(await ask(encodeFrame({ ...question, body: new Uint8Array(2) }))).toBe(7)
    expect(await ask(encodeFrame({ ...question, linkId: new Uint8Array(16), body: new Uint8Array(2) }))).toBe(4)
    expect(await ask(encodeFrame({ ...question, sid: new Uint8Array(32).fill(1), body: new Uint8Array(2) }))).toBe(7)
    expect(await durable(two)).toMatchObject({ strikesC: 2, strikesS: 0 })
  })
})
