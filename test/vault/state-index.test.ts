import { randomBytes } from 'node:crypto'
import { copyFileSync } from 'node:fs'
import Database from 'better-sqlite3'
import { expect, test } from 'vitest'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { createApiKey, listApiKeys, revokeApiKey } from '../../src/vault/api-keys.ts'
import { auditHead, requireRememberedHead } from '../../src/vault/audit-chain.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { addFreeze, removeFreeze } from '../../src/vault/freezes.ts'
import type { FreezeRow } from '../../src/vault/freezes.ts'
import { insertImportedAccess, setImportedState } from '../../src/vault/imported-accesses.ts'
import { addStrike, clearStrikes, getLink, listLinks, listStrikes, saveLink } from '../../src/vault/links.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { openShare, sealShare } from '../../src/vault/sealed-record.ts'
import type { Tx } from '../../src/vault/store.ts'
import {
  activateShare,
  deleteShares,
  dropPendingShare,
  getShare,
  listPendingShares,
  listShares,
  nextRecordVersion,
  raiseLastUsedEpoch,
  savePendingShare,
  setShareState,
} from '../../src/vault/wallet-shares.ts'
import { insertWallet, setWalletState } from '../../src/vault/wallets.ts'
import { makeVault, newWallet, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'
import type { Place } from './fixture.ts'

const WALLET = randomBytes(16)
const LINK = randomBytes(16)
const ACCESS = randomBytes(16)

const seal = (vault: DaemonVault, walletId: Uint8Array, wEpoch: number, record = randomBytes(251)) =>
  sealShare(
    vault.shareKey(),
    {
      vaultId: vault.vaultId,
      walletId,
      wEpoch,
      recordVersion: nextRecordVersion(vault.read, walletId),
      header: record.subarray(0, 45),
    },
    record,
  )

const activate = (vault: DaemonVault, walletId: Uint8Array, wEpoch = 0): Promise<void> => {
  const share = seal(vault, walletId, wEpoch)
  return vault.commit((tx) => activateShare(tx, { share, linkId: LINK, state: 'ACTIVE', timeMs: NOW }))
}

const FREEZE: FreezeRow = {
  scope: 'all',
  id: '',
  reason: 'incident',
  actor: { kind: 'operator', id: '' },
  createMs: NOW,
}

const insertRows = (tx: Tx): void => {
  createApiKey(tx, { project: DEFAULT_PROJECT, name: 'k', permissions: [], nowMs: NOW })
  addFreeze(tx, FREEZE)
  insertWallet(tx, newWallet({ walletId: walletIdFromBytes(WALLET) }))
  const address = '0x52908400098527886E0F7030069857D2E4169EE7'
  const imported = { accessId: ACCESS, project: DEFAULT_PROJECT, keyType: 'secp256k1', address, publicKey: new Uint8Array(0), userId: '', state: 'ACTIVE' } as const
  // What another system made gives its place to what a daemon delegates.
  insertImportedAccess(tx, { ...imported, grantingId: undefined, grantedMs: NOW, createMs: NOW })
  insertImportedAccess(tx, { ...imported, grantingId: randomBytes(32), grantedMs: NOW, createMs: NOW })
}

const control = (state: 1 | 2 | 3, lEpoch = 1): Uint8Array => {
  const bytes = Buffer.alloc(187)
  bytes[0] = 1
  bytes[3] = state
  bytes.set(LINK, 4)
  bytes.writeUInt32LE(lEpoch, 20)
  return bytes
}

/** The table as it was, put back over what the vault did since. */
const replay = async (
  tables: readonly string[],
  change: (vault: DaemonVault) => Promise<unknown>,
): Promise<Place> => {
  const vault = await makeVault()
  await activate(vault, WALLET)
  await activate(vault, randomBytes(16))
  await vault.commit((tx) => saveLink(tx, control(1), NOW))
  await vault.commit(insertRows)
  await vault.close()
  const old = `${vault.place.path}.old`
  copyFileSync(vault.place.path, old)
  const later = await openVaultAt(vault.place)
  await change(later)
  await later.close()
  tamper(vault.place.path, (db) => {
    db.prepare('ATTACH ? AS old').run(old)
    for (const table of tables) db.exec(`DELETE FROM ${table}; INSERT INTO ${table} SELECT * FROM old.${table}`)
    db.exec('DETACH old')
  })
  return vault.place
}

const refused = async (place: Place): Promise<void> => {
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_CORRUPT')
}

test('an erased share put back is noticed', async () => {
  await refused(await replay(['wallet_shares'], (vault) => vault.commit((tx) => deleteShares(tx, WALLET, NOW))))
})

test('an older epoch of a share put back is noticed', async () => {
  await refused(await replay(['wallet_shares'], (vault) => activate(vault, WALLET, 1)))
})

test('a suspension undone is noticed', async () => {
  const suspend = (vault: DaemonVault) => vault.commit((tx) => setShareState(tx, WALLET, 'SUSPENDED', NOW))
  await refused(await replay(['wallet_shares'], suspend))
})

test('a burn undone is noticed', async () => {
  await refused(await replay(['links'], (vault) => vault.commit((tx) => saveLink(tx, control(3), NOW))))
})

test('a revoked API key put back is noticed', async () => {
  const revoke = (vault: DaemonVault) =>
    vault.commit((tx) => {
      const [key] = listApiKeys(tx, { project: DEFAULT_PROJECT, limit: 1 })
      return revokeApiKey(tx, key!.keyId, { nowMs: NOW })
    })
  await refused(await replay(['api_keys'], revoke))
})

test('delegated access that is over, or was suspended, made to sign again is noticed', async () => {
  for (const state of ['REVOKED', 'SUSPENDED'] as const) {
    const end = (vault: DaemonVault) => vault.commit((tx) => setImportedState(tx, ACCESS, state, NOW))
    await refused(await replay(['imported_accesses'], end))
  }
})

test('a suspended wallet made active is noticed', async () => {
  const suspend = (vault: DaemonVault) =>
    vault.commit((tx) => setWalletState(tx, walletIdFromBytes(WALLET), 'SUSPENDED'))
  await refused(await replay(['wallets'], suspend))
})

test('a freeze removed from the file, or a lifted one put back, is noticed', async () => {
  const freeze = (vault: DaemonVault) =>
    vault.commit((tx) => addFreeze(tx, { ...FREEZE, scope: 'project', id: 'default' }))
  await refused(await replay(['freezes'], freeze))
  await refused(await replay(['freezes'], (vault) => vault.commit((tx) => removeFreeze(tx, FREEZE))))
})

test('rows put back together with their index are noticed', async () => {
  const burn = (vault: DaemonVault) => vault.commit((tx) => saveLink(tx, control(3), NOW))
  await refused(await replay(['links', 'state_index'], burn))
})

test('rows put back with the index and the audit rows cut off are noticed by who remembers the head', async () => {
  let head = { sequence: 0n, hash: new Uint8Array(32) as Uint8Array }
  const place = await replay(['links', 'state_index', 'audit', 'intents'], async (vault) => {
    await vault.commit((tx) => saveLink(tx, control(3), NOW))
    head = auditHead(vault.read)
  })
  const vault = await openVaultAt(place)
  expect(await reasonOf(() => requireRememberedHead(vault.read, head))).toBe('VAULT_ROLLED_BACK')
})

test('without anything put back the vault opens', async () => {
  const burn = (vault: DaemonVault) => vault.commit((tx) => saveLink(tx, control(3), NOW))
  const vault = await openVaultAt(await replay([], burn))
  expect(getLink(vault.read, LINK)?.state).toBe('BURNED')
})

test('removed and added rows are noticed', async () => {
  const edits = [
    'DELETE FROM wallet_shares WHERE wallet_id = (SELECT min(wallet_id) FROM wallet_shares)',
    `INSERT INTO wallet_shares SELECT zeroblob(16), slot, link_id, w_epoch, state, 0, NULL, 1, header, wrapped_key,
       nonce, ciphertext FROM wallet_shares LIMIT 1`,
    'DELETE FROM links',
    'DELETE FROM state_index',
    'UPDATE wallet_shares SET record_version = record_version + 1',
    'UPDATE state_index SET version = version + 1',
    'UPDATE state_index SET accumulator = zeroblob(32)',
  ]
  for (const sql of edits) {
    const vault = await makeVault()
    await activate(vault, WALLET)
    await vault.commit((tx) => saveLink(tx, control(1), NOW))
    await vault.close()
    tamper(vault.place.path, (db: Database.Database) => db.exec(sql))
    await refused(vault.place)
  }
})

test('a control row altered in place is refused when it is read', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => saveLink(tx, control(3), NOW))
  await vault.close()
  tamper(vault.place.path, (db) => db.prepare('UPDATE links SET control = ?').run(control(1)))
  const again = await openVaultAt(vault.place)
  expect(await reasonOf(() => getLink(again.read, LINK))).toBe('VAULT_CORRUPT')
  expect(await reasonOf(() => listLinks(again.read))).toBe('VAULT_CORRUPT')
})

