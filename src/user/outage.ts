import { EgressError } from '../egress/egress-error.ts'

/** Told when somebody else's server does not answer as it should; `why` is the daemon's own word for it. */
export type OnOutage = (what: 'key_set' | 'oidc_provider' | 'email', why: string) => void

/** What went wrong on the way out, however deep a library wrapped it. */
export const faultIn = (error: unknown): string => {
  if (error instanceof EgressError) return error.fault
  return error instanceof Error && error.cause !== undefined ? faultIn(error.cause) : 'answer not understood'
}
