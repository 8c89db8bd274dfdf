/** Receivers on this machine, a vault, and a dispatcher whose clock goes only when it is told to. */
import { onTestFinished, vi } from 'vitest'
import { type AttemptReport, type DispatcherNeeds, type Timers, WebhookDispatcher } from '../../src/delegation/webhook-dispatcher.ts'
import { generateWebhookSecret } from '../../src/delegation/webhook-format.ts'
import { writeSecret } from '../../src/delegation/webhook-secrets.ts'
import type { WebhookFormat } from '../../src/domain/webhook-events.ts'
import { createHttpEgress } from '../../src/egress/http.ts'
import type { DaemonVault } from '../../src/vault/daemon-vault.ts'
import { DEFAULT_PROJECT } from '../../src/vault/projects.ts'
import { type Delivery, listDeliveries } from '../../src/vault/webhook-deliveries.ts'
import { recordWebhookEvent } from '../../src/vault/webhook-outbox.ts'
import { insertWebhook, type Webhook } from '../../src/vault/webhooks.ts'
import { makeVault, NOW } from '../vault/fixture.ts'
import { listenReceiver, type Receiver, type Respond } from './webhook-receiver.ts'

/** Until the test ends. */
export const openReceiver = async (respond?: Respond): Promise<Receiver> => {
  const receiver = await listenReceiver(respond)
  onTestFinished(receiver.close)
  return receiver
}

type Waiting = { readonly run: () => void; readonly atMs: number }

/** Time that stands until `advance`. */
const stoppedClock = () => {
  let nowMs = NOW
  const waiting = new Set<Waiting>()
  const timers: Timers = {
    set: (run, ms) => {
      const timer = { run, atMs: nowMs + ms }
      waiting.add(timer)
      return timer
    },
    clear: (timer) => waiting.delete(timer as Waiting),
  }
  const advance = (ms: number): void => {
    nowMs += ms
    for (const timer of [...waiting].toSorted((one, other) => one.atMs - other.atMs)) {
      if (timer.atMs <= nowMs && waiting.delete(timer)) timer.run()
    }
  }
  return { nowMs: () => nowMs, timers, advance }
}

export const LOOPBACK = ['127.0.0.0/8']

export type Scene = {
  readonly vault: DaemonVault
  readonly dispatcher: WebhookDispatcher
  readonly reports: AttemptReport[]
  readonly errors: unknown[]
  readonly nowMs: () => number
  readonly advance: (ms: number) => void
  readonly endpoint: (url: string, format?: WebhookFormat) => { readonly webhook: Webhook; readonly secret: string }
  /** An event of a new wallet; answers its id. */
  readonly happen: (userId?: string) => string
  readonly deliveries: (webhook: Webhook) => Delivery[]
  /** Goes on, with hardly any time passing on the clock, until `check` passes. */
  readonly until: (check: () => void) => Promise<void>
}

export const walletData = (userId: string) => ({
  wallet_id: `wal_${'ab'.repeat(16)}`,
  user_id: userId,
  key_type: 'secp256k1' as const,
  owner_type: 'project' as const,
  label: '',
  address: `0x${'Ab'.repeat(20)}`,
})

export const openScene = async (needs: Partial<DispatcherNeeds> = {}): Promise<Scene> => {
  const vault = needs.vault ?? (await makeVault())
  const clock = stoppedClock()
  const reports: AttemptReport[] = []
  const errors: unknown[] = []
  const dispatcher = new WebhookDispatcher({
    clock,
    timers: clock.timers,
    send: createHttpEgress({ allow: LOOPBACK }),
    random: () => 0,
    onAttempt: (report) => reports.push(report),
    onInternalError: (error) => errors.push(error),
    ...needs,
    vault,
  })
  onTestFinished(() => dispatcher.stop())
  return {
    vault,
    dispatcher,
    reports,
    errors,
    nowMs: clock.nowMs,
    advance: clock.advance,
    endpoint: (url, format = 'COUNTERSIGN') =>
      vault.commitNow((tx) => {
        const webhook = insertWebhook(tx, { project: DEFAULT_PROJECT, name: '', url, format, subscriptions: [], nowMs: clock.nowMs() })
        const secret = generateWebhookSecret(format)
        writeSecret(vault, tx, webhook, secret, false)
        return { webhook, secret }
      }),
    happen: (userId = 'alice') => {
      const event = { project: DEFAULT_PROJECT, type: 'wallet.created', data: walletData(userId), nowMs: clock.nowMs() } as const
      return vault.commitNow((tx) => recordWebhookEvent(tx, event)) ?? ''
    },
    deliveries: ({ number }) => listDeliveries(vault.read, { webhook: number, limit: 500 }),
    until: (check) =>
      vi.waitFor(
        () => {
          // Short waits, such as for more of the same commit, pass by themselves.
          clock.advance(1)
          check()
        },
        { timeout: 20_000, interval: 5 },
      ),
  }
}
