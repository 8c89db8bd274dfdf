/** Giving and taking back grants, over a real vault. */
import { generateKeyPairSync, randomUUID } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { endExpiredGrants, type GrantEnded } from '../../src/delegation/end-grants.ts'
import { createGrant, getGrant, type GrantNeeds, listGrants, type NewGrantRequest, revokeGrant } from '../../src/delegation/grants.ts'
import { type Call, type Caller, endUserPrincipal } from '../../src/domain/call.ts'
import { parseProjectId, parseRequestId, parseUserId, type ProjectId } from '../../src/domain/ids.ts'
import { Fences } from '../../src/signing/fences.ts'
import { GrantCache } from '../../src/signing/grant-cache.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { registerWalletSecret } from '../../src/user/wallet-secrets.ts'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import type { JsonValue } from '../../src/vault/canonical-json.ts'
import { findOrCreateEndUser } from '../../src/vault/end-users.ts'
import type { Grant } from '../../src/vault/grants.ts'
import { DEFAULT_PROJECT, insertProject, updateProject } from '../../src/vault/projects.ts'
import { endSession, insertSession } from '../../src/vault/user-sessions.ts'
import { insertWallet, setWalletState } from '../../src/vault/wallets.ts'
import { callOf as makeCall } from '../signing/call.ts'
import { makeVault, newWallet, NOW, reasonOf } from '../vault/fixture.ts'

const DAY_MS = 86_400_000
const OTHER = parseProjectId('other')!
const EVM = '0x52908400098527886E0F7030069857D2E4169EE7'
const BOBS = '0x8617E340B3D01FA5F11F306F4090FD50E238070D'
const OF_PROJECT = '0xde709f2102306220921060314715629080e2fb77'
const SOLANA = 'So11111111111111111111111111111111111111112'
const NOBODYS = '0x27b1fdb04752bbc536007a920d24acb045561c26'

const callOf = (caller: Caller, rest: Partial<Call> = {}): Call => makeCall(caller, 'DelegationService/CreateGrant', rest)

const person = (name: string, projectId: ProjectId = DEFAULT_PROJECT): Caller => {
  const userId = parseUserId(name)!
  const principal = endUserPrincipal(projectId, userId)
  return {
    kind: 'end_user', principal, projectId, userId, accessTokenId: 't', authTimeMs: NOW, accessTokenExpireMs: NOW + DAY_MS,
    walletSecret: undefined,
  }
}

const alice = callOf(person('alice'))
const bob = callOf(person('bob'))
const allOf = (userId: string, expireTimeMs = NOW + DAY_MS): NewGrantRequest => ({ scope: { kind: 'user', userId }, expireTimeMs })
const over = (address: string, expireTimeMs = NOW + DAY_MS): NewGrantRequest => ({ scope: { kind: 'address', address }, expireTimeMs })

const scene = async () => {
  const vault = await makeVault()
  const own = { ownerType: 'end_user', userId: parseUserId('alice')! } as const
  const wallets = {
    evm: newWallet({ ...own, address: EVM }),
    solana: newWallet({ ...own, address: SOLANA, keyType: 'ed25519' }),
    bobs: newWallet({ ...own, userId: parseUserId('bob')!, address: BOBS }),
    project: newWallet({ ...own, ownerType: 'project', address: OF_PROJECT }),
  }
  await vault.commit((tx) => {
    insertProject(tx, { projectId: OTHER, name: 'other', settings: { delegation_enabled: true }, nowMs: NOW })
    updateProject(tx, DEFAULT_PROJECT, { settings: { delegation_enabled: true } }, { nowMs: NOW })
    for (const wallet of Object.values(wallets)) insertWallet(tx, wallet)
  })
  let nowMs = NOW
  const ended: Grant[] = []
  const grantEnded: GrantEnded = (_tx, grant) => {
    ended.push(grant)
    return false
  }
  const needs: GrantNeeds = {
    vault,
    fences: new Fences(),
    clock: { nowMs: () => nowMs, monotonicNs: () => 0n },
    grants: new GrantCache(),
    rates: new RateLimiter(() => 0),
    maxGrantMs: 365 * DAY_MS,
    grantEnded,
    grantErased: async () => vault.eraseDeleted(),
  }
  const key = async (permissions: readonly object[], project: ProjectId = DEFAULT_PROJECT): Promise<Call> => {
    const made = await vault.commit((tx) => createApiKey(tx, { project, name: '', permissions: permissions as JsonValue, nowMs: NOW }))
    const { keyId } = made.key
    return callOf({ kind: 'project', principal: keyId, apiKeyId: keyId, projectId: project, permissions: new Set() })
  }
  return {
    vault, needs, wallets, ended, key,
    passTime: (ms: number) => {
      nowMs += ms
    },
    rows: (kind: string) => listAudit(vault.read, 0n, 1_000, { kind }),
    list: (call: Call, filter: object = {}) =>
      listGrants(needs, call, { pageSize: 50, cursor: undefined, userId: undefined, address: undefined, state: undefined, ...filter }),
  }
}

