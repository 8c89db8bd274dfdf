import type { Expression } from './expression.ts'
import type { Members, Shape } from './shape.ts'

/**
 * An exchange profile: how one venue wants its session keys registered and its requests signed, written as data. It
 * has no code of its own; everything it computes is put together from the closed set of operators in operators.ts.
 * So it can be reviewed, versioned and hashed, and the hash stands in the audit row of everything signed by it.
 */

/** What an action does, in words that mean the same at every venue. */
export const FAMILIES = [
  'order',
  'modify_order',
  'cancel_order',
  'cancel_all',
  'leverage',
  'transfer',
  'withdraw',
  'approve',
  'key_management',
  'read',
] as const
export type Family = (typeof FAMILIES)[number]

/** Families that no scope covers, `unrestricted` neither: a session key has them only when they were named. */
export const NAMED_FAMILIES: ReadonlySet<Family> = new Set([
  'leverage',
  'transfer',
  'withdraw',
  'approve',
  'key_management',
])

/** Who holds the session key to a rule. The daemon always does. */
export type EnforcedBy = 'daemon' | 'venue' | 'both'

/**
 * Where a format is known from: a published or captured signature reproduced bit for bit, the venue's own library
 * run beside it, or the documented rule alone.
 */
export type Confidence = 'published' | 'sdk' | 'rule'

export type Curve = 'secp256k1' | 'ed25519' | 'hmac-sha256'

/**
 * How the venue wants its nonces. `clock`: the time in `unit`, never used twice by one key; `increasing` also above
 * every earlier one; the venue accepts it from `backMs` before its clock to `aheadMs` after. `counter`: the venue's
 * own, fetched by the caller and counted up. `random`: any unused one below 2^bits. `none`: requests carry a time only.
 */
export type NoncePolicy =
  | {
      readonly style: 'clock'
      readonly unit: 'ms' | 'us' | 'ns'
      readonly rule: 'unique' | 'increasing'
      readonly backMs: number
      readonly aheadMs: number
    }
  | { readonly style: 'counter'; readonly bits: number }
  | { readonly style: 'random'; readonly bits: number }
  | { readonly style: 'none'; readonly backMs: number; readonly aheadMs: number }

export type SignScheme = 'eip712' | 'eip191' | 'ed25519' | 'hmac-sha256'

/** Type name → `type name, type name`, in the order that is hashed. */
export type TypeLists = { readonly [name: string]: string }

export type SignSpec =
  | {
      readonly by: Signer
      /** Computed before this signature, with those before it. */
      readonly let?: Bindings
      readonly scheme: 'eip712'
      readonly domain: Expression
      readonly types: TypeLists
      readonly primaryType: string
      readonly message: Expression
    }
  /** EIP-191 of a text; the others sign the bytes as they are. */
  | {
      readonly by: Signer
      readonly let?: Bindings
      readonly scheme: 'eip191' | 'ed25519' | 'hmac-sha256'
      readonly message: Expression
    }

/** Named values, computed in order; each may use those before it. */
export type Bindings = readonly (readonly [name: string, value: Expression])[]

export type Signer = 'wallet' | 'session' | 'credential'

export type HttpTemplate = {
  readonly method: 'GET' | 'POST' | 'PUT' | 'DELETE'
  readonly path: Expression
  readonly headers?: { readonly [name: string]: Expression }
  /** The text of the body. An object is written as JSON in the order given. */
  readonly body?: Expression
}

export type FlowPurpose =
  /** Once a wallet: opens the account at the venue. */
  | 'account'
  /** Makes the session key known to the venue; a flow without `http` has nothing to send. */
  | 'register'
  /** Asks the venue for credentials that PutVenueCredential then stores. */
  | 'credentials'
  | 'revoke'
  /** An action that only the wallet may sign, by a flow's `input`. */
  | 'wallet_action'
  /** Opens an authenticated session or connection. */
  | 'auth'
  /** Signs an action of a family. */
  | 'action'
  /** Reads what the venue knows of the key. */
  | 'query'

export type Flow = {
  readonly purpose: FlowPurpose
  readonly confidence: Confidence
  /** Fields that the caller gives beside the action; for flows of the wallet. */
  readonly input?: Members
  readonly let?: Bindings
  /** Signatures in order; a later one may cover an earlier one as `$sig1`. `$sig` is the last. */
  readonly sign: readonly SignSpec[]
  /** The signed action as the venue takes it. */
  readonly signedAction?: Expression
  readonly http?: HttpTemplate
  /** Bytes or texts to keep with the session key, as `$kept.<name>` in later flows. */
  readonly keep?: { readonly [name: string]: Expression }
  /** The members of the venue's answer that PutVenueCredential stores. */
  readonly answer?: { readonly [credential: string]: string }
}

