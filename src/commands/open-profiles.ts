import { readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { ConfigError } from '../config/config-error.ts'
import { BUILT_IN_PROFILES, builtInProfiles } from '../payload/profile/built-in-profiles.ts'
import { faultText } from '../payload/profile/compile-profile.ts'
import { loadProfiles } from '../payload/profile/load-profiles.ts'
import type { Profiles } from '../payload/profile/loaded-profile.ts'
import { parseProfile } from '../payload/profile/parse-profile.ts'
import { ProfileFault } from '../payload/profile/profile-fault.ts'
import type { Profile } from '../payload/profile/profile.ts'

const listFiles = (directory: string): readonly string[] => {
  try {
    return readdirSync(directory)
      .filter((name) => name.endsWith('.json'))
      .sort()
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    throw new ConfigError('--profiles-directory', `${directory} cannot be read (${code ?? 'unknown'})`)
  }
}

/**
 * The profiles a daemon offers: the built-in ones, and those of `<id>.json` in a directory of the operator's. A file
 * takes the place of the built-in profile of its id, also when it turns out broken: whoever meant to replace a profile
 * does not get the old one. Refuses (ConfigError) a directory that cannot be read.
 */
export const openProfiles = (directory: string | undefined): Profiles => {
  if (directory === undefined) return builtInProfiles()
  const files = listFiles(directory)
  const given: Profile[] = []
  const broken: { id: string; why: string }[] = []
  for (const file of files) {
    const id = basename(file, '.json')
    try {
      const profile = parseProfile(readFileSync(join(directory, file)))
      if (profile.id !== id) throw new ProfileFault(`the file is of the profile ${profile.id}`)
      given.push(profile)
    } catch (error) {
      broken.push({ id, why: faultText(error) })
    }
  }
  const replaced = new Set(files.map((file) => basename(file, '.json')))
  const loaded = loadProfiles([...given, ...BUILT_IN_PROFILES.filter(({ id }) => !replaced.has(id))])
  return { ...loaded, broken: [...broken, ...loaded.broken] }
}
