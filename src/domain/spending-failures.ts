/** Refusals of what is spent from external wallets, as failure.ts has all of them. */
export type SpendingFacts = {
  SPEND_NOT_COVERED: { requested: string; available: string }
  SPEND_NO_WALLET: { network: string; currency: string }
  SPEND_REFUSED_BY_TOKEN: { why: string }
  SPEND_NOT_FOUND: Record<never, never>
  SPEND_REVOKED: Record<never, never>
}

export const SPENDING_SENTENCES: { readonly [R in keyof SpendingFacts]: (facts: SpendingFacts[R]) => string } = {
  SPEND_NOT_COVERED: ({ requested, available }) => `no external wallet covers ${requested} by itself; the most that one does is ${available}`,
  SPEND_NO_WALLET: ({ network, currency }) => `the user has no external wallet for ${currency} on ${network}`,
  SPEND_REFUSED_BY_TOKEN: ({ why }) => `the token does not make the transfer: ${why}`,
  SPEND_NOT_FOUND: () => 'there is no such spend',
  SPEND_REVOKED: () => 'nothing is approved any more',
}
