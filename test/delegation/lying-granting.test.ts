/**
 * A daemon that delegated and lies, over its `Cosign` streams, at every step: what the catalogue says becomes of it at the
 * delegate, durably, and that it costs no other daemon's access anything.
 */
import { randomBytes, sign } from 'node:crypto'
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest'
import { create } from '@bufbuild/protobuf'
import type { CosignRequest } from '../../gen/countersign/v1/delegation_pb.ts'
import { StatusSchema } from '../../gen/google/rpc/status_pb.ts'
import { accessIdFromBytes } from '../../src/domain/ids.ts'
import { directionSid } from '../../src/engine/dkls23/contexts.ts'
import { encodeOutcomeQuestions } from '../../src/engine/dkls23/outcome.ts'
import { benign, type ProtocolFault } from '../../src/engine/dkls23/fault.ts'
import { encodeFault, encodeFrame, encodeRefusedSlots, FRAME_TYPES, type FrameType, NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { PresignS2 } from '../../src/engine/dkls23/presign.ts'
import { ALG_ED25519, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { cosignStatement } from '../../src/engine/sealing/cosign-proof.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { MAX_256, toLe } from '../engine/bigint-reference.ts'
import { referenceExtend, referenceOteMessage } from '../engine/multiplication-reference.ts'
import { scalarAdd } from '../../src/engine/kernel/scalar.ts'
import { flipped, replaced } from '../party/malicious-c.ts'
import type { Bends } from '../party/malicious-s.ts'
import { withBody } from '../party/mutator.ts'
import { newIdentity } from './granting-scene.ts'
import { frameContent, type Liar, openSidecar, say, type Sidecar, type Stream } from './liar-scene.ts'

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 })

let sidecar: Sidecar
let honest: { readonly liar: Liar; readonly access: Uint8Array }
let next = 0
beforeAll(async () => {
  sidecar = await openSidecar(14)
  const liar = take()
  honest = { liar, access: await sidecar.delegate(liar) }
  expect(await outcomeOf(honest.access)).toBe('signed')
})
afterAll(() => sidecar.close())

const take = (): Liar => {
  const liar = sidecar.liars[next++]
  if (liar === undefined) throw new Error('no more daemons')
  return liar
}
/**
 * What becomes of a signature. On a machine with much else to do an honest step is late at times, and so the other daemon
 * said to be unavailable: it is asked again, unless that is what is to come of it.
 */
const outcomeOf = async (access: Uint8Array, expected = '', work: (access: Uint8Array) => Promise<unknown> = sidecar.signAs): Promise<string> => {
  for (const untilMs = Date.now() + 60_000; ; ) {
    const outcome = await work(access).then(() => 'signed', (error: { reason?: string }) => error.reason ?? 'no reason')
    if (!LATE.has(outcome) || expected === UNAVAILABLE || Date.now() > untilMs) return outcome
    await new Promise((wake) => setTimeout(wake, 100))
  }
}
const UNAVAILABLE = 'GRANTING_DAEMON_UNAVAILABLE'
const LATE: ReadonlySet<string> = new Set([UNAVAILABLE, 'DEADLINE_EXCEEDED', 'OVERLOADED', 'OUTCOME_UNKNOWN'])
const REFUSED = 'GRANTING_DAEMON_REFUSED'
const typeOf = (frame: Uint8Array | undefined): FrameType | undefined => frame?.[5] as FrameType | undefined

/** Bends the answers of this type, or the first of them alone. */
const bending = (liar: Liar, type: FrameType, bend: (frame: Uint8Array) => Uint8Array | undefined, most = Infinity): void => {
  let bent = 0
  liar.answering = async (frame) => {
    const answer = await liar.honest(frame)
    if (bent >= most || answer === undefined || typeOf(answer) !== type) return answer
    bent += 1
    return bend(answer)
  }
}
const behaving = (liar: Liar): void => {
  liar.answering = liar.honest
  liar.speaking = undefined
}

const error = ({ parties, link }: Liar, fault: ProtocolFault, sid = NO_SID): Uint8Array =>
  encodeFrame({ type: FRAME_TYPES.ERROR, role: ROLE_S, linkId: parties.linkId, lEpoch: link.record.lEpoch, sid, body: encodeFault(fault) })
