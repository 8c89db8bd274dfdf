/**
 * Making a session key: the key, durable and sealed, first; then the wallet's signature for it, by the script that every
 * signature of a wallet goes through; then the one transaction that makes it exist. A request that was cut off goes on
 * with the key it has made, so that it asks the wallet for the same signature again.
 */
import { createHash } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { failure, type FailureReason, isFailure } from '../domain/failure.ts'
import type { LoadedProfile, RequestContext, SignedRequest, SigningStep } from '../payload/profile/loaded-profile.ts'
import type { NoncePolicy } from '../payload/profile/profile.ts'
import type { SigningContent } from '../payload/signing-payload.ts'
import { sign } from '../signing/sign.ts'
import { appendAudit, type AuditHead, auditHashAt } from '../vault/audit-chain.ts'
import { canonicalJson } from '../vault/canonical-json.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import {
  deleteCreatingSessionKey,
  findSessionKeyOfRequest,
  requireSessionKey,
  type SessionKey,
  updateSessionKey,
} from '../vault/session-keys.ts'
import { KEY_SECRET } from '../vault/session-secrets.ts'
import type { Tx } from '../vault/store.ts'
import { requireWallet } from '../vault/wallets.ts'
import { sessionEvent } from './action-rows.ts'
import { activate } from './change-key.ts'
import { makeKey, type KeyPlan } from './make-key.ts'
import type { SessionNeeds } from './needs.ts'
import { registrationOf, type StoredRegistration } from './prepared-key.ts'
import { type SessionKeyView, viewSessionKey } from './session-key-view.ts'
import { tellOfNewKey } from './tell-keys.ts'
import { fromStoredTerms, type JsonRecord } from './terms.ts'

export type RegisteredKey = {
  readonly sessionKey: SessionKeyView
  /** Empty where the profile has none. */
  readonly payload: Uint8Array
  readonly registration: StoredRegistration['http'] | undefined
  readonly receipt: AuditHead & { readonly signature: Uint8Array; readonly keyId: string }
}

/** Makes the key that `plan` answers, and registers it. */
export const registerKey = async (needs: SessionNeeds, call: Call, plan: () => KeyPlan): Promise<RegisteredKey> => {
  const { vault } = needs
  const before =
    call.isRepeat && call.requestId !== undefined
      ? findSessionKeyOfRequest(vault.read, call.caller.principal, call.requestId)
      : undefined
  if (before !== undefined && before.state !== 'CREATING') return answerOf(needs, before)
  const key = before ?? (await makeKey(needs, call, plan()))
  const behind = [
    { scope: 'venue_profile', id: key.profile },
    { scope: 'session_key', id: key.sessionKeyId },
    ...(key.grantId === undefined ? [] : [{ scope: 'grant', id: key.grantId } as const]),
  ] as const
  const passage = needs.fences.enter(behind)
  try {
    const signed = await runRegistration(needs, call, key)
    passage.check()
    const made = await vault.commit((tx) => store(needs, call, key, signed, tx))
    passage.check()
    return answerOf(needs, made)
  } catch (error) {
    // Where the wallet may have signed, the key waits for the repeat, if there can be one; otherwise it goes.
    if (call.requestId === undefined || !isInDoubt(error)) await vault.commit((tx) => deleteCreatingSessionKey(tx, key.sessionKeyId)).catch(() => false)
    throw error
  } finally {
    passage.leave()
  }
}

const IN_DOUBT: ReadonlySet<FailureReason> = new Set([
  'OUTCOME_UNKNOWN',
  'COSIGNER_UNAVAILABLE',
  'DEADLINE_EXCEEDED',
  'CANCELLED',
  'SHUTTING_DOWN',
  'AUDIT_UNAVAILABLE',
  'INTERNAL',
])

const isInDoubt = (error: unknown): boolean => !isFailure(error) || IN_DOUBT.has(error.reason)

