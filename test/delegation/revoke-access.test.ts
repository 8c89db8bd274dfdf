/** The end of delegated access: what is in flight, what is left, who is not touched. */
import { execFile } from 'node:child_process'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDelegateDirectory, grantEnder } from '../../src/commands/wire-delegates.ts'
import { revokeDelegatedAccess, type RevokeAccessNeeds } from '../../src/delegation/revoke-access.ts'
import type { Caller } from '../../src/domain/call.ts'
import type { ProjectId, UserId } from '../../src/domain/ids.ts'
import { callerOfAccess } from '../../src/signing/delegated-standing.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { canScan } from '../engine/memory-scan.ts'
import { callerOf, callOf } from '../signing/call.ts'
import {
  activeDelegate,
  closeGranting,
  type Delegate,
  grant,
  type Granted,
  type Granting,
  jobFor,
  joinDelegate,
  messageOf,
  openGranting,
} from './granting-scene.ts'

let own: Granting['own']
let stage: Granting['stage']
let needs: RevokeAccessNeeds
beforeAll(async () => {
  ({ own, stage } = await openGranting())
  const { fences, clock, rates } = stage.needs
  needs = { vault: own.vault, fences, clock, rates, grants: new GrantCache(), accessEnds: stage.accessEnds }
})
afterAll(() => closeGranting({ own, stage }))

const person = (userId = 'alice'): Caller => ({
  kind: 'end_user',
  principal: `user:default/${userId}`,
  projectId: 'default' as ProjectId,
  userId: userId as UserId,
  accessTokenId: 't',
  authTimeMs: 0,
  accessTokenExpireMs: Number.MAX_SAFE_INTEGER,
  walletSecret: undefined,
})
const revokeAs = (caller: Caller, { access }: Granted) =>
  revokeDelegatedAccess(needs, callOf(caller, 'DelegationService/RevokeDelegatedAccess'), { accessId: access.accessId })
const sign = async (delegate: Delegate, text = 'x') => {
  const [ready] = await delegate.c.presign([delegate.walletId])
  return delegate.c.sign(jobFor(delegate.granted, ready!, messageOf(text)))
}
const REVOKED = { reason: 'DELEGATED_ACCESS_REVOKED' }

