/**
 * The script every signature goes through: find the wallet → decode → decide → record → two-party rounds → verify →
 * complete, whatever kind of key the wallet has. One
 * transaction decides and records: the intent row, its charges and its audit row are on disk before anything that
 * depends on the digest leaves the thread that holds the share (docs/protocol.md §10.0).
 */
import { hash } from 'node:crypto'
import { setImmediate as nextTurn } from 'node:timers/promises'
import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { Failure, failure, type FailureReason, isFailure } from '../domain/failure.ts'
import { type WalletId, walletIdToBytes } from '../domain/ids.ts'
import type { ReadyPresignature } from '../party/initiator.ts'
import type { PooledWallet } from '../party/key-pools.ts'
import { PortFailure } from '../party/port-calls.ts'
import { suspendWallet } from '../party/signer-host.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import type { SigningFacts } from '../payload/facts.ts'
import { encodeSigningPayload } from '../payload/signing-payload.ts'
import { type AllowedDecision, decide, type Decision, permissionsToSign, type Usage } from '../policy/decide.ts'
import type { Permission } from '../policy/permissions.ts'
import { appendAudit, type AuditHead } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { beginIntent, completeIntent, doubtIntent, failIntent, findIntent, PresignatureReused } from '../vault/intents.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { type Charge, readUsage, utcDay } from '../vault/usage.ts'
import type { Wallet } from '../vault/wallets.ts'
import { liveGrantsOf } from './authorize.ts'
import { fencesOf, freezesOf } from './caller-stops.ts'
import { requireConsent, requireConsentStill } from './consent.ts'
import { examineFor, type Made, prepareRounds, signatureBytes } from './examined.ts'
import { failureOfFence, type FenceKey, Fences, type Passage } from './fences.ts'
import type { GrantCache } from './grant-cache.ts'
import { RandomIds } from './random-ids.ts'
import { RateLimiter } from './rate-limiter.ts'
import { detailsOf, eventOf, type SignJob } from './sign-rows.ts'
import { OWN_WALLETS, type SigningWallets, type WalletRequest } from './signing-wallets.ts'
import { lessCharged, type SigningToSend } from './signing-to-send.ts'

export type SignNeeds = {
  readonly vault: DaemonVault
  readonly engine: Pick<
    SigningEngine,
    'takePresignature' | 'discardPresignature' | 'prepareSign' | 'sign' | 'signEd25519' | 'estimateSignMs'
  >
  readonly fences: Fences
  readonly grants: GrantCache
  readonly rates: RateLimiter
  readonly clock: Clock
  readonly onAlert: (what: string, detail: string) => void
  /** Throws SESSION_REQUIRED for what a wallet leaves to its session keys. */
  readonly requireSessionFlow?: ((reader: Reader, wallet: Wallet, facts: SigningFacts) => void) | undefined
  /** Which wallets there are; absent, the vault's own. */
  readonly wallets?: SigningWallets | undefined
}

export type SignRequest = WalletRequest & {
  /** What the caller must hold in place of what the content asks for: the daemon has made the content itself. */
  readonly permission?: Permission
  /** It is signed to be sent by the daemon. */
  readonly sending?: SigningToSend | undefined
}

export type Signed = Made & {
  readonly wallet: Wallet
  readonly receipt: {
    readonly sequence: bigint
    readonly hash: Uint8Array
    readonly signature: Uint8Array
    readonly keyId: string
  }
}

/** Refusals that are somebody being kept from something: each becomes an audit row. */
export const DENIALS: ReadonlySet<FailureReason> = new Set([
  'PERMISSION_MISSING',
  'LIMIT_EXCEEDED',
  'RATE_LIMITED',
  'AUTHORIZATION_CHAIN_ZERO',
  'DELEGATION_NOT_ENABLED',
  'GRANT_NOT_FOUND',
  'GRANT_EXPIRED',
  'GRANT_REVOKED',
  'GRANT_NOT_AUTHORIZED',
  'FROZEN',
  'SESSION_REQUIRED',
  'WALLET_ARCHIVED',
  'WALLET_SUSPENDED',
  'API_KEY_INVALID',
  'API_KEY_EXPIRED',
  'COSIGNER_REFUSED',
  'GRANTING_DAEMON_REFUSED',
  'IMPORTED_ACCESS_ENDED',
])

