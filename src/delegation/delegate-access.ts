/**
 * Giving a delegate access to a wallet (docs/protocol.md §13): a share of its own, made and sealed by the cosigner, and a
 * wallet API key. Nothing is delegated before the row that says so is durable, nor told before the delegate's envelopes are.
 */
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { DEFAULT_OPERATIONS, type DelegatedOperation, type DelegatedTerms } from '../domain/delegated-terms.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { type AccessId, accessIdFromBytes, accessIdToBytes, type GrantId, parseDelegateId, walletIdToBytes } from '../domain/ids.ts'
import type { Secret } from '../domain/secret.ts'
import type { SealedEnvelope } from '../domain/sealed-envelope.ts'
import { type Delegated, type DelegateParty, type DelegationAsked, sealForDelegate } from '../party/delegate-calls.ts'
import type { NewFork } from '../party/fork-orders.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { formatNarrowing, parseNarrowing } from '../policy/parse-grants.ts'
import { authorize, type AuthorizeNeeds, liveGrantsOf } from '../signing/authorize.ts'
import { fencesOf, freezesOf } from '../signing/caller-stops.ts'
import { requireConsent, requireConsentStill } from '../signing/consent.ts'
import { failureOfFence, type Fences, type Passage } from '../signing/fences.ts'
import { resolveWallet } from '../signing/resolve-wallet.ts'
import { assertSigns } from '../signing/sign.ts'
import { appendAudit, type AuditHead, listAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import {
  accessOfRequest,
  changeDelegatedAccess,
  generateWalletApiKey,
  getDelegatedAccess,
  insertDelegatedAccess,
  keepDelivery,
  keptDelivery,
  undeliveredAccess,
  walletApiKeyMac,
} from '../vault/delegated-access.ts'
import { type Delegate, requireDelegate } from '../vault/delegates.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { deleteShares, shareEpochOf } from '../vault/wallet-shares.ts'
import { requireWallet, type Wallet } from '../vault/wallets.ts'
import { recordWebhookEvent } from '../vault/webhook-outbox.ts'
import { accessEvent, type DelegatedAccessView, isToldTo, viewAccess } from './delegated-access-view.ts'

export type DelegateAccessNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'delegates'>
  readonly fences: Fences
  readonly clock: Clock
  /** How far ahead the end of an access may lie. */
  readonly maxGrantMs: number
}

export type DelegateAccessRequest = {
  readonly walletRef: string
  readonly delegateId: string
  /** Empty: the usual ones. */
  readonly operations: readonly DelegatedOperation[]
  /** As `narrowing` of a permission has it. */
  readonly limits: DelegatedTerms['narrowing']
  readonly expireMs: number
  readonly walletEpoch: number
  readonly consentExpireMs: number
  readonly nonce: Uint8Array
  readonly consent: DelegationAsked['consent']
  readonly includeEnvelopes: boolean
}

type Envelopes = { readonly share: SealedEnvelope; readonly apiKey: SealedEnvelope }

export type GivenAccess = {
  readonly access: DelegatedAccessView
  readonly envelopes: Envelopes | undefined
  readonly receipt: AuditHead & { readonly signature: Uint8Array; readonly keyId: string }
}

const CREATED = 'delegated_access.created'
const CONSENT_MAX_MS = 300_000
const MAX_PER_SECOND = 16

/**
 * Refuses, and nothing was given: WALLET_NOT_FOUND, WALLET_AMBIGUOUS, PERMISSION_MISSING, as `requireConsent` for a project
 * and an end user's wallet, WALLET_ARCHIVED, WALLET_SUSPENDED, WALLET_NOT_READY, DELEGATE_NOT_FOUND, INVALID_REQUEST,
 * CONSENT_EXPIRED, WALLET_EPOCH_MISMATCH, RATE_LIMITED, FROZEN, DEADLINE_EXCEEDED, and as `DelegateCalls.fork`.
 */
export const delegateAccess = async (needs: DelegateAccessNeeds, call: Call, args: DelegateAccessRequest): Promise<GivenAccess> => {
  const { vault, fences, clock } = needs
  const { read } = vault
  const nowMs = Math.trunc(clock.nowMs())
  const wallet = resolveWallet(read, call.caller, args.walletRef)
  if (call.caller.kind !== 'end_user') authorize(read, needs, call, 'delegation:create', wallet.walletId)
  const before = call.isRepeat ? givenBefore(needs, call) : undefined
  if (before !== undefined) return answerOf(needs, before, args)
  const grant = requireConsent(read, call.caller, wallet, nowMs)
  assertSigns(wallet)
  const delegate = delegateOf(read, call, args)
  const terms = termsOf(args)
  assertTimes(needs, args, nowMs)
  const epoch = shareEpochOf(read, walletIdToBytes(wallet.walletId))
  if (epoch !== args.walletEpoch) throw failure('WALLET_EPOCH_MISMATCH', { walletEpoch: epoch })
  const behind = fencesOf(call, wallet, grant)
  const passage = fences.enter(behind)
  call.releaseChecks.push(() => {
    passage.check()
    const raised = fences.blocking(behind)
    if (raised !== undefined) throw failureOfFence(raised)
  })
  try {
    needs.rates.take(`delegate ${wallet.project}`, MAX_PER_SECOND)
    const made = await give(needs, call, { wallet, delegate, terms, args, grantId: grant?.grantId, passage })
    return answerOf(needs, made, args)
  } finally {
    passage.leave()
  }
}

