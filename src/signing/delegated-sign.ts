/**
 * What the daemon decides as party S of a delegated wallet. The delegate brings the typed payload inside the protocol's
 * request; it is decoded here, and one transaction decides and records, as for every signature (sign.ts): the row is on
 * disk before anything that depends on the digest leaves the thread that holds the share.
 */
import { hash } from 'node:crypto'
import { Failure, failure, type FailureReason, isFailure } from '../domain/failure.ts'
import { accessIdFromBytes, parseRequestId, type RequestId } from '../domain/ids.ts'
import type { DelegatedDecisions } from '../party/delegate-host.ts'
import type { RequestOf } from '../party/delegate-store.ts'
import type { CosignerIntent } from '../party/party-store.ts'
import { parseSigningPayload } from '../payload/signing-payload.ts'
import { type AllowedDecision, decide, permissionsToSign } from '../policy/decide.ts'
import { appendAudit, type AuditHead } from '../vault/audit-chain.ts'
import { changeDelegatedAccess, type DelegatedAccess, getDelegatedAccess } from '../vault/delegated-access.ts'
import { findFreeze, requireNotFrozen } from '../vault/freezes.ts'
import { beginIntent, completeIntent, failIntent, findIntent } from '../vault/intents.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { readUsage, utcDay } from '../vault/usage.ts'
import { setShareState } from '../vault/wallet-shares.ts'
import { getWallet, type Wallet } from '../vault/wallets.ts'
import { callerOfAccess, fencesOfAccess, grantsOfAccess, requireOperation, requireStanding } from './delegated-standing.ts'
import { examineFor } from './examined.ts'
import { failureOfFence } from './fences.ts'
import { Foreseen } from './foreseen.ts'
import { assertSigns, DENIALS, MAX_DENIALS_PER_SECOND, type SignNeeds } from './sign.ts'
import { detailsOf, eventOf, type SignJob } from './sign-rows.ts'

export type DelegatedSignNeeds = Pick<SignNeeds, 'vault' | 'fences' | 'rates' | 'clock' | 'onAlert' | 'requireSessionFlow'>

type Job = SignJob & { readonly access: DelegatedAccess; readonly wallet: Wallet; readonly payload: Uint8Array }

const UNBOUNDED = (1n << 256n) - 1n

const accessOf = (reader: Reader, walletId: Uint8Array): DelegatedAccess => {
  const access = getDelegatedAccess(reader, accessIdFromBytes(walletId))
  if (access === undefined) throw failure('DELEGATED_ACCESS_NOT_FOUND', {})
  return access
}

const walletOf = (reader: Reader, { walletId }: DelegatedAccess): Wallet => {
  const wallet = getWallet(reader, walletId)
  if (wallet === undefined) throw failure('WALLET_NOT_FOUND', {})
  return wallet
}

/** The id under which the request is charged once, and stands for one digest, across restarts too. */
const requestIdOf = (reqId: Uint8Array): RequestId | undefined => parseRequestId(accessIdFromBytes(reqId))

/** Refuses as `examineFor`, and a payload that names another project than the access's. */
const readJob = (reader: Reader, walletId: Uint8Array, bytes: Uint8Array, reqId?: Uint8Array): Job => {
  const access = accessOf(reader, walletId)
  const wallet = walletOf(reader, access)
  const { projectId, method, content } = parseSigningPayload(bytes)
  if (projectId !== access.project) throw failure('WALLET_NOT_FOUND', {})
  const call = { caller: callerOfAccess(access), requestId: reqId && requestIdOf(reqId) }
  return { access, wallet, call, request: { method }, examined: examineFor(wallet, content), grantId: access.grantId, payload: bytes }
}

const decideOn = (reader: Reader, needs: DelegatedSignNeeds, job: Job, nowMs: number, isCharged: boolean): AllowedDecision => {
  const { access, wallet, examined, call } = job
  const { facts } = examined
  requireOperation(access, facts.operation)
  needs.requireSessionFlow?.(reader, wallet, facts)
  const { principal } = call.caller
  const day = utcDay(nowMs)
  const usage = (permission: string, token: string): bigint =>
    isCharged ? 0n : readUsage(reader, { principal, permission, token, day })
  const asked = { permissions: permissionsToSign(facts), walletId: wallet.walletId, facts }
  const decision = decide(grantsOfAccess(access), asked, usage)
  if (decision.verdict === 'refuse') throw new Failure(decision.reason, decision.facts)
  return decision
}

