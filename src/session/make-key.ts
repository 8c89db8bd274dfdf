/** What a session key is to be, checked as a whole, and the key itself: durable before the wallet is asked for anything. */
import { randomBytes } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { Failure, failure } from '../domain/failure.ts'
import type { RequestId, SessionKeyId } from '../domain/ids.ts'
import type { LoadedProfile } from '../payload/profile/loaded-profile.ts'
import type { Family } from '../payload/profile/profile.ts'
import { decide } from '../policy/decide.ts'
import type { Permission } from '../policy/permissions.ts'
import { liveGrantsOf } from '../signing/authorize.ts'
import { requireConsent } from '../signing/consent.ts'
import { assertSigns } from '../signing/sign.ts'
import { resolveWalletOfKind } from '../signing/resolve-wallet.ts'
import { canonicalJson, type JsonValue } from '../vault/canonical-json.ts'
import { requireNotFrozen } from '../vault/freezes.ts'
import {
  findSessionKeyOfRequest,
  findSessionKeysByAddress,
  insertSessionKey,
  type SessionKey,
  type SessionScheme,
} from '../vault/session-keys.ts'
import { putSessionSecret } from '../vault/session-secrets.ts'
import type { Wallet } from '../vault/wallets.ts'
import type { SessionNeeds } from './needs.ts'
import { isPublicKey, sessionAddressOf } from './public-key.ts'
import { familiesOf, type JsonRecord, parseFamilies, parseScopes, type SessionLimits, type SessionScope, type Terms, toStoredTerms } from './terms.ts'

export type KeyRequest = {
  readonly walletRef: string
  readonly profile: string
  readonly network: string
  /** Undefined where the wire's word is not known, or not stated. */
  readonly scopes: readonly (SessionScope | undefined)[]
  readonly extraFamilies: readonly string[]
  readonly expireTimeMs: number
  /** Empty: the daemon makes the key. */
  readonly publicKey: Uint8Array
  readonly parameters: JsonRecord
  readonly limits: SessionLimits
  readonly requireSession: boolean
  readonly registrationInput: JsonRecord
}

/** A key that may be made. */
export type KeyPlan = {
  readonly wallet: Wallet
  readonly loaded: LoadedProfile
  readonly terms: Terms
  readonly request: Pick<KeyRequest, 'network' | 'expireTimeMs' | 'publicKey' | 'registrationInput'>
  readonly replaces: SessionKeyId | undefined
  readonly grantId: string | undefined
}

const refuse = (path: string, why: string) => failure('PROFILE_INPUT_INVALID', { path, why })

const requirePermissions = (needs: SessionNeeds, call: Call, wallet: Wallet, isUnrestricted: boolean): void => {
  const grants = liveGrantsOf(needs.vault.read, needs, call.caller, needs.clock.nowMs())
  const permissions: readonly Permission[] = isUnrestricted ? ['session:create', 'session:unrestricted'] : ['session:create']
  const decision = decide(grants, { permissions, walletId: wallet.walletId }, () => undefined)
  if (decision.verdict === 'refuse') throw new Failure(decision.reason, decision.facts)
}

const checkEnd = (needs: SessionNeeds, { profile }: LoadedProfile, expireMs: number): void => {
  const nowMs = needs.clockWatch.laterMs()
  if (expireMs <= nowMs) throw refuse('expire_time', 'is not later than now')
  const { maxLifeMs } = profile.sessionKey
  if (maxLifeMs !== undefined && expireMs - nowMs > maxLifeMs) {
    throw refuse('expire_time', `is more than ${Math.floor(maxLifeMs / 86_400_000)} days away, the longest the venue takes`)
  }
}

/**
 * Whether the venue itself lets a key do no more than what it is for. With a key that the client holds nobody else does:
 * a venue without scopes, or with one code for several families, makes it as good as unrestricted.
 */
const keepsScope = ({ profile }: LoadedProfile, terms: Pick<Terms, 'scopes' | 'extraFamilies'>): boolean => {
  const { scopeCodes, enforcedBy } = profile
  if (scopeCodes === undefined || enforcedBy.scope === 'daemon') return false
  const meant: ReadonlySet<string> = familiesOf(terms)
  const codes = [...meant].map((family) => scopeCodes[family as Family])
  return !Object.entries(scopeCodes).some(([family, code]) => family !== 'unrestricted' && !meant.has(family) && codes.includes(code))
}

/** What is stored comes out of the same text again, whatever was sent. */
const plain = (value: JsonRecord, path: string): JsonRecord => {
  try {
    return JSON.parse(canonicalJson(value)) as JsonRecord
  } catch {
    throw refuse(path, 'has a number that is not a whole one within 2^53: write it as text')
  }
}

/**
 * Refuses: WALLET_NOT_FOUND, KEY_TYPE_UNSUPPORTED, PERMISSION_MISSING, SCOPE_REQUIRED, PROFILE_NOT_FOUND,
 * PROFILE_NETWORK_UNKNOWN, PROFILE_FAMILY_UNKNOWN, PROFILE_INPUT_INVALID, FROZEN, and as `requireConsent`.
 */
