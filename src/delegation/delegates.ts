/** Servers that end users may let sign with them, as a project registers them. */
import { createPublicKey } from 'node:crypto'
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure } from '../domain/failure.ts'
import { parseDelegateId, parseWebhookId, type ProjectId, type WebhookId } from '../domain/ids.ts'
import { hearsOf } from '../domain/webhook-events.ts'
import { requireDelegateKeys } from '../party/delegate-calls.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import { walletsCovered } from '../policy/decide.ts'
import { authorize, type AuthorizeNeeds, grantsOfCaller, liveGrantsOf } from '../signing/authorize.ts'
import { appendAudit, findAuditOfRequest } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import {
  type Delegate,
  insertDelegate,
  listDelegates as listStored,
  requireDelegate,
  rotateDelegateKey as rotateStored,
} from '../vault/delegates.ts'
import type { Reader, Tx } from '../vault/store.ts'
import { findWebhook } from '../vault/webhooks.ts'

export type DelegateNeeds = AuthorizeNeeds & {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly engine: Pick<SigningEngine, 'delegates'>
}

export type DelegateView = {
  readonly delegateId: string
  readonly projectId: ProjectId
  readonly name: string
  readonly identityKey: Uint8Array
  readonly partyId: Uint8Array
  readonly linkId: Uint8Array
  readonly webhookId: string | undefined
  readonly keys: readonly {
    readonly kid: string
    readonly publicKeyPem: string
    readonly isActive: boolean
    readonly createTimeMs: number
    readonly retireTimeMs: number | undefined
  }[]
  readonly createTimeMs: number
}

const pemOf = (der: Uint8Array): string =>
  createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' }).export({ format: 'pem', type: 'spki' })

const viewDelegate = ({ engine }: Pick<DelegateNeeds, 'engine'>, delegate: Delegate): DelegateView => {
  const { idG, linkId } = engine.delegates.linkOf(delegate.identityKey)
  return {
    delegateId: delegate.delegateId,
    projectId: delegate.project,
    name: delegate.name,
    identityKey: delegate.identityKey,
    partyId: idG,
    linkId,
    webhookId: delegate.webhookId,
    keys: delegate.keys.map(({ kid, publicKey, state, createMs, retireMs }) => ({
      kid,
      publicKeyPem: pemOf(publicKey),
      isActive: state === 'ACTIVE',
      createTimeMs: createMs,
      retireTimeMs: retireMs,
    })),
    createTimeMs: delegate.createMs,
  }
}

/** Refuses with DELEGATE_KEY_INVALID. */
const rsaKeyOf = (pem: string, identityKey: Uint8Array): Uint8Array => {
  let rsaKey: Uint8Array
  try {
    rsaKey = Uint8Array.from(createPublicKey(pem).export({ format: 'der', type: 'spki' }))
  } catch {
    throw failure('DELEGATE_KEY_INVALID', { why: 'it is not a public key in PEM' })
  }
  requireDelegateKeys({ identityKey, rsaKey })
  return rsaKey
}

/** Delegates are the whole project's: a permission that is narrowed to wallets does not reach them. */
const authorizeProject = (needs: DelegateNeeds, call: Call): void => {
  const { read } = needs.vault
  authorize(read, needs, call, 'delegation:create')
  if (walletsCovered(grantsOfCaller(read, needs, call), 'delegation:create') === 'all') return
  throw failure('PERMISSION_MISSING', { permission: 'delegation:create', narrowedBy: 'wallets' })
}

/** Refuses with WEBHOOK_NOT_FOUND one that would not tell a delegate anything. */
const webhookOf = (tx: Tx, project: ProjectId, text: string | undefined): WebhookId | undefined => {
  if (text === undefined) return undefined
  const webhookId = parseWebhookId(text)
  const webhook = webhookId && findWebhook(tx, webhookId)
  const tells = webhook !== undefined && webhook.project === project && webhook.state !== 'DELETED' &&
    webhook.format === 'DYNAMIC' && hearsOf(webhook.format, webhook.subscriptions, 'delegated_access.created')
  if (!tells) throw failure('WEBHOOK_NOT_FOUND', {})
  return webhookId
}

export type NewDelegateRequest = {
  readonly name: string
  readonly identityKey: Uint8Array
  readonly publicKeyPem: string
  readonly kid: string
  readonly webhookId: string | undefined
}

