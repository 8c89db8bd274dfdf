/** What a session key was made for, in the words it is stored in: the row's `terms`. */
import { failure } from '../domain/failure.ts'
import { type Family, FAMILIES, NAMED_FAMILIES } from '../payload/profile/profile.ts'
import type { JsonValue } from '../vault/canonical-json.ts'

const SESSION_SCOPES = ['order', 'modify_order', 'cancel_order', 'cancel_all', 'unrestricted'] as const
export type SessionScope = (typeof SESSION_SCOPES)[number]
export type TradeSide = 'buy' | 'sell'

/** Decimals as they were given; absent members do not limit. */
export type SessionLimits = {
  readonly markets?: readonly string[]
  readonly side?: TradeSide
  readonly maxSize?: string
  readonly maxNotional?: string
  readonly maxNotionalPerDay?: string
  readonly reduceOnly?: boolean
  /** Actions a second. */
  readonly maxRate?: number
  readonly maxMarkAgeMs?: number
}

export type JsonRecord = { readonly [name: string]: JsonValue | undefined }

export type Terms = {
  readonly scopes: readonly SessionScope[]
  readonly extraFamilies: readonly Family[]
  readonly limits: SessionLimits
  readonly parameters: JsonRecord
  readonly requireSession: boolean
  /** How long the key it takes over from signs on once it is active. */
  readonly overlapMs?: number
}

export const toStoredTerms = (terms: Terms): JsonValue => terms
/** Of a row whose MAC was found right. */
export const fromStoredTerms = (stored: JsonValue): Terms => stored as unknown as Terms

const KNOWN: ReadonlySet<string> = new Set(FAMILIES)
const FREE_FAMILIES: readonly Family[] = ['order', 'modify_order', 'cancel_order', 'cancel_all']

/** Families that the terms let through. Reading is named, as are those that no scope covers. */
export const familiesOf = ({ scopes, extraFamilies }: Pick<Terms, 'scopes' | 'extraFamilies'>): ReadonlySet<Family> => {
  const families = new Set<Family>(extraFamilies)
  for (const scope of scopes) {
    if (scope !== 'unrestricted') families.add(scope)
    else for (const family of FREE_FAMILIES) families.add(family)
  }
  return families
}

/** What would have let a family through. */
export const neededFor = (family: Family): string =>
  NAMED_FAMILIES.has(family) || family === 'read' ? `${family} in extra_families` : `the scope ${family}`

/** Refuses with SCOPE_REQUIRED a list that is empty or has an unspecified member. */
export const parseScopes = (scopes: readonly (SessionScope | undefined)[]): readonly SessionScope[] => {
  const known = scopes.filter((scope) => scope !== undefined)
  if (known.length === 0 || known.length < scopes.length) throw failure('SCOPE_REQUIRED', {})
  return [...new Set(known)].toSorted((a, b) => SESSION_SCOPES.indexOf(a) - SESSION_SCOPES.indexOf(b))
}

/** Refuses with PROFILE_FAMILY_UNKNOWN a name that is no family. */
export const parseFamilies = (profile: string, names: readonly string[]): readonly Family[] =>
  names.map((name) => {
    if (!KNOWN.has(name)) throw failure('PROFILE_FAMILY_UNKNOWN', { profile, family: name })
    return name as Family
  })
