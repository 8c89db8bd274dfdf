import { randomBytes } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import type { ProjectId, UserId } from '../../src/domain/ids.ts'
import { auditHead } from '../../src/vault/audit-chain.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { sealRestored } from '../../src/vault/restore-state.ts'
import { useToken } from '../../src/vault/used-token-ids.ts'
import {
  deleteEveryWalletSecret,
  deleteWalletSecret,
  listWalletSecrets,
  putWalletSecret,
  requireWalletSecret,
} from '../../src/vault/wallet-secrets.ts'
import { makePlace, makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const ALICE = { project: DEFAULT_PROJECT, userId: 'alice' as UserId }
const BOB = { project: DEFAULT_PROJECT, userId: 'bob' as UserId }

const put = (vault: DaemonVault, walletSecretId: string, holder = ALICE, publicKey = new Uint8Array(randomBytes(91))) =>
  vault.commit((tx) =>
    putWalletSecret(tx, { ...holder, walletSecretId, publicKey, validUntilMs: NOW + 1_000, createMs: NOW }),
  )
const names = (vault: DaemonVault, holder = ALICE) => listWalletSecrets(vault.read, holder).map((one) => one.walletSecretId)

test('a user has five, the oldest goes, the same id replaces', async () => {
  const vault = await makeVault()
  for (const name of ['a', 'b', 'c', 'd', 'e']) expect(await put(vault, name)).toEqual([])
  await put(vault, 'a', BOB)
  expect((await put(vault, 'b')).map(({ walletSecretId }) => walletSecretId)).toEqual(['b'])
  expect(names(vault)).toEqual(['a', 'c', 'd', 'e', 'b'])
  expect((await put(vault, 'f')).map(({ walletSecretId }) => walletSecretId)).toEqual(['a'])
  expect(names(vault)).toEqual(['c', 'd', 'e', 'b', 'f'])
  expect(names(vault, BOB)).toEqual(['a'])
  await vault.commit((tx) => deleteWalletSecret(tx, ALICE, 'c'))
  expect(names(vault)).toEqual(['d', 'e', 'b', 'f'])
  expect(await reasonOf(() => vault.commit((tx) => deleteWalletSecret(tx, ALICE, 'c')))).toBe('WALLET_SECRET_NOT_FOUND')
  const unknown = { project: 'nobody' as ProjectId, userId: ALICE.userId }
  expect(await reasonOf(() => put(vault, 'x', unknown))).toBe('PROJECT_NOT_FOUND')
})

test('one that was shown stands while it is the same key and its time lasts', async () => {
  const vault = await makeVault()
  await put(vault, 'a')
  const shown = listWalletSecrets(vault.read, ALICE)[0]!
  const stands = (nowMs = NOW) => requireWalletSecret(vault.read, ALICE, shown, nowMs)
  expect(stands(NOW + 999)).toEqual(shown)
  expect(await reasonOf(() => stands(NOW + 1_000))).toBe('WALLET_SECRET_EXPIRED')
  expect(await reasonOf(() => requireWalletSecret(vault.read, BOB, shown, NOW))).toBe('WALLET_SECRET_NOT_FOUND')
  await put(vault, 'a')
  expect(await reasonOf(() => stands())).toBe('WALLET_SECRET_NOT_FOUND')
})

test('a row that was altered is refused, one that was put back or slipped in is noticed', async () => {
  const place = makePlace()
  const vault = await makeVault(place)
  await put(vault, 'a')
  await put(vault, 'b')
  await vault.close()
  const copy = join(place.dir, 'kept.sqlite')
  copyFileSync(place.path, copy)

  const longer = `UPDATE wallet_secrets SET valid_until_ms = valid_until_ms + 1 WHERE wallet_secret_id = 'a'`
  tamper(place.path, (db) => db.exec(longer))
  const altered = await openVaultAt(place)
  expect(await reasonOf(() => names(altered))).toBe('VAULT_CORRUPT')
  await altered.close()

  copyFileSync(copy, place.path)
  const revoking = await openVaultAt(place)
  await revoking.commit((tx) => deleteWalletSecret(tx, ALICE, 'a'))
  await revoking.close()
  const back = `INSERT INTO wallet_secrets SELECT * FROM old.wallet_secrets WHERE wallet_secret_id = 'a'`
  tamper(place.path, (db) => db.exec(`ATTACH '${copy}' AS old; ${back}`))
  expect(await reasonOf(() => openVaultAt(place))).toBe('VAULT_CORRUPT')
})

test('a token is used once under its key, and forgotten when it is of no use any more', async () => {
  const vault = await makeVault()
  const publicKey = randomBytes(91)
  const use = (tokenId: string, untilMs = NOW + 1_000, nowMs = NOW, key: Uint8Array = publicKey) =>
    vault.commit((tx) => useToken(tx, { publicKey: key, tokenId, issuedMs: NOW, untilMs }, nowMs))
  expect(await use('one')).toBe(true)
  expect(await use('one')).toBe(false)
  expect(await use('one', NOW + 1_000, NOW, randomBytes(91))).toBe(true)
  const raced = await Promise.all(Array.from({ length: 20 }, () => use('two')))
  expect(raced.filter(Boolean)).toHaveLength(1)
  for (let at = 0; at < 10; at++) await use(`later-${at}`, NOW + 5_000, NOW + 2_000)
  const count = vault.read.one<{ n: bigint }>('SELECT count(*) AS n FROM used_token_ids')?.n
  expect(count).toBe(10n)
})

test('a restore takes wallet secrets away when it is acknowledged, and counts tokens from before as used', async () => {
  const vault = await makeVault()
  await put(vault, 'a')
  await put(vault, 'a', BOB)
  const head = auditHead(vault.read)
  const manifest = {
    vaultIdHex: Buffer.from(vault.vaultId).toString('hex'),
    setIdHex: '00'.repeat(16),
    epoch: 1,
    auditSequence: head.sequence,
    auditHashHex: Buffer.from(head.hash).toString('hex'),
    createMs: NOW,
  } as Parameters<typeof sealRestored>[1]['manifest']
  await vault.commit((tx) => sealRestored(tx, { manifest, restoreIdHex: '00'.repeat(16), nowMs: NOW + 10 }))
  const use = (issuedMs: number) =>
    vault.commit((tx) => useToken(tx, { publicKey: randomBytes(91), tokenId: 'fresh-token', issuedMs, untilMs: NOW + 60_000 }, NOW + 20))
  expect(await use(NOW + 9)).toBe(false)
  expect(await use(NOW + 10)).toBe(true)
  expect(await vault.commit((tx) => deleteEveryWalletSecret(tx))).toHaveLength(2)
  expect(names(vault)).toEqual([])
  expect(names(vault, BOB)).toEqual([])
})
