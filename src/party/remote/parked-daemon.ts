/**
 * What a cosigner made in memory with a daemon whose stream broke, kept for a while: the daemon that shows the token of that
 * stream is the same process and goes on with it. Everything else, and a cosigner that lost something meanwhile, begins
 * anew: the thread that held it is ended.
 */
import { hexOf } from '../presignature-map.ts'
import type { CosignerHost, HostedCosigner } from './cosigner-host.ts'

const KEEP_MS = 300_000

type Kept = { readonly cosigner: HostedCosigner; readonly token: string; readonly timer: NodeJS.Timeout }

export class ParkedDaemon {
  readonly #host: CosignerHost
  readonly #keepMs: number
  #kept: Kept | undefined

  constructor(host: CosignerHost, keepMs: number = KEEP_MS) {
    this.#host = host
    this.#keepMs = keepMs
  }

  keep(cosigner: HostedCosigner, token: Uint8Array): void {
    const timer = setTimeout(() => void this.clear(), this.#keepMs).unref()
    this.#kept = { cosigner, token: hexOf(token), timer }
  }

  /** What was kept under this token, which is used up; undefined where nothing was, or its thread is another by now. */
  async take(token: Uint8Array): Promise<HostedCosigner | undefined> {
    const kept = this.#kept
    if (kept === undefined || kept.token !== hexOf(token)) return undefined
    this.#forget()
    return (await this.#host.ready()) === kept.cosigner ? kept.cosigner : undefined
  }

  /** Resolves when nothing is left of what was kept. */
  async clear(): Promise<void> {
    if (this.#forget()) await this.#host.renew()
  }

  #forget(): boolean {
    clearTimeout(this.#kept?.timer)
    const wasKept = this.#kept !== undefined
    this.#kept = undefined
    return wasKept
  }
}
