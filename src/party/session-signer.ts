/**
 * The daemon's hold on the thread of session keys. It is started when it is first needed; one that ends is started
 * again with the next order. Signatures that are asked for in one turn of the event loop travel together.
 */
import { Worker } from 'node:worker_threads'
import { failure } from '../domain/failure.ts'
import type { SessionKeyId } from '../domain/ids.ts'
import type { SealedSecret, SessionSecretPlace } from '../vault/session-secrets.ts'
import { endThread } from './end-thread.ts'
import { packBytes, unpackBytes } from './packed-bytes.ts'
import type { KnownSecret, MadeKey, SecretEncoding, SignOrders, SignResults } from './session-signing.ts'
import { threadEnvironment } from './thread-environment.ts'

export type SessionSignerData = { readonly vaultId: Uint8Array; readonly ring: Uint8Array }

type Ordered<Op extends string, Args> = { readonly op: Op; readonly id: number } & Args
export type SessionOrder =
  | Ordered<'sign', SignOrders & { readonly learn: readonly KnownSecret[] }>
  | Ordered<'make', { readonly sessionKeyId: SessionKeyId; readonly kind: 'secp256k1' | 'ed25519' }>
  | Ordered<'seal', { readonly place: SessionSecretPlace; readonly text: Uint8Array; readonly encoding: SecretEncoding }>
  | Ordered<'reveal', { readonly sealed: SealedSecret }>
  | { readonly op: 'forget'; readonly numbers: readonly number[] }
  | { readonly op: 'ring'; readonly ring: Uint8Array }
  | { readonly op: 'end' }

export type SessionAnswer = { readonly id: number; readonly value: unknown }

/** Whose secret signs: its place and version name it. */
export type SessionSecret = { readonly sealed: SealedSecret; readonly publicKey: Uint8Array }

type Pending = { readonly resolve: (signature: Uint8Array) => void; readonly reject: (error: Error) => void }
type Batch = {
  readonly secrets: number[]
  readonly inputs: Uint8Array[]
  readonly waiting: Pending[]
  readonly learn: KnownSecret[]
}
type Call = { readonly resolve: (value: never) => void; readonly reject: (error: Error) => void }

const newBatch = (): Batch => ({ secrets: [], inputs: [], waiting: [], learn: [] })
const nameOf = ({ sessionKeyId, name, recordVersion }: SessionSecretPlace): string => `${sessionKeyId} ${name} ${recordVersion}`

/** More than any busy set; beyond it all are forgotten and handed over again. */
const MAX_KNOWN = 10_000
/** One that it signs and one that waits for it. */
const MAX_IN_FLIGHT = 2
const LIMITS = { maxOldGenerationSizeMb: 64, maxYoungGenerationSizeMb: 8 }

const gone = () => failure('SESSION_SIGNER_UNAVAILABLE', {})

export class SessionSigner {
  readonly #vaultId: Uint8Array
  readonly #shareKey: () => Uint8Array
  readonly #onAlert: (what: string, detail: string) => void
  readonly #known = new Map<string, number>()
  readonly #calls = new Map<number, Call>()
  #worker: Worker | undefined
  #next = 1
  #nextSecret = 1
  #batch = newBatch()
  #isSending = false
  #inFlight = 0
  #closed = false

  /** `shareKey`: a fresh copy at each call, which the thread owns. */
  constructor(
    source: { readonly vaultId: Uint8Array; readonly shareKey: () => Uint8Array },
    onAlert: (what: string, detail: string) => void,
  ) {
    this.#vaultId = source.vaultId
    this.#shareKey = source.shareKey
    this.#onAlert = onAlert
  }

  /**
   * Signs with one secret: r ‖ s ‖ v, an Ed25519 signature or a MAC. SESSION_SIGNER_UNAVAILABLE when the thread ended
   * meanwhile or the secret did not sign.
   */
  sign({ sealed, publicKey }: SessionSecret, input: Uint8Array): Promise<Uint8Array> {
    return new Promise((resolve, reject) => {
      const secret = this.#numberOf(sealed, publicKey)
      this.#batch.secrets.push(secret)
      this.#batch.inputs.push(input)
      this.#batch.waiting.push({ resolve, reject })
      this.#sendSoon()
    })
  }

  make(sessionKeyId: SessionKeyId, kind: 'secp256k1' | 'ed25519'): Promise<MadeKey> {
    return this.#call({ op: 'make', id: this.#next++, sessionKeyId, kind })
  }

  /** Undefined for text that is not of its encoding. `text` is handed over and overwritten. */
  async seal(place: SessionSecretPlace, text: Uint8Array, encoding: SecretEncoding): Promise<SealedSecret | undefined> {
    const copy = Uint8Array.from(text)
    text.fill(0)
    return this.#call({ op: 'seal', id: this.#next++, place, text: copy, encoding }, [copy.buffer])
  }

