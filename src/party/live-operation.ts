/**
 * The one set-up or presign session that a link has in flight on the answering side: one-shot, in memory, and gone with
 * its secrets when its time is over, whether or not another message comes.
 */
import type { Clock } from '../domain/clock.ts'
import { benign } from '../engine/dkls23/fault.ts'
import type { FRAME_TYPES } from '../engine/dkls23/frame.ts'
import { type LinkMaterial, wipeLinkMaterial } from '../engine/dkls23/link-material.ts'
import { abandonLinkSetup, type LinkReason, type LinkS2, type LinkS4 } from '../engine/dkls23/link-setup.ts'
import { abandonPresign, type PresignS2 } from '../engine/dkls23/presign.ts'
import { hexOf } from './presignature-map.ts'

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
  | { readonly kind: 'link'; readonly reason: LinkReason; readonly state: LinkS2; readonly expects: typeof FRAME_TYPES.L3 }
  | { readonly kind: 'link'; readonly reason: LinkReason; readonly state: LinkS4; readonly expects: typeof FRAME_TYPES.L5 }
  | {
      readonly kind: 'presign'
      readonly state: PresignS2
      readonly expects: typeof FRAME_TYPES.P3
      /** The wallets of the session; none in a self-test. */
      readonly wallets: ReadonlySet<string>
      /** What the session works with; in a self-test the material that it makes READY. */
      readonly material: LinkMaterial
      readonly selfTest: boolean
    }
)
export type Begun = Operation & { readonly startedMs: number; touchedMs: number; readonly timer: NodeJS.Timeout }

export class LiveOperation {
  readonly #clock: Clock
  #operation: Begun | undefined

  constructor(clock: Clock) {
    this.#clock = clock
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
    const operation = this.release()
    if (operation === undefined) return
    if (operation.kind === 'link') abandonLinkSetup(operation.state)
    else {
      abandonPresign(operation.state)
      if (operation.selfTest) wipeLinkMaterial(operation.material)
    }
  }

  dropOf(sid: Uint8Array): void {
    if (this.find(sid) !== undefined) this.drop()
  }

  /** Ends a presign session that holds the wallet, named in hexadecimal. */
  dropWallet(walletKey: string): void {
    if (this.#operation?.kind === 'presign' && this.#operation.wallets.has(walletKey)) this.drop()
  }
}
