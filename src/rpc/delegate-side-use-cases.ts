import type { NewOwnKey, OwnKeys } from '../delegation/own-keys.ts'
import type { Call } from '../domain/call.ts'

export type OwnKeyView = OwnKeys['keys'][number]
export type { NewOwnKey, OwnKeys }

/** What a daemon does as a delegate of others. */
export type DelegateSideUseCases = {
  readonly createDelegateKey: (call: Call, args: NewOwnKey) => Promise<OwnKeyView>
  readonly listDelegateKeys: (call: Call) => Promise<OwnKeys>
  readonly deleteDelegateKey: (call: Call, args: { readonly kid: string }) => Promise<void>
}
