/**
 * The daemon's hold on the thread that opens deliveries. It is started for the first of them and ended when none came for
 * a while, so that nothing of what it had in clear stays in memory.
 */
import { Worker } from 'node:worker_threads'
import { failure } from '../../domain/failure.ts'
import { PeerUnavailable } from '../counterparty.ts'
import { endThread } from '../end-thread.ts'
import { openPortEnd, type PortEnd } from '../port-calls.ts'
import { threadEnvironment } from '../thread-environment.ts'
import type { DeliveryOrder, OpenedDelivery } from './open-delivery.ts'

export type DeliveryWorkerData = { readonly vaultId: Uint8Array }
export type DeliveryCalls = {
  /** `shareKey`: a copy that the thread overwrites. */
  readonly open: (args: { readonly order: DeliveryOrder; readonly shareKey: Uint8Array }) => Promise<OpenedDelivery>
  readonly end: () => void
}

type Source = { readonly vaultId: Uint8Array; readonly shareKey: () => Uint8Array }
type Running = { readonly worker: Worker; readonly port: PortEnd<DeliveryCalls> }

const IDLE_MS = 30_000
const OPEN_TIMEOUT_MS = 10_000
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 }

export class DeliveryOpener {
  readonly #source: Source
  #running: Running | undefined
  #idle: NodeJS.Timeout | undefined
  #closed = false

  constructor(source: Source) {
    this.#source = source
  }

  /** Refuses with OVERLOADED when the thread does not answer; what it was given may be given again. */
  async open(order: DeliveryOrder): Promise<OpenedDelivery> {
    if (this.#closed) throw failure('SHUTTING_DOWN', {})
    clearTimeout(this.#idle)
    const { port } = (this.#running ??= this.#start())
    const shareKey = this.#source.shareKey()
    try {
      return await port.call('open', { order, shareKey }, { timeoutMs: OPEN_TIMEOUT_MS })
    } catch (error) {
      if (error instanceof PeerUnavailable) throw failure('OVERLOADED', { retryAfterMs: 1_000 })
      throw error
    } finally {
      shareKey.fill(0)
      for (const key of order.keys) key.fill(0)
      clearTimeout(this.#idle)
      this.#idle = setTimeout(() => this.#end(), IDLE_MS).unref()
    }
  }

  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#running?.worker
    if (worker !== undefined) await endThread(worker, () => this.#end())
  }

  #start(): Running {
    const workerData: DeliveryWorkerData = { vaultId: this.#source.vaultId }
    const url = new URL('./delivery-worker.ts', import.meta.url)
    const worker = new Worker(url, { name: 'deliveries', workerData, env: threadEnvironment(), resourceLimits: LIMITS })
    const port: PortEnd<DeliveryCalls> = openPortEnd(worker, {}, () => undefined)
    const gone = (): void => {
      port.shut('the thread that opens deliveries ended')
      if (this.#running?.worker === worker) this.#running = undefined
    }
    worker.on('error', gone)
    worker.on('exit', gone)
    worker.unref()
    return { worker, port }
  }

  #end(): void {
    clearTimeout(this.#idle)
    this.#running?.port.tell('end', undefined)
    this.#running = undefined
  }
}