export const planKey = (needs: SessionNeeds, call: Call, request: KeyRequest, replaces?: SessionKey, overlapMs = 0): KeyPlan => {
  const { read } = needs.vault
  const sought = { keyType: 'secp256k1', operation: 'authorising a session key' } as const
  const wallet = resolveWalletOfKind(read, call.caller, request.walletRef, sought)
  const scopes = parseScopes(request.scopes)
  requirePermissions(needs, call, wallet, scopes.includes('unrestricted'))
  assertSigns(wallet)
  const grant = requireConsent(read, call.caller, wallet, needs.clock.nowMs())
  const loaded = needs.profiles().get(request.profile)
  requireNotFrozen(read, [{ scope: 'venue_profile', id: request.profile }])
  if (!Object.hasOwn(loaded.profile.networks, request.network)) {
    throw failure('PROFILE_NETWORK_UNKNOWN', { profile: request.profile, network: request.network })
  }
  const extraFamilies = parseFamilies(request.profile, request.extraFamilies)
  const parameters = plain(request.parameters, 'parameters')
  const registrationInput = plain(request.registrationInput, 'registration_input')
  loaded.parseParameters(Buffer.from(canonicalJson(parameters as JsonValue)))
  // Delegated payloads have seconds; a key that ended later here than there would only make refused requests.
  const expireTimeMs = Math.floor(request.expireTimeMs / 1000) * 1000
  checkEnd(needs, loaded, expireTimeMs)
  checkPublicKey(needs, call, loaded, request.publicKey)
  const isHeldToScope = request.publicKey.length === 0 || keepsScope(loaded, { scopes, extraFamilies })
  requirePermissions(needs, call, wallet, !isHeldToScope || scopes.includes('unrestricted'))
  const terms: Terms = {
    scopes,
    extraFamilies,
    limits: request.limits,
    parameters,
    requireSession: request.requireSession,
    ...(replaces === undefined ? {} : { overlapMs }),
  }
  const { network, publicKey } = request
  return {
    wallet,
    loaded,
    terms,
    request: { network, expireTimeMs, publicKey, registrationInput },
    replaces: replaces?.sessionKeyId,
    grantId: grant?.grantId,
  }
}

const schemeOf = ({ profile }: LoadedProfile): SessionScheme => profile.sessionKey.curve

const checkPublicKey = (needs: SessionNeeds, call: Call, loaded: LoadedProfile, publicKey: Uint8Array): void => {
  if (publicKey.length === 0) return
  const scheme = schemeOf(loaded)
  if (!isPublicKey(scheme, publicKey)) throw refuse('session_public_key', `is not a public key of ${scheme}`)
  if (loaded.profile.sessionKey.singleUse !== true) return
  const used = findSessionKeysByAddress(needs.vault.read, call.caller.projectId, sessionAddressOf(scheme, publicKey))
  if (used.length > 0) throw refuse('session_public_key', 'was used before, and the venue takes each key once')
}

/** Makes the key, seals it, and stores it as CREATING: nothing signs with it yet. */
export const makeKey = async (needs: SessionNeeds, call: Call, plan: KeyPlan): Promise<SessionKey> => {
  const { loaded, request, wallet } = plan
  const { vault } = needs
  const scheme = schemeOf(loaded)
  const sessionKeyId = `ses_${randomBytes(16).toString('hex')}` as SessionKeyId
  const isClients = request.publicKey.length > 0
  const made = isClients || scheme === 'hmac-sha256' ? undefined : await needs.sessionSigner.make(sessionKeyId, scheme)
  const publicKey = made?.publicKey ?? request.publicKey
  const createMs = Math.trunc(needs.clock.nowMs())
  return vault.commit((tx) => {
    const { principal } = call.caller
    // An id that was used a day ago names another request now.
    const isTaken = call.requestId !== undefined && findSessionKeyOfRequest(tx, principal, call.requestId) !== undefined
    const requestId: RequestId | undefined = isTaken ? undefined : call.requestId
    const key = insertSessionKey(tx, {
      sessionKeyId,
      project: wallet.project,
      walletId: wallet.walletId,
      profile: loaded.profile.id,
      profileHash: Buffer.from(loaded.profileHash.slice(2), 'hex'),
      network: request.network,
      scheme,
      custody: isClients ? 'client' : 'daemon',
      publicKey,
      address: sessionAddressOf(scheme, publicKey),
      terms: toStoredTerms(plan.terms),
      expireMs: request.expireTimeMs,
      state: 'CREATING',
      grantId: plan.grantId,
      replaces: plan.replaces,
      retireMs: undefined,
      payload: new Uint8Array(0),
      registration: { input: request.registrationInput as JsonValue },
      caller: principal,
      requestId,
      createMs,
    })
    if (made !== undefined) putSessionSecret(tx, made.sealed, createMs)
    return key
  })
}
