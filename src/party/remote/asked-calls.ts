/**
 * The calls of the daemon's main thread (`CosignerCalls`) as messages to a remote cosigner, and its answers read back. What
 * comes from there is not believed to fit: everything is checked, and what does not fit ends the stream.
 */
import { create, type MessageInitShape } from '@bufbuild/protobuf'
import {
  type ChainHead,
  type OpenRequest,
  OpenRequestSchema,
  type OpenResponse,
  type PartyLink,
  type PartyRefusal,
} from '../../../gen/countersign/v1/cosigner_pb.ts'
import { failure } from '../../domain/failure.ts'
import type { AuditHead } from '../../vault/audit-chain.ts'
import type { CosignerCalls } from '../cosigner.ts'
import { MAX_SHARDS } from '../shards.ts'
import { freezeToWire, subjectToWire } from './freeze-words.ts'
import { PortFailure } from '../port-calls.ts'

export type Asked = Exclude<OpenRequest['content'], { case: undefined }>
export type Answered = OpenResponse['content']
type Args<M extends keyof CosignerCalls> = Parameters<CosignerCalls[M]>[0]
type Result<M extends keyof CosignerCalls> = Awaited<ReturnType<CosignerCalls[M]>>

/** What only the cosigner's own operator may ask for. */
export type OperatorCall =
  | 'backup'
  | 'rotateKey'
  | 'backupStanding'
  | 'freezeAsOperator'
  | 'unfreezeAsOperator'
  | 'standing'
  | 'stop'
/** Answered over several messages, or with more than the call knows of. */
type OwnWay = 'shareEpochs' | 'pair'
export type WireCall = Exclude<keyof CosignerCalls, OperatorCall | OwnWay>

/** The cosigner said what it may not say. */
export class CosignerMisspoke extends Error {
  constructor(what: string) {
    super(`the cosigner answered what it may not: ${what}`)
    this.name = 'CosignerMisspoke'
  }
}

const asked = (content: MessageInitShape<typeof OpenRequestSchema>['content']): Asked => {
  const made = create(OpenRequestSchema, { content: content as Asked }).content
  if (made.case === undefined) throw new TypeError('nothing is asked')
  return made
}

const own = (bytes: Uint8Array, length: number): Uint8Array => {
  if (bytes.length !== length) throw new CosignerMisspoke(`${bytes.length} bytes in the place of ${length}`)
  return new Uint8Array(bytes)
}

const expected = <C extends Answered['case']>(answer: Answered, name: C): Extract<Answered, { case: C }> => {
  if (answer.case !== name) throw new CosignerMisspoke(`${answer.case ?? 'nothing'} in the place of ${name ?? 'nothing'}`)
  return answer as Extract<Answered, { case: C }>
}

const done = (answer: Answered): void => void expected(answer, 'done')
const DONE = {}

const readHead = (head: ChainHead | undefined): AuditHead => {
  if (head === undefined || head.sequence > MAX_SEQUENCE) throw new CosignerMisspoke('no audit head')
  return { sequence: head.sequence, hash: own(head.hash, 32) }
}
const MAX_SEQUENCE = 2n ** 63n - 1n

const LINK_STATES = ['ACTIVE', 'SUSPENDED', 'BURNED'] as const

const readLink = ({ shard, state, epoch, relinkGrant, presignatures }: PartyLink): Result<'status'>['links'][number] => {
  const known = LINK_STATES.find((one) => one === state)
  if (known === undefined || shard >= MAX_SHARDS) throw new CosignerMisspoke('a link')
  return { shard, state: known, lEpoch: epoch, relinkGrant, presignatures }
}

type Row<M extends keyof CosignerCalls> = {
  readonly ask: (args: Args<M>) => Asked
  /** @throws CosignerMisspoke */
  readonly read: (answer: Answered) => Result<M>
}

