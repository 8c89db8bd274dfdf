/** What the audit chain says of one request to sign: who, which wallet, what, and how it ended. */
import { hash } from 'node:crypto'
import { actorOf, type Call } from '../domain/call.ts'
import type { GrantId } from '../domain/ids.ts'
import type { AuditEvent } from '../vault/audit-chain.ts'
import type { Wallet } from '../vault/wallets.ts'
import type { SigningMethod } from '../payload/signing-payload.ts'
import type { Examined } from './examined.ts'

export type SignJob = {
  readonly call: Pick<Call, 'caller' | 'requestId'>
  readonly request: { readonly method: SigningMethod; readonly sending?: { readonly sendId: string } | undefined }
  readonly wallet: Wallet
  readonly examined: Examined
  /** Under which a project uses the wallet of an end user. */
  readonly grantId?: GrantId | undefined
}

/** More than this of a list is not worth an audit row's space; the payload's hash covers it all. */
const LISTED_MAX = 32

export const eventOf = ({ call, wallet, request }: SignJob, timeMs: number, kind: string): AuditEvent => ({
  timeMs,
  kind,
  project: wallet.project,
  actor: actorOf(call.caller),
  subject: { type: 'wallet', id: wallet.walletId },
  method: request.method,
  requestId: call.requestId,
})

/** What the wallet's owner proved themselves with. */
const shownBy = ({ caller }: SignJob['call']): { readonly [name: string]: string } => {
  if (caller.kind === 'delegate') return { delegatedAccess: caller.accessId }
  if (caller.kind !== 'end_user' || caller.walletSecret === undefined) return {}
  const { walletSecretId, keyHash } = caller.walletSecret
  return { walletSecret: walletSecretId, walletSecretHash: keyHash }
}

export const detailsOf = ({ call, request, examined, grantId }: SignJob, payload: Uint8Array): AuditEvent['details'] => {
  const { digest, facts } = examined
  const chains = [...facts.chainIds.map(String), ...(facts.solana === undefined ? [] : [facts.solana.chain])]
  return {
    digest: Buffer.from(digest).toString('hex'),
    ...(grantId === undefined ? {} : { grant: grantId }),
    ...shownBy(call),
    ...(request.sending === undefined ? {} : { send: request.sending.sendId }),
    payloadHash: hash('sha256', payload, 'hex'),
    operation: facts.operation,
    effect: facts.effect,
    summary: facts.summary,
    chains: chains.slice(0, LISTED_MAX),
    destinations: facts.destinations.slice(0, LISTED_MAX).map(({ role, address }) => `${role}:${address}`),
    spends: facts.spends.slice(0, LISTED_MAX).map(({ token, amount }) => `${token}=${amount}`),
  }
}
