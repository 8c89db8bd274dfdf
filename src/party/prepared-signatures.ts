/**
 * What party C works out of a signature while its intent is being written: the signing context, which follows from the
 * nonce point and the digest alone. Nothing of it depends on a share or leaves the thread; the presignature stays where
 * it is, and with it whatever may still happen to it.
 */
import type { SigningContext } from '../engine/dkls23/sign.ts'
import type { SignJob } from './sign-initiator.ts'
import { hexOf } from './presignature-map.ts'

export type PreparedSignature = {
  readonly job: SignJob
  /** Absent where it could not be made: the signature is refused for that reason when it is asked for. */
  readonly context: SigningContext | undefined
}

/** Those whose release never came are forgotten, oldest first, when there are more than this. */
const MAX_PREPARED = 64

export class PreparedSignatures {
  readonly #byPresignature = new Map<string, PreparedSignature>()

  keep(job: SignJob, contextOf: () => SigningContext | undefined): void {
    let context: SigningContext | undefined
    try {
      context = contextOf()
    } catch {
      context = undefined
    }
    this.#byPresignature.set(hexOf(job.presigId), { job, context })
    if (this.#byPresignature.size <= MAX_PREPARED) return
    const [oldest] = this.#byPresignature.keys()
    if (oldest !== undefined) this.#byPresignature.delete(oldest)
  }

  take(presigId: Uint8Array): PreparedSignature | undefined {
    const key = hexOf(presigId)
    const prepared = this.#byPresignature.get(key)
    this.#byPresignature.delete(key)
    return prepared
  }

  clear(): void {
    this.#byPresignature.clear()
  }
}
