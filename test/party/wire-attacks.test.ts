/**
 * The catalogue of attacks over the real channel: a daemon that lies and a cosigner that lies, each with the shares and the
 * certificate of the party that it was, meet the same refusals as in memory, and the stream outlives them.
 */
import { afterAll, beforeAll, beforeEach, describe, expect, it, vi } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { directionSid } from '../../src/engine/dkls23/contexts.ts'
import type { PresignS2 } from '../../src/engine/dkls23/presign.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { MAX_256, toLe } from '../engine/bigint-reference.ts'
import { referenceExtend, referenceOteMessage } from '../engine/multiplication-reference.ts'
import { FRAMES, openDamage } from './damage.ts'
import { endOf } from './judging.ts'
import { betOnRow, deltaBit, flipped, MaliciousC, replaced } from './malicious-c.ts'
import { type Bends, MaliciousS } from './malicious-s.ts'
import { pairedVaults } from './remote-scene.ts'
import { durable, jobOf, twoParties, type TwoParties } from './two-parties.ts'
import { type Wired, wiredParties } from './wired-parties.ts'

vi.setConfig({ testTimeout: 60_000, hookTimeout: 120_000 })

let vaults: Awaited<ReturnType<typeof pairedVaults>>
let two: TwoParties
let ids: Uint8Array[]
let wired: Wired
let damage: ReturnType<typeof openDamage>

beforeAll(async () => {
  vaults = await pairedVaults()
  two = await twoParties({ idC: vaults.daemon.own.partyId, idS: vaults.cosigner.own.partyId })
  await two.c.warm()
  wired = await wiredParties(two, vaults)
  ids = await two.newWallets(2)
  damage = openDamage(two, ids[0] as Uint8Array)
})
beforeEach(async () => {
  wired.answering = wired.honest
  await damage.heal()
  for (const id of ids) for (const store of [two.storeC, two.storeS]) await store.setWalletState(id, 'ACTIVE', '')
  two.s.wipeSessions()
  two.c.wipeSessions()
})
afterAll(async () => {
  wired.close()
  await vaults.close()
})

const payload = new Uint8Array(Buffer.from('what is signed'))
const sign = async (): Promise<unknown> => {
  const [ready] = await two.c.presign(ids)
  if (ready === undefined) throw new Error('no presignature')
  return two.c.sign(jobOf(ready, payload))
}
const stands = (): void => expect([wired.misspoke, wired.ended]).toEqual([[], []])

/** Which damages are tried; another number tries others. */
const seed = Number(process.env.WIRE_ATTACKS_SEED ?? Math.floor(Math.random() * 1_000))

describe(`T1 frames damaged on the way to either side (WIRE_ATTACKS_SEED=${seed})`, () => {
  it.each(FRAMES)('%s', async (...row) => {
    const every = row[1] === 'setUp' ? 12 : 9
    expect(await damage.judge(row, (at) => at % every === seed % every)).toBeGreaterThan(0)
    stands()
  })
})

describe('a daemon that lies', () => {
  it('T2 says P3 twice, T13 uses a presignature twice, T3 brings frames of another session', async () => {
    const evil = new MaliciousC(two)
    const { sid, body, state, p2 } = await evil.untilP3(ids)
    const p4 = await evil.sendP3(sid, body)
    expect(p4.refusal).toBeUndefined()
    expect((await evil.sendP3(sid, body)).refusal?.code).toBe('session')
    expect((await evil.send(FRAME_TYPES.P3, p2.sid.map((byte) => byte ^ 1), evil.mine.lEpoch, body)).refusal?.code).toBe('session')
    const made = evil.finish(state, p4)
    const [ready] = await two.c.presign(ids)
    const request: Uint8Array[] = []
    two.wire.toS = (frame) => {
      request.push(frame.slice())
      return frame
    }
    await two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))
    const again = request.at(-1) as Uint8Array
    // The same request again is the same answer; its presignature under another request is unknown.
    const bent = again.slice()
    bent[64 + 16 + 16 + 4 + 16] = (bent[64 + 16 + 16 + 4 + 16] ?? 0) ^ 1
    const answers = await Promise.all([two.s.answer(again), two.s.answer(bent)])
    expect(answers.map((frame) => frame?.[5])).toEqual([FRAME_TYPES.SIGN_RESPONSE, FRAME_TYPES.ERROR])
    expect(made).toHaveLength(2)
    expect(await durable(two)).toMatchObject({ s: 'ACTIVE', strikesS: 0 })
    stands()
  })

  it('T8 bets on rows: the link burns at the first failure, for every wallet, and nothing else is told', async () => {
    const rows = new Set<number>()
    for (let row = 0; row < 64 && rows.size < 2; row++) {
      await damage.heal()
      const evil = new MaliciousC(two)
      const bit = deltaBit(two.linkS.material as NonNullable<typeof two.linkS.material>, row)
      const run = await evil.untilP3(ids)
      const answer = await evil.sendP3(run.sid, betOnRow(run.state, run.body, [row]))
      expect(answer.refusal?.code).toBe(bit === 0 ? undefined : 'link_burned')
      if (bit === 1) {
        expect(Buffer.from(answer.bytes.subarray(60)).toString('hex')).toBe('03000000080000')
        expect(await endOf(two.c.presign([ids[1] as Uint8Array]))).toBe('S:D:link_burned')
        expect(await endOf(two.c.generate(1))).not.toBe('done')
        expect((await durable(two)).s).toBe('BURNED')
      }
      rows.add(bit)
    }
    expect(rows.size).toBe(2)
    stands()
  })

  it('T7 T20 sends scalars and lengths that there are not: three strikes suspend the link', async () => {
    const evil = new MaliciousC(two)
    for (const change of [
      (body: Uint8Array, from: number) => replaced(body, from, toLe(MAX_256)),
      (body: Uint8Array) => body.slice(0, -1),
      () => new Uint8Array(0),
    ]) {
      const run = await evil.untilP3(ids)
      expect((await evil.sendP3(run.sid, change(run.body, run.extension))).refusal?.code).toBe('protocol')
    }
    expect(await durable(two)).toMatchObject({ s: 'SUSPENDED', strikesS: 3 })
    expect(await endOf(sign())).toBe('S:A:link_suspended')
    stands()
  })

  it('T30 floods with sessions that it does not go on with: the next honest one has its turn', async () => {
    const evil = new MaliciousC(two)
    const codes = new Set<string | undefined>()
    for (let i = 0; i < 20; i++) codes.add((await evil.begin(ids)).p2.refusal?.code)
    expect(codes).toEqual(new Set([undefined, 'busy']))
    two.clock.advance(2_001)
    expect(await endOf(sign())).toBe('done')
    stands()
  })

  it('T4 answers with what S said, and T16 speaks for another link', async () => {
    const evil = new MaliciousC(two)
    const { sid, p2 } = await evil.untilP3(ids)
    const mirrored = await two.s.answer(p2.bytes)
    expect(mirrored?.[5]).toBe(FRAME_TYPES.ERROR)
    const other = (await evil.send(FRAME_TYPES.P1, NO_SID, evil.mine.lEpoch, new Uint8Array(84))).refusal
    expect(other?.code).toBeDefined()
    const run = await two.s.answer(flipped(p2.bytes, 8))
    expect(run?.[5]).toBe(FRAME_TYPES.ERROR)
    expect(sid).toHaveLength(32)
    expect((await durable(two)).s).toBe('ACTIVE')
    stands()
  })
})

