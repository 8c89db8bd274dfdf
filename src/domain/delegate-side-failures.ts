/** The part of the catalogue of failures (failure.ts) that is about being a delegate of other daemons. */
type NoFacts = Record<never, never>

export type DelegateSideFacts = {
  DELEGATE_KEY_NOT_FOUND: { kid: string }
  DELEGATE_PRIVATE_KEY_INVALID: { why: string }
  ENVELOPE_INVALID: { why: string }
  FOREIGN_SHARE: NoFacts
  GRANTING_DAEMON_UNKNOWN: { partyId: string }
  IMPORTED_ACCESS_NOT_FOUND: NoFacts
  IMPORTED_ACCESS_ENDED: { accessId: string }
  GRANTING_DAEMON_UNAVAILABLE: { why: string }
  GRANTING_DAEMON_REFUSED: { refusal: string; why: string }
}

export const DELEGATE_SIDE_SENTENCES: { [R in keyof DelegateSideFacts]: (facts: DelegateSideFacts[R]) => string } = {
  DELEGATE_KEY_NOT_FOUND: ({ kid }) => `there is no delegate key ${kid}`,
  DELEGATE_PRIVATE_KEY_INVALID: ({ why }) => `the key is not taken in: ${why}`,
  ENVELOPE_INVALID: ({ why }) => `what was delivered is not taken in: ${why}`,
  FOREIGN_SHARE: () => 'the share was made by another system, which alone can sign with it',
  GRANTING_DAEMON_UNKNOWN: ({ partyId }) => `the daemon ${partyId}, which delegated, is not configured here`,
  IMPORTED_ACCESS_NOT_FOUND: () => 'nothing of this id or address was delegated',
  IMPORTED_ACCESS_ENDED: ({ accessId }) => `the delegated access ${accessId} was taken back`,
  GRANTING_DAEMON_UNAVAILABLE: ({ why }) => `the daemon that delegated does not take part: ${why}`,
  GRANTING_DAEMON_REFUSED: ({ refusal, why }) => `the daemon that delegated refuses (${refusal}): ${why}`,
}
