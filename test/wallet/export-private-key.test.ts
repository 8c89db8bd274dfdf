/** What was true when an export was asked for may not be when both parts are there: then nothing leaves. */
import { randomBytes, randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { parseRequestId, type RequestId, walletIdToBytes } from '../../src/domain/ids.ts'
import { x25519PublicKey } from '../../src/engine/sealing/hpke.ts'
import { requireReleasable } from '../../src/signing/release-again.ts'
import { revokeApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { exportTimeOf } from '../../src/vault/exports.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { insertWallet, setWalletState } from '../../src/vault/wallets.ts'
import { exportPrivateKey, type ExportNeeds } from '../../src/wallet/export-private-key.ts'
import { newWallet, NOW, reasonOf } from '../vault/fixture.ts'
import { ownerStage } from './owner-stage.ts'

const stage = async () => {
  const shared = await ownerStage()
  const { vault, common, call, walletId } = shared
  await vault.commit((tx) => insertWallet(tx, newWallet({ walletId })))
  const meanwhile = { working: async () => {} }
  const part = { point: new Uint8Array(33), envelope: new Uint8Array(80) }
  const owners = {
    exportShares: async () => {
      await meanwhile.working()
      return { daemon: part, cosigner: part }
    },
    cosignerId: async () => new Uint8Array(32),
  } as unknown as ExportNeeds['engine']['owners']
  const needs: ExportNeeds = { ...common, engine: { owners }, allowExport: true }
  const args = {
    walletRef: walletId,
    walletEpoch: 0,
    recipient: { kind: 'x25519', key: x25519PublicKey(new Uint8Array(randomBytes(32))) },
    expireMs: NOW + 60_000,
    nonce: new Uint8Array(32),
    consent: { kind: 'operator', approvalId: new Uint8Array(16) },
  } as const
  const called = call()
  const take = (requestId?: RequestId) => exportPrivateKey(needs, { ...called, requestId }, args)
  const exported = () => listAudit(vault.read, 0n, 100, { kind: 'wallet.exported' }).length
  return { ...shared, called, meanwhile, take, exported }
}

type Stage = Awaited<ReturnType<typeof stage>>

it('answers when the audit row and the time of the export are on disk', async () => {
  const { vault, walletId, take, exported } = await stage()
  const { wallet, receipt } = await take()
  expect(exported()).toBe(1)
  expect(wallet.exportTimeMs).toBe(NOW)
  expect(exportTimeOf(vault.read, walletIdToBytes(walletId))).toBe(NOW)
  expect(listAudit(vault.read, receipt.sequence - 1n, 1, {})[0]?.kind).toBe('wallet.exported')
})

it('lets nothing out under a key that was revoked or ended, or a wallet that was stopped, while the parties worked', async () => {
  const revoked = await stage()
  revoked.meanwhile.working = async () => void (await revoked.vault.commit((tx) => revokeApiKey(tx, revoked.key.keyId, { nowMs: NOW })))
  expect(await reasonOf(() => revoked.take())).toBe('API_KEY_INVALID')
  const ended = await stage()
  ended.meanwhile.working = async () => void (ended.time.nowMs = NOW + 6_000)
  expect(await reasonOf(() => ended.take())).toBe('API_KEY_EXPIRED')
  const late = await stage()
  late.meanwhile.working = async () => void (late.time.nowMs = NOW + 10_000)
  expect(await reasonOf(() => late.take())).toBe('DEADLINE_EXCEEDED')
  const archived = await stage()
  archived.meanwhile.working = async () => void (await archived.vault.commit((tx) => setWalletState(tx, archived.walletId, 'ARCHIVED')))
  expect(await reasonOf(() => archived.take())).toBe('WALLET_ARCHIVED')
  const frozen = await stage()
  const actor = { kind: 'operator', id: '' } as const
  const row = { scope: 'wallet', id: frozen.walletId, reason: '', actor, createMs: NOW } as const
  frozen.meanwhile.working = async () => void (await frozen.vault.commit((tx) => addFreeze(tx, row)))
  expect(await reasonOf(() => frozen.take())).toBe('FROZEN')
  for (const { exported } of [revoked, ended, late, archived, frozen]) expect(exported()).toBe(0)
})

it('is stopped by a freeze that came and went meanwhile, and by one that comes before the answer leaves', async () => {
  const { fences, walletId, called, meanwhile, take, exported } = await stage()
  const fence = { scope: 'wallet', id: walletId } as const
  meanwhile.working = async () => {
    void fences.raise(fence)
    fences.lower(fence)
  }
  expect(await reasonOf(() => take())).toBe('FROZEN')
  expect(exported()).toBe(0)
  const late = await stage()
  await late.take()
  void late.fences.raise({ scope: 'wallet', id: late.walletId })
  expect(await reasonOf(() => late.called.releaseChecks.forEach((check) => check()))).toBe('FROZEN')
  expect(called.releaseChecks.length).toBeGreaterThan(0)
})

it('keeps an answer for repetitions that leaves no more behind a freeze, nor of a wallet that was archived', async () => {
  const frozen = { scope: 'wallet', reason: '', actor: { kind: 'operator', id: '' }, createMs: NOW } as const
  for (const [stop, reason] of [
    [({ vault, walletId }: Stage) => vault.commit((tx) => void addFreeze(tx, { ...frozen, id: walletId })), 'FROZEN'],
    [({ vault, walletId }: Stage) => vault.commit((tx) => void setWalletState(tx, walletId, 'ARCHIVED')), 'WALLET_ARCHIVED'],
  ] as const) {
    const scene = await stage()
    const requestId = parseRequestId(randomUUID())!
    await scene.take(requestId)
    const kept = { caller: scene.key.keyId, method: scene.called.method, requestId }
    const release = () => requireReleasable(scene.vault.read, kept, NOW + 1_000)
    expect(release).not.toThrow()
    await stop(scene)
    expect(await reasonOf(release)).toBe(reason)
    const other = { ...kept, requestId: parseRequestId(randomUUID())! }
    expect(() => requireReleasable(scene.vault.read, other, NOW)).not.toThrow()
  }
})
