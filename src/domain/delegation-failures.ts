/** The part of the catalogue of failures (failure.ts) that is about servers which end users let sign with them. */
export type DelegationFacts = {
  DELEGATE_NOT_FOUND: Record<never, never>
  DELEGATE_ALREADY_EXISTS: { what: 'identity' | 'name' | 'key' }
  DELEGATE_KEY_INVALID: { why: string }
  DELEGATED_ACCESS_NOT_FOUND: Record<never, never>
  DELEGATION_REFUSED: Record<never, never>
  WALLET_API_KEY_INVALID: Record<never, never>
  DELEGATED_ACCESS_REVOKED: { delegatedAccessId: string }
  DELEGATED_ACCESS_EXPIRED: { delegatedAccessId: string; expireTime: string }
  DELEGATE_NOT_PROVEN: Record<never, never>
}

export const DELEGATION_SENTENCES: { readonly [R in keyof DelegationFacts]: (facts: DelegationFacts[R]) => string } = {
  DELEGATE_NOT_FOUND: () => 'no such delegate',
  DELEGATE_ALREADY_EXISTS: ({ what }) => `a delegate with this ${what} is registered`,
  DELEGATE_KEY_INVALID: ({ why }) => `nothing can be sealed to this delegate: ${why}`,
  DELEGATED_ACCESS_NOT_FOUND: () => 'no such delegated access',
  DELEGATION_REFUSED: () => 'the cosigner gives the delegate no share; its own log and audit chain say why',
  WALLET_API_KEY_INVALID: () => 'the wallet API key is not valid',
  DELEGATED_ACCESS_REVOKED: ({ delegatedAccessId }) => `delegated access ${delegatedAccessId} was revoked`,
  DELEGATED_ACCESS_EXPIRED: ({ delegatedAccessId, expireTime }) =>
    `delegated access ${delegatedAccessId} ended at ${expireTime}`,
  DELEGATE_NOT_PROVEN: () => 'the caller has not proved that it is the delegate of this access',
}
