/** A key that came in and whose shares were not changed yet signs nothing; asking again makes that good. */
import { randomBytes } from 'node:crypto'
import { expect, it } from 'vitest'
import { failure } from '../../src/domain/failure.ts'
import type { Made } from '../../src/party/owner-calls.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { sealShare } from '../../src/vault/sealed-record.ts'
import { savePendingShare } from '../../src/vault/wallet-shares.ts'
import { findWalletsByUser } from '../../src/vault/wallets.ts'
import { importPrivateKey, type ImportNeeds } from '../../src/wallet/import-private-key.ts'
import { NOW, reasonOf } from '../vault/fixture.ts'
import { ownerStage, PROJECT } from './owner-stage.ts'

/** A public key that is one. */
const GENERATOR =
  '0479be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798483ada7726a3c4655da4fbfc0e1108a8fd17b448a68554199c47d08ffb10d4b8'
const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length))

const stage = async () => {
  const shared = await ownerStage()
  const { vault, common, call } = shared
  const parties = { refreshes: true, made: 0, acknowledged: 0, abandoned: 0 }
  const seal = (walletId: Uint8Array, recordVersion: bigint) =>
    sealShare(vault.shareKey(), { vaultId: vault.vaultId, walletId, wEpoch: 0, recordVersion, header: bytes(45) }, bytes(251))
  /** Both parties hold PENDING records, as after IM4. */
  const importShares = async (): Promise<Made> => {
    parties.made += 1
    const [walletId, linkId, sid] = [bytes(16), bytes(16), bytes(32)]
    await vault.commit((tx) => savePendingShare(tx, { share: seal(walletId, 1n), linkId, sid, timeMs: NOW }))
    const shownPublicKey = Uint8Array.from(Buffer.from(GENERATOR, 'hex'))
    return { sid, wallet: { walletId, linkId, shownPublicKey, active: seal(walletId, 2n) } as unknown as Made['wallet'] }
  }
  const owners = { importShares, claimForProject: async () => undefined, acknowledgeImport: async () => void (parties.acknowledged += 1) }
  const engine = {
    owners,
    abandonWallet: async () => void (parties.abandoned += 1),
    refreshShares: async (_wallet: unknown, { during, order }: Parameters<ImportNeeds['engine']['refreshShares']>[1]) => {
      if (!parties.refreshes) throw failure('COSIGNER_UNAVAILABLE', { why: 'it went away' })
      await during(() => vault.commit((tx) => order.record(tx, 1)))
    },
  } as unknown as ImportNeeds['engine']
  const needs: ImportNeeds = { ...common, engine, filling: new Set(), allowImport: true }
  const args = {
    userId: 'anna',
    keyType: 'secp256k1',
    ownerType: 'project',
    label: '',
    walletSecret: undefined,
    expireMs: NOW + 60_000,
    opening: { importId: bytes(16), publicKey: bytes(33), pointC: bytes(33), pointS: bytes(33), chainCode: bytes(32) },
    envelopeC: bytes(80),
    envelopeS: bytes(80),
  } as const
  const take = (changes: object = {}) => {
    shared.time.monotonicMs += 1_000
    return importPrivateKey(needs, call(), { ...args, ...changes })
  }
  const states = () => findWalletsByUser(vault.read, { project: PROJECT }, 'anna' as never).map(({ state }) => state)
  return { ...shared, parties, take, states }
}

it('is PENDING until the shares have changed, and asking again changes them', async () => {
  const { vault, parties, take, states } = await stage()
  parties.refreshes = false
  expect(await reasonOf(take)).toBe('COSIGNER_UNAVAILABLE')
  expect(states()).toEqual(['PENDING'])
  expect(await reasonOf(() => take({ userId: 'bert' }))).toBe('IMPORT_REFUSED')
  parties.refreshes = true
  expect(await take()).toMatchObject({ state: 'active', origin: 'imported' })
  expect(await take()).toMatchObject({ state: 'active' })
  expect(parties).toMatchObject({ made: 1, acknowledged: 1, abandoned: 0 })
  const kinds = listAudit(vault.read, 0n, 100, {}).map(({ kind }) => kind)
  expect(kinds.filter((kind) => kind.startsWith('wallet.'))).toEqual(['wallet.imported', 'wallet.refreshed'])
})

it('a freeze between the two keeps it PENDING', async () => {
  const { fences, parties, take, states } = await stage()
  parties.refreshes = false
  await reasonOf(take)
  parties.refreshes = true
  void fences.raise({ scope: 'project', id: PROJECT })
  expect(await reasonOf(take)).toBe('FROZEN')
  expect(states()).toEqual(['PENDING'])
  fences.lower({ scope: 'project', id: PROJECT })
  await take()
  expect(states()).toEqual(['ACTIVE'])
})

it('is refused before the parties are asked: a slot that is taken, a time that is over or too long', async () => {
  const { parties, take } = await stage()
  await take()
  const other = { opening: { importId: bytes(16), publicKey: bytes(33), pointC: bytes(33), pointS: bytes(33), chainCode: bytes(32) } }
  expect(await reasonOf(() => take(other))).toBe('WALLET_ALREADY_EXISTS')
  expect(await reasonOf(() => take({ ...other, label: 'b', expireMs: NOW }))).toBe('IMPORT_REFUSED')
  expect(await reasonOf(() => take({ ...other, label: 'b', expireMs: NOW + 3_600_001 }))).toBe('IMPORT_REFUSED')
  expect(parties.made).toBe(1)
})