const may = (permission: string, narrowing: object = {}) => ({ permission, narrowing })

describe('granting', () => {
  it('and registering a device come to nothing once the person has signed out, also where they were under way', async () => {
    const { needs, rows, vault } = await scene()
    const of = { project: DEFAULT_PROJECT, userId: parseUserId('alice')!, nowMs: NOW }
    const session = await vault.commit((tx) => {
      findOrCreateEndUser(tx, { ...of, method: 'jwt', subject: 'alice' })
      return insertSession(tx, { ...of, method: 'jwt', expireMs: NOW + DAY_MS })
    })
    const call = callOf({ ...alice.caller, accessTokenId: `${session.sessionId}.0123456789abcdef` } as Caller)
    const { publicKey: key } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
    const publicKey = key.export({ type: 'spki', format: 'der' }).toString('base64')
    const device = { walletSecretId: 'd', publicKey, validUntilMs: NOW + DAY_MS, cosignerOrder: undefined }
    const engine = {} as Parameters<typeof registerWalletSecret>[0]['engine']
    const register = () => registerWalletSecret({ ...needs, engine }, call, device)
    await register()
    const signedOut = vault.commit((tx) => endSession(tx, session, 'SIGNED_OUT'))
    const late = [createGrant(needs, call, allOf('alice')), register()]
    for (const refused of await Promise.allSettled(late)) expect(refused).toMatchObject({ status: 'rejected', reason: { reason: 'ACCESS_TOKEN_INVALID' } })
    await signedOut
    expect([rows('grant.created').length, rows('wallet_secret.registered').length]).toEqual([0, 1])
  })

  it('is for the caller alone, for all wallets or for one of their own, and on record', async () => {
    const { needs, rows, wallets, vault } = await scene()
    const grant = await createGrant(needs, alice, allOf('alice'))
    expect(grant).toMatchObject({ userId: 'alice', address: undefined, state: 'active', expireTimeMs: NOW + DAY_MS })
    expect(rows('grant.created')).toMatchObject([
      {
        actor: { kind: 'end_user', id: 'user:default/alice' },
        subject: { type: 'grant', id: grant.grantId },
        project: 'default',
        details: { userId: 'alice', expireTime: new Date(NOW + DAY_MS).toISOString() },
      },
    ])
    await expect(createGrant(needs, alice, allOf('bob'))).rejects.toMatchObject({
      reason: 'INVALID_REQUEST',
      facts: { violations: [{ field: 'user_id' }] },
    })
    for (const address of [BOBS, OF_PROJECT, NOBODYS, SOLANA.toLowerCase()]) {
      expect(await reasonOf(() => createGrant(needs, alice, over(address))), address).toBe('WALLET_NOT_FOUND')
    }
    expect(await reasonOf(() => createGrant(needs, callOf(person('alice', OTHER)), over(EVM)))).toBe('WALLET_NOT_FOUND')
    const bobs = await createGrant(needs, bob, over(BOBS.toLowerCase()))
    expect(bobs).toMatchObject({ userId: 'bob', address: BOBS })
    await vault.commit((tx) => setWalletState(tx, wallets.bobs.walletId, 'ARCHIVED'))
    await revokeGrant(needs, bob, bobs)
    expect(await reasonOf(() => createGrant(needs, bob, over(BOBS)))).toBe('WALLET_NOT_FOUND')
  })

  it('ends in the future, and not too far ahead', async () => {
    const { needs } = await scene()
    for (const expireTimeMs of [NOW, NOW - 1, 0, -DAY_MS, NOW + 365 * DAY_MS + 1, 8.64e15]) {
      await expect(createGrant(needs, alice, allOf('alice', expireTimeMs))).rejects.toMatchObject({
        reason: 'INVALID_REQUEST',
        facts: { violations: [{ field: 'expire_time' }] },
      })
    }
    expect((await createGrant(needs, alice, allOf('alice', NOW + 1))).expireTimeMs).toBe(NOW + 1)
    expect((await createGrant(needs, bob, allOf('bob', NOW + 365 * DAY_MS))).state).toBe('active')
  })

  it('needs the switch of the project', async () => {
    const { needs, vault } = await scene()
    await vault.commit((tx) => updateProject(tx, DEFAULT_PROJECT, { settings: {} }, { nowMs: NOW }))
    expect(await reasonOf(() => createGrant(needs, alice, allOf('alice')))).toBe('DELEGATION_NOT_ENABLED')
    expect((await createGrant(needs, callOf(person('alice', OTHER)), allOf('alice'))).state).toBe('active')
  })

  it('of a hundred at once, in both scopes, leaves one', async () => {
    const { needs, list, rows } = await scene()
    const outcomes = await Promise.allSettled(
      Array.from({ length: 100 }, (_, at) => createGrant(needs, alice, at % 2 === 0 ? allOf('alice') : over(EVM))),
    )
    expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
    expect(list(alice).items).toHaveLength(1)
    expect(rows('grant.created')).toHaveLength(1)
  })

  it('makes room by itself for what is over, and writes its end down first', async () => {
    const { needs, passTime, rows, ended, list } = await scene()
    const first = await createGrant(needs, alice, allOf('alice', NOW + 10))
    passTime(10)
    const second = await createGrant(needs, alice, over(EVM))
    expect(ended.map(({ grantId }) => grantId)).toEqual([first.grantId])
    expect(rows('grant.expired')).toMatchObject([{ subject: { id: first.grantId }, actor: { kind: 'daemon' } }])
    expect(list(alice).items.map(({ grantId, state }) => [grantId, state])).toEqual([
      [first.grantId, 'expired'],
      [second.grantId, 'active'],
    ])
  })

  it('that was cut off after it was durable is answered with what it made', async () => {
    const { needs, list } = await scene()
    const requestId = parseRequestId(randomUUID())!
    const made = await createGrant(needs, { ...alice, requestId }, allOf('alice'))
    expect(await createGrant(needs, { ...alice, requestId, isRepeat: true }, allOf('alice'))).toEqual(made)
    const other = { ...alice, requestId: parseRequestId(randomUUID())!, isRepeat: true }
    expect(await reasonOf(() => createGrant(needs, other, allOf('alice')))).toBe('GRANT_ALREADY_EXISTS')
    expect(list(alice).items).toHaveLength(1)
  })
})

