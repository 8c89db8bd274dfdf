/**
 * Follows what was sent until it is over: looks it up, repeats its broadcast, signs what was cut off before it was signed.
 * One loop a network, for as long as something of it is under way.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { isFailure } from '../domain/failure.ts'
import type { FenceKey } from '../signing/fences.ts'
import { getSent, openNetworks, openSent } from '../vault/sent-queries.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import type { ChainFamily, Taken } from './chain-family.ts'
import { mayLeave } from './may-leave.ts'
import type { SendingNeeds } from './sending-needs.ts'
import type { SentChanges } from './sent-changes.ts'
import { isOver, type SentListeners } from './sent-listeners.ts'
import { StuckWatch, whyStuck } from './stuck-watch.ts'

export type FollowerParts = {
  readonly needs: SendingNeeds
  readonly changes: SentChanges
  readonly listeners: SentListeners
  /** Signs what of its sender waits for a signature. */
  readonly settle: (sent: SentTransaction) => Promise<void>
}

/** Where a network cannot be read, or is not configured any more. */
const PAUSE_MS = 5_000
const MAX_ROUNDS_BETWEEN = 32
/** How many broadcasts are repeated in one round. */
const REPEATS_AT_ONCE = 16

export class Follower {
  readonly #parts: FollowerParts
  readonly #ending = new AbortController()
  readonly #loops = new Map<string, Promise<void>>()
  /** When each was last given to providers. */
  readonly #toldMs = new Map<string, number>()
  /** Of what waits for its signature: for how many rounds it still waits, and for how many the next time. */
  readonly #tries = new Map<string, { readonly left: number; readonly next: number }>()
  readonly #telling = new Set<Promise<void>>()
  readonly #settling = new Map<string, Promise<void>>()
  readonly #stuck = new StuckWatch()

  constructor(parts: FollowerParts) {
    this.#parts = parts
  }

