/** Who joins, and what may be said on a stream. */
import { randomBytes, sign } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { openCosign } from '../../src/delegation/cosign.ts'
import type { DelegateCaller } from '../../src/domain/call.ts'
import { decodeError, decodeFrame, encodeFrame, FRAME_TYPES, type FrameType, NO_SID } from '../../src/engine/dkls23/frame.ts'
import { ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { concatBytes, u16, u32 } from '../../src/engine/hash/encoding.ts'
import { cosignStatement, isCosignProven } from '../../src/engine/sealing/cosign-proof.ts'
import { delegateLinkOf } from '../../src/party/delegate-links.ts'
import { DelegateParties } from '../../src/party/delegate-parties.ts'
import { encodeSigningPayload } from '../../src/payload/signing-payload.ts'
import { delegatedDecisions } from '../../src/signing/delegated-sign.ts'
import { callerOfAccess } from '../../src/signing/delegated-standing.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import {
  activeDelegate,
  closeGranting,
  type Delegate,
  grant,
  type Granted,
  type Granting,
  type Identity,
  jobFor,
  joinStage,
  messageOf,
  newIdentity,
  openGranting,
} from './granting-scene.ts'

let own: Granting['own']
let stage: Granting['stage']
let granted: Granted
let delegate: Delegate
beforeAll(async () => {
  ({ own, stage } = await openGranting())
  granted = await grant(own.vault)
  delegate = await activeDelegate(stage, granted)
})
afterAll(() => closeGranting({ own, stage }))

describe('who joins', () => {
  const question = async (): Promise<undefined> => undefined
  const open = (caller: DelegateCaller = callerOfAccess(granted.access)) => openCosign(stage.cosign, caller, { question, end: () => undefined })
  const nonce = new Uint8Array(randomBytes(32))
  const hello = (identity: Identity, accessId: string = granted.access.accessId) => ({ accessId, publicKey: identity.publicKey, nonce })
  const notProven = { reason: 'DELEGATE_NOT_PROVEN' }

  it('is answered by the daemon that the share is bound to, which proves it', () => {
    const { publicKey, nonce: nonceS, signature } = open().hello(hello(granted.identity))
    const parties = { idC: granted.identity.idC, idS: stage.delegates.partyId, accessId: granted.own.walletId, nonceC: nonce, nonceS }
    expect(isCosignProven('daemon', parties, publicKey, signature)).toBe(true)
    expect(isCosignProven('delegate', parties, publicKey, signature)).toBe(false)
    expect(isCosignProven('daemon', { ...parties, nonceC: nonceS }, publicKey, signature)).toBe(false)
  })

  it('is the delegate that the access was given to, and says which access', async () => {
    const stranger = newIdentity()
    const other = await grant(own.vault)
    expect(() => open().hello(hello(stranger))).toThrow(expect.objectContaining(notProven))
    expect(() => open().hello(hello(other.identity))).toThrow(expect.objectContaining(notProven))
    expect(() => open().hello(hello(granted.identity, other.access.accessId))).toThrow(expect.objectContaining(notProven))
    // With the key of one access, the identity of its own delegate only.
    expect(() => open(callerOfAccess(other.access)).hello(hello(granted.identity))).toThrow(expect.objectContaining(notProven))
  })

  it('signs what the daemon drew for it, in its own role', async () => {
    const proofs = [
      (parties: Parameters<typeof cosignStatement>[1]) => sign(null, cosignStatement('delegate', parties), newIdentity().privateKey),
      (parties: Parameters<typeof cosignStatement>[1]) => sign(null, cosignStatement('daemon', parties), granted.identity.privateKey),
      (parties: Parameters<typeof cosignStatement>[1]) =>
        sign(null, cosignStatement('delegate', { ...parties, nonceS: nonce }), granted.identity.privateKey),
      () => new Uint8Array(64),
      () => new Uint8Array(0),
    ]
    for (const prove of proofs) {
      const session = open()
      const { nonce: nonceS } = session.hello(hello(granted.identity))
      const parties = { idC: granted.identity.idC, idS: stage.delegates.partyId, accessId: granted.own.walletId, nonceC: nonce, nonceS }
      await expect(session.prove(new Uint8Array(prove(parties)))).rejects.toMatchObject(notProven)
      await expect(session.frame(new Uint8Array(64))).rejects.toMatchObject(notProven)
    }
    await expect(open().prove(new Uint8Array(64))).rejects.toMatchObject(notProven)
  })

  it('and who shows its key without being it is on record, once a second', async () => {
    const other = await grant(own.vault)
    const stranger = newIdentity()
    const session = openCosign(stage.cosign, callerOfAccess(other.access), { question, end: () => undefined })
    const said = { accessId: other.access.accessId, publicKey: stranger.publicKey, nonce }
    for (let i = 0; i < 5; i++) expect(() => session.hello(said)).toThrow(expect.objectContaining(notProven))
    const rows = await vi.waitFor(async () => {
      const page = await readAuditPage(own.vault.read, 0n, 10_000, { filter: { kind: 'delegated_access.not_proven', subjectId: other.access.accessId } })
      expect(page.rows.length).toBeGreaterThan(0)
      return page.rows
    })
    expect(rows.length).toBeLessThan(5)
    const shown = Buffer.from(stranger.publicKey).toString('hex')
    expect(rows[0]).toMatchObject({
      project: 'default', decision: 'refuse', reason: 'DELEGATE_NOT_PROVEN', method: 'Cosign', details: { shown },
      actor: { kind: 'delegate' }, subject: { type: 'delegated_access', id: other.access.accessId },
    })
  })
})

