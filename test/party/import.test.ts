/** A key that a client has split comes in: what each party checks by itself, and what a wrong word costs whom. */
import { randomBytes } from 'node:crypto'
import { beforeEach, describe, expect, it } from 'vitest'
import { assertPinned, splitKey } from '../../src/client/split-key.ts'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { decodeFrame, encodeFrame, FRAME_TYPES, type FrameType } from '../../src/engine/dkls23/frame.ts'
import { encodeImportOwner, importAad, type ImportOwner, OWNER_END_USER, OWNER_PROJECT } from '../../src/engine/dkls23/import.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { KIND_X25519, sealShareTo } from '../../src/engine/sealing/share-envelope.ts'
import type { ImportOrder } from '../../src/party/import-initiator.ts'
import { PeerRefusal } from '../../src/party/peer-refusal.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { addFreeze } from '../../src/vault/freezes.ts'
import { getWalletOwner, listOwnerSecrets } from '../../src/vault/owner-register.ts'
import { getShare } from '../../src/vault/wallet-shares.ts'
import { typeOf } from './mutator.ts'
import { claimOf, IDENTITIES, newDevice, ownedWallets, PARTY_C, PARTY_S, vouchedBy } from './owned-wallets.ts'

type Scene = Awaited<ReturnType<typeof ownedWallets>>
let scene: Scene
beforeEach(async () => {
  await ed25519Ready()
  scene = await ownedWallets()
})

const ownerOf = (changes: Partial<ImportOwner> = {}): ImportOwner => ({
  expireMs: Math.trunc(scene.clock.nowMs()) + 60_000,
  ownerType: OWNER_PROJECT,
  project: 'default',
  userId: 'anna',
  ...changes,
})

const scalarOf = (alg: Alg): Uint8Array => {
  for (;;) {
    const scalar = new Uint8Array(randomBytes(32))
    scalar[31]! &= groupOf(alg).topByteMask
    if (groupOf(alg).isCanonicalScalar(scalar)) return scalar
  }
}

/** What a client makes of a key. */
const orderOf = (alg: Alg = ALG_SECP256K1, changes: Partial<ImportOwner> = {}, scalar = scalarOf(alg)): ImportOrder => {
  const owner = ownerOf(changes)
  const pin = { cosignerId: PARTY_S, nowMs: scene.clock.nowMs() }
  const { opening, daemonEnvelope, cosignerEnvelope } = splitKey(alg, scalar, owner, scene.importKeys(), pin)
  return { opening, owner, envelopeC: daemonEnvelope, envelopeS: cosignerEnvelope }
}

const take = (order: ImportOrder) => scene.c.import(scene.keys.c, order)

/** The code that an import is refused with, at either party. */
const refusalOf = async (order: ImportOrder): Promise<string> => {
  try {
    await take(order)
  } catch (error) {
    if (error instanceof PeerRefusal) return error.refusal.code
    return (error as { codeName: string }).codeName
  }
  throw new Error('it was not refused')
}

const strikes = (): readonly bigint[] => scene.link.record.strikeAtMs.filter((at) => at !== 0n)

/** IM5, after C's own record is decided. */
const decide = async ({ sid, wallets }: Awaited<ReturnType<typeof take>>) => {
  const [wallet] = wallets
  if (wallet === undefined) throw new Error('no wallet')
  await scene.storeC.activate(wallet.walletId, 0)
  await scene.c.acknowledge(sid, FRAME_TYPES.IM5)
  return wallet
}

/** Seals a half to the cosigner under an order's own additional data, after `bend` changed what it says. */
const resealed = (order: ImportOrder, half: Uint8Array): ImportOrder => {
  const aad = importAad(order.opening, ROLE_S, PARTY_S, encodeImportOwner(order.owner))
  const recipient = { kind: KIND_X25519, key: scene.keys.s.current().key } as const
  const ephemeral = new Uint8Array(randomBytes(32))
  return { ...order, envelopeS: sealShareTo(recipient, { purpose: 'import', aad, ephemeral }, half) }
}