test('a two-phase switch: pending beside current, then one record', async () => {
  const vault = await makeVault()
  await activate(vault, WALLET)
  await vault.commit((tx) => raiseLastUsedEpoch(tx, [WALLET], 4))
  const sid = randomBytes(32)
  const pending = seal(vault, WALLET, 1)
  await vault.commit((tx) => savePendingShare(tx, { share: pending, linkId: LINK, sid, timeMs: NOW }))
  expect(getShare(vault.read, WALLET)?.wEpoch).toBe(0)
  expect(listPendingShares(vault.read).map((share) => share.pendingSid)).toEqual([sid])
  await vault.commit((tx) => dropPendingShare(tx, WALLET, NOW))
  expect(listPendingShares(vault.read)).toEqual([])

  const record = randomBytes(251)
  const again = seal(vault, WALLET, 1, record)
  await vault.commit((tx) => savePendingShare(tx, { share: again, linkId: LINK, sid, timeMs: NOW }))
  const final = seal(vault, WALLET, 1, record)
  await vault.commit((tx) => activateShare(tx, { share: final, linkId: LINK, state: 'ACTIVE', timeMs: NOW }))
  const rows = listShares(vault.read, { limit: 10 })
  expect(rows.map(({ wEpoch, state, slot, lastUsedEpoch }) => ({ wEpoch, state, slot, lastUsedEpoch }))).toEqual([
    { wEpoch: 1, state: 'ACTIVE', slot: 'current', lastUsedEpoch: 4 },
  ])
  expect(Buffer.from(openShare(vault.shareKey(), vault.vaultId, rows[0]!))).toEqual(record)
  await vault.close()
  await openVaultAt(vault.place)
})

