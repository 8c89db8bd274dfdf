/** What is sealed to an RSA key as Dynamic's envelope has it; everything but the names as base64url without padding. */
export type SealedEnvelope = {
  readonly alg: string
  readonly iv: string
  readonly ct: string
  readonly tag: string
  /** The content key, encrypted. */
  readonly ek: string
  /** Which of the recipient's keys it is sealed to. */
  readonly kid?: string | undefined
}
