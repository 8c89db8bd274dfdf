/** What stops a caller as such, whatever it asks for, and what stops its use of one wallet. */
import type { Call, Caller } from '../domain/call.ts'
import type { FreezeSubject } from '../vault/freezes.ts'
import type { Grant } from '../vault/grants.ts'
import type { Wallet } from '../vault/wallets.ts'
import type { FenceKey } from './fences.ts'

export const fenceOfCaller = (caller: Caller): FenceKey => {
  if (caller.kind === 'end_user') return { scope: 'end_user', id: caller.principal }
  if (caller.kind === 'delegate') return { scope: 'delegated_access', id: caller.accessId }
  return { scope: 'api_key', id: caller.apiKeyId }
}

/** As the vault keeps them; an end user is not frozen as such, but with their project or their wallet; nor a delegate. */
export const freezesOfCaller = (caller: Caller): readonly FreezeSubject[] =>
  caller.kind === 'end_user' || caller.kind === 'delegate' ? [] : [{ scope: 'api_key', id: caller.apiKeyId }]

/** `grant`: what the caller uses the wallet under, where it takes one. */
export const fencesOf = ({ caller }: Pick<Call, 'caller'>, { walletId, project }: Wallet, grant?: Grant): readonly FenceKey[] => [
  { scope: 'all', id: '*' },
  { scope: 'project', id: project },
  { scope: 'wallet', id: walletId },
  fenceOfCaller(caller),
  ...(grant === undefined ? [] : [{ scope: 'grant', id: grant.grantId } as const]),
]

/** As the vault keeps them; the freeze of everything is not listed. */
export const freezesOf = ({ caller }: Call, { walletId, project }: Wallet): readonly FreezeSubject[] => [
  { scope: 'project', id: project },
  { scope: 'wallet', id: walletId },
  ...freezesOfCaller(caller),
]
