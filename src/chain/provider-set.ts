/**
 * The providers of one chain: the first that works answers, one that fails again and again is left alone for a while, and
 * what money hangs on is asked of two. Every provider shows that it serves the right chain before it is believed.
 */
import type { Clock } from '../domain/clock.ts'
import { type Failure, failure } from '../domain/failure.ts'
import { CallReverted } from './call-reverted.ts'
import { InFlight } from './in-flight.ts'
import { type AskProvider, ProviderFault, ProviderRefusal } from './json-rpc.ts'

/** What decides whether two answers are the same, and what is left of one: undefined, or a throw, refuses the answer. */
export type ReadResult<T> = (result: unknown) => T | undefined

export type ProviderSetOptions = {
  readonly network: string
  /** Shown by a provider's `identify` before anything else is asked of it, again after it failed, and once a minute. */
  readonly identify: { readonly method: string; readonly params: readonly unknown[]; readonly expected: string }
  readonly providers: readonly AskProvider[]
  readonly clock: Clock
  /** Methods that can revert; of any other it is a refusal that says nothing. Absent: every method can. */
  readonly reverting?: ReadonlySet<string> | undefined
}

const FAILURES_TO_OPEN = 3
const OPEN_MS = 30_000
/** Behind one address may be another node by then. */
const IDENTITY_MS = 60_000
/** Asked of one provider at a time. */
const IN_FLIGHT_MAX = 32

/** A provider, and how it has done. */
class Breaker {
  readonly ask: AskProvider
  #failures = 0
  #openUntilMs = -Infinity
  #identifiedMs = -Infinity

  constructor(ask: AskProvider, nowMs: () => number) {
    const places = new InFlight(IN_FLIGHT_MAX)
    this.ask = (method, params, signal) => {
      const isTriedAnyway = this.isOpen(nowMs())
      const run = (): Promise<unknown> => {
        // It failed while others waited for a place: they need not each find out.
        if (!isTriedAnyway && this.isOpen(nowMs())) throw new ProviderFault('it is left alone')
        return ask(method, params, signal)
      }
      return places.run(async () => run(), signal)
    }
  }

  isOpen(nowMs: number): boolean {
    return nowMs < this.#openUntilMs
  }

  isIdentified(nowMs: number): boolean {
    return nowMs - this.#identifiedMs < IDENTITY_MS
  }

  identified(nowMs: number): void {
    this.#identifiedMs = nowMs
  }

  succeeded(): void {
    this.#failures = 0
    this.#openUntilMs = -Infinity
  }

  failed(nowMs: number): void {
    this.#identifiedMs = -Infinity
    this.#failures += 1
    if (this.#failures >= FAILURES_TO_OPEN) this.#openUntilMs = nowMs + OPEN_MS
  }
}

/** What a provider said: a value, or that the call reverts. */
type Said<T> = { readonly value: T } | { readonly reverted: CallReverted }

/** What a provider said to something it was told: a value, or why not, in its own words. */
export type Told<T> = { readonly value: T } | { readonly refusal: string }

export class ProviderSet {
  readonly #options: ProviderSetOptions
  readonly #breakers: readonly Breaker[]
  #sawWrongChain = false

  constructor(options: ProviderSetOptions) {
    this.#options = options
    this.#breakers = options.providers.map((ask) => new Breaker(ask, () => this.#nowMs()))
  }

  /** What the first provider that answers says. Throws CHAIN_UNAVAILABLE, CallReverted. */
  async ask<T>(method: string, params: readonly unknown[], read: ReadResult<T>, signal?: AbortSignal): Promise<T> {
    const [one] = await this.#collect(1, method, params, read, signal)
    return this.#valueOf(one)
  }

