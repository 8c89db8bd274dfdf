/**
 * Signing one action with a session key. Everything that can refuse comes first; then one transaction decides again,
 * takes the nonce, builds what will be signed and writes the audit row; the key signs while that is made durable, and the
 * answer leaves when it is, if nothing has been raised in its way meanwhile.
 */
import { hash } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { failure, isFailure } from '../domain/failure.ts'
import { parseSessionKeyId } from '../domain/ids.ts'
import type { HttpRequest, ReadAction, SignedRequest, SigningStep } from '../payload/profile/loaded-profile.ts'
import { failureOfFence, type Passage } from '../signing/fences.ts'
import { appendAudit, type AuditHead, auditHashAt } from '../vault/audit-chain.ts'
import type { SessionKey } from '../vault/session-keys.ts'
import { requireSessionKey } from '../vault/session-keys.ts'
import { findSessionRequest, putSessionRequest, type SessionRequest, writeSessionUsage } from '../vault/session-marks.ts'
import { KEY_SECRET } from '../vault/session-secrets.ts'
import type { Tx } from '../vault/store.ts'
import { actionEvent, recordSessionDenial } from './action-rows.ts'
import { hashAction, judgeLimits, readAction, requireInScope, requireOpen, requireSessionFlow } from './decide-action.ts'
import { requireStanding } from './key-standing.ts'
import { isUrgent } from './limits.ts'
import type { SessionNeeds } from './needs.ts'
import { fencesBefore, prepareKey, type PreparedKey } from './prepared-key.ts'
import { randomNonce } from './random-nonce.ts'

export type ActionRequest = {
  readonly sessionKeyId: string
  readonly family: string
  readonly actionJson: string
  readonly notAfterMs: number | undefined
  readonly venueTimeMs: number | undefined
  /** The caller's word that the action only reduces a position. */
  readonly reduceOnly: boolean
}

export type SignedAction = {
  /** r ‖ s ‖ v, 64 bytes of Ed25519, or a MAC. */
  readonly signature: Uint8Array
  readonly digest: Uint8Array
  readonly signedActionJson: string
  readonly nonce: bigint | undefined
  readonly http: HttpRequest | undefined
  readonly receipt: AuditHead & { readonly signature: Uint8Array; readonly keyId: string }
}

export type ActionJob = {
  readonly call: Call
  readonly request: ActionRequest
  readonly prepared: PreparedKey
  readonly action: ReadAction
  readonly urgent: boolean
  readonly credentials: { readonly [name: string]: string } | undefined
}

/** The first of an action's signatures, ready to be made, behind its durable row. */
type Recorded = {
  readonly step: SigningStep
  readonly nonce: bigint | undefined
  readonly head: AuditHead
  readonly digest: Uint8Array
  /** Being made while the row is being written; released when that is durable. */
  readonly signature: Promise<Uint8Array>
}

/**
 * Signs, or refuses with the reason; nothing is signed and no nonce is used by a refusal. Refuses as `requireOpen`,
 * `requireInScope`, the profile's `readAction`, `judgeLimits` do; CLOCK_OFFSET, RATE_LIMITED, NONCE_WINDOW_EXHAUSTED,
 * IDEMPOTENCY_MISMATCH, CREDENTIAL_MISSING, SESSION_SIGNER_MISMATCH, SESSION_SIGNER_UNAVAILABLE, AUDIT_UNAVAILABLE.
 */
export const signAction = async (needs: SessionNeeds, call: Call, request: ActionRequest): Promise<SignedAction> => {
  const key = findKey(needs, call, request)
  try {
    return await signWith(needs, call, request, key)
  } catch (error) {
    if (!isFailure(error)) throw error
    throw await recordSessionDenial(needs, call, { key, family: request.family, error })
  }
}

const findKey = (needs: SessionNeeds, { caller }: Call, { sessionKeyId }: ActionRequest): SessionKey => {
  const id = parseSessionKeyId(sessionKeyId)
  const key = id && requireSessionKey(needs.vault.read, id, caller.projectId)
  if (key === undefined || key.state === 'CREATING') throw failure('SESSION_KEY_NOT_FOUND', {})
  return key
}

