import type { SessionSigner } from '../party/session-signer.ts'
import type { Profiles } from '../payload/profile/loaded-profile.ts'
import type { SignNeeds } from '../signing/sign.ts'
import type { ClockWatch } from './clock-watch.ts'
import type { Marks } from './marks.ts'
import type { SessionNonces } from './nonces.ts'
import type { SessionSecrets } from './session-secrets.ts'

/** What the use cases of session keys stand on: the wallet's script for registrations, and their own signer. */
export type SessionNeeds = SignNeeds & {
  readonly sessionSigner: SessionSigner
  readonly sessionSecrets: SessionSecrets
  readonly profiles: () => Profiles
  readonly nonces: SessionNonces
  readonly marks: Marks
  readonly clockWatch: ClockWatch
}
