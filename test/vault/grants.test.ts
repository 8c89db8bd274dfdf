import { hash } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import type { FailureReason } from '../../src/domain/failure.ts'
import { parseGrantId, parseProjectId, parseUserId, parseWalletId } from '../../src/domain/ids.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import {
  expireGrants,
  expireGrantsOfUser,
  getGrant,
  type GrantedWallet,
  insertGrant,
  isGrantDue,
  listGrants,
  type NewGrant,
  requireActiveGrant,
  requireGrant,
  revokeAllGrants,
  revokeGrant,
  stateAt,
} from '../../src/vault/grants.ts'
import { DEFAULT_PROJECT, insertProject, updateProject } from '../../src/vault/projects.ts'
import { makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const ALICE = parseUserId('alice')!
const BOB = parseUserId('bob')!
const OTHER = parseProjectId('other')!
const EVM = '0x52908400098527886E0F7030069857D2E4169EE7'
const EVM_2 = '0x8617E340B3D01FA5F11F306F4090FD50E238070D'
const SOLANA = 'So11111111111111111111111111111111111111112'
const DAY_MS = 86_400_000

const walletOf = (address = EVM, userId = ALICE, project = DEFAULT_PROJECT): GrantedWallet => ({
  project,
  userId,
  address,
  walletId: parseWalletId(`wal_${hash('md5', `${project} ${userId} ${address}`)}`)!,
})

const newGrant = (changes: Partial<NewGrant> = {}): NewGrant => ({
  project: DEFAULT_PROJECT,
  userId: ALICE,
  address: undefined,
  expireMs: NOW + DAY_MS,
  nowMs: NOW,
  ...changes,
})

const makeEnabled = async () => {
  const vault = await makeVault()
  await vault.commit((tx) => {
    insertProject(tx, { projectId: OTHER, name: 'other', settings: { delegation_enabled: true }, nowMs: NOW })
    updateProject(tx, DEFAULT_PROJECT, { settings: { delegation_enabled: true } }, { nowMs: NOW })
  })
  return vault
}

const insert = (vault: DaemonVault, changes: Partial<NewGrant> = {}) =>
  vault.commit((tx) => insertGrant(tx, newGrant(changes)))

const use = (vault: DaemonVault, wallet = walletOf(), nowMs = NOW): string => {
  try {
    return requireActiveGrant(vault.read, wallet, nowMs).grantId
  } catch (error) {
    return (error as { reason: FailureReason }).reason
  }
}

test('a grant over all wallets covers each of one end user in one project, until its time', async () => {
  const vault = await makeEnabled()
  expect(use(vault)).toBe('GRANT_NOT_FOUND')
  const { grantId } = await insert(vault)
  expect(parseGrantId(grantId)).toBe(grantId)
  for (const address of [EVM, EVM_2, SOLANA]) expect(use(vault, walletOf(address))).toBe(grantId)
  expect(use(vault, walletOf(EVM, BOB))).toBe('GRANT_NOT_FOUND')
  expect(use(vault, walletOf(EVM, ALICE, OTHER))).toBe('GRANT_NOT_FOUND')
  expect(use(vault, walletOf(), NOW + DAY_MS - 1)).toBe(grantId)
  expect(use(vault, walletOf(), NOW + DAY_MS)).toBe('GRANT_EXPIRED')
})

test('a grant over an address covers that one: EVM in any letter case, Solana exactly', async () => {
  const vault = await makeEnabled()
  const { grantId } = await insert(vault, { address: EVM })
  expect(use(vault, walletOf(EVM.toLowerCase()))).toBe(grantId)
  expect(use(vault, walletOf(EVM_2))).toBe('GRANT_NOT_AUTHORIZED')
  expect(use(vault, walletOf(SOLANA))).toBe('GRANT_NOT_AUTHORIZED')
  const solana = await insert(vault, { address: SOLANA })
  expect(use(vault, walletOf(SOLANA))).toBe(solana.grantId)
  expect(use(vault, walletOf(SOLANA.toLowerCase()))).toBe('GRANT_NOT_AUTHORIZED')
  expect(use(vault, walletOf(EVM, BOB))).toBe('GRANT_NOT_FOUND')
})

test('what another grant stands in the way of is told with its scope', async () => {
  const vault = await makeEnabled()
  const byAddress = await insert(vault, { address: EVM })
  for (const address of [EVM, EVM.toLowerCase(), undefined]) {
    await expect(insert(vault, { address })).rejects.toMatchObject({
      reason: 'GRANT_ALREADY_EXISTS',
      facts: { grantId: byAddress.grantId, scope: 'address' },
    })
  }
  await insert(vault, { address: EVM_2 })
  const bobs = await insert(vault, { userId: BOB })
  for (const address of [EVM, undefined]) {
    await expect(insert(vault, { userId: BOB, address })).rejects.toMatchObject({
      reason: 'GRANT_ALREADY_EXISTS',
      facts: { grantId: bobs.grantId, scope: 'user' },
    })
  }
  await insert(vault, { project: OTHER })
})

test('of a hundred creations at once one is made', async () => {
  const vault = await makeEnabled()
  const outcomes = await Promise.allSettled(
    Array.from({ length: 100 }, (_, at) => insert(vault, at % 2 === 0 ? {} : { address: EVM })),
  )
  expect(outcomes.filter(({ status }) => status === 'fulfilled')).toHaveLength(1)
  for (const outcome of outcomes) {
    if (outcome.status === 'rejected') expect(outcome.reason).toMatchObject({ reason: 'GRANT_ALREADY_EXISTS' })
  }
  expect(listGrants(vault.read, { project: DEFAULT_PROJECT, nowMs: NOW, limit: 500 })).toHaveLength(1)
})

test('a revoked grant is over for good, and revoking it again changes nothing', async () => {
  const vault = await makeEnabled()
  const { grantId } = await insert(vault)
  const revoke = (nowMs: number) => vault.commit((tx) => revokeGrant(tx, grantId, nowMs))
  expect(await revoke(NOW + 5)).toMatchObject({ ended: true, grant: { state: 'REVOKED', endMs: NOW + 5 } })
  expect(use(vault)).toBe('GRANT_REVOKED')
  expect(await revoke(NOW + 9)).toMatchObject({ ended: false, grant: { state: 'REVOKED', endMs: NOW + 5 } })
  expect(use(vault, walletOf(), NOW + 2 * DAY_MS)).toBe('GRANT_REVOKED')
  const second = await insert(vault, { address: EVM })
  expect(use(vault)).toBe(second.grantId)
  expect(use(vault, walletOf(EVM_2))).toBe('GRANT_REVOKED')
})

test('the newest of the ended grants says why there is none', async () => {
  const vault = await makeEnabled()
  const first = await insert(vault, { expireMs: NOW + 10 })
  await vault.commit((tx) => expireGrants(tx, NOW + 10, 10))
  expect(use(vault, walletOf(), NOW + 10)).toBe('GRANT_EXPIRED')
  const second = await insert(vault, { address: EVM, nowMs: NOW + 10 })
  await vault.commit((tx) => revokeGrant(tx, second.grantId, NOW + 20))
  expect(use(vault, walletOf(), NOW + 20)).toBe('GRANT_REVOKED')
  expect(use(vault, walletOf(EVM_2), NOW + 20)).toBe('GRANT_EXPIRED')
  expect(requireGrant(vault.read, first.grantId, DEFAULT_PROJECT)).toMatchObject({ state: 'EXPIRED', endMs: NOW + 10 })
})

test('grants whose time is over end when they are looked for, in order, and make room', async () => {
  const vault = await makeEnabled()
  const [one, two, three] = [
    await insert(vault, { expireMs: NOW + 30 }),
    await insert(vault, { userId: BOB, expireMs: NOW + 20 }),
    await insert(vault, { project: OTHER, expireMs: NOW + 99 }),
  ]
  expect(isGrantDue(vault.read, NOW + 19)).toBe(false)
  expect(isGrantDue(vault.read, NOW + 20)).toBe(true)
  expect(await reasonOf(() => insert(vault, { nowMs: NOW + 50 }))).toBe('GRANT_ALREADY_EXISTS')
  const ended = await vault.commit((tx) => expireGrants(tx, NOW + 50, 1))
  expect(ended).toMatchObject([{ grantId: two.grantId, state: 'EXPIRED', endMs: NOW + 50 }])
  expect(await vault.commit((tx) => expireGrantsOfUser(tx, DEFAULT_PROJECT, ALICE, NOW + 50))).toMatchObject([
    { grantId: one.grantId },
  ])
  expect(isGrantDue(vault.read, NOW + 98)).toBe(false)
  await insert(vault, { nowMs: NOW + 50 })
  expect(stateAt(three, NOW + 98)).toBe('ACTIVE')
  expect(stateAt(three, NOW + 99)).toBe('EXPIRED')
  const late = await vault.commit((tx) => revokeGrant(tx, three.grantId, NOW + 99))
  expect(late.grant.state).toBe('EXPIRED')
})

test('every grant can be ended at once, as a restore does that no longer knows which were taken back', async () => {
  const vault = await makeEnabled()
  const [one, two, late] = [
    await insert(vault),
    await insert(vault, { userId: BOB, address: EVM }),
    await insert(vault, { project: OTHER, expireMs: NOW + 10 }),
  ]
  const before = await vault.commit((tx) => revokeGrant(tx, one.grantId, NOW))
  const ended = await vault.commit((tx) => revokeAllGrants(tx, NOW + 10))
  expect(ended.map(({ grantId, state }) => [grantId, state])).toEqual([
    [two.grantId, 'REVOKED'],
    [late.grantId, 'EXPIRED'],
  ])
  expect(getGrant(vault.read, one.grantId)).toEqual(before.grant)
  expect(await vault.commit((tx) => revokeAllGrants(tx, NOW + 20))).toEqual([])
})

test('a project that has not turned delegation on hears that first', async () => {
  const vault = await makeEnabled()
  const { grantId } = await insert(vault)
  const turn = (on: boolean) =>
    vault.commit((tx) => updateProject(tx, DEFAULT_PROJECT, { settings: { delegation_enabled: on } }, { nowMs: NOW }))
  expect(use(vault)).toBe(grantId)
  await turn(false)
  expect(use(vault)).toBe('DELEGATION_NOT_ENABLED')
  expect(use(vault, walletOf(EVM, BOB))).toBe('DELEGATION_NOT_ENABLED')
  await vault.commit((tx) => revokeGrant(tx, grantId, NOW))
  expect(use(vault)).toBe('DELEGATION_NOT_ENABLED')
  await turn(true)
  expect(use(vault)).toBe('GRANT_REVOKED')
  const fresh = await makeVault()
  expect(use(fresh)).toBe('DELEGATION_NOT_ENABLED')
})

test('a change that is rolled back was never there', async () => {
  const vault = await makeEnabled()
  const { grantId } = await insert(vault)
  const attempt = vault.commit((tx) => {
    revokeGrant(tx, grantId, NOW)
    expect(() => requireActiveGrant(tx, walletOf(), NOW)).toThrow(/revoked/)
    throw new Error('not this time')
  })
  await expect(attempt).rejects.toThrow('not this time')
  expect(use(vault)).toBe(grantId)
})

test("another project's and another user's grants do not exist", async () => {
  const vault = await makeEnabled()
  const { grantId } = await insert(vault)
  expect(requireGrant(vault.read, grantId, DEFAULT_PROJECT, ALICE).grantId).toBe(grantId)
  expect(await reasonOf(() => requireGrant(vault.read, grantId, OTHER))).toBe('GRANT_NOT_FOUND')
  expect(await reasonOf(() => requireGrant(vault.read, grantId, DEFAULT_PROJECT, BOB))).toBe('GRANT_NOT_FOUND')
  const unknown = parseGrantId(`grant_${'0'.repeat(32)}`)!
  expect(await reasonOf(() => requireGrant(vault.read, unknown, DEFAULT_PROJECT))).toBe('GRANT_NOT_FOUND')
  expect(await reasonOf(() => vault.commit((tx) => revokeGrant(tx, unknown, NOW)))).toBe('GRANT_NOT_FOUND')
})

test('grants are listed in pages, by user, address and what they are at the time', async () => {
  const vault = await makeEnabled()
  const all = [
    await insert(vault, { address: EVM }),
    await insert(vault, { address: SOLANA, expireMs: NOW + 10 }),
    await insert(vault, { userId: BOB }),
  ]
  await insert(vault, { project: OTHER })
  await vault.commit((tx) => revokeGrant(tx, all[2]!.grantId, NOW))
  const list = (filter: object = {}) =>
    listGrants(vault.read, { project: DEFAULT_PROJECT, nowMs: NOW + 10, limit: 2, ...filter }).map(({ grantId }) =>
      all.findIndex((grant) => grant.grantId === grantId),
    )
  expect(list()).toEqual([0, 1])
  expect(list({ after: all[1]!.number })).toEqual([2])
  expect(list({ userId: BOB })).toEqual([2])
  expect(list({ address: EVM.toLowerCase() })).toEqual([0])
  expect([list({ state: 'ACTIVE' }), list({ state: 'EXPIRED' }), list({ state: 'REVOKED' })]).toEqual([[0], [1], [2]])
})

test('a row altered in the file is refused, wherever it would count', async () => {
  for (const edit of [`expire_ms = expire_ms + 1`, `user_id = 'bob'`, `address = '', address_key = ''`, `project = 'other'`]) {
    const vault = await makeEnabled()
    const { grantId } = await insert(vault, { address: EVM })
    await vault.close()
    tamper(vault.place.path, (db) => db.exec(`UPDATE grants SET ${edit}`))
    const again = await openVaultAt(vault.place)
    expect(await reasonOf(() => getGrant(again.read, grantId)), edit).toBe('VAULT_CORRUPT')
    const wallets = [walletOf(), walletOf(EVM, BOB), walletOf(EVM, ALICE, OTHER)]
    expect(wallets.map((wallet) => use(again, wallet)), edit).not.toContain(grantId)
  }
})

test('a revocation undone in the file is noticed when the vault is opened', async () => {
  const vault = await makeEnabled()
  const { grantId } = await insert(vault)
  await vault.close()
  const old = `${vault.place.path}.old`
  copyFileSync(vault.place.path, old)
  const later = await openVaultAt(vault.place)
  await later.commit((tx) => revokeGrant(tx, grantId, NOW))
  await later.close()
  tamper(vault.place.path, (db) => {
    db.prepare('ATTACH ? AS old').run(old)
    db.exec('DELETE FROM grants; INSERT INTO grants SELECT * FROM old.grants')
    db.exec('DETACH old')
  })
  expect(await reasonOf(() => openDaemonVault({ ...vault.place, nowMs: NOW }))).toBe('VAULT_CORRUPT')
})
