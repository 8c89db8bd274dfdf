/**
 * The venue's side of a session: is this request signed by who may? A request that carries a payload is held to it, in
 * the order in which the venue looks: does it read, did the wallet sign it, is it over, does it cover the family, is its
 * key the one that signed. What was counted or accepted is a row of the audit chain.
 */
import { actorOf, type Call } from '../domain/call.ts'
import { failure, type SessionFault } from '../domain/failure.ts'
import { isEvmAddress } from '../domain/ids.ts'
import { formatEvmAddress } from '../payload/address.ts'
import type { LoadedProfile, Parameters, ReadAction, SigningStep } from '../payload/profile/loaded-profile.ts'
import { type Family, NAMED_FAMILIES } from '../payload/profile/profile.ts'
import { recoverSigner } from '../payload/recover.ts'
import { parseSignature } from '../payload/signature.ts'
import { authorize } from '../signing/authorize.ts'
import { resolveWalletOfKind } from '../signing/resolve-wallet.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { canonicalJson, type JsonValue } from '../vault/canonical-json.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import { findSessionKeysByAddress, listActiveOfWallet, type SessionKey } from '../vault/session-keys.ts'
import { noteWithoutPayload } from '../vault/session-marks.ts'
import { findWalletsByAddress, type Wallet } from '../vault/wallets.ts'
import type { SessionNeeds } from './needs.ts'
import { endOf, requireGrantOf } from './key-standing.ts'
import { sessionAddressOf, isPublicKey } from './public-key.ts'
import type { ReceiptView } from './records.ts'
import { registerFlowOf } from './register-key.ts'
import { familiesOf, fromStoredTerms, type JsonRecord, neededFor } from './terms.ts'

export type VerifyRequest = {
  readonly profile: string
  readonly network: string
  readonly family: string
  readonly actionJson: string
  readonly nonce: bigint | undefined
  readonly signature: Uint8Array
  /** Empty: the request carries none. */
  readonly payload: Uint8Array
  /** A wallet id or any EVM address. */
  readonly wallet: string
  readonly parameters: JsonRecord
  readonly notAfterMs: number | undefined
}

export type VerifiedAction = {
  readonly signerKind: 'wallet' | 'session'
  readonly signer: string
  readonly sessionKeyId: string
  readonly expireTimeMs: number | undefined
  readonly receipt: ReceiptView
}

/** What is known of who signed, before a receipt is made of it. */
type Finding = Omit<VerifiedAction, 'receipt'> & { readonly withoutPayload: readonly SessionKey[] }

type Case = {
  readonly request: VerifyRequest
  readonly loaded: LoadedProfile
  readonly parameters: Parameters
  readonly action: ReadAction
  /** EIP-55. */
  readonly walletAddress: string
}

const unauthorized = (detail: SessionFault, why: string) => failure('SESSION_UNAUTHORIZED', { detail, why })

/**
 * Refuses with the first that is wrong: SESSION_UNAUTHORIZED with its detail, SESSION_ACL_VIOLATION,
 * SESSION_SIGNER_MISMATCH, SESSION_REVOKED, FROZEN; and as the profile does what it does not read.
 */
export const verifyAction = async (needs: SessionNeeds, call: Call, request: VerifyRequest): Promise<VerifiedAction> => {
  const { vault } = needs
  authorize(vault.read, needs, call, 'session:sign')
  const loaded = needs.profiles().get(request.profile)
  requireRecoverable(loaded)
  const parameters = loaded.parseParameters(Buffer.from(canonicalJson(request.parameters as JsonValue)))
  const { network, family } = request
  const action = loaded.readAction({ network, family, parameters, actionJson: Buffer.from(request.actionJson, 'utf8') })
  const one: Case = { request, loaded, parameters, action, walletAddress: walletAddressOf(needs, call, request.wallet) }
  const finding = request.payload.length > 0 ? await judgePayload(needs, call, one) : await judgeBare(needs, call, one)
  return record(needs, call, one, finding)
}

const walletAddressOf = ({ vault }: SessionNeeds, call: Call, text: string): string => {
  if (isEvmAddress(text)) return formatEvmAddress(Buffer.from(text.slice(2), 'hex'))
  const sought = { keyType: 'secp256k1', operation: 'verifying a session' } as const
  return resolveWalletOfKind(vault.read, call.caller, text, sought).address
}

/** Who signed is recovered from the signature, which only ECDSA allows. */
const requireRecoverable = ({ profile }: LoadedProfile): void => {
  const { curve } = profile.sessionKey
  if (curve !== 'secp256k1') throw failure('KEY_TYPE_UNSUPPORTED', { keyType: curve, operation: 'verifying an action' })
}

