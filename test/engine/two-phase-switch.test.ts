/**
 * T55: every order in which the messages of up to three refreshes of one wallet can arrive, late, twice or never, with
 * restarts of either side and questions at any time. The decisions are the engine's own; the controls replace one.
 */
import { describe, expect, test } from 'vitest'
import { fateByAcknowledgement, fateByAnswer, fateByName, verdictOn } from '../../src/engine/dkls23/two-phase-switch.ts'
import { exploreStates } from './explore-states.ts'

const RULES = { verdictOn, fateByAnswer, fateByAcknowledgement, fateByName }
/** What a control changes about a rule or about what C does beside it. */
type Variant = {
  readonly rules?: Partial<typeof RULES>
  /** C answers a question and leaves its sessions as they are. */
  readonly keepsSessions?: boolean
  /** At a reconnect both sides say what they hold; where both are undecided, both drop. */
  readonly bothPendingDrop?: boolean
  /** S forgets a PENDING record when it restarts. */
  readonly restartDrops?: boolean
  /** S lets a second refresh in while one is undecided. */
  readonly overwrites?: boolean
}

type Message =
  | { readonly is: 'F1' | 'F2' | 'F3' | 'F4' | 'F5'; readonly sid: number; readonly base: number }
  | { readonly is: 'Q'; readonly sid: number; readonly wEpoch: number }
  | { readonly is: 'A'; readonly sid: number; readonly wEpoch: number; readonly verdict: 'COMMITTED' | 'ABORTED' }
  /** C's announcement after a reconnect, in the variant that has one. */
  | { readonly is: 'H'; readonly base: number; readonly undecided: boolean }

/** A share is named by the sids of the refreshes that led to it: its epoch is their number. */
type Share = readonly number[]
type Pending = { readonly share: Share; readonly sid: number }
type State = {
  readonly c: { readonly share: Share; readonly session: { readonly sid: number; readonly step: 1 | 3 } | undefined }
  readonly s: { readonly share: Share; readonly pending: Pending | undefined; readonly session: number | undefined }
  /** Every message ever sent: each may arrive now, again, or never. */
  readonly sent: readonly Message[]
}

const START: State = { c: { share: [], session: undefined }, s: { share: [], pending: undefined, session: undefined }, sent: [] }
const bytesOf = (sid: number) => new Uint8Array(32).fill(sid)
const operationOf = (pending: Pending | undefined) =>
  pending === undefined ? undefined : { wEpoch: pending.share.length, sid: bytesOf(pending.sid) }

const send = (state: State, ...messages: readonly Message[]): State => {
  const known = new Set(state.sent.map((one) => JSON.stringify(one)))
  const fresh = messages.filter((one) => !known.has(JSON.stringify(one)))
  return { ...state, sent: [...state.sent, ...fresh] }
}

/** S carries out what a rule decided about its PENDING record. */
const settle = (state: State, fate: 'switch' | 'drop' | 'keep'): State => {
  const { pending } = state.s
  if (pending === undefined || fate === 'keep') return state
  const share = fate === 'switch' ? pending.share : state.s.share
  return { ...state, s: { ...state.s, share, pending: undefined } }
}

const epochOf = (share: Share) => share.length

function receive(state: State, message: Message, { rules, ...variant }: Variant): State {
  const rule = { ...RULES, ...rules }
  switch (message.is) {
    case 'F1': {
      const named = settle(state, rule.fateByName(operationOf(state.s.pending), message.base))
      const { s } = named
      if (s.pending !== undefined && variant.overwrites !== true) return named
      if (epochOf(s.share) !== message.base) return named
      return send({ ...named, s: { ...s, session: message.sid } }, { ...message, is: 'F2' })
    }
    case 'F2': {
      const { session } = state.c
      if (session?.sid !== message.sid || session.step !== 1) return state
      return send({ ...state, c: { ...state.c, session: { ...session, step: 3 } } }, { ...message, is: 'F3' })
    }
    case 'F3': {
      const { s } = state
      if (s.session !== message.sid) return state
      const over = { ...state, s: { ...s, session: undefined } }
      if (epochOf(s.share) !== message.base || (s.pending !== undefined && variant.overwrites !== true)) return over
      const pending = { share: [...s.share, message.sid], sid: message.sid }
      return send({ ...over, s: { ...over.s, pending } }, { ...message, is: 'F4' })
    }
    case 'F4': {
      const { c } = state
      if (c.session?.sid !== message.sid || c.session.step !== 3) return state
      const next = { ...state, c: { share: [...c.share, message.sid], session: undefined } }
      return send(next, { ...message, is: 'F5' })
    }
    case 'F5':
      return settle(state, rule.fateByAcknowledgement(operationOf(state.s.pending), bytesOf(message.sid)))
    case 'Q': {
      const closed = variant.keepsSessions === true ? state : { ...state, c: { ...state.c, session: undefined } }
      const verdict = rule.verdictOn(message, epochOf(state.c.share))
      return send(closed, { is: 'A', sid: message.sid, wEpoch: message.wEpoch, verdict })
    }
    case 'A': {
      const answer = { wEpoch: message.wEpoch, sid: bytesOf(message.sid), verdict: message.verdict }
      return settle(state, rule.fateByAnswer(operationOf(state.s.pending), answer))
    }
    case 'H': {
      const both = message.undecided && epochOf(state.s.share) === message.base
      return both ? settle(state, 'drop') : state
    }
  }
}