export const WIRE_CALLS: { readonly [M in WireCall]: Row<M> } = {
  open: {
    ask: () => asked({ case: 'open', value: DONE }),
    read: (answer) => {
      const { partyId, publicKey, head } = expected(answer, 'opened').value
      return { ownId: own(partyId, 32), publicKey: own(publicKey, 32), head: readHead(head) }
    },
  },
  rememberHead: {
    ask: ({ head, exact }) => asked({ case: 'rememberHead', value: { head, exact } }),
    read: (answer) => readHead(expected(answer, 'head').value),
  },
  status: {
    ask: () => asked({ case: 'getStatus', value: DONE }),
    read: (answer) => {
      const { links, head } = expected(answer, 'status').value
      if (links.length > MAX_SHARDS) throw new CosignerMisspoke('too many links')
      return { links: links.map(readLink), head: readHead(head) }
    },
  },
  freeze: { ask: ({ freeze }) => asked({ case: 'freeze', value: freezeToWire(freeze) }), read: done },
  unfreeze: { ask: ({ subject }) => asked({ case: 'unfreeze', value: subjectToWire(subject) }), read: done },
  importKey: {
    ask: () => asked({ case: 'getImportKey', value: DONE }),
    read: (answer) => {
      const { partyId, identityKey, key, expireMs, signature } = expected(answer, 'importKey').value
      return {
        partyId: own(partyId, 32),
        identityKey: own(identityKey, 32),
        key: own(key, 32),
        expireMs: readMs(expireMs),
        signature: own(signature, 64),
      }
    },
  },
  claimWallet: {
    ask: ({ walletId, project, userId, secret }) =>
      asked({
        case: 'claimWallet',
        value: { walletId, projectId: project, userId, ...(secret === undefined ? {} : { secret: { ...secret } }) },
      }),
    read: done,
  },
  claimForProject: {
    ask: ({ walletId, project }) => asked({ case: 'claimForProject', value: { walletId, projectId: project } }),
    read: done,
  },
  changeSecret: {
    ask: ({ project, userId, change, publicKey, expireMs, nonce, signedBy, signature }) =>
      asked({
        case: 'changeWalletSecret',
        value: {
          projectId: project,
          userId,
          remove: change === 'remove',
          publicKey,
          expireMs: BigInt(expireMs),
          nonce,
          signedBy,
          signature,
        },
      }),
    read: done,
  },
  permitFork: {
    ask: ({ walletId, wEpoch, publicKey, identityKey, rsaKey, expireMs, nonce, consent }) =>
      asked({
        case: 'permitFork',
        value: {
          walletId,
          walletEpoch: wEpoch,
          publicKey,
          identityKey,
          rsaKey,
          expireMs: BigInt(expireMs),
          nonce,
          consent:
            consent.kind === 'operator'
              ? { case: 'approvalId', value: consent.approvalId }
              : { case: 'walletSecret', value: { secretId: consent.secretId, signature: consent.signature } },
        },
      }),
    read: done,
  },
  stopWallet: { ask: ({ walletId }) => asked({ case: 'stopWallet', value: walletId }), read: done },
  discard: { ask: (presigId) => asked({ case: 'discard', value: presigId }), read: done },
  abandonWallet: {
    ask: ({ walletId }) => asked({ case: 'abandonWallet', value: walletId }),
    read: done,
  },
  ownerWord: {
    ask: ({ walletId }) => asked({ case: 'getOwnerWord', value: walletId }),
    read: (answer) => {
      const { partyId, identityKey, secretIds, signature } = expected(answer, 'ownerWord').value
      if (partyId.length === 0) return undefined
      if (secretIds.length > MAX_SECRETS) throw new CosignerMisspoke('too many wallet secrets')
      return {
        partyId: own(partyId, 32),
        identityKey: own(identityKey, 32),
        secretIds: secretIds.map((id) => own(id, 32)),
        signature: own(signature, 64),
      }
    },
  },
  dropPresignatures: {
    ask: ({ walletId }) => asked({ case: 'dropPresignatures', value: walletId ?? new Uint8Array() }),
    read: done,
  },
  lose: { ask: ({ shard, lEpoch }) => asked({ case: 'lose', value: { shard, epoch: lEpoch } }), read: done },
  quarantine: {
    ask: ({ walletIds }) => asked({ case: 'quarantine', value: { walletIds: [...walletIds] } }),
    read: done,
  },
}

