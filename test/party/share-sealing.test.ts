/** A seal whose key was overwritten judges no record: a party that is being closed must not stop healthy wallets. */
import { randomBytes } from 'node:crypto'
import { describe, expect, it } from 'vitest'
import { ProtocolFault } from '../../src/engine/dkls23/fault.ts'
import { createCosignerStore } from '../../src/party/cosigner-store.ts'
import { systemClock } from '../../src/party/entropy.ts'
import { sealRecord, ShareSeal } from '../../src/party/share-sealing.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { makeCosignerVault, reasonOf } from '../vault/fixture.ts'
import { twoParties } from './two-parties.ts'

const makeRecord = async () => {
  const { newWallets, storeS } = await twoParties()
  const [walletId] = await newWallets(1)
  const record = walletId === undefined ? undefined : await storeS.loadWallet(walletId)
  if (record === undefined) throw new Error('no record')
  return record
}

describe('a closed seal', () => {
  it('neither opens nor seals, and quarantines nothing', async () => {
    const record = await makeRecord()
    const { walletId, wEpoch } = record
    const vault = await makeCosignerVault()
    const key = new Uint8Array(randomBytes(32))
    const seal = new ShareSeal(key, vault.vaultId)
    const store = createCosignerStore(vault, seal, systemClock)
    await store.savePending({ sid: new Uint8Array(32), records: [{ ...record, share: record.share.slice() }] })
    await store.activate(walletId, wEpoch)
    expect((await store.loadWallet(walletId))?.state).toBe('ACTIVE')
    seal.close()
    expect(key).toEqual(new Uint8Array(32))
    expect(await reasonOf(() => store.loadWallet(walletId))).toBe('SHUTTING_DOWN')
    expect(getShare(vault.read, walletId)?.state).toBe('ACTIVE')
    expect(await reasonOf(() => sealRecord(seal, record, 9n))).toBe('SHUTTING_DOWN')
  })

  it('is told from a record that is damaged', async () => {
    const record = await makeRecord()
    const { walletId, wEpoch } = record
    const vault = await makeCosignerVault()
    const shareKey = new Uint8Array(randomBytes(32))
    const store = createCosignerStore(vault, new ShareSeal(shareKey, vault.vaultId), systemClock)
    await store.savePending({ sid: new Uint8Array(32), records: [{ ...record, share: record.share.slice() }] })
    await store.activate(walletId, wEpoch)
    shareKey.fill(7)
    await expect(store.loadWallet(walletId)).rejects.toBeInstanceOf(ProtocolFault)
    expect(getShare(vault.read, walletId)?.state).toBe('QUARANTINED')
  })
})

it('an activation that comes twice at once is one', async () => {
  const record = await makeRecord()
  const { walletId, wEpoch } = record
  const vault = await makeCosignerVault()
  const store = createCosignerStore(vault, new ShareSeal(new Uint8Array(randomBytes(32)), vault.vaultId), systemClock)
  await store.savePending({ sid: new Uint8Array(32), records: [{ ...record, share: record.share.slice() }] })
  await Promise.all([store.activate(walletId, wEpoch), store.activate(walletId, wEpoch)])
  expect((await store.loadWallet(walletId))?.state).toBe('ACTIVE')
})

it('undecided records are known without reading all shares, and forgotten when they are given up', async () => {
  const record = await makeRecord()
  const { walletId } = record
  const vault = await makeCosignerVault()
  const seal = new ShareSeal(new Uint8Array(randomBytes(32)), vault.vaultId)
  const store = createCosignerStore(vault, seal, systemClock)
  await store.savePending({ sid: new Uint8Array(32), records: [{ ...record, share: record.share.slice() }] })
  expect(await store.pendingWallets()).toHaveLength(1)
  // As after a restart: from what is durable.
  expect(await createCosignerStore(vault, seal, systemClock).pendingWallets()).toHaveLength(1)
  await store.abandonPending(new Uint8Array(16))
  expect(await store.pendingWallets()).toHaveLength(1)
  await store.abandonPending(walletId)
  expect(await store.pendingWallets()).toEqual([])
  expect(getShare(vault.read, walletId, 'pending')).toBeUndefined()
})
