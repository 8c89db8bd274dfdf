/**
 * A granting daemon's vault with delegated access in it, the thread that serves its delegates, and delegates whose party C
 * runs here over streams that a test can bend. The shares are forked by hand: what a fork leaves behind is its result.
 */
import { generateKeyPairSync, type KeyObject, randomBytes, randomFillSync, sign } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { DelegatedTerms } from '../../src/domain/delegated-terms.ts'
import { accessIdFromBytes, type AccessId, parseUserId, type ProjectId, walletIdFromBytes } from '../../src/domain/ids.ts'
import { AccessEnds } from '../../src/delegation/end-access.ts'
import { openCosign, type CosignAnswer, type CosignNeeds, type CosignSession } from '../../src/delegation/cosign.ts'
import { ed25519Ready } from '../../src/engine/curve/ed25519.ts'
import { groupOf } from '../../src/engine/curve/group.ts'
import { decompress } from '../../src/engine/curve/secp256k1.ts'
import type { WalletRecord } from '../../src/engine/dkls23/records.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1, ROLE_C, ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { cosignStatement } from '../../src/engine/sealing/cosign-proof.ts'
import { delegateLinkOf } from '../../src/party/delegate-links.ts'
import { DelegateParties } from '../../src/party/delegate-parties.ts'
import { systemClock } from '../../src/party/entropy.ts'
import { Initiator } from '../../src/party/initiator.ts'
import { Link, newLinkRecord } from '../../src/party/link.ts'
import { createMemoryStore } from '../../src/party/memory-store.ts'
import { partyIdOf } from '../../src/party/party-id.ts'
import { sealRecord, ShareSeal } from '../../src/party/share-sealing.ts'
import { encodeSigningPayload, type SigningContent, type SigningMethod } from '../../src/payload/signing-payload.ts'
import { examine } from '../../src/payload/examine.ts'
import { examineEd25519 } from '../../src/payload/examine-ed25519.ts'
import { delegatedDecisions, type DelegatedSignNeeds } from '../../src/signing/delegated-sign.ts'
import { callerOfAccess } from '../../src/signing/delegated-standing.ts'
import { Fences } from '../../src/signing/fences.ts'
import { RateLimiter } from '../../src/signing/rate-limiter.ts'
import { createDaemonVault, type DaemonVault } from '../../src/vault/daemon-vault.ts'
import {
  changeDelegatedAccess,
  type DelegatedAccess,
  generateWalletApiKey,
  getDelegatedAccess,
  insertDelegatedAccess,
  walletApiKeyMac,
} from '../../src/vault/delegated-access.ts'
import { insertDelegate } from '../../src/vault/delegates.ts'
import { createRootKeyFile, createRootKeyProvider } from '../../src/vault/root-key-provider.ts'
import { activateShare } from '../../src/vault/wallet-shares.ts'
import { insertWallet, type Wallet } from '../../src/vault/wallets.ts'
import { newWallet } from '../vault/fixture.ts'
import { entropy } from '../party/two-parties.ts'

const PROJECT = 'default' as ProjectId
const HOUR_MS = 3_600_000

export type Identity = { readonly publicKey: Uint8Array; readonly privateKey: KeyObject; readonly idC: Uint8Array }

export const newIdentity = (): Identity => {
  const { publicKey, privateKey } = generateKeyPairSync('ed25519')
  const raw = new Uint8Array(publicKey.export({ type: 'spki', format: 'der' }).subarray(12))
  return { publicKey: raw, privateKey, idC: partyIdOf(raw) }
}

export type Granted = {
  readonly access: DelegatedAccess
  readonly wallet: Wallet
  readonly identity: Identity
  readonly apiKey: string
  /** The delegate's first record, and the daemon's: `shareD` is x_D0. */
  readonly own: WalletRecord
  readonly shareD: Uint8Array
}

