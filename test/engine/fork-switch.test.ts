/**
 * T55 for forks: every order in which the messages of up to two forks of one wallet arrive, late, twice or never, with
 * restarts of either side and questions at any time. D decides by its commit, K keeps the sealed share. The decisions are
 * the engine's own; the controls replace one.
 */
import { describe, expect, test } from 'vitest'
import { fateByAcknowledgement, fateByAnswer, verdictOn } from '../../src/engine/dkls23/two-phase-switch.ts'
import { exploreStates } from './explore-states.ts'

type Variant = {
  /** K forgets what is undecided when it restarts. */
  readonly restartDrops?: boolean
  /** D answers a question and leaves its session as it is. */
  readonly keepsSession?: boolean
  /** K drops on any ABORTED. */
  readonly anyAnswer?: boolean
  /** K forgets the envelope once it has answered it. */
  readonly answersOnce?: boolean
}
type Message =
  | { readonly is: 'F1' | 'F2' | 'F3' | 'F4' | 'F5' | 'share' | 'taken'; readonly sid: number }
  | { readonly is: 'Q' | 'COMMITTED' | 'ABORTED'; readonly sid: number }
type Kept = { readonly sid: number; readonly state: 'PENDING' | 'DECIDED' }
type State = {
  readonly d: {
    readonly session: { readonly sid: number; readonly step: 1 | 3 } | undefined
    /** Forks whose record D has committed, and those whose envelope it has stored. */
    readonly records: readonly number[]
    readonly envelopes: readonly number[]
  }
  readonly k: { readonly session: number | undefined; readonly kept: readonly Kept[] }
  readonly sent: readonly Message[]
}

const START: State = { d: { session: undefined, records: [], envelopes: [] }, k: { session: undefined, kept: [] }, sent: [] }
const bytesOf = (sid: number) => new Uint8Array(32).fill(sid)
const pendingOf = ({ k }: State, sid: number) =>
  k.kept.some((one) => one.sid === sid && one.state === 'PENDING') ? { wEpoch: 0, sid: bytesOf(sid) } : undefined

const send = (state: State, message: Message): State => {
  const isKnown = state.sent.some(({ is, sid }) => is === message.is && sid === message.sid)
  return isKnown ? state : { ...state, sent: [...state.sent, message] }
}
const decide = (state: State, sid: number): State => {
  const kept = state.k.kept.map((one): Kept => (one.sid === sid ? { sid, state: 'DECIDED' } : one))
  return { ...state, k: { ...state.k, kept } }
}
const drop = (state: State, sid: number): State =>
  ({ ...state, k: { ...state.k, kept: state.k.kept.filter((one) => one.sid !== sid) } })

function receive(state: State, { is, sid }: Message, variant: Variant): State {
  const { d, k } = state
  switch (is) {
    case 'F1':
      // K's nonce is part of the sid: a second F1 begins another session.
      if (state.sent.some((one) => one.is === 'F2' && one.sid === sid)) return state
      return send({ ...state, k: { ...k, session: sid } }, { is: 'F2', sid })
    case 'F2':
      if (d.session?.sid !== sid || d.session.step !== 1) return state
      return send({ ...state, d: { ...d, session: { sid, step: 3 } } }, { is: 'F3', sid })
    case 'F3':
      if (k.session !== sid) return state
      return send({ ...state, k: { session: undefined, kept: [...k.kept, { sid, state: 'PENDING' }] } }, { is: 'F4', sid })
    case 'F4':
      if (d.session?.sid !== sid || d.session.step !== 3) return state
      return send({ ...state, d: { ...d, session: undefined, records: [...d.records, sid] } }, { is: 'F5', sid })
    case 'F5': {
      if (!k.kept.some((one) => one.sid === sid)) return state
      const fate = fateByAcknowledgement(pendingOf(state, sid), bytesOf(sid))
      const answered = send(fate === 'switch' ? decide(state, sid) : state, { is: 'share', sid })
      return variant.answersOnce === true ? { ...drop(answered, sid), sent: answered.sent.filter((one) => one.is !== 'share') } : answered
    }
    case 'share':
      if (!d.records.includes(sid) || d.envelopes.includes(sid)) return state
      return send({ ...state, d: { ...d, envelopes: [...d.envelopes, sid] } }, { is: 'taken', sid })
    case 'taken':
      return drop(state, sid)
    case 'Q': {
      const closed = variant.keepsSession === true ? state : { ...state, d: { ...d, session: undefined } }
      return send(closed, { is: verdictOn({ wEpoch: 0 }, d.records.includes(sid) ? 0 : undefined), sid })
    }
    default: {
      const target = variant.anyAnswer === true ? (k.kept.at(-1)?.sid ?? sid) : sid
      const fate = fateByAnswer(pendingOf(state, target), { wEpoch: 0, sid: bytesOf(target), verdict: is })
      if (fate === 'switch') return decide(state, target)
      return fate === 'drop' ? drop(state, target) : state
    }
  }
}

