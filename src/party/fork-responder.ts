/**
 * Party S's side of a fork (docs/protocol.md §13): FORK1 → FORK2, FORK3 → FORK4 once the own half is sealed to the
 * delegate, overwritten, and the ciphertext durable; FORK5 → 0x45, as often as it is asked for, until the daemon says that
 * it has it. Whether, and to whom, is the keeper's to say and never in what the daemon sends.
 */
import { createHash } from 'node:crypto'
import { ed25519Ready } from '../engine/curve/ed25519.ts'
import { benign } from '../engine/dkls23/fault.ts'
import {
  abandonFork,
  answerForkS,
  delegatedShare,
  finishForkS,
  type ForkedHalf,
  type ForkS2,
  type ForkTerms,
  readForkName,
  spendForDelegate,
} from '../engine/dkls23/fork.ts'
import type { Frame } from '../engine/dkls23/frame.ts'
import { assertSameShare, decodeSealedShare, encodeSealedShare } from '../engine/dkls23/sealed-share.ts'
import { encodeEnvelopeBytes, ENVELOPE_RANDOM_BYTES, sealDynamicBytes } from '../engine/sealing/dynamic-envelope.ts'
import type { Fork } from '../vault/forks.ts'
import { type OpenedSession, OpenSessions } from './open-sessions.ts'
import type { AnsweringDeps } from './operation-deps.ts'
import type { PendingWallet } from './party-store.ts'
import { hexOf } from './presignature-map.ts'
import type { UndecidedWallets } from './undecided-wallets.ts'

/** Whom a share of a wallet may be made for, and the key that it is sealed to: the DER of an RSA key. */
export type ForkPermit = ForkTerms & { readonly rsaKey: Uint8Array }

/** What a party knows of delegates by itself, and the shares that it has sealed to them. Writes are durable. */
export type ForkKeeper = {
  /** @throws ProtocolFault class A policy_denied. */
  readonly permitFor: (name: { readonly walletId: Uint8Array; readonly wEpoch: number }) => ForkPermit
  /** Uses the permit up. @throws ProtocolFault class A policy_denied. */
  readonly save: (fork: Omit<Fork, 'state'>, permit: ForkPermit) => Promise<void>
  /** @throws ProtocolFault class A policy_denied: a freeze holds it back. */
  readonly find: (sid: Uint8Array) => Fork | undefined
  readonly pending: () => readonly PendingWallet[]
  readonly has: (walletId: Uint8Array) => boolean
  readonly decide: (walletId: Uint8Array) => Promise<void>
  readonly drop: (walletId: Uint8Array) => Promise<void>
}

type Deps = AnsweringDeps & {
  readonly undecided: UndecidedWallets
  /** Absent: nothing is forked here. */
  readonly forks?: ForkKeeper | undefined
}

type Session = ForkS2 & { readonly permit: ForkPermit }

/** SHA-256 of the key that a share is sealed to. */
export const keyIdOf = (rsaKey: Uint8Array): Uint8Array => new Uint8Array(createHash('sha256').update(rsaKey).digest())

export class ForkResponder {
  readonly #deps: Deps
  readonly sessions: OpenSessions<Session>

  constructor(deps: Deps) {
    this.#deps = deps
    this.sessions = new OpenSessions<Session>({ ...deps, abandon: abandonFork, what: 'fork' })
  }

  /** FORK1 → FORK2. */
  async start(frame: Frame): Promise<OpenedSession> {
    const { link, store, entropy, undecided } = this.#deps
    link.assertAt(frame.lEpoch)
    const { wEpoch, ...name } = readForkName(frame)
    const walletId = name.walletId.slice()
    const permit = this.#keeper.permitFor({ walletId, wEpoch })
    if ((await undecided.heed([{ walletId, wEpoch }])).size > 0) throw benign('busy', 'a refresh is not decided')
    await ed25519Ready()
    const record = await store.loadWallet(walletId)
    if (record === undefined) throw benign('policy_denied', 'no such wallet')
    try {
      link.assertUsable('other')
      if (record.state !== 'ACTIVE' || !store.mayRefresh(walletId)) throw benign('policy_denied', 'the wallet is stopped')
      this.sessions.dropWhere(({ records }) => records.some((one) => hexOf(one.walletId) === hexOf(walletId)))
      this.sessions.assertRoom()
      const inputs = { link: link.parties, entropy, terms: permit, ...link.hedge }
      const { state, sid, body } = answerForkS(inputs, frame, [record])
      this.sessions.add(Object.assign(state, { permit }), frame.lEpoch)
      return { sid, body }
    } finally {
      record.share.fill(0)
    }
  }

  /** FORK3 → FORK4, once the sealed share is durable and the own half gone. */
  async finish(frame: Frame): Promise<Uint8Array> {
    const { link } = this.#deps
    const state = this.sessions.take(frame)
    const [source] = state.records
    const { half, body } = finishForkS(state, frame.body)
    try {
      const message = this.#seal(half, state.permit)
      const { walletId, sid } = half
      const { linkId } = link.parties
      if (source === undefined) throw benign('session', 'a fork of nothing')
      await this.#keeper.save({ walletId, sid, sourceId: source.walletId, linkId, message }, state.permit)
    } finally {
      half.share.fill(0)
    }
    link.assertUsable('other')
    return body
  }

  /** FORK5: the daemon's half stands. Answers the body of 0x45. @throws ProtocolFault class A: no such fork; frozen. */
  async acknowledge(frame: Frame): Promise<Uint8Array> {
    const fork = this.#keeper.find(frame.sid)
    if (fork === undefined || hexOf(fork.linkId) !== hexOf(this.#deps.link.parties.linkId)) {
      throw benign('session', 'no such fork')
    }
    if (fork.state === 'PENDING') await this.#keeper.decide(fork.walletId)
    return fork.message.slice()
  }

  /** 0x45 without the envelope: the daemon has it, and nothing is kept of it here. */
  async taken(frame: Frame): Promise<void> {
    const fork = this.#keeper.find(frame.sid)
    const said = decodeSealedShare(frame.body)
    if (fork === undefined) return
    assertSameShare(said, decodeSealedShare(fork.message))
    if (said.envelope.length === 0) await this.#keeper.drop(fork.walletId)
  }

  get #keeper(): ForkKeeper {
    const { forks } = this.#deps
    if (forks === undefined) throw benign('policy_denied', 'no share is made for delegates here')
    return forks
  }

  /** The text of the share, and its copies, do not outlive this; the half's is overwritten. */
  #seal(half: ForkedHalf, { rsaKey }: ForkPermit): Uint8Array {
    const { link, entropy } = this.#deps
    const idD = link.parties.idC
    const { share: _, ...shown } = delegatedShare(half, idD)
    const text = spendForDelegate(half, idD)
    const random = entropy.osRandom64()
    try {
      const envelope = encodeEnvelopeBytes(sealDynamicBytes(rsaKey, random.subarray(0, ENVELOPE_RANDOM_BYTES), text))
      return encodeSealedShare({ ...shown, keyId: keyIdOf(rsaKey), envelope })
    } finally {
      text.fill(0)
      random.fill(0)
    }
  }
}