export type GrantOptions = {
  readonly identity?: Identity
  readonly alg?: Alg
  readonly terms?: Partial<DelegatedTerms>
  readonly expireMs?: number
  readonly ownerType?: 'project' | 'end_user'
}

const scalarOf = (alg: Alg): Uint8Array => {
  // In place: a copy left behind would be found by whoever searches the memory for it.
  const scalar = randomFillSync(new Uint8Array(new ArrayBuffer(32)))
  // Below either order, and never zero.
  scalar[31] = alg === ALG_ED25519 ? 0x0f : 0x7f
  scalar[0] = (scalar[0] ?? 0) | 1
  return scalar
}

const NEVER_PENDING = 1_000
let named = 0

/** Gives a delegate access to a new wallet of the vault, as a decided fork leaves it: PENDING, its shares FORKED. */
export const grant = async (vault: DaemonVault, options: GrantOptions = {}): Promise<Granted> => {
  await ed25519Ready()
  const { identity = newIdentity(), alg = ALG_SECP256K1, terms, ownerType = 'end_user' } = options
  const nowMs = Date.now()
  const { expireMs = nowMs + HOUR_MS } = options
  const group = groupOf(alg)
  const [x_G, x_D] = [scalarOf(alg), scalarOf(alg)]
  const [pointC, pointS] = [group.mulBase(x_G), group.mulBase(x_D)]
  const publicKey = group.addPoints([pointC, pointS])
  if (publicKey === undefined) throw new Error('the shares cancel')
  const walletBytes = new Uint8Array(randomBytes(16))
  const { linkId } = delegateLinkOf(identity.idC, partyIdOf(vault.signer.publicKey))
  const chainCode = new Uint8Array(randomBytes(32))
  const common = {
    alg, walletId: walletBytes, wEpoch: 0, pointC, pointS, publicKey, chainCode, linkId, minLinkEpoch: 0,
    state: 'FORKED', origin: 'fork', createdAtMs: BigInt(nowMs), refreshCount: 0,
  } as const
  const own: WalletRecord = { ...common, role: ROLE_C, share: x_G }
  const seal = new ShareSeal(vault.shareKey(), vault.vaultId)
  const share = sealRecord(seal, { ...common, role: ROLE_S, share: x_D }, 1n)
  seal.close()
  const isEd = alg === ALG_ED25519
  const source = newWallet({
    walletId: walletIdFromBytes(new Uint8Array(randomBytes(16))),
    keyType: isEd ? 'ed25519' : 'secp256k1',
    publicKey: isEd ? publicKey : decompress(publicKey),
    ownerType,
    label: randomBytes(8).toString('hex'),
    createMs: nowMs,
  })
  const apiKey = generateWalletApiKey()
  const accessId = accessIdFromBytes(walletBytes)
  named += 1
  const name = `delegate ${randomBytes(8).toString('hex')}`
  const { access, wallet } = await vault.commit((tx) => {
    const inserted = insertWallet(tx, source)
    const known = tx.one<{ delegate_id: string }>('SELECT delegate_id FROM delegates WHERE identity_key = ?', identity.publicKey)
    const delegateId =
      known?.delegate_id ??
      insertDelegate(tx, {
        project: PROJECT, name, identityKey: identity.publicKey, webhookId: undefined,
        key: { kid: `k${named}`, publicKey: new Uint8Array(randomBytes(64)) }, nowMs,
      }).delegateId
    activateShare(tx, { share, linkId, state: 'FORKED', timeMs: nowMs })
    insertDelegatedAccess(tx, {
      accessId, project: PROJECT, walletId: source.walletId, userId: parseUserId('alice')!, delegateId: delegateId as never,
      kid: 'k', linkId, terms: { operations: terms?.operations ?? ['message', 'typed_data', 'transaction'], narrowing: terms?.narrowing ?? {} },
      expireMs, grantId: undefined, publicShares: new Uint8Array(32), caller: 'user:default/alice', requestId: undefined,
      createMs: nowMs, apiKeyMac: walletApiKeyMac(tx, apiKey.reveal())!,
    })
    return { wallet: inserted, ...changeDelegatedAccess(tx, accessId, { state: 'PENDING' }, nowMs) }
  })
  return { access, wallet, identity, apiKey: apiKey.reveal(), own, shareD: x_D }
}

