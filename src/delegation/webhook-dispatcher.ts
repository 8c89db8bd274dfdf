/**
 * Sends what is in the outbox, each event to each endpoint until it was taken or all attempts are used up. What is due
 * is read from the vault and what came of it is written there, so a daemon that ended, however it ended, goes on where
 * it was: an attempt whose end was not written down is made again (at least once).
 */
import { randomUUID } from 'node:crypto'
import type { Clock } from '../domain/clock.ts'
import { EgressError } from '../egress/egress-error.ts'
import type { SendHttp } from '../egress/http.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { Tx } from '../vault/store.ts'
import { type Attempt, type DueDelivery, listDue, listWaiting, recordAttempt } from '../vault/webhook-deliveries.ts'
import { readWebhookEvent } from '../vault/webhook-outbox.ts'
import { getWebhook, updateWebhook, type Webhook } from '../vault/webhooks.ts'
import { formatMessage, type SignedMessage } from './webhook-format.ts'
import { type LaneLimits, type Place, WebhookLanes } from './webhook-lanes.ts'
import { readSecrets } from './webhook-secrets.ts'

/** After the first attempt. */
export const RETRY_AFTER_MS: readonly number[] = [15_000, 60_000, 600_000, 3_600_000, 86_400_000]
/** An endpoint that comes back is not met by everything at once. */
const JITTER = 0.1
const ATTEMPT_MS = 10_000
const CONNECT_MS = 5_000
const EXCERPT_BYTES = 256
const GONE = 410
/** The clock of the machine may be set: it is looked at again after this. */
const LOOK_AGAIN_MS = 30_000
/** Commits come in bursts. */
const GATHER_MS = 5
/** What could not be written down is not sent again at once. */
const UNRECORDED_MS = 15_000

export type Timers = {
  readonly set: (run: () => void, ms: number) => unknown
  readonly clear: (timer: unknown) => void
}

/** What came of one attempt. */
export type AttemptReport = {
  readonly outcome: 'delivered' | 'retrying' | 'failed'
  readonly webhookId: string
  readonly eventId: string
  /** A status or a fault. */
  readonly why: string
}

export type DispatcherNeeds = {
  readonly vault: DaemonVault
  readonly clock: Pick<Clock, 'nowMs'>
  readonly send: SendHttp
  readonly onAttempt?: (report: AttemptReport) => void
  readonly onInternalError?: (error: unknown) => void
  readonly limits?: LaneLimits
  /** 0 up to 1. */
  readonly random?: () => number
  readonly timers?: Timers
}

const SYSTEM_TIMERS: Timers = {
  set: (run, ms) => setTimeout(run, ms).unref(),
  clear: (timer) => clearTimeout(timer as NodeJS.Timeout),
}

/** What came back: a status, or why none did. */
type Answer = { readonly status?: number; readonly error: string; readonly excerpt: string }

export class WebhookDispatcher {
  readonly #needs: Required<DispatcherNeeds>
  readonly #lanes: WebhookLanes
  readonly #inFlight = new Map<bigint, Promise<void>>()
  readonly #ending = new AbortController()
  #unsubscribe: () => void = () => undefined
  #timer: unknown
  #timerAtMs = Infinity
  #written = -1

