import { randomBytes } from 'node:crypto'
import { expect, test } from 'vitest'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { openCell, openShare, sealCell, sealShare } from '../../src/vault/sealed-record.ts'
import type { CellPlace, SealedCell, SealedShare } from '../../src/vault/sealed-record.ts'
import { activateShare, getShare, listShares, nextRecordVersion } from '../../src/vault/wallet-shares.ts'
import { makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const KEY = randomBytes(32)
const PLACE: CellPlace = {
  vaultId: randomBytes(16),
  table: 'wallet_shares',
  rowId: randomBytes(16),
  column: 'record',
  schemaVersion: 1,
  recordVersion: 7n,
  header: randomBytes(45),
}
const PLAIN = randomBytes(251)

const flip = (bytes: Uint8Array, at: number): Uint8Array => {
  const out = Uint8Array.from(bytes)
  out[at] = out[at]! ^ 0x80
  return out
}

test('a sealed cell opens where it was sealed', () => {
  expect(Buffer.from(openCell(KEY, PLACE, sealCell(KEY, PLACE, PLAIN)))).toEqual(PLAIN)
  expect(openCell(KEY, PLACE, sealCell(KEY, PLACE, new Uint8Array(0)))).toHaveLength(0)
})

test('a sealed cell opens nowhere else', async () => {
  const cell = sealCell(KEY, PLACE, PLAIN)
  const elsewhere: Partial<CellPlace>[] = [
    { vaultId: randomBytes(16) },
    { table: 'links' },
    { rowId: randomBytes(16) },
    { column: 'header' },
    { schemaVersion: 2 },
    { recordVersion: 6n },
    { recordVersion: 8n },
    { header: flip(PLACE.header!, 3) },
    { header: undefined },
  ]
  for (const changed of elsewhere) {
    const attempt = () => openCell(KEY, { ...PLACE, ...changed }, cell)
    expect(await reasonOf(attempt), Object.keys(changed)[0]).toBe('VAULT_CORRUPT')
  }
  expect(await reasonOf(() => openCell(randomBytes(32), PLACE, cell))).toBe('VAULT_CORRUPT')
})

test('every bit of a sealed cell matters', async () => {
  const cell = sealCell(KEY, PLACE, PLAIN.subarray(0, 8))
  for (const part of ['wrappedKey', 'nonce', 'ciphertext'] as const) {
    for (let at = 0; at < cell[part].length; at++) {
      const altered = { ...cell, [part]: flip(cell[part], at) }
      expect(await reasonOf(() => openCell(KEY, PLACE, altered)), `${part} byte ${at}`).toBe('VAULT_CORRUPT')
    }
    for (const cut of [cell[part].subarray(1), cell[part].subarray(0, -1), new Uint8Array(0)]) {
      expect(await reasonOf(() => openCell(KEY, PLACE, { ...cell, [part]: cut })), part).toBe('VAULT_CORRUPT')
    }
  }
})

test('a data key or a ciphertext of another version of the same row does not fit', async () => {
  const old = sealCell(KEY, { ...PLACE, recordVersion: 6n }, PLAIN)
  const now = sealCell(KEY, PLACE, PLAIN)
  const mixes: SealedCell[] = [
    { ...now, wrappedKey: old.wrappedKey },
    { ...now, nonce: old.nonce, ciphertext: old.ciphertext },
    old,
  ]
  for (const mixed of mixes) expect(await reasonOf(() => openCell(KEY, PLACE, mixed))).toBe('VAULT_CORRUPT')
})

const LINK = randomBytes(16)

const shareOf = (
  vaultId: Uint8Array,
  shareKey: Uint8Array,
  walletId: Uint8Array,
  recordVersion = 1n,
): SealedShare =>
  sealShare(shareKey, { vaultId, walletId, wEpoch: 0, recordVersion, header: randomBytes(45) }, randomBytes(251))

test('a share is stored and opened again in at most 512 bytes', async () => {
  const vault = await makeVault()
  const shareKey = vault.shareKey()
  const walletId = randomBytes(16)
  const record = randomBytes(251)
  expect(nextRecordVersion(vault.read, walletId)).toBe(1n)
  const place = { vaultId: vault.vaultId, walletId, wEpoch: 0, recordVersion: 1n, header: record.subarray(0, 45) }
  const share = sealShare(shareKey, place, record)
  await vault.commit((tx) => activateShare(tx, { share, linkId: LINK, state: 'ACTIVE', timeMs: NOW }))
  const stored = getShare(vault.read, walletId)!
  expect(Buffer.from(openShare(shareKey, vault.vaultId, stored))).toEqual(record)
  const bytes = vault.read.one<{ size: bigint }>(
    `SELECT sum(length(wallet_id) + length(link_id) + length(header) + length(wrapped_key) + length(nonce)
       + length(ciphertext) + length(state)) + 40 AS size FROM wallet_shares`,
  )!
  expect(Number(bytes.size)).toBeLessThanOrEqual(512)
  expect(nextRecordVersion(vault.read, walletId)).toBe(2n)
})

test('swapping any two cells of two wallets is noticed', async () => {
  for (const column of ['wrapped_key', 'nonce', 'ciphertext', 'header']) {
    const vault = await makeVault()
    const shareKey = vault.shareKey()
    for (const walletId of [randomBytes(16), randomBytes(16)]) {
      const share = shareOf(vault.vaultId, shareKey, walletId)
      await vault.commit((tx) => activateShare(tx, { share, linkId: LINK, state: 'ACTIVE', timeMs: NOW }))
    }
    await vault.close()
    tamper(vault.place.path, (db) => {
      const [a, b] = db.prepare(`SELECT wallet_id AS id, ${column} AS cell FROM wallet_shares`).all() as {
        id: Buffer
        cell: Buffer
      }[]
      const put = db.prepare(`UPDATE wallet_shares SET ${column} = ? WHERE wallet_id = ?`)
      put.run(a!.cell, b!.id)
      put.run(b!.cell, a!.id)
    })
    const again = await openVaultAt(vault.place)
    for (const share of listShares(again.read, { limit: 10 })) {
      const attempt = () => openShare(shareKey, again.vaultId, share)
      expect(await reasonOf(attempt), `${column} of ${walletIdFromBytes(share.walletId)}`).toBe('VAULT_CORRUPT')
    }
  }
})

test('a record version never falls', async () => {
  const vault = await makeVault()
  const shareKey = vault.shareKey()
  const walletId = randomBytes(16)
  const activate = (recordVersion: bigint) => {
    const share = shareOf(vault.vaultId, shareKey, walletId, recordVersion)
    return vault.commit((tx) => activateShare(tx, { share, linkId: LINK, state: 'ACTIVE', timeMs: NOW }))
  }
  await activate(5n)
  await expect(activate(5n)).rejects.toThrow(/version/)
  await expect(activate(4n)).rejects.toThrow(/version/)
  await activate(6n)
})
