/** Party S's store over its own vault, in its own thread: shares are sealed and opened here and never leave. */
import { hash } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import { walletIdFromBytes } from '../domain/ids.ts'
import { benign } from '../engine/dkls23/fault.ts'
import { decidedState, isNextOf, type WalletRecord } from '../engine/dkls23/records.ts'
import { parseSigningPayload, type SigningPayload } from '../payload/signing-payload.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import { beginIntent, completeIntent, failIntent, PresignatureReused } from '../vault/intents.ts'
import { claimReply, failReply, findReply, finishReply, pruneReplies } from '../vault/replies.ts'
import type { FreezeSubject } from '../vault/freezes.ts'
import { forgetWalletOwner } from '../vault/owner-register.ts'
import type { Reader, Tx } from '../vault/store.ts'
import {
  activateShare,
  dropPendingShare,
  getShare,
  listPendingShares,
  nextRecordVersion,
  raiseLastUsedEpoch,
  savePendingShare,
  setShareState,
} from '../vault/wallet-shares.ts'
import { findAnyFreeze } from './cosigner-freezes.ts'
import { type CosignerRules, RuleBook, type RuleName } from './cosigner-rules.ts'
import { ownLinks } from './link-rows.ts'
import { noteOnce } from './note-once.ts'
import type { OwnerDesk } from './owner-desk.ts'
import type { CosignerIntent, CosignerStore, PendingWallet } from './party-store.ts'
import { isOfProject, projectOfWallet } from './wallet-projects.ts'
import { hexOf } from './presignature-map.ts'
import { openOrQuarantine, openRecord, sealRecord, type ShareSeal } from './share-sealing.ts'

const PRUNE_AT_ONCE = 8
/** The wallet epoch of a key that was just generated. */
const FIRST_EPOCH = 0

export type OwnCosignerStore = CosignerStore & {
  /** Forgets the part of a wallet that never came to be. Nothing was ever signed with it, so no old page matters. */
  readonly abandonPending: (walletId: Uint8Array) => Promise<void>
  /** What it recorded since it was opened, and what its own rules refused. */
  readonly counts: () => { readonly signed: number; readonly denied: Readonly<Record<string, number>> }
}

/** The undecided records, also in memory: every presign session asks for them, and finding them reads all shares. */
const loadPending = (read: Reader): Map<string, PendingWallet> =>
  new Map(
    listPendingShares(read).flatMap(({ walletId, linkId, wEpoch, pendingSid }) =>
      pendingSid === undefined ? [] : [[hexOf(walletId), { walletId, linkId, wEpoch, sid: pendingSid }] as const],
    ),
  )