  /**
   * The answer of two providers, asked at once, where there are two: CHAIN_DISAGREEMENT when their answers differ. A second
   * one that is away leaves the word of the first. Throws CHAIN_UNAVAILABLE, CallReverted.
   */
  async agree<T extends string>(
    method: string,
    params: readonly unknown[],
    read: ReadResult<T>,
    signal?: AbortSignal,
  ): Promise<T> {
    const [one, other] = await this.#collect(2, method, params, read, signal)
    if (one !== undefined && other !== undefined && !isSame(one, other)) throw failure('CHAIN_DISAGREEMENT', { network: this.#options.network })
    return this.#valueOf(one)
  }

  /** What two providers say where there are two, or the one that answers. Throws CHAIN_UNAVAILABLE, CallReverted. */
  async hear<T>(method: string, params: readonly unknown[], read: ReadResult<T>, signal?: AbortSignal): Promise<readonly [T, ...T[]]> {
    const [one, ...others] = await this.#collect(2, method, params, read, signal)
    return [this.#valueOf(one), ...others.map((said) => this.#valueOf(said))]
  }

  /**
   * Gives something to every provider that is not left alone. Answers when one has taken it, or all have said no in their
   * own words; nobody may say anything.
   */
  async submit<T>(method: string, params: readonly unknown[], read: ReadResult<T>, signal?: AbortSignal): Promise<readonly Told<T>[]> {
    const told: Told<T>[] = []
    const { promise: taken, resolve, reject } = Promise.withResolvers<void>()
    const submitted = this.#candidates().map(async (breaker) => {
      const said = await this.#submitTo(breaker, method, params, read, signal)
      if (said === undefined) return
      told.push(said)
      if ('value' in said) resolve()
    })
    Promise.all(submitted).then(() => resolve(), reject)
    await taken
    return told
  }

  async #submitTo<T>(
    breaker: Breaker,
    method: string,
    params: readonly unknown[],
    read: ReadResult<T>,
    signal: AbortSignal | undefined,
  ): Promise<Told<T> | undefined> {
    try {
      return { value: await this.#answerOf(breaker, method, params, read, signal) }
    } catch (error) {
      if (error instanceof CallReverted || error instanceof ProviderRefusal) return { refusal: error.said }
      if (!(error instanceof ProviderFault)) throw error
      if (signal?.aborted !== true) breaker.failed(this.#nowMs())
      return undefined
    }
  }

  /** Of one that serves the chain; @throws what it said instead, or ProviderFault. */
  async #answerOf<T>(
    breaker: Breaker,
    method: string,
    params: readonly unknown[],
    read: ReadResult<T>,
    signal: AbortSignal | undefined,
  ): Promise<T> {
    await this.#identify(breaker, signal)
    const value = readOr(read, await breaker.ask(method, params, signal))
    if (value === undefined) throw new ProviderFault('not an answer to this question')
    breaker.succeeded()
    return value
  }

  /** With every one left alone the caller would be refused for half a minute over what may be over: they are tried. */
  #candidates(): readonly Breaker[] {
    const nowMs = this.#nowMs()
    const closed = this.#breakers.filter((breaker) => !breaker.isOpen(nowMs))
    return closed.length > 0 ? closed : this.#breakers
  }

  #unavailable(): Failure {
    const why = this.#sawWrongChain ? 'a provider serves another chain' : 'no provider gave a usable answer'
    return failure('CHAIN_UNAVAILABLE', { network: this.#options.network, why })
  }

  #valueOf<T>(said: Said<T> | undefined): T {
    if (said === undefined) throw this.#unavailable()
    if ('reverted' in said) throw said.reverted
    return said.value
  }

  /** Up to `wanted` answers, each of another provider, in the order of the list. */
  async #collect<T>(
    wanted: number,
    method: string,
    params: readonly unknown[],
    read: ReadResult<T>,
    signal: AbortSignal | undefined,
  ): Promise<readonly Said<T>[]> {
    const candidates = [...this.#candidates()]
    const said: Said<T>[] = []
    while (said.length < wanted && candidates.length > 0) {
      const round = candidates.splice(0, wanted - said.length)
      const answers = await Promise.all(round.map((breaker) => this.#askOne(breaker, method, params, read, signal)))
      said.push(...answers.filter((answer) => answer !== undefined))
      signal?.throwIfAborted()
    }
    return said
  }

  async #askOne<T>(
    breaker: Breaker,
    method: string,
    params: readonly unknown[],
    read: ReadResult<T>,
    signal: AbortSignal | undefined,
  ): Promise<Said<T> | undefined> {
    try {
      return { value: await this.#answerOf(breaker, method, params, read, signal) }
    } catch (error) {
      const isReverted = error instanceof CallReverted
      if (isReverted && this.#options.reverting?.has(method) !== false) {
        breaker.succeeded()
        return { reverted: error }
      }
      if (!isReverted && !(error instanceof ProviderFault)) throw error
      if (signal?.aborted !== true) breaker.failed(this.#nowMs())
      return undefined
    }
  }

  async #identify(breaker: Breaker, signal: AbortSignal | undefined): Promise<void> {
    if (breaker.isIdentified(this.#nowMs())) return
    const { method, params, expected } = this.#options.identify
    const shown = await breaker.ask(method, params, signal)
    if (shown !== expected) {
      this.#sawWrongChain = true
      throw new ProviderFault('it serves another chain')
    }
    breaker.identified(this.#nowMs())
  }

  #nowMs(): number {
    return Number(this.#options.clock.monotonicNs() / 1_000_000n)
  }
}

const readOr = <T>(read: ReadResult<T>, result: unknown): T | undefined => {
  try {
    return read(result)
  } catch {
    return undefined
  }
}

const isSame = <T>(one: Said<T>, other: Said<T>): boolean =>
  'reverted' in one ? 'reverted' in other : 'value' in other && one.value === other.value
