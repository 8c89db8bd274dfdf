/** Who may sign with a wallet that an end user owns, and until when. */
import { randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { type EndUserCaller, endUserPrincipal } from '../../src/domain/call.ts'
import { parseRequestId, parseUserId } from '../../src/domain/ids.ts'
import { requireReleasable } from '../../src/signing/release-again.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { expireGrants, type Grant, insertGrant, revokeGrant } from '../../src/vault/grants.ts'
import { updateProject } from '../../src/vault/projects.ts'
import { NOW, reasonOf } from '../vault/fixture.ts'
import { PROJECT, type Scene, stage } from './scene.ts'

const ALICE = parseUserId('alice')!
const OTHER_ADDRESS = '0x8617E340B3D01FA5F11F306F4090FD50E238070D'

const turn = ({ vault }: Scene, on: boolean) =>
  vault.commit((tx) => updateProject(tx, PROJECT, { settings: { delegation_enabled: on } }, { nowMs: NOW }))

const grantTo = ({ vault }: Scene, changes: { readonly address?: string; readonly expireMs?: number } = {}): Promise<Grant> =>
  vault.commit((tx) =>
    insertGrant(tx, { project: PROJECT, userId: ALICE, address: undefined, expireMs: NOW + 60_000, nowMs: NOW, ...changes }),
  )

/** As the use case does it. */
const revoke = ({ vault, needs }: Scene, { grantId }: Grant) =>
  needs.fences.during({ scope: 'grant', id: grantId }, () => vault.commit((tx) => revokeGrant(tx, grantId, NOW)))

const owned = async (): Promise<Scene> => {
  const scene = await stage([{ permission: 'wallet:sign', narrowing: {} }], { ownerType: 'end_user' })
  await turn(scene, true)
  return scene
}

const person = (name: string): EndUserCaller => {
  const userId = parseUserId(name)!
  return {
    kind: 'end_user',
    principal: endUserPrincipal(PROJECT, userId),
    projectId: PROJECT,
    userId,
    accessTokenId: 't',
    authTimeMs: NOW,
    accessTokenExpireMs: NOW + 60_000,
    walletSecret: undefined,
  }
}

const rows = ({ vault }: Scene, kind: string) => listAudit(vault.read, 0n, 10_000, { kind })

describe('a project', () => {
  it("signs with an end user's wallet under a grant, which the intent names; without one it hears why", async () => {
    const scene = await owned()
    await turn(scene, false)
    expect(await reasonOf(() => scene.pay(1n))).toBe('DELEGATION_NOT_ENABLED')
    await turn(scene, true)
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_NOT_FOUND')
    const elsewhere = await grantTo(scene, { address: OTHER_ADDRESS })
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_NOT_AUTHORIZED')
    await scene.vault.commit((tx) => revokeGrant(tx, elsewhere.grantId, NOW))
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_NOT_FOUND')
    const grant = await grantTo(scene)
    await scene.pay(1n)
    await scene.vault.commit((tx) => revokeGrant(tx, grant.grantId, NOW))
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_REVOKED')
    await grantTo(scene, { expireMs: NOW + 5 })
    scene.passTime(5)
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_EXPIRED')
    await scene.vault.commit((tx) => expireGrants(tx, NOW + 5, 10))
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_EXPIRED')
    expect(rows(scene, 'sign.intent').map(({ details }) => details)).toMatchObject([{ grant: grant.grantId }])
    expect(rows(scene, 'sign.denied').map(({ reason }) => reason)).toEqual([
      'DELEGATION_NOT_ENABLED', 'GRANT_NOT_FOUND', 'GRANT_NOT_AUTHORIZED', 'GRANT_NOT_FOUND', 'GRANT_REVOKED',
      'GRANT_EXPIRED', 'GRANT_EXPIRED',
    ])
  })

  it('needs no grant for its own wallets, and none names one', async () => {
    const scene = await stage()
    await scene.pay(1n)
    expect(rows(scene, 'sign.intent').map(({ details }) => details)).not.toMatchObject([{ grant: expect.anything() }])
  })

  it('gains nothing by a grant that its key is not allowed', async () => {
    const scene = await stage([{ permission: 'sign:digest', narrowing: {} }], { ownerType: 'end_user' })
    await turn(scene, true)
    await grantTo(scene)
    expect(await reasonOf(() => scene.pay(1n))).toBe('PERMISSION_MISSING')
  })
})

describe('an end user', () => {
  it('signs with their own wallet without a grant, and with nobody else\'s', async () => {
    const scene = await owned()
    await turn(scene, false)
    await scene.payAs(scene.callOf(undefined, person('alice')), 1n)
    expect(await reasonOf(() => scene.payAs(scene.callOf(undefined, person('bob')), 1n))).toBe('WALLET_NOT_FOUND')
    const [intent] = rows(scene, 'sign.intent')
    expect(intent).toMatchObject({ actor: { kind: 'end_user', id: 'user:default/alice' } })
    const ofProject = await stage()
    expect(await reasonOf(() => ofProject.payAs(ofProject.callOf(undefined, person('alice')), 1n))).toBe('WALLET_NOT_FOUND')
  })
})

describe('a grant that ends under way', () => {
  it('takes along what the parties are at, and says that it was revoked', async () => {
    const scene = await owned()
    const grant = await grantTo(scene)
    let revoked: Promise<unknown> | undefined
    scene.whileSigning(async () => {
      revoked = revoke(scene, grant)
    })
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_REVOKED')
    await revoked
    expect(rows(scene, 'sign.denied')).toMatchObject([{ reason: 'GRANT_REVOKED' }])
  })

  it('takes along what waits for a presignature: nothing of it is recorded as allowed', async () => {
    for (const [end, reason] of [
      [async (scene: Scene, grant: Grant) => revoke(scene, grant), 'GRANT_REVOKED'],
      [async (scene: Scene) => turn(scene, false), 'DELEGATION_NOT_ENABLED'],
      [async (scene: Scene) => scene.passTime(60_000), 'DEADLINE_EXCEEDED'],
      [async (scene: Scene, grant: Grant) => {
        await scene.vault.commit((tx) => revokeGrant(tx, grant.grantId, NOW))
        await grantTo(scene)
      }, 'GRANT_REVOKED'],
    ] as const) {
      const scene = await owned()
      const grant = await grantTo(scene)
      scene.whileTaking(async () => void (await end(scene, grant)))
      expect(await reasonOf(() => scene.pay(1n))).toBe(reason)
      expect(rows(scene, 'sign.intent')).toEqual([])
      expect(scene.discarded).toEqual(scene.taken)
    }
  })

  it('expires between decision and record, and nothing is recorded', async () => {
    const scene = await owned()
    await grantTo(scene, { expireMs: NOW + 100 })
    scene.whileTaking(async () => scene.passTime(100))
    expect(await reasonOf(() => scene.pay(1n))).toBe('GRANT_EXPIRED')
    expect(rows(scene, 'sign.intent')).toEqual([])
  })

  it('takes along an answer that has not left yet, whether it was revoked, is over, or was replaced', async () => {
    for (const [end, reason] of [
      [async (scene: Scene, grant: Grant) => revoke(scene, grant), 'GRANT_REVOKED'],
      [async (scene: Scene, grant: Grant) => scene.vault.commit((tx) => revokeGrant(tx, grant.grantId, NOW)), 'GRANT_REVOKED'],
      [async (scene: Scene) => scene.passTime(5_000), 'GRANT_EXPIRED'],
      [async (scene: Scene) => turn(scene, false), 'DELEGATION_NOT_ENABLED'],
      [async (scene: Scene, grant: Grant) => {
        await revoke(scene, grant)
        await grantTo(scene)
      }, 'GRANT_REVOKED'],
    ] as const) {
      const scene = await owned()
      const grant = await grantTo(scene, { expireMs: NOW + 5_000 })
      const call = scene.callOf()
      await scene.payAs(call, 1n)
      const release = () => call.releaseChecks.forEach((check) => check())
      expect(release).not.toThrow()
      await end(scene, grant)
      expect(await reasonOf(release)).toBe(reason)
    }
  })

  it('withholds a kept signature from the project, and from nobody else', async () => {
    const scene = await owned()
    const grant = await grantTo(scene)
    const requestId = parseRequestId(randomUUID())!
    const method = 'countersign.v1.WalletService/SignTransaction'
    await scene.pay(1n, requestId)
    await scene.payAs(scene.callOf(requestId, person('alice')), 1n)
    const release = (caller: string) => () => requireReleasable(scene.vault.read, { caller, method, requestId }, NOW)
    expect(release(scene.key.keyId)).not.toThrow()
    await revoke(scene, grant)
    expect(await reasonOf(release(scene.key.keyId))).toBe('GRANT_REVOKED')
    expect(release(person('alice').principal)).not.toThrow()
  })

  it('does not stop the work of others', async () => {
    const scene = await owned()
    const grant = await grantTo(scene)
    let revoked: Promise<unknown> | undefined
    scene.whileSigning(async () => {
      revoked = revoke(scene, grant)
    })
    await scene.payAs(scene.callOf(undefined, person('alice')), 1n)
    await revoked
  })
})
