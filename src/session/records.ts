/** What callers tell the daemon about markets and outcomes, and what it tells them about their session keys. */
import { hash } from 'node:crypto'
import type { Call } from '../domain/call.ts'
import { actorOf } from '../domain/call.ts'
import { failure, invalidField } from '../domain/failure.ts'
import { authorize } from '../signing/authorize.ts'
import { appendAudit, type AuditHead, auditHead, type AuditRow, listAudit } from '../vault/audit-chain.ts'
import { canonicalJson, type JsonValue } from '../vault/canonical-json.ts'
import { followAudit } from '../vault/follow-audit.ts'
import { sessionEvent } from './action-rows.ts'
import { parseE18 } from './amounts.ts'
import { findKey, READING } from './find-key.ts'
import type { SessionNeeds } from './needs.ts'

export type ReceiptView = AuditHead & { readonly signature: Uint8Array; readonly keyId: string }

const receiptOf = ({ vault }: SessionNeeds, head: AuditHead): ReceiptView => ({
  ...head,
  signature: vault.signer.signReceipt(head),
  keyId: vault.signer.keyId,
})

const DETAILS_MAX = 32_768

/** Refuses with PROFILE_NOT_FOUND, PROFILE_NETWORK_UNKNOWN; a price of zero is INVALID_REQUEST. */
export const setMarkPrices = async (
  needs: SessionNeeds,
  call: Call,
  args: {
    readonly profile: string
    readonly network: string
    readonly prices: readonly { readonly market: string; readonly price: string }[]
  },
): Promise<ReceiptView> => {
  const { profile, network } = args
  authorize(needs.vault.read, needs, call, 'marks:write')
  const { networks } = needs.profiles().get(profile).profile
  if (!Object.hasOwn(networks, network)) throw failure('PROFILE_NETWORK_UNKNOWN', { profile, network })
  const prices = new Map<string, bigint>()
  for (const { market, price } of args.prices) {
    const priceE18 = parseE18(price)
    if (priceE18 === undefined || priceE18 === 0n) {
      throw invalidField('prices', 'a price is above zero')
    }
    prices.set(market, priceE18)
  }
  const listed = Object.fromEntries(args.prices.map(({ market, price }) => [market, price]))
  const text = canonicalJson(listed)
  const said: JsonValue = text.length <= DETAILS_MAX ? { prices: listed } : { pricesHash: hash('sha256', text, 'hex') }
  const head = await needs.vault.commit((tx) =>
    appendAudit(tx, {
      timeMs: Math.trunc(needs.clock.nowMs()),
      kind: 'session.marks_set',
      project: call.caller.projectId,
      actor: actorOf(call.caller),
      subject: { type: 'venue_profile', id: profile },
      method: 'SetMarkPrices',
      decision: 'allow',
      details: { network, ...said },
    }),
  )
  needs.marks.set({ project: call.caller.projectId, profile, network }, prices)
  return receiptOf(needs, head)
}

const ACTION_KIND = 'session.action'

/** Refuses with AUDIT_EVENT_NOT_FOUND a sequence that is no action of this key. */
export const recordOutcome = async (
  needs: SessionNeeds,
  call: Call,
  args: {
    readonly sessionKeyId: string
    readonly actionSequence: bigint
    readonly outcome: string
    readonly venueReference: string
    readonly note: string
  },
): Promise<ReceiptView> => {
  const key = findKey(needs, call, args.sessionKeyId, ['session:sign'])
  const { read } = needs.vault
  const filter = { subjectId: key.sessionKeyId, kind: ACTION_KIND, through: args.actionSequence }
  const [row] = listAudit(read, args.actionSequence - 1n, 1, filter)
  if (row === undefined) {
    const sequence = String(args.actionSequence)
    throw failure('AUDIT_EVENT_NOT_FOUND', { sequence, headSequence: String(auditHead(read).sequence) })
  }
  const { outcome, venueReference, note } = args
  const head = await needs.vault.commit((tx) =>
    appendAudit(
      tx,
      sessionEvent(call, key, {
        timeMs: Math.trunc(needs.clock.nowMs()),
        kind: 'session.outcome',
        details: { action: String(row.sequence), outcome, venueReference, note },
      }),
    ),
  )
  return receiptOf(needs, head)
}

/** What is there already, then what comes, in order, without gaps or repeats, until the signal aborts. */
export async function* watchReceipts(
  needs: SessionNeeds,
  call: Call,
  args: { readonly sessionKeyId: string; readonly afterSequence: bigint },
): AsyncGenerator<AuditRow> {
  const { sessionKeyId } = findKey(needs, call, args.sessionKeyId, READING)
  const { vault } = needs
  const { sequence } = auditHead(vault.read)
  if (args.afterSequence > sequence) {
    throw failure('AUDIT_EVENT_NOT_FOUND', { sequence: String(args.afterSequence), headSequence: String(sequence) })
  }
  const options = { filter: { subjectId: sessionKeyId }, signal: call.signal }
  for await (const row of followAudit(vault, args.afterSequence, options)) if (row.kind.startsWith('session.')) yield row
}
