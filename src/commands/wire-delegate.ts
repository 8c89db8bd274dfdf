/** The side of a delegate, from the configuration: who may delegate here, whose webhooks are taken, and who signs. */
import { readFileSync } from 'node:fs'
import type { Config, GrantingDaemonSettings, Secrets } from '../config/config.ts'
import { delegatedSignMessage, delegatedSignTransaction, delegatedSignTypedData } from '../delegation/delegated-signing.ts'
import { importAccess, type ImportAccessNeeds, listImported, returnAccess } from '../delegation/import-access.ts'
import { createOwnKey, deleteOwnKey, listOwnKeys } from '../delegation/own-keys.ts'
import { receiveWebhook } from '../delegation/receive-webhook.ts'
import type { TakeNeeds } from '../delegation/take-delivery.ts'
import type { Clock } from '../domain/clock.ts'
import { accessIdFromBytes } from '../domain/ids.ts'
import { logInternalError } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { DelegateEngine, type Granting } from '../party/delegate/delegate-engine.ts'
import { DeliveryOpener } from '../party/delegate/delivery-opener.ts'
import type { DelegateSideUseCases } from '../rpc/delegate-side-use-cases.ts'
import type { WebhookInbox } from '../rpc/webhook-inbox.ts'
import type { Fences } from '../signing/fences.ts'
import type { SignNeeds } from '../signing/sign.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { type ImportedAccess, setImportedState } from '../vault/imported-accesses.ts'
import { findSeal } from '../vault/restore-state.ts'
import type { Tx } from '../vault/store.ts'

export type DelegateSide = {
  readonly needs: Pick<TakeNeeds, 'opener' | 'granting' | 'arrived' | 'ended' | 'webhooks'> & { readonly delegateEngine: DelegateEngine }
  /** Undefined where no webhooks are taken. */
  readonly inbox: WebhookInbox | undefined
  readonly stop: () => Promise<void>
}

type Needs = {
  readonly config: Config
  readonly secrets: Secrets
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly fences: Fences
  readonly log: Logger
  readonly onAlert: (what: string, detail: string) => void
}

/** An unreadable file of authorities ends the start. */
const grantingOf = ({ name, url, partyId, authorityFile }: GrantingDaemonSettings): Granting => ({
  name,
  url,
  partyId: Uint8Array.from(Buffer.from(partyId, 'hex')),
  authorities: authorityFile === undefined ? undefined : readFileSync(authorityFile),
})

const ACTIVATE_WITHIN_MS = 30_000
const MAX_BATCH = 16

const openDelegateEngine = ({ config, vault, clock, onAlert }: Needs, granting: readonly Granting[]): DelegateEngine =>
  new DelegateEngine({
    vault,
    clock,
    granting,
    // A frame of Cosign is 1 MiB at most: a session of 16 fits.
    pool: { ...config.presignatures, batch: Math.min(config.presignatures.batch, MAX_BATCH) },
    onAlert,
    activated: (tx, accessId, shareEpoch) => recordActive(tx, accessId, shareEpoch, Math.trunc(clock.nowMs())),
  })

/** In the transaction that decides its first refresh. */
const recordActive = (tx: Tx, accessId: Uint8Array, shareEpoch: number, timeMs: number): void => {
  const { project } = setImportedState(tx, accessId, 'ACTIVE', timeMs)
  appendAudit(tx, {
    timeMs,
    kind: 'delegated_access.activated',
    project,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'delegated_access', id: accessIdFromBytes(accessId) },
    decision: 'allow',
    details: { shareEpoch },
  })
}

export const wireDelegate = (from: Needs): DelegateSide => {
  const { config, secrets, vault, clock, fences, log, onAlert } = from
  const opener = new DeliveryOpener(vault)
  const granting = config.grantingDaemons.map(grantingOf)
  const delegateEngine = openDelegateEngine(from, granting)
  // Whoever carried the envelope knows the share in it for as short a time as can be; what fails is done at first use.
  const arrived = (access: ImportedAccess): void =>
    void delegateEngine
      .ready(access, AbortSignal.timeout(ACTIVATE_WITHIN_MS))
      .catch((error: unknown) => onAlert('delegated_access', `${accessIdFromBytes(access.accessId)} is not active yet: ${String(error)}`))
  const webhooks = config.delegationWebhooks.flatMap(({ project, grantingDaemon }, at) => {
    const secret = secrets.delegationWebhooks[at]
    const from = granting.find(({ name }) => name === grantingDaemon)?.partyId
    return secret === undefined ? [] : [{ project, secret, from }]
  })
  const ended = (accessId: Uint8Array): void => delegateEngine.drop(accessId)
  const needs = { opener, granting, arrived, ended, webhooks, delegateEngine }
  const onInternalError = (error: unknown): void => logInternalError(log, { where: 'delegation webhook', error })
  const isTaken = webhooks.length > 0 && findSeal(vault.read) === undefined
  const receiving = { ...needs, vault, clock, fences, onInternalError }
  return {
    needs,
    inbox: isTaken ? (message) => receiveWebhook(receiving, message) : undefined,
    stop: async () => {
      await Promise.all([opener.close(), delegateEngine.stop()])
    },
  }
}

type UseCaseNeeds = Omit<ImportAccessNeeds, keyof DelegateSide['needs']> &
  Omit<SignNeeds, 'engine'> & { readonly delegate: DelegateSide['needs'] }

export const wireDelegateUseCases = ({ delegate, ...rest }: UseCaseNeeds): DelegateSideUseCases => {
  const needs = { ...rest, ...delegate }
  return {
    createDelegateKey: (call, args) => createOwnKey(needs, call, args),
    listDelegateKeys: async () => listOwnKeys(needs),
    deleteDelegateKey: (call, { kid }) => deleteOwnKey(needs, call, kid),
    importDelegatedAccess: (call, args) => importAccess(needs, call, args),
    returnDelegatedAccess: (call, args) => returnAccess(needs, call, args),
    listImportedAccess: async (call, args) => listImported(needs, call, args),
    delegatedSignMessage: (call, args) => delegatedSignMessage(needs, call, args),
    delegatedSignTypedData: (call, args) => delegatedSignTypedData(needs, call, args),
    delegatedSignTransaction: (call, args) => delegatedSignTransaction(needs, call, args),
  }
}
