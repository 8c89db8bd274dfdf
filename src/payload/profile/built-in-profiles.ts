import { loadProfiles } from './load-profiles.ts'
import type { Profiles } from './loaded-profile.ts'
import type { Profile } from './profile.ts'
import { ASTER } from './venues/aster.ts'
import { DERIVADEX } from './venues/derivadex.ts'
import { DERIVE } from './venues/derive.ts'
import { ERC7710 } from './venues/erc7710.ts'
import { GRVT } from './venues/grvt.ts'
import { HYPERLIQUID } from './venues/hyperliquid.ts'
import { ORDERLY } from './venues/orderly.ts'
import { POLYMARKET_SESSION } from './venues/polymarket-session.ts'
import { POLYMARKET } from './venues/polymarket.ts'

/** The venues that are built in. */
export const BUILT_IN_PROFILES: readonly Profile[] = [
  HYPERLIQUID,
  ORDERLY,
  DERIVE,
  POLYMARKET,
  POLYMARKET_SESSION,
  GRVT,
  ASTER,
  DERIVADEX,
  ERC7710,
]

let loaded: Profiles | undefined

/** The built-in profiles, compiled and tested on first use, once a thread. */
export const builtInProfiles = (): Profiles => (loaded ??= loadProfiles(BUILT_IN_PROFILES))
