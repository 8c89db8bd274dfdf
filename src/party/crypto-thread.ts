/**
 * A party's hold on the crypto worker of one link. What the worker held is gone with it: every call that waits rejects,
 * the party is told, and another one is started, later and later when they keep ending.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { LinkParties } from '../engine/dkls23/contexts.ts'
import type { CryptoWorkerData } from './serve-sessions.ts'
import { endThread } from './end-thread.ts'
import { faultOf, type FromWorker, type SessionCall, type SessionNote, type Told } from './session-calls.ts'
import { threadEnvironment } from './thread-environment.ts'

/** The worker ended before it answered, or is not up again yet. What it computed is gone with its secrets. */
export class CryptoWorkerGone extends Error {
  constructor() {
    super('the crypto worker of the link ended')
    this.name = 'CryptoWorkerGone'
  }
}

type Waiting = {
  readonly resolve: (told: Told) => void
  readonly reject: (error: Error) => void
  readonly timer: NodeJS.Timeout
}

/** One that lived this long starts its successor at once. */
const STEADY_MS = 10_000
const FIRST_PAUSE_MS = 100
const LONGEST_PAUSE_MS = 10_000
const PATIENCE_MS = 5_000
/** A step takes milliseconds, on a machine with no time to spare seconds: a worker that says nothing for longer hangs. */
const ANSWER_MS = 30_000
/** More numbers than one worker gives away. */
const IDS_OF_ONE = 2 ** 32
/** A worker holds a session and its link's material; the large buffers lie outside V8's heap. */
const LIMITS = { maxOldGenerationSizeMb: 96, maxYoungGenerationSizeMb: 8 }

export class CryptoThread {
  readonly #name: string
  readonly #parties: LinkParties
  /** One that was ready has ended; after everything that waited was rejected. */
  readonly #onGone: (why: string) => void
  readonly #answerMs: number
  readonly #waiting = new Map<number, Waiting>()
  #worker: Worker | undefined
  #isReady = false
  #settled = Promise.withResolvers<void>()
  #starts = 0
  #startedMs = 0
  #pauseMs = 0
  #nextId = 1
  #closed = false
  #renewing: Worker | undefined

  constructor(name: string, parties: LinkParties, onGone: (why: string) => void, answerMs: number = ANSWER_MS) {
    this.#answerMs = answerMs
    this.#name = name
    this.#parties = parties
    this.#onGone = onGone
  }

  /** The worker is up. */
  get isReady(): boolean {
    return this.#isReady
  }

  /** Starts the worker, unless that was done. Resolves when it is up, or has ended before. */
  start(): Promise<void> {
    if (this.#starts === 0) this.#start()
    return this.#settled.promise
  }

  /** @throws ProtocolFault as the step found it; CryptoWorkerGone; Error for a bug in the worker. */
  call(call: SessionCall, transfer: ArrayBuffer[] = []): Promise<Told> {
    return new Promise((resolve, reject) => {
      const worker = this.#worker
      if (worker === undefined) return reject(new CryptoWorkerGone())
      const id = this.#nextId++
      // Whoever waits holds the link's lock; what a worker that hangs had is gone with it.
      const timer = setTimeout(() => void worker.terminate(), this.#answerMs).unref()
      this.#waiting.set(id, { resolve, reject, timer })
      worker.postMessage({ id, call }, transfer)
    })
  }

  note(note: SessionNote): void {
    this.#worker?.postMessage({ note })
  }

  /** What the worker holds is overwritten, and it ends. */
  async close(): Promise<void> {
    this.#closed = true
    if (this.#worker !== undefined) await this.#end(this.#worker)
  }

  /**
   * Ends the worker and starts another: of what the first one ever held nothing is left. What it held is of no use any
   * more, or is not there: nobody is told.
   */
  async renew(): Promise<void> {
    const worker = this.#worker
    if (worker === undefined) return
    this.#renewing = worker
    this.#settled = Promise.withResolvers<void>()
    await this.#end(worker)
  }

  #end(worker: Worker): Promise<void> {
    return endThread(worker, () => this.note({ op: 'end' }))
  }

  #start(): void {
    if (this.#closed) return
    this.#starts += 1
    this.#startedMs = performance.now()
    try {
      this.#watch(this.#open())
    } catch (error) {
      // No thread is to be had; one may be later.
      this.#lose(String(error))
    }
  }

  #open(): Worker {
    return new Worker(new URL('./crypto-worker.ts', import.meta.url), {
      name: this.#name,
      workerData: { parties: this.#parties, firstId: IDS_OF_ONE * this.#starts } satisfies CryptoWorkerData,
      env: threadEnvironment(),
      resourceLimits: LIMITS,
    })
  }

  #watch(worker: Worker): void {
    this.#worker = worker
    let why = 'it ended'
    worker.on('message', (message: FromWorker) => this.#settle(message))
    worker.on('error', (error) => (why = String(error)))
    worker.on('exit', () => this.#lose(why))
  }

  #settle(message: FromWorker): void {
    if ('isReady' in message) {
      this.#isReady = true
      this.#settled.resolve()
      return
    }
    const entry = this.#waiting.get(message.id)
    this.#waiting.delete(message.id)
    if (entry === undefined) return
    clearTimeout(entry.timer)
    if ('told' in message) entry.resolve(message.told)
    else entry.reject('fault' in message ? faultOf(message.fault) : new Error(`crypto worker: ${message.bug}`))
  }

  #lose(why: string): void {
    const isRenewal = this.#renewing !== undefined && this.#renewing === this.#worker
    const wasReady = this.#isReady && !isRenewal
    this.#renewing = undefined
    this.#worker = undefined
    this.#isReady = false
    if (!isRenewal) this.#settled.resolve()
    const waiting = [...this.#waiting.values()]
    this.#waiting.clear()
    for (const { reject, timer } of waiting) {
      clearTimeout(timer)
      reject(new CryptoWorkerGone())
    }
    if (this.#closed) return
    const livedMs = performance.now() - this.#startedMs
    if (isRenewal) return this.#start()
    this.#pauseMs = livedMs >= STEADY_MS ? 0 : Math.min(LONGEST_PAUSE_MS, 2 * this.#pauseMs || FIRST_PAUSE_MS)
    setTimeout(() => this.#start(), this.#pauseMs).unref()
    if (wasReady) this.#onGone(why)
  }
}

/**
 * Starts workers a while from now, one after the other: loading one takes a core for a fifth of a second, and what a
 * process does at its start goes first. `isUp` follows each; where that takes longer than `patienceMs`, it does not keep
 * the next one.
 */
export const startInTurn = <T extends { readonly crypto: Pick<CryptoThread, 'start'> }>(
  links: readonly T[],
  afterMs: number,
  isUp: (link: T) => Promise<void> = () => Promise.resolve(),
  patienceMs = PATIENCE_MS,
): void => {
  const startAll = async (): Promise<void> => {
    for (const link of links) {
      await link.crypto.start()
      await Promise.race([isUp(link), sleep(patienceMs, undefined, { ref: false })])
    }
  }
  setTimeout(() => void startAll(), afterMs).unref()
}