const MAX_TRIES = 3
const REQ_IDS = new RandomIds(16)
const UNBOUNDED = (1n << 256n) - 1n
/** Each is a row in the audit chain, so a caller gets only so many; what it asks beyond them is RATE_LIMITED. */
export const MAX_DENIALS_PER_SECOND = 500

type Job = Omit<SignJob, 'request' | 'call'> & {
  readonly call: Call
  readonly request: SignRequest
  readonly payload: Uint8Array
  readonly reqId: Uint8Array
}

/**
 * Signs one request for one caller, or refuses with the reason. Refuses as `resolveWallet`, `examineFor`, `decide` and
 * `requireConsent`; WALLET_ARCHIVED, WALLET_SUSPENDED, KEY_TYPE_UNSUPPORTED, FROZEN, RATE_LIMITED; COSIGNER_UNAVAILABLE,
 * COSIGNER_REFUSED, LINK_BURNED, LINK_SUSPENDED when the other party does not take part; OUTCOME_UNKNOWN when it may
 * have; AUDIT_UNAVAILABLE when the vault's disk fails; DEADLINE_EXCEEDED.
 */
export const sign = async (needs: SignNeeds, call: Call, request: SignRequest): Promise<Signed> => {
  const { stages } = call
  const { find, payloadProject } = needs.wallets ?? OWN_WALLETS
  const wallet = stages.measure('decide', () => find(needs.vault.read, call.caller, request))
  const examined = stages.measure('decode', () => examineFor(wallet, request.content))
  const { walletId, project } = wallet
  const payload = stages.measure('decode', () =>
    encodeSigningPayload({ projectId: payloadProject ?? project, walletId, method: request.method, content: request.content }),
  )
  const asked: Omit<Job, 'grantId'> = { call, request, wallet, examined, payload, reqId: reqIdOf(call, request) }
  try {
    const { raises } = needs.fences
    const grant = requireConsent(needs.vault.read, call.caller, wallet, needs.clock.nowMs())
    const job: Job = { ...asked, grantId: grant?.grantId }
    const behind = fencesOf(call, wallet, grant)
    const passage = needs.fences.enter(behind)
    call.releaseChecks.push(() => checkRelease(needs, job, behind, raises))
    try {
      return await signInside(needs, job, passage)
    } finally {
      passage.leave()
    }
  } catch (error) {
    if (!isFailure(error) || !DENIALS.has(error.reason)) throw error
    throw await recordDenial(needs, asked, error)
  }
}

const getWallet = (needs: SignNeeds, reader: Reader, walletId: WalletId): Wallet | undefined =>
  (needs.wallets ?? OWN_WALLETS).get(reader, walletId)

/** The answer may have waited for its reader: it leaves only if it could still be made. */
const checkRelease = (needs: SignNeeds, job: Job, behind: readonly FenceKey[], raises: number): void => {
  assertInTime(needs, job.call)
  // A grant ends by its time, too, which raises no fence.
  requireConsentStill(needs.vault.read, job.call.caller, job.wallet, needs.clock.nowMs(), job.grantId)
  if (needs.fences.raises === raises) return
  const fence = needs.fences.blocking(behind)
  if (fence !== undefined) throw failureOfFence(fence)
  const current = getWallet(needs, needs.vault.read, job.wallet.walletId)
  if (current !== undefined) assertSigns(current)
}

