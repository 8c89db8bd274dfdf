import type { SignNeeds } from '../signing/sign.ts'
import type { SentPurpose } from '../vault/sent-transactions.ts'
import type { ChainFamily } from './chain-family.ts'
import type { OnSettled } from './send-request.ts'

export type SendingNeeds = SignNeeds & {
  readonly families: readonly ChainFamily[]
  /** Where a request does not say how deep it must be to count. */
  readonly confirmations: number
  /** Something that was sent keeps its nonce, and nothing moves it. */
  readonly onStuck?: ((facts: { readonly sendId: string; readonly network: string; readonly why: string }) => void) | undefined
  readonly settled: { readonly [P in SentPurpose]?: OnSettled | undefined }
}
