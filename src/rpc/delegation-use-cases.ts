import type { GrantView } from '../delegation/grant-view.ts'
import type { NewGrantRequest } from '../delegation/grants.ts'
import type { ExternalWalletView } from '../delegation/external-wallet-view.ts'
import type { CompleteSolanaRequest } from '../delegation/complete-solana.ts'
import type { CompleteRequest } from '../delegation/completion.ts'
import type { ChainConfigRequest, IssuedToken, PriorityRequest, TokenRequest } from '../delegation/external-wallets.ts'
import type { SpendRequest } from '../delegation/spend.ts'
import type { SpendView } from '../delegation/spend-view.ts'
import type { ChainConfigView } from '../delegation/spenders.ts'
import type { Call } from '../domain/call.ts'
import type { Page, PageRequest } from './use-cases.ts'

export type { ExternalWalletView, GrantView, NewGrantRequest, SpendView }
export type GrantState = GrantView['state']

export type DelegationUseCases = {
  readonly createGrant: (call: Call, args: NewGrantRequest) => Promise<GrantView>
  readonly getGrant: (call: Call, args: { readonly grantId: string }) => Promise<GrantView>
  readonly listGrants: (
    call: Call,
    args: PageRequest & {
      readonly userId: string | undefined
      readonly address: string | undefined
      readonly state: GrantState | undefined
    },
  ) => Promise<Page<GrantView>>
  readonly revokeGrant: (call: Call, args: { readonly grantId: string }) => Promise<GrantView>
}

export type SpendingUseCases = {
  readonly getChainConfig: (call: Call, args: ChainConfigRequest) => Promise<readonly ChainConfigView[]>
  readonly issueDelegationToken: (call: Call, args: TokenRequest) => Promise<IssuedToken>
  readonly completeEvmDelegation: (call: Call, args: CompleteRequest) => Promise<ExternalWalletView>
  readonly completeSolanaDelegation: (call: Call, args: CompleteSolanaRequest) => Promise<ExternalWalletView>
  readonly listExternalWallets: (call: Call, args: { readonly userId: string }) => Promise<readonly ExternalWalletView[]>
  readonly updateExternalWalletPriorities: (call: Call, args: PriorityRequest) => Promise<readonly ExternalWalletView[]>
  readonly spendDelegation: (call: Call, args: SpendRequest) => Promise<SpendView>
  readonly getSpend: (call: Call, args: { readonly spendId: string }) => Promise<SpendView>
  readonly listSpends: (call: Call, args: PageRequest & { readonly userId: string | undefined }) => Promise<Page<SpendView>>
}