describe('how many', () => {
  it('streams a delegate has open at a time, and no more', async () => {
    const one = await grant(own.vault)
    const sessions = []
    for (let n = 0; n < 32; n++) sessions.push(await joinStage(stage, one))
    await expect(joinStage(stage, one)).rejects.toMatchObject({ reason: 'RATE_LIMITED' })
    for (const session of sessions) session.close()
    ;(await joinStage(stage, one)).close()
  })

  it('links are shared fairly: a project that has them all makes room for another\u2019s delegate, and does not take it back', async () => {
    const parties = new DelegateParties({ ...stage.needs, decisions: delegatedDecisions(stage.needs) })
    const ended: string[] = []
    const join = (project: string, name: string) =>
      parties.join(newIdentity().idC, project as ProjectId, { question: async () => undefined, end: ({ reason }) => ended.push(`${name}: ${reason}`) })
    const hog = Array.from({ length: 32 }, (_, i) => join('greedy', `greedy ${i}`))
    const overloaded = expect.objectContaining({ reason: 'OVERLOADED' })
    expect(() => join('greedy', 'one more')).toThrow(overloaded)
    for (let i = 0; i < 16; i++) join('modest', `modest ${i}`)
    expect(ended).toEqual(Array.from({ length: 16 }, (_, i) => `greedy ${31 - i}: OVERLOADED`))
    for (const project of ['greedy', 'modest']) expect(() => join(project, 'one more')).toThrow(overloaded)
    // A third has its share of both.
    join('third', 'third')
    expect(ended).toHaveLength(17)
    // What gave way leaves late, and takes nobody's place along.
    for (const leave of hog) leave()
    join('third', 'third')
    expect(ended).toHaveLength(17)
    await parties.close()
  })
})

