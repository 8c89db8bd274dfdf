/**
 * The cosigner's own process around the cosigner's thread: the same thread as the embedded one, over the same two ports. A
 * daemon that leaves for good (parked-daemon.ts says when) takes everything with it that was made with it in memory: the
 * thread is ended and another opened, which waits unpaired with its vault open, for freezes and the next daemon.
 */
import { randomBytes } from 'node:crypto'
import { MessageChannel, Worker } from 'node:worker_threads'
import type { Clock } from '../../domain/clock.ts'
import { failure } from '../../domain/failure.ts'
import type { AuditHead } from '../../vault/audit-chain.ts'
import type { BackupMade } from '../../vault/write-backup.ts'
import type { KeyRotated } from '../cosigner-custody.ts'
import type { CosignerCalls, CosignerEvents, CosignerWorkerData, FrameCalls } from '../cosigner.ts'
import type { LostMaterial } from '../cosigner-links.ts'
import { endThread, STOP } from '../end-thread.ts'
import { openPortEnd, type PortEnd } from '../port-calls.ts'
import { threadEnvironment } from '../thread-environment.ts'

export type HostedCosigner = {
  readonly calls: PortEnd<CosignerCalls>
  readonly frames: PortEnd<FrameCalls>
  readonly opened: { readonly ownId: Uint8Array; readonly publicKey: Uint8Array; readonly head: AuditHead }
}

export type HostEvents = {
  readonly alert: (what: string, detail: string) => void
  readonly lost: (lost: LostMaterial) => void
  /** What party S asks of its daemon. */
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  readonly available: (isAvailable: boolean, why: string) => void
}

const OPEN_TIMEOUT_MS = 30_000
/** Of a large vault; none of it is handed over to the thread for good. */
const CUSTODY = { timeoutMs: 120_000, transfer: [] }
const FIRST_PAUSE_MS = 500
const LONGEST_PAUSE_MS = 30_000

type Running = HostedCosigner & { readonly thread: Worker }

export class CosignerHost {
  readonly #data: Omit<CosignerWorkerData, 'frames' | 'create'>
  readonly #clock: Clock
  readonly #events: HostEvents
  #running: Promise<Running> | undefined
  #retry: NodeJS.Timeout | undefined
  #pauseMs = FIRST_PAUSE_MS
  #stopped = false

  constructor(data: Omit<CosignerWorkerData, 'frames' | 'create'>, clock: Clock, events: HostEvents) {
    this.#data = data
    this.#clock = clock
    this.#events = events
  }

  /** The thread that is open; one that is being opened is waited for. @throws what opening it refused. */
  ready(): Promise<HostedCosigner> {
    if (this.#stopped) return Promise.reject(failure('SHUTTING_DOWN', {}))
    return (this.#running ??= this.#start())
  }

  get nowMs(): number {
    return Math.trunc(this.#clock.nowMs())
  }

  /** For its operator. Refuses as `CosignerCalls.backup`. */
  async backup(): Promise<BackupMade> {
    const { calls } = await this.ready()
    const setId = new Uint8Array(randomBytes(16))
    return calls.call('backup', { setId, timeMs: this.nowMs, by: 'operator' }, CUSTODY)
  }

  async rotateKey(): Promise<KeyRotated> {
    const { calls } = await this.ready()
    const { passphrase } = this.#data
    return calls.call('rotateKey', { passphrase, timeMs: this.nowMs, by: 'operator' }, CUSTODY)
  }

  /** Ends the thread with everything it holds in memory, and opens another. */
  async renew(): Promise<void> {
    const former = this.#running
    this.#running = (async () => {
      await endRunning(await former?.catch(() => undefined))
      if (this.#stopped) throw failure('SHUTTING_DOWN', {})
      return this.#start()
    })()
    await this.#running.catch(() => undefined)
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#retry)
    await endRunning(await this.#running?.catch(() => undefined))
  }

  async #start(): Promise<Running> {
    try {
      const running = await this.#open()
      this.#pauseMs = FIRST_PAUSE_MS
      this.#events.available(true, '')
      return running
    } catch (error) {
      this.#fail(String(error))
      throw error
    }
  }

  /** It is tried again by itself, later and later. */
  #fail(why: string): void {
    this.#running = undefined
    if (this.#stopped) return
    this.#events.available(false, why)
    clearTimeout(this.#retry)
    this.#retry = setTimeout(() => void this.ready().catch(() => undefined), this.#pauseMs)
    this.#pauseMs = Math.min(2 * this.#pauseMs, LONGEST_PAUSE_MS)
  }

  async #open(): Promise<Running> {
    const channel = new MessageChannel()
    const workerData = { ...this.#data, create: false, frames: channel.port2 } satisfies CosignerWorkerData
    const options = { name: 'cosigner', workerData, transferList: [channel.port2], env: threadEnvironment() }
    const thread = new Worker(new URL('../cosigner-worker.ts', import.meta.url), options)
    const onBug = (error: unknown): void => this.#events.alert('internal', String(error))
    const served: Pick<CosignerEvents, 'alert' | 'lost'> = {
      alert: ({ what, detail }) => this.#events.alert(what, detail),
      lost: (lost) => this.#events.lost(lost),
    }
    const calls: PortEnd<CosignerCalls> = openPortEnd(thread, served, onBug)
    const question = (frame: Uint8Array) => this.#events.question(frame)
    const frames: PortEnd<FrameCalls> = openPortEnd(channel.port1, { question }, onBug)
    thread.on('error', (error) => onBug(error))
    let isOpen = false
    thread.once('exit', () => {
      calls.shut('the cosigner ended')
      frames.shut('the cosigner ended')
      channel.port1.close()
      if (isOpen && !ending.has(thread)) this.#fail('its thread ended')
    })
    try {
      const opened = await calls.call('open', undefined, { timeoutMs: OPEN_TIMEOUT_MS })
      isOpen = true
      return { calls, frames, opened, thread }
    } catch (error) {
      ending.add(thread)
      await endThread(thread, () => calls.call('stop', undefined, STOP))
      throw error
    }
  }
}

/** Threads that were told to end: their end is no loss. */
const ending = new WeakSet<Worker>()

const endRunning = async (running: Running | undefined): Promise<void> => {
  if (running === undefined) return
  const { thread, calls } = running
  ending.add(thread)
  await endThread(thread, () => calls.call('stop', undefined, STOP))
}