/** Answers with an error to whatever is of this type. */
const refusing = (liar: Liar, type: FrameType, fault: ProtocolFault): void => {
  liar.answering = (frame) => (typeOf(frame) === type ? Promise.resolve(error(liar, fault)) : liar.honest(frame))
}
const SESSIONS: ReadonlySet<number | undefined> = new Set([
  FRAME_TYPES.L1, FRAME_TYPES.L3, FRAME_TYPES.L5, FRAME_TYPES.P1, FRAME_TYPES.P3, FRAME_TYPES.SIGN_REQUEST,
])
/** Computes what is about sessions with S's own share and material, and lies in it. */
const computing = (liar: Liar, bends: Bends): void => {
  const evil = liar.evil(bends)
  liar.answering = (frame) => (SESSIONS.has(typeOf(frame)) ? evil(frame) : liar.honest(frame))
}
const betOnAll = (body: Uint8Array, state: PresignS2): Uint8Array => {
  const id = directionSid(state.sid, ROLE_C, ROLE_S)
  const { u, t } = referenceExtend(id, state.material.seedPairs, state.secrets.choices)
  const bet = u.map((bits, i) => (i < 24 ? bits.map((byte, at) => (at === 5 ? byte ^ 4 : byte)) : bits))
  return replaced(body, 64, referenceOteMessage(id, bet, t, state.secrets.choices))
}

/** That it cost nobody else anything. */
const othersSign = async (): Promise<void> => {
  expect(await outcomeOf(honest.access)).toBe('signed')
  expect(sidecar.stored(honest.liar, honest.access)).toMatchObject({ link: 'ACTIVE', strikes: 0, access: 'ACTIVE' })
}
const typesHeard = ({ heard }: Liar): (FrameType | undefined)[] => heard.map(typeOf)

describe('who it says it is', () => {
  let liar: Liar
  beforeAll(() => {
    liar = take()
  })
  type Hello = { readonly publicKey: Uint8Array; readonly nonce: Uint8Array }
  const challenge = (stream: Stream, callId: number, { publicKey, nonce }: Hello, who = liar.identity, access: Uint8Array = randomBytes(16)): void => {
    const nonceS = new Uint8Array(randomBytes(32))
    const parties = { idC: partyIdOf(publicKey), idS: liar.identity.idC, accessId: new Uint8Array(access), nonceC: nonce, nonceS }
    const signature = sign(null, cosignStatement('daemon', parties), who.privateKey)
    say(stream, callId, { case: 'challenge', value: { $typeName: 'countersign.v1.CosignChallenge', publicKey: who.publicKey, nonce: nonceS, signature } })
  }
  const bytesOf = (id: string): Buffer => Buffer.from(id.replaceAll('-', ''), 'hex')
  type Speak = (stream: Stream, request: CosignRequest) => boolean
  const onHello = (answer: (stream: Stream, callId: number, hello: Hello & { readonly delegatedAccessId: string }) => void): Speak =>
    (stream, { callId, content }) => {
      if (content.case !== 'hello') return false
      answer(stream, callId, content.value)
      return true
    }
  const rows: readonly [string, Speak][] = [
    ['another daemon', onHello((s, id, hello) => challenge(s, id, hello, newIdentity(), bytesOf(hello.delegatedAccessId)))],
    ['itself, of another access', onHello((s, id, hello) => challenge(s, id, hello))],
    ['itself, of a stream before', onHello((s, id, hello) => challenge(s, id, { ...hello, nonce: new Uint8Array(32) }, liar.identity, bytesOf(hello.delegatedAccessId)))],
    ['nothing but joined', onHello((s, id) => say(s, id, { case: 'joined', value: { $typeName: 'countersign.v1.CosignJoined', projectId: 'default', walletId: '' } }))],
    ['nothing, and asks first', onHello((s) => say(s, 9, { case: 'question', value: new Uint8Array(80) }))],
    ['nothing, and ends', onHello((s) => s.end())],
    ['no room, for now', onHello((s) => liar.refuse(s, 'OVERLOADED'))],
    ['a daemon that answers with a frame', onHello((s, id) => say(s, id, frameContent(new Uint8Array(64))))],
    ['a project that is none', (s, { callId, content }) => {
      if (content.case !== 'proof') return false
      say(s, callId, { case: 'joined', value: { $typeName: 'countersign.v1.CosignJoined', projectId: '../x', walletId: '' } })
      return true
    }],
  ]
  it.each(rows)('%s: no frame is said to it', async (_, speaking) => {
    const access = await sidecar.delegate(liar)
    liar.heard = []
    liar.speaking = speaking
    expect(await outcomeOf(access, UNAVAILABLE)).toBe(UNAVAILABLE)
    expect(liar.heard).toEqual([])
    expect(sidecar.stored(liar, access)).toMatchObject({ strikes: 0, access: 'PENDING', share: 'FORKED', wEpoch: 0 })
    behaving(liar)
  })

  it('one that joins at last signs, and nobody else heard of any of it', async () => {
    expect(await outcomeOf(await sidecar.delegate(liar))).toBe('signed')
    await othersSign()
  })
})