/** What is true now: the access, its grant, its wallet, freezes. */
const requireOpen = (reader: Reader, needs: DelegatedSignNeeds, access: DelegatedAccess, nowMs: number): Wallet => {
  const fence = needs.fences.blocking(fencesOfAccess(access))
  if (fence !== undefined) throw failureOfFence(fence)
  requireStanding(reader, access, nowMs)
  const wallet = walletOf(reader, access)
  assertSigns(wallet)
  requireNotFrozen(reader, freezesOfAccess(access))
  return wallet
}

const freezesOfAccess = ({ project, walletId }: DelegatedAccess) =>
  [
    { scope: 'project', id: project },
    { scope: 'wallet', id: walletId },
  ] as const

/** Whether this very digest was charged under this request before. */
const isRepeat = (reader: Reader, { call, request }: Job, digest: Uint8Array, nowMs: number): boolean => {
  if (call.requestId === undefined) return false
  const before = findIntent(reader, call.caller.principal, request.method, call.requestId, nowMs)
  return before !== undefined && Buffer.compare(before.digest, digest) === 0
}

const recordIntent = (tx: Tx, needs: DelegatedSignNeeds, job: Job, intent: CosignerIntent): AuditHead => {
  const nowMs = Math.trunc(needs.clock.nowMs())
  const access = accessOf(tx, intent.walletId)
  const current = { ...job, access, wallet: requireOpen(tx, needs, access, nowMs) }
  const isCharged = isRepeat(tx, current, intent.digest, nowMs)
  const { charges } = decideOn(tx, needs, current, nowMs, isCharged)
  const { principal } = job.call.caller
  return beginIntent(tx, {
    walletId: intent.walletId,
    presigId: intent.presigId,
    rPoint: intent.noncePoint,
    digest: intent.digest,
    caller: principal,
    method: job.request.method,
    requestId: job.call.requestId,
    event: { ...eventOf(current, nowMs, 'sign.intent'), decision: 'allow', details: detailsOf(current, intent.payload) },
    charges: isCharged
      ? []
      : charges.map(({ counter, token, amount }) => ({
          principal, permission: counter, token, day: utcDay(nowMs), amount, allowed: UNBOUNDED,
        })),
  })
}

/** A first look, outside of the transaction: what is refused takes nothing from a rate. */
const look = (needs: DelegatedSignNeeds, job: Job, digest: Uint8Array): AllowedDecision['rates'] => {
  const { vault, clock } = needs
  const nowMs = clock.nowMs()
  requireOpen(vault.read, needs, job.access, nowMs)
  return decideOn(vault.read, needs, job, nowMs, isRepeat(vault.read, job, digest, nowMs)).rates
}

/** A job that was read and looked at before it was asked for. */
type Looked = { readonly job: Job; readonly rates: AllowedDecision['rates'] }

const foresee = (needs: DelegatedSignNeeds, foreseen: Foreseen<Looked>, request: RequestOf): (() => void) => {
  try {
    const job = readJob(needs.vault.read, request.walletId, request.payload, request.reqId)
    return foreseen.keep(request, { job, rates: look(needs, job, job.examined.digest) })
  } catch {
    // It is refused, with its row, when it is asked for.
    return () => undefined
  }
}

const begin = async (needs: DelegatedSignNeeds, foreseen: Foreseen<Looked>, intent: CosignerIntent): Promise<AuditHead> => {
  const { vault } = needs
  const looked = foreseen.take(intent)
  const job = looked?.job ?? readJob(vault.read, intent.walletId, intent.payload, intent.reqId)
  try {
    const rates = looked?.rates ?? look(needs, job, intent.digest)
    for (const { counter, requestsPerSecond } of rates) {
      needs.rates.take(`${job.call.caller.principal} ${counter}`, requestsPerSecond)
    }
    return await vault.commit((tx) => recordIntent(tx, needs, job, intent))
  } catch (error) {
    if (!isFailure(error) || !IS_DENIAL(error.reason)) throw error
    throw await recordDenial(needs, job, error)
  }
}

const OF_ACCESS: ReadonlySet<FailureReason> = new Set(['DELEGATED_ACCESS_REVOKED', 'DELEGATED_ACCESS_EXPIRED'])
const IS_DENIAL = (reason: FailureReason): boolean => DENIALS.has(reason) || OF_ACCESS.has(reason)