  reveal(sealed: SealedSecret): Promise<string | undefined> {
    return this.#call({ op: 'reveal', id: this.#next++, sealed })
  }

  /** After the vault's root was rotated. Secrets are handed over again, as they are sealed by then. */
  renewShareKey(): void {
    if (this.#worker === undefined) return
    this.#forgetAll()
    const ring = this.#shareKey()
    this.#worker.postMessage({ op: 'ring', ring } satisfies SessionOrder, [])
    ring.fill(0)
  }

  /** Starts the thread ahead of its first order. */
  warm(): void {
    this.#open()
  }

  async close(): Promise<void> {
    this.#closed = true
    const worker = this.#worker
    if (worker !== undefined) await endThread(worker, () => worker.postMessage({ op: 'end' } satisfies SessionOrder, []))
  }

  #numberOf(sealed: SealedSecret, publicKey: Uint8Array): number {
    const name = nameOf(sealed)
    const known = this.#known.get(name)
    if (known !== undefined) return known
    if (this.#known.size >= MAX_KNOWN) this.#forgetAll()
    const number = this.#nextSecret++
    this.#known.set(name, number)
    this.#batch.learn.push({ number, sealed, publicKey })
    return number
  }

  #forgetAll(): void {
    // Orders of the batch that is being gathered name them still.
    if (this.#batch.secrets.length > 0) this.#send()
    this.#worker?.postMessage({ op: 'forget', numbers: [...this.#known.values()] } satisfies SessionOrder, [])
    this.#known.clear()
  }

  /** Sends what was asked for so far, instead of at the end of the turn. */
  sendNow(): void {
    if (this.#inFlight < MAX_IN_FLIGHT) this.#send()
  }

  /** What comes while the thread has enough to do travels together when it has not. */
  #sendSoon(): void {
    if (this.#isSending || this.#inFlight >= MAX_IN_FLIGHT) return
    this.#isSending = true
    // After every promise of the commit has told whoever waited for it.
    process.nextTick(() => this.#send())
  }

  #send(): void {
    const { secrets, inputs, waiting, learn } = this.#batch
    this.#batch = newBatch()
    this.#isSending = false
    if (secrets.length === 0) return
    this.#inFlight += 1
    const order: SessionOrder = { op: 'sign', id: this.#next++, learn, secrets, inputs: packBytes(inputs) }
    this.#call<SignResults>(order)
      .finally(() => {
        this.#inFlight -= 1
        if (this.#batch.secrets.length > 0) this.#sendSoon()
      })
      .then(
        (results) => this.#settle(waiting, unpackBytes(results)),
        (error: Error) => {
          for (const { reject } of waiting) reject(error)
        },
      )
  }

  #settle(waiting: readonly Pending[], signatures: readonly Uint8Array[]): void {
    for (const [at, { resolve, reject }] of waiting.entries()) {
      const signature = signatures[at]
      if (signature === undefined || signature.length === 0) {
        this.#onAlert('session_key', 'a stored session secret does not open or does not sign')
        reject(gone())
      } else resolve(signature)
    }
  }

  #call<T>(order: Exclude<SessionOrder, { readonly op: 'forget' | 'ring' | 'end' }>, transfer: ArrayBuffer[] = []): Promise<T> {
    return new Promise((resolve, reject) => {
      const worker = this.#open()
      if (worker === undefined) return reject(gone())
      this.#calls.set(order.id, { resolve, reject })
      worker.postMessage(order, transfer)
    })
  }

  #open(): Worker | undefined {
    if (this.#closed) return undefined
    if (this.#worker !== undefined) return this.#worker
    const data: SessionSignerData = { vaultId: this.#vaultId, ring: this.#shareKey() }
    const worker = new Worker(new URL('./session-signer-worker.ts', import.meta.url), {
      name: 'session-keys',
      workerData: data,
      env: threadEnvironment(),
      resourceLimits: LIMITS,
    })
    data.ring.fill(0)
    worker.on('message', ({ id, value }: SessionAnswer) => {
      const call = this.#calls.get(id)
      this.#calls.delete(id)
      call?.resolve(value as never)
    })
    worker.on('error', (error) => this.#onAlert('session_keys', String(error)))
    worker.on('exit', () => this.#lose(worker))
    // Only orders keep the process from ending.
    worker.unref()
    this.#worker = worker
    return worker
  }

  #lose(worker: Worker): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#known.clear()
    const calls = [...this.#calls.values()]
    this.#calls.clear()
    for (const { reject } of calls) reject(gone())
    // Secrets that were named in it are not known to the next thread.
    const { waiting } = this.#batch
    this.#batch = newBatch()
    for (const { reject } of waiting) reject(gone())
    if (!this.#closed) this.#onAlert('session_keys', 'the thread ended; the next order starts another')
  }
}
