/**
 * Which project a wallet is of, as the cosigner knows it by itself: its freezes and rows go by that, not by the project
 * that a request names. It is heard once, while the wallet is being made, and never changes after.
 */
import { type ProjectId, walletIdFromBytes } from '../domain/ids.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { getWalletOwner, insertWalletOwner, NOBODY } from '../vault/owner-register.ts'
import type { Reader, Tx } from '../vault/store.ts'

/** Undefined: of a time before the cosigner noted it, and never used since. */
export const projectOfWallet = (reader: Reader, walletId: Uint8Array): ProjectId | undefined =>
  getWalletOwner(reader, walletId)?.project as ProjectId | undefined

/** The wallet is the project's own: no end user's, and no daemon claims it for one later. */
export const bindToProject = (tx: Tx, walletId: Uint8Array, project: string, timeMs: number): void => {
  insertWalletOwner(tx, { walletId, project, userId: NOBODY, createMs: timeMs })
  appendAudit(tx, {
    timeMs,
    kind: 'wallet.bound_to_project',
    project: project as ProjectId,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'wallet', id: walletIdFromBytes(walletId) },
    decision: 'allow',
  })
}

/** Whether a request that names this project may be about the wallet. One that was never bound is from now on. */
export const isOfProject = (tx: Tx, walletId: Uint8Array, project: string, timeMs: number): boolean => {
  const bound = projectOfWallet(tx, walletId)
  if (bound === undefined) bindToProject(tx, walletId, project, timeMs)
  return bound === undefined || bound === project
}