const answerOf = ({ vault, clock }: SessionNeeds, key: SessionKey): RegisteredKey => {
  const { http, sequence } = registrationOf(key)
  const at = BigInt(sequence ?? '0')
  const hash = auditHashAt(vault.read, at)
  if (hash === undefined) throw failure('VAULT_CORRUPT', { where: `audit row ${at}` })
  const head = { sequence: at, hash }
  return {
    sessionKey: viewSessionKey(vault.read, key, clock.nowMs()),
    payload: key.payload,
    registration: http,
    receipt: { ...head, signature: vault.signer.signReceipt(head), keyId: vault.signer.keyId },
  }
}

export const registerFlowOf = ({ profile }: LoadedProfile): string | undefined =>
  Object.entries(profile.flows).find(([, { purpose }]) => purpose === 'register')?.[0]

/** How long the venue may take a registration, where it has a field for that. */
const REGISTRATION_MS = 30 * 60_000

/** The same for every try of one key: what the wallet signs is derived from the row alone. */
const contextOf = (needs: SessionNeeds, loaded: LoadedProfile, key: SessionKey, flow: string): RequestContext => {
  const { parameters, scopes, extraFamilies } = fromStoredTerms(key.terms)
  const { input } = key.registration as { readonly input?: JsonRecord }
  const wallet = requireWallet(needs.vault.read, key.walletId)
  const nonce = registrationNonce(loaded.profile.nonce, key)
  return {
    network: key.network,
    parameters: loaded.parseParameters(Buffer.from(canonicalJson(parameters))),
    timeMs: key.createMs,
    ...(nonce === undefined ? {} : { nonce }),
    expireTimeMs: key.expireMs,
    notAfterMs: key.createMs + REGISTRATION_MS,
    scopes: [...scopes, ...extraFamilies],
    walletAddress: wallet.address.toLowerCase(),
    sessionPublicKey: key.publicKey,
    ...(key.scheme === 'secp256k1' ? { sessionAddress: key.address.toLowerCase() } : {}),
    input: loaded.parseInput(flow, Buffer.from(canonicalJson(input ?? {}))),
  }
}

const registrationNonce = (policy: NoncePolicy, { createMs, sessionKeyId }: SessionKey): bigint | undefined => {
  if (policy.style === 'clock') return BigInt(createMs) * { ms: 1n, us: 1_000n, ns: 1_000_000n }[policy.unit]
  if (policy.style !== 'random') return undefined
  const drawn = createHash('sha256').update(`registration ${sessionKeyId}`).digest().readBigUInt64BE()
  return drawn % 2n ** BigInt(policy.bits)
}

/** Every signature that the registration takes, in order. Undefined where the profile has none. */
const runRegistration = async (needs: SessionNeeds, call: Call, key: SessionKey): Promise<SignedRequest | undefined> => {
  const loaded = needs.profiles().get(key.profile)
  const flow = registerFlowOf(loaded)
  if (flow === undefined) return undefined
  let step: SigningStep | SignedRequest = loaded.buildFlow(flow, contextOf(needs, loaded, key, flow))
  for (let at = 0; step.kind === 'sign'; at++) {
    // A request id stands for one signature at the cosigner, so each of several has a name of its own.
    const named = at === 0 ? call : { ...call, method: `${call.method} ${at}` }
    const signing = step.signer === 'wallet' ? signByWallet(needs, named, key, step) : signByKey(needs, key, step)
    const signature: Uint8Array = await signing
    step = step.finish(signature)
  }
  return step
}

const signByKey = (needs: SessionNeeds, key: SessionKey, step: SigningStep): Promise<Uint8Array> => {
  if (step.signer !== 'session' || key.custody !== 'daemon') {
    throw failure('SESSION_SIGNER_MISMATCH', { why: 'the registration is signed with a key that is not here' })
  }
  return needs.sessionSigner.sign(needs.sessionSecrets.require(key.sessionKeyId, KEY_SECRET, key.publicKey), step.input)
}