describe('taking back', () => {
  it('is for the end user and for the project, on record, once', async () => {
    const { needs, rows, ended, key } = await scene()
    const first = await createGrant(needs, alice, over(EVM))
    const second = await createGrant(needs, alice, over(SOLANA))
    expect(await revokeGrant(needs, alice, first)).toMatchObject({ state: 'revoked', revokeTimeMs: NOW })
    const byKey = await key([may('grant:revoke')])
    expect(await revokeGrant(needs, byKey, second)).toMatchObject({ state: 'revoked' })
    expect(await revokeGrant(needs, byKey, second)).toMatchObject({ state: 'revoked' })
    expect(rows('grant.revoked')).toMatchObject([
      { actor: { kind: 'end_user', id: 'user:default/alice' }, subject: { id: first.grantId } },
      { actor: { kind: 'api_key' }, subject: { id: second.grantId } },
    ])
    expect(ended.map(({ grantId, state }) => [grantId, state])).toEqual([
      [first.grantId, 'REVOKED'],
      [second.grantId, 'REVOKED'],
    ])
  })

  it('needs grant:revoke, and one that is narrowed to wallets reaches those alone', async () => {
    const { needs, wallets, key } = await scene()
    const overEvm = await createGrant(needs, alice, over(EVM))
    const all = await createGrant(needs, bob, allOf('bob'))
    const reader = await key([may('wallet:read')])
    expect(await reasonOf(() => revokeGrant(needs, reader, overEvm))).toBe('PERMISSION_MISSING')
    const narrow = await key([may('grant:revoke', { wallets: [wallets.evm.walletId, wallets.bobs.walletId] })])
    expect(await reasonOf(() => revokeGrant(needs, narrow, all))).toBe('PERMISSION_MISSING')
    const elsewhere = await key([may('grant:revoke', { wallets: [wallets.solana.walletId] })])
    expect(await reasonOf(() => revokeGrant(needs, elsewhere, overEvm))).toBe('GRANT_NOT_FOUND')
    expect((await revokeGrant(needs, narrow, overEvm)).state).toBe('revoked')
  })

  it('twice at once ends it once, and stops what is in flight', async () => {
    const { needs, rows } = await scene()
    const grant = await createGrant(needs, alice, allOf('alice'))
    const passage = needs.fences.enter([{ scope: 'grant', id: grant.grantId }])
    const revoking = Promise.all([revokeGrant(needs, alice, grant), revokeGrant(needs, alice, grant)])
    expect(await reasonOf(() => passage.check())).toBe('GRANT_REVOKED')
    expect(rows('grant.revoked')).toEqual([])
    passage.leave()
    expect((await revoking).map(({ state }) => state)).toEqual(['revoked', 'revoked'])
    expect(rows('grant.revoked')).toHaveLength(1)
  })

  it('of what is over changes nothing', async () => {
    const { needs, passTime, rows } = await scene()
    const grant = await createGrant(needs, alice, allOf('alice', NOW + 10))
    passTime(10)
    expect(await revokeGrant(needs, alice, grant)).toMatchObject({ state: 'expired', revokeTimeMs: undefined })
    expect(rows('grant.revoked')).toEqual([])
  })
})

