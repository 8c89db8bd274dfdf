/** What stops a caller as such, whatever it asks for. */
import type { Caller } from '../domain/call.ts'
import type { FreezeSubject } from '../vault/freezes.ts'
import type { FenceKey } from './fences.ts'

export const fenceOfCaller = (caller: Caller): FenceKey =>
  caller.kind === 'end_user' ? { scope: 'end_user', id: caller.principal } : { scope: 'api_key', id: caller.apiKeyId }

/** As the vault keeps them; an end user is not frozen as such, but with their project or their wallet. */
export const freezesOfCaller = (caller: Caller): readonly FreezeSubject[] =>
  caller.kind === 'end_user' ? [] : [{ scope: 'api_key', id: caller.apiKeyId }]
