/** Shares for delegates between a daemon and a cosigner that judges by itself: T1, T4, T21, T49, T55, T56 and T57 for them. */
import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { isFailure } from '../../src/domain/failure.ts'
import { walletIdFromBytes } from '../../src/domain/ids.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { makeLinkParties, type WalletBinding } from '../../src/engine/dkls23/contexts.ts'
import { decodeFrame, encodeFrame, FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { decodeSealedShare, encodeSealedShare } from '../../src/engine/dkls23/sealed-share.ts'
import { ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { decodeDelegatedShare } from '../../src/engine/sealing/delegated-share.ts'
import { envelopeText, openDynamicEnvelope } from '../../src/engine/sealing/dynamic-envelope.ts'
import { delegateStatement, digestOfDelegate } from '../../src/engine/sealing/owner-consent.ts'
import type { ForkOrder } from '../../src/party/fork-desk.ts'
import type { DecidedFork, ForkedShare, ForkStore } from '../../src/party/fork-initiator.ts'
import { keyIdOf } from '../../src/party/fork-responder.ts'
import { PeerRefusal } from '../../src/party/peer-refusal.ts'
import { hexOf } from '../../src/party/presignature-map.ts'
import { listAudit } from '../../src/vault/audit-chain.ts'
import { addApproval } from '../../src/vault/consents.ts'
import { forkBySid, listPendingForks } from '../../src/vault/forks.ts'
import { addFreeze, removeFreeze } from '../../src/vault/freezes.ts'
import { deleteKnownDelegate, putKnownDelegate } from '../../src/vault/known-delegates.ts'
import { verifyStateIndex } from '../../src/vault/state-index.ts'
import { DAY_MS, type Device, IDENTITIES, newDevice, ownedWallets, PARTY_C, PARTY_S } from './owned-wallets.ts'

type Scene = Awaited<ReturnType<typeof ownedWallets>>
let scene: Scene
let decided: DecidedFork[]
beforeEach(async () => {
  scene = await ownedWallets()
  decided = []
})
afterEach(() => verifyStateIndex(scene.vault.read))

const rsa = generateKeyPairSync('rsa', { modulusLength: 3072 })
const rsaKey = Uint8Array.from(rsa.publicKey.export({ format: 'der', type: 'spki' }))
const otherRsa = generateKeyPairSync('rsa', { modulusLength: 3072 })
const otherKey = Uint8Array.from(otherRsa.publicKey.export({ format: 'der', type: 'spki' }))
const { publicKey: identityKey, id: idG } = IDENTITIES.other
const { linkId } = makeLinkParties(idG, PARTY_C, 0)
const nowMs = (): number => Math.trunc(scene.clock.nowMs())

/** What a daemon asks, as the owner consented to it; `changes` are made after the consent was signed. */
const orderOf = (wallet: WalletBinding, device: Device, stated: Partial<Parameters<typeof delegateStatement>[0]> = {}): ForkOrder => {
  const { walletId, wEpoch, publicKey } = wallet
  const once = { expireMs: nowMs() + 60_000, nonce: new Uint8Array(randomBytes(32)) }
  const asked = { walletId, wEpoch, publicKey, ...once, rsaKey }
  const signed = delegateStatement({ ...asked, partyId: PARTY_S, idG, linkId, ...stated })
  return { ...asked, identityKey, consent: { kind: 'wallet_secret', secretId: device.secretId, signature: device.sign(signed) } }
}

const storeOf = (): ForkStore => ({
  ...scene.storeC,
  settleOutcome: async ({ walletId }) =>
    decided.some(({ record }) => hexOf(record.walletId) === hexOf(walletId)) ? 'COMMITTED' : 'ABORTED',
  commitFork: async (fork) => void decided.push({ ...fork, record: { ...fork.record, share: fork.record.share.slice() } }),
})

const ask = (wallet: WalletBinding, key = rsaKey, store = storeOf()): Promise<ForkedShare> =>
  scene.c.fork(store, { walletId: wallet.walletId, idG, linkId, keyId: keyIdOf(key) })

const refused = async (order: ForkOrder): Promise<string> => {
  const before = scene.alerts.length
  try {
    await scene.forks.permit(order)
  } catch (error) {
    if (!isFailure(error)) throw error
    expect(error.reason).toBe('DELEGATION_REFUSED')
    return scene.alerts.slice(before).join()
  }
  throw new Error('it was not refused')
}

const codeOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
  } catch (error) {
    if (error instanceof PeerRefusal) return error.refusal.code
    throw error
  }
  throw new Error('it was not refused')
}

