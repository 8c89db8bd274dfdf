/** What a daemon, or a thief for a moment, makes of the cosigner's register between two honest orders. */
import { randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { OWNER_END_USER, OWNER_PROJECT } from '../../src/engine/dkls23/import.ts'
import { ALG_SECP256K1 } from '../../src/engine/dkls23/suite.ts'
import { splitKey } from '../../src/client/split-key.ts'
import { bindSecret } from '../../src/party/owner-desk.ts'
import { ownerWord } from '../../src/party/owner-word.ts'
import { ShareSeal } from '../../src/party/share-sealing.ts'
import { getWalletOwner, listOwnerSecrets, rebindOwnerSecrets } from '../../src/vault/owner-register.ts'
import { verifyStateIndex } from '../../src/vault/state-index.ts'
import { claimOf, DAY_MS, type Device, newDevice, ownedWallets, PARTY_S, whyNoSecret as refusalOf } from './owned-wallets.ts'

type Scene = Awaited<ReturnType<typeof ownedWallets>>
let scene: Scene
beforeEach(async () => {
  scene = await ownedWallets()
})
afterEach(() => verifyStateIndex(scene.vault.read))

const nowMs = (): number => Math.trunc(scene.clock.nowMs())
const ANNA = { project: 'default', userId: 'anna' }

/** A key that its holder has split, taken in by both as far as PENDING; `decide` is the daemon's commit. */
const takeIn = async (ownerType: typeof OWNER_PROJECT | typeof OWNER_END_USER) => {
  const scalar = new Uint8Array(randomBytes(32)).fill(0, 31)
  const owner = { ...ANNA, ownerType, project: 'default', userId: 'anna', expireMs: nowMs() + 60_000 }
  const pin = { cosignerId: PARTY_S, nowMs: nowMs() }
  const { opening, daemonEnvelope: envelopeC, cosignerEnvelope: envelopeS } = splitKey(ALG_SECP256K1, scalar, owner, scene.importKeys(), pin)
  const { sid, wallets } = await scene.c.import(scene.keys.c, { opening, owner, envelopeC, envelopeS })
  const wallet = wallets[0]!
  const decide = async () => {
    await scene.storeC.activate(wallet.walletId, 0)
    await scene.c.acknowledge(sid)
    await scene.c.refreshes.refresh(wallet.walletId)
    return { ...wallet, wEpoch: 1 }
  }
  return { wallet, decide }
}

const wordOf = (walletId: Uint8Array) =>
  ownerWord(scene.vault, new ShareSeal(scene.vault.shareKey(), scene.vault.vaultId), walletId)

describe('whose an imported key is', () => {
  it("is what its holder sealed: a project's is claimed for no user of the daemon's making", async () => {
    const mine = newDevice()
    const { wallet, decide } = await takeIn(OWNER_PROJECT)
    expect(await refusalOf(scene.desk.claimWallet(claimOf(wallet.walletId, 'mallory', mine)))).toContain('another owner')
    expect(await refusalOf(scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', mine)))).toContain('another owner')
    const ready = await decide()
    scene.clock.advance(DAY_MS)
    expect(await scene.export(scene.request(ready, mine))).toBe('policy_denied')
  })

  it("a user's stays theirs, and another user's claim of it is refused", async () => {
    const { wallet, decide } = await takeIn(OWNER_END_USER)
    expect(await refusalOf(scene.desk.claimWallet(claimOf(wallet.walletId, 'mallory', newDevice())))).toContain('another owner')
    await scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', newDevice()))
    await decide()
    expect(getWalletOwner(scene.vault.read, wallet.walletId)).toMatchObject(ANNA)
  })
})

describe('names that are none', () => {
  it('no wallet is claimed and no secret bound for them', async () => {
    const { wallet } = await scene.begin()
    for (const userId of ['', 'šnna', 'an na', `0x${'ab'.repeat(20)}`, `wal_${'ab'.repeat(16)}`]) {
      expect(await refusalOf(scene.desk.claimWallet(claimOf(wallet.walletId, userId, newDevice()))), userId).toContain('whose')
    }
    const claim = { ...claimOf(wallet.walletId, 'anna'), project: '' }
    expect(await refusalOf(scene.desk.claimWallet(claim))).toContain('whose')
  })
})

describe("the cosigner's word on an owner", () => {
  it('is not given while the daemon could still bind the first secret', async () => {
    const { wallet } = await scene.begin()
    await scene.desk.claimWallet(claimOf(wallet.walletId, 'anna'))
    expect(wordOf(wallet.walletId)).toBeUndefined()
    await scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', newDevice()))
    expect(wordOf(wallet.walletId)?.secretIds).toHaveLength(1)
  })
})

describe('a secret that is younger than a day', () => {
  const grown = async (): Promise<{ readonly device: Device }> => {
    const device = newDevice()
    await scene.create('anna', device)
    scene.clock.advance(DAY_MS)
    return { device }
  }
  const ids = (): readonly string[] =>
    listOwnerSecrets(scene.vault.read, ANNA).map(({ secretId }) => Buffer.from(secretId).toString('hex'))

  it('takes no older one out: who would notice it keeps the means to end it', async () => {
    const { device } = await grown()
    const thief = newDevice()
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', thief))
    scene.clock.advance(DAY_MS - 60_000)
    expect(await refusalOf(scene.desk.changeSecret(scene.change('anna', thief, 'remove', device)))).toContain('younger')
    expect(ids()).toHaveLength(2)
    await scene.desk.changeSecret(scene.change('anna', device, 'remove', thief))
    expect(ids()).toEqual([Buffer.from(device.secretId).toString('hex')])
  })

  it('takes itself and younger ones out, and after a restore any that came back with it', async () => {
    const { device } = await grown()
    const [phone, tablet] = [newDevice(), newDevice()]
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', phone))
    scene.clock.advance(1_000)
    await scene.desk.changeSecret(scene.change('anna', phone, 'bind', tablet))
    await scene.desk.changeSecret(scene.change('anna', phone, 'remove', tablet))
    await scene.desk.changeSecret(scene.change('anna', phone, 'remove', phone))
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', phone))
    await scene.vault.commit((tx) => rebindOwnerSecrets(tx, nowMs()))
    await scene.desk.changeSecret(scene.change('anna', phone, 'remove', device))
    expect(ids()).toEqual([Buffer.from(phone.secretId).toString('hex')])
  })
})

describe('the day that a secret waits', () => {
  it('is not for the first, bound before the address of what it exports was known', async () => {
    const device = newDevice()
    const wallet = await scene.create('anna', device)
    const second = await scene.create('anna')
    expect(await scene.export(scene.request(wallet, device))).toBeInstanceOf(Uint8Array)
    expect(await scene.export(scene.request(second, device))).toBeInstanceOf(Uint8Array)
  })

  it('is for the first where the key was imported, and may be worth something already', async () => {
    const device = newDevice()
    const { wallet, decide } = await takeIn(OWNER_END_USER)
    await scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', device))
    const ready = await decide()
    expect(await scene.export(scene.request(ready, device))).toBe('policy_denied')
    scene.clock.advance(DAY_MS)
    expect(await scene.export(scene.request(ready, device))).toBeInstanceOf(Uint8Array)
  })

  it("is for a later one, the operator's too, and for every one after a restore", async () => {
    const [device, phone, desk] = [newDevice(), newDevice(), newDevice()]
    const wallet = await scene.create('anna', device)
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', phone))
    await scene.vault.commit((tx) => bindSecret(tx, ANNA, desk.publicKey, 'operator', nowMs()))
    for (const late of [phone, desk]) expect(await scene.export(scene.request(wallet, late))).toBe('policy_denied')
    await scene.vault.commit((tx) => rebindOwnerSecrets(tx, nowMs()))
    for (const one of [device, phone, desk]) expect(await scene.export(scene.request(wallet, one))).toBe('policy_denied')
    scene.clock.advance(DAY_MS)
    for (const one of [device, phone, desk]) expect(await scene.export(scene.request(wallet, one))).toBeInstanceOf(Uint8Array)
  })

  it('ends no sooner when the clock is put back', async () => {
    const [device, phone] = [newDevice(), newDevice()]
    const wallet = await scene.create('anna', device)
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', phone))
    scene.clock.advance(-10 * DAY_MS)
    expect(await scene.export(scene.request(wallet, phone))).toBe('policy_denied')
  })
})

describe('a consent that was used', () => {
  it('is used for good, also where the clock is put back by more than a day', async () => {
    const device = newDevice()
    const wallet = await scene.create('anna', device)
    scene.clock.advance(DAY_MS)
    const asked = scene.request(wallet, device)
    expect(await scene.export(asked)).toBeInstanceOf(Uint8Array)
    scene.clock.advance(3 * DAY_MS)
    expect(await scene.export(scene.request(wallet, device))).toBeInstanceOf(Uint8Array)
    scene.clock.advance(-3 * DAY_MS)
    expect(await scene.export(asked)).toBe('policy_denied')
  })
})