const signWith = async (needs: SessionNeeds, call: Call, request: ActionRequest, key: SessionKey): Promise<SignedAction> => {
  const { stages } = call
  const { read } = needs.vault
  requireStanding(read, key, needs.clockWatch.laterMs())
  const prepared = prepareKey(needs, read, key)
  const { decision } = stages.measure('decide', () => requireOpen(read, needs, call, prepared))
  if (key.custody === 'client') {
    throw failure('SESSION_KEY_NOT_READY', { sessionKeyId: key.sessionKeyId, state: 'held by its client' })
  }
  requireInScope(prepared, request.family)
  const behind = fencesBefore(prepared, call.caller)
  const { raises } = needs.fences
  const passage = needs.fences.enter(behind)
  try {
    const action = stages.measure('decode', () => readAction(prepared, request.family, request.actionJson))
    const urgent = isUrgent(action.facts)
    if (request.reduceOnly && !urgent) {
      throw failure('ACTION_INVALID', { path: 'reduce_only', why: 'the action may do more than reduce a position' })
    }
    requireSessionFlow(prepared, needs, action.facts)
    const { sessionKeyId } = key
    const credentials = prepared.hasCredentials ? await needs.sessionSecrets.texts(sessionKeyId) : undefined
    const job: ActionJob = { call, request, prepared, action, urgent, credentials }
    const repeated = findRepeat(needs, job)
    if (repeated === undefined) judgeLimits(read, needs, prepared, action.facts, needs.clock.nowMs())
    if (repeated === undefined && !urgent) {
      needs.clockWatch.check(prepared.loaded.profile.nonce, request.venueTimeMs)
      takeRates(needs, job, decision.rates)
    }
    if (urgent && request.venueTimeMs !== undefined) needs.clockWatch.hear(request.venueTimeMs)
    call.releaseChecks.push(() => checkRelease(needs, job, raises))
    return await runSigning(needs, job, passage, repeated)
  } finally {
    passage.leave()
  }
}

const takeRates = (
  { rates }: SessionNeeds,
  { call, prepared }: ActionJob,
  charges: readonly { readonly counter: string; readonly requestsPerSecond: number }[],
): void => {
  const { maxRate } = prepared.limits
  if (maxRate !== undefined) rates.take(`session ${prepared.key.sessionKeyId}`, maxRate)
  for (const { counter, requestsPerSecond } of charges) rates.take(`${call.caller.principal} ${counter}`, requestsPerSecond)
}

/** What was recorded under this request id before, by a run that was cut off. Refuses with IDEMPOTENCY_MISMATCH. */
const findRepeat = ({ vault, clock }: SessionNeeds, { call, request }: ActionJob): SessionRequest | undefined => {
  if (call.requestId === undefined) return undefined
  const before = findSessionRequest(vault.read, call.caller.principal, call.requestId, clock.nowMs())
  if (before === undefined) return undefined
  if (Buffer.compare(before.actionHash, hashAction(request)) !== 0) {
    throw failure('IDEMPOTENCY_MISMATCH', { requestId: call.requestId })
  }
  return before
}

const assertInTime = ({ clock }: SessionNeeds, { signal, deadlineMs }: Call): void => {
  if (signal.aborted || clock.nowMs() >= deadlineMs) throw failure('DEADLINE_EXCEEDED', {})
}

/** The answer may have waited for its reader: it leaves only if it could still be made. */
const checkRelease = (needs: SessionNeeds, { call, prepared }: ActionJob, raises: number): void => {
  assertInTime(needs, call)
  // A key ends by its time, too, which raises no fence.
  const { sessionKeyId } = prepared.key
  requireStanding(needs.vault.read, requireSessionKey(needs.vault.read, sessionKeyId), needs.clockWatch.laterMs())
  // What a grant lets the project do may end otherwise: it is asked again.
  if (needs.fences.raises === raises && prepared.key.grantId === undefined) return
  const fence = needs.fences.blocking(fencesBefore(prepared, call.caller))
  if (fence !== undefined) throw failureOfFence(fence)
  requireOpen(needs.vault.read, needs, call, prepared)
}

const runSigning = async (
  needs: SessionNeeds,
  job: ActionJob,
  passage: Passage,
  repeated: SessionRequest | undefined,
): Promise<SignedAction> => {
  const { call, prepared } = job
  const { stages } = call
  const recorded = repeated === undefined ? await record(needs, job, passage) : again(needs, job, repeated)
  const { head } = recorded
  passage.check()
  const finishing = stages.wait('rounds', () => finish(needs, prepared, recorded))
  const { signer } = needs.vault
  // While the other thread signs.
  const [{ signature, done }, signed] = await Promise.all([finishing, signer.signReceiptAside(head)])
  const receipt = { ...head, signature: signed, keyId: signer.keyId }
  passage.check()
  assertInTime(needs, call)
  const { digest, nonce } = recorded
  return { signature, digest, signedActionJson: done.signedActionJson, nonce, http: done.http, receipt }
}

