/**
 * Refresh of 1 to 256 wallets of one algorithm over a link (docs/protocol.md §12): both halves change by a common
 * coin, PK stays. Pure steps over those of share-change.ts; C decides the switch of epochs, S never does.
 *
 *   C: startRefreshC → F1   openRefreshC(F2) → F3   finishRefreshC(F4) → records to commit: that commit is the decision
 *   S: answerRefreshS(F1) → F2   finishRefreshS(F3) → records to store PENDING, then F4   [switches on F5 or on a
 *   later message of the wallet under the new epoch]
 *
 * The records passed in are only read: the caller wipes their shares, the states hold copies. Whoever holds a state
 * that will not go on abandons it.
 */
import type { PendingWallets } from './dkg.ts'
import { violation } from './fault.ts'
import { FRAME_TYPES, type SessionMessage } from './frame.ts'
import type { WalletRecord } from './records.ts'
import { decodeF1 } from './refresh-plan.ts'
import {
  abandonChange,
  answerChangeS,
  type ChangeC1,
  type ChangeC3,
  type Changed,
  type ChangeInputs,
  type ChangePurpose,
  type ChangeS2,
  finishChangeC,
  finishChangeS,
  openChangeC,
  startChangeC,
} from './share-change.ts'
import { MAX_REFRESH_WALLETS } from './suite.ts'

export type RefreshInputs = ChangeInputs & {
  /**
   * A healing refresh, after the link was renewed: the link epoch that becomes minLinkEpoch of the wallets. Absent:
   * minLinkEpoch stays.
   */
  readonly healingEpoch?: number
}

type Healing = Pick<RefreshInputs, 'healingEpoch'>
export type RefreshC1 = ChangeC1 & Healing
export type RefreshS2 = ChangeS2 & Healing
export type RefreshC3 = ChangeC3 & Healing

const { F1, F2, F3 } = FRAME_TYPES
const REFRESH: ChangePurpose = {
  name: 'refresh',
  types: [F1, F2, F3],
  maxWallets: MAX_REFRESH_WALLETS,
  agreed: new Uint8Array(0),
  coinTail: () => [],
}

/** The wallets that F1 names, so that their records can be loaded for `answerRefreshS`. Throws as `decodeF1`. */
export const readRefreshNames = (message: SessionMessage) => decodeF1(message, F1, MAX_REFRESH_WALLETS).names

/** C opens a refresh with F1; as `startChangeC`. */
export function startRefreshC(
  inputs: RefreshInputs,
  records: readonly WalletRecord[],
): { readonly state: RefreshC1; readonly body: Uint8Array } {
  const { state, body } = startChangeC(REFRESH, inputs, records)
  return { state: healing(state, inputs), body }
}

/** S answers F1 with F2; as `answerChangeS`. */
export function answerRefreshS(
  inputs: RefreshInputs,
  message: SessionMessage,
  offered: readonly WalletRecord[],
): { readonly state: RefreshS2; readonly sid: Uint8Array; readonly body: Uint8Array } {
  const { state, sid, body } = answerChangeS(REFRESH, inputs, message, offered)
  return { state: healing(state, inputs), sid, body }
}

/** C checks F2 and opens with F3; as `openChangeC`. */
export function openRefreshC(
  state: RefreshC1,
  message: SessionMessage,
): { readonly state: RefreshC3; readonly body: Uint8Array } {
  const { state: next, body } = openChangeC(state, message)
  return { state: healing(next, state), body }
}

/**
 * S checks F3 and gives the records to store PENDING next to the present ones, and F4, to be sent once they are durable;
 * as `finishChangeS`.
 */
export function finishRefreshS(
  state: RefreshS2,
  body3: Uint8Array,
): { readonly pending: PendingWallets; readonly body: Uint8Array } {
  const { changed, body } = finishChangeS(state, body3)
  return { pending: nextRecords(changed, state, 'PENDING'), body }
}

/**
 * C checks F4 and gives the records of the next epoch. One transaction makes them the present ones and erases the old:
 * this is the decision. The caller wipes the shares. As `finishChangeC`.
 */
export function finishRefreshC(state: RefreshC3, body4: Uint8Array): PendingWallets {
  return nextRecords(finishChangeC(state, body4), state, 'ACTIVE')
}

/** Ends a refresh that will not go on: every secret of the state is overwritten. The old records stay as they are. */
export const abandonRefresh: (state: RefreshC1 | RefreshS2 | RefreshC3) => void = abandonChange

/** The state itself, which whoever holds it spends: no copy of it may be left that is not spent. */
function healing<S extends ChangeC1 | ChangeS2 | ChangeC3>(state: S, { healingEpoch }: Healing): S & Healing {
  return healingEpoch === undefined ? state : Object.assign(state, { healingEpoch })
}

function nextRecords(
  { sid, records, renewed }: Changed,
  { healingEpoch }: Healing,
  state: 'PENDING' | 'ACTIVE',
): PendingWallets {
  const next = records.map((record, i): WalletRecord => {
    const half = renewed[i]
    if (half === undefined) throw violation('share count')
    const { share, pointC, pointS } = half
    return {
      ...record,
      state,
      wEpoch: record.wEpoch + 1,
      refreshCount: Math.min(record.refreshCount + 1, 0xffff),
      minLinkEpoch: Math.max(record.minLinkEpoch, healingEpoch ?? 0),
      share,
      pointC,
      pointS,
    }
  })
  return { sid, records: next }
}