describe('an import', () => {
  it('that a set-up of the link came in between is begun again', async () => {
    scene.wire.toS = (frame) => {
      if (typeOf(frame) !== FRAME_TYPES.IM1) return frame
      scene.wire.toS = (other) => other
      return encodeFrame({ ...decodeFrame(frame, ROLE_C), lEpoch: 7 })
    }
    const wallet = await decide(await take(orderOf()))
    expect(getShare(scene.vault.read, wallet.walletId)?.state).toBe('IMPORTED')
  })

  it.each([ALG_SECP256K1, ALG_ED25519] as const)('alg %i: is of the key, signs nothing before a refresh, and then does', async (alg) => {
    const scalar = scalarOf(alg)
    const publicKey = hexOf(groupOf(alg).mulBase(scalar))
    const wallet = await decide(await take(orderOf(alg, {}, scalar)))
    expect(hexOf(wallet.publicKey)).toBe(publicKey)
    expect(getShare(scene.vault.read, wallet.walletId)?.state).toBe('IMPORTED')
    const presign = () => (alg === ALG_ED25519 ? scene.c.ed : scene.c).presign([wallet.walletId])
    expect(await presign()).toEqual([])
    const before = hexOf((await scene.store.loadWallet(wallet.walletId))!.share)
    await scene.c.refreshes.refresh(wallet.walletId)
    const after = (await scene.store.loadWallet(wallet.walletId))!
    expect(after).toMatchObject({ state: 'ACTIVE', wEpoch: 1, origin: 'import' })
    expect(hexOf(after.share)).not.toBe(before)
    expect(hexOf(after.publicKey)).toBe(publicKey)
    expect(await presign()).toHaveLength(1)
  })

  it("an end user's is theirs at the cosigner, with the first wallet secret", async () => {
    const device = newDevice()
    const made = await take(orderOf(ALG_SECP256K1, { ownerType: OWNER_END_USER }))
    const { walletId } = made.wallets[0]!
    expect(getWalletOwner(scene.vault.read, walletId)).toMatchObject({ project: 'default', userId: 'anna' })
    await scene.desk.claimWallet(claimOf(walletId, 'anna', device))
    await decide(made)
    expect(listOwnerSecrets(scene.vault.read, { project: 'default', userId: 'anna' })).toHaveLength(1)
  })
})

