import type { GrantView } from '../delegation/grant-view.ts'
import type { NewGrantRequest } from '../delegation/grants.ts'
import type { Call } from '../domain/call.ts'
import type { Page, PageRequest } from './use-cases.ts'

export type { GrantView, NewGrantRequest }
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
