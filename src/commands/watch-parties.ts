/** Health follows what signing needs: both parties joined and at home, and a vault that takes commits. */
import { logAuditUnavailable, logCosignerGone } from '../observe/events.ts'
import type { Logger } from '../observe/logger.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'

const LOOK_MS = 1_000
/** A cosigner that does not open is tried less and less often: its passphrase may cost seconds of work each time. */
const LOOK_MAX_MS = 30_000

type Watched = {
  readonly vault: DaemonVault
  readonly engine: Pick<SigningEngine, 'available' | 'start' | 'status'>
  readonly setServing: (serving: boolean) => void
  readonly log: Logger
}

/** Answers how to end it; once that resolves, nothing is set any more. */
export const watchParties = ({ vault, engine, setServing, log }: Watched): (() => Promise<void>) => {
  let ended = false
  let wasGood = true
  let pauseMs = LOOK_MS
  let looking: Promise<void> = Promise.resolve()
  let timer: NodeJS.Timeout
  const look = async (): Promise<void> => {
    const wasJoined = engine.available
    if (!wasJoined) await engine.start().catch(() => undefined)
    const { available, why } = await engine.status()
    pauseMs = engine.available ? LOOK_MS : Math.min(2 * pauseMs, LOOK_MAX_MS)
    const fault = vault.fault()
    const isGood = available && fault === undefined
    if (ended) return
    if (wasGood && fault !== undefined) logAuditUnavailable(log, { code: fault })
    else if (wasGood && !available && wasJoined) logCosignerGone(log, { why: why || 'it does not answer for its vault' })
    wasGood = isGood
    setServing(isGood)
  }
  const plan = (): void => {
    timer = setTimeout(() => {
      looking = look()
        .catch(() => undefined)
        .then(() => (ended ? undefined : plan()))
    }, pauseMs).unref()
  }
  plan()
  return async () => {
    ended = true
    clearTimeout(timer)
    await looking
  }
}
