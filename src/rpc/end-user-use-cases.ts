/** What EndUserService asks of the rest of the daemon. */
import type { Call } from '../domain/call.ts'
import type { RequestId } from '../domain/ids.ts'
import type { SignedIn } from '../user/begin-session.ts'
import type { EndUserView, IdentityView } from '../user/end-user-view.ts'
import type { OidcProof, OidcStart } from '../user/oidc.ts'
import type { ValidatedToken } from '../user/read-end-users.ts'
import type { Visitor } from '../user/sign-in-needs.ts'
import type { CosignerOrder, WalletSecretRequest, WalletSecretView } from '../user/wallet-secrets.ts'

export type { CosignerOrder, EndUserView, IdentityView, OidcProof, OidcStart, SignedIn, ValidatedToken, Visitor, WalletSecretRequest, WalletSecretView }

export type EndUserUseCases = {
  readonly authenticateWithJwt: (visitor: Visitor, args: { readonly jwt: string }) => Promise<SignedIn>
  readonly startEmailCode: (
    visitor: Visitor,
    args: { readonly email: string; readonly signal: AbortSignal },
  ) => Promise<{ readonly flowId: string; readonly expireMs: number }>
  readonly verifyEmailCode: (visitor: Visitor, args: { readonly flowId: string; readonly code: string }) => Promise<SignedIn>
  /** `redirectUri` empty: there is none. */
  readonly startOidc: (visitor: Visitor, args: { readonly provider: string; readonly redirectUri: string }) => Promise<OidcStart>
  readonly authenticateWithOidc: (visitor: Visitor, args: { readonly flowId: string; readonly proof: OidcProof }) => Promise<SignedIn>
  readonly refreshAccessToken: (
    visitor: Visitor,
    args: { readonly refreshToken: string; readonly requestId: RequestId | undefined },
  ) => Promise<SignedIn>
  /** Either token may be empty. */
  readonly signOut: (visitor: Visitor, args: { readonly refreshToken: string; readonly accessToken: string }) => Promise<void>
  readonly validateAccessToken: (call: Call, args: { readonly accessToken: string }) => Promise<ValidatedToken>
  /** `userId` empty: the caller. */
  readonly getEndUser: (call: Call, args: { readonly userId: string }) => Promise<EndUserView>
  readonly registerWalletSecret: (call: Call, args: WalletSecretRequest) => Promise<WalletSecretView>
  readonly listWalletSecrets: (call: Call) => Promise<readonly WalletSecretView[]>
  readonly revokeWalletSecret: (
    call: Call,
    args: { readonly walletSecretId: string; readonly cosignerOrder: CosignerOrder | undefined },
  ) => Promise<WalletSecretView>
}