describe('T1 T2 T21 T55 the first refresh', () => {
  const { F2, F4 } = FRAME_TYPES
  let liar: Liar
  beforeAll(() => {
    liar = take()
  })
  const cut = (frame: Uint8Array): Uint8Array => withBody(frame, frame.slice(64, -1))
  const other = (at: number, mask = 1) => (frame: Uint8Array) => flipped(frame, at, mask)
  const A: readonly [string, FrameType, (frame: Uint8Array) => Uint8Array | undefined][] = [
    ['T3 of another session', F2, other(30)],
    ['T3 of another link', F2, other(9)],
    ['T3 of another link epoch', F4, other(24)],
    ['T55 nothing', F2, () => undefined],
    ['T55 nothing, when it has its new share', F4, () => undefined],
    ['T2 what it said before', F4, (frame) => Uint8Array.of(...frame.subarray(0, 28), ...new Uint8Array(32), ...frame.subarray(60))],
  ]
  const C: typeof A = [
    ['T6 a point that is none', F2, other(64 + 32 + 32, 4)],
    ['T5 T56 a proof of something else', F4, other(64 + 40)],
    ['T20 a byte less', F4, cut],
    ['nothing, in zero bytes', F2, () => new Uint8Array(0)],
  ]
  const rows = [...A.map((row) => [...row, 0] as const), ...C.map((row) => [...row, 1] as const)]
  let struck = 0
  it.each(rows)('%s: nothing changes, and an honest try does', async (_, type, bend, strikes) => {
    // The third would suspend the link; that is asserted below.
    if (strikes === 1 && struck === 2) [liar, struck] = [take(), 0]
    struck += strikes
    const access = await sidecar.delegate(liar)
    const before = sidecar.stored(liar, access).strikes
    bending(liar, type, bend)
    liar.heard = []
    expect(await outcomeOf(access, REFUSED, sidecar.ready)).toBe(REFUSED)
    const { link } = sidecar.stored(liar, access)
    expect(sidecar.stored(liar, access)).toEqual({ link, strikes: before + strikes, access: 'PENDING', share: 'FORKED', wEpoch: 0 })
    expect(link).not.toBe('BURNED')
    behaving(liar)
    expect(await outcomeOf(access, '', sidecar.ready)).toBe('signed')
    expect(sidecar.stored(liar, access)).toMatchObject({ access: 'ACTIVE', share: 'ACTIVE', wEpoch: 1 })
    await othersSign()
  })
})

/** With a share that is its own, and no material yet. */
const refreshed = async (liar: Liar): Promise<Uint8Array> => {
  const access = await sidecar.delegate(liar)
  expect(await outcomeOf(access, '', sidecar.ready)).toBe('signed')
  return access
}
const signing = async (liar: Liar, alg?: typeof ALG_ED25519): Promise<Uint8Array> => {
  const access = await sidecar.delegate(liar, alg)
  expect(await outcomeOf(access)).toBe('signed')
  return access
}

