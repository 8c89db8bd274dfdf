/** The end of delegated access: what is in flight, what is left, who is not touched. */
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { createDelegateDirectory, grantEnder } from '../../src/commands/wire-delegates.ts'
import { revokeDelegatedAccess, type RevokeAccessNeeds } from '../../src/delegation/revoke-access.ts'
import type { Caller } from '../../src/domain/call.ts'
import type { ProjectId, UserId } from '../../src/domain/ids.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import type { LinkMaterial } from '../../src/engine/dkls23/link-material.ts'
import { callerOfAccess } from '../../src/signing/delegated-standing.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { readAuditPage } from '../../src/vault/audit-page.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { canScan, type Pattern, patternsOf, scanMemory } from '../engine/memory-scan.ts'
import { callerOf, callOf } from '../signing/call.ts'
import {
  activeDelegate,
  type Delegate,
  type Granted,
  grant,
  jobFor,
  joinDelegate,
  messageOf,
  openOwnVault,
  openStage,
  type Stage,
} from './granting-scene.ts'

let own: Awaited<ReturnType<typeof openOwnVault>>
let stage: Stage
let needs: RevokeAccessNeeds
beforeAll(async () => {
  own = await openOwnVault()
  stage = openStage(own.vault)
  const { fences, clock, rates } = stage.needs
  needs = { vault: own.vault, fences, clock, rates, grants: new GrantCache(), accessEnds: stage.accessEnds }
})
afterAll(async () => {
  await stage.delegates.close()
  await own.vault.close()
  own.remove()
})

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
    expect(await revokeAs(person(), a)).toMatchObject({ state: 'REVOKED', endReason: 'user' })
    expect(await revokeAs(callerOf(key, 'grant:revoke'), b)).toMatchObject({ state: 'REVOKED', endReason: 'project' })
    expect(await revokeAs(callerOfAccess(c.access), c)).toMatchObject({ state: 'REVOKED', endReason: 'delegate' })
    // Once more changes nothing.
    expect(await revokeAs(person(), b)).toMatchObject({ state: 'REVOKED', endReason: 'project' })
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

const files = (dir: string): Buffer => Buffer.concat(readdirSync(dir).map((name) => readFileSync(join(dir, name))))
const spellings = (bytes: Uint8Array): Buffer[] => {
  const buffer = Buffer.from(bytes)
  const texts = [buffer.toString('hex'), buffer.toString('base64'), buffer.toString('base64url')]
  return [buffer, Buffer.from(buffer.toReversed()), ...texts.map((text) => Buffer.from(text.replaceAll('=', '')))]
}

describe.skipIf(!canScan)('T22 T39 after a revocation', () => {
  it('no file, no page and no memory of the process holds the share, the material it met, or what sealed it', async () => {
    const granted = await grant(own.vault)
    const [delegate, other] = [await activeDelegate(stage, granted), await activeDelegate(stage, await grant(own.vault))]
    await sign(delegate)
    await sign(other)
    const gone = [...sharePatterns(delegate), ...materialPatterns('gone', delegate)]
    const kept = materialPatterns('kept', other)
    const rows = [getShare(own.vault.read, delegate.walletId)!]
    const sealed = rows.flatMap(({ wrappedKey, ciphertext }) => [wrappedKey, ciphertext].map((bytes) => Uint8Array.from(bytes)))
    const before = files(own.place.dir)
    expect(sealed.every((bytes) => before.includes(bytes))).toBe(true)
    for (const { link } of [delegate, other]) link.wipeMaterial()
    await revokeAs(person(), granted)
    const after = files(own.place.dir)
    for (const bytes of sealed) for (const spelling of spellings(bytes)) expect(after.includes(spelling)).toBe(false)
    const found = scanMemory([...gone, ...kept])
    // What the daemon holds of another delegate's link is found, so the search works.
    expect(found.filter((name) => name.startsWith('kept'))).not.toEqual([])
    const left = found.filter((name) => !name.startsWith('kept'))
    expect(left, `${left.length} of ${gone.length} patterns of what was revoked`).toEqual([])
  }, 60_000)
})

/** x_D' = x_D0 − (x_G' − x_G0), and x_D0. */
const sharePatterns = ({ store, granted, walletId }: Delegate): Pattern[] => {
  const { alg, share } = granted.own
  const group = groupOf(alg)
  const now = [...store.wallets.values()][0]!.record.share
  const minusNow = group.scalarNegate(now)
  const back = group.scalarAdd(share, minusNow)
  const present = group.scalarAdd(granted.shareD, back)
  const patterns = [...patternsOf(`x_D' of ${walletId.length}`, present), ...patternsOf('x_D0', granted.shareD)]
  for (const secret of [minusNow, back, present, granted.shareD]) secret.fill(0)
  return patterns
}

/** Of the seeds that the daemon was given one of two is its: which, is its Δ. */
const materialPatterns = (name: string, { link }: Delegate): Pattern[] => {
  const { seedPairs } = link.material as LinkMaterial
  const half = seedPairs.length / 2
  return [0, 1].flatMap((b) => [0, 5].map((i) => patternsOf(`${name}: seed ${i}.${b}`, seedPairs.subarray(b * half + 16 * i, b * half + 16 * i + 16))[0]!))
}
