import { randomBytes } from 'node:crypto'
import { copyFileSync, existsSync, readFileSync, rmSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import type { RequestId } from '../../src/domain/ids.ts'
import { authenticateApiKey, createApiKey } from '../../src/vault/api-keys.ts'
import { verifyAuditChain } from '../../src/vault/audit-chain.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { openDaemonVault } from '../../src/vault/daemon-vault.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { claimRequest, finishRequest } from '../../src/vault/requests.ts'
import { createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { openShare, sealShare } from '../../src/vault/sealed-record.ts'
import { activateShare, getShare, listShares } from '../../src/vault/wallet-shares.ts'
import { event, makeVault, NOW, type Place, reasonOf } from './fixture.ts'

const keyPath = (place: Place): string => join(place.dir, 'root.key')
const rotation = (place: Place) => ({ provider: place.provider, renewsProvider: true, event: event('vault.key_rotated') })
const reopen = (place: Place): Promise<DaemonVault> => openDaemonVault({ ...place, nowMs: NOW })

const seal = (vault: DaemonVault, record: Uint8Array, walletId: Uint8Array = randomBytes(16)) =>
  sealShare(
    vault.shareKey(),
    { vaultId: vault.vaultId, walletId, wEpoch: 0, recordVersion: 1n, header: randomBytes(45) },
    record,
  )

const store = async (vault: DaemonVault, share: ReturnType<typeof seal>): Promise<void> => {
  const linkId = new Uint8Array(16)
  await vault.commit((tx) => activateShare(tx, { share, linkId, state: 'ACTIVE', timeMs: NOW }))
}

const openAll = (vault: DaemonVault): string[] =>
  listShares(vault.read, { limit: 10_000 }).map((share) =>
    Buffer.from(openShare(vault.shareKey(), vault.vaultId, share)).toString('hex'),
  )

const filled = async (count = 5) => {
  const vault = await makeVault()
  const records = Array.from({ length: count }, () => randomBytes(251))
  for (const record of records) await store(vault, seal(vault, record))
  const texts = records.map((record) => record.toString('hex')).sort()
  return { vault, place: vault.place, texts }
}

it('everything opens, verifies and works after a rotation, at once and after the next open', async () => {
  const { vault, place, texts } = await filled()
  const { secret } = await vault.commit((tx) =>
    createApiKey(tx, { project: DEFAULT_PROJECT, name: 'k', permissions: { grants: [] }, nowMs: NOW }),
  )
  const key = { caller: 'c', method: 'm', requestId: '00000000-0000-4000-8000-000000000000' as RequestId }
  await vault.commit((tx) => claimRequest(tx, key, new Uint8Array(32), NOW))
  await vault.commit((tx) => finishRequest(tx, key, Buffer.from('kept')))
  for (let round = 0; round < 3; round++) {
    await vault.rotateRoot(rotation(place))
    expect(openAll(vault).sort()).toEqual(texts)
    expect(await vault.rewrapShares()).toBe(5)
    expect(await vault.rewrapShares()).toBe(0)
    expect(openAll(vault).sort()).toEqual(texts)
    expect(authenticateApiKey(vault.read, secret.reveal(), NOW).name).toBe('k')
    const again = await vault.commit((tx) => claimRequest(tx, key, new Uint8Array(32), NOW))
    expect(again).toEqual({ kind: 'done', response: expect.any(Uint8Array) })
    expect(Buffer.from((again as { response: Uint8Array }).response).toString()).toBe('kept')
  }
  const checkpoint = vault.signer.publicKey
  await vault.close()
  await using opened = await reopen(place)
  expect(openAll(opened).sort()).toEqual(texts)
  expect(opened.shareKey()).toHaveLength(32)
  expect(authenticateApiKey(opened.read, secret.reveal(), NOW).name).toBe('k')
  expect(opened.signer.publicKey).toEqual(checkpoint)
  expect((await verifyAuditChain(opened.read)).intact).toBe(true)
  await opened.rotateRoot(rotation(place))
  expect(openAll(opened).sort()).toEqual(texts)
})

it('the old key file opens nothing afterwards, and no key of the old root seals what comes', async () => {
  const { vault, place, texts } = await filled()
  const oldKey = join(place.dir, 'old.key')
  copyFileSync(keyPath(place), oldKey)
  const oldShareKey = vault.shareKey()
  const oldRow = readFileSync(keyPath(place))
  await vault.rotateRoot(rotation(place))
  expect(readFileSync(keyPath(place)).equals(oldRow)).toBe(false)
  expect(statSync(keyPath(place)).mode & 0o777).toBe(0o600)
  expect(existsSync(`${keyPath(place)}.next`)).toBe(false)
  const fresh = seal(vault, randomBytes(251))
  expect(await reasonOf(() => openShare(oldShareKey, vault.vaultId, fresh))).toBe('VAULT_CORRUPT')
  const walletId = listShares(vault.read, { limit: 1 })[0]!.walletId
  const current = () => getShare(vault.read, walletId)!
  openShare(oldShareKey, vault.vaultId, current())
  await vault.rewrapShares()
  expect(await reasonOf(() => openShare(oldShareKey, vault.vaultId, current()))).toBe('VAULT_CORRUPT')
  await vault.close()
  const withOld = { ...place, provider: createRootKeyProvider(`file:${oldKey}`) }
  expect(await reasonOf(() => reopen(withOld))).toBe('ROOT_KEY_WRONG')
  await using opened = await reopen(place)
  expect(openAll(opened).sort()).toEqual(texts)
})

it('a record sealed before the rotation and stored after it still opens, also after a restart', async () => {
  const { vault, place, texts } = await filled(1)
  const late = randomBytes(251)
  const sealedEarly = seal(vault, late)
  await vault.rotateRoot(rotation(place))
  await vault.rewrapShares()
  await store(vault, sealedEarly)
  const expected = [...texts, late.toString('hex')].sort()
  expect(openAll(vault).sort()).toEqual(expected)
  await vault.close()
  await using opened = await reopen(place)
  expect(opened.shareKey()).toHaveLength(32)
  expect(openAll(opened).sort()).toEqual(expected)
})

it('a rotation that is refused changes nothing', async () => {
  const { vault, place, texts } = await filled(2)
  const before = readFileSync(keyPath(place))
  const failing = { ...place.provider, renew: undefined, wrap: () => Promise.reject(new Error('away')) }
  await expect(vault.rotateRoot({ ...rotation(place), provider: failing })).rejects.toThrow('away')
  const renewing = {
    ...place.provider,
    renew: async (wrapped: Uint8Array, aad: Uint8Array) => ({
      ...(await place.provider.renew!(wrapped, aad)),
      wrap: () => Promise.reject(new Error('away')),
    }),
  }
  await expect(vault.rotateRoot({ ...rotation(place), provider: renewing })).rejects.toThrow('away')
  expect(existsSync(`${keyPath(place)}.next`)).toBe(false)
  expect(readFileSync(keyPath(place)).equals(before)).toBe(true)
  expect(openAll(vault).sort()).toEqual(texts)
  await vault.close()
  await using opened = await reopen(place)
  expect(openAll(opened).sort()).toEqual(texts)
})

it('a passphrase that its owner has wiped wraps nothing', async () => {
  const { vault } = await filled(1)
  const provider = createRootKeyProvider('passphrase:', { passphrase: new Uint8Array(12) })
  const attempt = () => vault.rotateRoot({ provider, renewsProvider: true, event: event() })
  expect(await reasonOf(attempt)).toBe('ROOT_KEY_UNREADABLE')
})

it('a copy taken before the records were brought along opens under the new root', async () => {
  const { vault, place, texts } = await filled(3)
  await vault.rotateRoot(rotation(place))
  const path = join(place.dir, 'copied.db')
  await vault.copyTo(path)
  await vault.rewrapShares()
  await using copied = await reopen({ ...place, path })
  expect(openAll(copied).sort()).toEqual(texts)
  expect(copied.shareKey()).toHaveLength(32)
  expect((await verifyAuditChain(copied.read)).intact).toBe(true)
})

it('moves to another provider', async () => {
  const { vault, place, texts } = await filled(3)
  const provider = createRootKeyProvider('passphrase:', { passphrase: Buffer.from('correct horse') })
  await vault.rotateRoot({ provider, renewsProvider: false, event: event() })
  await vault.close()
  expect(await reasonOf(() => reopen(place))).toBe('ROOT_KEY_WRONG')
  await using opened = await reopen({ ...place, provider })
  expect(openAll(opened).sort()).toEqual(texts)
})

it('a new key that a crash left beside the old one is taken where it is the one that opens', async () => {
  const { vault, place, texts } = await filled(2)
  const path = keyPath(place)
  const old = readFileSync(path)
  // Killed after the key was made and before the commit: the old one opens, and the next rotation clears up.
  const stale = await place.provider.renew!(randomBytes(60), randomBytes(10))
  void stale
  expect(existsSync(`${path}.next`)).toBe(true)
  await vault.close()
  const first = await reopen(place)
  expect(readFileSync(path).equals(old)).toBe(true)
  // Killed after the commit and before the new key took its place.
  const renewing = {
    ...place.provider,
    renew: async (wrapped: Uint8Array, aad: Uint8Array) => ({
      ...(await place.provider.renew!(wrapped, aad)),
      settle: () => {
        throw new Error('killed')
      },
    }),
  }
  await expect(first.rotateRoot({ ...rotation(place), provider: renewing })).rejects.toThrow('killed')
  expect(readFileSync(path).equals(old)).toBe(true)
  // It goes on in the same process, also with another rotation.
  expect(openAll(first).sort()).toEqual(texts)
  const unsettled = readFileSync(`${path}.next`)
  copyFileSync(place.path, join(place.dir, 'aside.db'))
  await first.close()
  const second = await reopen(place)
  expect(readFileSync(path).equals(unsettled)).toBe(true)
  expect(existsSync(`${path}.next`)).toBe(false)
  expect(openAll(second).sort()).toEqual(texts)
  await expect(second.rotateRoot({ ...rotation(place), provider: renewing })).rejects.toThrow('killed')
  await second.rotateRoot(rotation(place))
  expect(existsSync(`${path}.next`)).toBe(false)
  await second.close()
  await using third = await reopen(place)
  expect(openAll(third).sort()).toEqual(texts)
  rmSync(join(place.dir, 'aside.db'))
})

it('takes a bounded time to decide and yields while it brings the records along', async () => {
  const { vault, place } = await filled(0)
  const count = 2_000
  const linkId = new Uint8Array(16)
  const record = randomBytes(251)
  for (let at = 0; at < count; at += 100) {
    await vault.commit((tx) => {
      for (let i = 0; i < 100; i++) {
        activateShare(tx, { share: seal(vault, record), linkId, state: 'ACTIVE', timeMs: NOW })
      }
    })
  }
  await vault.rotateRoot(rotation(place))
  let turns = 0
  const turning = setInterval(() => turns++, 0)
  const startCpu = process.cpuUsage()
  expect(await vault.rewrapShares()).toBe(count)
  const { user, system } = process.cpuUsage(startCpu)
  clearInterval(turning)
  expect(turns).toBeGreaterThan(20)
  // About 30 µs a record here; the bound is for a machine with other work.
  expect((user + system) / count).toBeLessThan(1_000)
})