/** Every step that anybody can take. */
function* stepsFrom(state: State, sids: number, variant: Variant): Iterable<State> {
  const started = new Set(state.sent.flatMap((one) => (one.is === 'F1' ? [one.sid] : []))).size
  if (started < sids && state.c.session === undefined) {
    const sid = started + 1
    const session = { sid, step: 1 as const }
    yield send({ ...state, c: { ...state.c, session } }, { is: 'F1', sid, base: epochOf(state.c.share) })
  }
  for (const message of state.sent) yield receive(state, message, variant)
  // C restarts, or gives its session up; S restarts.
  yield { ...state, c: { ...state.c, session: undefined } }
  const restarted = { ...state, s: { ...state.s, session: undefined } }
  yield variant.restartDrops === true ? settle(restarted, 'drop') : restarted
  const { pending } = state.s
  if (pending !== undefined) yield send(state, { is: 'Q', sid: pending.sid, wEpoch: epochOf(pending.share) })
  if (variant.bothPendingDrop === true) {
    yield send(state, { is: 'H', base: epochOf(state.c.share), undecided: state.c.session !== undefined })
  }
}

const same = (a: Share, b: Share | undefined) => b !== undefined && a.join() === b.join()
/** C has erased the share that goes with everything S still has. */
const keyLost = ({ c, s }: State) => !same(c.share, s.share) && !same(c.share, s.pending?.share)
const settled = ({ c, s }: State) => s.pending === undefined && same(c.share, s.share)

/** All reachable states; how many have lost the key, and from how many no way leads to one that is settled. */
function explore(sids: number, variant: Variant = {}) {
  const { all, stuck } = exploreStates({
    start: START,
    stepsFrom: (state) => stepsFrom(state, sids, variant),
    keyOf: ({ c, s, sent }) => JSON.stringify([c, s, sent.map((one) => JSON.stringify(one)).toSorted()]),
    isSettled: settled,
  })
  return { all, stuck, lost: all.filter(keyLost).length }
}

describe('the switch of epochs', () => {
  test.each([1, 2, 3])('%i refreshes: the key is never lost, and every state can be settled', (sids) => {
    const { all, lost, stuck } = explore(sids)
    expect([lost, stuck]).toEqual([0, 0])
    // The model reaches what it is about: each side alone at the new epoch, and both.
    expect(all.some(({ c, s }) => c.share.length === 1 && s.share.length === 0 && s.pending !== undefined)).toBe(true)
    expect(all.some(({ c, s }) => c.share.length === sids && same(c.share, s.share))).toBe(true)
    expect(all.some(({ sent }) => sent.some((one) => one.is === 'A' && one.verdict === 'ABORTED'))).toBe(true)
    expect(all.every(({ c, s }) => s.share.length <= c.share.length)).toBe(true)
  })

  const controls: readonly (readonly [string, Variant])[] = [
    ['both PENDING: both drop', { bothPendingDrop: true }],
    ['C answers ABORTED and keeps its session', { keepsSessions: true }],
    ['S drops when it restarts', { restartDrops: true }],
    ['S lets a second refresh overwrite an undecided one', { overwrites: true }],
    ['an answer is taken for any operation at that epoch', {
      rules: {
        fateByAnswer: (pending, answer) => {
          if (pending?.wEpoch !== answer.wEpoch) return 'keep'
          return answer.verdict === 'COMMITTED' ? 'switch' : 'drop'
        },
      },
    }],
    ['an older epoch named by C drops what is undecided', {
      rules: {
        fateByName: (pending, wEpoch) => {
          if (pending === undefined) return 'keep'
          return pending.wEpoch === wEpoch ? 'switch' : 'drop'
        },
      },
    }],
    ['C calls everything ABORTED', { rules: { verdictOn: () => 'ABORTED' } }],
    ['C calls everything COMMITTED', { rules: { verdictOn: () => 'COMMITTED' } }],
  ]
  test.each(controls)('negative control: %s', (_, variant) => {
    expect(explore(2, variant).lost).toBeGreaterThan(0)
  })

  test('negative control: S that is never answered stays undecided, and nothing is lost by that', () => {
    const keep = () => 'keep' as const
    const { lost, stuck } = explore(1, { rules: { fateByAnswer: keep, fateByName: keep, fateByAcknowledgement: keep } })
    expect(lost).toBe(0)
    expect(stuck).toBeGreaterThan(0)
  })
})
