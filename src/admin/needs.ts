import type { Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import type { ProjectId } from '../domain/ids.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import type { Fences } from '../signing/fences.ts'
import type { GrantCache } from '../signing/grant-cache.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import type { Tx } from '../vault/store.ts'

export type AdminNeeds = {
  readonly vault: DaemonVault
  readonly engine: SigningEngine
  readonly fences: Fences
  readonly grants: GrantCache
  readonly clock: Clock
  /** Whether a venue profile of this id is offered. */
  readonly isVenueProfile?: (id: string) => boolean
}

/** One administrative change, chained in the transaction that makes it. */
export const recordChange = (
  tx: Tx,
  call: Call,
  change: {
    readonly timeMs: number
    readonly kind: string
    readonly subject: { readonly type: string; readonly id: string }
    readonly project?: ProjectId | undefined
    readonly details?: AuditEvent['details']
  },
): void => {
  appendAudit(tx, {
    ...change,
    actor: { kind: 'operator', id: call.caller.principal },
    method: call.method.split('/').at(-1),
    requestId: call.requestId,
    decision: 'allow',
  })
}