type Job = {
  readonly wallet: Wallet
  readonly delegate: Delegate
  readonly terms: DelegatedTerms
  readonly args: DelegateAccessRequest
  readonly grantId: GrantId | undefined
  readonly passage: Passage
}

const partyOf = ({ identityKey, keys }: Delegate): DelegateParty => {
  const active = keys.find(({ state }) => state === 'ACTIVE')
  if (active === undefined) throw failure('DELEGATE_KEY_INVALID', { why: 'the delegate has no key in use' })
  return { identityKey, rsaKey: active.publicKey, kid: active.kid }
}

const give = async (needs: DelegateAccessNeeds, call: Call, job: Job): Promise<AccessId> => {
  const { vault, engine } = needs
  const { wallet, args } = job
  const party = partyOf(job.delegate)
  const apiKey = generateWalletApiKey()
  const { keyType, publicKey } = wallet
  const { walletEpoch: wEpoch, consentExpireMs: expireMs, nonce, consent } = args
  const asked = { walletId: walletIdToBytes(wallet.walletId), keyType, publicKey, wEpoch, expireMs, nonce, consent, delegate: party }
  let made: AccessId | undefined
  const record = (tx: Tx, fork: NewFork): void => {
    recordMade(needs, call, tx, { ...job, party, fork, apiKey })
    made = accessIdFromBytes(fork.walletId)
  }
  let delegated: Delegated
  try {
    delegated = await engine.delegates.fork(asked, { record }, call.signal)
    if (made === undefined) throw new Error('a share was made without a row')
    await deliver(needs, made, job, { share: delegated.envelope, apiKey: sealForDelegate(party, apiKey) })
  } catch (error) {
    if (made !== undefined) await endUnmade(vault, made, needs.clock)
    throw error
  }
  void engine.delegates.confirm(delegated)
  return made
}

type Making = Job & { readonly party: DelegateParty; readonly fork: NewFork; readonly apiKey: Secret<string> }

