/** Session keys: their thread, nonces, marks and clock, and the use cases over them. */
import type { Clock } from '../domain/clock.ts'
import { SessionSigner } from '../party/session-signer.ts'
import type { Profiles } from '../payload/profile/loaded-profile.ts'
import type { SessionUseCases } from '../rpc/session-use-cases.ts'
import { confirmSessionKey, putVenueCredential, revokeSessionKey } from '../session/change-key.ts'
import { ClockWatch } from '../session/clock-watch.ts'
import { createSessionKey, rotateSessionKey } from '../session/create-key.ts'
import { Marks } from '../session/marks.ts'
import type { SessionNeeds } from '../session/needs.ts'
import { SessionNonces } from '../session/nonces.ts'
import { explainAction, getSessionKey, listProfiles, listSessionKeys, testScope } from '../session/read-keys.ts'
import { recordOutcome, setMarkPrices, watchReceipts } from '../session/records.ts'
import { sessionGuard } from '../session/session-guard.ts'
import { SessionSecrets } from '../session/session-secrets.ts'
import { signAction } from '../session/sign-action.ts'
import { verifyAction } from '../session/verify-action.ts'
import { newestAuditMs } from '../vault/audit-chain.ts'
import { canonicalJson } from '../vault/canonical-json.ts'
import { findSeal } from '../vault/restore-state.ts'
import { dropAbandonedSessionKeys } from '../vault/session-keys.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { openProfiles } from './open-profiles.ts'

export type Sessions = Pick<
  SessionNeeds,
  'sessionSigner' | 'sessionSecrets' | 'profiles' | 'nonces' | 'marks' | 'clockWatch' | 'requireSessionFlow'
>

/**
 * The built-in profiles are opened when they are first needed; a directory at once, so that one that cannot be read is
 * said at the start.
 */
const profilesOf = (directory: string | undefined, onAlert: (what: string, detail: string) => void): (() => Profiles) => {
  let opened: Profiles | undefined
  const open = (): Profiles => {
    if (opened !== undefined) return opened
    opened = openProfiles(directory)
    for (const { id, why } of opened.broken) onAlert('profile', `${id} is not offered: ${why}`)
    return opened
  }
  if (directory !== undefined) open()
  return open
}

/** Everything of session keys that lives as long as the daemon. */
export const openSessions = (
  vault: DaemonVault,
  clock: Clock,
  profilesDirectory: string | undefined,
  onAlert: (what: string, detail: string) => void,
): Sessions => {
  if (findSeal(vault.read) === undefined) vault.commitNow((tx) => dropAbandonedSessionKeys(tx, clock.nowMs()))
  const sessionSigner = new SessionSigner(vault, onAlert)
  // The thread signs while the disk writes: a signature is released when its row is durable, and not before.
  vault.onCommitting(() => sessionSigner.sendNow())
  const clockWatch = new ClockWatch(clock, newestAuditMs(vault.read))
  const profiles = profilesOf(profilesDirectory, onAlert)
  return {
    sessionSigner,
    sessionSecrets: new SessionSecrets(vault.read, sessionSigner),
    profiles,
    nonces: new SessionNonces(),
    marks: new Marks(() => Number(clock.monotonicNs() / 1_000n) / 1_000),
    clockWatch,
    requireSessionFlow: sessionGuard(profiles, () => clockWatch.earlierMs()),
  }
}

export const wireSession = (needs: SessionNeeds): SessionUseCases => ({
  createSessionKey: async (call, args) => createSessionKey(needs, call, args),
  rotateSessionKey: (call, args) => rotateSessionKey(needs, call, args),
  confirmSessionKey: (call, args) => confirmSessionKey(needs, call, args),
  getSessionKey: async (call, args) => getSessionKey(needs, call, args),
  listSessionKeys: async (call, args) => listSessionKeys(needs, call, args),
  revokeSessionKey: (call, args) => revokeSessionKey(needs, call, args),
  signAction: (call, args) => signAction(needs, call, args),
  verifyAction: (call, args) => verifyAction(needs, call, args),
  testScope: async (call, args) => testScope(needs, call, args),
  listProfiles: async () => listProfiles(needs),
  explainAction: async (call, args) => explainAction(needs, call, args),
  putVenueCredential: (call, args) => putVenueCredential(needs, call, args),
  setMarkPrices: (call, args) => setMarkPrices(needs, call, args),
  recordOutcome: (call, args) => recordOutcome(needs, call, args),
  watchReceipts: async function* (call, args) {
    for await (const { sequence, hash, timeMs, kind, details } of watchReceipts(needs, call, args)) {
      yield { sequence, hash, timeMs, kind, detailsJson: canonicalJson(details) }
    }
  },
})
