/** A delegate that lies, over its stream: what it costs, and that it costs nobody else anything. */
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { FRAME_TYPES, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { createDelegateHost } from '../../src/party/delegate-host.ts'
import { PeerUnavailable } from '../../src/party/counterparty.ts'
import { delegatedDecisions } from '../../src/signing/delegated-sign.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { decodeLinkRecord } from '../../src/engine/dkls23/records.ts'
import { getLink } from '../../src/vault/links.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { betOnRow, flipped, MaliciousC } from '../party/malicious-c.ts'
import type { TwoParties } from '../party/two-parties.ts'
import {
  activeDelegate,
  closeGranting,
  type Delegate,
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
