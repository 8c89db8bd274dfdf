/** The cosigner's register on disk: who can write the file adds no secret, brings none back, and takes none away unnoticed. */
import { randomBytes } from 'node:crypto'
import type Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { addApproval, dropApprovals, spendConsent, takeApproval } from '../../src/vault/consents.ts'
import { openCosignerVault, type CosignerVault } from '../../src/vault/cosigner-vault.ts'
import {
  deleteOwnerSecret,
  getOwnerSecret,
  getWalletOwner,
  insertOwnerSecret,
  insertWalletOwner,
  listOwnerSecrets,
  rebindOwnerSecrets,
} from '../../src/vault/owner-register.ts'
import { verifyStateIndex } from '../../src/vault/state-index.ts'
import { event, makeCosignerVault, makePlace, NOW, type Place, reasonOf, tamper } from './fixture.ts'

const OWNER = { project: 'default', userId: 'anna' }
const WALLET = new Uint8Array(randomBytes(16))
const SECRET = { ...OWNER, secretId: new Uint8Array(randomBytes(32)), publicKey: new Uint8Array(91).fill(4), bindMs: NOW }

const filled = async (): Promise<{ readonly place: Place; readonly vault: CosignerVault }> => {
  const place = makePlace()
  const vault = await makeCosignerVault(place)
  await vault.commit((tx) => {
    insertWalletOwner(tx, { ...OWNER, walletId: WALLET, createMs: NOW })
    insertOwnerSecret(tx, { ...SECRET, boundBy: 'first_wallet' })
    addApproval(tx, { approvalId: new Uint8Array(16), walletId: WALLET, keyDigest: new Uint8Array(32), expireMs: NOW }, NOW)
  })
  return { place, vault }
}

const openAgain = async (place: Place): Promise<void> => {
  await (await openCosignerVault({ ...place, nowMs: NOW })).close()
}

const edits: readonly [string, (db: Database.Database) => void][] = [
  ["a wallet's owner changed", (db) => db.exec(`UPDATE wallet_owners SET user_id = 'mallory'`)],
  ["a wallet's owner taken away", (db) => db.exec('DELETE FROM wallet_owners')],
  ['a secret taken away', (db) => db.exec('DELETE FROM owner_secrets')],
  ["a secret given to another user", (db) => db.exec(`UPDATE owner_secrets SET user_id = 'mallory'`)],
  ['an approval given again', (db) => db.exec(`INSERT INTO operator_approvals SELECT randomblob(16), wallet_id, key_digest, expire_ms, mac FROM operator_approvals`)],
]

for (const [what, edit] of edits) {
  test(`${what} in the file is noticed when it is opened`, async () => {
    const { place, vault } = await filled()
    await vault.close()
    await openAgain(place)
    tamper(place.path, edit)
    expect(await reasonOf(() => openAgain(place))).toBe('VAULT_CORRUPT')
  })
}

test('a secret made older, or another key put under its name, verifies no more', async () => {
  for (const set of ['bind_ms = 0', `public_key = zeroblob(91)`, `bound_by = 'operator'`]) {
    const { place, vault } = await filled()
    await vault.close()
    tamper(place.path, (db) => db.exec(`UPDATE owner_secrets SET ${set}`))
    await using opened = await openCosignerVault({ ...place, nowMs: NOW })
    expect(await reasonOf(() => getOwnerSecret(opened.read, OWNER, SECRET.secretId))).toBe('VAULT_CORRUPT')
  }
})

test('a secret that was removed and is put back as it was is noticed', async () => {
  const { place, vault } = await filled()
  await vault.close()
  let row: unknown
  tamper(place.path, (db) => (row = db.prepare('SELECT * FROM owner_secrets').get()))
  await using opened = await openCosignerVault({ ...place, nowMs: NOW })
  await opened.commit((tx) => deleteOwnerSecret(tx, OWNER, SECRET.secretId, NOW))
  await opened.close()
  tamper(place.path, (db) => {
    const names = Object.keys(row as object)
    db.prepare(`INSERT INTO owner_secrets (${names.join()}) VALUES (${names.map(() => '?').join()})`).run(...Object.values(row as object))
  })
  expect(await reasonOf(() => openAgain(place))).toBe('VAULT_CORRUPT')
})

test('the register goes on under a new root, and a nonce or approval that was used stays so', async () => {
  const { place, vault } = await filled()
  const nonce = new Uint8Array(randomBytes(32))
  expect(await vault.commit((tx) => spendConsent(tx, nonce, NOW + 1))).toBe(true)
  expect(await vault.commit((tx) => takeApproval(tx, new Uint8Array(16), NOW))).toBeDefined()
  await vault.rotateRoot({ provider: place.provider, renewsProvider: false, event: event('test.rotated') })
  await vault.close()
  await using opened = await openCosignerVault({ ...place, nowMs: NOW })
  expect(getWalletOwner(opened.read, WALLET)).toMatchObject(OWNER)
  expect(listOwnerSecrets(opened.read, OWNER)).toHaveLength(1)
  expect(await opened.commit((tx) => spendConsent(tx, nonce, NOW + 1))).toBe(false)
  expect(await opened.commit((tx) => takeApproval(tx, new Uint8Array(16), NOW))).toBeUndefined()
})

test('after a restore every secret waits anew and no approval is left', async () => {
  const { vault } = await filled()
  await vault.commit((tx) => {
    expect(rebindOwnerSecrets(tx, NOW + 7)).toBe(1)
    dropApprovals(tx, NOW + 7)
  })
  expect(listOwnerSecrets(vault.read, OWNER)).toMatchObject([{ ...OWNER, boundBy: 'restore', bindMs: NOW + 7 }])
  expect(await vault.commit((tx) => takeApproval(tx, new Uint8Array(16), NOW))).toBeUndefined()
  verifyStateIndex(vault.read)
})