const owned = async (userId = 'anna') => {
  const device = newDevice()
  return { device, wallet: await scene.create(userId, device) }
}

const opened = (forked: ForkedShare) => {
  const text = openDynamicEnvelope(rsa.privateKey, envelopeText(forked.envelope))
  const read = text && decodeDelegatedShare(text)
  if (read?.kind !== 'own') throw new Error('the envelope holds no share')
  return read.share
}

const kinds = (): string[] => listAudit(scene.vault.read, 0n, 100, {}).map(({ kind }) => kind).filter((kind) => kind.startsWith('wallet.'))

describe('a share for a delegate, with the consent of the owner', () => {
  it('that a set-up of the link came in between is begun again', async () => {
    const { wallet, device } = await owned()
    await scene.forks.permit(orderOf(wallet, device))
    const begun: number[] = []
    scene.wire.toS = (frame) => {
      const { type, ...rest } = decodeFrame(frame, ROLE_C)
      if (type === FRAME_TYPES.FORK1) begun.push(rest.lEpoch)
      return type === FRAME_TYPES.FORK1 && begun.length === 1 ? encodeFrame({ type, ...rest, lEpoch: 7 }) : frame
    }
    expect(hexOf(opened(await ask(wallet)).publicKey)).toBe(hexOf(wallet.publicKey))
    expect([begun.length, decided.length]).toEqual([2, 1])
  })

  it.each([ALG_SECP256K1, ALG_ED25519] as const)('alg %i: only the delegate opens it, and with the daemon it makes the key', async (alg) => {
    const device = newDevice()
    const wallet = await scene.create('anna', device, alg)
    await scene.forks.permit(orderOf(wallet, device))
    const forked = await ask(wallet)
    const { idG: to, idD, share, ...rest } = opened(forked)
    const [{ record, sourceId }] = decided as [DecidedFork]
    const group = groupOf(alg)
    expect([hexOf(to), hexOf(idD), hexOf(rest.linkId)]).toEqual([hexOf(idG), hexOf(PARTY_C), hexOf(linkId)])
    expect(hexOf(sourceId)).toBe(hexOf(wallet.walletId))
    expect(hexOf(group.mulBase(group.scalarAdd(share, record.share)))).toBe(hexOf(wallet.publicKey))
    expect([hexOf(record.pointC), hexOf(record.pointS)]).toEqual([hexOf(rest.pointG), hexOf(rest.pointD)])
    expect(record).toMatchObject({ state: 'FORKED', role: ROLE_S, wEpoch: 0 })
    expect(openDynamicEnvelope(otherRsa.privateKey, envelopeText(forked.envelope))).toBeUndefined()

    expect(kinds().slice(-2)).toEqual(['wallet.delegation_allowed', 'wallet.share_sealed'])
    const [row] = listAudit(scene.vault.read, 0n, 1, { kind: 'wallet.delegation_allowed' })
    expect(row).toMatchObject({ actor: { kind: 'end_user', id: 'default/anna' }, decision: 'allow' })
    // The wallet goes on as it was, and the envelope is kept until the daemon has it.
    expect(forkBySid(scene.vault.read, forked.sid)?.state).toBe('DECIDED')
    await scene.c.confirmFork(storeOf(), forked)
    expect(forkBySid(scene.vault.read, forked.sid)).toBeUndefined()
    if (alg === ALG_SECP256K1) expect(await scene.c.presign([wallet.walletId])).toHaveLength(1)
  })

  it('T49: the daemon that names a key, a delegate or a link of its own gets nothing, whatever it changes', async () => {
    const { device, wallet } = await owned()
    const other = newDevice()
    const honest = orderOf(wallet, device)
    const own = IDENTITIES.c.publicKey
    const lies: readonly ForkOrder[] = [
      { ...honest, rsaKey: otherKey },
      { ...honest, identityKey: IDENTITIES.s.publicKey },
      { ...honest, expireMs: honest.expireMs + 1_000 },
      { ...honest, nonce: new Uint8Array(randomBytes(32)) },
      { ...honest, wEpoch: 1 },
      { ...honest, publicKey: (await owned('bob')).wallet.publicKey },
      orderOf(wallet, other),
      { ...orderOf(wallet, other), consent: { kind: 'wallet_secret', secretId: device.secretId, signature: new Uint8Array(64) } },
      orderOf(wallet, device, { partyId: PARTY_C }),
      orderOf(wallet, device, { linkId: new Uint8Array(16) }),
      orderOf(wallet, device, { idG: PARTY_S }),
      orderOf(wallet, device, { rsaKey: otherKey }),
      { ...honest, consent: { kind: 'operator', approvalId: new Uint8Array(16) } },
      { ...honest, rsaKey: rsaKey.slice(1) },
    ]
    for (const order of lies) {
      await refused(order)
      expect(await codeOf(ask(wallet))).toBe('policy_denied')
    }
    // The daemon itself is nobody's delegate.
    await expect(scene.forks.permit({ ...honest, identityKey: own })).rejects.toThrow()
    // A consent to export is none to delegate.
    const exporting = scene.request(wallet, device, { kind: 2, key: rsaKey })
    await refused({ ...honest, expireMs: exporting.expireMs, nonce: exporting.nonce, consent: exporting.consent })
    expect(kinds()).not.toContain('wallet.delegation_allowed')
    expect(decided).toEqual([])
    await scene.forks.permit(honest)
    expect(opened(await ask(wallet)).walletId).toHaveLength(16)
    expect(scene.link.record.strikeAtMs).toEqual([0n, 0n, 0n])
  })

  it('T49: a permit for one delegate makes a share for no other, over no other link', async () => {
    const { device, wallet } = await owned()
    for (const terms of [{ idG: PARTY_S, linkId }, { idG, linkId: new Uint8Array(16) }]) {
      await scene.forks.permit(orderOf(wallet, device))
      const lying = scene.c.fork(storeOf(), { walletId: wallet.walletId, keyId: keyIdOf(rsaKey), ...terms })
      await expect(lying).rejects.toThrow('sid mismatch')
    }
    const { wallet: unasked } = await owned('bob')
    expect(await codeOf(ask(unasked))).toBe('policy_denied')
    expect([decided, listPendingForks(scene.vault.read)]).toEqual([[], []])
  })

  it('a consent is good once, for one fork, also across a restart; asked again before it was used it is the same', async () => {
    const { device, wallet } = await owned()
    const order = orderOf(wallet, device)
    await scene.forks.permit(order)
    await scene.forks.permit(order)
    expect(kinds().filter((kind) => kind === 'wallet.delegation_allowed')).toHaveLength(1)
    await ask(wallet)
    expect(await codeOf(ask(wallet))).toBe('policy_denied')
    expect(await refused(order)).toContain('nonce')
    await scene.restart()
    expect(await refused(order)).toContain('nonce')
    expect(await codeOf(ask(wallet))).toBe('policy_denied')
    // Allowed and not used before a restart: it is gone with the process, and its nonce with it.
    const late = orderOf(wallet, device)
    await scene.forks.permit(late)
    await scene.restart()
    expect(await codeOf(ask(wallet))).toBe('policy_denied')
  })

  it('T57: a wallet secret of the daemon\'s alone, or younger than a day, allows nothing', async () => {
    const { device, wallet } = await owned()
    const second = newDevice()
    expect(await refused(orderOf(wallet, second))).toContain('not in the register')
    await scene.desk.changeSecret(scene.change('anna', device, 'bind', second))
    expect(await refused(orderOf(wallet, second))).toContain('younger than a day')
    scene.clock.advance(DAY_MS - 60_000)
    expect(await refused(orderOf(wallet, second))).toContain('younger than a day')
    scene.clock.advance(61_000)
    await scene.forks.permit(orderOf(wallet, second))
    const { wallet: nobodys, decide } = await scene.begin()
    await scene.desk.claimForProject({ walletId: nobodys.walletId, project: 'default' })
    await decide()
    expect(await refused(orderOf(nobodys, device))).toContain('no end user')
  })

  it('its time is five minutes at most, and what was allowed ends with it', async () => {
    const { device, wallet } = await owned()
    const far = { expireMs: nowMs() + 301_000 }
    expect(await refused({ ...orderOf(wallet, device, far), ...far })).toContain('five minutes')
    const past = { expireMs: nowMs() - 1 }
    expect(await refused({ ...orderOf(wallet, device, past), ...past })).toContain('expired')
    await scene.forks.permit(orderOf(wallet, device))
    scene.clock.advance(61_000)
    expect(await codeOf(ask(wallet))).toBe('policy_denied')
  })

  it('freezes of the cosigner hold it back, also the envelope of one that is made', async () => {
    const { device, wallet } = await owned()
    const subject = { scope: 'wallet', id: walletIdFromBytes(wallet.walletId) } as const
    const freeze = { ...subject, reason: '', actor: { kind: 'operator', id: '' } as const, createMs: nowMs() }
    await scene.vault.commit((tx) => addFreeze(tx, freeze))
    expect(await refused(orderOf(wallet, device))).toContain('frozen')
    await scene.vault.commit((tx) => removeFreeze(tx, subject))
    await scene.forks.permit(orderOf(wallet, device))
    const frozen: ForkStore = {
      ...storeOf(),
      commitFork: async (fork) => {
        await storeOf().commitFork(fork)
        await scene.vault.commit((tx) => addFreeze(tx, freeze))
      },
    }
    expect(await codeOf(ask(wallet, rsaKey, frozen))).toBe('policy_denied')
  })

  it('a cosigner where it is switched off makes none', async () => {
    scene = await ownedWallets({ allowDelegation: false })
    const { device, wallet } = await owned()
    expect(await refused(orderOf(wallet, device))).toContain('not switched on')
  })

  it('one wallet is forked twelve times an hour at most', async () => {
    const { device, wallet } = await owned()
    for (let i = 0; i < 12; i++) await scene.forks.permit(orderOf(wallet, device))
    expect(await refused(orderOf(wallet, device))).toContain('too many')
    scene.clock.advance(3_601_000)
    await scene.forks.permit(orderOf(wallet, device))
  })
})

