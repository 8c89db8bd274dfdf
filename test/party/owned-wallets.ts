/** Party C over memory and the cosigner over a vault of its own, with a register, a clock that can be moved and users with wallet secrets. */
import { generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import { isFailure } from '../../src/domain/failure.ts'
import type { ExportRequest } from '../../src/engine/dkls23/export.ts'
import { encodeExportRequest } from '../../src/engine/dkls23/export.ts'
import { makeLinkParties } from '../../src/engine/dkls23/contexts.ts'
import { decodeError, decodeFrame, encodeFrame, FRAME_TYPES, type FrameType, NO_SID } from '../../src/engine/dkls23/frame.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { type Alg, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import {
  exportStatement,
  firstSecretStatement,
  secretChangeStatement,
  secretIdOf,
} from '../../src/engine/sealing/owner-consent.ts'
import { type ImportKey, importKeyStatement, partyIdOf } from '../../src/engine/sealing/import-key.ts'
import { x25519PublicKey } from '../../src/engine/sealing/hpke.ts'
import { KIND_X25519 } from '../../src/engine/sealing/share-envelope.ts'
import { createCosignerStore } from '../../src/party/cosigner-store.ts'
import { ForkDesk } from '../../src/party/fork-desk.ts'
import { ImportKeys } from '../../src/party/import-keys.ts'
import { Initiator } from '../../src/party/initiator.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore } from '../../src/party/memory-store.ts'
import { OwnerDesk, type WalletClaim } from '../../src/party/owner-desk.ts'
import { Responder } from '../../src/party/responder.ts'
import { ShareSeal } from '../../src/party/share-sealing.ts'
import { type CosignerVault, openCosignerVault } from '../../src/vault/cosigner-vault.ts'
import { makeCosignerVault, makePlace, type Place } from '../vault/fixture.ts'
import { entropy, sha256, testClock } from './two-parties.ts'

export const DAY_MS = 86_400_000

const newIdentity = () => {
  const pair = generateKeyPairSync('ed25519')
  const publicKey = Uint8Array.from(pair.publicKey.export({ format: 'der', type: 'spki' }).subarray(-32))
  return { publicKey, id: partyIdOf(publicKey), sign: (said: Uint8Array) => new Uint8Array(sign(null, said, pair.privateKey)) }
}
export type Identity = ReturnType<typeof newIdentity>
export const IDENTITIES = { c: newIdentity(), s: newIdentity(), other: newIdentity() }
export const PARTY_S = IDENTITIES.s.id
export const PARTY_C = IDENTITIES.c.id

/** An import key as this identity vouches for it. */
export const vouchedBy = (identity: Identity, one: { readonly key: Uint8Array; readonly expireMs: number }): ImportKey => {
  const { id: partyId, publicKey: identityKey } = identity
  return { ...one, partyId, identityKey, signature: identity.sign(importKeyStatement({ ...one, partyId })) }
}

/** A wallet secret as the device of a user holds it. */
export type Device = {
  readonly publicKey: Uint8Array
  readonly secretId: Uint8Array
  readonly sign: (statement: Uint8Array) => Uint8Array
}

export const newDevice = (): Device => {
  const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const publicKey = Uint8Array.from(pair.publicKey.export({ format: 'der', type: 'spki' }))
  const key = { key: pair.privateKey, dsaEncoding: 'ieee-p1363' } as const
  return {
    publicKey,
    secretId: secretIdOf(publicKey),
    sign: (statement) => Uint8Array.from(sign('sha256', statement, key)),
  }
}

export const newExportKey = () => {
  const secret = new Uint8Array(randomBytes(32))
  return { secret, recipient: { kind: KIND_X25519, key: x25519PublicKey(secret) } as const }
}

/** What the daemon hands over when a user's first wallet is made. */
export const claimOf = (walletId: Uint8Array, userId: string, device?: Device): WalletClaim => ({
  walletId,
  project: 'default',
  userId,
  secret: device && {
    publicKey: device.publicKey,
    signature: device.sign(firstSecretStatement({ partyId: PARTY_S, project: 'default', userId }, device.publicKey)),
  },
})

/** Why the cosigner refused a wallet secret. */
export const whyNoSecret = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
  } catch (error) {
    if (isFailure(error) && error.reason === 'WALLET_SECRET_REFUSED') return (error.facts as { why: string }).why
    throw error
  }
  throw new Error('it was not refused')
}

