/** Reading session keys and profiles, and asking what would be let through. Signs nothing. */
import type { Call } from '../domain/call.ts'
import { failure, isFailure, type FailureReason } from '../domain/failure.ts'
import { parseWalletId } from '../domain/ids.ts'
import type { LoadedProfile } from '../payload/profile/loaded-profile.ts'
import { FAMILIES } from '../payload/profile/profile.ts'
import { listSessionKeys as listStored, type SessionKey } from '../vault/session-keys.ts'
import { judgeLimits, readAction, requireInScope, requireOpen, requireSessionFlow } from './decide-action.ts'
import { findKey, READING, reach } from './find-key.ts'
import { requireStanding } from './key-standing.ts'
import type { SessionNeeds } from './needs.ts'
import { prepareKey } from './prepared-key.ts'
import { type SessionKeyView, viewSessionKey } from './session-key-view.ts'

export type Verdict = { readonly accepted: boolean; readonly reason: string; readonly message: string }
export type FamilyVerdict = Verdict & { readonly family: string }

/** A key outside the caller's permission does not exist for it. */
export const getSessionKey = (needs: SessionNeeds, call: Call, args: { readonly sessionKeyId: string }): SessionKeyView => {
  try {
    return viewSessionKey(needs.vault.read, findKey(needs, call, args.sessionKeyId, READING), needs.clock.nowMs())
  } catch (error) {
    const isNarrowed = isFailure(error) && error.reason === 'PERMISSION_MISSING'
    throw isNarrowed ? failure('SESSION_KEY_NOT_FOUND', {}) : error
  }
}

/** Pages in order of creation; keys outside the caller's permission are left out. */
export const listSessionKeys = (
  needs: SessionNeeds,
  call: Call,
  args: {
    readonly pageSize: number
    readonly cursor: string | undefined
    readonly walletId: string | undefined
    readonly profile: string | undefined
  },
): { readonly items: readonly SessionKeyView[]; readonly nextCursor: string | undefined } => {
  const { read } = needs.vault
  const walletId = args.walletId === undefined ? undefined : parseWalletId(args.walletId)
  const rows = listStored(read, {
    project: call.caller.projectId,
    walletId,
    profile: args.profile,
    after: args.cursor === undefined ? 0n : BigInt(args.cursor),
    limit: args.pageSize + 1,
  })
  const page = rows.slice(0, args.pageSize)
  const isSeen = (key: SessionKey): boolean => !isFailure(reach(read, needs, call, READING, key))
  const nowMs = needs.clock.nowMs()
  return {
    items: page.filter(isSeen).map((key) => viewSessionKey(read, key, nowMs)),
    nextCursor: rows.length > args.pageSize ? String(page.at(-1)?.number) : undefined,
  }
}

const verdictOf = (ask: () => void): Verdict => {
  try {
    ask()
    return { accepted: true, reason: '', message: '' }
  } catch (error) {
    if (!isFailure(error)) throw error
    return { accepted: false, reason: error.reason satisfies FailureReason, message: error.message }
  }
}

export const testScope = (
  needs: SessionNeeds,
  call: Call,
  args: { readonly sessionKeyId: string },
): { readonly families: readonly FamilyVerdict[] } => {
  const key = findKey(needs, call, args.sessionKeyId, ['session:sign'])
  const { read } = needs.vault
  const prepared = prepareKey(needs, read, key)
  const { actions } = prepared.loaded.profile
  const offered = new Set(Object.values(actions).map(({ family }) => family))
  const families = FAMILIES.filter((family) => offered.has(family)).map((family) => ({
    family,
    ...verdictOf(() => {
      requireStanding(read, key, needs.clockWatch.laterMs())
      requireOpen(read, needs, call, prepared)
      requireInScope(prepared, family)
    }),
  }))
  return { families }
}

export type ExplainedAction = Verdict & {
  readonly sentence: string
  readonly canonicalJson: string
  readonly unsignedFields: readonly string[]
}

/** Refuses an action that does not read; what reads is explained, and judged as SignAction would now. */
export const explainAction = (
  needs: SessionNeeds,
  call: Call,
  args: { readonly sessionKeyId: string; readonly family: string; readonly actionJson: string },
): ExplainedAction => {
  const key = findKey(needs, call, args.sessionKeyId, ['session:sign'])
  const { read } = needs.vault
  const prepared = prepareKey(needs, read, key)
  const action = readAction(prepared, args.family, args.actionJson)
  const { sentence, canonicalJson, unsignedFields } = prepared.loaded.explain(action)
  const verdict = verdictOf(() => {
    requireStanding(read, key, needs.clockWatch.laterMs())
    requireOpen(read, needs, call, prepared)
    requireInScope(prepared, args.family)
    requireSessionFlow(prepared, needs, action.facts)
    judgeLimits(read, needs, prepared, action.facts, needs.clock.nowMs())
  })
  return { sentence, canonicalJson, unsignedFields, ...verdict }
}

export type ProfileView = {
  readonly profile: string
  readonly version: number
  readonly title: string
  readonly profileHash: Uint8Array
  readonly networks: readonly string[]
  readonly curve: string
  readonly families: readonly string[]
  readonly expiryEnforcedBy: string
  readonly scopeEnforcedBy: string
  readonly unsignedFields: readonly string[]
  readonly confidence: { readonly [flow: string]: string }
  readonly nonceStyle: string
  readonly parameters: readonly string[]
  readonly credentials: readonly string[]
  readonly maxLifeMs: number | undefined
}

const viewProfile = ({ profile, profileHash }: LoadedProfile): ProfileView => {
  const families = new Set(Object.values(profile.actions).map(({ family }) => family))
  return {
    profile: profile.id,
    version: profile.version,
    title: profile.title,
    profileHash: Buffer.from(profileHash.slice(2), 'hex'),
    networks: Object.keys(profile.networks),
    curve: profile.sessionKey.curve,
    families: FAMILIES.filter((family) => families.has(family)),
    expiryEnforcedBy: profile.enforcedBy.expiry,
    scopeEnforcedBy: profile.enforcedBy.scope,
    unsignedFields: profile.unsignedFields,
    confidence: Object.fromEntries(Object.entries(profile.flows).map(([name, flow]) => [name, flow.confidence])),
    nonceStyle: profile.nonce.style,
    parameters: Object.keys(profile.params),
    credentials: Object.keys(profile.credentials ?? {}),
    maxLifeMs: profile.sessionKey.maxLifeMs,
  }
}

export const listProfiles = (needs: SessionNeeds): readonly ProfileView[] => needs.profiles().offered.map(viewProfile)