const signInside = async (needs: SignNeeds, job: Job, passage: Passage): Promise<Signed> => {
  const { stages } = job.call
  const nowMs = needs.clock.nowMs()
  const { read } = needs.vault
  assertSigns(job.wallet)
  const decision = stages.measure('decide', () =>
    requireAllowed(decideOn(read, needs, job, nowMs, isRepeat(read, job, nowMs))),
  )
  for (const { counter, requestsPerSecond } of decision.rates) {
    needs.rates.take(`${job.call.caller.principal} ${counter}`, requestsPerSecond)
  }
  assertWorthBeginning(needs, job.call, pooledOf(job.wallet))
  for (let attempt = 1; ; attempt++) {
    assertInTime(needs, job.call)
    const presignature = await stages.wait('presign', () => takePresignature(needs, job))
    const result = await signWith(needs, job, passage, { presignature, attempt }).catch((error: unknown) => {
      // Whatever became of it, it serves nothing any more; left where it is, it would take up room for an hour.
      needs.engine.discardPresignature(presignature.presigId)
      throw error
    })
    if (result !== 'again') return result
    needs.engine.discardPresignature(presignature.presigId)
    if (attempt === MAX_TRIES) throw failure('PRESIGNATURES_EXHAUSTED', { retryAfterMs: 100 })
  }
}

const pooledOf = ({ walletId, keyType }: Wallet): PooledWallet => ({ walletId: walletIdToBytes(walletId), keyType })

type Try = { readonly presignature: ReadyPresignature; readonly attempt: number }

const signWith = async (needs: SignNeeds, job: Job, passage: Passage, turn: Try): Promise<Signed | 'again'> => {
  passage.check()
  assertInTime(needs, job.call)
  const { examined, reqId, payload } = job
  const rounds = prepareRounds(needs.engine, examined, turn.presignature, { reqId, payload })
  const head = await job.call.stages.wait('commit', () => recordIntent(needs, job, turn))
  return runRounds(needs, job, rounds, head, passage)
}

const takePresignature = async (needs: SignNeeds, { call, wallet }: Job): Promise<ReadyPresignature> => {
  const { engine, vault } = needs
  try {
    const { signal, whenPoolIsEmpty } = call
    return await engine.takePresignature(pooledOf(wallet), signal, whenPoolIsEmpty)
  } catch (error) {
    // A party that found the wallet's record damaged has stopped the wallet by now: that is the reason to tell.
    const current = getWallet(needs, vault.read, wallet.walletId)
    if (current !== undefined) assertSigns(current)
    throw error
  }
}

/** A request id stands for one signature at the cosigner too, told apart by who asked for it. */
const reqIdOf = ({ caller, method, requestId: asked }: Call, { sending }: SignRequest): Uint8Array => {
  const requestId = sending?.intentId ?? asked
  if (requestId === undefined) return REQ_IDS.draw()
  const text = JSON.stringify(['countersign/req-id/v1', caller.principal, method, requestId])
  return new Uint8Array(hash('sha256', text, 'buffer').subarray(0, 16))
}

export const assertSigns = (wallet: Wallet): void => {
  const { walletId, state } = wallet
  if (state === 'ARCHIVED') throw failure('WALLET_ARCHIVED', { walletId })
  if (state === 'SUSPENDED') throw failure('WALLET_SUSPENDED', { walletId })
  if (state === 'PENDING') throw failure('WALLET_NOT_READY', { walletId })
}

