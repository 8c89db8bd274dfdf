/**
 * What a daemon asks of a cosigner over the network, parsed and bounded before it reaches the cosigner's thread. There is
 * one way from a message to a call, so what has no message (backups, root keys, approvals) cannot be called.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import { type ChainHead, type OpenRequest, type OpenResponse, OpenResponseSchema } from '../../../gen/countersign/v1/cosigner_pb.ts'
import { failure, isFailure } from '../../domain/failure.ts'
import { parseProjectId, parseUserId } from '../../domain/ids.ts'
import type { AuditHead } from '../../vault/audit-chain.ts'
import type { FreezeSubject } from '../../vault/freezes.ts'
import type { CosignerCalls } from '../cosigner.ts'
import type { LostMaterial } from '../cosigner-links.ts'
import type { PeerEpochs } from '../epoch-check.ts'
import type { ForkOrder } from '../fork-desk.ts'
import type { SecretOrder, WalletClaim } from '../owner-desk.ts'
import { asFailure, toldOf } from '../party-failure.ts'
import { PortFailure, type PortEnd } from '../port-calls.ts'
import { MAX_SHARDS } from '../shards.ts'
import { readNote, readSubject } from './freeze-words.ts'

export type Answer = Exclude<OpenResponse['content'], { case: undefined }>
export type Request = OpenRequest['content']

/** The daemon said what it may not say: the stream ends. */
export class DaemonMisspoke extends Error {
  constructor(what: string) {
    super(`the daemon said what it may not: ${what}`)
    this.name = 'DaemonMisspoke'
  }
}

export const answer = (content: MessageInitShape<typeof OpenResponseSchema>['content']): Answer => {
  const made = create(OpenResponseSchema, { content: content as Answer }).content
  if (made.case === undefined) throw new TypeError('nothing is answered')
  return made
}

const bytes = (value: Uint8Array, min: number, max = min): Uint8Array => {
  if (value.length < min || value.length > max) throw new DaemonMisspoke(`${value.length} bytes`)
  return new Uint8Array(value)
}

const readHead = (head: ChainHead | undefined): AuditHead => {
  if (head === undefined || head.sequence >= 2n ** 63n) throw new DaemonMisspoke('no audit head')
  return { sequence: head.sequence, hash: bytes(head.hash, 32) }
}

const subject = (freeze: { readonly scope: number; readonly id: string }): FreezeSubject => {
  const read = readSubject(freeze)
  if (read === undefined) throw new DaemonMisspoke('a freeze of nothing')
  return read
}

const owner = (named: { readonly projectId: string; readonly userId: string }) => {
  const [project, userId] = [parseProjectId(named.projectId), parseUserId(named.userId)]
  if (project === undefined || userId === undefined) throw new DaemonMisspoke('an owner')
  return { project, userId }
}

type Case<C extends Request['case']> = Extract<Request, { case: C }>['value' & keyof Extract<Request, { case: C }>]

const readClaim = (claim: Case<'claimWallet'>): WalletClaim => {
  const { secret, walletId } = claim
  const first = secret && { publicKey: bytes(secret.publicKey, 1, 256), signature: bytes(secret.signature, 1, 256) }
  return { ...owner(claim), walletId: bytes(walletId, 16), ...(first === undefined ? {} : { secret: first }) }
}

const readOrder = (order: Case<'changeWalletSecret'>): SecretOrder => {
  if (order.expireMs > BigInt(Number.MAX_SAFE_INTEGER)) throw new DaemonMisspoke('a time')
  return {
    ...owner(order),
    change: order.remove ? 'remove' : 'bind',
    publicKey: bytes(order.publicKey, 1, 256),
    expireMs: Number(order.expireMs),
    nonce: bytes(order.nonce, 32),
    signedBy: bytes(order.signedBy, 32),
    signature: bytes(order.signature, 1, 256),
  }
}

const readConsent = ({ consent }: Case<'permitFork'>): ForkOrder['consent'] => {
  switch (consent.case) {
    case 'approvalId':
      return { kind: 'operator', approvalId: bytes(consent.value, 16) }
    case 'walletSecret': {
      const { secretId, signature } = consent.value
      return { kind: 'wallet_secret', secretId: bytes(secretId, 32), signature: bytes(signature, 64) }
    }
    case undefined:
      throw new DaemonMisspoke('no consent')
  }
}

const readFork = (order: Case<'permitFork'>): ForkOrder => {
  if (order.expireMs > BigInt(Number.MAX_SAFE_INTEGER)) throw new DaemonMisspoke('a time')
  return {
    walletId: bytes(order.walletId, 16),
    wEpoch: order.walletEpoch,
    publicKey: bytes(order.publicKey, 32, 33),
    identityKey: bytes(order.identityKey, 32),
    rsaKey: bytes(order.rsaKey, 1, 1_024),
    expireMs: Number(order.expireMs),
    nonce: bytes(order.nonce, 32),
    consent: readConsent(order),
  }
}

const readLost = ({ shard, epoch }: Case<'lose'>): LostMaterial => {
  if (shard >= MAX_SHARDS) throw new DaemonMisspoke('a link')
  return { shard, lEpoch: epoch }
}

const QUARANTINE_MAX = 100_000

const readWallets = ({ walletIds }: Case<'quarantine'>): Uint8Array[] => {
  if (walletIds.length > QUARANTINE_MAX) throw new DaemonMisspoke('too many wallets')
  return walletIds.map((walletId) => bytes(walletId, 16))
}