describe('the set-up of the link', () => {
  it.each([
    ['T36 with a point that is none', { L2: (body: Uint8Array) => flipped(body, 32, 4) }, 'ACTIVE', 1],
    ['T17 with a transcript of its own', { L4: (body: Uint8Array) => flipped(body, body.length - 1) }, 'ACTIVE', 1],
    ['T38 with a bet in the self-test', { P2: betOnAll }, 'BURNED', 0],
  ] as const)('%s: no share was an input', async (_, bends, link, strikes) => {
    const liar = take()
    const access = await refreshed(liar)
    computing(liar, bends)
    expect(await outcomeOf(access)).toBe(link === 'BURNED' ? 'LINK_BURNED' : REFUSED)
    expect(sidecar.stored(liar, access)).toMatchObject({ link, strikes, access: 'ACTIVE', share: 'ACTIVE' })
    expect(getShare(sidecar.vault.read, access)?.lastUsedEpoch).toBe(0)
    behaving(liar)
    if (link === 'BURNED') {
      liar.heard = []
      expect(await outcomeOf(access)).toBe('LINK_BURNED')
      expect(typesHeard(liar)).toEqual([])
      expect(sidecar.alerts.some((alert) => alert.includes('burned'))).toBe(true)
    }
    await othersSign()
  })
})

describe('presign sessions', () => {
  it.each([
    ['T8 a bet on its Δ', { P2: betOnAll }],
    ['T10 another η', { P4: (half: Uint8Array) => flipped(half, 39_936) }],
    ['T11 another share than the one it is known by', { beforeP4: ({ secrets }: PresignS2) => secrets.shares.set(scalarAdd(secrets.shares.subarray(0, 32), toLe(1n))) }],
  ] as const)('%s: the link burns, durably, and nothing more is said over it', async (_, bends) => {
    const liar = take()
    const [access, second] = [await signing(liar), await sidecar.delegate(liar)]
    computing(liar, bends)
    liar.heard = []
    expect(await outcomeOf(access)).toBe('LINK_BURNED')
    const last = typesHeard(liar).at(-1)
    expect(last).toBe('P2' in bends ? FRAME_TYPES.P1 : FRAME_TYPES.P3)
    expect(sidecar.stored(liar, access)).toMatchObject({ link: 'BURNED', strikes: 0, access: 'ACTIVE' })
    behaving(liar)
    liar.heard = []
    for (const one of [access, second]) expect(await outcomeOf(one)).toBe('LINK_BURNED')
    expect(typesHeard(liar).filter((type) => type !== FRAME_TYPES.HELLO)).toEqual([])
    await othersSign()
  })

  it('T7 T17 T20 T43 what is no message of the protocol: three strikes suspend the link', async () => {
    const liar = take()
    const access = await signing(liar)
    const bends: readonly Bends[] = [
      { P4: (half) => replaced(half, 0, toLe(MAX_256)) },
      { P2: (body) => flipped(body, 40) },
      { P4: (half) => half.slice(0, -1) },
    ]
    for (const [i, bend] of bends.entries()) {
      computing(liar, bend)
      expect(await outcomeOf(access)).toBe(REFUSED)
      expect(sidecar.stored(liar, access)).toMatchObject({ link: i === 2 ? 'SUSPENDED' : 'ACTIVE', strikes: i + 1 })
    }
    behaving(liar)
    expect(await outcomeOf(access)).toBe('LINK_SUSPENDED')
    await othersSign()
  })

  it('T2 T3 T41 T52 what is of another session, or no answer at all: nothing is lost but the session', async () => {
    const liar = take()
    const access = await sidecar.delegate(liar)
    const { P1, P2, P4 } = FRAME_TYPES
    let before: Uint8Array | undefined
    bending(liar, P2, (frame) => (before = frame.slice()))
    expect(await outcomeOf(access)).toBe('signed')
    for (const answer of [before, undefined, error(liar, benign('plan_refused', '', encodeRefusedSlots([0, 1])))]) {
      liar.answering = (frame) => (typeOf(frame) === P1 ? Promise.resolve(answer?.slice()) : liar.honest(frame))
      expect(await outcomeOf(access, UNAVAILABLE)).toMatch(/^GRANTING_DAEMON_UNAVAILABLE$|^PRESIGNATURES_EXHAUSTED$/)
    }
    // Once, it is not noticed: another session is made.
    for (const bend of [(frame: Uint8Array) => flipped(frame, 30), () => undefined]) {
      bending(liar, P4, bend, 1)
      expect(await outcomeOf(access)).toBe('signed')
    }
    behaving(liar)
    expect(sidecar.stored(liar, access)).toMatchObject({ link: 'ACTIVE', strikes: 0, access: 'ACTIVE' })
    // T52 One that says the link is burned has it burned.
    refusing(liar, FRAME_TYPES.P1, benign('link_burned', ''))
    expect(await outcomeOf(access)).toBe('LINK_BURNED')
    expect(sidecar.stored(liar, access).link).toBe('BURNED')
    await othersSign()
  })
})