const assertInTime = (needs: SignNeeds, call: Call): void => {
  if (call.signal.aborted || needs.clock.nowMs() >= call.deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
}

/** Whether this very digest was charged under this request id before: what was in doubt is signed again, not paid again. */
const isRepeat = (reader: Reader, { call, request, examined }: Job, nowMs: number): boolean => {
  const requestId = request.sending?.intentId ?? call.requestId
  if (requestId === undefined) return false
  const before = findIntent(reader, call.caller.principal, request.method, requestId, nowMs)
  return before !== undefined && Buffer.compare(before.digest, examined.digest) === 0
}

/** Work that would not be done in time behind the work that is there already is not begun. */
const assertWorthBeginning = (needs: SignNeeds, call: Call, pooled: PooledWallet): void => {
  const leftMs = Math.max(0, Math.floor(call.deadlineMs - needs.clock.nowMs()))
  const neededMs = Math.ceil(needs.engine.estimateSignMs(pooled))
  if (leftMs <= neededMs) throw failure('DEADLINE_EXCEEDED', { neededMs, leftMs })
}

/** `isCharged`: what this signs is in the usage already, so the day's caps are not asked for it again. */
const decideOn = (reader: Reader, needs: SignNeeds, job: Job, nowMs: number, isCharged: boolean): Decision => {
  const { caller } = job.call
  const grants = liveGrantsOf(reader, needs, caller, nowMs)
  const day = utcDay(nowMs)
  const usage: Usage = (permission, token) =>
    isCharged ? 0n : lessCharged(readUsage(reader, { principal: caller.principal, permission, token, day }), token, sending)
  const { walletId } = job.wallet
  const { permission, sending } = job.request
  const facts = sending?.facts ?? job.examined.facts
  if (permission === undefined) needs.requireSessionFlow?.(reader, job.wallet, facts)
  const permissions = permission ? [permission] : permissionsToSign(facts, sending ? 'wallet:send' : 'wallet:sign')
  return decide(grants, { permissions, walletId, facts }, usage)
}

const requireAllowed = (decision: Decision): AllowedDecision => {
  if (decision.verdict === 'allow') return decision
  throw new Failure(decision.reason, decision.facts)
}

const chargesOf = ({ call: { caller }, request }: Job, { charges }: AllowedDecision, nowMs: number): readonly Charge[] =>
  charges.map(({ counter, token, amount }) => ({
    principal: caller.principal,
    permission: counter,
    token,
    day: utcDay(nowMs),
    amount: lessCharged(amount, token, request.sending),
    allowed: UNBOUNDED,
  }))

/** TX1: decides again on what is true in the transaction, charges, and writes the intent with its audit row. */
const recordIntent = async (needs: SignNeeds, job: Job, { presignature, attempt }: Try): Promise<AuditHead> => {
  const { call, wallet, examined } = job
  try {
    return await needs.vault.commit((tx) => {
      const nowMs = Math.trunc(needs.clock.nowMs())
      // The commit may have waited for others: what is late by now leaves no intent.
      assertInTime(needs, call)
      const current = getWallet(needs, tx, wallet.walletId)
      if (current === undefined) throw failure('WALLET_NOT_FOUND', {})
      assertSigns(current)
      requireConsentStill(tx, call.caller, current, nowMs, job.grantId)
      requireNotFrozen(tx, freezesOf(call, current))
      const isCharged = attempt > 1 || isRepeat(tx, job, nowMs)
      const decision = requireAllowed(decideOn(tx, needs, job, nowMs, isCharged))
      job.request.sending?.recording(tx)
      return beginIntent(tx, {
        walletId: presignature.walletId,
        presigId: presignature.presigId,
        rPoint: presignature.noncePoint,
        digest: examined.digest,
        caller: call.caller.principal,
        method: job.request.method,
        requestId: job.request.sending?.intentId ?? call.requestId,
        event: { ...eventOf(job, nowMs, 'sign.intent'), decision: 'allow', details: detailsOf(job, job.payload) },
        charges: isCharged ? [] : chargesOf(job, decision, nowMs),
      })
    })
  } catch (error) {
    if (!(error instanceof PresignatureReused)) throw error
    const why = `a ${error.which} was about to serve twice`
    needs.onAlert('presignature_reused', `wallet ${wallet.walletId}: ${why}`)
    const nowMs = Math.trunc(needs.clock.nowMs())
    await needs.vault.commit((tx) => suspendWallet(tx, error.walletId, 'SUSPENDED', why, nowMs))
    throw failure('WALLET_SUSPENDED', { walletId: wallet.walletId })
  }
}

/** The two-party rounds behind a durable intent, and the row that says how they ended. */
const runRounds = async (
  needs: SignNeeds,
  job: Job,
  run: () => Promise<Made>,
  head: AuditHead,
  passage: Passage,
): Promise<Signed | 'again'> => {
  const { wallet } = job
  const { signer } = needs.vault
  try {
    passage.check()
    assertInTime(needs, job.call)
    const rounds = job.call.stages.wait('rounds', run)
    // While the parties are at work, once what they work on has left this thread: the receipt is of the intent, on disk.
    const receiptSoon = nextTurn().then(() => signer.signReceiptAside(head))
    // Where the rounds fail nobody waits for it.
    receiptSoon.catch(() => undefined)
    const made = await rounds
    complete(needs, job, head, signatureBytes(made))
    const receipt = { ...head, signature: await receiptSoon, keyId: signer.keyId }
    passage.check()
    assertInTime(needs, job.call)
    return { ...made, wallet, receipt }
  } catch (error) {
    return endWithout(needs, job, head, error)
  }
}

/** TX2 joins the next group commit that somebody waits for; a crash before it leaves the intent in doubt, which counts as signed. */
const complete = (needs: SignNeeds, job: Job, head: AuditHead, signature: Uint8Array): void => {
  const signatureHash = hash('sha256', signature, 'buffer')
  const r = signature.subarray(0, 32)
  const nowMs = Math.trunc(needs.clock.nowMs())
  const details = { intent: String(head.sequence), signatureHash: signatureHash.toString('hex') }
  needs.vault
    .commitLater((tx) =>
      completeIntent(tx, head.sequence, { signatureHash, r, event: { ...eventOf(job, nowMs, 'sign.completed'), details } }),
    )
    .catch((error: unknown) => needs.onAlert('completion', isFailure(error) ? error.reason : 'internal'))
}

/** No signature came out. What is told, and whether the intent failed or is in doubt, depends on how far it went. */
const endWithout = async (needs: SignNeeds, job: Job, head: AuditHead, error: unknown): Promise<'again'> => {
  const refused = isFailure(error) ? error.reason : error instanceof PortFailure ? error.reason : 'INTERNAL'
  const inDoubt = refused === 'COSIGNER_UNAVAILABLE' || refused === 'INTERNAL'
  const nowMs = Math.trunc(needs.clock.nowMs())
  const event = eventOf(job, nowMs, inDoubt ? 'sign.in_doubt' : 'sign.failed')
  const close = inDoubt ? doubtIntent : failIntent
  const details = { intent: String(head.sequence) }
  await needs.vault.commit((tx) => close(tx, head.sequence, { ...event, reason: refused, details }))
  if (refused === 'UNKNOWN_PRESIGNATURE') return 'again'
  if (refused === 'SIGNATURE_INVALID') throw failure('WALLET_SUSPENDED', { walletId: job.wallet.walletId })
  if (refused === 'COSIGNER_UNAVAILABLE' && job.call.requestId !== undefined) {
    throw failure('OUTCOME_UNKNOWN', { requestId: job.call.requestId })
  }
  throw error
}

/** Writes a refusal down. Answers what the caller is told: the refusal, or RATE_LIMITED where rows come too fast. */
const recordDenial = async (needs: SignNeeds, job: SignJob, error: Failure): Promise<Failure> => {
  const { rates } = needs
  const { principal } = job.call.caller
  const isRate = error.reason === 'RATE_LIMITED'
  const refusal = (isRate ? undefined : rates.tryTake(`denials ${principal}`, MAX_DENIALS_PER_SECOND)) ?? error
  // Of the rate itself one row a second says it all.
  if (refusal.reason === 'RATE_LIMITED' && rates.tryTake(`limited ${principal}`, 1) !== undefined) return refusal
  const timeMs = Math.trunc(needs.clock.nowMs())
  await needs.vault.commit((tx: Tx) =>
    appendAudit(tx, {
      ...eventOf(job, timeMs, 'sign.denied'),
      decision: 'refuse',
      reason: refusal.reason,
      details: { summary: job.examined.facts.summary, message: refusal.message },
    }),
  )
  return refusal
}
