/** What was true when access was asked for may not be when the share is there: then nothing is given, and nothing is left. */
import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto'
import { expect, it } from 'vitest'
import { delegateAccess, type DelegateAccessNeeds, endUndelivered } from '../../src/delegation/delegate-access.ts'
import { failure } from '../../src/domain/failure.ts'
import { accessIdFromBytes, accessIdToBytes, parseRequestId } from '../../src/domain/ids.ts'

import { createApiKey, revokeApiKey } from '../../src/vault/api-keys.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { changeDelegatedAccess, getDelegatedAccess, keptDelivery, listDelegatedAccess, openAccess } from '../../src/vault/delegated-access.ts'
import { insertDelegate } from '../../src/vault/delegates.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { sealShare } from '../../src/vault/sealed-record.ts'
import { activateShare, getShare } from '../../src/vault/wallet-shares.ts'
import { insertWallet, setWalletState } from '../../src/vault/wallets.ts'
import { callerOf, callOf } from '../signing/call.ts'
import { newWallet, NOW, reasonOf } from '../vault/fixture.ts'
import { ownerStage, PROJECT } from '../wallet/owner-stage.ts'

const rsaKey = Uint8Array.from(generateKeyPairSync('rsa', { modulusLength: 3_072 }).publicKey.export({ format: 'der', type: 'spki' }))
const bytes = (length: number): Uint8Array => new Uint8Array(randomBytes(length))
const ENVELOPE = { alg: 'HYBRID-RSA-AES-256', iv: 'i', ct: 'c', tag: 't', ek: 'e', kid: 'k1' }

const stage = async () => {
  const shared = await ownerStage()
  const { vault, common, walletId } = shared
  const { key, delegate } = await vault.commit((tx) => {
    insertWallet(tx, newWallet({ walletId }))
    const permissions = [{ permission: 'delegation:create', narrowing: {} }] as const
    const made = insertDelegate(tx, {
      project: PROJECT, name: 'bots', identityKey: bytes(32), webhookId: undefined, key: { kid: 'k1', publicKey: rsaKey }, nowMs: NOW,
    })
    return { key: createApiKey(tx, { project: PROJECT, name: 'd', permissions, nowMs: NOW }).key, delegate: made }
  })
  const meanwhile = { before: async () => {}, after: async () => {}, confirmed: 0 }
  const delegates = {
    fork: async (_asked: unknown, { record }: Parameters<DelegateAccessNeeds['engine']['delegates']['fork']>[1]) => {
      await meanwhile.before()
      const fork = { walletId: bytes(16), linkId: bytes(16), publicShares: bytes(32) }
      const header = { vaultId: vault.vaultId, walletId: fork.walletId, wEpoch: 0, recordVersion: 1n, header: bytes(45) }
      const share = sealShare(vault.shareKey(), header, bytes(251))
      await vault.commit((tx) => {
        activateShare(tx, { share, linkId: fork.linkId, state: 'FORKED', timeMs: NOW })
        record(tx, fork)
      })
      await meanwhile.after()
      return { envelope: ENVELOPE, shard: 0, forked: { sid: bytes(32), receipt: bytes(263) } }
    },
    confirm: async () => void (meanwhile.confirmed += 1),
  } as unknown as DelegateAccessNeeds['engine']['delegates']
  const needs: DelegateAccessNeeds = { ...common, engine: { delegates }, maxGrantMs: 86_400_000 }
  const requestId = parseRequestId(randomUUID())
  const call = callOf(callerOf(key, 'delegation:create'), 'DelegationService/DelegateAccess', { requestId })
  const args = {
    walletRef: walletId, delegateId: delegate.delegateId, operations: [], limits: {}, expireMs: NOW + 60_000, walletEpoch: 0,
    consentExpireMs: NOW + 60_000, nonce: bytes(32), consent: { kind: 'operator', approvalId: bytes(16) }, includeEnvelopes: true,
  } as const
  const give = (rest: Partial<typeof call> = {}) => delegateAccess(needs, { ...call, ...rest }, args)
  const all = () => listDelegatedAccess(vault.read, { project: PROJECT, limit: 9 })
  return { ...shared, key, meanwhile, give, all, needs }
}

