/** Party C's side of an online signature (docs/protocol.md §10): the presignature out of the map, one message each way. */
import type { WalletBinding } from '../engine/dkls23/contexts.ts'
import { benign, ProtocolFault } from '../engine/dkls23/fault.ts'
import { FRAME_TYPES, NO_SID } from '../engine/dkls23/frame.ts'
import { type Presignature, wipePresignature } from '../engine/dkls23/presignature.ts'
import { finishSign, type SigningContext, signingContext, startSign } from '../engine/dkls23/sign.ts'
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import type { Exchange } from './frame-exchange.ts'
import type { Link } from './link.ts'
import { PeerRefusal } from './peer-refusal.ts'
import type { PresignatureMap } from './presignature-map.ts'
import { PreparedSignatures } from './prepared-signatures.ts'
import { assertSendable, SIGN_TIMEOUT_MS } from './sign-request.ts'

export type SignJob = {
  readonly walletId: Uint8Array
  readonly presigId: Uint8Array
  readonly reqId: Uint8Array
  readonly digest: Uint8Array
  readonly path: readonly number[]
  readonly payload: Uint8Array
}

type Deps = {
  readonly link: Link
  readonly exchange: Exchange
  readonly presignatures: PresignatureMap<Presignature>
  readonly bindingOf: (walletId: Uint8Array) => WalletBinding | undefined
  /** Carries out what a fault costs before the caller hears of it. */
  readonly guarded: <T>(work: () => Promise<T>) => Promise<T>
  /** After a signature that is not one: the wallet signs nothing more, its session's presignatures are gone. */
  readonly suspend: (walletId: Uint8Array, sid: Uint8Array) => Promise<void>
}

export class SignInitiator {
  readonly #deps: Deps
  readonly #prepared = new PreparedSignatures()

  constructor(deps: Deps) {
    this.#deps = deps
  }

  async sign(job: SignJob, context?: SigningContext): Promise<EcdsaSignature> {
    const presignature = this.#deps.presignatures.take(job.presigId)
    if (presignature === undefined) throw benign('unknown_presig', 'presignature unknown')
    try {
      return await this.#deps.guarded(() => this.#signWith(presignature, job, context))
    } finally {
      wipePresignature(presignature)
    }
  }

  prepare(job: SignJob): void {
    const { link, presignatures, bindingOf } = this.#deps
    this.#prepared.keep(job, () => {
      const presignature = presignatures.peek(job.presigId)
      const wallet = bindingOf(job.walletId)
      if (presignature === undefined || wallet === undefined) return undefined
      return signingContext({ ...job, link: link.parties, wallet }, presignature)
    })
  }

  async signPrepared(presigId: Uint8Array): Promise<EcdsaSignature> {
    const prepared = this.#prepared.take(presigId)
    if (prepared === undefined) throw benign('unknown_presig', 'presignature unknown')
    return this.sign(prepared.job, prepared.context)
  }

  forget(presigId: Uint8Array): void {
    this.#prepared.take(presigId)
  }

  clear(): void {
    this.#prepared.clear()
  }

  async #signWith(presignature: Presignature, job: SignJob, context?: SigningContext): Promise<EcdsaSignature> {
    const { link, exchange, presignatures, bindingOf } = this.#deps
    const wallet = bindingOf(job.walletId)
    if (wallet === undefined) throw benign('unknown_presig', 'presignature unknown')
    link.assertUsable('sign')
    assertSendable(job)
    const { lEpoch, sid } = presignature
    const { state, body } = startSign({ ...job, link: link.parties, wallet, context }, presignature)
    const { SIGN_REQUEST, SIGN_RESPONSE } = FRAME_TYPES
    try {
      const answer = await exchange(SIGN_REQUEST, NO_SID, lEpoch, body, SIGN_RESPONSE, SIGN_TIMEOUT_MS)
      return finishSign(state, answer.body)
    } catch (error) {
      if (error instanceof PeerRefusal && error.refusal.code === 'unknown_presig') presignatures.wipeSession(sid)
      if (error instanceof ProtocolFault && error.consequence === 'suspend-wallet') {
        await this.#deps.suspend(job.walletId, sid)
      }
      throw error
    }
  }
}
