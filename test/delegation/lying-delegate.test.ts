/** A delegate that lies, over its stream: what it costs, and that it costs nobody else anything. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { encodeFrame, FRAME_TYPES, type FrameType, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { encodeOutcomeAnswers } from '../../src/engine/dkls23/outcome.ts'
import type { PresignC1 } from '../../src/engine/dkls23/presign.ts'
import { type Alg, ALG_ED25519, ROLE_C } from '../../src/engine/dkls23/suite.ts'
import { scalarAdd } from '../../src/engine/kernel/scalar.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { toLe } from '../engine/bigint-reference.ts'
import { createDelegateHost } from '../../src/party/delegate-host.ts'
import { PeerUnavailable } from '../../src/party/counterparty.ts'
import { delegatedDecisions } from '../../src/signing/delegated-sign.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { decodeLinkRecord } from '../../src/engine/dkls23/records.ts'
import { getLink } from '../../src/vault/links.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { refusalIn } from '../party/judging.ts'
import { betOnRow, flipped, MaliciousC, replaced } from '../party/malicious-c.ts'
import { withBody } from '../party/mutator.ts'
import type { TwoParties } from '../party/two-parties.ts'
import {
  activeDelegate,
  closeGranting,
  type Delegate,
  edJobFor,
  grant,
  type Granting,
  jobFor,
  joinDelegate,
  messageOf,
  openGranting,
} from './granting-scene.ts'

let own: Granting['own']
let stage: Granting['stage']
let honest: Delegate
beforeAll(async () => {
  ({ own, stage } = await openGranting())
  honest = await activeDelegate(stage, await grant(own.vault))
})
afterAll(() => closeGranting({ own, stage }))

/** With the delegate's share and material, saying what it likes over the delegate's own stream. */
const evilOf = ({ link, store, carrier }: Delegate): MaliciousC =>
  new MaliciousC({
    linkC: link,
    storeC: store,
    s: { answer: async (bytes: Uint8Array) => (await carrier.frame(bytes)).frame },
  } as unknown as TwoParties)

const stored = ({ link }: Delegate) => {
  const { state, strikeAtMs } = decodeLinkRecord(getLink(own.vault.read, link.parties.linkId)!.control)
  return { state, strikes: strikeAtMs.filter((at) => at !== 0n).length }
}

const sign = async (delegate: Delegate): Promise<void> => {
  const [ready] = await delegate.c.presign([delegate.walletId])
  await delegate.c.sign(jobFor(delegate.granted, ready!, messageOf('x')))
}

const ready = async (): Promise<Delegate> => {
  const delegate = await activeDelegate(stage, await grant(own.vault))
  await sign(delegate)
  return delegate
}