describe('T24 what a client says, and a daemon passes on', () => {
  it('is refused without a strike, whatever is wrong with it', async () => {
    const group = groupOf(ALG_SECP256K1)
    const other = group.mulBase(scalarOf(ALG_SECP256K1))
    const good = orderOf()
    const half = scalarOf(ALG_SECP256K1)
    const point = group.mulBase(half)
    const twice = group.addPoints([point, point])!
    const bent: readonly [string, ImportOrder][] = [
      ['another public key', { ...good, opening: { ...good.opening, publicKey: other } }],
      ['another X_S', { ...good, opening: { ...good.opening, pointS: other } }],
      ['another X_C', { ...good, opening: { ...good.opening, pointC: other } }],
      ['no point', { ...good, opening: { ...good.opening, publicKey: new Uint8Array(33).fill(5) } }],
      ['x_C = x_S', resealed({ ...good, opening: { ...good.opening, publicKey: twice, pointC: point, pointS: point } }, half)],
      ['x_S = 0', resealed(good, new Uint8Array(32))],
      ['x_S out of range', resealed(good, new Uint8Array(32).fill(0xff))],
      ['another half', resealed(good, half)],
      ['another chain code', { ...good, opening: { ...good.opening, chainCode: new Uint8Array(32) } }],
      ['another import id', { ...good, opening: { ...good.opening, importId: new Uint8Array(16) } }],
      ["another user", { ...good, owner: { ...good.owner, userId: 'mallory' } }],
      ['another project', { ...good, owner: { ...good.owner, project: 'other' } }],
      ['another owner type', { ...good, owner: { ...good.owner, ownerType: OWNER_END_USER } }],
      ['a later expiry', { ...good, owner: { ...good.owner, expireMs: good.owner.expireMs + 1 } }],
      ['envelopes changed over', { ...good, envelopeC: good.envelopeS, envelopeS: good.envelopeC }],
      ["the other party's envelope twice", { ...good, envelopeS: good.envelopeC }],
      ['an envelope of another length', { ...good, envelopeS: good.envelopeS.subarray(1) }],
      ['an envelope of low order', { ...good, envelopeS: good.envelopeS.slice().fill(0, 0, 32) }],
    ]
    for (const [what, order] of bent) expect(await refusalOf(order), what).toBe('import_refused')
    expect(strikes()).toEqual([])
    expect((await take(good)).wallets).toHaveLength(1)
  })

  it('the same, said to the cosigner alone by a daemon that checks nothing', async () => {
    const good = orderOf()
    const { body } = await recorded(good)
    // N_C 32 ‖ alg ‖ importId 16 ‖ PK 33 ‖ X_C 33 ‖ X_S 33 ‖ cc 32 ‖ envelope 80 ‖ u16 ‖ owner fields
    for (const at of [33, 49, 50, 82, 83, 115, 116, 148, 180, 259, 262, 270, 271, 272, body.length - 1]) {
      const bent = body.slice()
      bent[at]! ^= 1
      expect(await scene.ask(bent, FRAME_TYPES.IM1), `byte ${at}`).toBe('import_refused')
    }
    expect(strikes()).toEqual([])
    expect(await scene.ask(body.subarray(1), FRAME_TYPES.IM1)).toBe('protocol')
    expect(await scene.ask(body.with(32, 7), FRAME_TYPES.IM1)).toBe('protocol')
  })

  it('an import is taken in once, also across a restart, also when it was given up', async () => {
    const order = orderOf()
    await decide(await take(order))
    expect(await refusalOf(order)).toBe('import_refused')
    await scene.restart()
    expect(await refusalOf(order)).toBe('import_refused')
    const given = orderOf()
    const { wallets } = await take(given)
    await scene.store.abandonPending(wallets[0]!.walletId)
    expect(await refusalOf(given)).toBe('import_refused')
  })

  it('an expired split, a frozen project, a party that takes nothing in', async () => {
    for (const expireInMs of [-1, 3_700_000]) {
      const expireMs = Math.trunc(scene.clock.nowMs()) + expireInMs
      expect(await refusalOf(orderOf(ALG_SECP256K1, { expireMs }))).toBe('import_refused')
    }
    expect(await refusalOf(orderOf(ALG_SECP256K1, { project: 'Not A Project' }))).toBe('import_refused')
    expect(await refusalOf(orderOf(ALG_SECP256K1, { userId: `0x${'ab'.repeat(20)}` }))).toBe('import_refused')
    const actor = { kind: 'operator', id: '' } as const
    await scene.vault.commit((tx) => addFreeze(tx, { scope: 'project', id: 'default', reason: '', actor, createMs: 1 }))
    expect(await refusalOf(orderOf())).toBe('import_refused')
    scene = await ownedWallets({ allowImport: false })
    expect(await refusalOf(orderOf())).toBe('import_refused')
    expect(strikes()).toEqual([])
  })

  it('a half that was sealed more than an hour ago does not open', async () => {
    const order = orderOf(ALG_SECP256K1)
    scene.clock.advance(3_000_001)
    expect(await refusalOf({ ...order, owner: ownerOf() })).toBe('import_refused')
  })
})

/** Runs an import whose message of this type is lost, either on its way or after it was carried out. */
const losing = async (type: FrameType, whenAnswered: boolean): Promise<void> => {
  scene.wire.toS = (frame) => {
    if (typeOf(frame) === type && !whenAnswered) throw new Error('lost')
    return frame
  }
  scene.wire.toC = (frame) => {
    if (frame !== undefined && whenAnswered && typeOf(frame) === type + 1) throw new Error('lost')
    return frame
  }
  await expect(take(orderOf())).rejects.toThrow('lost')
  scene.wire.toS = (frame) => frame
  scene.wire.toC = (frame) => frame
}

/** IM1 as C sends it for this order. */
const recorded = async (order: ImportOrder): Promise<{ readonly body: Uint8Array }> => {
  let body: Uint8Array | undefined
  scene.wire.toS = (frame) => {
    body = frame.slice(64)
    throw new Error('recorded')
  }
  await expect(take(order)).rejects.toThrow('recorded')
  scene.wire.toS = (frame) => frame
  if (body === undefined) throw new Error('nothing was sent')
  return { body }
}

