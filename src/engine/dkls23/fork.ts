/**
 * A second, independent sharing of a wallet's key for a delegate G (docs/protocol.md §13). K and D, the two sides of a
 * link, make it by the messages of a refresh and keep their own shares: D has x_D0 for its own link with G, and K x_G0,
 * which it seals to G and forgets. One wallet a run. Pure steps over those of share-change.ts.
 *
 *   C: startForkC → FORK1   openForkC(FORK2) → FORK3   finishForkC(FORK4) → its half: D's commit of it decides
 *   S: answerForkS(FORK1) → FORK2   finishForkS(FORK3) → its half and FORK4, to be sent once what it keeps is durable
 *
 * While D holds x_D and x_D0 it knows the coin, and with it x_G0 is x_K: whom K seals to is never D's to say.
 */
import { concatBytes } from '../hash/encoding.ts'
import { taggedHash } from '../hash/tagged-hash.ts'
import { type DelegatedShare, encodeDelegatedShare } from '../sealing/delegated-share.ts'
import { type LinkParties, walletIdOf } from './contexts.ts'
import { violation } from './fault.ts'
import { FRAME_TYPES, type SessionMessage } from './frame.ts'
import type { Entropy } from './operation-generator.ts'
import type { WalletRecord } from './records.ts'
import { decodeF1 } from './refresh-plan.ts'
import {
  abandonChange,
  answerChangeS,
  type ChangeC1,
  type ChangeC3,
  type Changed,
  type ChangePurpose,
  type ChangeS2,
  finishChangeC,
  finishChangeS,
  openChangeC,
  startChangeC,
} from './share-change.ts'
import { ROLE_S, type Role } from './suite.ts'

/** Whom the new sharing is for, as both sides must have it from what each knows by itself. */
export type ForkTerms = {
  /** The party id of the delegate, 32 bytes. */
  readonly idG: Uint8Array
  /** The link between the delegate (C) and D (S), 16 bytes. */
  readonly linkId: Uint8Array
}

export type ForkInputs = {
  readonly link: LinkParties
  readonly entropy: Entropy
  readonly hk?: Uint8Array
  readonly terms: ForkTerms
}

/** One side's half of the new sharing; `share` is secret, and the caller's to wipe. */
export type ForkedHalf = ForkTerms & {
  readonly sid: Uint8Array
  readonly alg: DelegatedShare['alg']
  readonly walletId: Uint8Array
  readonly publicKey: Uint8Array
  readonly chainCode: Uint8Array
  /** By the roles of the link it was made over. */
  readonly pointC: Uint8Array
  readonly pointS: Uint8Array
  readonly role: Role
  readonly share: Uint8Array
}

type Forking = { readonly terms: ForkTerms }
export type ForkC1 = ChangeC1 & Forking
export type ForkS2 = ChangeS2 & Forking
export type ForkC3 = ChangeC3 & Forking

const { FORK1, FORK2, FORK3 } = FRAME_TYPES

const purposeOf = ({ idG, linkId }: ForkTerms): ChangePurpose => ({
  name: 'fork',
  types: [FORK1, FORK2, FORK3],
  maxWallets: 1,
  agreed: concatBytes(idG, linkId),
  coinTail: (sid) => [walletIdOf(sid, 0)],
})

/** The wallet that FORK1 names. @throws ProtocolFault class C: a sid in the header, n other than 1, length. */
export const readForkName = (message: SessionMessage): { readonly walletId: Uint8Array; readonly wEpoch: number } => {
  const [name] = decodeF1(message, FORK1, 1).names
  if (name === undefined) throw violation('number of wallets')
  return name
}

/** C opens a fork of its wallet; as `startChangeC`. */
export function startForkC(
  { terms, ...inputs }: ForkInputs,
  record: WalletRecord,
): { readonly state: ForkC1; readonly body: Uint8Array } {
  const { state, body } = startChangeC(purposeOf(terms), inputs, [record])
  return { state: Object.assign(state, { terms }), body }
}