export const createCosignerStore = (
  vault: CosignerVault,
  seal: ShareSeal,
  clock: Clock,
  desk?: OwnerDesk,
  rules: CosignerRules = {},
): OwnCosignerStore => {
  const nowMs = (): number => Math.trunc(clock.nowMs())
  const undecided = loadPending(vault.read)
  const book = new RuleBook(rules, vault.read, nowMs())
  const counts = { signed: 0, denied: {} as Record<string, number> }
  const running = new Map<string, { sequence: bigint; requestKey: Uint8Array }>()

  return {
    ...ownLinks(vault, nowMs),
    counts: () => counts,
    loadWallet: async (walletId) => {
      const stored = getShare(vault.read, walletId)
      if (stored === undefined) return undefined
      return openOrQuarantine(seal, stored, (state) => vault.commit((tx) => setShareState(tx, walletId, state, nowMs())))
    },
    savePending: async (pending) => {
      const { sid, records } = pending
      const shares = records.map((record) => sealRecord(seal, record, nextRecordVersion(vault.read, record.walletId)))
      await vault.commit((tx) => {
        for (const record of records) if (record.wEpoch > FIRST_EPOCH) requireRefreshable(tx, record)
        if ('importId' in pending) desk?.recordImport(tx, pending)
        for (const [i, share] of shares.entries()) {
          savePendingShare(tx, { share, linkId: (records[i] as WalletRecord).linkId, sid, timeMs: nowMs() })
        }
      })
      for (const { walletId, linkId, wEpoch } of records) {
        undecided.set(hexOf(walletId), { walletId: walletId.slice(), linkId: linkId.slice(), wEpoch, sid: sid.slice() })
      }
    },
    pendingWallets: async () => [...undecided.values()],
    activate: async (walletId, wEpoch) => {
      const pending = getShare(vault.read, walletId, 'pending')
      if (pending === undefined || pending.wEpoch !== wEpoch) return
      const record = openRecord(seal, pending)
      try {
        const decided = decidedState(record)
        const share = sealRecord(seal, { ...record, state: decided }, nextRecordVersion(vault.read, walletId))
        await vault.commit((tx) => {
          // The ACK and a presign session that stands for it come at once where a wallet is used as soon as it is made.
          if (getShare(tx, walletId, 'pending')?.wEpoch !== wEpoch) return
          const before = getShare(tx, walletId)?.state
          const state = before === undefined || before === 'IMPORTED' ? decided : before
          activateShare(tx, { share, linkId: record.linkId, state, timeMs: nowMs() })
          if (wEpoch > FIRST_EPOCH) appendAudit(tx, refreshedEvent(record, nowMs()))
        })
        undecided.delete(hexOf(walletId))
      } finally {
        record.share.fill(0)
      }
      if (wEpoch > FIRST_EPOCH) vault.eraseDeleted()
    },
    dropPending: async (walletId) => {
      const dropped = await vault.commit((tx) => dropUndecided(tx, walletId, nowMs()))
      undecided.delete(hexOf(walletId))
      if (dropped) vault.eraseDeleted()
    },
    abandonPending: async (walletId) => {
      if (undecided.get(hexOf(walletId))?.wEpoch !== FIRST_EPOCH) return
      await vault.commit((tx) => dropUndecided(tx, walletId, nowMs()))
      undecided.delete(hexOf(walletId))
    },
    setWalletState: async (walletId, state) => {
      await vault.commit((tx) => setShareState(tx, walletId, state, nowMs()))
    },
    noteUse: noteOnce((walletIds, lEpoch) => vault.commit((tx) => raiseLastUsedEpoch(tx, walletIds, lEpoch))),
    lastUse: async (walletId) => getShare(vault.read, walletId)?.lastUsedEpoch ?? 0,
    admitImport: (importId, owner) => {
      if (desk === undefined) throw benign('import_refused', 'nothing is imported')
      desk.admitImport(importId, owner)
    },
    authorizeExport: async (asked, origin) => {
      if (desk === undefined) throw benign('policy_denied', 'nothing is exported')
      await desk.authorizeExport(asked, origin)
    },
    mayRefresh: (walletId) => findAnyFreeze(vault.read, fencesOfWallet(vault.read, walletId)) === undefined,
    admits: ({ walletId, payload }) => {
      const read = parseSigningPayload(payload)
      if ((projectOfWallet(vault.read, walletId) ?? read.projectId) !== read.projectId) return false
      return findAnyFreeze(vault.read, fencesOf(read)) === undefined && book.refusesContent(read) === undefined
    },
    findReply: (walletId, reqId) => findReply(vault.read, walletId, reqId, nowMs()),
    commitIntent: async (intent) => {
      const payload = parseSigningPayload(intent.payload)
      try {
        return await vault.commit((tx) => {
          const rule = !isOfProject(tx, intent.walletId, payload.projectId, nowMs())
            ? 'project'
            : findAnyFreeze(tx, fencesOf(payload)) !== undefined
              ? 'frozen'
              : book.refuses(payload, intent.walletId, nowMs())
          if (rule !== undefined) {
            counts.denied[rule] = (counts.denied[rule] ?? 0) + 1
            appendAudit(tx, deniedEvent(payload, rule, nowMs()))
            return 'denied'
          }
          if (claimReply(tx, intent, nowMs()).kind !== 'claimed') return 'denied'
          pruneReplies(tx, nowMs(), PRUNE_AT_ONCE)
          const head = beginIntent(tx, {
            walletId: intent.walletId,
            presigId: intent.presigId,
            rPoint: intent.noncePoint,
            digest: intent.digest,
            caller: '',
            method: payload.method,
            event: intentEvent(payload, intent, nowMs()),
          })
          book.count(intent.walletId, nowMs())
          counts.signed += 1
          running.set(keyOf(intent), { sequence: head.sequence, requestKey: intent.requestKey })
          return 'committed'
        })
      } catch (error) {
        if (error instanceof PresignatureReused) return 'duplicate'
        throw error
      }
    },
    completeIntent: (intent, result) => {
      const entry = running.get(keyOf(intent))
      running.delete(keyOf(intent))
      if (entry === undefined) return
      const { walletId, reqId } = intent
      const key = { walletId, reqId, requestKey: entry.requestKey }
      vault
        .commitLater((tx) => {
          if ('response' in result) {
            finishReply(tx, key, result.response)
            completeIntent(tx, entry.sequence, {
              signatureHash: hash('sha256', result.response, 'buffer'),
              r: result.response.slice(16, 48),
              event: resultEvent(intent, entry.sequence, 'sign.completed', nowMs()),
            })
          } else {
            failReply(tx, key)
            failIntent(tx, entry.sequence, resultEvent(intent, entry.sequence, 'sign.failed', nowMs()))
          }
        })
        // A lost completion leaves the intent in doubt, which counts as signed.
        .catch(() => undefined)
    },
  }
}