/** One leg of an action, for limits: of `each` as `$leg`, or the one of the action. Absent: there is no such thing. */
export type LegSpec = {
  readonly market: Expression
  /** Yields `buy` or `sell`. */
  readonly side?: Expression
  readonly size?: Expression
  readonly price?: Expression
  /** Where a stop starts. It counts as the price when it is higher: the order is filled from there. */
  readonly trigger?: Expression
  /** Where it is not size × price. */
  readonly notional?: Expression
  readonly reduceOnly?: Expression
}

export type ActionSpec = {
  readonly family: Family
  /** The fields of the action in the venue's order: the order that is signed, whatever order was sent. */
  readonly shape: Shape
  readonly flow: string
  /** What holds beyond the shape: a rule that yields false refuses the action. */
  readonly rules?: readonly { readonly ok: Expression; readonly path: string; readonly why: string }[]
  readonly legs?: { readonly each: Expression; readonly leg: LegSpec } | { readonly one: LegSpec }
}

export type Profile = {
  readonly id: string
  readonly version: number
  readonly title: string
  /** Network → the constants of its formulas, as `$net.<name>`. */
  readonly networks: { readonly [name: string]: { readonly [constant: string]: string | number } }
  readonly sessionKey: {
    readonly curve: Curve
    readonly publicForm: 'address' | 'compressed' | 'base58' | 'none'
    /** The longest life the venue gives a key. */
    readonly maxLifeMs?: number
    /** A public key that was used may never be registered again. */
    readonly singleUse?: boolean
  }
  /** Chosen when the key is made and fixed with it, as `$params.<name>`. */
  readonly params: Members
  /** Stored by PutVenueCredential, as `$cred.<name>`; `hmac` is the one that a `credential` signs with. */
  readonly credentials?: Members
  readonly hmacSecret?: { readonly credential: string; readonly encoding: 'base64' | 'hex' | 'utf8' }
  readonly nonce: NoncePolicy
  readonly enforcedBy: { readonly expiry: EnforcedBy; readonly scope: EnforcedBy }
  /** What a relay could change without breaking the signature. */
  readonly unsignedFields: readonly string[]
  /** Neutral family → the venue's own code for it, where the venue has scopes; `unrestricted` beside the families. */
  readonly scopeCodes?: { readonly [family in Family | 'unrestricted']?: string | number }
  /** The member of an action that names it. Without one a family has exactly one action. */
  readonly tag?: string
  readonly actions: { readonly [name: string]: ActionSpec }
  readonly flows: { readonly [name: string]: Flow }
  /** The bytes of a delegated payload that travels with each request. */
  readonly payload?: readonly PayloadField[]
  readonly selfTest: readonly SelfTest[]
}

/** One field of a delegated payload. `list` is a count byte and that many bytes, ascending and without repetition. */
export type PayloadField =
  | { readonly constant: string }
  | { readonly name: string; readonly bytes: number }
  | { readonly name: string; readonly uint: number }
  | { readonly name: string; readonly list: true }

/** A request as JSON: integers beyond 2^53 as text, bytes as 0x hex. */
export type RequestJson = {
  readonly network: string
  readonly parameters?: { readonly [name: string]: unknown }
  /** With `action`: signs the action. Without: runs the flow. */
  readonly family?: string
  readonly action?: unknown
  readonly input?: { readonly [name: string]: unknown }
  readonly nonce?: string | number
  readonly timeMs?: number
  readonly notAfterMs?: number
  readonly expireTimeMs?: number
  readonly scopes?: readonly string[]
  readonly walletAddress?: string
  readonly sessionPublicKey?: string
  readonly sessionAddress?: string
  readonly credentials?: { readonly [name: string]: string }
  readonly kept?: { readonly [name: string]: string }
}

/** A known answer. Every one must come out before the profile is offered. */
export type SelfTest = {
  readonly name: string
  readonly flow: string
  readonly request: RequestJson
  /** Per signature: what is signed, 0x hex, or the text of it. */
  readonly signs: readonly string[]
  /** Per signature: one to finish with, 0x hex. With them, what is below is compared too. */
  readonly signatures?: readonly string[]
  readonly signedAction?: string
  readonly body?: string
  readonly headers?: { readonly [name: string]: string }
  readonly keep?: { readonly [name: string]: string }
}
