/**
 * The jobs that party C's thread was given while their intents are being written. Nothing leaves that thread before `finish`
 * is called with the same job. Not where many are being made: the threads have work enough then, and each message costs some.
 */
import type { EcdsaSignature } from '../engine/dkls23/sign-messages.ts'
import type { PortEnd } from './port-calls.ts'
import { hexOf } from './presignature-map.ts'
import type { SignerCalls } from './signer.ts'
import type { SignJob } from './sign-initiator.ts'

const PREPARE_BELOW = 4
/** Jobs that come in one turn all find that few are being made. */
const PREPARED_MAX = 32

export const SIGN_CALL = { timeoutMs: 10_000, gather: true } as const

export class PreparedJobs {
  /** Presignatures, in hexadecimal, whose jobs the thread has already. */
  readonly #given = new Set<string>()

  /** `liveCount`: signatures that are being made. One that is not to be has its presignature discarded. */
  begin(job: SignJob, signer: PortEnd<SignerCalls>, liveCount: number): void {
    if (liveCount >= PREPARE_BELOW || this.#given.size >= PREPARED_MAX) return
    this.#given.add(hexOf(job.presigId))
    signer.tell('prepareSign', job)
  }

  finish(job: SignJob, signer: PortEnd<SignerCalls>): Promise<EcdsaSignature> {
    return this.#given.delete(hexOf(job.presigId))
      ? signer.call('signPrepared', job.presigId, SIGN_CALL)
      : signer.call('sign', job, SIGN_CALL)
  }

  forget(presigId: Uint8Array): void {
    this.#given.delete(hexOf(presigId))
  }
}
