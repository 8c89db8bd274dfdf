import { randomBytes } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { createApiKey } from '../../src/vault/api-keys.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { sealShare } from '../../src/vault/sealed-record.ts'
import type { SharePlace } from '../../src/vault/sealed-record.ts'
import { activateShare, deleteShares } from '../../src/vault/wallet-shares.ts'
import { makeVault, NOW } from './fixture.ts'

/** Every spelling in which a secret could have been written down. */
const spellings = (secret: Uint8Array): Buffer[] => {
  const bytes = Buffer.from(secret)
  const texts = [bytes.toString('hex'), bytes.toString('hex').toUpperCase(), bytes.toString('base64'),
    bytes.toString('base64url'), BigInt(`0x${bytes.toString('hex')}`).toString()]
  return [bytes, Buffer.from(bytes.toReversed()), ...texts.map((text) => Buffer.from(text.replaceAll('=', '')))]
}

/**
 * The vault's files as they are on disk now. The vault is closed or of no further use: reading drops its locks.
 */
const filesOf = (dir: string): Buffer =>
  Buffer.concat(
    readdirSync(dir)
      .filter((name) => name !== 'root.key')
      .map((name) => readFileSync(join(dir, name))),
  )

const placeOf = (vaultId: Uint8Array, walletId: Uint8Array): SharePlace => ({
  vaultId,
  walletId,
  wEpoch: 0,
  recordVersion: 1n,
  header: randomBytes(45),
})

test('no share, root key or API key secret is in any file of the vault, open or closed', async () => {
  const vault = await makeVault()
  const secrets: Uint8Array[] = [vault.shareKey()]
  for (let n = 0; n < 20; n++) {
    const record = randomBytes(251)
    const place = placeOf(vault.vaultId, randomBytes(16))
    const share = sealShare(vault.shareKey(), place, record)
    secrets.push(record.subarray(45, 77))
    await vault.commit((tx) => activateShare(tx, { share, linkId: randomBytes(16), state: 'ACTIVE', timeMs: NOW }))
  }
  const { secret } = await vault.commit((tx) =>
    createApiKey(tx, { project: DEFAULT_PROJECT, name: 'k', permissions: [], nowMs: NOW }),
  )
  secrets.push(Buffer.from(secret.reveal().slice(21), 'base64url'))
  const rootKey = Buffer.from(readFileSync(join(vault.place.dir, 'root.key'), 'ascii').trim(), 'hex')
  secrets.push(rootKey)
  const control = Buffer.from('vault.state_changed')
  const open = filesOf(vault.place.dir)
  await vault.close()
  const closed = filesOf(vault.place.dir)
  for (const files of [open, closed]) {
    expect(files.includes(control)).toBe(true)
    for (const value of secrets) {
      for (const spelling of spellings(value)) expect(files.includes(spelling)).toBe(false)
    }
  }
})

test('a deleted share is gone from every file after the erasure, its wrapped key included', async () => {
  const vault = await makeVault()
  const walletId = randomBytes(16)
  const place = placeOf(vault.vaultId, walletId)
  const share = sealShare(vault.shareKey(), place, randomBytes(251))
  const traces = [share.ciphertext, share.wrappedKey, share.nonce].map((bytes) => Buffer.from(bytes))
  await vault.commit((tx) => activateShare(tx, { share, linkId: randomBytes(16), state: 'ACTIVE', timeMs: NOW }))
  vault.eraseDeleted()
  await vault.commit((tx) => deleteShares(tx, walletId, NOW))
  vault.eraseDeleted()
  const files = filesOf(vault.place.dir)
  for (const trace of traces) expect(files.includes(trace)).toBe(false)
})

test('without the erasure the deleted share is still in a file: the check above can fail', async () => {
  const vault = await makeVault()
  const walletId = randomBytes(16)
  const place = placeOf(vault.vaultId, walletId)
  const share = sealShare(vault.shareKey(), place, randomBytes(251))
  await vault.commit((tx) => activateShare(tx, { share, linkId: randomBytes(16), state: 'ACTIVE', timeMs: NOW }))
  await vault.commit((tx) => deleteShares(tx, walletId, NOW))
  expect(filesOf(vault.place.dir).includes(Buffer.from(share.wrappedKey))).toBe(true)
})
