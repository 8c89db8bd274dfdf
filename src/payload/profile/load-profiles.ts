import { failure } from '../../domain/failure.ts'
import { fromHex, toHex } from '../bytes.ts'
import { compileProfile, faultText } from './compile-profile.ts'
import type { LoadedProfile, Profiles, SignedRequest, SigningStep } from './loaded-profile.ts'
import { ProfileFault } from './profile-fault.ts'
import type { Profile, SelfTest } from './profile.ts'
import { buildFromJson } from './request-json.ts'

/** Profiles are offered when their known answers have come out, and not before. */

const signedText = ({ scheme, input }: SigningStep, expected: string): string =>
  scheme === 'eip712' || scheme === 'eip191' || expected.startsWith('0x')
    ? toHex(input)
    : Buffer.from(input).toString('utf8')

const compare = (test: SelfTest, what: string, found: string | undefined, expected: string | undefined): void => {
  if (expected !== undefined && found !== expected) throw new ProfileFault(`self-test "${test.name}": another ${what}`)
}

const checkEnd = (test: SelfTest, end: SignedRequest): void => {
  compare(test, 'signed action', end.signedActionJson, test.signedAction)
  compare(test, 'body', end.http?.body, test.body)
  for (const [name, value] of Object.entries(test.headers ?? {}))
    compare(test, `header ${name}`, end.http?.headers[name], value)
  for (const [name, value] of Object.entries(test.keep ?? {})) compare(test, `kept ${name}`, end.keep[name], value)
}

const runSelfTest = (loaded: LoadedProfile, test: SelfTest): void => {
  let step = buildFromJson(loaded, test.flow, test.request)
  for (const [index, expected] of test.signs.entries()) {
    if (step.kind !== 'sign') throw new ProfileFault(`self-test "${test.name}": too few signatures`)
    compare(test, 'digest', signedText(step, expected), expected)
    const signature = test.signatures?.[index]
    if (signature === undefined) return
    step = step.finish(fromHex(signature) ?? new Uint8Array())
  }
  if (step.kind === 'sign') throw new ProfileFault(`self-test "${test.name}": too many signatures`)
  checkEnd(test, step)
}

/** Compiles a profile and runs its self-test. Throws when either fails; a profile without a self-test fails. */
export const loadProfile = (profile: Profile): LoadedProfile => {
  const loaded = compileProfile(profile)
  if (profile.selfTest.length === 0) throw new ProfileFault('a profile without a self-test is not offered')
  for (const test of profile.selfTest) {
    try {
      runSelfTest(loaded, test)
    } catch (error) {
      if (error instanceof ProfileFault) throw error
      throw new ProfileFault(`self-test "${test.name}": ${faultText(error)}`)
    }
  }
  return loaded
}

/** Every profile that stands its self-test; the others are named and not offered. */
export const loadProfiles = (profiles: readonly Profile[]): Profiles => {
  const offered = new Map<string, LoadedProfile>()
  const broken: { id: string; why: string }[] = []
  for (const profile of profiles) {
    try {
      if (offered.has(profile.id)) throw new ProfileFault('the id is taken')
      offered.set(profile.id, loadProfile(profile))
    } catch (error) {
      broken.push({ id: profile.id, why: faultText(error) })
    }
  }
  return {
    offered: [...offered.values()],
    broken,
    get: (id) => {
      const found = offered.get(id)
      if (found === undefined) throw failure('PROFILE_NOT_FOUND', { profile: id })
      return found
    },
  }
}