describe('a lying delegate', () => {
  it('T8 T23 that bets on the daemon\u2019s secret burns its own link, durably, and nobody else\u2019s', async () => {
    const delegate = await ready()
    const evil = evilOf(delegate)
    const run = await evil.untilP3([delegate.walletId])
    const rows = Array.from({ length: 24 }, (_, row) => row)
    const { refusal } = await evil.sendP3(run.sid, betOnRow(run.state, run.body, rows))
    expect(refusal?.code).toBe('link_burned')
    expect(stored(delegate)).toEqual({ state: 'BURNED', strikes: 0 })
    await expect(delegate.c.presign([delegate.walletId])).rejects.toBeDefined()
    expect((await evil.send(FRAME_TYPES.L1, NO_SID, 9, new Uint8Array(37))).refusal?.code).toBe('link_burned')
    expect(stage.alerts.some((alert) => alert.startsWith('burned'))).toBe(true)
    expect(stored(honest)).toEqual({ state: 'ACTIVE', strikes: 0 })
    await sign(honest)
    // The share is still there for an operator to decide about; taking the access back destroys it as ever.
    expect(getShare(own.vault.read, delegate.walletId)?.state).toBe('ACTIVE')
  })

  it('T38 that garbles a set-up burns its link in the self-test, before any share was an input', async () => {
    const delegate = await joinDelegate(stage, await grant(own.vault))
    const evil = evilOf(delegate)
    const answer = await evil.setUp('first', 1, { P3: (body) => flipped(body, 9) })
    expect(answer.refusal?.code).toBe('link_burned')
    expect(stored(delegate).state).toBe('BURNED')
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'FORKED', lastUsedEpoch: 0 })
    await sign(honest)
  })

  it('T43 that breaks the protocol three times has its link suspended', async () => {
    const delegate = await ready()
    const evil = evilOf(delegate)
    for (const strikes of [1, 2, 3]) {
      const run = await evil.untilP3([delegate.walletId])
      const { refusal } = await evil.sendP3(run.sid, run.body.subarray(1))
      expect(refusal?.code).toBe('protocol')
      expect(stored(delegate)).toEqual({ state: strikes === 3 ? 'SUSPENDED' : 'ACTIVE', strikes })
    }
    await expect(delegate.c.presign([delegate.walletId])).rejects.toMatchObject({ refusal: { code: 'link_suspended' } })
    await sign(honest)
  })

  it('T12 whose half of a signature is wrong has its wallet suspended: no strike, the owner\u2019s wallet goes on', async () => {
    const delegate = await ready()
    const [one, two] = await delegate.c.presign([delegate.walletId, delegate.walletId])
    const W_AT = 64 + 150
    delegate.wire.toS = (frame) => (frame[5] === FRAME_TYPES.SIGN_REQUEST ? flipped(frame, W_AT) : frame)
    await expect(delegate.c.sign(jobFor(delegate.granted, one!, messageOf('x')))).rejects.toMatchObject({ refusal: { code: 'protocol' } })
    delegate.wire.toS = (frame) => frame
    await expect(delegate.c.sign(jobFor(delegate.granted, two!, messageOf('x')))).rejects.toMatchObject({
      answer: { refusal: { reason: 'WALLET_SUSPENDED' } },
    })
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes: 0 })
    expect(getShare(own.vault.read, delegate.walletId)?.state).toBe('SUSPENDED')
    const { rows } = await readAuditPage(own.vault.read, 0n, 10_000, { filter: { kind: 'delegated_access.suspended' } })
    expect(rows.at(-1)?.subject).toEqual({ type: 'delegated_access', id: delegate.granted.access.accessId })
    await sign(honest)
  })

  it('T21 T56 that has not the share refreshes nothing, and an honest try does afterwards', async () => {
    const delegate = await joinDelegate(stage, await grant(own.vault))
    delegate.wire.toS = (frame) => (frame[5] === FRAME_TYPES.F3 ? flipped(frame, frame.length - 40) : frame)
    await expect(delegate.c.refreshes.refresh(delegate.walletId)).rejects.toMatchObject({ refusal: { code: 'protocol' } })
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'FORKED', wEpoch: 0 })
    expect(stage.accessOf(delegate.granted.access.accessId).state).toBe('PENDING')
    delegate.wire.toS = (frame) => frame
    await delegate.c.refreshes.refresh(delegate.walletId)
    await sign(delegate)
  })

  it('T2 that says the same twice is refused without cost', async () => {
    const delegate = await ready()
    const evil = evilOf(delegate)
    const run = await evil.untilP3([delegate.walletId])
    expect((await evil.sendP3(run.sid, run.body)).refusal).toBeUndefined()
    expect((await evil.sendP3(run.sid, run.body)).refusal?.code).toBe('session')
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes: 0 })
  })

  it('T55 whose decision was lost on the way is asked for it', async () => {
    const delegate = await joinDelegate(stage, await grant(own.vault))
    // F4 is lost: the daemon holds a record that is not decided, the delegate none.
    let isCut = false
    delegate.wire.toS = (frame) => (isCut ? Promise.reject(new PeerUnavailable('cut')) : frame)
    delegate.wire.toC = (frame) => {
      isCut ||= frame?.[5] === FRAME_TYPES.F4
      if (isCut) throw new PeerUnavailable('cut')
      return frame
    }
    await expect(delegate.c.refreshes.refresh(delegate.walletId)).rejects.toBeDefined()
    expect(getShare(own.vault.read, delegate.walletId, 'pending')).toBeDefined()
    delegate.wire.toS = (frame) => frame
    delegate.wire.toC = (frame) => frame
    await delegate.c.refreshes.refresh(delegate.walletId)
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'ACTIVE', wEpoch: 1 })
    await sign(delegate)
  })

  it('that is reported without end hides no burn from whoever reads the alerts', () => {
    const told: string[] = []
    const events = { outcome: () => undefined, question: async () => undefined, alert: (what: string) => void told.push(what) }
    const host = createDelegateHost(own.vault, stage.needs.clock, delegatedDecisions(stage.needs), events)
    for (let i = 0; i < 1_000; i++) host.alert({ what: 'disagreement', detail: 'again' })
    host.alert({ what: 'burned', detail: 'its link' })
    expect(told).toHaveLength(101)
    expect(told.at(-1)).toBe('burned')
  })

  it('T30 that asks for new shares without end is refused after a while', async () => {
    const delegate = await joinDelegate(stage, await grant(own.vault))
    const refresh = async (): Promise<void> => {
      await delegate.c.refreshes.refresh(delegate.walletId)
    }
    let made = 0
    try {
      for (; made < 30; made++) await refresh()
    } catch (error) {
      expect(error).toMatchObject({ refusal: { code: 'plan_refused' } })
    }
    expect(made).toBe(20)
    await sign(delegate)
  })
})

