/** Refusals of what the daemon sends, as failure.ts has all of them. */
export type SendingFacts = {
  TRANSACTION_WOULD_REVERT: { network: string }
  FEE_ABOVE_CAP: { needed: string; cap: string }
  GAS_ABOVE_CAP: { needed: string; cap: string }
  INSUFFICIENT_FUNDS: { needed: string; balance: string }
  SENT_TRANSACTION_NOT_FOUND: Record<never, never>
  SENT_TRANSACTION_OVER: { state: string }
  REPLACEMENTS_EXHAUSTED: { allowed: number }
}

export const SENDING_SENTENCES: { readonly [R in keyof SendingFacts]: (facts: SendingFacts[R]) => string } = {
  TRANSACTION_WOULD_REVERT: ({ network }) => `${network} says that the transaction would fail, so it is not sent`,
  FEE_ABOVE_CAP: ({ needed, cap }) => `a unit of gas costs ${needed} wei now, which is over the cap of ${cap}`,
  GAS_ABOVE_CAP: ({ needed, cap }) => `the transaction takes ${needed} gas, which is over the cap of ${cap}`,
  INSUFFICIENT_FUNDS: ({ needed, balance }) => `the transaction may cost ${needed} base units, the wallet has ${balance}`,
  SENT_TRANSACTION_NOT_FOUND: () => 'no such transaction was sent',
  SENT_TRANSACTION_OVER: ({ state }) => `the transaction is ${state}, so nothing takes its place`,
  REPLACEMENTS_EXHAUSTED: ({ allowed }) => `the transaction was replaced ${allowed} times, which is all that is allowed`,
}
