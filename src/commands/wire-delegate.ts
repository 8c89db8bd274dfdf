/** The side of a delegate, from the configuration: who may delegate here, and whose webhooks are taken. */
import type { Config, GrantingDaemonSettings, Secrets } from '../config/config.ts'
import { importAccess, type ImportAccessNeeds, listImported } from '../delegation/import-access.ts'
import { createOwnKey, deleteOwnKey, listOwnKeys } from '../delegation/own-keys.ts'
import type { GrantingDaemon } from '../delegation/imported-view.ts'
import { receiveWebhook } from '../delegation/receive-webhook.ts'
import type { TakeNeeds } from '../delegation/take-delivery.ts'
import type { Clock } from '../domain/clock.ts'
import { logInternalError } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import { DeliveryOpener } from '../party/delegate/delivery-opener.ts'
import type { DelegateSideUseCases } from '../rpc/delegate-side-use-cases.ts'
import type { WebhookInbox } from '../rpc/webhook-inbox.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { findSeal } from '../vault/restore-state.ts'

export type DelegateSide = {
  readonly needs: Pick<TakeNeeds, 'opener' | 'granting' | 'arrived' | 'ended'>
  /** Undefined where no webhooks are taken. */
  readonly inbox: WebhookInbox | undefined
  readonly stop: () => Promise<void>
}

type Needs = {
  readonly config: Config
  readonly secrets: Secrets
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly log: Logger
}

const grantingOf = ({ name, partyId }: GrantingDaemonSettings): GrantingDaemon => ({
  name,
  partyId: Uint8Array.from(Buffer.from(partyId, 'hex')),
})

export const wireDelegate = ({ config, secrets, vault, clock, log }: Needs): DelegateSide => {
  const opener = new DeliveryOpener(vault)
  const needs = { opener, granting: config.grantingDaemons.map(grantingOf), arrived: () => undefined, ended: () => undefined }
  const webhooks = config.delegationWebhooks.flatMap((project, at) => {
    const secret = secrets.delegationWebhooks[at]
    return secret === undefined ? [] : [{ project, secret }]
  })
  const onInternalError = (error: unknown): void => logInternalError(log, { where: 'delegation webhook', error })
  const isTaken = webhooks.length > 0 && findSeal(vault.read) === undefined
  return {
    needs,
    inbox: isTaken ? (message) => receiveWebhook({ ...needs, vault, clock, webhooks, onInternalError }, message) : undefined,
    stop: () => opener.close(),
  }
}

type UseCaseNeeds = Omit<ImportAccessNeeds, keyof DelegateSide['needs']> & { readonly delegate: DelegateSide['needs'] }

export const wireDelegateUseCases = ({ delegate, ...rest }: UseCaseNeeds): DelegateSideUseCases => {
  const needs = { ...rest, ...delegate }
  return {
    createDelegateKey: (call, args) => createOwnKey(needs, call, args),
    listDelegateKeys: async () => listOwnKeys(needs),
    deleteDelegateKey: (call, { kid }) => deleteOwnKey(needs, call, kid),
    importDelegatedAccess: (call, args) => importAccess(needs, call, args),
    listImportedAccess: async (call, args) => listImported(needs, call, args),
  }
}