describe('what is said', () => {
  const say = async (type: FrameType, body: Uint8Array, linkId = delegate.link.parties.linkId): Promise<string> => {
    const { lEpoch } = delegate.link.record
    const { frame } = await delegate.carrier.frame(encodeFrame({ type, role: ROLE_C, linkId, lEpoch, sid: NO_SID, body }))
    if (frame === undefined) return 'nothing'
    const answer = decodeFrame(frame, ROLE_S)
    return answer.type === FRAME_TYPES.ERROR ? decodeError(answer.body).code : `answer ${answer.type}`
  }
  const linkOf = () => stage.delegates.status().then((all) => all.find(({ linkId }) => Buffer.compare(linkId, delegate.link.parties.linkId) === 0))

  it('is no key generation, no import, no export, no fork', async () => {
    const { W1, W3, W5, IM1, IM3, EXPORT_REQUEST, FORK1, REHOME1, L2, P2, OUTCOME_QUESTION } = FRAME_TYPES
    for (const type of [W1, W3, W5, IM1, IM3, EXPORT_REQUEST, FORK1, REHOME1, L2, P2, OUTCOME_QUESTION]) {
      expect(await say(type, new Uint8Array(0)), String(type)).toBe('policy_denied')
    }
  })

  it('T23 is of its own wallet and link: no other wallet, whoever it is of, and no other link', async () => {
    const { P1, E1, F1, SIGN_REQUEST, ED_SIGN_REQUEST } = FRAME_TYPES
    const second = await grant(own.vault, { identity: granted.identity })
    const owners = Buffer.from(granted.wallet.walletId.slice(4), 'hex')
    for (const walletId of [owners, second.own.walletId, new Uint8Array(16)]) {
      const one = concatBytes(new Uint8Array(randomBytes(32)), u16(1), walletId, u32(1))
      expect(await say(P1, concatBytes(one, new Uint8Array(32)))).toBe('wallet_state')
      expect(await say(F1, concatBytes(one, new Uint8Array(32)))).toBe('wallet_state')
      const points = [0, 1].map(() => new Uint8Array(32))
      expect(await say(E1, concatBytes(one, ...points))).toBe('wallet_state')
      const named = concatBytes(delegate.link.parties.linkId, walletId, new Uint8Array(186))
      expect(await say(SIGN_REQUEST, named)).toBe('wallet_state')
      expect(await say(ED_SIGN_REQUEST, named.subarray(0, 152))).toBe('wallet_state')
    }
    const { linkId } = delegateLinkOf(newIdentity().idC, stage.delegates.partyId)
    expect(await say(FRAME_TYPES.HELLO, new Uint8Array(16), linkId)).toBe('session')
    expect(await linkOf()).toMatchObject({ state: 'ACTIVE' })
  })

  it('a presignature that was named for another wallet is used up', async () => {
    const [a] = await delegate.c.presign([delegate.walletId])
    let foreign = true
    delegate.wire.toS = (frame) => {
      if (frame[5] !== FRAME_TYPES.SIGN_REQUEST || !foreign) return frame
      const bent = frame.slice()
      bent.set(new Uint8Array(16).fill(9), 64 + 16)
      return bent
    }
    await expect(delegate.c.sign(jobFor(granted, a!, messageOf('x')))).rejects.toMatchObject({ refusal: { code: 'wallet_state' } })
    foreign = false
    expect((await linkOf())?.presignatures).toBe(0)
  })

  it('a payload for another project or wallet is refused, and costs the presignature', async () => {
    const walletId = walletIdFromBytes(delegate.walletId)
    const content = messageOf('x')
    const bend = async (payload: Uint8Array): Promise<unknown> => {
      const [ready] = await delegate.c.presign([delegate.walletId])
      return delegate.c.sign({ ...jobFor(granted, ready!, content), payload })
    }
    const elsewhere = encodeSigningPayload({ projectId: 'other' as never, walletId, method: 'SignMessage', content })
    await expect(bend(elsewhere)).rejects.toMatchObject({ answer: { refusal: { reason: 'WALLET_NOT_FOUND' } } })
    const owners = encodeSigningPayload({ projectId: 'default' as never, walletId: granted.wallet.walletId, method: 'SignMessage', content })
    await expect(bend(owners)).rejects.toMatchObject({ refusal: { code: 'policy_denied' } })
    expect((await linkOf())?.presignatures).toBe(0)
  })
})