/** A wallet that never came to be has no owner either. */
const dropUndecided = (tx: Tx, walletId: Uint8Array, timeMs: number): boolean => {
  if (getShare(tx, walletId) === undefined) forgetWalletOwner(tx, walletId, timeMs)
  return dropPendingShare(tx, walletId, timeMs)
}

const keyOf = ({ walletId, presigId }: CosignerIntent): string => `${hexOf(walletId)}${hexOf(presigId)}`

const fencesOf = ({ projectId, walletId }: SigningPayload) =>
  [
    { scope: 'all', id: '' },
    { scope: 'project', id: projectId },
    { scope: 'wallet', id: walletId },
  ] as const

/** What a refresh can be held back by here: its messages do not say whose the wallet is, but that is known. */
const fencesOfWallet = (reader: Reader, walletId: Uint8Array): readonly FreezeSubject[] => {
  const project = projectOfWallet(reader, walletId)
  return [
    { scope: 'all', id: '' },
    { scope: 'wallet', id: walletIdFromBytes(walletId) },
    ...(project === undefined ? [] : [{ scope: 'project', id: project } as const]),
  ]
}

const requireRefreshable = (tx: Reader, { walletId, wEpoch }: WalletRecord): void => {
  const current = getShare(tx, walletId)
  const isFree = getShare(tx, walletId, 'pending') === undefined
  if (isNextOf(current, wEpoch) && isFree && findAnyFreeze(tx, fencesOfWallet(tx, walletId)) === undefined) return
  throw benign('wallet_state', 'the wallet may not be refreshed')
}

const refreshedEvent = ({ walletId, wEpoch }: WalletRecord, timeMs: number): AuditEvent => ({
  timeMs,
  kind: 'wallet.refreshed',
  actor: { kind: 'daemon', id: '' },
  subject: { type: 'wallet', id: walletIdFromBytes(walletId) },
  decision: 'allow',
  details: { shareEpoch: wEpoch },
})

const intentEvent = (payload: SigningPayload, intent: CosignerIntent, timeMs: number): AuditEvent => ({
  timeMs,
  kind: 'sign.intent',
  project: payload.projectId,
  actor: { kind: 'daemon', id: '' },
  subject: { type: 'wallet', id: payload.walletId },
  method: payload.method,
  decision: 'allow',
  details: {
    digest: hexOf(intent.digest),
    presigId: hexOf(intent.presigId),
    reqId: hexOf(intent.reqId),
    summary: intent.summary,
  },
})

const deniedEvent = ({ projectId, walletId, method }: SigningPayload, rule: RuleName | 'project' | 'frozen', timeMs: number): AuditEvent => ({
  timeMs,
  kind: 'sign.denied',
  project: projectId,
  actor: { kind: 'daemon', id: '' },
  subject: { type: 'wallet', id: walletId },
  method,
  decision: 'refuse',
  reason: rule,
})

const resultEvent = (intent: CosignerIntent, sequence: bigint, kind: string, timeMs: number): AuditEvent => ({
  timeMs,
  kind,
  actor: { kind: 'cosigner', id: '' },
  subject: { type: 'wallet', id: walletIdFromBytes(intent.walletId) },
  details: { intent: String(sequence) },
})
