/**
 * What the owner of a wallet signs for the cosigner, which counts only wallet secrets in its own register. The key stays
 * with the device: `sign` may ask WebCrypto, a passkey's PRF or a file.
 */
import { firstSecretStatement, secretChangeStatement, secretIdOf } from '../engine/sealing/owner-consent.ts'

export type WalletSecret = {
  /** SubjectPublicKeyInfo of a P-256 key, DER. */
  readonly publicKey: Uint8Array
  /** ECDSA over SHA-256 of the statement: r ‖ s, 64 bytes. */
  readonly sign: (statement: Uint8Array) => Uint8Array | Promise<Uint8Array>
}

/** Whose register: the cosigner's id as the client has it pinned (64 hex digits), the project and the user. */
export type RegisterEntry = { readonly cosignerId: string; readonly projectId: string; readonly userId: string }

const CONSENT_MS = 240_000

/** 32 bytes of a cosigner's id. @throws TypeError on anything but 64 hex digits: without a pin nothing is done. */
export const parsePin = (cosignerId: string): Uint8Array => {
  if (!/^[0-9a-f]{64}$/.test(cosignerId)) {
    throw new TypeError('the cosigner is pinned by its id, 64 hex digits, from its operator (countersign cosigner identity)')
  }
  return Uint8Array.from(cosignerId.match(/../g) ?? [], (digits) => Number.parseInt(digits, 16))
}

const ownerOf = ({ cosignerId, projectId, userId }: RegisterEntry) => ({
  partyId: parsePin(cosignerId),
  project: projectId,
  userId,
})

/** The `wallet_secret` of CreateWallet, for a user's first wallet. */
export const proveWalletSecret = async (
  entry: RegisterEntry,
  { publicKey, sign }: WalletSecret,
): Promise<{ readonly publicKey: Uint8Array; readonly signature: Uint8Array }> => ({
  publicKey,
  signature: await sign(firstSecretStatement(ownerOf(entry), publicKey)),
})

/** A consent's end and nonce: good for four minutes, and once. */
export const newConsent = (): { readonly expireMs: number; readonly nonce: Uint8Array } => ({
  expireMs: Date.now() + CONSENT_MS,
  nonce: crypto.getRandomValues(new Uint8Array(32)),
})

/** An order to take a further secret into the cosigner's register, or one out, by a secret that is there. */
export const signSecretChange = async (
  entry: RegisterEntry,
  by: WalletSecret,
  asked: { readonly change: 'bind' | 'remove'; readonly publicKey: Uint8Array },
) => {
  const order = { ...asked, ...newConsent() }
  const signature = await by.sign(secretChangeStatement(ownerOf(entry), order))
  return { ...order, signedBy: secretIdOf(by.publicKey), signature }
}
