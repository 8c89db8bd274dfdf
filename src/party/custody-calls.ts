/** What the daemon asks of its cosigner for the keeping of the cosigner's vault. One on another host is kept by its own operator. */
import type { Clock } from '../domain/clock.ts'
import type { BackupStanding } from '../vault/last-backup.ts'
import type { BackupMade } from '../vault/write-backup.ts'
import type { KeyRotated } from './cosigner-custody.ts'
import type { JoinedParties, PartiesOptions } from './open-parties.ts'
import { translated } from './party-failure.ts'

const CALL_TIMEOUT_MS = 10_000
/** Of a large vault; the caller's own deadline ends the waiting earlier. */
const CUSTODY_TIMEOUT_MS = 120_000

export class CustodyCalls {
  readonly #joined: () => Promise<JoinedParties>
  readonly #live: () => JoinedParties | undefined
  readonly #where: PartiesOptions['cosigner']
  readonly #clock: Clock

  /** `joined` waits for the parties, `live` does not. */
  constructor(
    joined: () => Promise<JoinedParties>,
    live: () => JoinedParties | undefined,
    { cosigner, clock }: Pick<PartiesOptions, 'cosigner' | 'clock'>,
  ) {
    this.#joined = joined
    this.#live = live
    this.#where = cosigner
    this.#clock = clock
  }

  /** The cosigner's part of a backup; undefined of one on another host, which makes its own. */
  async backup(setId: Uint8Array): Promise<BackupMade | undefined> {
    if ('address' in this.#where) return undefined
    const { cosigner } = await this.#joined()
    const timeMs = Math.trunc(this.#clock.nowMs())
    return translated(cosigner.call('backup', { setId, timeMs }, { timeoutMs: CUSTODY_TIMEOUT_MS }))
  }

  /** A new root key for the cosigner's vault. */
  async rotateKey(): Promise<KeyRotated> {
    const { cosigner } = await this.#joined()
    const timeMs = Math.trunc(this.#clock.nowMs())
    const passphrase = 'passphrase' in this.#where ? this.#where.passphrase : undefined
    return translated(cosigner.call('rotateKey', { passphrase, timeMs }, { timeoutMs: CUSTODY_TIMEOUT_MS }))
  }

  async backupStanding(): Promise<BackupStanding | undefined> {
    return this.#live()?.cosigner.call('backupStanding', undefined, { timeoutMs: CALL_TIMEOUT_MS })
  }
}