/** A vault for all tests of a file. */
export const openOwnVault = async () => {
  const dir = mkdtempSync(join(tmpdir(), 'countersign-granting-'))
  const keyPath = join(dir, 'root.key')
  createRootKeyFile(keyPath)
  const place = { path: join(dir, 'vault.db'), provider: createRootKeyProvider(`file:${keyPath}`) }
  const vault = await createDaemonVault({ ...place, nowMs: Date.now() })
  return { vault, place: { dir, ...place }, remove: () => rmSync(dir, { recursive: true, force: true }) }
}

export type Stage = ReturnType<typeof openStage>

/** The granting daemon, without an edge. */
export const openStage = (vault: DaemonVault, changes: Partial<DelegatedSignNeeds> = {}) => {
  const alerts: string[] = []
  const needs: DelegatedSignNeeds = {
    vault,
    fences: new Fences(),
    rates: new RateLimiter(() => performance.now()),
    clock: systemClock,
    onAlert: (what, detail) => void alerts.push(`${what}: ${detail}`),
    ...changes,
  }
  const delegates = new DelegateParties({ ...needs, decisions: delegatedDecisions(needs) })
  const cosign: CosignNeeds = { ...needs, delegates }
  const accessEnds = new AccessEnds({ vault, delegates })
  const accessOf = (id: AccessId): DelegatedAccess => getDelegatedAccess(vault.read, id)!
  return { vault, alerts, needs, cosign, delegates, accessEnds, accessOf }
}

export type Granting = { readonly own: Awaited<ReturnType<typeof openOwnVault>>; readonly stage: Stage }

/** A granting daemon with a vault of its own. */
export const openGranting = async (): Promise<Granting> => {
  const own = await openOwnVault()
  return { own, stage: openStage(own.vault) }
}

export const closeGranting = async ({ own, stage }: Granting): Promise<void> => {
  await stage.delegates.close()
  await own.vault.close()
  own.remove()
}

/** What a bent stream may do to frames and answers. */
export type Wire = {
  toS: (frame: Uint8Array) => Uint8Array | Promise<Uint8Array>
  toC: (frame: Uint8Array | undefined) => Uint8Array | undefined | Promise<Uint8Array | undefined>
}

/** How frames go to the daemon: as its session takes them, or over a real stream. */
export type Carrier = {
  readonly frame: (frame: Uint8Array) => Promise<CosignAnswer>
  readonly close: () => void
}

export type Delegate = Awaited<ReturnType<typeof openDelegate>>

/** Proves itself and joins, in this process. */
export const joinStage = async (
  { cosign }: Pick<Stage, 'cosign'>,
  granted: Granted,
  question: (frame: Uint8Array) => Promise<Uint8Array | undefined> = async () => undefined,
): Promise<CosignSession> => {
  const { access, identity } = granted
  const session = openCosign(cosign, callerOfAccess(access), { question, end: () => undefined })
  const nonce = new Uint8Array(randomBytes(32))
  const { nonce: nonceS } = session.hello({ accessId: access.accessId, publicKey: identity.publicKey, nonce })
  const parties = { idC: identity.idC, idS: cosign.delegates.partyId, accessId: granted.own.walletId, nonceC: nonce, nonceS }
  await session.prove(new Uint8Array(sign(null, cosignStatement('delegate', parties), identity.privateKey)))
  return session
}

export const sessionCarrier = (session: CosignSession): Carrier => ({
  frame: async (frame) => (await session.frame(frame.slice()))(),
  close: () => session.close(),
})

