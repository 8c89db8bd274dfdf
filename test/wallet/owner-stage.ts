/** A project's call to what hands keys over and takes them in, over a real vault and parties that do as they are told. */
import { randomBytes } from 'node:crypto'
import { type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { callerOf, callOf } from '../signing/call.ts'
import { makeVault, NOW } from '../vault/fixture.ts'

export const PROJECT = 'default' as ProjectId

export const ownerStage = async () => {
  const vault = await makeVault()
  const walletId = walletIdFromBytes(new Uint8Array(randomBytes(16)))
  const key = await vault.commit((tx) => {
    const permissions = { grants: (['wallet:admin', 'wallet:create'] as const).map((permission) => ({ permission, narrowing: {} })) }.grants
    return createApiKey(tx, { project: PROJECT, name: 'k', permissions, nowMs: NOW, expireMs: NOW + 5_000 }).key
  })
  const time = { nowMs: NOW, monotonicMs: 0 }
  const fences = new Fences()
  const common = {
    vault,
    fences,
    clock: { nowMs: () => time.nowMs, monotonicNs: () => 0n },
    grants: new GrantCache(),
    rates: new RateLimiter(() => time.monotonicMs),
  }
  const call = () => callOf(callerOf(key, 'wallet:admin', 'wallet:create'), 'WalletService/ExportPrivateKey')
  return { vault, fences, common, key, time, walletId, call }
}