  start(): void {
    for (const network of openNetworks(this.#parts.needs.vault.read)) this.wake(network)
  }

  async stop(): Promise<void> {
    this.#ending.abort()
    await Promise.all([...this.#loops.values(), ...this.#settling.values(), ...this.#telling])
  }

  wake(network: string): void {
    if (this.#ending.signal.aborted || this.#loops.has(network)) return
    const loop: Promise<void> = this.#follow(network)
      .catch((error: unknown) => this.#parts.needs.onAlert('following', isFailure(error) ? error.reason : 'internal'))
      .finally(() => {
        if (this.#loops.get(network) === loop) this.#loops.delete(network)
      })
    this.#loops.set(network, loop)
  }

  /** Gives the newest signed version to the providers, and keeps what they say. Ends soon when `signal` aborts. Never rejects. */
  letOut(sent: SentTransaction, signal?: AbortSignal): Promise<void> {
    const version = sent.versions.findLast(({ raw }) => raw !== undefined)
    const family = this.#familyOf(sent)
    if (version === undefined || family === undefined) return Promise.resolve()
    this.#toldMs.set(sent.sendId, this.#nowMs())
    const telling = family
      .broadcast(sent.network, version, signal)
      .then((taken) => this.#note(sent.sendId, taken))
      .catch((error: unknown) => this.#parts.needs.onAlert('broadcast', isFailure(error) ? error.reason : 'internal'))
      .finally(() => this.#telling.delete(telling))
    this.#telling.add(telling)
    return telling
  }

  async #note(sendId: string, taken: Taken): Promise<void> {
    const { needs, changes, listeners } = this.#parts
    const after = await needs.vault.commit((tx) => {
      const sent = getSent(tx, sendId)
      if (sent === undefined || (sent.state !== 'SIGNED' && sent.state !== 'BROADCAST')) return undefined
      const reason = taken.taken ? '' : taken.why
      const state = taken.taken ? 'BROADCAST' : sent.state
      return state === sent.state && reason === sent.reason ? undefined : changes.make(tx, sent, { state, reason }, this.#nowMs())
    })
    if (after !== undefined) listeners.tell(after)
  }

  #familyOf({ family }: SentTransaction): ChainFamily | undefined {
    return this.#parts.needs.families.find(({ name }) => name === family)
  }

  async #follow(network: string): Promise<void> {
    const { signal } = this.#ending
    while (!signal.aborted) {
      const open = openSent(this.#parts.needs.vault.read, network)
      const [first] = open
      if (first === undefined) {
        // In the same turn: who adds something after this look begins another loop.
        this.#loops.delete(network)
        return
      }
      const pauseMs = await this.#round(network, open).then(() => this.#pollMs(first), () => PAUSE_MS)
      await sleep(pauseMs, undefined, { signal, ref: false }).catch(() => undefined)
    }
  }

  #pollMs(sent: SentTransaction): number {
    return this.#familyOf(sent)?.pollMs(sent.network) ?? PAUSE_MS
  }

  /** A wallet that cannot be signed for now keeps nobody else from being followed. */
  #settleAside(sent: SentTransaction): void {
    const name = `${sent.chain} ${sent.sender}`
    if (this.#settling.has(name) || !this.#isTurnOf(sent)) return
    const settling = this.#parts.settle(sent).then(() => void this.#tries.delete(sent.sendId), () => undefined)
    this.#settling.set(name, settling.finally(() => this.#settling.delete(name)))
  }

  async #round(network: string, open: readonly SentTransaction[]): Promise<void> {
    for (const sent of open) {
      if (sent.versions.some(({ raw }) => raw === undefined)) this.#settleAside(sent)
      else this.#tries.delete(sent.sendId)
    }
    for (const family of this.#parts.needs.families) {
      const sent = open.filter((one) => one.family === family.name && one.state !== 'SIGNING')
      if (sent.length > 0) await this.#look(family, network, sent)
    }
    await this.#tellStuck(network, open)
  }

  /** Of a wallet, the first that nothing moves: what was sent after it waits for it. */
  async #tellStuck(network: string, open: readonly SentTransaction[]): Promise<void> {
    const { needs, changes, listeners } = this.#parts
    const { vault } = needs
    const nowMs = this.#nowMs()
    for (const { sendId, state, versions } of this.#stuck.due(network, open, nowMs)) {
      const told = await vault.commit((tx) => {
        const sent = getSent(tx, sendId)
        // What has moved since, or was sped up, has all its time before it.
        if (sent?.state !== state || sent.versions.length !== versions.length) return undefined
        const why = whyStuck(needs, sent)
        return { why, sent: changes.noteStuck(tx, sent, why, nowMs) }
      })
      if (told === undefined) continue
      listeners.tell(told.sent)
      needs.onStuck?.({ sendId, network, why: told.why })
    }
  }

  /** What could not be signed is tried after one round, two, four …: each try is a row in the audit chain. */
  #isTurnOf({ sendId }: SentTransaction): boolean {
    const { left, next } = this.#tries.get(sendId) ?? { left: 0, next: 1 }
    this.#tries.set(sendId, left > 0 ? { left: left - 1, next } : { left: next, next: Math.min(next * 2, MAX_ROUNDS_BETWEEN) })
    return left === 0
  }

  async #look(family: ChainFamily, network: string, sent: readonly SentTransaction[]): Promise<void> {
    const { needs, changes, listeners } = this.#parts
    const seen = await family.observe(network, sent, this.#ending.signal)
    if (this.#ending.signal.aborted) return
    const nowMs = this.#nowMs()
    const before = new Map(sent.map((one) => [one.sendId, one]))
    const news = await needs.vault.commit((tx) =>
      [...seen].flatMap(([sendId, observation]) => {
        const current = getSent(tx, sendId)
        // What has changed since it was looked up is looked up again.
        if (current === undefined || isOver(current) || current.versions.length !== before.get(sendId)?.versions.length) return []
        return changes.observe(tx, current, observation, nowMs) ?? []
      }),
    )
    for (const one of news) {
      if (isOver(one)) this.#toldMs.delete(one.sendId)
      // It was in a block and is not any more.
      if (one.state === 'BROADCAST' && one.minedVersion === undefined) this.#toldMs.delete(one.sendId)
      listeners.tell(one)
    }
    await this.#repeat(family, network, sent.filter(({ sendId }) => seen.get(sendId)?.seen === 'waiting'), nowMs)
  }

  async #repeat(family: ChainFamily, network: string, waiting: readonly SentTransaction[], nowMs: number): Promise<void> {
    const { needs } = this.#parts
    const due = waiting.filter(({ sendId }) => nowMs - (this.#toldMs.get(sendId) ?? 0) >= family.repeatMs(network))
    const told: Promise<void>[] = []
    for (const { sendId } of due) {
      if (told.length === REPEATS_AT_ONCE) break
      const sent = getSent(needs.vault.read, sendId)
      const version = sent?.versions.findLast(({ raw }) => raw !== undefined)
      const behind = sent === undefined || version === undefined || isOver(sent) ? undefined : mayLeave(needs, sent, version)
      // What may not leave takes no place from what may.
      if (sent !== undefined && behind !== undefined && needs.fences.blocking(behind) === undefined) told.push(this.#letOutBehind(behind, sent))
    }
    await Promise.all(told)
  }

  /** What a fence rises in the way of is left for later. */
  async #letOutBehind(keys: readonly FenceKey[], sent: SentTransaction): Promise<void> {
    const stopping = new AbortController()
    const passage = this.#parts.needs.fences.enter(keys, () => stopping.abort())
    await this.letOut(sent, stopping.signal).finally(passage.leave)
  }

  #nowMs(): number {
    return Math.trunc(this.#parts.needs.clock.nowMs())
  }
}
