/** What EndUserService asks of the rest of the daemon. */
import type { Call } from '../domain/call.ts'
import type { CosignerOrder, WalletSecretRequest, WalletSecretView } from '../user/wallet-secrets.ts'

export type { CosignerOrder, WalletSecretRequest, WalletSecretView }

export type EndUserUseCases = {
  readonly registerWalletSecret: (call: Call, args: WalletSecretRequest) => Promise<WalletSecretView>
  readonly listWalletSecrets: (call: Call) => Promise<readonly WalletSecretView[]>
  readonly revokeWalletSecret: (
    call: Call,
    args: { readonly walletSecretId: string; readonly cosignerOrder: CosignerOrder | undefined },
  ) => Promise<WalletSecretView>
}