describe('a revocation', () => {
  it('is for the end user, for a key with grant:revoke and for the delegate; to others there is no such access', async () => {
    const { key } = await own.vault.commit((tx) =>
      createApiKey(tx, { project: 'default' as ProjectId, name: 'k', permissions: [{ permission: 'grant:revoke', narrowing: {} }] as never, nowMs: Date.now() }),
    )
    const { key: weak } = await own.vault.commit((tx) =>
      createApiKey(tx, { project: 'default' as ProjectId, name: 'w', permissions: [{ permission: 'wallet:sign', narrowing: {} }] as never, nowMs: Date.now() }),
    )
    const [a, b, c] = [await grant(own.vault), await grant(own.vault), await grant(own.vault)]
    await expect(revokeAs(person('bob'), a)).rejects.toMatchObject({ reason: 'DELEGATED_ACCESS_NOT_FOUND' })
    await expect(revokeAs(callerOfAccess(b.access), a)).rejects.toMatchObject({ reason: 'DELEGATED_ACCESS_NOT_FOUND' })
    await expect(revokeAs({ ...callerOf(key, 'grant:revoke'), projectId: 'other' as ProjectId }, a)).rejects.toMatchObject({
      reason: 'DELEGATED_ACCESS_NOT_FOUND',
    })
    await expect(revokeAs(callerOf(weak, 'wallet:sign'), a)).rejects.toMatchObject({ reason: 'PERMISSION_MISSING' })
    expect(await revokeAs(person(), a)).toMatchObject({ accessId: a.access.accessId, state: 'revoked' })
    expect(await revokeAs(callerOf(key, 'grant:revoke'), b)).toMatchObject({ state: 'revoked' })
    expect(await revokeAs(callerOfAccess(c.access), c)).toMatchObject({ state: 'revoked' })
    // Once more changes nothing.
    expect(await revokeAs(person(), b)).toMatchObject({ state: 'revoked' })
    expect([a, b, c].map(({ access }) => stage.accessOf(access.accessId).endReason)).toEqual(['user', 'project', 'delegate'])
    const { rows } = await readAuditPage(own.vault.read, 0n, 1_000, { filter: { kind: 'delegated_access.revoked' } })
    expect(rows.map(({ reason }) => reason)).toEqual(['user', 'project', 'delegate'])
  })

  it('of an access that nobody ever used leaves no share, and its key opens nothing', async () => {
    const granted = await grant(own.vault)
    const directory = createDelegateDirectory(own.vault)
    expect(directory.findByKey(granted.apiKey, Date.now())).toMatchObject({ accessId: granted.access.accessId })
    await revokeAs(person(), granted)
    expect(getShare(own.vault.read, granted.own.walletId)).toBeUndefined()
    expect(() => directory.findByKey(granted.apiKey, Date.now())).toThrow(expect.objectContaining(REVOKED))
    expect(() => directory.findByKey(`cdk_${'A'.repeat(43)}`, Date.now())).toThrow(expect.objectContaining({ reason: 'WALLET_API_KEY_INVALID' }))
    await expect(joinDelegate(stage, granted)).rejects.toMatchObject(REVOKED)
  })

  it('is a fence: what is in flight is waited for and not released, and nothing is after it', async () => {
    const delegate = await activeDelegate(stage, await grant(own.vault))
    const [a, b] = await delegate.c.presign([delegate.walletId, delegate.walletId])
    // Party S has made the signature; its answer has not left yet.
    const frame = stage.delegates.frame.bind(stage.delegates)
    const made = Promise.withResolvers<void>()
    const let_go = Promise.withResolvers<void>()
    stage.delegates.frame = async (...args) => {
      const answer = await frame(...args)
      made.resolve()
      await let_go.promise
      return answer
    }
    const signing = delegate.c.sign(jobFor(delegate.granted, a!, messageOf('in flight')))
    const refused = expect(signing).rejects.toMatchObject(REVOKED)
    await made.promise
    stage.delegates.frame = frame
    let isAnswered = false
    const revoking = revokeAs(person(), delegate.granted).then(() => (isAnswered = true))
    await sleep(50)
    expect(isAnswered).toBe(false)
    let_go.resolve()
    await refused
    await revoking
    await expect(delegate.c.sign(jobFor(delegate.granted, b!, messageOf('after')))).rejects.toMatchObject(REVOKED)
    await expect(delegate.c.connect()).rejects.toMatchObject(REVOKED)
    expect(await stage.delegates.status()).toEqual([])
  })

  it('T23 ends one access: every other one goes on', async () => {
    const [kept, gone] = [await activeDelegate(stage, await grant(own.vault)), await activeDelegate(stage, await grant(own.vault))]
    await revokeAs(person(), gone.granted)
    await sign(kept, 'still')
    expect(getShare(own.vault.read, kept.walletId)?.state).toBe('ACTIVE')
    await revokeAs(person(), kept.granted)
  })

  it('comes with the end of the grant', async () => {
    const ender = grantEnder(stage.accessEnds)
    expect(await own.vault.commit((tx) => ender(tx, { grantId: `grant_${'ab'.repeat(16)}` } as never, Date.now()))).toBe(false)
  })
})

describe.skipIf(!canScan)('T22 T39 after a revocation', () => {
  it('no file, no page and no memory of the process holds the share, the material it met, or what sealed it', async () => {
    const program = fileURLToPath(new URL('./programs/revoke-and-search.ts', import.meta.url))
    const { stdout } = await promisify(execFile)(process.execPath, [program], { timeout: 170_000 })
    const { wereThere, inFiles, lookedFor, inMemory, control } = JSON.parse(stdout) as { readonly [name: string]: never }
    expect(wereThere).toBe(true)
    // What the daemon holds of another delegate's link is found, so the search works.
    expect(control).not.toEqual([])
    expect(inMemory, `${String(inMemory)} of ${String(lookedFor)}`).toEqual([])
    expect(inFiles).toBe(0)
  }, 180_000)
})
