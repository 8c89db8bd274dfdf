import { type ProjectId, type WalletId, walletIdToBytes } from '../domain/ids.ts'
import type { WalletEventData } from '../domain/webhook-events.ts'
import type { OwnerWord } from '../party/owner-calls.ts'
import type { SigningEngine } from '../party/signing-engine.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { exportTimeOf } from '../vault/exports.ts'
import type { Reader } from '../vault/store.ts'
import { shareEpochOf } from '../vault/wallet-shares.ts'
import type { KeyType, OwnerType, Wallet } from '../vault/wallets.ts'

/** A wallet as its callers see it. */
export type WalletView = {
  readonly walletId: WalletId
  readonly userId: string
  readonly projectId: ProjectId
  readonly keyType: KeyType
  readonly ownerType: OwnerType
  readonly label: string
  /** EVM: EIP-55 checksummed. Solana: base58. */
  readonly address: string
  /** secp256k1: 130 hex digits beginning 04. Ed25519: 64. */
  readonly publicKeyHex: string
  readonly state: 'pending' | 'active' | 'suspended' | 'archived'
  readonly origin: 'generated' | 'imported'
  readonly createTimeMs: number
  /** How often its shares were changed. */
  readonly walletEpoch: number
  /** When its private key was last handed over. */
  readonly exportTimeMs: number | undefined
}

export const viewWallet = (wallet: Wallet, reader: Reader): WalletView => ({
  ...standingOf(reader, walletIdToBytes(wallet.walletId)),
  walletId: wallet.walletId,
  userId: wallet.userId,
  projectId: wallet.project,
  keyType: wallet.keyType,
  ownerType: wallet.ownerType,
  label: wallet.label,
  address: wallet.address,
  publicKeyHex: Buffer.from(wallet.publicKey).toString('hex'),
  state: wallet.state.toLowerCase() as WalletView['state'],
  origin: wallet.origin === 'import' ? 'imported' : 'generated',
  createTimeMs: wallet.createMs,
})

const standingOf = (reader: Reader, walletId: Uint8Array): Pick<WalletView, 'walletEpoch' | 'exportTimeMs'> => ({
  walletEpoch: shareEpochOf(reader, walletId),
  exportTimeMs: exportTimeOf(reader, walletId),
})

/** A wallet that was just made, with the cosigner's word on whose it is where an end user owns it. */
export type NewWalletView = WalletView & { readonly ownerWord?: OwnerWord | undefined }

/** The word is asked for afterwards: the wallet is there, with it or without. */
export const viewNewWallet = async (
  { vault, engine }: { readonly vault: DaemonVault; readonly engine: Pick<SigningEngine, 'owners'> },
  wallet: Wallet,
): Promise<NewWalletView> => {
  const isOwned = wallet.ownerType === 'end_user'
  const ownerWord = isOwned ? await engine.owners.ownerWord(walletIdToBytes(wallet.walletId)) : undefined
  return { ...viewWallet(wallet, vault.read), ownerWord }
}

/** A wallet as webhooks tell of it. */
export const walletEvent = (wallet: Wallet): WalletEventData => ({
  wallet_id: wallet.walletId,
  user_id: wallet.userId,
  key_type: wallet.keyType,
  owner_type: wallet.ownerType,
  label: wallet.label,
  address: wallet.address,
})
