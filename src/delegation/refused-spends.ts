/** Spends that were refused before there was anything to sign, for the audit chain. */
import { actorOf, type Call } from '../domain/call.ts'
import { type Failure, type FailureReason, isFailure } from '../domain/failure.ts'
import { MAX_DENIALS_PER_SECOND } from '../signing/sign.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import type { SpendingNeeds } from './external-wallets.ts'
import type { SpendRequest } from './spend.ts'

/** A refusal that signing may give too, and then records itself. */
export class RefusedHere extends Error {
  readonly refusal: Failure

  constructor(refusal: Failure) {
    super('refused before it was signed')
    this.refusal = refusal
  }
}

/** Only a spend is refused for these. */
const OWN: ReadonlySet<FailureReason> = new Set([
  'EXTERNAL_WALLET_NOT_FOUND', 'SPEND_NO_WALLET', 'SPEND_REVOKED', 'SPEND_NOT_COVERED', 'SPEND_REFUSED_BY_TOKEN', 'SPENDER_NOT_CONFIGURED',
  'CURRENCY_NOT_CONFIGURED', 'TOKEN_UNSUPPORTED',
])

const refusalOf = (error: unknown): Failure | undefined => {
  if (error instanceof RefusedHere) return error.refusal
  return isFailure(error) && OWN.has(error.reason) ? error : undefined
}

/** Answers what the caller is told: the refusal, or RATE_LIMITED where rows come too fast. */
export const recordRefusal = async ({ vault, rates, clock }: SpendingNeeds, call: Call, request: SpendRequest, error: unknown): Promise<unknown> => {
  const refusal = refusalOf(error)
  if (refusal === undefined) return error
  const { caller, requestId } = call
  const limited = rates.tryTake(`denials ${caller.principal}`, MAX_DENIALS_PER_SECOND)
  if (limited !== undefined) return limited
  const { userId, network, currency, amount, destination, externalWalletId } = request
  await vault.commit((tx) =>
    appendAudit(tx, {
      timeMs: Math.trunc(clock.nowMs()), kind: 'spend.refused', project: caller.projectId, actor: actorOf(caller), method: 'SpendDelegation', requestId,
      subject: { type: 'end_user', id: userId }, decision: 'refuse', reason: refusal.reason,
      details: { network, currency, amount, destination, ...(externalWalletId === undefined ? {} : { externalWallet: externalWalletId }), message: refusal.message },
    }),
  )
  return refusal
}
