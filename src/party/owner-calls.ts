/** What the daemon's main thread asks of both parties for the owner of a wallet: whose it is, and its key back. */
import { failure } from '../domain/failure.ts'
import type { ExportConsent } from '../engine/dkls23/export.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import { isRecipient, KIND_RSA, KIND_X25519, type Recipient } from '../engine/sealing/share-envelope.ts'
import type { KeyType } from '../vault/wallets.ts'
import type { ExportedParts, SealedPart } from './export-initiator.ts'
import type { JoinedParties } from './open-parties.ts'
import type { SecretOrder, WalletClaim } from './owner-desk.ts'
import { translated } from './party-failure.ts'
import type { WalletGates } from './wallet-gates.ts'

export type { ExportConsent, SealedPart, SecretOrder, WalletClaim }

export type ExportAsked = {
  readonly walletId: Uint8Array
  readonly keyType: KeyType
  /** As wallets show it: secp256k1 65 bytes beginning 04, Ed25519 32 bytes. */
  readonly publicKey: Uint8Array
  readonly wEpoch: number
  readonly recipient: { readonly kind: 'x25519' | 'rsa'; readonly key: Uint8Array }
  readonly expireMs: number
  readonly nonce: Uint8Array
  readonly consent: ExportConsent
}

const CALL = { timeoutMs: 10_000 } as const

export class OwnerCalls {
  readonly #joined: () => Promise<JoinedParties>
  readonly #gates: WalletGates

  constructor(joined: () => Promise<JoinedParties>, gates: WalletGates) {
    this.#joined = joined
    this.#gates = gates
  }

  /** The cosigner's own note of whose a wallet is, while that wallet is being made. Refuses: WALLET_SECRET_REFUSED. */
  async claimWallet(claim: WalletClaim): Promise<void> {
    const { cosigner } = await this.#joined()
    await translated(cosigner.call('claimWallet', claim, CALL))
  }

  /** A change of the cosigner's register of wallet secrets, signed by the user. Refuses: WALLET_SECRET_REFUSED. */
  async changeSecret(order: SecretOrder): Promise<void> {
    const { cosigner } = await this.#joined()
    await translated(cosigner.call('changeSecret', order, CALL))
  }

  /**
   * Both shares of a wallet, each sealed by its own party. A refresh waits until it is done. Refuses: as
   * `requireRecipient`, EXPORT_REFUSED, COSIGNER_UNAVAILABLE, COSIGNER_REFUSED, LINK_BURNED, LINK_SUSPENDED,
   * DEADLINE_EXCEEDED.
   */
  async exportShares(asked: ExportAsked, signal: AbortSignal): Promise<ExportedParts> {
    const { walletId, keyType } = asked
    const recipient = recipientOf(asked)
    await this.#gates.pass(walletId, signal)
    const { signer, shardOf } = await this.#joined()
    const isEd25519 = keyType === 'ed25519'
    const publicKey = isEd25519 ? asked.publicKey : compressed(asked.publicKey)
    const alg: Alg = isEd25519 ? ALG_ED25519 : ALG_SECP256K1
    const order = { ...asked, alg, publicKey, recipient }
    const call = { shard: shardOf(walletId), order }
    return this.#gates.during(walletId, () => translated(signer.call('export', call, CALL)))
  }

  /** Which party the cosigner is, 32 bytes: what its owners sign for. */
  async cosignerId(): Promise<Uint8Array> {
    return (await this.#joined()).cosignerId
  }
}

const WHY_NOT = {
  x25519: 'it is of low order',
  rsa: 'it is not an RSA key of 3072 to 4096 bits with exponent 65537 in DER',
} as const

const recipientOf = ({ recipient: { kind, key } }: Pick<ExportAsked, 'recipient'>): Recipient => {
  const recipient: Recipient = { kind: kind === 'rsa' ? KIND_RSA : KIND_X25519, key }
  if (!isRecipient(recipient)) throw failure('EXPORT_KEY_INVALID', { why: WHY_NOT[kind] })
  return recipient
}

/** Refuses with EXPORT_KEY_INVALID a key that no party seals to. */
export const requireRecipient = (asked: Pick<ExportAsked, 'recipient'>): void => void recipientOf(asked)

/** SEC1: 04 ‖ x ‖ y as 02 or 03 ‖ x. */
const compressed = (point: Uint8Array): Uint8Array => {
  const out = point.slice(0, 33)
  out[0] = 2 + ((point[64] ?? 0) & 1)
  return out
}
