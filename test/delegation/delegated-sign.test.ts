/** A delegate and its granting daemon: a refresh first, then signatures, each of which the daemon decides. */
import { describe, expect, it } from 'vitest'
import { makeVault } from '../vault/fixture.ts'
import { grant, jobFor, joinDelegate, messageOf, openStage } from './granting-scene.ts'

describe('a delegated wallet', () => {
  it('signs after its first refresh', async () => {
    const stage = await openStage(await makeVault())
    try {
      const granted = await grant(stage.vault)
      const delegate = await joinDelegate(stage, granted)
      await delegate.c.refreshes.refresh(delegate.walletId)
      expect(stage.accessOf(granted.access.accessId).state).toBe('ACTIVE')
      const [ready] = await delegate.c.presign([delegate.walletId])
      const signature = await delegate.c.sign(jobFor(granted, ready!, messageOf('hello')))
      expect(signature.r.length).toBe(32)
      expect(stage.alerts).toEqual([])
    } finally {
      await stage.delegates.close()
    }
  })
})