describe('a cosigner that lies', () => {
  const against = async (bends: Bends, work: () => Promise<unknown> = () => two.c.presign(ids)): Promise<string> => {
    wired.answering = new MaliciousS(two, bends).answer
    const end = await endOf(work())
    wired.answering = wired.honest
    return end
  }
  const betOfS = (row: number) => (body: Uint8Array, state: PresignS2) => {
    const id = directionSid(state.sid, ROLE_C, ROLE_S)
    const { u, t } = referenceExtend(id, state.material.seedPairs, state.secrets.choices)
    const bet = u.map((bits, i) => (i === row ? bits.map((byte, at) => (at === 5 ? byte ^ 4 : byte)) : bits))
    return replaced(body, 64, referenceOteMessage(id, bet, t, state.secrets.choices))
  }

  it("T8 bets on C's Δ: burned at the daemon exactly where the bet is lost", async () => {
    const seen = new Set<number>()
    for (let row = 0; row < 64 && seen.size < 2; row++) {
      await damage.heal()
      const bit = deltaBit(two.linkC.material as NonNullable<typeof two.linkC.material>, row)
      expect(await against({ P2: betOfS(row) })).toBe(bit === 0 ? 'done' : 'C:D:link_burned')
      expect(two.linkC.burned).toBe(bit === 1)
      seen.add(bit)
    }
    expect(seen.size).toBe(2)
    stands()
  })

  it.each([
    ['T10 another η', { P4: (half: Uint8Array) => flipped(half, 39_936) }, 'C:D:link_burned'],
    ['T7 ã that is no scalar', { P4: (half: Uint8Array) => replaced(half, 0, toLe(MAX_256)) }, 'C:C:protocol'],
    ['T20 a short half', { P4: (half: Uint8Array) => half.slice(0, -1) }, 'C:C:protocol'],
    ['T17 another commitment', { P2: (body: Uint8Array) => flipped(body, 40) }, 'C:C:protocol'],
  ] as const)('%s', async (_, bends, end) => {
    expect(await against(bends)).toBe(end)
    expect((await durable(two)).c).toBe(end.includes(':D:') ? 'BURNED' : 'ACTIVE')
    stands()
  })

  it('T12 a signature that is none stops the wallet and leaves the link', async () => {
    const work = async () => {
      const [ready] = await two.c.presign(ids.slice(0, 1))
      return two.c.sign(jobOf(ready as NonNullable<typeof ready>, payload))
    }
    expect(await against({ signature: (body) => flipped(body, 60) }, work)).toMatch(/^C:C:/)
    expect((await two.storeC.loadWallet(ids[0] as Uint8Array))?.state).toBe('SUSPENDED')
    expect((await durable(two)).c).toBe('ACTIVE')
    stands()
  })

  it('T5 a key of its own choosing, T51 no wallet without both shares', async () => {
    const count = two.storeC.wallets.size
    expect(await against({ W2: (body) => flipped(body, 40) }, () => two.c.generate(1))).toMatch(/^C:C:/)
    expect(await against({ W4: (body) => flipped(body, 0) }, () => two.c.generate(1))).toMatch(/^C:C:/)
    const active = [...two.storeC.wallets.values()].filter(({ record }) => record.state === 'ACTIVE')
    expect(active.length).toBeLessThanOrEqual(count)
    stands()
  })

  it('T30 that answers nothing leaves no lock held', async () => {
    wired.answering = async () => undefined
    expect(await endOf(two.c.presign(ids))).toBe('C:A:session')
    wired.answering = wired.honest
    expect(two.linkC.lock.busy).toBe(false)
    expect(await endOf(sign())).toBe('done')
    stands()
  })
})