/** A refusal of the daemon's own, as its delegate hears it. */
export class Refused extends Error {
  readonly answer: CosignAnswer
  constructor(answer: CosignAnswer) {
    super(`refused: ${answer.refusal?.reason ?? ''}`)
    this.answer = answer
  }
}

/** The delegate's party C over a carrier, with its share in memory. */
export const openDelegate = async (
  idS: Uint8Array,
  granted: Granted,
  connect: (question: (frame: Uint8Array) => Promise<Uint8Array | undefined>) => Promise<Carrier>,
) => {
  const { identity, own } = granted
  const parties = delegateLinkOf(identity.idC, idS)
  const store = createMemoryStore()
  const record = newLinkRecord(parties, ROLE_C, BigInt(Date.now()))
  await store.saveLinks([record])
  await store.savePending({ sid: new Uint8Array(32), records: [{ ...own, state: 'FORKED' }] })
  await store.activate(own.walletId, 0)
  await store.setWalletState(own.walletId, 'FORKED', '')
  const wire: Wire = { toS: (frame) => frame, toC: (frame) => frame }
  const answers: CosignAnswer[] = []
  const alerts: string[] = []
  const alert = (what: string, detail: string): void => void alerts.push(`${what}: ${detail}`)
  const link: Link = new Link(parties, record, store, systemClock, { alert, wipeSessions: () => c.wipeSessions() })
  let carrier = await connect((frame) => c.answerQuestion(frame))
  const exchange = async (frame: Uint8Array): Promise<Uint8Array | undefined> => {
    const answer = await carrier.frame(await wire.toS(frame))
    answers.push(answer)
    if (answers.length > NEVER_PENDING) answers.shift()
    if (answer.refusal !== undefined) throw new Refused(answer)
    return wire.toC(answer.frame)
  }
  const c: Initiator = new Initiator({
    link, store, peer: { exchange, close: () => carrier.close() }, entropy, clock: systemClock,
    incarnationId: new Uint8Array(randomBytes(16)), alert,
  })
  await c.connect()
  /** Its stream ended, and it opened another. */
  const reconnect = async (next: Carrier): Promise<void> => {
    carrier = next
    await c.connect()
  }
  return { c, link, store, wire, answers, alerts, carrier, granted, walletId: own.walletId, reconnect }
}

export const joinDelegate = (stage: Stage, granted: Granted): Promise<Delegate> =>
  openDelegate(stage.delegates.partyId, granted, async (question) => sessionCarrier(await joinStage(stage, granted, question)))

/** What the delegate asks to have signed. */
export const jobFor = (
  { access }: Granted,
  ready: { readonly walletId: Uint8Array; readonly presigId: Uint8Array },
  content: SigningContent,
  method: SigningMethod = 'SignMessage',
  reqId: Uint8Array = new Uint8Array(randomBytes(16)),
) => {
  const walletId = walletIdFromBytes(ready.walletId)
  const payload = encodeSigningPayload({ projectId: access.project, walletId, method, content })
  return { ...ready, reqId, digest: examine(content).digest, path: [] as number[], payload }
}

export const messageOf = (text: string): SigningContent => ({ kind: 'message', message: new Uint8Array(Buffer.from(text)) })

/** The same of an Ed25519 wallet. */
export const edJobFor = (
  { access, wallet }: Granted,
  ready: { readonly walletId: Uint8Array; readonly presigId: Uint8Array },
  content: SigningContent,
  method: SigningMethod = 'SignMessage',
  reqId: Uint8Array = new Uint8Array(randomBytes(16)),
) => {
  const payload = encodeSigningPayload({ projectId: access.project, walletId: walletIdFromBytes(ready.walletId), method, content })
  return { ...ready, reqId, payload, message: examineEd25519(content, wallet.publicKey).message }
}

/** Joined, refreshed and ready to sign. */
export const activeDelegate = async (stage: Stage, granted: Granted): Promise<Delegate> => {
  const delegate = await joinDelegate(stage, granted)
  await delegate.c.refreshes.refresh(delegate.walletId)
  return delegate
}
