/**
 * The daemon's hold on the thread of its links to delegates. It is started with the first frame; one that ends is
 * started again with the next. A link stays open while a stream of its delegate is, and some minutes longer.
 */
import { setImmediate as nextTurn } from 'node:timers/promises'
import { Worker } from 'node:worker_threads'
import type { Clock } from '../domain/clock.ts'
import { type Failure, failure } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import type { AuditHead } from '../vault/audit-chain.ts'
import type { AuditSigner } from '../vault/audit-signer.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { isSignAnswer, isSignFrame, requestIn, signNameOf } from './delegate-gate.ts'
import { createDelegateHost, type DelegatedDecisions, type SignOutcome } from './delegate-host.ts'
import { delegateLinkOf, type DelegateLinkStatus, type ErasedShare } from './delegate-links.ts'
import type { DelegateCalls, DelegateWorkerData } from './delegate-party.ts'
import type { DelegateHostCalls } from './delegate-store.ts'
import { endThread, STOP } from './end-thread.ts'
import { partyIdOf } from './party-id.ts'
import { translated } from './party-failure.ts'
import { openPortEnd, type PortEnd } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'
import { threadEnvironment } from './thread-environment.ts'

export type DelegateStream = {
  readonly question: (frame: Uint8Array) => Promise<Uint8Array | undefined>
  /** Its link gives way. */
  readonly end: (why: Failure) => void
}

/** A party that is a delegate, and the wallet id of its access. */
export type DelegatedWallet = { readonly idC: Uint8Array; readonly walletId: Uint8Array }

export type FrameAnswer = {
  readonly frame: Uint8Array | undefined
  /** Why the daemon itself refuses a signature. */
  readonly refused?: Failure | undefined
  /** Of the row that authorised it. */
  readonly receipt?: SignedReceipt | undefined
}

export type SignedReceipt = AuditHead & { readonly signature: Uint8Array; readonly keyId: string }
type Outcome = { readonly receipt: Promise<SignedReceipt> } | Extract<SignOutcome, { readonly refused: Failure }>

type Joined = {
  readonly idC: Uint8Array
  /** Whose delegate opened the link. */
  readonly project: ProjectId
  readonly streams: Set<DelegateStream>
  idle: NodeJS.Timeout | undefined
}
type Running = { readonly worker: Worker; readonly party: PortEnd<DelegateCalls> }

/** Links that are open at one time, each with a thread of its own. */
const MAX_LINKS = 32
/** Of one delegate, whatever accesses they are for. */
const MAX_STREAMS = 32
const LINK_IDLE_MS = 600_000
const CALL_TIMEOUT_MS = 30_000
const ERASE_TIMEOUT_MS = 10_000
const LIMITS = { maxOldGenerationSizeMb: 256, maxYoungGenerationSizeMb: 16 }
/** Requests for signatures whose outcome nobody has taken yet. */
const MAX_OUTCOMES = 10_000

export type DelegatePartiesOptions = {
  readonly vault: DaemonVault
  readonly clock: Clock
  readonly decisions: DelegatedDecisions
  readonly onAlert: (what: string, detail: string) => void
}

export class DelegateParties {
  readonly #options: DelegatePartiesOptions
  readonly #idS: Uint8Array
  readonly #host: DelegateHostCalls
  /** By link id. */
  readonly #joined = new Map<string, Joined>()
  readonly #outcomes = new Map<string, Outcome>()
  #running: Running | undefined
  #closed = false

