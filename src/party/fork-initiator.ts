/**
 * Party C's side of a fork (docs/protocol.md §13): a second sharing of a wallet's key, of which this party keeps its half
 * over its own link with the delegate, and the other party seals the delegate's. C decides by the commit of its record;
 * then it asks for the envelope. Whatever goes wrong after FORK3 was sent, S is told what the durable record says.
 */
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { walletIdOf } from '../engine/dkls23/contexts.ts'
import { benign, ProtocolFault, violation } from '../engine/dkls23/fault.ts'
import {
  abandonFork,
  finishForkC,
  forkedRecord,
  type ForkC3,
  type ForkTerms,
  openForkC,
  publicSharesHash,
  startForkC,
} from '../engine/dkls23/fork.ts'
import { FRAME_TYPES, type FrameType, NO_SID } from '../engine/dkls23/frame.ts'
import { encodeOutcomeAnswers, type OutcomeQuestion } from '../engine/dkls23/outcome.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { assertSameShare, decodeSealedShare, encodeSealedShare, type SealedShareMessage } from '../engine/dkls23/sealed-share.ts'
import { decodeEnvelopeBytes, type EnvelopeBytes } from '../engine/sealing/dynamic-envelope.ts'
import { besideSetUps } from './beside-set-ups.ts'
import type { InitiatorStore } from './initiator.ts'
import type { OpeningDeps } from './operation-deps.ts'
import { PeerRefusal } from './peer-refusal.ts'

/** The decision: D's half is there from now on, with what says whose it is. */
export type DecidedFork = {
  readonly sid: Uint8Array
  /** The wallet that was forked. */
  readonly sourceId: Uint8Array
  readonly record: WalletRecord
  /** A hash that names the public shares. */
  readonly publicShares: Uint8Array
}

export type ForkStore = Pick<InitiatorStore, 'loadWallet' | 'settleOutcome'> & {
  /**
   * In one transaction, durable when this resolves. Rejects, and has changed nothing, once `settleOutcome` answered
   * ABORTED about this sid, or when nobody asks for it any more.
   */
  readonly commitFork: (decided: DecidedFork) => Promise<void>
}

type Deps = Omit<OpeningDeps, 'store'> & {
  readonly store: ForkStore
  /** Sends what has no answer, and does not mind when it is lost. */
  readonly tell: (type: FrameType, sid: Uint8Array, lEpoch: number, body: Uint8Array) => Promise<void>
}

export type ForkOrderC = ForkTerms & {
  readonly walletId: Uint8Array
  /** SHA-256 of the key that the delegate's share is to be sealed to. */
  readonly keyId: Uint8Array
}

/** What the delegate is to be handed; nothing in it can be opened here. */
export type ForkedShare = {
  readonly sid: Uint8Array
  readonly walletId: Uint8Array
  readonly envelope: EnvelopeBytes
  /** The body that says the envelope was stored. */
  readonly receipt: Uint8Array
}

const ASKS_MAX = 3
const RETRY_MS = 150

/**
 * The envelope for the delegate; this party's half is durable. @throws PeerRefusal; ProtocolFault; PeerUnavailable; what
 * `commitFork` refuses. When it throws after its commit the half is there and nobody was given the delegate's: the
 * caller ends it.
 */
export const forkWallet = async (deps: Deps, order: ForkOrderC): Promise<ForkedShare> => {
  await ed25519Ready()
  const made = await besideSetUps(deps, () => deps.guarded(() => makeHalf(deps, order)))
  return deps.guarded(() => askForShare(deps, order, made))
}

/** D has stored the envelope: S forgets it. */
export const confirmFork = async ({ tell, link }: Deps, { sid, receipt }: Pick<ForkedShare, 'sid' | 'receipt'>): Promise<void> =>
  tell(FRAME_TYPES.SEALED_SHARE, sid, link.record.lEpoch, receipt)

type Made = { readonly sid: Uint8Array; readonly shown: Omit<SealedShareMessage, 'envelope' | 'keyId'> }