describe('every step of a lying delegate', () => {
  const { L3, P1, F1, F3, E1, ED_SIGN_REQUEST, SIGN_REQUEST, OUTCOME_ANSWER, HELLO } = FRAME_TYPES
  const BODY = 64
  /** What the daemon answers to the bent frame, and what that costs: 0 class A, 1 a strike. */
  type Step = readonly [string, FrameType, (frame: Uint8Array) => Uint8Array, string, 0 | 1]
  const flip = (at: number, mask = 1) => (frame: Uint8Array) => flipped(frame, at, mask)
  const set = (at: number, ...bytes: number[]) => (frame: Uint8Array) => replaced(frame, at, Uint8Array.from(bytes))
  const shorter = (frame: Uint8Array): Uint8Array => withBody(frame, frame.slice(BODY, -1))

  /** Bends every frame of the type; the codes that came back for those. */
  const bent = async (delegate: Delegate, type: FrameType, bend: (frame: Uint8Array) => Uint8Array, work: () => Promise<unknown>) => {
    const codes: (string | undefined)[] = []
    let isBent = false
    delegate.wire.toS = (frame) => {
      isBent = frame[5] === type
      return isBent ? bend(frame) : frame
    }
    delegate.wire.toC = (frame) => {
      if (isBent) codes.push(refusalIn(frame)?.code)
      return frame
    }
    const end = await work().then(() => 'done', () => 'refused')
    delegate.wire.toS = (frame) => frame
    delegate.wire.toC = (frame) => frame
    return { codes, end }
  }
  const fresh = async (alg?: Alg): Promise<Delegate> => joinDelegate(stage, await grant(own.vault, alg === undefined ? {} : { alg }))

  const REFRESH: readonly Step[] = [
    ['T1 an opening of something else', F3, flip(BODY + 70), 'protocol', 1],
    ['T20 a byte less', F3, shorter, 'protocol', 1],
    ['T1 no magic', F1, flip(0), 'protocol', 1],
    ['T16 the role of the daemon', F1, flip(6, 3), 'protocol', 1],
    ['T3 another session', F3, flip(30), 'session', 0],
    ['T23 another wallet', F1, flip(BODY + 34), 'wallet_state', 0],
    ['T21 an epoch that is over', F1, flip(BODY + 50), 'plan_refused', 0],
    ['T19 no wallet at all', F1, (frame) => withBody(frame, replaced(frame.slice(BODY), 32, new Uint8Array(2))), 'protocol', 1],
  ]
  it.each(REFRESH)('the refresh, %s', async (_, type, bend, code, strikes) => {
    const delegate = await fresh()
    const { codes, end } = await bent(delegate, type, bend, () => delegate.c.refreshes.refresh(delegate.walletId))
    expect([new Set(codes), end]).toEqual([new Set([code]), 'refused'])
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes })
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'FORKED', wEpoch: 0 })
    expect(stage.accessOf(delegate.granted.access.accessId).state).toBe('PENDING')
    await delegate.c.refreshes.refresh(delegate.walletId)
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'ACTIVE', wEpoch: 1 })
  })

  it('T36 T40 T45 the set-up: points that are none, epochs that are not next', async () => {
    const delegate = await fresh()
    const evil = evilOf(delegate)
    for (const lEpoch of [0, 2_000, 0xffff_ffff]) expect((await evil.setUp('first', lEpoch)).refusal?.code).toBe('epoch_rejected')
    expect(stored(delegate).strikes).toBe(0)
    expect((await evil.setUp('first', 1, { L1: (body) => flipped(body, 32) })).refusal?.code).toBe('protocol')
    expect((await evil.setUp('first', 1, { L3: (body) => flipped(body, 0, 4) })).refusal?.code).toBe('protocol')
    expect((await evil.send(L3, new Uint8Array(32).fill(1), 1, new Uint8Array(16_896))).refusal?.code).toBe('session')
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes: 2 })
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'FORKED', lastUsedEpoch: 0 })
  })

  it.each([
    ['T10 another η', undefined, (body: Uint8Array, from: number) => flipped(body, from + 39_936)],
    ['T11 the share of another wallet', ({ secrets }: PresignC1) => secrets.shares.set(scalarAdd(secrets.shares.subarray(0, 32), toLe(1n))), undefined],
  ] as const)('a presign session, %s: its link burns', async (_, meddle, change) => {
    const delegate = await ready()
    const evil = evilOf(delegate)
    const run = await evil.untilP3([delegate.walletId], meddle)
    const { refusal, bytes } = await evil.sendP3(run.sid, change?.(run.body, run.extension) ?? run.body)
    expect(refusal?.code).toBe('link_burned')
    // Nothing says which check it was.
    expect(bytes).toHaveLength(BODY + 3)
    expect(stored(delegate)).toEqual({ state: 'BURNED', strikes: 0 })
    await sign(honest)
  })

  it('T13 T19 T26 T41 sessions and signatures that are refused without a strike, and the presignature is gone', async () => {
    const delegate = await ready()
    const presign = () => delegate.c.presign([delegate.walletId])
    const link = () => stage.delegates.status().then((all) => all.find(({ linkId }) => hexOf(linkId) === hexOf(delegate.link.parties.linkId)))
    expect((await bent(delegate, P1, flip(BODY + 50), presign)).codes[0]).toBe('plan_refused')
    for (const [at, code] of [[BODY + 36, 'unknown_presig'], [BODY + 68, 'disagreement'], [BODY + 32, 'unknown_presig']] as const) {
      const [one] = await presign()
      const { codes, end } = await bent(delegate, SIGN_REQUEST, flip(at), () => delegate.c.sign(jobFor(delegate.granted, one!, messageOf('x'))))
      expect([codes, end]).toEqual([[code], 'refused'])
      // The one that was not named, as another was, is there for its time; those that were are gone.
      expect((await link())?.presignatures).toBe(1)
    }
    const nothing = { walletId: delegate.walletId, wEpoch: 2, sid: new Uint8Array(32), verdict: 'COMMITTED' } as const
    await evilOf(delegate).send(OUTCOME_ANSWER, NO_SID, 1, encodeOutcomeAnswers([nothing])).catch(() => undefined)
    expect(getShare(own.vault.read, delegate.walletId)).toMatchObject({ state: 'ACTIVE', wEpoch: 1 })
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes: 0 })
    await sign(delegate)
  })

  it('T19 T20 T33 Ed25519: no slots, nonces that are no points, a z that is not its share\u2019s', async () => {
    const edReady = async (): Promise<Delegate> => {
      const delegate = await fresh(ALG_ED25519)
      await delegate.c.refreshes.refresh(delegate.walletId)
      return delegate
    }
    const delegate = await edReady()
    const presign = () => delegate.c.ed.presign([delegate.walletId])
    expect((await bent(delegate, E1, (frame) => withBody(frame, replaced(frame.slice(BODY), 54, new Uint8Array(32))), presign)).codes).toEqual(['protocol'])
    expect((await bent(delegate, E1, set(BODY + 32, 0, 0), presign)).codes).toEqual(['protocol'])
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes: 2 })
    const second = await edReady()
    const [one, two] = await second.c.ed.presign([second.walletId, second.walletId])
    const signing = (presignature: typeof one) => second.c.ed.sign(edJobFor(second.granted, presignature!, messageOf('x')))
    expect((await bent(second, ED_SIGN_REQUEST, flip(BODY + 68), () => signing(one))).codes).toEqual(['disagreement'])
    expect((await bent(second, ED_SIGN_REQUEST, flip(BODY + 100), () => signing(two))).codes).toEqual(['protocol'])
    expect(getShare(own.vault.read, second.walletId)?.state).toBe('SUSPENDED')
    expect(stored(second)).toEqual({ state: 'ACTIVE', strikes: 0 })
    await sign(honest)
  })

  it('T1 what is no frame, or a hello of nobody, is a strike; what is for another link is none of its own', async () => {
    const delegate = await fresh()
    const raw = async (frame: Uint8Array) => refusalIn((await delegate.carrier.frame(frame)).frame)?.code
    const hello = encodeFrame({ type: HELLO, role: ROLE_C, linkId: delegate.link.parties.linkId, lEpoch: 0, sid: NO_SID, body: new Uint8Array(16) })
    expect(await raw(flipped(hello, 9))).toBe('session')
    expect(stored(delegate).strikes).toBe(0)
    expect(await raw(new Uint8Array(0))).toBe('protocol')
    expect(await raw(hello.slice(0, -1))).toBe('protocol')
    expect(stored(delegate)).toEqual({ state: 'ACTIVE', strikes: 2 })
    await sign(honest)
  })
})
