import type { ImportAccessRequest } from '../delegation/import-access.ts'
import type { ImportedAccessView } from '../delegation/imported-view.ts'
import type { NewOwnKey, OwnKeys } from '../delegation/own-keys.ts'
import type { Call } from '../domain/call.ts'
import type { AccessId } from '../domain/ids.ts'
import type { MessageContent, Page, PageRequest, ReceiptView, Signature, SignedDigest, TransactionContent } from './use-cases.ts'

export type OwnKeyView = OwnKeys['keys'][number]
export type { ImportAccessRequest, ImportedAccessView, NewOwnKey, OwnKeys }

/** What a daemon does as a delegate of others. */
export type DelegateSideUseCases = {
  readonly createDelegateKey: (call: Call, args: NewOwnKey) => Promise<OwnKeyView>
  readonly listDelegateKeys: (call: Call) => Promise<OwnKeys>
  readonly deleteDelegateKey: (call: Call, args: { readonly kid: string }) => Promise<void>
  readonly importDelegatedAccess: (call: Call, args: ImportAccessRequest) => Promise<ImportedAccessView>
  readonly returnDelegatedAccess: (call: Call, args: { readonly accessId: AccessId }) => Promise<ImportedAccessView>
  readonly listImportedAccess: (call: Call, args: PageRequest) => Promise<Page<ImportedAccessView>>
  readonly delegatedSignMessage: (
    call: Call,
    args: { readonly access: string; readonly content: MessageContent; readonly isFormatted: boolean },
  ) => Promise<SignedDigest>
  readonly delegatedSignTypedData: (call: Call, args: { readonly access: string; readonly json: string }) => Promise<SignedDigest>
  readonly delegatedSignTransaction: (
    call: Call,
    args: { readonly access: string; readonly transaction: TransactionContent },
  ) => Promise<{
    readonly signedTransaction: Uint8Array
    readonly transactionHash: string
    readonly signature: Signature
    readonly receipt: ReceiptView
  }>
}