/** S answers FORK1 with FORK2; as `answerChangeS`. */
export function answerForkS(
  { terms, ...inputs }: ForkInputs,
  message: SessionMessage,
  offered: readonly WalletRecord[],
): { readonly state: ForkS2; readonly sid: Uint8Array; readonly body: Uint8Array } {
  const { state, sid, body } = answerChangeS(purposeOf(terms), inputs, message, offered)
  return { state: Object.assign(state, { terms }), sid, body }
}

/** C checks FORK2 and opens with FORK3; as `openChangeC`. */
export function openForkC(
  state: ForkC1,
  message: SessionMessage,
): { readonly state: ForkC3; readonly body: Uint8Array } {
  const { state: next, body } = openChangeC(state, message)
  return { state: Object.assign(next, { terms: state.terms }), body }
}

/** S checks FORK3: its half, and FORK4; as `finishChangeS`. */
export function finishForkS(
  state: ForkS2,
  body3: Uint8Array,
): { readonly half: ForkedHalf; readonly body: Uint8Array } {
  const { changed, body } = finishChangeS(state, body3)
  return { half: halfOf(changed, state.terms), body }
}

/** C checks FORK4: its half; as `finishChangeC`. */
export function finishForkC(state: ForkC3, body4: Uint8Array): ForkedHalf {
  return halfOf(finishChangeC(state, body4), state.terms)
}

/** Ends a fork that will not go on: every secret of the state is overwritten. The wallet stays as it is. */
export const abandonFork: (state: ForkC1 | ForkS2 | ForkC3) => void = abandonChange

function halfOf({ sid, records, renewed }: Changed, terms: ForkTerms): ForkedHalf {
  const [record, half] = [records[0], renewed[0]]
  if (record === undefined || half === undefined) throw violation('share count')
  const { alg, publicKey, chainCode, role } = record
  const { pointC, pointS, share } = half
  return { ...terms, sid, alg, walletId: walletIdOf(sid, 0), publicKey, chainCode, pointC, pointS, role, share }
}

/** The points as the delegate's link has them: C is the delegate, who gets K's half. */
const pointsOf = ({ pointC, pointS }: ForkedHalf, roleOfK: Role): { pointG: Uint8Array; pointD: Uint8Array } =>
  roleOfK === ROLE_S ? { pointG: pointS, pointD: pointC } : { pointG: pointC, pointD: pointS }

/** D's half as a record over its link with the delegate: it neither presigns nor signs before it is refreshed there. */
export function forkedRecord(half: ForkedHalf, createdAtMs: bigint): WalletRecord {
  const { alg, walletId, linkId, publicKey, chainCode, role, share } = half
  const { pointG, pointD } = pointsOf(half, role === ROLE_S ? 1 : ROLE_S)
  return {
    alg,
    role: ROLE_S,
    state: 'FORKED',
    walletId,
    linkId,
    wEpoch: 0,
    minLinkEpoch: 0,
    share,
    pointC: pointG,
    pointS: pointD,
    publicKey,
    chainCode,
    origin: 'fork',
    createdAtMs,
    refreshCount: 0,
  }
}

/** K's half, as the delegate is to have it. `idD`: the party on the other side. Its share is the half's own. */
export function delegatedShare(half: ForkedHalf, idD: Uint8Array): DelegatedShare {
  const { alg, walletId, idG, linkId, publicKey, chainCode, role, share } = half
  return { alg, walletId, idG, idD, linkId, publicKey, ...pointsOf(half, role), chainCode, share }
}

/** K's half as text, to be sealed and wiped; the half's share is overwritten. */
export function spendForDelegate(half: ForkedHalf, idD: Uint8Array): Uint8Array {
  try {
    return encodeDelegatedShare(delegatedShare(half, idD))
  } finally {
    half.share.fill(0)
  }
}

/** What is left of the first public shares when the access has ended: a hash that names them. */
export const publicSharesHash = (half: ForkedHalf): Uint8Array =>
  taggedHash('fork/shares', half.walletId, half.publicKey, half.pointC, half.pointS)
