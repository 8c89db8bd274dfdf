/**
 * What lets the cosigner hand a share of a wallet over (docs/protocol.md §13, §14): its owner's statement under a wallet
 * secret of the register, or its operator's approval of one key for one wallet. Either is good for one wallet, for what
 * it names and for once: it is used up in the transaction that decides. A refusal throws, so that nothing of the
 * transaction stands. @throws ProtocolFault class A policy_denied, all of these.
 */
import { walletIdFromBytes } from '../domain/ids.ts'
import type { ExportConsent } from '../engine/dkls23/export.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { WalletRecord } from '../engine/dkls23/records.ts'
import { CONSENT_MAX_MS, isSignedBy, type Once } from '../engine/sealing/owner-consent.ts'
import type { AuditEvent } from '../vault/audit-chain.ts'
import { spendConsent, takeApproval } from '../vault/consents.ts'
import { getOwnerSecret, getWalletOwner, NOBODY, type Owner, type OwnerSecret } from '../vault/owner-register.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { getShare } from '../vault/wallet-shares.ts'
import { findAnyFreeze } from './cosigner-freezes.ts'
import { hexOf } from './presignature-map.ts'

/** A secret bound later than this ago does not export yet: who owns the account can notice it meanwhile. */
export const SECRET_WAIT_MS = 86_400_000

/**
 * Since when a secret exports. The first, bound before an address was known, does at once: who was not who they said is
 * found out by the cosigner's word before anything is put on the wallet. An imported key may be worth something already,
 * so there it waits as well.
 */
export const exportsFromMs = ({ boundBy, bindMs }: Pick<OwnerSecret, 'boundBy' | 'bindMs'>, origin: WalletRecord['origin']): number =>
  boundBy === 'first_wallet' && origin !== 'import' ? bindMs : bindMs + SECRET_WAIT_MS

export const denied = (why: string) => benign('policy_denied', why)

/** Not over, and not good for longer than a consent may be. */
export const isTimely = (expireMs: number, nowMs: number): boolean => {
  const leftMs = expireMs - nowMs
  return leftMs > 0 && leftMs <= CONSENT_MAX_MS
}

export const requireTimely = (expireMs: number, nowMs: number): void => {
  if (!isTimely(expireMs, nowMs)) throw denied('the consent has expired, or is good for more than five minutes')
}

/** A freeze, a stopped wallet, another epoch or a refresh under way stands in the way. */
export const requireExportable = (
  tx: Reader,
  { walletId, wEpoch }: { readonly walletId: Uint8Array; readonly wEpoch: number },
  owner: Owner | undefined,
): void => {
  const id = walletIdFromBytes(walletId)
  const project = owner === undefined ? [] : [{ scope: 'project', id: owner.project } as const]
  if (findAnyFreeze(tx, [{ scope: 'all', id: '' }, { scope: 'wallet', id }, ...project]) !== undefined) {
    throw denied('frozen')
  }
  const share = getShare(tx, walletId)
  if (share?.state !== 'ACTIVE') throw denied('the wallet is not active')
  if (share.wEpoch !== wEpoch) throw denied('the wallet is at another epoch')
  if (getShare(tx, walletId, 'pending') !== undefined) throw denied('the wallet is being refreshed')
}

/** A share that somebody asks for, and why they may have it. */
export type AskedShare = Once & { readonly walletId: Uint8Array; readonly consent: ExportConsent }

/** The owner's consent, which is used up. `statement` is what they must have signed; answers who it was. */
export const takeOwnerConsent = (
  tx: Tx,
  { walletId, consent, nonce, expireMs }: AskedShare,
  { statement, origin }: { readonly statement: Uint8Array; readonly origin: WalletRecord['origin'] },
  timeMs: number,
): AuditEvent['actor'] => {
  const owner = getWalletOwner(tx, walletId)
  if (consent.kind !== 'wallet_secret' || owner === undefined || owner.userId === NOBODY) {
    throw denied('no end user owns this wallet')
  }
  const secret = getOwnerSecret(tx, owner, consent.secretId)
  if (secret === undefined) throw denied('the wallet secret is not in the register')
  if (exportsFromMs(secret, origin) > timeMs) throw denied('the wallet secret is younger than a day')
  if (!isSignedBy(secret.publicKey, statement, consent.signature)) throw denied('the signature of the consent')
  if (!spendConsent(tx, nonce, expireMs)) throw denied('the nonce was used before')
  return { kind: 'end_user', id: `${owner.project}/${owner.userId}` }
}

/** The operator's approval, which is used up. `keyDigest` is what it must be of, `what` names that; answers which it was. */
export const takeOperatorConsent = (
  tx: Tx,
  { walletId, consent, nonce, expireMs }: AskedShare,
  { keyDigest, what }: { readonly keyDigest: Uint8Array; readonly what: string },
  timeMs: number,
): AuditEvent['actor'] => {
  if (consent.kind !== 'operator') throw denied('no approval')
  const approval = takeApproval(tx, consent.approvalId, timeMs)
  if (approval === undefined) throw denied('there is no such approval, or it was used')
  const isForIt = hexOf(approval.walletId) === hexOf(walletId) && hexOf(approval.keyDigest) === hexOf(keyDigest)
  if (!isForIt) throw denied(`the approval is for another ${what}`)
  if (approval.expireMs <= timeMs) throw denied('the approval has expired')
  if (!spendConsent(tx, nonce, expireMs)) throw denied('the nonce was used before')
  return { kind: 'operator', id: hexOf(consent.approvalId) }
}
