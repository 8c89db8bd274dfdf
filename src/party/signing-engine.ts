import type { TwoPartyEngine } from './two-party-engine.ts'

/** What the daemon asks of both parties together: all that `TwoPartyEngine` shows. */
export type SigningEngine = { readonly [K in keyof TwoPartyEngine]: TwoPartyEngine[K] }
