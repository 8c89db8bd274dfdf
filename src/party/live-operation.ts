/**
 * The one set-up or presign session that a link has in flight on the answering side: one-shot, in memory, and gone with
 * its secrets when its time is over, whether or not another message comes.
 */
import type { Clock } from '../domain/clock.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { FRAME_TYPES } from '../engine/dkls23/frame.ts'
import type { LinkReason } from '../engine/dkls23/link-setup.ts'
import { hexOf } from './presignature-map.ts'
import type { HeldMaterial, PresignS2, SetupS2, SetupS4 } from './session-engine.ts'

const STEP_MS = 2_000
/** How long a session lives between its first message and its last. */
export const SESSION_MS = 10_000

export type Operation = {
  readonly sid: Uint8Array
  /** Of the header of every message of it. */
  readonly lEpoch: number
  /** It ends a burn under a grant of the operator: the link need not be ACTIVE for it. */
  readonly relink: boolean
} & (
  | { readonly kind: 'link'; readonly reason: LinkReason; readonly step: SetupS2; readonly expects: typeof FRAME_TYPES.L3 }
  | { readonly kind: 'link'; readonly reason: LinkReason; readonly step: SetupS4; readonly expects: typeof FRAME_TYPES.L5 }
  | {
      readonly kind: 'presign'
      readonly step: PresignS2
      readonly expects: typeof FRAME_TYPES.P3
      /** The wallets of the session; none in a self-test. */
      readonly wallets: ReadonlySet<string>
      /** What the session works with; in a self-test the material that it makes READY. */
      readonly material: HeldMaterial
      readonly selfTest: boolean
    }
)
export type Begun = Operation & { readonly startedMs: number; touchedMs: number; readonly timer: NodeJS.Timeout }

export class LiveOperation {
  readonly #clock: Clock
  readonly #wipeMaterial: (material: HeldMaterial) => void
  #operation: Begun | undefined
  /** The session whose step is being computed. */
  #computed: { readonly wallets: ReadonlySet<string>; ended: boolean } | undefined

  constructor(clock: Clock, wipeMaterial: (material: HeldMaterial) => void) {
    this.#clock = clock
    this.#wipeMaterial = wipeMaterial
  }

  find(sid: Uint8Array): Begun | undefined {
    const operation = this.#operation
    return operation !== undefined && hexOf(operation.sid) === hexOf(sid) ? operation : undefined
  }

  /** Room for a new operation: none is live, or the live one has been silent for a whole step. Class A: busy. */
  assertIdle(): void {
    const operation = this.#operation
    if (operation === undefined) return
    const now = this.#clock.nowMs()
    if (now - operation.touchedMs <= STEP_MS && now - operation.startedMs <= SESSION_MS) {
      throw benign('busy', 'another session is in flight')
    }
    this.drop()
  }

  /** Class A: the session is over. */
  assertTimely(operation: Begun): void {
    if (this.#clock.nowMs() - operation.startedMs > SESSION_MS) throw benign('session', 'the session is over')
  }

  begin(operation: Operation, startedMs = this.#clock.nowMs()): void {
    const timer = setTimeout(() => this.dropOf(operation.sid), SESSION_MS).unref()
    this.#operation = { ...operation, startedMs, touchedMs: this.#clock.nowMs(), timer }
  }

  /** Takes the operation out: its state is with the caller now. */
  release(): Begun | undefined {
    const operation = this.#operation
    this.#operation = undefined
    clearTimeout(operation?.timer)
    return operation
  }

  drop(): void {
    if (this.#computed !== undefined) this.#computed.ended = true
    const operation = this.release()
    if (operation === undefined) return
    operation.step.abandon()
    if (operation.kind === 'presign' && operation.selfTest) this.#wipeMaterial(operation.material)
  }

  /**
   * Waits for a step of the one session, which is not in here meanwhile. `wallets`: those that it holds. Class A when
   * the session, or one of them, was dropped while the step ran: what it gave goes to `discard`. A fault that the step
   * found comes through in every case.
   */
  async during<T>(wallets: ReadonlySet<string>, step: Promise<T>, discard: (given: T) => void): Promise<T> {
    const computed = { wallets, ended: false }
    this.#computed = computed
    try {
      const given = await step
      if (!computed.ended) return given
      discard(given)
      throw benign('session', 'the session was ended')
    } finally {
      this.#computed = undefined
    }
  }

  dropOf(sid: Uint8Array): void {
    if (this.find(sid) !== undefined) this.drop()
  }

  /** Ends a session of this link epoch or one before. */
  dropUpTo(lEpoch: number): void {
    if (this.#operation !== undefined && this.#operation.lEpoch <= lEpoch) this.drop()
  }

  /** Ends a presign session that holds the wallet, named in hexadecimal. */
  dropWallet(walletKey: string): void {
    if (this.#computed?.wallets.has(walletKey)) this.#computed.ended = true
    if (this.#operation?.kind === 'presign' && this.#operation.wallets.has(walletKey)) this.drop()
  }
}