const MAX_SECRETS = 16

const readMs = (value: bigint): number => {
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) throw new CosignerMisspoke('a time')
  return Number(value)
}

/** Beyond what any vault holds: a cosigner that goes on for ever is cut off. */
const MAX_EPOCHS = 10_000_000

/** Collects the pages of `shareEpochs`. */
export class EpochPages {
  readonly #refreshed: { readonly walletId: Uint8Array; readonly wEpoch: number }[] = []
  readonly #undecided: Uint8Array[] = []

  /** The whole once the last page is in. @throws CosignerMisspoke */
  add(answer: Answered): Result<'shareEpochs'> | undefined {
    const page = expected(answer, 'shareEpochs').value
    for (const { walletId, epoch } of page.refreshed) this.#refreshed.push({ walletId: own(walletId, 16), wEpoch: epoch })
    for (const walletId of page.undecided) this.#undecided.push(own(walletId, 16))
    if (this.#refreshed.length + this.#undecided.length > MAX_EPOCHS) throw new CosignerMisspoke('epochs without end')
    return page.more ? undefined : { refreshed: this.#refreshed, undecided: this.#undecided }
  }
}

/** Why a cosigner does not go on where the stream before ended. */
export const RESUME_UNKNOWN = 'RESUME_UNKNOWN'

export type Paired = Result<'pair'> & {
  /** With it the next stream goes on where this one ends; empty where the cosigner keeps nothing. */
  readonly resumeToken: Uint8Array
  readonly takesParts: boolean
}

export const pairCall = ({ idC, shards }: Args<'pair'>, resumeToken: Uint8Array): Asked =>
  asked({ case: 'pair', value: { partyId: idC, shards: [...shards], resumeToken, takesParts: true } })

export const readPaired = (answer: Answered): Paired => {
  const { head, resumeToken, takesParts } = expected(answer, 'paired').value
  // Its time is for the cosigner alone.
  const known = head === undefined ? undefined : { ...readHead(head), timeMs: 0 }
  return { head: known, resumeToken: resumeToken.length === 0 ? new Uint8Array() : own(resumeToken, 16), takesParts }
}

export const LEAVE_CALL: Asked = asked({ case: 'leave', value: DONE })
export const EPOCHS_CALL: Asked = asked({ case: 'getShareEpochs', value: DONE })

const MAX_WHY = 512

/** The cosigner's refusal as one that this daemon knows, with no more facts than belong to it. */
export const readRefusal = ({ reason, facts }: PartyRefusal): Error => {
  const fact = (name: string): string => (facts[name] ?? '').slice(0, MAX_WHY)
  switch (reason) {
    case 'COSIGNER_UNAVAILABLE':
    case 'COSIGNER_REFUSED':
    case 'WALLET_SECRET_REFUSED':
      return failure(reason, { why: fact('why') })
    case 'DELEGATION_REFUSED':
      return failure(reason, {})
    case 'FREEZE_NOT_FOUND':
      return new PortFailure(reason, { scope: fact('scope'), id: fact('id') })
    case 'AUDIT_UNAVAILABLE':
      return failure('COSIGNER_UNAVAILABLE', { why: 'its audit log cannot be written' })
    case 'VAULT_ROLLED_BACK':
      return failure(reason, { expectedSequence: fact('expectedSequence'), foundSequence: fact('foundSequence') })
    default:
      return failure('COSIGNER_REFUSED', { why: /^[A-Z][A-Z_]{0,63}$/.test(reason) ? reason : 'no reason that is known here' })
  }
}