  constructor(needs: DispatcherNeeds) {
    this.#needs = {
      onAttempt: () => undefined,
      onInternalError: () => undefined,
      random: Math.random,
      timers: SYSTEM_TIMERS,
      limits: { places: 32, failingPlaces: 8, perHealthyEndpoint: 4 },
      ...needs,
    }
    this.#lanes = new WebhookLanes(this.#needs.limits)
  }

  start(): void {
    const { vault } = this.#needs
    this.#unsubscribe = vault.onCommitted(() => {
      const written = vault.read.writesTo('webhook_deliveries') + vault.read.writesTo('webhooks')
      if (written === this.#written) return
      this.#written = written
      this.#lookIn(GATHER_MS)
    })
    this.#lookIn(0)
  }

  /** Begins nothing more, gives up what is under way and waits until that is over. */
  async stop(): Promise<void> {
    this.#unsubscribe()
    this.#ending.abort()
    this.#needs.timers.clear(this.#timer)
    await Promise.allSettled(this.#inFlight.values())
  }

  #nowMs(): number {
    return Math.trunc(this.#needs.clock.nowMs())
  }

  #lookIn(ms: number): void {
    const { timers } = this.#needs
    const atMs = this.#nowMs() + ms
    if (this.#ending.signal.aborted || atMs >= this.#timerAtMs) return
    timers.clear(this.#timer)
    this.#timerAtMs = atMs
    this.#timer = timers.set(() => {
      this.#timerAtMs = Infinity
      this.#look()
    }, ms)
  }

  #look(): void {
    if (this.#ending.signal.aborted || this.#needs.vault.fault() !== undefined) return
    try {
      this.#beginDue()
    } catch (error) {
      this.#needs.onInternalError(error)
      this.#lookIn(LOOK_AGAIN_MS)
    }
  }

  #beginDue(): void {
    const { vault } = this.#needs
    const nowMs = this.#nowMs()
    const waiting = listWaiting(vault.read)
    this.#lanes.keepOnly(new Set(waiting.map(({ webhook }) => webhook)))
    const active = waiting.filter(({ webhook }) => this.#isActive(webhook))
    let due = this.#lanes.inTurn(active.filter(({ dueMs }) => dueMs <= nowMs).map(({ webhook }) => webhook))
    // One each, then one more each, as long as there are places.
    while (due.length > 0) due = due.filter((webhook) => this.#beginNext(webhook, nowMs))
    const later = active.map(({ dueMs }) => dueMs).filter((dueMs) => dueMs > nowMs)
    this.#lookIn(Math.min(LOOK_AGAIN_MS, ...later.map((dueMs) => dueMs - nowMs)))
  }

  /** An altered row is nobody's endpoint. */
  #isActive(number: bigint): boolean {
    try {
      return getWebhook(this.#needs.vault.read, number)?.state === 'ACTIVE'
    } catch (error) {
      this.#needs.onInternalError(error)
      return false
    }
  }

  /** Answers whether an attempt was begun. */
  #beginNext(webhook: bigint, nowMs: number): boolean {
    const atOnce = this.#needs.limits.perHealthyEndpoint + 1
    const next = listDue(this.#needs.vault.read, webhook, nowMs, atOnce).find(({ number }) => !this.#inFlight.has(number))
    const place = next === undefined ? undefined : this.#lanes.take(webhook)
    if (next === undefined || place === undefined) return false
    const running = this.#attempt(place, next, nowMs).catch(this.#needs.onInternalError)
    this.#inFlight.set(next.number, running)
    void running.finally(() => {
      this.#inFlight.delete(next.number)
      this.#lookIn(0)
    })
    return true
  }

  async #attempt(place: Place, delivery: DueDelivery, nowMs: number): Promise<void> {
    let answer: Answer | undefined
    try {
      answer = await this.#ask(place.webhook, delivery, nowMs)
    } finally {
      this.#lanes.release(place, answer === undefined ? undefined : isTaken(answer))
    }
    if (answer !== undefined) await this.#record(place.webhook, delivery, answer)
  }

  /** Undefined when the daemon ends meanwhile. */
  async #ask(number: bigint, delivery: DueDelivery, nowMs: number): Promise<Answer | undefined> {
    let message: SignedMessage | undefined
    let url = ''
    try {
      const webhook = this.#require(number, delivery)
      url = webhook.url
      message = this.#sign(webhook, delivery, nowMs)
    } catch (error) {
      // It is found damaged again at each attempt, until an operator has looked.
      this.#needs.onInternalError(error)
      return { error: 'internal', excerpt: '' }
    }
    if (message === undefined) return { error: 'unnamed', excerpt: '' }
    try {
      const { status, body } = await this.#needs.send({
        url,
        method: 'POST',
        headers: message.headers,
        body: message.body,
        timeoutMs: ATTEMPT_MS,
        connectTimeoutMs: CONNECT_MS,
        maxResponseBytes: EXCERPT_BYTES,
        cutsBody: true,
        signal: this.#ending.signal,
      })
      return { status, error: '', excerpt: excerptOf(body) }
    } catch (error) {
      if (this.#ending.signal.aborted) return undefined
      if (!(error instanceof EgressError)) this.#needs.onInternalError(error)
      return { error: error instanceof EgressError ? error.fault : 'internal', excerpt: '' }
    }
  }

  #require(number: bigint, { event }: DueDelivery): Webhook {
    const { vault } = this.#needs
    const webhook = getWebhook(vault.read, number)
    const told = readWebhookEvent(vault.read, event)
    // Both rows are under a MAC, the one that joins them is not.
    if (webhook === undefined || told?.project !== webhook.project) throw new Error('assertion: an event stays in its project')
    return webhook
  }

  #sign(webhook: Webhook, { event, round }: DueDelivery, nowMs: number): SignedMessage | undefined {
    const { vault } = this.#needs
    const told = readWebhookEvent(vault.read, event)
    if (told === undefined) throw new Error('assertion: a delivery has an event')
    const facts = { webhook, event: told, isRedelivery: round > 0, nowMs, messageId: randomUUID() }
    return formatMessage(facts, readSecrets(vault, webhook, nowMs))
  }

  async #record(number: bigint, delivery: DueDelivery, answer: Answer): Promise<void> {
    const { vault, onAttempt, timers } = this.#needs
    const timeMs = this.#nowMs()
    const next = this.#nextOf(delivery, answer, timeMs)
    const attempt: Attempt = { timeMs, status: answer.status, error: answer.error, excerpt: answer.excerpt, next }
    try {
      await vault.commitLater((tx) => {
        recordAttempt(tx, delivery, attempt)
        if (answer.status === GONE) noteGone(tx, number, timeMs)
      })
      onAttempt({
        outcome: OUTCOMES[next.state],
        webhookId: getWebhook(vault.read, number)?.webhookId ?? '',
        eventId: readWebhookEvent(vault.read, delivery.event)?.eventId ?? '',
        why: answer.error === '' ? String(answer.status) : answer.error,
      })
    } catch (error) {
      if (this.#ending.signal.aborted) return
      this.#needs.onInternalError(error)
      await new Promise<void>((resolve) => {
        timers.set(resolve, UNRECORDED_MS)
        this.#ending.signal.addEventListener('abort', () => resolve(), { once: true })
      })
    }
  }

  #nextOf({ roundAttempts }: DueDelivery, answer: Answer, timeMs: number): Attempt['next'] {
    if (isTaken(answer)) return { state: 'DELIVERED' }
    const waitMs = answer.status === GONE ? undefined : RETRY_AFTER_MS[roundAttempts]
    if (waitMs === undefined) return { state: 'FAILED' }
    return { state: 'PENDING', atMs: timeMs + Math.ceil(waitMs * (1 + JITTER * this.#needs.random())) }
  }
}

const OUTCOMES = { PENDING: 'retrying', DELIVERED: 'delivered', FAILED: 'failed' } as const satisfies {
  readonly [S in Attempt['next']['state']]: AttemptReport['outcome']
}

const isTaken = ({ status }: Answer): boolean => status !== undefined && status >= 200 && status < 300

/** Text that does no harm where it is shown. */
const excerptOf = (body: Uint8Array): string =>
  Buffer.from(body)
    .toString('utf8')
    .replace(/[\p{C}\p{Z}]+/gu, ' ')
    .trim()

/** The receiver says that it is gone for good: nothing is sent there until somebody turns it on again. */
const noteGone = (tx: Tx, number: bigint, timeMs: number): void => {
  const webhook = getWebhook(tx, number)
  if (webhook?.state !== 'ACTIVE') return
  updateWebhook(tx, webhook.webhookId, { state: 'GONE' }, { nowMs: timeMs })
  appendAudit(tx, {
    timeMs,
    kind: 'webhook.gone',
    project: webhook.project,
    actor: { kind: 'daemon', id: '' },
    subject: { type: 'webhook', id: webhook.webhookId },
  })
}
