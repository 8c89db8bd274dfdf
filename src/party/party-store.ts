import type { ExportRequest } from '../engine/dkls23/export.ts'
import type { LinkRecord, WalletRecord, WalletState } from '../engine/dkls23/records.ts'
import type { PendingWallets } from '../engine/dkls23/dkg.ts'
import type { ImportOwner, PendingImport } from '../engine/dkls23/import.ts'
import type { OutcomeQuestion } from '../engine/dkls23/outcome.ts'

/**
 * What a party keeps. Every promise that writes resolves only when the write is on disk; a rejection means that
 * nothing may be answered. Implemented over the daemon's vault (party C, from its worker through the main thread) and
 * over the cosigner's own vault (party S).
 */
export type PartyStore = {
  readonly loadLink: (linkId: Uint8Array) => Promise<LinkRecord | undefined>
  /** All in one transaction: a burn covers every link of a pair of parties. */
  readonly saveLinks: (records: readonly LinkRecord[]) => Promise<void>
  /** Every link that joins these two parties, in both orders and all shards. */
  readonly linksOfPair: (idA: Uint8Array, idB: Uint8Array) => Promise<readonly LinkRecord[]>
  /** One strike, kept for the operator; the link record that counts it is saved with it. */
  readonly recordStrike: (record: LinkRecord, what: string) => Promise<void>

  /**
   * The record of the present epoch with its share in clear: the caller wipes it. `undefined`: no such wallet.
   * @throws ProtocolFault class B when the record does not open or does not verify: the wallet is quarantined.
   */
  readonly loadWallet: (walletId: Uint8Array) => Promise<WalletRecord | undefined>
  /**
   * Beside the present records, which a refresh does not touch yet. @throws ProtocolFault class A wallet_state: of a
   * refresh, unless the present record is ACTIVE or IMPORTED, one epoch behind and without another undecided one;
   * class A import_refused: of an import that was taken in before.
   */
  readonly savePending: (pending: PendingWallets | PendingImport) => Promise<void>
  readonly dropPending: (walletId: Uint8Array, wEpoch: number) => Promise<void>
  readonly setWalletState: (walletId: Uint8Array, state: WalletState, why: string) => Promise<void>
  /** Raised before the first message of an lEpoch that uses the wallets' shares (docs/protocol.md §6.3). */
  readonly noteUse: (walletIds: readonly Uint8Array[], lEpoch: number) => Promise<void>
  /** The last lEpoch that used the wallet's shares; 0: none did. */
  readonly lastUse: (walletId: Uint8Array) => Promise<number>
}

/** TX1 of the party that answers (docs/protocol.md §10.0). */
export type CosignerIntent = {
  readonly walletId: Uint8Array
  readonly wEpoch: number
  readonly presigId: Uint8Array
  /** R before δ, 33 bytes, or the own D of Ed25519, 32 bytes: unique per wallet like the presigId. */
  readonly noncePoint: Uint8Array
  readonly reqId: Uint8Array
  readonly digest: Uint8Array
  readonly payload: Uint8Array
  /** What the payload says, in one line. */
  readonly summary: string
}

export type StoredReply = {
  readonly requestKey: Uint8Array
  readonly state: 'RUNNING' | 'DONE' | 'FAILED'
  /** The response, once DONE: 81 bytes, of Ed25519 80. */
  readonly response: Uint8Array | undefined
}

/** A record that C has not decided, and the link that its wallet belongs to. */
export type PendingWallet = OutcomeQuestion & { readonly linkId: Uint8Array }

/** What only the answering party keeps: its intents, its replies, its own rules. */
export type CosignerStore = PartyStore & {
  /** Of every link. */
  readonly pendingWallets: () => Promise<readonly PendingWallet[]>
  /**
   * PENDING at `wEpoch` becomes ACTIVE and an older epoch is erased, in one transaction, for good when this resolves. A
   * wallet that was stopped meanwhile stays so.
   */
  readonly activate: (walletId: Uint8Array, wEpoch: number) => Promise<void>
  /** The cosigner's own fences and rules, as far as they can be told before the intent is recorded. */
  readonly admits: (
    request: Pick<CosignerIntent, 'walletId' | 'reqId' | 'payload'>,
  ) => boolean | Promise<boolean>
  /** No freeze of the cosigner's own stands in the way of new shares. */
  readonly mayRefresh: (walletId: Uint8Array) => boolean | Promise<boolean>
  /** Whether a key may be taken in for this owner. @throws ProtocolFault class A import_refused. */
  readonly admitImport: (importId: Uint8Array, owner: ImportOwner) => void
  /**
   * Asks the cosigner's own register and operator whether this share may leave, and uses up what allowed it.
   * @throws ProtocolFault class A policy_denied.
   */
  readonly authorizeExport: (asked: ExportRequest, origin: WalletRecord['origin']) => Promise<void>
  readonly findReply: (walletId: Uint8Array, reqId: Uint8Array) => StoredReply | undefined
  /**
   * Asks the cosigner's own fences and rules inside the transaction that records the intent.
   * `duplicate`: the presigId or R was recorded before; the caller suspends the wallet.
   */
  readonly commitIntent: (
    intent: CosignerIntent & { readonly requestKey: Uint8Array },
  ) => Promise<'committed' | 'denied' | 'duplicate'>
  /** TX2, joins the next group commit. */
  readonly completeIntent: (
    intent: CosignerIntent,
    result: { readonly response: Uint8Array } | { readonly failed: string },
  ) => void
}