test('last used epochs only rise', async () => {
  const vault = await makeVault()
  await activate(vault, WALLET)
  for (const lEpoch of [3, 9, 5]) await vault.commit((tx) => raiseLastUsedEpoch(tx, [WALLET], lEpoch))
  expect(getShare(vault.read, WALLET)?.lastUsedEpoch).toBe(9)
})

test('shares are listed in pages and by link', async () => {
  const vault = await makeVault()
  for (let n = 0; n < 7; n++) await activate(vault, randomBytes(16))
  const seen: string[] = []
  for (let page = listShares(vault.read, { limit: 3 }); page.length > 0;
    page = listShares(vault.read, { limit: 3, after: page.at(-1) })) {
    seen.push(...page.map((share) => Buffer.from(share.walletId).toString('hex')))
  }
  expect(seen).toHaveLength(7)
  expect(new Set(seen).size).toBe(7)
  expect(listShares(vault.read, { limit: 10, linkId: LINK })).toHaveLength(7)
  expect(listShares(vault.read, { limit: 10, linkId: randomBytes(16) })).toHaveLength(0)
})

test('strikes are counted from a time on and cleared', async () => {
  const vault = await makeVault()
  await vault.commit((tx) => {
    addStrike(tx, LINK, { timeMs: 100, what: 'bad point' })
    addStrike(tx, LINK, { timeMs: 200, what: 'bad conf' })
  })
  expect(listStrikes(vault.read, LINK, 150)).toEqual([{ timeMs: 200, what: 'bad conf' }])
  expect(listStrikes(vault.read, LINK, 0)).toHaveLength(2)
  await vault.commit((tx) => clearStrikes(tx, LINK))
  expect(listStrikes(vault.read, LINK, 0)).toEqual([])
})