const stepOf = ({ request, loaded, parameters, action, walletAddress }: Case, nowMs: number, key?: Uint8Array): SigningStep =>
  loaded.buildAction(action, {
    network: request.network,
    parameters,
    timeMs: nowMs,
    walletAddress: walletAddress.toLowerCase(),
    ...(request.nonce === undefined ? {} : { nonce: request.nonce }),
    ...(request.notAfterMs === undefined ? {} : { notAfterMs: request.notAfterMs }),
    ...(key === undefined ? {} : { sessionPublicKey: key }),
    kept: { payload: `0x${Buffer.from(request.payload).toString('hex')}` },
  })

/** The EIP-55 address that signed; undefined when nobody can have. */
const signerOf = async (digest: Uint8Array, signature: Uint8Array): Promise<string | undefined> => {
  try {
    const address = await recoverSigner(digest, parseSignature(signature))
    return address && formatEvmAddress(address)
  } catch {
    return undefined
  }
}

type Payload = {
  readonly walletSignature: Uint8Array
  readonly expireMs: number
  readonly scopes: readonly (Family | 'unrestricted')[]
  readonly publicKey: Uint8Array
}

const readPayload = ({ loaded, request }: Case): Payload => {
  const decoded = loaded.decodePayload(request.payload)
  if (decoded === undefined) throw unauthorized('malformed', 'the payload does not have the form of its profile')
  const { walletSignature, expiry, actions, sessionPublicKey: publicKey } = decoded
  const isWhole = walletSignature instanceof Uint8Array && typeof expiry === 'bigint' && publicKey instanceof Uint8Array
  if (!isWhole || !Array.isArray(actions)) throw unauthorized('malformed', 'the payload lacks a field')
  const words = new Map(Object.entries(loaded.profile.scopeCodes ?? {}).map(([word, code]) => [Number(code), word]))
  const scopes = (actions as readonly number[]).map((code) => words.get(code) as Family | 'unrestricted' | undefined)
  const known = scopes.filter((scope) => scope !== undefined)
  if (known.length === 0 || known.length < scopes.length) throw unauthorized('malformed', 'the scope is empty or unknown')
  if (!isPublicKey(loaded.profile.sessionKey.curve, publicKey)) throw unauthorized('malformed', 'the session key is none')
  const expireMs = Number(expiry) * 1000
  if (!Number.isSafeInteger(expireMs)) throw unauthorized('malformed', 'the expiry is none')
  return { walletSignature, expireMs, scopes: known, publicKey }
}

/** The digest that the wallet signs for a payload of these contents. */
const delegationDigest = ({ loaded, request, parameters, walletAddress }: Case, payload: Payload): Uint8Array => {
  const flow = registerFlowOf(loaded)
  if (flow === undefined) throw unauthorized('malformed', 'the profile has no payload')
  const step = loaded.buildFlow(flow, {
    network: request.network,
    parameters,
    timeMs: 0,
    expireTimeMs: payload.expireMs,
    scopes: payload.scopes,
    walletAddress: walletAddress.toLowerCase(),
    sessionPublicKey: payload.publicKey,
    input: {},
  })
  if (step.kind !== 'sign') throw unauthorized('malformed', 'the profile has no payload')
  return step.input
}

const judgePayload = async (needs: SessionNeeds, call: Call, one: Case): Promise<Finding> => {
  const { request, walletAddress, action } = one
  const payload = readPayload(one)
  const signedBy = await signerOf(delegationDigest(one, payload), payload.walletSignature)
  if (signedBy !== walletAddress) {
    throw unauthorized('bad_wallet_signature', 'the payload was not signed by the wallet that the request is for')
  }
  const nowMs = needs.clockWatch.laterMs()
  if (Math.floor(nowMs / 1000) > payload.expireMs / 1000) {
    throw unauthorized('expired', `the payload ended at ${new Date(payload.expireMs).toISOString()}`)
  }
  requireCovered(payload.scopes, action.facts.family)
  const address = sessionAddressOf(one.loaded.profile.sessionKey.curve, payload.publicKey)
  const signer = await signerOf(stepOf(one, nowMs, payload.publicKey).input, request.signature)
  if (signer !== address) throw failure('SESSION_SIGNER_MISMATCH', { why: 'it is not the key of the payload' })
  const keys = ownKeys(needs, call, one, address)
  // A key that was made again has another payload: what became of this one counts.
  const own = keys.find((key) => Buffer.compare(key.payload, request.payload) === 0) ?? keys[0]
  if (own !== undefined) requireUnstopped(needs, own, nowMs)
  return {
    signerKind: 'session',
    signer: address,
    sessionKeyId: own?.sessionKeyId ?? '',
    expireTimeMs: payload.expireMs,
    withoutPayload: [],
  }
}