  constructor(options: DelegatePartiesOptions) {
    const { vault, clock, decisions, onAlert } = options
    this.#options = options
    this.#idS = partyIdOf(vault.signer.publicKey)
    this.#host = createDelegateHost(vault, clock, decisions, {
      outcome: ({ walletId, reqId }, outcome) => this.#note(hexOf(walletId) + hexOf(reqId), this.#outcomeOf(outcome)),
      question: ({ linkId, frame }) => this.#question(linkId, frame),
      alert: onAlert,
    })
  }

  /** The daemon's party id on these links. */
  get partyId(): Uint8Array {
    return this.#idS
  }

  linkIdOf(idC: Uint8Array): Uint8Array {
    return delegateLinkOf(idC, this.#idS).linkId
  }

  /**
   * A stream of this delegate of the project, who has proved to be it, is open until the answer is called. Where all links are
   * in use, one of a project that has more of them gives way. Refuses: RATE_LIMITED, OVERLOADED.
   */
  join(idC: Uint8Array, project: ProjectId, stream: DelegateStream): () => void {
    const key = hexOf(this.linkIdOf(idC))
    const joined = this.#joined.get(key) ?? this.#admit(key, idC, project)
    if (joined.streams.size >= MAX_STREAMS) throw failure('RATE_LIMITED', { limit: 'open streams', retryAfterMs: 1_000 })
    clearTimeout(joined.idle)
    joined.streams.add(stream)
    return () => this.#leave(key, joined, stream)
  }

  /** What party S answers to a frame over the stream of this access. Refuses as the thread does. */
  async frame({ idC, walletId }: DelegatedWallet, frame: Uint8Array): Promise<FrameAnswer> {
    const name = isSignFrame(frame) ? signNameOf(frame) : undefined
    const { party } = this.#open()
    const asked = party.call('frame', { idC, walletId, frame }, { timeoutMs: CALL_TIMEOUT_MS, gather: name !== undefined })
    const forget = this.#foresee(frame, walletId)
    const answer = await translated(asked).finally(forget)
    const outcome = name === undefined ? undefined : this.#outcomes.get(name)
    if (name === undefined || outcome === undefined) return { frame: answer }
    const isSigned = answer !== undefined && isSignAnswer(answer)
    // One that is told `busy` meanwhile leaves the row to the one that is at work.
    if ('receipt' in outcome && !isSigned) return { frame: answer }
    this.#outcomes.delete(name)
    if ('receipt' in outcome) return { frame: answer, receipt: await outcome.receipt }
    // The refusal of another request under the same id: a signature leaves as one, or not at all.
    return isSigned ? { frame: answer } : { frame: answer, refused: outcome.refused }
  }

  /**
   * After the transaction that erased the wallet's share: nothing of it, and nothing that could bring it back, is in
   * memory when this resolves, but as the minute of an erasure lets material stay (docs/protocol.md §4.3).
   */
  async erase({ idC, walletId }: DelegatedWallet, erased: ErasedShare): Promise<void> {
    const running = this.#running
    if (running === undefined) return
    try {
      await running.party.call('erase', { idC, walletId, erased }, { timeoutMs: ERASE_TIMEOUT_MS })
    } catch (error) {
      // With the thread goes all it ever held, and its workers with it.
      this.#options.onAlert('delegates', `a share was not overwritten in time, so its thread ends: ${String(error)}`)
      await running.worker.terminate()
    }
  }

  /** After the root of the daemon's vault was rotated. A thread that starts later asks the vault itself. */
  async renewShareKey(): Promise<void> {
    await this.#running?.party.call('useShareKey', this.#options.vault.shareKey(), { timeoutMs: CALL_TIMEOUT_MS })
  }

  async status(): Promise<readonly DelegateLinkStatus[]> {
    return (await this.#running?.party.call('status', undefined, { timeoutMs: CALL_TIMEOUT_MS })) ?? []
  }

  async close(): Promise<void> {
    this.#closed = true
    for (const { idle } of this.#joined.values()) clearTimeout(idle)
    const running = this.#running
    this.#running = undefined
    if (running === undefined) return
    const { worker, party } = running
    await endThread(worker, () => party.call('stop', undefined, STOP))
  }

  #admit(key: string, idC: Uint8Array, project: ProjectId): Joined {
    if (this.#joined.size >= MAX_LINKS) this.#closeIdlest()
    if (this.#joined.size >= MAX_LINKS) this.#takeShare(project)
    const joined: Joined = { idC, project, streams: new Set(), idle: undefined }
    this.#joined.set(key, joined)
    return joined
  }

  /** The newest link of the project that has most ends, if that project then still has as many as this one. */
  #takeShare(project: ProjectId): void {
    const counts = Map.groupBy(this.#joined, ([, joined]) => joined.project)
    const own = counts.get(project)?.length ?? 0
    const most = [...counts.values()].reduce((a, b) => (b.length > a.length ? b : a), [])
    const last = most.at(-1)
    const why = failure('OVERLOADED', { retryAfterMs: 1_000 })
    if (last === undefined || most.length < own + 2) throw why
    for (const stream of last[1].streams) stream.end(why)
    this.#closeLink(...last)
  }

  /** Links keep their order of joining: the first that nobody uses goes. */
  #closeIdlest(): void {
    const [found] = [...this.#joined].filter(([, { streams }]) => streams.size === 0)
    if (found !== undefined) this.#closeLink(...found)
  }

  #leave(key: string, joined: Joined, stream: DelegateStream): void {
    joined.streams.delete(stream)
    if (joined.streams.size > 0 || this.#closed || this.#joined.get(key) !== joined) return
    clearTimeout(joined.idle)
    joined.idle = setTimeout(() => this.#closeLink(key, joined), LINK_IDLE_MS).unref()
  }

  #closeLink(key: string, { idC, idle }: Joined): void {
    clearTimeout(idle)
    this.#joined.delete(key)
    void this.#running?.party
      .call('close', { idC }, { timeoutMs: CALL_TIMEOUT_MS })
      .catch((error: unknown) => this.#options.onAlert('delegate_link', String(error)))
  }

  /** The row is on disk: its receipt is signed while party S makes the signature. */
  #outcomeOf(outcome: SignOutcome): Outcome {
    if ('refused' in outcome) return outcome
    const receipt = signReceipt(this.#options.vault.signer, outcome.head)
    // Where no signature comes of it nobody waits for it.
    receipt.catch(() => undefined)
    return { receipt }
  }

  /** Once the frame has left this thread. */
  #foresee(frame: Uint8Array, walletId: Uint8Array): () => void {
    const request = requestIn(frame, walletId)
    if (request === undefined) return () => undefined
    let forget: (() => void) | undefined
    const turn = setImmediate(() => {
      forget = this.#options.decisions.foresee(request)
    })
    return () => {
      clearImmediate(turn)
      forget?.()
    }
  }

  #note(name: string, outcome: Outcome): void {
    const [oldest] = this.#outcomes.size >= MAX_OUTCOMES ? this.#outcomes.keys() : []
    if (oldest !== undefined) this.#outcomes.delete(oldest)
    this.#outcomes.set(name, outcome)
  }

  /** The newest stream is the likeliest to be there. */
  async #question(linkId: Uint8Array, frame: Uint8Array): Promise<Uint8Array | undefined> {
    const stream = [...(this.#joined.get(hexOf(linkId))?.streams ?? [])].at(-1)
    return stream?.question(frame)
  }

  #open(): Running {
    if (this.#running !== undefined) return this.#running
    if (this.#closed) throw failure('SHUTTING_DOWN', {})
    const { vault, onAlert } = this.#options
    const workerData: DelegateWorkerData = { shareKey: vault.shareKey(), vaultId: vault.vaultId, idS: this.#idS }
    const file = new URL('./delegate-worker.ts', import.meta.url)
    const worker = new Worker(file, { name: 'delegates', workerData, env: threadEnvironment(), resourceLimits: LIMITS })
    workerData.shareKey.fill(0)
    const party = openPortEnd<DelegateCalls>(worker, this.#host, (error) => onAlert('internal', String(error)))
    const running: Running = { worker, party }
    const gone = (why: string): void => {
      party.shut(why)
      if (this.#running !== running) return
      this.#running = undefined
      onAlert('delegates', `${why}; the next frame starts another`)
    }
    worker.on('error', (error) => gone(`the thread of delegates' links failed: ${String(error)}`))
    worker.on('exit', () => gone("the thread of delegates' links ended"))
    this.#running = running
    return running
  }
}

const signReceipt = async (signer: AuditSigner, head: AuditHead): Promise<SignedReceipt> => {
  // What goes to the other thread leaves first.
  await nextTurn()
  return { ...head, signature: await signer.signReceiptAside(head), keyId: signer.keyId }
}