describe('a share for a delegate, by the operator of the cosigner', () => {
  const approval = async (wallet: WalletBinding, key = rsaKey, expireMs = nowMs() + 60_000) => {
    const approvalId = new Uint8Array(randomBytes(16))
    const keyDigest = digestOfDelegate({ rsaKey: key, idG })
    await scene.vault.commit((tx) => addApproval(tx, { approvalId, walletId: wallet.walletId, keyDigest, expireMs }, nowMs()))
    return approvalId
  }
  const register = (key = rsaKey) =>
    scene.vault.commit((tx) => putKnownDelegate(tx, { partyId: idG, identityKey, name: 'bots', rsaKey: key, createMs: nowMs() }))
  const orderBy = (wallet: WalletBinding, approvalId: Uint8Array, key = rsaKey): ForkOrder => {
    const { walletId, wEpoch, publicKey } = wallet
    const once = { expireMs: nowMs() + 60_000, nonce: new Uint8Array(randomBytes(32)) }
    return { walletId, wEpoch, publicKey, identityKey, rsaKey: key, ...once, consent: { kind: 'operator', approvalId } }
  }

  it('needs both: the delegate in the register and this wallet approved, once', async () => {
    const { wallet } = await owned()
    const { wallet: other } = await owned('bob')
    expect(await refused(orderBy(wallet, await approval(wallet)))).toContain('not registered')
    await register(otherKey)
    expect(await refused(orderBy(wallet, await approval(wallet)))).toContain('another key')
    await register()
    expect(await refused(orderBy(wallet, await approval(wallet, otherKey), otherKey))).toContain('another key')
    expect(await refused(orderBy(wallet, await approval(other)))).toContain('another wallet')
    expect(await refused(orderBy(wallet, await approval(wallet, otherKey)))).toContain('another wallet')
    const late = await approval(wallet, rsaKey, nowMs() + 1_000)
    scene.clock.advance(1_001)
    expect(await refused(orderBy(wallet, late))).toContain('expired')
    const approvalId = await approval(wallet)
    await scene.forks.permit(orderBy(wallet, approvalId))
    expect(opened(await ask(wallet)).idG).toEqual(idG)
    expect(await refused(orderBy(wallet, approvalId))).toContain('no such approval')
    const [row] = listAudit(scene.vault.read, 0n, 1, { kind: 'wallet.delegation_allowed' })
    expect(row?.actor).toMatchObject({ kind: 'operator', id: hexOf(approvalId) })
    await scene.vault.commit((tx) => deleteKnownDelegate(tx, idG, nowMs()))
    expect(await refused(orderBy(wallet, await approval(wallet)))).toContain('not registered')
  })
})