const requireCovered = (scopes: readonly (Family | 'unrestricted')[], family: Family): void => {
  const isNamed = NAMED_FAMILIES.has(family) || family === 'read'
  if (scopes.includes(family) || (!isNamed && scopes.includes('unrestricted'))) return
  throw failure('SESSION_ACL_VIOLATION', { family, needed: neededFor(family) })
}

const requireUnstopped = ({ vault }: SessionNeeds, key: SessionKey, nowMs: number): void => {
  const { state, sessionKeyId, profile, project, walletId, retireMs } = key
  if (state === 'REVOKED') throw failure('SESSION_REVOKED', { sessionKeyId })
  requireGrantOf(vault.read, key, nowMs)
  if (retireMs !== undefined && nowMs > retireMs) {
    throw unauthorized('expired', `the session key was replaced at ${new Date(retireMs).toISOString()}`)
  }
  requireNotFrozen(vault.read, [
    { scope: 'project', id: project },
    { scope: 'wallet', id: walletId },
    { scope: 'session_key', id: sessionKeyId },
    { scope: 'venue_profile', id: profile },
  ])
}

/** The wallet's session keys that have this address at this venue, newest first. Keys of other wallets do not count. */
const ownKeys = (needs: SessionNeeds, call: Call, { request, walletAddress }: Case, address: string): readonly SessionKey[] =>
  walletsOf(needs, call, walletAddress)
    .flatMap(({ walletId }) => findSessionKeysByAddress(needs.vault.read, call.caller.projectId, address, walletId))
    .filter(({ profile, network }) => profile === request.profile && network === request.network)

const walletsOf = ({ vault }: SessionNeeds, { caller }: Call, address: string): readonly Wallet[] =>
  findWalletsByAddress(vault.read, { project: caller.projectId }, address)

/** A request without a payload: the wallet's own, or a key's that the venue knows by itself. */
const judgeBare = async (needs: SessionNeeds, call: Call, one: Case): Promise<Finding> => {
  const { request, loaded, walletAddress, action } = one
  const nowMs = needs.clockWatch.laterMs()
  const signer = await signerOf(stepOf(one, nowMs).input, request.signature)
  const carriesPayload = loaded.profile.payload !== undefined
  if (signer === walletAddress) {
    const withoutPayload = activeKeys(needs, call, one, nowMs)
    return { signerKind: 'wallet', signer, sessionKeyId: '', expireTimeMs: undefined, withoutPayload }
  }
  const own = signer === undefined ? undefined : ownKeys(needs, call, one, signer)[0]
  if (carriesPayload) {
    if (own !== undefined) await needs.vault.commit((tx) => noteWithoutPayload(tx, own.sessionKeyId))
    throw unauthorized('payload_missing', 'it is not signed by the wallet, and carries no payload')
  }
  if (own === undefined || signer === undefined) {
    throw failure('SESSION_SIGNER_MISMATCH', { why: 'it is signed by neither the wallet nor a session key of it' })
  }
  requireUnstopped(needs, own, nowMs)
  if (nowMs > endOf(own)) throw unauthorized('expired', `the session key ended at ${new Date(endOf(own)).toISOString()}`)
  const { family } = action.facts
  if (!familiesOf(fromStoredTerms(own.terms)).has(family)) {
    throw failure('SESSION_ACL_VIOLATION', { family, needed: neededFor(family) })
  }
  return { signerKind: 'session', signer, sessionKeyId: own.sessionKeyId, expireTimeMs: endOf(own), withoutPayload: [] }
}

const activeKeys = (needs: SessionNeeds, call: Call, one: Case, nowMs: number): readonly SessionKey[] => {
  if (one.loaded.profile.payload === undefined) return []
  return walletsOf(needs, call, one.walletAddress)
    .flatMap(({ walletId }) => listActiveOfWallet(needs.vault.read, walletId, nowMs))
    .filter((key) => key.profile === one.request.profile && key.network === one.request.network)
}

const record = async (needs: SessionNeeds, call: Call, one: Case, finding: Finding): Promise<VerifiedAction> => {
  const { withoutPayload, ...told } = finding
  const { vault } = needs
  const head = await vault.commit((tx) => {
    for (const { sessionKeyId } of withoutPayload) noteWithoutPayload(tx, sessionKeyId)
    return appendAudit(tx, {
      timeMs: Math.trunc(needs.clock.nowMs()),
      kind: 'session.verified',
      project: call.caller.projectId,
      actor: actorOf(call.caller),
      subject: told.sessionKeyId === '' ? undefined : { type: 'session_key', id: told.sessionKeyId },
      method: 'VerifyAction',
      decision: 'allow',
      details: {
        profile: one.request.profile,
        network: one.request.network,
        family: one.action.facts.family,
        signer: told.signer,
        signerKind: told.signerKind,
        wallet: one.walletAddress,
      },
    })
  })
  return { ...told, receipt: { ...head, signature: vault.signer.signReceipt(head), keyId: vault.signer.keyId } }
}
