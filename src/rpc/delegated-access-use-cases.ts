import type { DelegateAccessRequest, GivenAccess } from '../delegation/delegate-access.ts'
import type { DelegatedAccessView } from '../delegation/delegated-access-view.ts'
import type { DelegateKeyRequest, DelegateView, NewDelegateRequest } from '../delegation/delegates.ts'
import type { AccessListRequest } from '../delegation/list-access.ts'
import type { Call } from '../domain/call.ts'
import type { Page, PageRequest } from './use-cases.ts'

export type { DelegateAccessRequest, DelegatedAccessView, DelegateView, GivenAccess }

/** What a daemon gives to delegates. */
export type DelegatedAccessUseCases = {
  readonly registerDelegate: (call: Call, args: NewDelegateRequest) => Promise<DelegateView>
  readonly rotateDelegateKey: (call: Call, args: DelegateKeyRequest) => Promise<DelegateView>
  readonly listDelegates: (call: Call, args: PageRequest) => Promise<Page<DelegateView>>
  readonly delegateAccess: (call: Call, args: DelegateAccessRequest) => Promise<GivenAccess>
  readonly revokeDelegatedAccess: (call: Call, args: { readonly accessId: string }) => Promise<DelegatedAccessView>
  readonly listDelegatedAccess: (call: Call, args: AccessListRequest) => Promise<Page<DelegatedAccessView>>
}
