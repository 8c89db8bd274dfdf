/** A session key with everything that its row says read out once: profile, parameters, families, limits. */
import { failure } from '../domain/failure.ts'
import type { Caller } from '../domain/call.ts'
import type { LoadedProfile, Parameters } from '../payload/profile/loaded-profile.ts'
import type { Family } from '../payload/profile/profile.ts'
import { fenceOfCaller, freezesOfCaller } from '../signing/caller-stops.ts'
import type { FenceKey } from '../signing/fences.ts'
import { canonicalJson } from '../vault/canonical-json.ts'
import type { FreezeSubject } from '../vault/freezes.ts'
import type { SessionKey } from '../vault/session-keys.ts'
import type { Reader } from '../vault/store.ts'
import { requireWallet } from '../vault/wallets.ts'
import { readLimits, type ReadLimits } from './limits.ts'
import type { SessionNeeds } from './needs.ts'
import { familiesOf, fromStoredTerms, type Terms } from './terms.ts'

export type PreparedKey = {
  readonly key: SessionKey
  readonly terms: Terms
  readonly loaded: LoadedProfile
  readonly parameters: Parameters
  readonly families: ReadonlySet<Family>
  readonly limits: ReadLimits
  /** Lower-case 0x. */
  readonly walletAddress: string
  readonly kept: { readonly [name: string]: string }
  readonly profileHash: Uint8Array
  readonly fences: readonly FenceKey[]
  readonly freezes: readonly FreezeSubject[]
  /** The profile stores credentials, which its requests may carry. */
  readonly hasCredentials: boolean
  /** Flows of actions that the wallet signs itself, at least in part. */
  readonly ofWallet: ReadonlySet<string>
  /** Flows that need the secret that MACs are made with. */
  readonly ofCredential: ReadonlySet<string>
  /** What such a flow carries beside it: the credentials that the profile does not call optional. */
  readonly neededCredentials: readonly string[]
}

/** What was built when the key was made and what later requests need of it. */
export type StoredRegistration = {
  readonly flow?: string
  readonly kept?: { readonly [name: string]: string }
  readonly http?: {
    readonly method: string
    readonly baseUrl?: string
    readonly path: string
    readonly headers: { readonly [name: string]: string }
    readonly body?: string
  }
  /** The audit row of the key, in decimal. */
  readonly sequence?: string
}

export const registrationOf = ({ registration }: SessionKey): StoredRegistration => registration as StoredRegistration

const known = new WeakMap<SessionKey, PreparedKey>()

const flowsSignedBy = ({ profile }: LoadedProfile, signer: string): ReadonlySet<string> =>
  new Set(Object.entries(profile.flows).flatMap(([name, { sign }]) => (sign.some(({ by }) => by === signer) ? [name] : [])))

/** Refuses: PROFILE_NOT_FOUND; PROFILE_CHANGED for a key of another version of its profile. */
export const prepareKey = (needs: Pick<SessionNeeds, 'profiles'>, reader: Reader, key: SessionKey): PreparedKey => {
  const before = known.get(key)
  if (before !== undefined) return before
  const loaded = needs.profiles().get(key.profile)
  const profileHash = Buffer.from(loaded.profileHash.slice(2), 'hex')
  if (!profileHash.equals(key.profileHash)) throw failure('PROFILE_CHANGED', { profile: key.profile })
  const terms = fromStoredTerms(key.terms)
  const wallet = requireWallet(reader, key.walletId)
  const stops = [
    { scope: 'project', id: key.project },
    { scope: 'wallet', id: key.walletId },
    { scope: 'session_key', id: key.sessionKeyId },
    { scope: 'venue_profile', id: key.profile },
  ] as const
  const prepared: PreparedKey = {
    key,
    terms,
    loaded,
    parameters: loaded.parseParameters(Buffer.from(canonicalJson(terms.parameters))),
    families: familiesOf(terms),
    limits: readLimits(terms.limits),
    walletAddress: wallet.address.toLowerCase(),
    kept: registrationOf(key).kept ?? {},
    profileHash,
    fences: [
      { scope: 'all', id: '*' },
      ...stops,
      ...(key.grantId === undefined ? [] : [{ scope: 'grant', id: key.grantId } as const]),
    ],
    freezes: stops,
    hasCredentials: loaded.profile.credentials !== undefined,
    ofWallet: flowsSignedBy(loaded, 'wallet'),
    ofCredential: flowsSignedBy(loaded, 'credential'),
    neededCredentials: Object.entries(loaded.profile.credentials ?? {}).flatMap(([name, shape]) => ('optional' in shape ? [] : [name])),
  }
  known.set(key, prepared)
  return prepared
}

export const fencesBefore = ({ fences }: PreparedKey, caller: Caller): readonly FenceKey[] => [...fences, fenceOfCaller(caller)]

export const freezesBefore = ({ freezes }: PreparedKey, caller: Caller): readonly FreezeSubject[] => [
  ...freezes,
  ...freezesOfCaller(caller),
]