function* stepsFrom(state: State, forks: number, variant: Variant): Iterable<State> {
  const { d, k, sent } = state
  const begun = sent.filter(({ is }) => is === 'F1').length
  if (begun < forks && d.session === undefined) {
    const sid = begun + 1
    yield send({ ...state, d: { ...d, session: { sid, step: 1 } } }, { is: 'F1', sid })
  }
  for (const message of sent) yield receive(state, message, variant)
  yield { ...state, d: { ...d, session: undefined } }
  const kept = variant.restartDrops === true ? k.kept.filter((one) => one.state !== 'PENDING') : k.kept
  yield { ...state, k: { session: undefined, kept } }
  for (const one of k.kept) if (one.state === 'PENDING') yield send(state, { is: 'Q', sid: one.sid })
}

/** D has its half, has not got the envelope, and K cannot give it any more. */
const lost = ({ d, k }: State): boolean =>
  d.records.some((sid) => !d.envelopes.includes(sid) && !k.kept.some((one) => one.sid === sid))
/** Nothing waits for anything: what D has committed it has whole, and K keeps nothing. */
const settled = ({ d, k }: State): boolean => d.session === undefined && k.kept.length === 0 && d.records.every((sid) => d.envelopes.includes(sid))

function explore(forks: number, variant: Variant = {}) {
  const { all, stuck } = exploreStates({
    start: START,
    stepsFrom: (state) => stepsFrom(state, forks, variant),
    keyOf: ({ d, k, sent }) => JSON.stringify([d, k, sent.map(({ is, sid }) => `${is}${sid}`).toSorted()]),
    isSettled: settled,
  })
  return { all, stuck, lost: all.filter(lost).length }
}

describe('the decision of a fork', () => {
  test.each([1, 2])('%i forks: no half without its envelope for good, and every state can be settled', (forks) => {
    const { all, lost: gone, stuck } = explore(forks)
    expect([gone, stuck]).toEqual([0, 0])
    expect(all.some(({ d, k }) => d.records.length > 0 && k.kept.some(({ state }) => state === 'PENDING'))).toBe(true)
    expect(all.some(({ sent }) => sent.some(({ is }) => is === 'ABORTED'))).toBe(true)
    expect(all.some(({ d }) => d.envelopes.length === forks)).toBe(true)
  })

  test.each([
    ['K drops what is undecided when it restarts', { restartDrops: true }, 1],
    ['D answers ABORTED and keeps its session', { keepsSession: true }, 1],
    ['K takes an answer for whatever it has', { anyAnswer: true }, 2],
    ['K answers the envelope once', { answersOnce: true }, 1],
  ] as const)('negative control: %s', (_, variant, forks) => {
    expect(explore(forks, variant).lost).toBeGreaterThan(0)
  })
})