describe('what goes wrong on the way', () => {
  const allowed = async () => {
    const { device, wallet } = await owned()
    await scene.forks.permit(orderOf(wallet, device))
    return { device, wallet, again: () => scene.forks.permit(orderOf(wallet, device)) }
  }
  const typeIn = (frame: Uint8Array | undefined): number => frame?.[5] ?? 0

  it('T55: an answer that is lost leaves nothing, or is asked for again; no share is handed out twice', async () => {
    const { wallet, again } = await allowed()
    // FORK4 is lost: the cosigner hears that it was given up, and forgets the envelope.
    scene.wire.toC = (frame) => (typeIn(frame) === FRAME_TYPES.FORK4 ? undefined : frame)
    await expect(ask(wallet)).rejects.toThrow('no answer')
    expect([decided, listPendingForks(scene.vault.read)]).toEqual([[], []])
    // So is what it is told: it asks by itself, and learns that there is none.
    await again()
    scene.wire.toS = (frame) => (typeIn(frame) === FRAME_TYPES.OUTCOME_ANSWER ? new Uint8Array(0) : frame)
    await expect(ask(wallet)).rejects.toThrow('no answer')
    expect(listPendingForks(scene.vault.read)).toHaveLength(1)
    scene.wire.toS = (frame) => frame
    scene.wire.toC = (frame) => frame
    await scene.restart()
    await scene.c.connect()
    await scene.s.settled()
    expect(listPendingForks(scene.vault.read)).toEqual([])
    expect(decided).toEqual([])
  })

  it('T55: once decided, the same envelope is answered until it is confirmed, across a restart', async () => {
    const { wallet } = await allowed()
    const lost: Uint8Array[] = []
    scene.wire.toC = (frame) => {
      if (frame === undefined || typeIn(frame) !== FRAME_TYPES.SEALED_SHARE) return frame
      lost.push(frame)
      return lost.length < 2 ? undefined : frame
    }
    await expect(ask(wallet)).rejects.toThrow('no answer')
    expect(decided).toHaveLength(1)
    const [first] = lost as [Uint8Array]
    const { sid } = decodeFrame(first, ROLE_S)
    await scene.restart()
    const { linkId: onLink } = scene.link.parties
    const fifth = encodeFrame({ type: FRAME_TYPES.FORK5, role: ROLE_C, linkId: onLink, lEpoch: 0, sid, body: new Uint8Array(0) })
    const repeated = await scene.s.answer(fifth)
    expect(hexOf(decodeFrame(repeated!, ROLE_S).body)).toBe(hexOf(decodeFrame(first, ROLE_S).body))
    const said = decodeSealedShare(decodeFrame(first, ROLE_S).body)
    const body = encodeSealedShare({ ...said, envelope: new Uint8Array(0) })
    const confirm = encodeFrame({ type: FRAME_TYPES.SEALED_SHARE, role: ROLE_C, linkId: onLink, lEpoch: 0, sid, body })
    expect(await scene.s.answer(confirm)).toBeUndefined()
    expect(decodeFrame((await scene.s.answer(fifth))!, ROLE_S).type).toBe(FRAME_TYPES.ERROR)
  })

  it('T55: a cosigner that asks meanwhile ends the run, and the daemon cannot commit it any more', async () => {
    const { wallet } = await allowed()
    const verdicts: string[] = []
    const store = { ...storeOf(), commitFork: () => Promise.reject(new Error('given up')) }
    await expect(ask(wallet, rsaKey, { ...store, settleOutcome: async () => (verdicts.push('ABORTED'), 'ABORTED' as const) })).rejects.toThrow('given up')
    expect(verdicts).toEqual(['ABORTED'])
    expect(listPendingForks(scene.vault.read)).toEqual([])
  })

  it('T1 T4: damage in any message completes nothing, and harms no wallet; what only a peer can break is a strike', async () => {
    const { wallet, again } = await allowed()
    const { FORK1, FORK2, FORK3, FORK4, SEALED_SHARE } = FRAME_TYPES
    const flip = (frame: Uint8Array, at: number): Uint8Array => {
      const bent = frame.slice()
      bent[at < 0 ? bent.length + at : at]! ^= 1
      return bent
    }
    const cases = [
      ['toS', FORK1, 64 + 40], ['toS', FORK3, 64 + 5], ['toS', FORK3, -1], ['toC', FORK2, 64 + 3], ['toC', FORK4, -1],
      ['toC', FORK4, 64 + 40], ['toC', SEALED_SHARE, 64 + 3], ['toC', SEALED_SHARE, 64 + 228],
    ] as const
    for (const [way, type, at] of cases) {
      await again()
      decided = []
      if (way === 'toS') scene.wire.toS = (frame) => (typeIn(frame) === type ? flip(frame, at) : frame)
      else scene.wire.toC = (frame) => (frame !== undefined && typeIn(frame) === type ? flip(frame, at) : frame)
      await expect(ask(wallet)).rejects.toThrow()
      scene.wire.toS = (frame) => frame
      scene.wire.toC = (frame) => frame
      if (type !== SEALED_SHARE) expect(decided).toEqual([])
      for (const link of [scene.link, scene.linkC]) {
        await link.save(() => ({ state: 'ACTIVE', strikeAtMs: [0n, 0n, 0n] }))
      }
    }
    await again()
    expect(opened(await ask(wallet)).walletId).toHaveLength(16)
  })

  it('no refresh of the wallet is begun under it, and none that is undecided is forked', async () => {
    const { wallet, again } = await allowed()
    await scene.c.refreshes.refresh(wallet.walletId)
    // The consent was for the epoch before.
    expect(await codeOf(ask(wallet))).toBe('policy_denied')
    await expect(again()).rejects.toThrow()
  })

  it('the text of the share stands in none of what the cosigner keeps', async () => {
    const { wallet } = await allowed()
    const forked = await ask(wallet)
    const { share } = opened(forked)
    const kept = scene.vault.read.all<{ message: Buffer }>('SELECT message FROM forks').map(({ message }) => message.toString('hex'))
    expect(kept).toHaveLength(1)
    for (const form of [hexOf(share), hexOf(share.toReversed())]) expect(kept.join().includes(form)).toBe(false)
  })
})