const makeHalf = async (deps: Deps, order: ForkOrderC): Promise<Made> => {
  const { link, exchange } = deps
  const { FORK1, FORK2, FORK3, FORK4 } = FRAME_TYPES
  link.assertUsable('other')
  const { lEpoch } = link.record
  const first = await openFork(deps, order)
  let live: Parameters<typeof abandonFork>[0] = first.state
  let question: OutcomeQuestion | undefined
  try {
    const second = await exchange(FORK1, NO_SID, lEpoch, first.body, FORK2)
    link.assertUsable('other')
    const { state, body } = openForkC(first.state, second)
    live = state
    question = { walletId: walletIdOf(state.sid, 0), wEpoch: 0, sid: second.sid.slice() }
    const fourth = await exchange(FORK3, second.sid, lEpoch, body, FORK4)
    link.assertUsable('other')
    return await decide(deps, order, state, fourth.body)
  } catch (error) {
    abandonFork(live)
    if (question !== undefined) await settle(deps, question)
    throw error
  }
}

const openFork = async ({ link, store, entropy }: Deps, order: ForkOrderC): Promise<ReturnType<typeof startForkC>> => {
  const record = await store.loadWallet(order.walletId)
  if (record === undefined) throw benign('wallet_state', 'no such wallet')
  try {
    if (record.state !== 'ACTIVE') throw benign('wallet_state', 'the wallet is not active')
    return startForkC({ link: link.parties, entropy, terms: order, ...link.hedge }, record)
  } finally {
    record.share.fill(0)
  }
}

const decide = async (
  { link, store }: Deps,
  { walletId: sourceId }: ForkOrderC,
  state: ForkC3,
  body4: Uint8Array,
): Promise<Made> => {
  const half = finishForkC(state, body4)
  const { sid, walletId, idG } = half
  try {
    const record = forkedRecord(half, link.nowMs)
    await store.commitFork({ sid, sourceId, record, publicShares: publicSharesHash(half) })
    const { alg, linkId, publicKey, pointC: pointG, pointS: pointD, chainCode } = record
    const shown = { alg, walletId, idG, idD: link.parties.idC, linkId, publicKey, pointG, pointD, chainCode }
    return { sid, shown }
  } finally {
    half.share.fill(0)
  }
}

/** Tells S what the durable record says; when that cannot be read, S is told nothing and asks after the next hello. */
const settle = async ({ store, tell, link }: Deps, question: OutcomeQuestion): Promise<void> => {
  const verdict = await store.settleOutcome(question).catch(() => undefined)
  if (verdict === undefined) return
  const body = encodeOutcomeAnswers([{ ...question, verdict }])
  await tell(FRAME_TYPES.OUTCOME_ANSWER, NO_SID, link.record.lEpoch, body)
}

/** S gives the same answer as often as it is asked, until it hears that it was stored. */
const askForShare = async (deps: Deps, { keyId }: ForkOrderC, { sid, shown }: Made): Promise<ForkedShare> => {
  const { exchange, link } = deps
  const { FORK5, SEALED_SHARE } = FRAME_TYPES
  for (let asked = 1; ; asked++) {
    try {
      const { body } = await exchange(FORK5, sid, link.record.lEpoch, new Uint8Array(0), SEALED_SHARE)
      const message = decodeSealedShare(body)
      assertSameShare(message, { ...shown, keyId })
      const envelope = decodeEnvelopeBytes(message.envelope)
      if (envelope === undefined) throw violation('envelope of a sealed share')
      const receipt = encodeSealedShare({ ...message, envelope: new Uint8Array(0) })
      return { sid, walletId: shown.walletId, envelope, receipt }
    } catch (error) {
      const isFinal = error instanceof PeerRefusal || error instanceof ProtocolFault
      if (isFinal || asked >= ASKS_MAX) throw error
      await new Promise((wake) => setTimeout(wake, RETRY_MS))
    }
  }
}