export const ownedWallets = async (options: { readonly allowExport?: boolean; readonly allowImport?: boolean; readonly allowDelegation?: boolean } = {}) => {
  const place: Place = makePlace()
  const clock = testClock()
  let vault: CosignerVault = await makeCosignerVault(place)
  const parties = makeLinkParties(PARTY_C, PARTY_S, 0)
  const alerts: string[] = []
  const alert = (what: string, detail: string): void => void alerts.push(`${what}: ${detail}`)
  const storeC = createMemoryStore()
  const nowMs = BigInt(Math.trunc(clock.nowMs()))
  const events = { alert, wipeSessions: () => undefined }
  const incarnationId = new Uint8Array(randomBytes(16))
  const recordS = newLinkRecord(parties, ROLE_S, nowMs)
  const keys = { c: new ImportKeys(entropy, clock), s: new ImportKeys(entropy, clock) }
  const open = async (record = recordS) => {
    const desk = new OwnerDesk({ vault, clock, partyId: PARTY_S, allowExport: options.allowExport ?? true, allowImport: options.allowImport ?? true, alert })
    const store = createCosignerStore(vault, new ShareSeal(vault.shareKey(), vault.vaultId), clock, desk)
    const link = new Link(parties, record, store, clock, events)
    const { loadWallet } = store
    const forks = new ForkDesk({ vault, clock, partyId: PARTY_S, isOff: options.allowDelegation === false, loadWallet, alert })
    forks.joined(PARTY_C)
    const s = new Responder({
      link, store, entropy, clock, incarnationId, alert, importKeys: keys.s, forks,
      readPayload: (payload) => ({ digest: sha256(payload), summary: '' }),
      readEdPayload: (payload) => ({ message: payload.slice(), summary: '' }),
      ask: (frame) => c.answerQuestion(frame),
    })
    return { desk, forks, store, link, s }
  }
  let side = await open()
  await side.store.saveLinks([recordS])
  const linkC = new Link(parties, newLinkRecord(parties, ROLE_C, nowMs), storeC, clock, events)
  await storeC.saveLinks([linkC.record])
  /** What lies between the two. */
  const wire = {
    toS: (frame: Uint8Array): Uint8Array => frame,
    toC: (frame: Uint8Array | undefined): Uint8Array | undefined => frame,
  }
  const exchange = async (frame: Uint8Array) => wire.toC(await side.s.answer(wire.toS(frame)))
  const peer = { exchange, close: () => undefined }
  const c: Initiator = new Initiator({ link: linkC, store: storeC, peer, entropy, clock, incarnationId, alert })
  await c.connect()

  /** Key generation up to where both sides have PENDING records. */
  const begin = async (alg: Alg = ALG_SECP256K1) => {
    const { sid, wallets } = await c.generate(1, alg)
    const [wallet] = wallets
    if (wallet === undefined) throw new Error('no wallet')
    const decide = async (): Promise<void> => {
      await storeC.activate(wallet.walletId, 0)
      await c.acknowledge(sid)
    }
    return { wallet, decide }
  }
  const create = async (userId?: string, device?: Device, alg?: Alg) => {
    const { wallet, decide } = await begin(alg)
    if (userId !== undefined) await side.desk.claimWallet(claimOf(wallet.walletId, userId, device))
    await decide()
    return wallet
  }
  /** What a daemon, honest or not, sends as it likes; the answer's body, or the code of the refusal. */
  const ask = async (body: Uint8Array, type: FrameType = FRAME_TYPES.EXPORT_REQUEST) => {
    const frame = encodeFrame({ type, role: ROLE_C, linkId: parties.linkId, lEpoch: 0, sid: NO_SID, body })
    const answer = await side.s.answer(frame)
    if (answer === undefined) throw new Error('no answer')
    const { type: answered, body: said } = decodeFrame(answer, ROLE_S)
    return answered === FRAME_TYPES.ERROR ? decodeError(said).code : said.slice()
  }
  /** An export as its owner consents to it; `changes` are made after the consent is signed. */
  const request = (
    wallet: Pick<WalletRecord, 'alg' | 'walletId' | 'wEpoch' | 'publicKey'>,
    device: Device,
    recipient: ExportRequest['recipient'] = newExportKey().recipient,
    stated: { readonly expireMs?: number; readonly partyId?: Uint8Array; readonly wEpoch?: number } = {},
  ): ExportRequest => {
    const { alg, walletId, publicKey } = wallet
    const once = { expireMs: stated.expireMs ?? Math.trunc(clock.nowMs()) + 60_000, nonce: new Uint8Array(randomBytes(32)) }
    const asked = { alg, walletId, wEpoch: stated.wEpoch ?? wallet.wEpoch, publicKey, recipient, ...once }
    const signature = device.sign(exportStatement({ ...asked, partyId: stated.partyId ?? PARTY_S }))
    const reqId = new Uint8Array(randomBytes(16))
    return { ...asked, reqId, consent: { kind: 'wallet_secret', secretId: device.secretId, signature } }
  }
  /** A change of the register as a device signs it. */
  const change = (userId: string, by: Device, what: 'bind' | 'remove', of: Device, expireInMs = 60_000) => {
    const asked = {
      change: what,
      publicKey: of.publicKey,
      expireMs: Math.trunc(clock.nowMs()) + expireInMs,
      nonce: new Uint8Array(randomBytes(32)),
    }
    const owner = { partyId: PARTY_S, project: 'default', userId }
    const signature = by.sign(secretChangeStatement(owner, asked))
    return { project: 'default', userId, ...asked, signedBy: by.secretId, signature }
  }
  /** What GetImportKeys would answer. */
  const importKeys = () => ({
    daemon: vouchedBy(IDENTITIES.c, keys.c.current()),
    cosigner: vouchedBy(IDENTITIES.s, keys.s.current()),
  })
  /** The cosigner's process ends and starts again over the same file. */
  const restart = async (): Promise<void> => {
    await vault.close()
    vault = await openCosignerVault({ ...place, nowMs: Math.trunc(clock.nowMs()) })
    side = await open(side.link.record)
  }
  return {
    c, storeC, linkC, clock, alerts, wire, keys, importKeys, place, begin, create, ask, request, change, restart,
    export: (asked: ExportRequest) => ask(encodeExportRequest(asked)),
    get desk() { return side.desk },
    get forks() { return side.forks },
    get s() { return side.s },
    get vault() { return vault },
    get link() { return side.link },
    get store() { return side.store },
    close: () => vault.close(),
  }
}
