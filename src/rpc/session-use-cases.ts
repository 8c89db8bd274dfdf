/** What SessionKeyService asks of the rest of the daemon. */
import type { Call } from '../domain/call.ts'
import type { KeyRequest } from '../session/make-key.ts'
import type { RotationRequest } from '../session/create-key.ts'
import type { ExplainedAction, FamilyVerdict, ProfileView } from '../session/read-keys.ts'
import type { ReceiptView } from '../session/records.ts'
import type { RegisteredKey } from '../session/register-key.ts'
import type { SessionKeyView } from '../session/session-key-view.ts'
import type { ActionRequest, SignedAction } from '../session/sign-action.ts'
import type { VerifiedAction, VerifyRequest } from '../session/verify-action.ts'
import type { Page, PageRequest } from './use-cases.ts'

export type {
  ActionRequest,
  ExplainedAction,
  FamilyVerdict,
  KeyRequest,
  ProfileView,
  ReceiptView,
  RegisteredKey,
  RotationRequest,
  SessionKeyView,
  SignedAction,
  VerifiedAction,
  VerifyRequest,
}
export type { SessionLimits, SessionScope } from '../session/terms.ts'
export type { KeyStanding } from '../session/key-standing.ts'

/** A row about a session key. */
export type ReceiptRow = {
  readonly sequence: bigint
  readonly hash: Uint8Array
  readonly timeMs: number
  readonly kind: string
  readonly detailsJson: string
}

export type SessionUseCases = {
  readonly createSessionKey: (call: Call, args: KeyRequest) => Promise<RegisteredKey>
  readonly rotateSessionKey: (call: Call, args: RotationRequest) => Promise<RegisteredKey>
  readonly confirmSessionKey: (
    call: Call,
    args: { readonly sessionKeyId: string; readonly accepted: boolean; readonly venueAnswer: string },
  ) => Promise<SessionKeyView>
  readonly getSessionKey: (call: Call, args: { readonly sessionKeyId: string }) => Promise<SessionKeyView>
  readonly listSessionKeys: (
    call: Call,
    args: PageRequest & { readonly walletId: string | undefined; readonly profile: string | undefined },
  ) => Promise<Page<SessionKeyView>>
  readonly revokeSessionKey: (call: Call, args: { readonly sessionKeyId: string }) => Promise<SessionKeyView>
  readonly signAction: (call: Call, args: ActionRequest) => Promise<SignedAction>
  readonly verifyAction: (call: Call, args: VerifyRequest) => Promise<VerifiedAction>
  readonly testScope: (
    call: Call,
    args: { readonly sessionKeyId: string },
  ) => Promise<{ readonly families: readonly FamilyVerdict[] }>
  readonly listProfiles: (call: Call) => Promise<readonly ProfileView[]>
  readonly explainAction: (
    call: Call,
    args: { readonly sessionKeyId: string; readonly family: string; readonly actionJson: string },
  ) => Promise<ExplainedAction>
  readonly putVenueCredential: (
    call: Call,
    args: { readonly sessionKeyId: string; readonly name: string; readonly secret: Uint8Array },
  ) => Promise<SessionKeyView>
  readonly setMarkPrices: (
    call: Call,
    args: {
      readonly profile: string
      readonly network: string
      readonly prices: readonly { readonly market: string; readonly price: string }[]
    },
  ) => Promise<ReceiptView>
  readonly recordOutcome: (
    call: Call,
    args: {
      readonly sessionKeyId: string
      readonly actionSequence: bigint
      readonly outcome: string
      readonly venueReference: string
      readonly note: string
    },
  ) => Promise<ReceiptView>
  /** What is there already, then what comes; ends when `call.signal` aborts. */
  readonly watchReceipts: (
    call: Call,
    args: { readonly sessionKeyId: string; readonly afterSequence: bigint },
  ) => AsyncIterable<ReceiptRow>
}
