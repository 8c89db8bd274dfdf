/** The cosigner hands a share over on its own judgement: what a lying daemon, or somebody with a stolen sign-in, does not get. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { groupOf } from '../../src/engine/curve/group.ts'
import { decodeExportAnswer, encodeExportRequest, exportAad } from '../../src/engine/dkls23/export.ts'
import { FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { KIND_RSA, KIND_X25519, openShareOf, type Recipient } from '../../src/engine/sealing/share-envelope.ts'
import { bindSecret, digestOfKey } from '../../src/party/owner-desk.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { addApproval } from '../../src/vault/consents.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { listOwnerSecrets } from '../../src/vault/owner-register.ts'
import { verifyStateIndex } from '../../src/vault/state-index.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { claimOf, DAY_MS, newDevice, newExportKey, ownedWallets, whyNoSecret as refusalOf } from './owned-wallets.ts'

type Scene = Awaited<ReturnType<typeof ownedWallets>>
let scene: Scene
beforeEach(async () => {
  scene = await ownedWallets()
})
afterEach(() => verifyStateIndex(scene.vault.read))

const grown = async (userId = 'anna') => {
  const device = newDevice()
  const wallet = await scene.create(userId, device)
  scene.clock.advance(DAY_MS)
  return { device, wallet }
}

const kinds = (scene: Scene): string[] =>
  listAudit(scene.vault.read, 0n, 100, {}).map(({ kind }) => kind).filter((kind) => kind.startsWith('wallet'))

describe('an export with the consent of the owner', () => {
  it.each([ALG_SECP256K1, ALG_ED25519] as const)('alg %i: both shares, sealed by their own parties, add up to the key', async (alg) => {
    const device = newDevice()
    const wallet = await scene.create('anna', device, alg)
    scene.clock.advance(DAY_MS)
    const { secret, recipient } = newExportKey()
    const parts = await scene.c.export(scene.request(wallet, device, recipient))
    const opener = { kind: KIND_X25519, secret } as const
    const open = (part: 'daemon' | 'cosigner', role: typeof ROLE_C | typeof ROLE_S) =>
      openShareOf(opener, { purpose: 'export', aad: exportAad(wallet, role) }, parts[part].envelope)
    const [shareC, shareS] = [open('daemon', ROLE_C), open('cosigner', ROLE_S)]
    if (shareC === undefined || shareS === undefined) throw new Error('does not open')
    const group = groupOf(alg)
    expect(hexOf(group.mulBase(shareC))).toBe(hexOf(parts.daemon.point))
    expect(hexOf(group.mulBase(group.scalarAdd(shareC, shareS)))).toBe(hexOf(wallet.publicKey))
    expect(open('daemon', ROLE_S)).toBeUndefined()
    const [row] = listAudit(scene.vault.read, 0n, 1, { kind: 'wallet.exported' })
    expect(row).toMatchObject({ actor: { kind: 'end_user', id: 'default/anna' }, decision: 'allow' })
  })

  it('the daemon that names a key of its own gets nothing, whatever it changes', async () => {
    const { device, wallet } = await grown()
    const honest = scene.request(wallet, device)
    const mine = newExportKey().recipient
    const other = newDevice()
    const changed = [
      { ...honest, recipient: mine },
      { ...honest, expireMs: honest.expireMs + 1_000 },
      { ...honest, nonce: new Uint8Array(randomBytes(32)) },
      { ...honest, wEpoch: 1 },
      { ...scene.request(wallet, other, mine) },
      { ...scene.request(wallet, other, mine), consent: { ...honest.consent, secretId: other.secretId } },
      { ...honest, consent: { kind: 'wallet_secret', secretId: device.secretId, signature: new Uint8Array(64) } },
      { ...honest, consent: { kind: 'operator', approvalId: new Uint8Array(16) } },
      scene.request(wallet, device, mine, { partyId: new Uint8Array(32) }),
    ] as const
    for (const asked of changed) expect(await scene.export(asked)).toBe('policy_denied')
    expect(kinds(scene)).not.toContain('wallet.exported')
    expect(await scene.export(honest)).toBeInstanceOf(Uint8Array)
    expect(scene.link.record.strikeAtMs).toEqual([0n, 0n, 0n])
  })

  it('a consent is good once, also across a restart', async () => {
    const { device, wallet } = await grown()
    const asked = scene.request(wallet, device)
    expect(await scene.export(asked)).toBeInstanceOf(Uint8Array)
    expect(await scene.export(asked)).toBe('policy_denied')
    await scene.restart()
    expect(await scene.export(asked)).toBe('policy_denied')
    const twice = scene.request(wallet, device)
    const answers = await Promise.all([scene.export(twice), scene.export(twice)])
    expect(answers.filter((answer) => answer === 'policy_denied')).toHaveLength(1)
    expect(kinds(scene).filter((kind) => kind === 'wallet.exported')).toHaveLength(2)
  })

  it('a consent that has expired, or is good for more than five minutes, counts for nothing', async () => {
    const { device, wallet } = await grown()
    const now = Math.trunc(scene.clock.nowMs())
    for (const expireMs of [now - 1, now + 302_000, now + DAY_MS, 0, Number.MAX_SAFE_INTEGER]) {
      expect(await scene.export(scene.request(wallet, device, undefined, { expireMs }))).toBe('policy_denied')
    }
    const asked = scene.request(wallet, device)
    scene.clock.advance(61_000)
    expect(await scene.export(asked)).toBe('policy_denied')
  })

  it('another epoch, another wallet, another public key', async () => {
    const { device, wallet } = await grown()
    const foreign = await scene.create('bert', newDevice())
    scene.clock.advance(DAY_MS)
    expect(await scene.export(scene.request(wallet, device, undefined, { wEpoch: 1 }))).toBe('policy_denied')
    expect(await scene.export(scene.request(foreign, device))).toBe('policy_denied')
    expect(await scene.export(scene.request({ ...wallet, publicKey: foreign.publicKey }, device))).toBe('policy_denied')
    expect(await scene.export(scene.request({ ...wallet, walletId: new Uint8Array(16) }, device))).toBe('policy_denied')
    await scene.c.refreshes.refresh(wallet.walletId)
    expect(await scene.export(scene.request(wallet, device))).toBe('policy_denied')
    expect(await scene.export(scene.request({ ...wallet, wEpoch: 1 }, device))).toBeInstanceOf(Uint8Array)
  })

  it('keys of low order and of wrong sizes are sealed to by nobody, and cost nobody a strike', async () => {
    const { device, wallet } = await grown()
    const keys = [
      { kind: KIND_X25519, key: new Uint8Array(32) },
      { kind: KIND_X25519, key: new Uint8Array(32).fill(1, 0, 1) },
      { kind: KIND_X25519, key: newExportKey().recipient.key.subarray(1) },
      { kind: KIND_RSA, key: newExportKey().recipient.key },
      { kind: KIND_RSA, key: new Uint8Array(0) },
    ] as const
    for (const recipient of keys) {
      const asked = scene.request(wallet, device, recipient)
      expect(await scene.export(asked)).toBe('policy_denied')
      await expect(scene.c.export(asked)).rejects.toMatchObject({ codeName: 'policy_denied' })
    }
    expect(scene.link.record.strikeAtMs).toEqual([0n, 0n, 0n])
  })

  it('a frozen, stopped or undecided wallet stays where it is', async () => {
    const { device, wallet } = await grown()
    const { wallet: undecided } = await scene.begin()
    await scene.desk.claimWallet(claimOf(undecided.walletId, 'anna'))
    expect(await scene.export(scene.request(undecided, device))).toBe('policy_denied')
    const id = walletIdFromBytes(wallet.walletId)
    const actor = { kind: 'operator', id: '' } as const
    await scene.vault.commit((tx) => addFreeze(tx, { scope: 'wallet', id, reason: '', actor, createMs: 1 }))
    expect(await scene.export(scene.request(wallet, device))).toBe('policy_denied')
    await scene.store.setWalletState(wallet.walletId, 'REVOKED', '')
    expect(await scene.export(scene.request(wallet, device))).toBe('policy_denied')
  })

  it('export is off unless it was switched on here', async () => {
    scene = await ownedWallets({ allowExport: false })
    const { device, wallet } = await grown()
    expect(await scene.export(scene.request(wallet, device))).toBe('policy_denied')
  })

  it('a request that no honest daemon makes is a violation', async () => {
    const { device, wallet } = await grown()
    const body = encodeExportRequest(scene.request(wallet, device))
    const bent = [body.subarray(1), Uint8Array.from([...body, 0]), body.with(16, 9), body.with(70, 3), body.with(145, 3)]
    for (const [at, one] of bent.entries()) {
      expect(await scene.ask(one), `case ${at}`).toBe('protocol')
      await scene.link.save(() => ({ state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] }))
    }
  })
})

describe('what the daemon takes for the other share', () => {
  it('a share that is not the pinned one costs the cosigner a strike, and the own share is not sealed', async () => {
    const { device, wallet } = await grown()
    const other = groupOf(ALG_SECP256K1).mulBase(new Uint8Array(32).fill(1))
    scene.wire.toC = (frame) => {
      const bent = frame?.slice()
      bent?.set(other, 64 + 38)
      return bent
    }
    await expect(scene.c.export(scene.request(wallet, device))).rejects.toThrow('class C')
    scene.wire.toC = (frame) => frame
    const parts = await scene.c.export(scene.request(wallet, device))
    expect(hexOf(parts.cosigner.point)).toBe(hexOf(wallet.pointS))
  })

  it('RSA: an envelope of the length of its modulus, under the same data', async () => {
    const { device, wallet } = await grown()
    const pair = generateKeyPairSync('rsa', { modulusLength: 3_072 })
    const key = new Uint8Array(pair.publicKey.export({ format: 'der', type: 'spki' }))
    const parts = await scene.c.export(scene.request(wallet, device, { kind: KIND_RSA, key }))
    expect(parts.cosigner.envelope).toHaveLength(384)
    const opener = { kind: KIND_RSA, key: pair.privateKey } as const
    const share = openShareOf(opener, { purpose: 'export', aad: exportAad(wallet, ROLE_S) }, parts.cosigner.envelope)
    expect(hexOf(groupOf(ALG_SECP256K1).mulBase(share!))).toBe(hexOf(wallet.pointS))
  })

  it('T54 whatever an API caller chooses, an honest daemon costs nobody a strike with it', async () => {
    const { device, wallet } = await grown()
    const good = scene.request(wallet, device)
    const odd = (length: number) => new Uint8Array(randomBytes(length))
    for (let i = 0; i < 200; i++) {
      const secret = { kind: 'wallet_secret', secretId: odd(32), signature: odd(64) } as const
      const consent = i % 3 === 0 ? ({ kind: 'operator', approvalId: odd(16) } as const) : secret
      const recipient: Recipient = i % 2 === 0 ? { kind: KIND_X25519, key: odd(32) } : { kind: KIND_RSA, key: odd(256 + i) }
      const asked = {
        ...good,
        nonce: odd(32),
        expireMs: Math.floor(Math.random() * 2 ** (1 + (i % 52))),
        wEpoch: Math.floor(Math.random() * 3),
        recipient,
        consent,
      }
      await expect(scene.c.export(asked)).rejects.toBeDefined()
      expect(await scene.export(asked)).toBe('policy_denied')
    }
    expect(scene.link.record.strikeAtMs).toEqual([0n, 0n, 0n])
  })

  it('an answer with another share, or about another wallet, is a violation of the cosigner', async () => {
    const { device, wallet } = await grown()
    const asked = scene.request(wallet, device)
    const body = (await scene.export(asked)) as Uint8Array
    expect(decodeExportAnswer(body, asked).role).toBe(ROLE_S)
    for (const at of [0, 16, 18, 34, 71]) {
      const bent = body.slice()
      bent[at]! ^= 3
      expect(() => decodeExportAnswer(bent, asked), `byte ${at}`).toThrow('class C')
    }
  })
})

describe("the cosigner's register of wallet secrets", () => {
  it('the first comes with the first wallet, and exports at once; a later one after a day', async () => {
    const [device, phone] = [newDevice(), newDevice()]
    const wallet = await scene.create('anna', device)
    expect(await scene.export(scene.request(wallet, device))).toBeInstanceOf(Uint8Array)
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', phone))
    expect(await scene.export(scene.request(wallet, phone))).toBe('policy_denied')
    scene.clock.advance(DAY_MS - 60_000)
    expect(await scene.export(scene.request(wallet, phone))).toBe('policy_denied')
    scene.clock.advance(60_000)
    expect(await scene.export(scene.request(wallet, phone))).toBeInstanceOf(Uint8Array)
  })

  it('the daemon adds none: not with a second wallet, not for a user whose first came without, not by itself', async () => {
    await scene.create('anna', newDevice())
    const { wallet } = await scene.begin()
    const mine = newDevice()
    expect(await refusalOf(scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', mine)))).toContain('signed by one')
    await scene.create('bert')
    const second = await scene.begin()
    expect(await refusalOf(scene.desk.claimWallet(claimOf(second.wallet.walletId, 'bert', mine)))).toContain('signed by one')
    expect(await refusalOf(scene.desk.changeSecret(scene.change('anna', mine, 'bind', mine)))).toContain('no wallet secret')
    const twice = await scene.begin()
    await scene.desk.claimWallet(claimOf(twice.wallet.walletId, 'cora', newDevice()))
    expect(await refusalOf(scene.desk.claimWallet(claimOf(twice.wallet.walletId, 'cora', mine)))).toContain('signed by one')
    const byOperator = { project: 'default', userId: 'dora' }
    await scene.vault.commit((tx) => bindSecret(tx, byOperator, newDevice().publicKey, 'operator', 1))
    const first = await scene.begin()
    expect(await refusalOf(scene.desk.claimWallet(claimOf(first.wallet.walletId, 'dora', mine)))).toContain('signed by one')
  })

  it('the daemon moves no wallet to another user, and claims none whose address is out', async () => {
    const { wallet } = await grown()
    const mine = newDevice()
    expect(await refusalOf(scene.desk.claimWallet(claimOf(wallet.walletId, 'mallory', mine)))).toContain('another owner')
    const projects = await scene.create()
    expect(await refusalOf(scene.desk.claimWallet(claimOf(projects.walletId, 'mallory', mine)))).toContain('not being made')
    expect(await refusalOf(scene.desk.claimWallet(claimOf(new Uint8Array(16), 'mallory', mine)))).toContain('not being made')
  })

  it('a proof for another user, project or party, or by another key, binds nothing', async () => {
    const { wallet } = await scene.begin()
    const device = newDevice()
    const { secret } = claimOf(wallet.walletId, 'anna', device)
    const claim = { walletId: wallet.walletId, project: 'default', userId: 'bert', secret }
    expect(await refusalOf(scene.desk.claimWallet(claim))).toContain('sign for itself')
    const swapped = { ...claim, userId: 'anna', secret: { publicKey: newDevice().publicKey, signature: secret!.signature } }
    expect(await refusalOf(scene.desk.claimWallet(swapped))).toContain('sign for itself')
    expect(await refusalOf(scene.desk.claimWallet({ ...claim, project: 'other', userId: 'anna' }))).toContain('sign for itself')
  })

  it('a later one is signed by one that is there, waits a day, and can end the other', async () => {
    const { device, wallet } = await grown()
    const phone = newDevice()
    const order = scene.change('anna', device, 'bind', phone)
    expect(await refusalOf(scene.desk.changeSecret({ ...order, publicKey: newDevice().publicKey }))).toContain('no wallet')
    await scene.desk.changeSecret(order)
    await scene.desk.changeSecret(order)
    await scene.desk.changeSecret(scene.change('anna', device, 'remove', phone))
    expect(await refusalOf(scene.desk.changeSecret(order))).toContain('nonce')
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', phone))
    expect(await scene.export(scene.request(wallet, phone))).toBe('policy_denied')
    scene.clock.advance(DAY_MS)
    expect(await scene.export(scene.request(wallet, phone))).toBeInstanceOf(Uint8Array)
    await scene.desk.changeSecret(scene.change('anna', phone, 'remove', device))
    expect(await scene.export(scene.request(wallet, device))).toBe('policy_denied')
    await scene.restart()
    expect(await scene.export(scene.request(wallet, device))).toBe('policy_denied')
  })

  it('a sixth is refused and none gives way; an expired or foreign order changes nothing', async () => {
    const { device } = await grown()
    const owner = { project: 'default', userId: 'anna' }
    for (let i = 0; i < 4; i++) await scene.desk.changeSecret(scene.change('anna', device, 'bind', newDevice()))
    const before = listOwnerSecrets(scene.vault.read, owner).map(({ secretId }) => hexOf(secretId))
    expect(await refusalOf(scene.desk.changeSecret(scene.change('anna', device, 'bind', newDevice())))).toContain('at most 5')
    const late = scene.change('anna', device, 'remove', device, -1)
    expect(await refusalOf(scene.desk.changeSecret(late))).toContain('expired')
    const foreign = scene.change('bert', device, 'bind', newDevice())
    expect(await refusalOf(scene.desk.changeSecret(foreign))).toContain('no wallet secret')
    expect(listOwnerSecrets(scene.vault.read, owner).map(({ secretId }) => hexOf(secretId))).toEqual(before)
    expect(before).toHaveLength(5)
  })

  it('a wallet that never came to be leaves no owner and no secret behind', async () => {
    const { wallet } = await scene.begin()
    await scene.desk.claimWallet(claimOf(wallet.walletId, 'anna', newDevice()))
    await scene.store.abandonPending(wallet.walletId)
    expect(listOwnerSecrets(scene.vault.read, { project: 'default', userId: 'anna' })).toEqual([])
    const device = newDevice()
    await scene.create('anna', device)
    expect(listOwnerSecrets(scene.vault.read, { project: 'default', userId: 'anna' })).toHaveLength(1)
  })
})

describe("the approval of the cosigner's operator", () => {
  const approve = async (walletId: Uint8Array, key: Uint8Array, livesMs = 60_000): Promise<Uint8Array> => {
    const approvalId = new Uint8Array(randomBytes(16))
    const now = Math.trunc(scene.clock.nowMs())
    await scene.vault.commit((tx) => addApproval(tx, { approvalId, walletId, keyDigest: key, expireMs: now + livesMs }, now))
    return approvalId
  }

  it("is for one wallet and one key, once, and the only way to a project's wallet", async () => {
    const wallet = await scene.create()
    const { recipient } = newExportKey()
    const asked = { ...scene.request(wallet, newDevice(), recipient) }
    expect(await scene.export(asked)).toBe('policy_denied')
    const approvalId = await approve(wallet.walletId, digestOfKey(recipient))
    const approved = { ...asked, consent: { kind: 'operator', approvalId } } as const
    expect(await scene.export({ ...approved, recipient: newExportKey().recipient })).toBe('policy_denied')
    const other = await scene.create()
    const moved = { ...approved, walletId: other.walletId, publicKey: other.publicKey }
    expect(await scene.export(moved)).toBe('policy_denied')
    expect(await scene.export(approved)).toBeInstanceOf(Uint8Array)
    expect(await scene.export({ ...approved, nonce: new Uint8Array(randomBytes(32)) })).toBe('policy_denied')
    await scene.restart()
    expect(await scene.export({ ...approved, nonce: new Uint8Array(randomBytes(32)) })).toBe('policy_denied')
  })

  it('ends, and takes a key out of a link that is burned', async () => {
    const wallet = await scene.create()
    const { recipient } = newExportKey()
    const asked = scene.request(wallet, newDevice(), recipient)
    const late = await approve(wallet.walletId, digestOfKey(recipient), -1)
    expect(await scene.export({ ...asked, consent: { kind: 'operator', approvalId: late } })).toBe('policy_denied')
    await scene.link.burn()
    expect(await scene.export(asked)).toBe('link_burned')
    const approvalId = await approve(wallet.walletId, digestOfKey(recipient))
    expect(await scene.export({ ...asked, consent: { kind: 'operator', approvalId } })).toBeInstanceOf(Uint8Array)
  })
})

it('an export answer that nobody asked for touches nothing', async () => {
  expect(await scene.ask(new Uint8Array(80), FRAME_TYPES.EXPORT_ANSWER)).toBeTypeOf('string')
})
