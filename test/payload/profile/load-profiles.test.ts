import { describe, expect, it } from 'vitest'
import { BUILT_IN_PROFILES } from '../../../src/payload/profile/built-in-profiles.ts'
import { loadProfiles } from '../../../src/payload/profile/load-profiles.ts'
import type { Profile } from '../../../src/payload/profile/profile.ts'
import { HYPERLIQUID } from '../../../src/payload/profile/venues/hyperliquid.ts'

describe('the built-in profiles', () => {
  it('all stand their self-test', () => {
    const { offered, broken } = loadProfiles(BUILT_IN_PROFILES)
    expect(broken).toEqual([])
    expect(offered.map(({ profile }) => profile.id)).toEqual(BUILT_IN_PROFILES.map(({ id }) => id))
  })
})

describe('a profile that is not what it was', () => {
  const changed = (change: (profile: Profile) => Partial<Profile>): Profile => ({ ...HYPERLIQUID, ...change(HYPERLIQUID) })
  const good: Profile = { ...HYPERLIQUID, id: 'good' }

  it('is left out when a digest differs, and the others are offered', () => {
    const flows = { ...HYPERLIQUID.flows, l1: { ...HYPERLIQUID.flows['l1_stamped'] } } as Profile['flows']
    const profiles = loadProfiles([changed(() => ({ flows })), good])
    expect(profiles.offered.map(({ profile }) => profile.id)).toEqual(['good'])
    expect(profiles.broken).toMatchObject([{ id: 'hyperliquid', why: expect.stringContaining('self-test') as string }])
    expect(() => profiles.get('hyperliquid')).toThrow('there is no profile hyperliquid')
  })

  it('is left out without a self-test', () => {
    expect(loadProfiles([changed(() => ({ selfTest: [] }))]).broken[0]?.why).toContain('without a self-test')
  })

  it('is left out when it names an operator, a parameter or a root that does not exist', () => {
    const withPath = (path: unknown) =>
      changed(({ flows }) => ({
        flows: { ...flows, keys: { ...flows['keys'], http: { method: 'POST', path: path as string } } as Profile['flows'][string] },
      }))
    for (const path of ['$secret', '$params.nothing', '$net.nothing', ['@eval', '1'], ['@u', 8], ['@each', 'x', '$wallet'], '$wallet.0x'])
      expect(loadProfiles([withPath(path)]).broken).toHaveLength(1)
  })

  it('is left out when a credential has the name of the session key itself', () => {
    const named = (name: string) => changed(() => ({ credentials: { [name]: { kind: 'text', max: 8, pattern: '[a-z]{1,8}' } } }))
    expect(loadProfiles([named('key')]).broken[0]?.why).toBe('no credential may be named key')
    expect(loadProfiles([named('keys')]).broken).toEqual([])
  })

  it('is left out when its id is taken', () => {
    expect(loadProfiles([good, good])).toMatchObject({ broken: [{ id: 'good', why: 'the id is taken' }] })
  })

  it('has another hash', () => {
    const [first, second] = loadProfiles([good, { ...good, id: 'other' }]).offered
    expect(first?.profileHash).toMatch(/^0x[0-9a-f]{64}$/)
    expect(first?.profileHash).not.toBe(second?.profileHash)
    const [fewer] = loadProfiles([{ ...good, selfTest: good.selfTest.slice(1) }]).offered
    expect(fewer?.profileHash).toBe(first?.profileHash)
  })
})