describe('signatures', () => {
  const { SIGN_REQUEST, SIGN_RESPONSE, ED_SIGN_RESPONSE, E2 } = FRAME_TYPES
  let liar: Liar
  beforeAll(() => {
    liar = take()
  })

  it.each([
    ['another s', SIGN_RESPONSE, 64 + 16 + 40, undefined],
    ['another r', SIGN_RESPONSE, 64 + 16 + 8, undefined],
    ['T33 another z', ED_SIGN_RESPONSE, 64 + 16 + 40, ALG_ED25519],
  ] as const)('T12 %s: it does not leave, the access is stopped, the link and its other accesses go on', async (_, type, at, alg) => {
    const [access, second] = [await signing(liar, alg), await signing(liar)]
    bending(liar, type, (frame) => flipped(frame, at))
    expect(await outcomeOf(access)).toBe('WALLET_SUSPENDED')
    behaving(liar)
    expect(sidecar.stored(liar, access)).toMatchObject({ link: 'ACTIVE', strikes: 0, access: 'SUSPENDED', share: 'SUSPENDED' })
    expect(await outcomeOf(access)).toBe('WALLET_SUSPENDED')
    expect(await outcomeOf(second)).toBe('signed')
    const { rows } = await readAuditPage(sidecar.vault.read, 0n, 10_000, { filter: { kind: 'delegated_access.suspended' } })
    expect(rows.at(-1)).toMatchObject({ project: 'default', subject: { type: 'delegated_access', id: accessIdFromBytes(access) } })
    await othersSign()
  })

  it('T2 T3 T14 an answer to another request, or of before: it is none, and nothing is stopped', async () => {
    const access = await signing(liar)
    let before: Uint8Array | undefined
    bending(liar, SIGN_RESPONSE, (frame) => {
      before = frame.slice()
      return frame
    })
    expect(await outcomeOf(access)).toBe('signed')
    for (const bend of [(frame: Uint8Array) => flipped(frame, 64 + 3), () => before, () => undefined]) {
      bending(liar, SIGN_RESPONSE, bend)
      expect(await outcomeOf(access)).toBe(REFUSED)
    }
    behaving(liar)
    expect(sidecar.stored(liar, access)).toMatchObject({ link: 'ACTIVE', strikes: 0, access: 'ACTIVE' })
    expect(await outcomeOf(access)).toBe('signed')
  })

  it('T13 one that knows no presignature is asked a few times, and no presignature twice', async () => {
    const access = await signing(liar)
    liar.heard = []
    refusing(liar, SIGN_REQUEST, benign('unknown_presig', ''))
    expect(await outcomeOf(access)).toBe('PRESIGNATURES_EXHAUSTED')
    const named = liar.heard.filter((frame) => typeOf(frame) === SIGN_REQUEST).map((frame) => Buffer.from(frame.subarray(100, 116)).toString('hex'))
    expect(named.length).toBeGreaterThan(1)
    expect(new Set(named).size).toBe(named.length)
    behaving(liar)
    expect(await outcomeOf(access)).toBe('signed')
  })

  it('T33 a nonce of Ed25519 that is no point of the group: a strike', async () => {
    const access = await signing(liar, ALG_ED25519)
    bending(liar, E2, (frame) => withBody(frame, replaced(frame.slice(64), 32, new Uint8Array(32))))
    expect(await outcomeOf(access)).toBe(REFUSED)
    behaving(liar)
    expect(sidecar.stored(liar, access)).toMatchObject({ link: 'ACTIVE', strikes: 1, access: 'ACTIVE' })
    expect(await outcomeOf(access)).toBe('signed')
    await othersSign()
  })
})

