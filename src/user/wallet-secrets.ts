/** Registering, listing and revoking the wallet secrets of an end user. */
import { randomBytes } from 'node:crypto'
import { actorOf, type Call, endUserOf } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure, invalidField } from '../domain/failure.ts'
import type { SecretOrder } from '../party/owner-calls.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { Tx } from '../vault/store.ts'
import { requireNotEnded } from '../vault/user-sessions.ts'
import {
  deleteWalletSecret,
  listWalletSecrets as listStored,
  MAX_WALLET_SECRETS,
  putWalletSecret,
  requireWalletSecret,
  type WalletSecret,
} from '../vault/wallet-secrets.ts'
import { requireP256Key } from './prove-request.ts'

export type WalletSecretNeeds = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly engine: Pick<SigningEngine, 'owners'>
}

/** What a wallet secret in the cosigner's own register has signed, to have another taken in there, or out. */
export type CosignerOrder = Pick<SecretOrder, 'signedBy' | 'signature' | 'nonce' | 'expireMs'>

export type WalletSecretView = {
  readonly walletSecretId: string
  /** Base64 of the SPKI. */
  readonly publicKey: string
  readonly validUntilMs: number
  readonly createTimeMs: number
}

const viewOf = ({ walletSecretId, publicKey, validUntilMs, createMs }: WalletSecret): WalletSecretView => ({
  walletSecretId,
  publicKey: Buffer.from(publicKey).toString('base64'),
  validUntilMs,
  createTimeMs: createMs,
})

/** A device that is not seen for a quarter has to sign in again. */
const MAX_VALID_MS = 90 * 86_400_000

export type WalletSecretRequest = {
  /** Empty: one is drawn. */
  readonly walletSecretId: string
  readonly publicKey: string
  readonly validUntilMs: number
  readonly cosignerOrder: CosignerOrder | undefined
}

const checkValidUntil = (validUntilMs: number, nowMs: number): void => {
  const why = validUntilMs <= nowMs ? 'is over' : validUntilMs > nowMs + MAX_VALID_MS ? 'is more than 90 days ahead' : ''
  if (why !== '') throw invalidField('valid_until', why)
}

type Change = {
  readonly kind: 'wallet_secret.registered' | 'wallet_secret.revoked' | 'wallet_secret.evicted' | 'wallet_secret.replaced'
  readonly secret: Pick<WalletSecret, 'walletSecretId' | 'keyHash' | 'validUntilMs'>
  readonly timeMs: number
}

const record = (tx: Tx, call: Call, { kind, secret, timeMs }: Change): void => {
  const { walletSecretId, keyHash, validUntilMs } = secret
  appendAudit(tx, {
    timeMs,
    kind,
    project: call.caller.projectId,
    actor: actorOf(call.caller),
    subject: { type: 'wallet_secret', id: walletSecretId },
    method: call.method.split('/').at(-1),
    requestId: call.requestId,
    decision: 'allow',
    details: { keyHash, validUntil: new Date(validUntilMs).toISOString() },
  })
}

/**
 * Registers a key the caller has proven to hold. One of the same id is replaced; of more than five the oldest go. With an
 * order the cosigner takes it into its own register, first. Refuses: INVALID_REQUEST, WALLET_SECRET_REFUSED.
 */
export const registerWalletSecret = async (
  { vault, clock, engine }: WalletSecretNeeds,
  call: Call,
  request: WalletSecretRequest,
): Promise<WalletSecretView> => {
  const { projectId: project, userId, accessTokenId } = endUserOf(call.caller)
  const { spki } = requireP256Key(request.publicKey)
  const walletSecretId = request.walletSecretId === '' ? randomBytes(16).toString('hex') : request.walletSecretId
  checkValidUntil(request.validUntilMs, clock.nowMs())
  if (request.cosignerOrder !== undefined) {
    await engine.owners.changeSecret({ ...request.cosignerOrder, project, userId, change: 'bind', publicKey: spki })
  }
  return vault.commit((tx) => {
    const timeMs = Math.trunc(clock.nowMs())
    requireNotEnded(tx, accessTokenId)
    checkValidUntil(request.validUntilMs, timeMs)
    const { validUntilMs } = request
    const gone = putWalletSecret(tx, { project, userId, walletSecretId, publicKey: spki, validUntilMs, createMs: timeMs })
    for (const secret of gone) {
      const kind = secret.walletSecretId === walletSecretId ? 'wallet_secret.replaced' : 'wallet_secret.evicted'
      record(tx, call, { kind, secret, timeMs })
    }
    const added = listStored(tx, { project, userId }).find((one) => one.walletSecretId === walletSecretId)
    if (added === undefined) throw new Error('assertion: what was put is there')
    record(tx, call, { kind: 'wallet_secret.registered', secret: added, timeMs })
    return viewOf(added)
  })
}

/** Oldest first, those that are over included: never more than five. */
export const listWalletSecrets = ({ vault }: WalletSecretNeeds, call: Call): readonly WalletSecretView[] => {
  const { projectId: project, userId } = endUserOf(call.caller)
  return listStored(vault.read, { project, userId }).slice(0, MAX_WALLET_SECRETS).map(viewOf)
}

/**
 * Takes a wallet secret back: once this is acknowledged nothing is released that it signed for, work in flight included.
 * With an order it ends at the cosigner too, first. Refuses: WALLET_SECRET_NOT_FOUND, WALLET_SECRET_REFUSED.
 */
export const revokeWalletSecret = async (
  { vault, clock, engine }: WalletSecretNeeds,
  call: Call,
  { walletSecretId, cosignerOrder }: { readonly walletSecretId: string; readonly cosignerOrder: CosignerOrder | undefined },
): Promise<WalletSecretView> => {
  const { projectId: project, userId, accessTokenId, walletSecret } = endUserOf(call.caller)
  if (cosignerOrder !== undefined) {
    const held = listStored(vault.read, { project, userId }).find((one) => one.walletSecretId === walletSecretId)
    if (held === undefined) throw failure('WALLET_SECRET_NOT_FOUND', {})
    await engine.owners.changeSecret({ ...cosignerOrder, project, userId, change: 'remove', publicKey: held.publicKey })
  }
  return vault.commit((tx) => {
    const timeMs = Math.trunc(clock.nowMs())
    // What asks for this may have been taken back itself since it was shown.
    requireNotEnded(tx, accessTokenId)
    if (walletSecret !== undefined) requireWalletSecret(tx, { project, userId }, walletSecret, timeMs)
    const secret = deleteWalletSecret(tx, { project, userId }, walletSecretId)
    record(tx, call, { kind: 'wallet_secret.revoked', secret, timeMs })
    return viewOf(secret)
  })
}
