/** Webhooks, from the configuration: where they may lead, who sends them, and what is counted. */
import type { WebhookStatusView } from '../admin/status.ts'
import type { Config } from '../config/config.ts'
import { WebhookDispatcher } from '../delegation/webhook-dispatcher.ts'
import type { Clock } from '../domain/clock.ts'
import type { SendHttp } from '../egress/http.ts'
import { createUrlJudge, type JudgeUrl } from '../egress/judge-url.ts'
import { logInternalError, logWebhookFailed } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import type { Metrics } from '../observe/metrics.ts'
import { PacedWarning } from '../observe/paced-warning.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { findSeal } from '../vault/restore-state.ts'

export type Webhooks = {
  readonly judgeUrl: JudgeUrl
  readonly webhookCounts: () => Pick<WebhookStatusView, 'delivered' | 'failedAttempts'>
  /** Sends what waits; nothing while the vault is sealed. */
  readonly start: () => void
  readonly stop: () => Promise<void>
}

export type WebhooksNeeds = {
  readonly config: Config
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly send: SendHttp
  readonly metrics: Metrics
  readonly log: Logger
}

const WARNING_MS = 10_000

export const wireWebhooks = ({ config, vault, clock, send, metrics, log }: WebhooksNeeds): Webhooks => {
  const counts = { delivered: 0, failedAttempts: 0 }
  const paced = new PacedWarning(WARNING_MS)
  const troubled = new PacedWarning(WARNING_MS)
  const dispatcher = new WebhookDispatcher({
    vault,
    clock,
    send,
    onAttempt: ({ outcome, webhookId, eventId, why }) => {
      metrics.noteWebhookAttempt(outcome)
      if (outcome === 'delivered') counts.delivered += 1
      else counts.failedAttempts += 1
      const keptBack = outcome === 'failed' ? paced.admit(performance.now()) : undefined
      if (keptBack !== undefined) logWebhookFailed(log, { webhookId, eventId, why, keptBack })
    },
    onInternalError: (error) => {
      if (troubled.admit(performance.now()) !== undefined) logInternalError(log, { where: 'webhooks', error })
    },
  })
  return {
    judgeUrl: createUrlJudge(config.egress.allow),
    webhookCounts: () => ({ ...counts }),
    start: () => {
      if (findSeal(vault.read) === undefined) dispatcher.start()
    },
    stop: () => dispatcher.stop(),
  }
}