describe('what it says on its stream', () => {
  let liar: Liar
  let access: Uint8Array
  beforeAll(async () => {
    liar = take()
    access = await signing(liar)
  })
  const isSign = ({ content }: CosignRequest): boolean => content.case === 'frame' && typeOf(content.value) === FRAME_TYPES.SIGN_REQUEST
  const refusal = (value: Uint8Array, message = 'no') =>
    create(StatusSchema, { code: 7, message, details: [{ typeUrl: 'type.googleapis.com/google.rpc.ErrorInfo', value }] })
  const rows: readonly [string, (stream: Stream, callId: number) => void, string][] = [
    ['a refusal that does not decode', (s, id) => say(s, id, { case: 'frame', value: { $typeName: 'countersign.v1.CosignFrame', refusal: refusal(Uint8Array.of(255, 255, 255)) } }), REFUSED],
    ['a refusal without end', (s, id) => say(s, id, { case: 'frame', value: { $typeName: 'countersign.v1.CosignFrame', refusal: refusal(new Uint8Array(0), 'x'.repeat(1_000_000)) } }), REFUSED],
    ['a frame larger than any', (s, id) => say(s, id, frameContent(new Uint8Array(2_000_000))), 'OUTCOME_UNKNOWN'],
    ['an answer to what nobody asked', (s, id) => say(s, id + 5, frameContent(new Uint8Array(64))), 'OUTCOME_UNKNOWN'],
    ['the end', (s) => s.end(), 'OUTCOME_UNKNOWN'],
  ]
  it.each(rows)('%s: the request is refused, its presignature is gone, and nothing inside fails', async (_, speak, expected) => {
    liar.heard = []
    const alerts = sidecar.alerts.length
    liar.speaking = (stream, request) => {
      if (!isSign(request)) return false
      liar.heard.push(Uint8Array.from(request.content.value as Uint8Array))
      speak(stream, request.callId)
      return true
    }
    expect(await sidecar.signAs(access).catch(({ reason, message }: { reason: string; message: string }) => [reason, message.length < 600])).toEqual([
      expected === REFUSED ? REFUSED : expect.stringMatching(/^OUTCOME_UNKNOWN$|^GRANTING_DAEMON_UNAVAILABLE$/), true,
    ])
    liar.speaking = undefined
    expect(sidecar.alerts.slice(alerts).filter((alert) => alert.includes('internal'))).toEqual([])
    expect(sidecar.stored(liar, access)).toMatchObject({ link: 'ACTIVE', strikes: 0, access: 'ACTIVE' })
    expect(await outcomeOf(access)).toBe('signed')
    const named = liar.heard.filter((frame) => typeOf(frame) === FRAME_TYPES.SIGN_REQUEST).map((frame) => Buffer.from(frame.subarray(100, 116)).toString('hex'))
    expect(new Set(named).size).toBe(named.length)
  })

  it('T55 a question about what another daemon delegated learns what one about nothing does', async () => {
    const answers: string[] = []
    const ask = async (walletId: Uint8Array): Promise<void> => {
      const body = encodeOutcomeQuestions([{ walletId, wEpoch: 1, sid: new Uint8Array(32).fill(7) }])
      const { linkId } = liar.parties
      const frame = encodeFrame({ type: FRAME_TYPES.OUTCOME_QUESTION, role: ROLE_S, linkId, lEpoch: 0, sid: NO_SID, body })
      const heard = Promise.withResolvers<void>()
      liar.speaking = (_, { content }) => {
        if (content.case !== 'questionAnswer') return false
        answers.push(Buffer.from(content.value.frame?.subarray(-1) ?? []).toString('hex'))
        heard.resolve()
        return true
      }
      const [stream] = liar.streams
      say(stream as Stream, 1, { case: 'question', value: frame })
      await heard.promise
      liar.speaking = undefined
    }
    await ask(access)
    await ask(honest.access)
    await ask(new Uint8Array(16))
    expect(answers).toEqual(['01', '02', '02'])
    await othersSign()
  })
})
