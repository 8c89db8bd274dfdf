import { isFailure } from '../../../src/domain/failure.ts'
import { loadProfiles } from '../../../src/payload/profile/load-profiles.ts'
import type { LoadedProfile, SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import { compileProfile } from '../../../src/payload/profile/compile-profile.ts'
import type { Profile, RequestJson } from '../../../src/payload/profile/profile.ts'
import { buildFromJson } from '../../../src/payload/profile/request-json.ts'
import { asStep } from './exchange-vectors.ts'

/** Requests of profiles as tests write them. */

export const loadOne = (profile: Profile): LoadedProfile => loadProfiles([profile]).get(profile.id)

/** A profile with parts exchanged, as its data is compiled: for vectors of a network that nobody offers. */
export const compileChanged = (profile: Profile, changes: Partial<Profile>): LoadedProfile =>
  compileProfile({ ...profile, ...changes })

/** The first signature of a flow. */
export const stepOf = (loaded: LoadedProfile, flow: string, request: RequestJson): SigningStep =>
  asStep(buildFromJson(loaded, flow, request))

/** What is thrown, by its reason and facts. */
export const refusalOf = (run: () => unknown): { readonly reason: string; readonly path?: string; readonly why?: string } => {
  try {
    run()
  } catch (error) {
    if (isFailure(error)) return { reason: error.reason, ...error.facts }
    throw error
  }
  throw new Error('nothing was refused')
}