/** The transaction: decides again on what is true in it, takes the nonce, charges, and writes the row. */
const record = (needs: SessionNeeds, job: ActionJob, passage: Passage): Promise<Recorded> => {
  const { call, urgent } = job
  const commit = urgent ? needs.vault.commitFirst : needs.vault.commit
  return call.stages.wait('commit', () => commit((tx) => recordInside(needs, job, passage, tx)))
}

const recordInside = (needs: SessionNeeds, job: ActionJob, passage: Passage, tx: Tx): Recorded => {
  const { call, prepared, action, urgent } = job
  const { key, loaded, limits } = prepared
  passage.check()
  assertInTime(needs, call)
  requireOpen(tx, needs, call, prepared)
  const timeMs = Math.trunc(needs.clock.nowMs())
  const charge = judgeLimits(tx, needs, prepared, action.facts, timeMs)
  const turn = { nowMs: needs.clockWatch.nonceMs(), isUrgent: urgent, random: randomNonce }
  const nonce = needs.nonces.take(tx, key.sessionKeyId, loaded.profile.nonce, turn)
  const step = buildStep(job, timeMs, nonce)
  const digest = digestOf(step)
  const head = appendAudit(tx, actionEvent(job, { timeMs, nonce, digest }))
  if (charge.chargeE18 > 0n && limits.maxNotionalPerDayE18 !== undefined) {
    writeSessionUsage(tx, key.sessionKeyId, charge.day, charge.usedE18 + charge.chargeE18)
  }
  if (call.requestId !== undefined) {
    putSessionRequest(tx, call.caller.principal, call.requestId, {
      sessionKeyId: key.sessionKeyId,
      sequence: head.sequence,
      actionHash: hashAction(job.request),
      nonce: nonce ?? 0n,
      timeMs,
    })
  }
  return { step, nonce, head, digest, signature: beginSignature(needs, prepared, step) }
}

/** The same bytes as before, under the row that authorised them then. */
const again = (needs: SessionNeeds, job: ActionJob, before: SessionRequest): Recorded => {
  const hasNonce = job.prepared.loaded.profile.nonce.style !== 'none'
  const nonce = hasNonce ? before.nonce : undefined
  const step = buildStep(job, before.timeMs, nonce)
  const hashed = auditHashAt(needs.vault.read, before.sequence)
  if (hashed === undefined) throw failure('VAULT_CORRUPT', { where: `audit row ${before.sequence}` })
  const head = { sequence: before.sequence, hash: hashed }
  return { step, nonce, head, digest: digestOf(step), signature: beginSignature(needs, job.prepared, step) }
}

const buildStep = ({ prepared, action, request, credentials }: ActionJob, timeMs: number, nonce: bigint | undefined): SigningStep => {
  const { key, loaded, parameters, walletAddress, kept } = prepared
  return loaded.buildAction(action, {
    network: key.network,
    parameters,
    timeMs,
    ...(nonce === undefined ? {} : { nonce }),
    ...(request.notAfterMs === undefined ? {} : { notAfterMs: request.notAfterMs }),
    expireTimeMs: key.expireMs,
    walletAddress,
    sessionPublicKey: key.publicKey,
    ...(key.address === '' ? {} : { sessionAddress: key.address.toLowerCase() }),
    ...(credentials === undefined ? {} : { credentials }),
    kept,
  })
}

/** What the answer and the audit row call the digest: of a message that is signed itself, its SHA-256. */
const digestOf = ({ scheme, input }: SigningStep): Uint8Array =>
  scheme === 'eip712' || scheme === 'eip191' ? input : hash('sha256', input, 'buffer')

/** Makes each signature that the request takes, in order; the first is the action's own. */
const finish = async (
  needs: SessionNeeds,
  prepared: PreparedKey,
  recorded: Recorded,
): Promise<{ readonly signature: Uint8Array; readonly done: SignedRequest }> => {
  const signature = await recorded.signature
  let step = recorded.step.finish(signature)
  while (step.kind === 'sign') step = step.finish(await signStep(needs, prepared, step))
  return { signature, done: step }
}

const signStep = (needs: SessionNeeds, { key, loaded }: PreparedKey, { signer, input }: SigningStep): Promise<Uint8Array> => {
  const name = signer === 'credential' ? (loaded.profile.hmacSecret?.credential ?? '') : KEY_SECRET
  return needs.sessionSigner.sign(needs.sessionSecrets.require(key.sessionKeyId, name, key.publicKey), input)
}

/** One that nobody waits for any more, because its row did not come to be, fails alone. */
const beginSignature = (needs: SessionNeeds, prepared: PreparedKey, step: SigningStep): Promise<Uint8Array> => {
  const signature = signStep(needs, prepared, step)
  signature.catch(() => undefined)
  return signature
}

