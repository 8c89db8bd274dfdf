import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { openProfiles } from '../../src/commands/open-profiles.ts'
import { BUILT_IN_PROFILES } from '../../src/payload/profile/built-in-profiles.ts'
import { DERIVADEX } from '../../src/payload/profile/venues/derivadex.ts'

describe('the profiles of a daemon', () => {
  let folder: string
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'profiles-'))
  })
  afterEach(() => rmSync(folder, { recursive: true }))

  const builtIn = BUILT_IN_PROFILES.map(({ id }) => id)
  const write = (name: string, profile: unknown) => writeFileSync(join(folder, name), JSON.stringify(profile))

  it('are the built-in ones when nothing is said', () => {
    expect(openProfiles(undefined).offered.map(({ profile }) => profile.id)).toEqual(builtIn)
    expect(openProfiles(folder).offered.map(({ profile }) => profile.id)).toEqual(builtIn)
  })

  it('take a file in the place of a built-in one, and new ones besides', () => {
    write('derivadex.json', { ...DERIVADEX, version: 2 })
    write('other.json', { ...DERIVADEX, id: 'other' })
    write('notes.txt', 'not a profile')
    const { offered, broken, get } = openProfiles(folder)
    expect(broken).toEqual([])
    expect(offered).toHaveLength(builtIn.length + 1)
    expect(get('derivadex').profile.version).toBe(2)
    expect(get('other').profile.id).toBe('other')
  })

  it('do not go back to the built-in one when the file is broken', () => {
    write('derivadex.json', { ...DERIVADEX, selfTest: [] })
    write('hyperliquid.json', { ...DERIVADEX })
    writeFileSync(join(folder, 'garbage.json'), '{')
    const { offered, broken } = openProfiles(folder)
    expect(broken.map(({ id }) => id).sort()).toEqual(['derivadex', 'garbage', 'hyperliquid'])
    expect(offered.map(({ profile }) => profile.id)).toEqual(builtIn.filter((id) => id !== 'derivadex' && id !== 'hyperliquid'))
  })

  it('cannot come from a directory that is not there', () => {
    expect(() => openProfiles(join(folder, 'nowhere'))).toThrow('ENOENT')
  })
})