const DONE = answer({ case: 'done', value: {} })
const CALL = { timeoutMs: 30_000 } as const

/** What a request of a joined daemon asks of the cosigner's thread. `open`, `pair` and frames go their own way. */
export const answerCall = async (
  request: Request,
  cosigner: PortEnd<CosignerCalls>,
  nowMs: () => number,
): Promise<Answer> => {
  const done = async (work: Promise<unknown>): Promise<Answer> => {
    await work
    return DONE
  }
  switch (request.case) {
    case 'rememberHead': {
      const { head, exact } = request.value
      return answer({ case: 'head', value: await cosigner.call('rememberHead', { head: readHead(head), exact }, CALL) })
    }
    case 'getStatus': {
      const { links, head } = await cosigner.call('status', undefined, CALL)
      return answer({ case: 'status', value: { head, links: links.map(({ lEpoch, ...link }) => ({ ...link, epoch: lEpoch })) } })
    }
    case 'freeze': {
      const actor = { kind: 'daemon', id: '' } as const
      const freeze = { ...subject(request.value), reason: readNote(request.value.note), actor, createMs: nowMs() }
      return done(cosigner.call('freeze', { freeze }, CALL))
    }
    case 'unfreeze':
      return done(cosigner.call('unfreeze', { subject: subject(request.value), timeMs: nowMs() }, CALL))
    case 'getImportKey': {
      const key = await cosigner.call('importKey', undefined, CALL)
      return answer({ case: 'importKey', value: { ...key, expireMs: BigInt(key.expireMs) } })
    }
    case 'claimWallet':
      return done(cosigner.call('claimWallet', readClaim(request.value), CALL))
    case 'claimForProject': {
      const project = parseProjectId(request.value.projectId)
      if (project === undefined) throw new DaemonMisspoke('an owner')
      return done(cosigner.call('claimForProject', { walletId: bytes(request.value.walletId, 16), project }, CALL))
    }
    case 'getOwnerWord': {
      const word = await cosigner.call('ownerWord', { walletId: bytes(request.value, 16) }, CALL)
      return answer({ case: 'ownerWord', value: word === undefined ? {} : { ...word, secretIds: [...word.secretIds] } })
    }
    case 'changeWalletSecret':
      return done(cosigner.call('changeSecret', readOrder(request.value), CALL))
    case 'permitFork':
      return done(cosigner.call('permitFork', readFork(request.value), CALL))
    case 'stopWallet':
      return done(cosigner.call('stopWallet', { walletId: bytes(request.value, 16) }, CALL))
    case 'discard':
      return done(cosigner.call('discard', bytes(request.value, 16), CALL))
    case 'abandonWallet':
      return done(cosigner.call('abandonWallet', { walletId: bytes(request.value, 16) }, CALL))
    case 'dropPresignatures': {
      const walletId = request.value.length === 0 ? undefined : bytes(request.value, 16)
      return done(cosigner.call('dropPresignatures', { walletId }, CALL))
    }
    case 'lose':
      return done(cosigner.call('lose', readLost(request.value), CALL))
    case 'quarantine':
      return done(cosigner.call('quarantine', { walletIds: readWallets(request.value) }, CALL))
    default:
      throw new DaemonMisspoke(`${request.case ?? 'nothing'}, at this time`)
  }
}

const PAGE = 10_000

/** In messages that stay far below the limit. */
export const epochPages = ({ refreshed, undecided }: PeerEpochs): Answer[] => {
  const pages: Answer[] = []
  const count = Math.max(1, Math.ceil(Math.max(refreshed.length, undecided.length) / PAGE))
  for (let page = 0; page < count; page++) {
    const of = <T>(all: readonly T[]): T[] => all.slice(page * PAGE, (page + 1) * PAGE)
    const epochs = of(refreshed).map(({ walletId, wEpoch }) => ({ walletId, epoch: wEpoch }))
    pages.push(answer({ case: 'shareEpochs', value: { refreshed: epochs, undecided: of(undecided), more: page < count - 1 } }))
  }
  return pages
}

const MAX_FACT = 512
/** What the daemon acts on, with the facts that it needs; of another refusal the reason is enough. */
const TOLD_WITH_FACTS: ReadonlySet<string> = new Set([
  'COSIGNER_UNAVAILABLE',
  'COSIGNER_REFUSED',
  'WALLET_SECRET_REFUSED',
  'FREEZE_NOT_FOUND',
  'VAULT_ROLLED_BACK',
])

/** A refusal of the cosigner's thread; a bug there says nothing of itself. */
export const refusalOf = (error: unknown): Answer => {
  const known = asFailure(error)
  const told = isFailure(known) && known.reason.startsWith('VAULT_') && known.reason !== 'VAULT_ROLLED_BACK'
  const refused = told
    ? failure('COSIGNER_UNAVAILABLE', { why: toldOf(known) })
    : isFailure(known)
      ? known
      : error instanceof PortFailure
        ? error
        : failure('COSIGNER_UNAVAILABLE', { why: 'it failed internally' })
  const isTold = TOLD_WITH_FACTS.has(refused.reason)
  const facts = Object.entries((isTold ? (refused.facts ?? {}) : {}) as Record<string, unknown>)
  const bounded = facts.slice(0, 8).map(([name, value]) => [name, String(value).slice(0, MAX_FACT)] as const)
  return answer({ case: 'refused', value: { reason: refused.reason, facts: Object.fromEntries(bounded) } })
}
