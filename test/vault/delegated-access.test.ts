import { randomBytes } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { expect, test } from 'vitest'
import { accessIdFromBytes, parseUserId, type ProjectId, type RequestId, walletIdFromBytes } from '../../src/domain/ids.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import {
  accessOfRequest,
  accessStateAt,
  changeDelegatedAccess,
  dueAccess,
  findAccessByApiKey,
  generateWalletApiKey,
  getDelegatedAccess,
  insertDelegatedAccess,
  listDelegatedAccess,
  openAccess,
  walletApiKeyMac,
} from '../../src/vault/delegated-access.ts'
import { type Delegate, insertDelegate, listDelegates, requireDelegate, rotateDelegateKey } from '../../src/vault/delegates.ts'
import { DEFAULT_PROJECT, insertProject } from '../../src/vault/projects.ts'
import { makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const bytes = (length: number): Uint8Array => Uint8Array.from(randomBytes(length))
const IDENTITY = bytes(32)

const register = (vault: DaemonVault, name = 'bots', identityKey = IDENTITY, project: ProjectId = DEFAULT_PROJECT) => {
  const key = { kid: 'k1', publicKey: bytes(422) }
  return vault.commit((tx) => insertDelegate(tx, { project, name, identityKey, webhookId: undefined, key, nowMs: NOW }))
}

const give = async (vault: DaemonVault, { delegateId }: Delegate, expireMs = NOW + 1_000) => {
  const apiKey = generateWalletApiKey().reveal()
  const accessId = accessIdFromBytes(bytes(16))
  await vault.commit((tx) =>
    insertDelegatedAccess(tx, {
      accessId,
      project: DEFAULT_PROJECT,
      walletId: walletIdFromBytes(bytes(16)),
      userId: parseUserId('alice')!,
      delegateId,
      kid: 'k1',
      linkId: bytes(16),
      terms: { operations: ['message'], narrowing: { chains: ['eip155:1'], max_per_day: { 'eip155:1/native': '5' } } },
      expireMs,
      grantId: undefined,
      publicShares: bytes(32),
      caller: 'key_1',
      requestId: '3f3b6f0e-4d7e-4a0f-9f2b-0d0b7d9a1c11' as RequestId,
      createMs: NOW,
      apiKeyMac: walletApiKeyMac(vault.read, apiKey)!,
    }),
  )
  return { accessId, apiKey }
}

test('a delegate is known once in a project, by name and identity, and a kid is given once', async () => {
  const vault = await makeVault()
  const delegate = await register(vault)
  expect(delegate).toMatchObject({ name: 'bots', keys: [{ kid: 'k1', state: 'ACTIVE' }] })
  expect(await reasonOf(() => register(vault, 'others'))).toBe('DELEGATE_ALREADY_EXISTS')
  expect(await reasonOf(() => register(vault, 'bots', bytes(32)))).toBe('DELEGATE_ALREADY_EXISTS')
  await vault.commit((tx) => insertProject(tx, { projectId: 'other' as ProjectId, name: 'other', nowMs: NOW }))
  const theirs = await register(vault, 'bots', IDENTITY, 'other' as ProjectId)
  expect(await reasonOf(() => requireDelegate(vault.read, theirs.delegateId, DEFAULT_PROJECT))).toBe('DELEGATE_NOT_FOUND')

  const next = { kid: 'k2', publicKey: bytes(422) }
  const rotated = await vault.commit((tx) => rotateDelegateKey(tx, delegate, next, NOW + 1))
  expect(rotated.keys.map(({ kid, state, retireMs }) => [kid, state, retireMs])).toEqual([
    ['k2', 'ACTIVE', undefined],
    ['k1', 'RETIRED', NOW + 1],
  ])
  const again = [next, { kid: 'k1', publicKey: bytes(422) }, { kid: 'k3', publicKey: next.publicKey }]
  for (const key of again) {
    expect(await reasonOf(() => vault.commit((tx) => rotateDelegateKey(tx, delegate, key, NOW)))).toBe('DELEGATE_ALREADY_EXISTS')
  }
  expect(listDelegates(vault.read, { project: DEFAULT_PROJECT, limit: 9 })).toEqual([rotated])
})

test('an access goes on in its life and never back', async () => {
  const vault = await makeVault()
  const { accessId, apiKey } = await give(vault, await register(vault))
  const change = (state: 'PENDING' | 'ACTIVE') => vault.commit((tx) => changeDelegatedAccess(tx, accessId, { state }, NOW + 5))
  expect(getDelegatedAccess(vault.read, accessId)).toMatchObject({ state: 'MAKING', terms: { operations: ['message'] } })
  expect((await change('ACTIVE')).changed).toBe(false)
  expect((await change('PENDING')).changed).toBe(true)
  expect((await change('ACTIVE')).access).toMatchObject({ state: 'ACTIVE', activateMs: NOW + 5 })
  expect(findAccessByApiKey(vault.read, apiKey)?.accessId).toBe(accessId)
  expect(findAccessByApiKey(vault.read, generateWalletApiKey().reveal())).toBeUndefined()
  expect(findAccessByApiKey(vault.read, `${apiKey}A`)).toBeUndefined()
  const end = { state: 'REVOKED', reason: 'project' } as const
  const ended = await vault.commit((tx) => changeDelegatedAccess(tx, accessId, end, NOW + 6))
  expect(ended).toMatchObject({ changed: true, access: { state: 'REVOKED', endMs: NOW + 6, endReason: 'project' } })
  for (const state of ['PENDING', 'ACTIVE'] as const) expect((await change(state)).changed).toBe(false)
  expect(getDelegatedAccess(vault.read, accessId)?.state).toBe('REVOKED')
  expect(openAccess(vault.read)).toEqual([])
  const missing = accessIdFromBytes(bytes(16))
  expect(await reasonOf(() => vault.commit((tx) => changeDelegatedAccess(tx, missing, end, NOW)))).toBe('DELEGATED_ACCESS_NOT_FOUND')
})

test('time ends an access whether or not it was written down', async () => {
  const vault = await makeVault()
  const delegate = await register(vault)
  const [short, long] = [await give(vault, delegate, NOW + 10), await give(vault, delegate, NOW + 20)]
  const access = getDelegatedAccess(vault.read, short.accessId)!
  expect([NOW + 9, NOW + 10].map((at) => accessStateAt(access, at))).toEqual(['MAKING', 'EXPIRED'])
  const page = { project: DEFAULT_PROJECT, limit: 9 }
  expect(listDelegatedAccess(vault.read, { ...page, openAtMs: NOW + 10 }).map(({ accessId }) => accessId)).toEqual([long.accessId])
  expect(listDelegatedAccess(vault.read, { ...page, userId: parseUserId('bob')! })).toEqual([])
  expect(dueAccess(vault.read, NOW + 10, 9).map(({ accessId }) => accessId)).toEqual([short.accessId])
  expect(accessOfRequest(vault.read, 'key_1', access.requestId!)?.accessId).toBe(long.accessId)
})

test('a row that was altered, or put back to before its end, is noticed', async () => {
  const vault = await makeVault()
  const { accessId } = await give(vault, await register(vault))
  const before = `${vault.place.path}.before`
  await vault.close()
  copyFileSync(vault.place.path, before)
  const reopened = await openVaultAt(vault.place)
  await reopened.commit((tx) => changeDelegatedAccess(tx, accessId, { state: 'REVOKED', reason: 'user' }, NOW))
  await reopened.close()
  tamper(vault.place.path, (db) => {
    db.prepare('ATTACH ? AS old').run(before)
    db.exec('DELETE FROM delegated_access')
    db.exec('INSERT INTO delegated_access SELECT * FROM old.delegated_access')
  })
  expect(await reasonOf(() => openVaultAt(vault.place))).toBe('VAULT_CORRUPT')
  copyFileSync(before, vault.place.path)
  tamper(vault.place.path, (db) => db.exec(`UPDATE delegated_access SET expire_ms = expire_ms + 1`))
  const altered = await openVaultAt(vault.place)
  expect(await reasonOf(() => getDelegatedAccess(altered.read, accessId))).toBe('VAULT_CORRUPT')
})
