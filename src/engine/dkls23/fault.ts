/**
 * What goes wrong in the protocol and what it costs (docs/protocol.md §15). The engine only classifies: strikes,
 * suspension, quarantine and the burn are carried out by the party that owns the durable state.
 */
export type FaultClass = 'A' | 'B' | 'C' | 'D'

/** Codes of the error frame 0x7f. */
export const FAULT_CODES = {
  busy: 1,
  link_stale: 2,
  plan_refused: 3,
  session: 4,
  epoch_rejected: 5,
  disagreement: 6,
  protocol: 7,
  link_burned: 8,
  unknown_presig: 9,
  wallet_state: 10,
  internal: 11,
  policy_denied: 12,
  reqid_conflict: 13,
  link_suspended: 14,
  import_refused: 15,
} as const

export type FaultCode = keyof typeof FAULT_CODES

/**
 * What a fault means for durable state. `strike`: +1 on the link. `suspend-wallet`: the wallet stops, the link
 * goes on, no strike. `quarantine-wallet`: an own record is damaged. `burn-link`: before any reply.
 */
export type FaultConsequence = 'none' | 'strike' | 'suspend-wallet' | 'quarantine-wallet' | 'burn-link'

const DEFAULT_CONSEQUENCE: { readonly [K in FaultClass]: FaultConsequence } = {
  A: 'none',
  B: 'none',
  C: 'strike',
  D: 'burn-link',
}

/** A failed protocol step. Carries no secret and, for class D, nothing that tells one check from another. */
export class ProtocolFault extends Error {
  readonly faultClass: FaultClass
  readonly codeName: FaultCode
  /** The code of the error frame that answers the peer. */
  readonly code: number
  /** Detail bytes of the error frame; only link_stale, plan_refused and epoch_rejected have one. */
  readonly detail: Uint8Array
  readonly consequence: FaultConsequence

  constructor(
    faultClass: FaultClass,
    codeName: FaultCode,
    what: string,
    options: { detail?: Uint8Array; consequence?: FaultConsequence } = {},
  ) {
    super(`protocol fault, class ${faultClass}: ${what}`)
    this.name = 'ProtocolFault'
    this.faultClass = faultClass
    this.codeName = codeName
    this.code = FAULT_CODES[codeName]
    this.detail = options.detail ?? new Uint8Array(0)
    this.consequence = options.consequence ?? DEFAULT_CONSEQUENCE[faultClass]
  }
}

/** Class A: benign, the session is dropped and may be tried again with new nonces. */
export function benign(code: FaultCode, what: string, detail?: Uint8Array): ProtocolFault {
  return new ProtocolFault('A', code, what, detail === undefined ? {} : { detail })
}

/** Class B: a degenerate value or a fault of the own side. */
export function degenerate(what: string): ProtocolFault {
  return new ProtocolFault('B', 'internal', what)
}

/** Class B on loading a record: the wallet is quarantined and nothing is sent. */
export function damagedRecord(what: string): ProtocolFault {
  return new ProtocolFault('B', 'wallet_state', what, { consequence: 'quarantine-wallet' })
}

/** Class C: a violation by the authenticated peer that leaks nothing; one strike. */
export function violation(what: string): ProtocolFault {
  return new ProtocolFault('C', 'protocol', what)
}

/** Class C without a strike: an invalid final signature suspends the wallet, not the link. */
export function invalidFinalSignature(): ProtocolFault {
  return new ProtocolFault('C', 'protocol', 'final signature invalid', { consequence: 'suspend-wallet' })
}

/** Class D: evidence of cheating. One constant, so that the four checks cannot be told apart. */
export function cheating(): ProtocolFault {
  return new ProtocolFault('D', 'link_burned', 'cheating evidence')
}
