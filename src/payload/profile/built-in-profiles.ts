import { loadProfiles } from './load-profiles.ts'
import type { Profiles } from './loaded-profile.ts'
import type { Profile } from './profile.ts'
import { DERIVADEX } from './venues/derivadex.ts'
import { ERC7710 } from './venues/erc7710.ts'
import { HYPERLIQUID } from './venues/hyperliquid.ts'

/** The venues that are built in. */
export const BUILT_IN_PROFILES: readonly Profile[] = [HYPERLIQUID, DERIVADEX, ERC7710]

let loaded: Profiles | undefined

/** The built-in profiles, compiled and tested on first use, once a thread. */
export const builtInProfiles = (): Profiles => (loaded ??= loadProfiles(BUILT_IN_PROFILES))
