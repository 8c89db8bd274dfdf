/** What decides a refresh is what is true in its transaction, however long it waited for that. */
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { createApiKey, revokeApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { insertWallet } from '../../src/vault/wallets.ts'
import { refreshShares, type RefreshNeeds } from '../../src/wallet/refresh-shares.ts'
import { callerOf, callOf } from '../signing/call.ts'
import { makeVault, newWallet, NOW, reasonOf } from '../vault/fixture.ts'

const PROJECT = 'default' as ProjectId

/** `waiting` runs before the change, `changing` within it. */
const stage = async () => {
  const vault = await makeVault()
  const walletId = walletIdFromBytes(new Uint8Array(randomBytes(16)))
  const key = await vault.commit((tx) => {
    insertWallet(tx, newWallet({ walletId }))
    const permissions = { grants: [{ permission: 'wallet:admin', narrowing: {} }] }.grants
    return createApiKey(tx, { project: PROJECT, name: 'k', permissions, nowMs: NOW, expireMs: NOW + 5_000 }).key
  })
  const meanwhile = { waiting: async () => {}, changing: async () => {} }
  const time = { nowMs: NOW, monotonicMs: 0 }
  const engine: RefreshNeeds['engine'] = {
    refreshShares: async (_wallet, { during, order }) => {
      await meanwhile.waiting()
      await during(async () => {
        await meanwhile.changing()
        await vault.commit((tx) => order.record(tx, 1))
      })
    },
  }
  const needs: RefreshNeeds = {
    vault,
    engine,
    clock: { nowMs: () => time.nowMs, monotonicNs: () => 0n },
    fences: new Fences(),
    grants: new GrantCache(),
    rates: new RateLimiter(() => time.monotonicMs),
    refreshing: new Map(),
  }
  const call = () => callOf(callerOf(key, 'wallet:admin'), 'WalletService/RefreshShares')
  const refreshed = () => listAudit(vault.read, 0n, 100, { kind: 'wallet.refreshed' }).length
  const refresh = () => refreshShares(needs, call(), { walletRef: walletId })
  return { vault, needs, key, walletId, meanwhile, time, refresh, refreshed }
}

it('changes nothing under a key that was revoked while it waited', async () => {
  const { vault, needs, key, meanwhile, refresh, refreshed } = await stage()
  meanwhile.waiting = () =>
    needs.fences.during({ scope: 'api_key', id: key.keyId }, async () => {
      await vault.commit((tx) => revokeApiKey(tx, key.keyId, { nowMs: NOW }))
    })
  expect(await reasonOf(refresh)).toBe('API_KEY_INVALID')
  expect(refreshed()).toBe(0)
})

it('changes nothing under a key whose time ended while it waited', async () => {
  const { meanwhile, time, refresh, refreshed } = await stage()
  meanwhile.waiting = async () => void (time.nowMs = NOW + 6_000)
  expect(await reasonOf(refresh)).toBe('API_KEY_EXPIRED')
  expect(refreshed()).toBe(0)
})

it('stays stopped by a freeze that came and went while it was carried out', async () => {
  const { needs, walletId, meanwhile, refresh, refreshed } = await stage()
  const fence = { scope: 'wallet', id: walletId } as const
  meanwhile.changing = async () => {
    void needs.fences.raise(fence)
    needs.fences.lower(fence)
  }
  expect(await reasonOf(refresh)).toBe('FROZEN')
  expect(refreshed()).toBe(0)
})

it('a project has only so many under way, and gets its places back', async () => {
  const { needs, meanwhile, time, refresh, refreshed } = await stage()
  const gate = Promise.withResolvers<void>()
  meanwhile.waiting = () => gate.promise
  const begun = Array.from({ length: 32 }, () => {
    time.monotonicMs += 1_000
    return refresh()
  })
  time.monotonicMs += 1_000
  expect(await reasonOf(refresh)).toBe('RATE_LIMITED')
  gate.resolve()
  await Promise.all(begun)
  expect(refreshed()).toBe(32)
  expect(needs.refreshing.size).toBe(0)
  time.monotonicMs += 1_000
  await refresh()
})