it('gives a pending access, kept for who asks again until the delegate has taken it into use', async () => {
  const { vault, give, meanwhile } = await stage()
  const first = await give()
  expect(first).toMatchObject({ access: { state: 'pending', kid: 'k1', terms: { operations: ['message', 'typed_data', 'transaction'] } } })
  expect(first.envelopes?.share).toEqual(ENVELOPE)
  expect(meanwhile.confirmed).toBe(1)
  // As after a stop between the work and the answer.
  const again = await give({ isRepeat: true })
  expect([again.access.accessId, again.envelopes]).toEqual([first.access.accessId, first.envelopes])
  const accessId = accessIdFromBytes(accessIdToBytes(first.access.accessId as never))
  await vault.commit((tx) => changeDelegatedAccess(tx, accessId, { state: 'ACTIVE' }, NOW))
  expect(keptDelivery(vault.read, accessId)).toBeUndefined()
  expect((await give({ isRepeat: true })).envelopes).toBeUndefined()
})

it('decides nothing under a key that was revoked, or for a wallet that was stopped or frozen, while the parties worked', async () => {
  const cases = [
    ['API_KEY_INVALID', (scene: Awaited<ReturnType<typeof stage>>) => scene.vault.commit((tx) => revokeApiKey(tx, scene.key.keyId, { nowMs: NOW }))],
    ['WALLET_ARCHIVED', (scene: Awaited<ReturnType<typeof stage>>) => scene.vault.commit((tx) => setWalletState(tx, scene.walletId, 'ARCHIVED'))],
    ['FROZEN', (scene: Awaited<ReturnType<typeof stage>>) =>
      scene.vault.commit((tx) => addFreeze(tx, { scope: 'wallet', id: scene.walletId, reason: '', actor: { kind: 'operator', id: '' }, createMs: NOW }))],
    ['DEADLINE_EXCEEDED', async (scene: Awaited<ReturnType<typeof stage>>) => void (scene.time.nowMs = NOW + 11_000)],
  ] as const
  for (const [reason, change] of cases) {
    const scene = await stage()
    scene.meanwhile.before = async () => void (await change(scene))
    expect(await reasonOf(() => scene.give())).toBe(reason)
    expect(scene.all()).toEqual([])
  }
})

it('ends what it made when the envelope does not come, share and all, and a further try is a new one', async () => {
  const { vault, give, all, meanwhile } = await stage()
  meanwhile.after = async () => {
    throw failure('COSIGNER_UNAVAILABLE', { why: 'it is away' })
  }
  expect(await reasonOf(() => give())).toBe('COSIGNER_UNAVAILABLE')
  const [ended] = all()
  expect(ended).toMatchObject({ state: 'REVOKED', endReason: 'undelivered' })
  expect(getShare(vault.read, accessIdToBytes(ended!.accessId))).toBeUndefined()
  expect(listAudit(vault.read, 0n, 100, { kind: 'delegated_access.revoked' })).toHaveLength(1)
  meanwhile.after = async () => {}
  expect((await give({ isRepeat: true })).access.accessId).not.toBe(ended!.accessId)
})

it('ends at the start what a stop left between the share and its delivery, and nothing else', async () => {
  const { vault, give, needs, meanwhile } = await stage()
  const standing = await give()
  meanwhile.after = () => new Promise(() => {})
  void give({ requestId: undefined })
  await new Promise((later) => setImmediate(later))
  for (let turn = 0; turn < 100 && openAccess(vault.read).length < 2; turn++) await new Promise((later) => setTimeout(later, 5))
  const making = openAccess(vault.read).find(({ state }) => state === 'MAKING')
  expect(await endUndelivered(vault, needs.clock)).toBe(1)
  expect(getDelegatedAccess(vault.read, making!.accessId)?.state).toBe('REVOKED')
  expect(openAccess(vault.read).map(({ accessId }) => accessId)).toEqual([standing.access.accessId])
})