/** As sign.ts does of every caller: so many rows a second, then RATE_LIMITED. */
const recordDenial = async (needs: DelegatedSignNeeds, job: Job, error: Failure): Promise<Failure> => {
  const { principal } = job.call.caller
  const isRate = error.reason === 'RATE_LIMITED'
  const refusal = (isRate ? undefined : needs.rates.tryTake(`denials ${principal}`, MAX_DENIALS_PER_SECOND)) ?? error
  if (refusal.reason === 'RATE_LIMITED' && needs.rates.tryTake(`limited ${principal}`, 1) !== undefined) return refusal
  const timeMs = Math.trunc(needs.clock.nowMs())
  const details = { summary: job.examined.facts.summary, message: refusal.message }
  await needs.vault.commit((tx) =>
    appendAudit(tx, { ...eventOf(job, timeMs, 'sign.denied'), decision: 'refuse', reason: refusal.reason, details }),
  )
  return refusal
}

/** TX2 joins the next group commit; a crash before it leaves the intent in doubt, which counts as signed. */
const finish = (
  needs: DelegatedSignNeeds,
  intent: CosignerIntent,
  sequence: bigint,
  result: Uint8Array | { readonly failed: string },
): void => {
  const timeMs = Math.trunc(needs.clock.nowMs())
  const work = (tx: Tx): void => {
    const access = accessOf(tx, intent.walletId)
    const base = {
      timeMs,
      project: access.project,
      actor: { kind: 'delegate', id: callerOfAccess(access).principal } as const,
      subject: { type: 'wallet', id: access.walletId },
    }
    if (!(result instanceof Uint8Array)) {
      const event = { ...base, kind: 'sign.failed', reason: result.failed, details: { intent: String(sequence) } }
      return void failIntent(tx, sequence, event)
    }
    // Response: reqId 16 ‖ r 32 ‖ s 32, or R ‖ z.
    const signatureHash = hash('sha256', result.subarray(16, 80), 'buffer')
    const details = { intent: String(sequence), signatureHash: signatureHash.toString('hex') }
    completeIntent(tx, sequence, { signatureHash, r: result.slice(16, 48), event: { ...base, kind: 'sign.completed', details } })
  }
  needs.vault
    .commitLater(work)
    .catch((error: unknown) => needs.onAlert('completion', isFailure(error) ? error.reason : 'internal'))
}

export const delegatedDecisions = (needs: DelegatedSignNeeds): DelegatedDecisions => {
  const foreseen = new Foreseen<Looked>()
  return {
    ...decisionsOf(needs),
    foresee: (request) => foresee(needs, foreseen, request),
    begin: (intent) => begin(needs, foreseen, intent),
  }
}

const decisionsOf = (needs: DelegatedSignNeeds): Omit<DelegatedDecisions, 'foresee' | 'begin'> => ({
  mayRefresh: (reader, walletId) => {
    const access = getDelegatedAccess(reader, accessIdFromBytes(walletId))
    if (access === undefined || findFreeze(reader, [{ scope: 'all', id: '' }, ...freezesOfAccess(access)]) !== undefined) return false
    try {
      requireStanding(reader, access, needs.clock.nowMs())
      return true
    } catch (error) {
      if (isFailure(error)) return false
      throw error
    }
  },
  requireAdmitted: (walletId, payload) => {
    const { read } = needs.vault
    const nowMs = needs.clock.nowMs()
    const job = readJob(read, walletId, payload)
    requireOpen(read, needs, job.access, nowMs)
    decideOn(read, needs, job, nowMs, true)
  },
  finish: (intent, sequence, result) => finish(needs, intent, sequence, result),
  activated: (tx, walletId, nowMs) => {
    const { access, changed } = changeDelegatedAccess(tx, accessIdFromBytes(walletId), { state: 'ACTIVE' }, nowMs)
    appendAudit(tx, {
      timeMs: nowMs,
      kind: changed ? 'delegated_access.activated' : 'delegated_access.refreshed',
      project: access.project,
      actor: { kind: 'delegate', id: callerOfAccess(access).principal },
      subject: { type: 'delegated_access', id: access.accessId },
      details: { wallet: access.walletId },
    })
  },
  stopped: (tx, walletId, state, why, nowMs) => {
    setShareState(tx, walletId, state, nowMs)
    const access = accessOf(tx, walletId)
    appendAudit(tx, {
      timeMs: nowMs,
      kind: 'delegated_access.suspended',
      project: access.project,
      actor: { kind: 'daemon', id: '' },
      subject: { type: 'delegated_access', id: access.accessId },
      reason: why,
      details: { wallet: access.walletId },
    })
  },
})