describe('reading', () => {
  it("finds one's own: another user's and another project's do not exist", async () => {
    const { needs, key, list } = await scene()
    const grant = await createGrant(needs, alice, allOf('alice'))
    const own = [alice, await key([may('wallet:read')]), await key([may('grant:revoke')])]
    for (const call of own) expect(getGrant(needs, call, grant).grantId).toBe(grant.grantId)
    const strangers = [bob, callOf(person('alice', OTHER)), await key([may('wallet:read'), may('grant:revoke')], OTHER)]
    for (const call of strangers) {
      expect(await reasonOf(() => getGrant(needs, call, grant))).toBe('GRANT_NOT_FOUND')
      expect(await reasonOf(() => revokeGrant(needs, call, grant))).toBe('GRANT_NOT_FOUND')
      expect(list(call).items).toEqual([])
    }
    for (const grantId of ['', 'grant_1', `grant_${'0'.repeat(32)}`]) {
      expect(await reasonOf(() => getGrant(needs, alice, { grantId }))).toBe('GRANT_NOT_FOUND')
    }
    expect(list(bob, { userId: 'alice' }).items).toEqual([])
  })

  it('by a key that is narrowed to wallets finds what covers them', async () => {
    const { needs, wallets, key, list } = await scene()
    const overEvm = await createGrant(needs, alice, over(EVM))
    const overSolana = await createGrant(needs, alice, over(SOLANA))
    const all = await createGrant(needs, bob, allOf('bob'))
    const narrow = await key([may('wallet:read', { wallets: [wallets.evm.walletId, wallets.bobs.walletId, wallets.project.walletId] })])
    expect(getGrant(needs, narrow, overEvm).address).toBe(EVM)
    expect(getGrant(needs, narrow, all).userId).toBe('bob')
    expect(await reasonOf(() => getGrant(needs, narrow, overSolana))).toBe('GRANT_NOT_FOUND')
    expect(await reasonOf(() => list(narrow))).toBe('PERMISSION_MISSING')
  })

  it('lists in pages, by user, address and what grants are now', async () => {
    const { needs, key, list, passTime } = await scene()
    const [evm, solana, all] = [
      await createGrant(needs, alice, over(EVM)),
      await createGrant(needs, alice, over(SOLANA, NOW + 10)),
      await createGrant(needs, bob, allOf('bob')),
    ]
    passTime(10)
    await revokeGrant(needs, bob, all)
    const project = await key([may('wallet:read')])
    const ids = (filter: object) => list(project, filter).items.map(({ grantId }) => grantId)
    expect(ids({})).toEqual([evm.grantId, solana.grantId, all.grantId])
    expect(ids({ userId: 'bob' })).toEqual([all.grantId])
    expect(ids({ address: EVM.toLowerCase() })).toEqual([evm.grantId])
    expect(ids({ state: 'active' })).toEqual([evm.grantId])
    expect(ids({ state: 'expired' })).toEqual([solana.grantId])
    expect(ids({ state: 'revoked' })).toEqual([all.grantId])
    const first = list(project, { pageSize: 2 })
    expect(first.items).toHaveLength(2)
    expect(list(project, { pageSize: 2, cursor: first.nextCursor }).items.map(({ grantId }) => grantId)).toEqual([all.grantId])
    expect(list(alice).items).toHaveLength(2)
  })
})

describe('the sweep', () => {
  it('ends what is over and nothing else, however much it is', async () => {
    const { vault, needs, ended, rows, passTime, list, key } = await scene()
    for (let at = 0; at < 250; at++) await createGrant(needs, callOf(person(`user${at}`)), allOf(`user${at}`, NOW + 5 + (at % 2)))
    const grantEnded = needs.grantEnded
    expect(await endExpiredGrants(vault, NOW + 4, grantEnded)).toBe(0)
    expect(await endExpiredGrants(vault, NOW + 5, grantEnded)).toBe(125)
    passTime(5)
    expect(list(await key([may('wallet:read')]), { state: 'active', pageSize: 500 }).items).toHaveLength(125)
    expect(await endExpiredGrants(vault, NOW + 6, grantEnded)).toBe(125)
    expect(await endExpiredGrants(vault, NOW + DAY_MS, grantEnded)).toBe(0)
    expect(ended).toHaveLength(250)
    expect(rows('grant.expired')).toHaveLength(250)
  })
})