const contentOf = ({ scheme, typedDataJson, message }: SigningStep): SigningContent => {
  if (scheme === 'eip712' && typedDataJson !== undefined) {
    return { kind: 'typed-data', json: new Uint8Array(Buffer.from(typedDataJson(), 'utf8')) }
  }
  if (scheme === 'eip191' && message !== undefined) return { kind: 'message', message: Uint8Array.from(message) }
  throw failure('SESSION_SIGNER_MISMATCH', { why: `a wallet makes no signature of the kind ${scheme}` })
}

const signByWallet = async (needs: SessionNeeds, call: Call, key: SessionKey, step: SigningStep): Promise<Uint8Array> => {
  const content = contentOf(step)
  const method = content.kind === 'message' ? 'SignMessage' : 'SignTypedData'
  const signed = await sign(needs, call, {
    walletRef: key.walletId,
    method,
    content,
    keyType: 'secp256k1',
    permission: 'session:create',
  })
  if (signed.keyType !== 'secp256k1') throw new Error('assertion: a secp256k1 wallet signed')
  // The parties read the document themselves: what they signed is what the profile hashed, or it is not handed out.
  if (Buffer.compare(signed.digest, step.input) !== 0) throw new Error('assertion: the wallet signed another digest')
  const { r, s, yParity } = signed.signature
  return new Uint8Array(Buffer.concat([r, s, Uint8Array.of(27 + yParity)]))
}

const PAYLOAD = 'payload'

/** The transaction that makes the key exist: its row says what was signed, and the audit row names it. */
const store = (needs: SessionNeeds, call: Call, { sessionKeyId }: SessionKey, signed: SignedRequest | undefined, tx: Tx): SessionKey => {
  const nowMs = Math.trunc(needs.clock.nowMs())
  const key = requireSessionKey(tx, sessionKeyId)
  requireNotFrozen(tx, [
    { scope: 'venue_profile', id: key.profile },
    { scope: 'session_key', id: sessionKeyId },
  ])
  const { scopes, extraFamilies } = fromStoredTerms(key.terms)
  const isSent = signed === undefined || signed.http !== undefined
  const { sequence } = appendAudit(
    tx,
    sessionEvent(call, key, {
      timeMs: nowMs,
      kind: 'session.created',
      details: {
        wallet: key.walletId,
        profile: key.profile,
        profileHash: `0x${Buffer.from(key.profileHash).toString('hex')}`,
        network: key.network,
        publicKey: Buffer.from(key.publicKey).toString('hex'),
        custody: key.custody,
        scopes: [...scopes],
        extraFamilies: [...extraFamilies],
        expireTime: key.expireMs,
        ...(key.replaces === undefined ? {} : { replaces: key.replaces }),
      },
    }),
  )
  const http = signed?.http
  const registration: StoredRegistration = {
    ...registrationOf(key),
    sequence: String(sequence),
    ...(signed === undefined ? {} : { kept: signed.keep }),
    ...(http === undefined ? {} : { http: withoutAbsent(http) }),
  }
  const payload = Buffer.from((signed?.keep[PAYLOAD] ?? '0x').slice(2), 'hex')
  const stored = { registration: registration as JsonRecord, payload }
  const made = updateSessionKey(tx, sessionKeyId, { ...stored, state: 'PENDING' }, nowMs)
  tellOfNewKey(tx, made, nowMs)
  return isSent ? made : activate(tx, call, made, nowMs)
}

const withoutAbsent = (http: NonNullable<SignedRequest['http']>): NonNullable<StoredRegistration['http']> => {
  const { method, path, headers, body, baseUrl } = http
  return {
    method,
    path,
    headers,
    ...(body === undefined ? {} : { body }),
    ...(baseUrl === undefined ? {} : { baseUrl }),
  }
}