/** In the transaction that decides: what is true there counts. */
const recordMade = (needs: DelegateAccessNeeds, call: Call, tx: Tx, making: Making): void => {
  const { wallet, delegate, terms, args, grantId, passage, party, fork, apiKey } = making
  const nowMs = Math.trunc(needs.clock.nowMs())
  passage.check()
  if (call.signal.aborted || nowMs >= call.deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
  liveGrantsOf(tx, needs, call.caller, nowMs)
  requireConsentStill(tx, call.caller, wallet, nowMs, grantId)
  assertSigns(requireWallet(tx, wallet.walletId, wallet.project))
  requireNotFrozen(tx, freezesOf(call, wallet))
  const accessId = accessIdFromBytes(fork.walletId)
  const apiKeyMac = walletApiKeyMac(tx, apiKey.reveal())
  if (apiKeyMac === undefined) throw new Error('a wallet API key that is none')
  insertDelegatedAccess(tx, {
    accessId,
    project: wallet.project,
    walletId: wallet.walletId,
    userId: wallet.userId,
    delegateId: delegate.delegateId,
    kid: party.kid,
    linkId: fork.linkId,
    terms,
    expireMs: args.expireMs,
    grantId,
    publicShares: fork.publicShares,
    caller: call.caller.principal,
    requestId: call.requestId,
    createMs: nowMs,
    apiKeyMac,
  })
  appendAudit(tx, {
    timeMs: nowMs,
    kind: CREATED,
    project: wallet.project,
    actor: actorOf(call.caller),
    subject: { type: 'delegated_access', id: accessId },
    method: 'DelegateAccess',
    requestId: call.requestId,
    decision: 'allow',
    details: {
      wallet: wallet.walletId,
      user: wallet.userId,
      delegate: delegate.delegateId,
      kid: party.kid,
      consent: args.consent.kind,
      operations: [...terms.operations],
      expireTime: new Date(args.expireMs).toISOString(),
      ...(grantId === undefined ? {} : { grant: grantId }),
    },
  })
}

/** From here on the access is the delegate's: its envelopes are kept, and told where it hears of them. */
const deliver = async (needs: DelegateAccessNeeds, accessId: AccessId, { delegate }: Job, envelopes: Envelopes): Promise<void> => {
  const { vault, clock } = needs
  await vault.commit((tx) => {
    const nowMs = Math.trunc(clock.nowMs())
    const { access, changed } = changeDelegatedAccess(tx, accessId, { state: 'PENDING' }, nowMs)
    // Taken back while the envelope was on its way.
    if (!changed) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
    keepDelivery(tx, accessId, JSON.stringify(envelopes))
    const data = {
      ...accessEvent(tx, access),
      encrypted_delegated_share: envelopes.share,
      encrypted_wallet_api_key: envelopes.apiKey,
    }
    recordWebhookEvent(tx, { project: access.project, type: CREATED, data, nowMs, isFor: isToldTo(delegate) })
  })
}

/** Nobody was given the delegate's share, so this daemon's is of no use: it goes, and the row says so. */
const endUnmade = async (vault: DaemonVault, accessId: AccessId, clock: Clock): Promise<void> => {
  await vault.commit((tx) => {
    const nowMs = Math.trunc(clock.nowMs())
    const { access, changed } = changeDelegatedAccess(tx, accessId, { state: 'REVOKED', reason: 'undelivered' }, nowMs)
    if (!changed) return
    deleteShares(tx, accessIdToBytes(accessId), nowMs)
    appendAudit(tx, {
      timeMs: nowMs,
      kind: 'delegated_access.revoked',
      project: access.project,
      actor: { kind: 'daemon', id: '' },
      subject: { type: 'delegated_access', id: accessId },
      reason: 'undelivered',
      details: { wallet: access.walletId, delegate: access.delegateId },
    })
  })
  vault.eraseDeleted()
}

/** At the start. Answers how many. */
export const endUndelivered = async (vault: DaemonVault, clock: Clock): Promise<number> => {
  const left = undeliveredAccess(vault.read)
  for (const { accessId } of left) await endUnmade(vault, accessId, clock)
  return left.length
}

const delegateOf = (reader: Reader, call: Call, args: DelegateAccessRequest): Delegate => {
  const delegateId = parseDelegateId(args.delegateId)
  if (delegateId === undefined) throw failure('DELEGATE_NOT_FOUND', {})
  const delegate = requireDelegate(reader, delegateId, call.caller.projectId)
  if (delegate.webhookId !== undefined || args.includeEnvelopes) return delegate
  throw invalidField('include_envelopes', 'is needed for a delegate without a webhook')
}

const termsOf = ({ operations, limits }: DelegateAccessRequest): DelegatedTerms => ({
  operations: operations.length === 0 ? DEFAULT_OPERATIONS : [...new Set(operations)],
  narrowing: formatNarrowing(parseNarrowing(limits, 'limits')),
})

const assertTimes = ({ maxGrantMs }: DelegateAccessNeeds, args: DelegateAccessRequest, nowMs: number): void => {
  const { expireMs, consentExpireMs } = args
  if (expireMs <= nowMs) throw invalidField('expire_time', 'has passed')
  if (expireMs > nowMs + maxGrantMs) throw invalidField('expire_time', `is more than ${maxGrantMs / 86_400_000} days ahead`)
  if (consentExpireMs <= nowMs) throw failure('CONSENT_EXPIRED', { why: 'its time is over' })
  if (consentExpireMs > nowMs + CONSENT_MAX_MS) throw failure('CONSENT_EXPIRED', { why: 'it is good for more than five minutes' })
}

/** What an interrupted run of the same request gave, when it came that far. */
const givenBefore = ({ vault }: DelegateAccessNeeds, { caller, requestId }: Call): AccessId | undefined => {
  if (requestId === undefined) return undefined
  const access = accessOfRequest(vault.read, caller.principal, requestId)
  return access === undefined || access.endReason === 'undelivered' ? undefined : access.accessId
}

const answerOf = ({ vault, clock }: DelegateAccessNeeds, accessId: AccessId, args: DelegateAccessRequest): GivenAccess => {
  const { read, signer } = vault
  const access = getDelegatedAccess(read, accessId)
  if (access === undefined) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
  const kept = args.includeEnvelopes ? keptDelivery(read, accessId) : undefined
  const [head] = listAudit(read, 0n, 1, { subjectId: accessId, kind: CREATED })
  if (head === undefined) throw new Error('an access without its audit row')
  const { sequence, hash } = head
  return {
    access: viewAccess(read, access, Math.trunc(clock.nowMs())),
    envelopes: kept === undefined ? undefined : (JSON.parse(kept) as Envelopes),
    receipt: { sequence, hash, signature: signer.signReceipt({ sequence, hash }), keyId: signer.keyId },
  }
}
