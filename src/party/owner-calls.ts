/** What the daemon's main thread asks of both parties for the owner of a wallet: whose it is, and its key back. */
import { failure } from '../domain/failure.ts'
import type { ExportConsent } from '../engine/dkls23/export.ts'
import { type ImportOpening, OWNER_END_USER, OWNER_PROJECT } from '../engine/dkls23/import.ts'
import { type Alg, ALG_ED25519, ALG_SECP256K1 } from '../engine/dkls23/suite.ts'
import type { ImportKey } from '../engine/sealing/import-key.ts'
import { isRecipient, KIND_RSA, KIND_X25519, type Recipient } from '../engine/sealing/share-envelope.ts'
import type { KeyType, OwnerType } from '../vault/wallets.ts'
import type { ExportedParts, SealedPart } from './export-initiator.ts'
import type { OwnImportKey } from './import-keys.ts'
import type { JoinedParties } from './open-parties.ts'
import type { ProjectClaim, SecretOrder, WalletClaim } from './owner-desk.ts'
import type { OwnerWord } from './owner-word.ts'
import { translated } from './party-failure.ts'
import type { Made } from './signer.ts'
import type { WalletGates } from './wallet-gates.ts'

export type { ExportConsent, ImportKey as ImportKeyView, Made, OwnerWord, SealedPart, SecretOrder, WalletClaim }

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

/** A key that its owner has split, each half sealed to its party. Points as the engine encodes them. */
export type ImportAsked = {
  readonly keyType: KeyType
  readonly opening: Omit<ImportOpening, 'alg'>
  readonly owner: {
    readonly ownerType: OwnerType
    readonly project: string
    readonly userId: string
    readonly expireMs: number
  }
  readonly envelopeC: Uint8Array
  readonly envelopeS: Uint8Array
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

  /** The cosigner's own note of which project a wallet is of that is being made for itself. Refuses: WALLET_SECRET_REFUSED. */
  async claimForProject(claim: ProjectClaim): Promise<void> {
    const { cosigner } = await this.#joined()
    await translated(cosigner.call('claimForProject', claim, CALL))
  }

  /** The cosigner's signed word on whose a wallet is; undefined for a project's, or while the cosigner is away. */
  async ownerWord(walletId: Uint8Array): Promise<OwnerWord | undefined> {
    const { cosigner } = await this.#joined()
    return cosigner.call('ownerWord', { walletId }, CALL).catch(() => undefined)
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

  /** What the halves of an imported key are sealed to: this daemon's, and the cosigner's own word for its. */
  async importKeys(): Promise<{ readonly daemon: OwnImportKey; readonly cosigner: ImportKey }> {
    const { signer, cosigner } = await this.#joined()
    const [own, theirs] = await Promise.all([
      translated(signer.call('importKey', undefined, CALL)),
      translated(cosigner.call('importKey', undefined, CALL)),
    ])
    return { daemon: own, cosigner: theirs }
  }

  /**
   * Takes a split key in, as far as both parties hold PENDING records; `generateWallet` says what is to follow. Refuses:
   * IMPORT_REFUSED, COSIGNER_UNAVAILABLE, COSIGNER_REFUSED, LINK_BURNED, LINK_SUSPENDED.
   */
  async importShares(asked: ImportAsked): Promise<Made> {
    const { keyType, opening, owner } = asked
    const alg: Alg = keyType === 'ed25519' ? ALG_ED25519 : ALG_SECP256K1
    const ownerType = owner.ownerType === 'end_user' ? OWNER_END_USER : OWNER_PROJECT
    const { signer } = await this.#joined()
    const { envelopeC, envelopeS } = asked
    const order = { opening: { ...opening, alg }, owner: { ...owner, ownerType }, envelopeC, envelopeS } as const
    return translated(signer.call('import', order, CALL))
  }

  /** After the transaction that decided an import. It signs nothing yet, so no pool is filled. */
  async acknowledgeImport(sid: Uint8Array): Promise<void> {
    const { signer } = await this.#joined()
    await signer.call('acknowledge', sid, { ...CALL, transfer: [] }).catch(() => undefined)
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

/** SEC1: 04 ‖ x ‖ y as 02 or 03 ‖ x, in memory of its own: `slice` of a Buffer would be the wallet's own key. */
export const compressed = (point: Uint8Array): Uint8Array => {
  const out = Uint8Array.from(point.subarray(0, 33))
  out[0] = 2 + ((point[64] ?? 0) & 1)
  return out
}
