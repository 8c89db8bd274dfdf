/** Shares for delegates over the network: a remote cosigner judges, makes and seals them as an embedded one does. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { afterAll, beforeAll, expect, it, vi } from 'vitest'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { decodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { openDynamicEnvelope } from '../../src/engine/sealing/dynamic-envelope.ts'
import { delegateStatement, firstSecretStatement } from '../../src/engine/sealing/owner-consent.ts'
import type { DelegationAsked } from '../../src/party/delegate-calls.ts'
import type { NewFork } from '../../src/party/fork-orders.ts'
import { compressed } from '../../src/party/owner-calls.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { activateShare, getShare } from '../../src/vault/wallet-shares.ts'
import { reasonOf } from '../vault/fixture.ts'
import { newDevice } from './owned-wallets.ts'
import { remoteScene, type RemoteScene } from './remote-scene.ts'

vi.setConfig({ testTimeout: 30_000, hookTimeout: 30_000 })

let scene: RemoteScene
beforeAll(async () => {
  scene = await remoteScene()
})
afterAll(() => scene.close())

const device = newDevice()
const pairs = [0, 1].map(() => generateKeyPairSync('rsa', { modulusLength: 3_072 }))
const [rsa, own] = pairs as [(typeof pairs)[0], (typeof pairs)[0]]
const derOf = ({ publicKey }: typeof rsa) => Uint8Array.from(publicKey.export({ format: 'der', type: 'spki' }))
const identityKey = Uint8Array.from(generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
const signal = AbortSignal.timeout(60_000)

const ownedWallet = async () => {
  const { engine, vaults } = scene
  const { sid, wallet } = await engine.generateWallet('secp256k1')
  const { walletId, active, linkId } = wallet
  const owner = { partyId: await engine.owners.cosignerId(), project: 'default', userId: 'anna' }
  const secret = { publicKey: device.publicKey, signature: device.sign(firstSecretStatement(owner, device.publicKey)) }
  await engine.owners.claimWallet({ walletId: walletId.slice(), project: 'default', userId: 'anna', secret })
  await vaults.vault.commit((tx) => activateShare(tx, { share: active, linkId, state: 'ACTIVE', timeMs: Date.now() }))
  await engine.acknowledge(sid, { walletId, keyType: 'secp256k1' })
  return { walletId, publicKey: wallet.shownPublicKey }
}

/** As the owner consented to it; `lie` is what the daemon makes of it. */
const askedFor = async (wallet: Awaited<ReturnType<typeof ownedWallet>>, lie: Partial<DelegationAsked['delegate']> = {}): Promise<DelegationAsked> => {
  const { engine, vaults } = scene
  const [walletId, publicKey] = [wallet.walletId.slice(), wallet.publicKey.slice()]
  const idG = partyIdOf(identityKey)
  const { linkId } = makeLinkParties(idG, partyIdOf(vaults.vault.signer.publicKey), 0)
  const once = { expireMs: Date.now() + 60_000, nonce: new Uint8Array(randomBytes(32)) }
  const names = { partyId: await engine.owners.cosignerId(), walletId, wEpoch: 0, publicKey: compressed(publicKey), rsaKey: derOf(rsa), idG, linkId }
  const signature = device.sign(delegateStatement({ ...names, ...once }))
  const consent = { kind: 'wallet_secret', secretId: device.secretId, signature } as const
  const delegate = { identityKey, rsaKey: derOf(rsa), kid: 'k1', ...lie }
  return { walletId, keyType: 'secp256k1', publicKey, wEpoch: 0, ...once, consent, delegate }
}

it('the delegate’s share comes sealed to it alone, and the daemon’s half is its own', async () => {
  const { engine, vaults } = scene
  const wallet = await ownedWallet()
  const made: NewFork[] = []
  const { envelope, ...told } = await engine.delegates.fork(await askedFor(wallet), { record: (_tx, fork) => void made.push(fork) }, signal)
  const text = openDynamicEnvelope(rsa.privateKey, envelope)
  const read = text && decodeDelegatedShare(text)
  if (read?.kind !== 'own') throw new Error('no share')
  expect(Buffer.from(read.share.walletId)).toEqual(Buffer.from(made[0]!.walletId))
  expect(getShare(vaults.vault.read, made[0]!.walletId)).toMatchObject({ state: 'FORKED', wEpoch: 0 })
  expect(envelope.kid).toBe('k1')
  expect(await engine.delegates.confirm(told)).toBeUndefined()
  expect((await scene.sign(wallet.walletId)).r).toHaveLength(32)
})

it('a daemon that asks for a key of its own choosing is refused, and nothing is made', async () => {
  const { engine } = scene
  const wallet = await ownedWallet()
  const another = Uint8Array.from(generateKeyPairSync('ed25519').publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  const lies = [{ rsaKey: derOf(own) }, { identityKey: another }, { identityKey: another, rsaKey: derOf(own) }]
  const made: NewFork[] = []
  const order = { record: (_tx: unknown, fork: NewFork) => void made.push(fork) }
  for (const lie of lies) {
    const asked = await askedFor(wallet, lie)
    expect(await reasonOf(() => engine.delegates.fork(asked, order, signal))).toBe('DELEGATION_REFUSED')
  }
  const unapproved = { ...(await askedFor(wallet)), consent: { kind: 'operator', approvalId: new Uint8Array(16) } } as const
  expect(await reasonOf(() => engine.delegates.fork(unapproved, order, signal))).toBe('DELEGATION_REFUSED')
  expect(made).toEqual([])
  expect(scene.served.told.filter((line) => line.startsWith('delegation_refused'))).toHaveLength(4)
})

it('what the daemon refuses at the last moment leaves nothing, and another consent is good', async () => {
  const { engine, vaults } = scene
  const wallet = await ownedWallet()
  const asked = await askedFor(wallet)
  // What is refused inside the deciding transaction is undone on both sides.
  const refusing = { record: () => { throw new Error('not now') } }
  await expect(engine.delegates.fork(asked, refusing, signal)).rejects.toThrow()
  const made: NewFork[] = []
  const again = await askedFor(wallet)
  await engine.delegates.fork(again, { record: (_tx, fork) => void made.push(fork) }, signal)
  expect(getShare(vaults.vault.read, made[0]!.walletId)?.state).toBe('FORKED')
})
