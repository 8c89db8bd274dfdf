/** External wallets are under the state index: what they were does not come back with an older row. */
import { copyFileSync } from 'node:fs'
import { expect, it } from 'vitest'
import { parseUserId } from '../../src/domain/ids.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import {
  externalWalletsOf,
  type NewExternalWallet,
  registerExternalWallet,
  setExternalWalletState,
} from '../../src/vault/external-wallets.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { moveStateIndex, rowLeaf } from '../../src/vault/state-index.ts'
import { makeVault, NOW, openVaultAt, reasonOf, tamper } from './fixture.ts'

const ALICE = parseUserId('alice')!
const ADDRESS = '0x52908400098527886E0F7030069857D2E4169EE7'

const wallet = (changes: Partial<NewExternalWallet> = {}): NewExternalWallet => ({
  project: DEFAULT_PROJECT, userId: ALICE, network: 'linea', currency: 'usdc', address: ADDRESS, tokenAddress: ADDRESS, decimals: 6,
  spender: ADDRESS, limitUnits: 5n, transactionHash: `0x${'12'.repeat(32)}`, replaces: undefined, nowMs: NOW, ...changes,
})

const register = (vault: DaemonVault, changes: Partial<NewExternalWallet> = {}) => vault.commit((tx) => registerExternalWallet(tx, wallet(changes)))

/** The rows as they were before `change`, put back over what it left. */
const putBack = async (change: (vault: DaemonVault, id: string) => Promise<unknown>) => {
  const vault = await makeVault()
  const { externalWalletId } = await register(vault)
  await vault.close()
  const { place } = vault
  copyFileSync(place.path, `${place.path}.old`)
  const later = await openVaultAt(place)
  await change(later, externalWalletId)
  await later.close()
  tamper(place.path, (db) => {
    db.prepare('ATTACH ? AS old').run(`${place.path}.old`)
    db.exec('DELETE FROM external_wallets; INSERT INTO external_wallets SELECT * FROM old.external_wallets; DETACH old')
  })
  return place
}

it.each<[string, (vault: DaemonVault, id: string) => Promise<unknown>]>([
  ['one that was taken back', (vault, id) => vault.commit((tx) => setExternalWalletState(tx, id, 'REVOKED', NOW))],
  ['one that was replaced', (vault) => register(vault, { limitUnits: 1n })],
  ['one that was removed from the file', (vault) => register(vault, { currency: 'usdt' })],
])('%s and is put back is noticed', async (_name, change) => {
  const place = await putBack(change)
  expect(await reasonOf(() => openDaemonVault({ ...place, nowMs: NOW }))).toBe('VAULT_CORRUPT')
})

it('one of an older vault has no leaf until it changes, and is none the worse for it', async () => {
  const vault = await makeVault()
  const { externalWalletId: id } = await register(vault)
  // As version 3 left it: the row, and nothing of it in the index.
  await vault.commit((tx) => {
    const { mac } = tx.one<{ mac: Buffer }>('SELECT mac FROM external_wallets')!
    moveStateIndex(tx, { subject: { type: 'external_wallet', id }, removed: [rowLeaf(tx, 'external_wallets', [id, mac])], added: [], details: {} })
    tx.run('UPDATE external_wallets SET indexed = 0')
  })
  await vault.close()
  const again = await openVaultAt(vault.place)
  await again.commit((tx) => setExternalWalletState(tx, id, 'REVOKED', NOW))
  await again.close()
  const last = await openVaultAt(vault.place)
  expect(externalWalletsOf(last.read, DEFAULT_PROJECT, ALICE).map(({ state }) => state)).toEqual(['REVOKED'])
  await last.close()
  tamper(vault.place.path, (db) => db.exec('UPDATE external_wallets SET indexed = 0'))
  expect(await reasonOf(() => openDaemonVault({ ...vault.place, nowMs: NOW }))).toBe('VAULT_CORRUPT')
})