describe('the parties among themselves', () => {
  it('a proof or confirmation that is wrong is a violation of who made it', async () => {
    for (const at of [64 + 40, 64 + 70]) {
      scene.wire.toS = (frame) => (typeOf(frame) === FRAME_TYPES.IM3 ? frame.with(at, frame[at]! ^ 1) : frame)
      expect(await refusalOf(orderOf())).toBe('protocol')
    }
    expect(strikes()).toHaveLength(2)
    scene.wire.toS = (frame) => frame
    scene.wire.toC = (frame) =>
      frame !== undefined && typeOf(frame) === FRAME_TYPES.IM2 ? frame.with(64 + 80, frame[64 + 80]! ^ 1) : frame
    expect(await refusalOf(orderOf())).toBe('protocol')
  })

  it('T55 a message that is lost leaves both with the wallet or neither, and C decides', async () => {
    for (const [type, whenAnswered] of [
      [FRAME_TYPES.IM1, false],
      [FRAME_TYPES.IM1, true],
      [FRAME_TYPES.IM3, false],
      [FRAME_TYPES.IM3, true],
    ] as const) {
      await losing(type, whenAnswered)
      await scene.restart()
      await scene.s.settled()
      expect(await scene.store.pendingWallets(), `${type} ${whenAnswered}`).toEqual([])
    }
    expect(scene.storeC.wallets.size).toBe(0)
    const made = await take(orderOf())
    const { walletId } = made.wallets[0]!
    await scene.storeC.activate(walletId, 0)
    await scene.restart()
    await scene.s.settled()
    expect(getShare(scene.vault.read, walletId)?.state).toBe('IMPORTED')
    await scene.c.refreshes.refresh(walletId)
    expect(getShare(scene.vault.read, walletId)).toMatchObject({ state: 'ACTIVE', wEpoch: 1 })
  })
})

describe('T57 the pinned identity of the cosigner', () => {
  const pinned = () => ({ keys: scene.importKeys(), nowMs: scene.clock.nowMs() })

  it('a key that the daemon names, or another identity vouches for, is taken by no client', () => {
    const { keys, nowMs } = pinned()
    assertPinned(keys, PARTY_S, nowMs)
    const own = vouchedBy(IDENTITIES.other, scene.keys.c.current())
    const { key } = scene.keys.c.current()
    const lies = [
      own,
      { ...own, partyId: PARTY_S },
      { ...keys.cosigner, key },
      { ...keys.cosigner, expireMs: keys.cosigner.expireMs - 1 },
      { ...keys.cosigner, identityKey: own.identityKey },
      { ...keys.cosigner, signature: own.signature },
      { ...keys.cosigner, signature: new Uint8Array(0) },
      keys.daemon,
    ]
    for (const cosigner of lies) expect(() => assertPinned({ ...keys, cosigner }, PARTY_S, nowMs)).toThrow('pinned')
    const daemon = keys.cosigner
    expect(() => assertPinned({ ...keys, daemon }, PARTY_S, nowMs)).toThrow('both')
    expect(() => assertPinned(keys, PARTY_C, nowMs)).toThrow('pinned')
  })

  it('one that has expired, or is good for more than an hour, likewise', () => {
    const { keys, nowMs } = pinned()
    expect(() => assertPinned(keys, PARTY_S, keys.cosigner.expireMs)).toThrow('pinned')
    const long = vouchedBy(IDENTITIES.s, { ...scene.keys.s.current(), expireMs: Math.trunc(nowMs) + 3_700_000 })
    expect(() => assertPinned({ ...keys, cosigner: long }, PARTY_S, nowMs)).toThrow('pinned')
  })

  it('a scalar out of range is not split', () => {
    const { keys, nowMs } = pinned()
    const pin = { cosignerId: PARTY_S, nowMs }
    for (const scalar of [new Uint8Array(32), new Uint8Array(32).fill(0xff), new Uint8Array(31).fill(1)]) {
      expect(() => splitKey(ALG_SECP256K1, scalar, ownerOf(), keys, pin)).toThrow('range')
    }
  })
})