/** Refuses: PERMISSION_MISSING, DELEGATE_KEY_INVALID, WEBHOOK_NOT_FOUND, DELEGATE_ALREADY_EXISTS, LIMIT_EXCEEDED. */
export const registerDelegate = async (needs: DelegateNeeds, call: Call, request: NewDelegateRequest): Promise<DelegateView> => {
  authorizeProject(needs, call)
  const { name, kid } = request
  const identityKey = Uint8Array.from(request.identityKey)
  const publicKey = rsaKeyOf(request.publicKeyPem, identityKey)
  needs.engine.delegates.linkOf(identityKey)
  const project = call.caller.projectId
  const delegate = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    liveGrantsOf(tx, needs, call.caller, nowMs)
    const before = call.isRepeat ? madeBefore(tx, call, 'delegate.registered') : undefined
    if (before !== undefined) return before
    const webhookId = webhookOf(tx, project, request.webhookId)
    const made = insertDelegate(tx, { project, name, identityKey, webhookId, key: { kid, publicKey }, nowMs })
    record(tx, call, 'delegate.registered', made, nowMs)
    return made
  })
  return viewDelegate(needs, delegate)
}

export type DelegateKeyRequest = { readonly delegateId: string; readonly publicKeyPem: string; readonly kid: string }

const delegateOf = (reader: Reader, call: Call, text: string): Delegate => {
  const delegateId = parseDelegateId(text)
  if (delegateId === undefined) throw failure('DELEGATE_NOT_FOUND', {})
  return requireDelegate(reader, delegateId, call.caller.projectId)
}

/** Refuses: PERMISSION_MISSING, DELEGATE_NOT_FOUND, DELEGATE_KEY_INVALID, DELEGATE_ALREADY_EXISTS, LIMIT_EXCEEDED. */
export const rotateDelegateKey = async (needs: DelegateNeeds, call: Call, request: DelegateKeyRequest): Promise<DelegateView> => {
  authorizeProject(needs, call)
  const { identityKey } = delegateOf(needs.vault.read, call, request.delegateId)
  const key = { kid: request.kid, publicKey: rsaKeyOf(request.publicKeyPem, identityKey) }
  const delegate = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    liveGrantsOf(tx, needs, call.caller, nowMs)
    const before = call.isRepeat ? madeBefore(tx, call, 'delegate.key_rotated') : undefined
    if (before !== undefined) return before
    const rotated = rotateStored(tx, delegateOf(tx, call, request.delegateId), key, nowMs)
    record(tx, call, 'delegate.key_rotated', rotated, nowMs)
    return rotated
  })
  return viewDelegate(needs, delegate)
}

const record = (tx: Tx, call: Call, kind: string, delegate: Delegate, timeMs: number): void => {
  const [key] = delegate.keys
  appendAudit(tx, {
    timeMs,
    kind,
    project: delegate.project,
    actor: actorOf(call.caller),
    subject: { type: 'delegate', id: delegate.delegateId },
    method: call.method.split('/').at(-1) ?? call.method,
    requestId: call.requestId,
    decision: 'allow',
    details: { name: delegate.name, identity: Buffer.from(delegate.identityKey).toString('hex'), kid: key?.kid ?? '' },
  })
}

/** What an interrupted run of the same request did, when it came that far. */
const madeBefore = (tx: Tx, { caller, requestId }: Call, kind: string): Delegate | undefined => {
  if (requestId === undefined) return undefined
  return listStored(tx, { project: caller.projectId, limit: MANY }).find(({ delegateId: subjectId }) =>
    findAuditOfRequest(tx, { subjectId, kind, actorId: caller.principal, requestId }),
  )
}
/** More than a project has. */
const MANY = 1_000

export type DelegateListRequest = { readonly pageSize: number; readonly cursor: string | undefined }

/** Pages in order of registration; an end user sees them too, to know whom they let sign. */
export const listDelegates = (
  needs: DelegateNeeds,
  call: Call,
  request: DelegateListRequest,
): { readonly items: readonly DelegateView[]; readonly nextCursor: string | undefined } => {
  const { caller } = call
  const { read } = needs.vault
  if (caller.kind !== 'end_user') authorize(read, needs, call, 'delegation:create')
  const after = request.cursor === undefined ? undefined : BigInt(request.cursor)
  const found = listStored(read, { project: caller.projectId, after, limit: request.pageSize + 1 })
  const items = found.slice(0, request.pageSize)
  return {
    items: items.map((delegate) => viewDelegate(needs, delegate)),
    nextCursor: found.length > items.length ? String(items.at(-1)?.number) : undefined,
  }
}
