import type { Confidence, Family, Profile, Signer, SignScheme } from './profile.ts'
import type { Value } from './value.ts'

/** One leg of an action as limits see it. Amounts are scaled by 10^18. */
export type Leg = {
  readonly market: string
  readonly side: 'buy' | 'sell' | undefined
  readonly sizeE18: bigint | undefined
  /** Absent for a price that the market makes: only a mark price bounds its notional. */
  readonly priceE18: bigint | undefined
  /** Size × price, rounded up, or what the venue calls it. */
  readonly notionalE18: bigint | undefined
  readonly reduceOnly: boolean
}

export type ActionFacts = {
  readonly family: Family
  /** The profile's name of the action: `order`, `cancelByCloid`. */
  readonly action: string
  readonly flow: string
  readonly confidence: Confidence
  readonly legs: readonly Leg[]
  /** Every leg only reduces a position, and there is one. */
  readonly reduceOnly: boolean
}

/** An action that was read strictly: its facts, and the value that will be signed. Valid for its profile only. */
export type ReadAction = {
  readonly network: string
  readonly facts: ActionFacts
  readonly value: Value
}

/** Parameters that have passed their shapes. */
export type Parameters = { readonly [name: string]: Value }

/** What a flow may depend on beside the action. */
export type RequestContext = {
  readonly network: string
  readonly parameters: Parameters
  /** The clock, for times in requests. */
  readonly timeMs: number
  /** In the style and unit of the profile's nonce policy. */
  readonly nonce?: bigint
  /** Do not execute after: signed where the venue has a field for it. */
  readonly notAfterMs?: number
  /** When the session key ends; for registration. */
  readonly expireTimeMs?: number
  /** What the key is for; for registration. */
  readonly scopes?: readonly (Family | 'unrestricted')[]
  /** Lower-case 0x. */
  readonly walletAddress?: string
  /** 33 bytes (secp256k1, compressed) or 32 (Ed25519). */
  readonly sessionPublicKey?: Uint8Array
  /** The EVM address of a secp256k1 session key; computed from the public key, slowly, when it is not given. */
  readonly sessionAddress?: string
  readonly credentials?: { readonly [name: string]: string }
  /** What an earlier flow said to keep. */
  readonly kept?: { readonly [name: string]: string }
  /** The flow's own `input`, read by `parseInput`. */
  readonly input?: Parameters
}

export type HttpRequest = {
  readonly method: string
  /** Of the network's REST interface, without the path. */
  readonly baseUrl: string | undefined
  readonly path: string
  readonly headers: { readonly [name: string]: string }
  readonly body: string | undefined
}

export type SigningStep = {
  readonly kind: 'sign'
  readonly signer: Signer
  readonly scheme: SignScheme
  /** The 32-byte digest (eip712, eip191) or the message itself (ed25519, hmac-sha256). */
  readonly input: Uint8Array
  /** eip712: the 66 bytes behind the digest. */
  readonly preimage?: Uint8Array
  /** eip712: the document as `eth_signTypedData_v4` takes it, for a signer that derives the digest itself. */
  readonly typedDataJson?: () => string
  /** eip191: the text behind the digest. */
  readonly message?: Uint8Array
  /** r ‖ s ‖ v with v 27 or 28 (65 bytes), 64 bytes of Ed25519, or the 32-byte MAC. */
  readonly finish: (signature: Uint8Array) => SigningStep | SignedRequest
}

export type SignedRequest = {
  readonly kind: 'done'
  /** The action with its signature, as JSON. */
  readonly signedActionJson: string
  readonly http: HttpRequest | undefined
  /** To be kept with the session key; bytes as 0x hex. */
  readonly keep: { readonly [name: string]: string }
  /** Credential → member of the venue's answer. */
  readonly answer: { readonly [credential: string]: string }
}

/** An action's meaning for people: the facts in words, and what is signed. */
export type Explanation = {
  readonly sentence: string
  readonly facts: ActionFacts
  /** The action in canonical order. */
  readonly canonicalJson: string
  readonly unsignedFields: readonly string[]
}

/** What a delegated payload says. */
export type DecodedPayload = { readonly [name: string]: Uint8Array | bigint | readonly number[] }

/** A profile that has passed its self-test. Everything here is pure and throws `Failure` for what it refuses. */
export type LoadedProfile = {
  readonly profile: Profile
  /** SHA-256 over the canonical text of the profile without its self-test, 0x hex. */
  readonly profileHash: string
  /** Refuses (PROFILE_INPUT_INVALID) what the shapes refuse; `json` is an object's bytes. */
  readonly parseParameters: (json: Uint8Array) => Parameters
  /** The fields a flow wants beside parameters and action. */
  readonly parseInput: (flow: string, json: Uint8Array) => Parameters
  /** What PutVenueCredential may store. Refuses (PROFILE_INPUT_INVALID) what the profile does not know. */
  readonly parseCredentials: (json: Uint8Array) => { readonly [name: string]: string }
  /** Refuses (PROFILE_INPUT_INVALID) a credential that is not of its shape. `name` is one of the profile's. */
  readonly checkCredential: (name: string, text: string) => void
  /** The MAC key among the credentials. Undefined for a profile that makes no MACs. */
  readonly macKey: (credentials: { readonly [name: string]: string }) => Uint8Array | undefined
  /**
   * Reads an action strictly. Refuses PROFILE_NETWORK_UNKNOWN, PROFILE_FAMILY_UNKNOWN, and ACTION_INVALID with the
   * path: also an action that is not of the family it was sent as.
   */
  readonly readAction: (request: {
    readonly network: string
    readonly family: string
    readonly parameters: Parameters
    readonly actionJson: Uint8Array
  }) => ReadAction
  /** The signing of a read action. */
  readonly buildAction: (action: ReadAction, context: RequestContext) => SigningStep
  /** Any other flow: registration, revocation, credentials, auth. Refuses PROFILE_FLOW_UNKNOWN. */
  readonly buildFlow: (flow: string, context: RequestContext) => SigningStep | SignedRequest
  readonly explain: (action: ReadAction) => Explanation
  /** Undefined for a profile without payloads; undefined too for bytes of another layout. */
  readonly decodePayload: (payload: Uint8Array) => DecodedPayload | undefined
}

export type Profiles = {
  readonly offered: readonly LoadedProfile[]
  /** Profiles whose self-test failed: not offered, and why. */
  readonly broken: readonly { readonly id: string; readonly why: string }[]
  /** Refuses PROFILE_NOT_FOUND. */
  readonly get: (id: string) => LoadedProfile
}
