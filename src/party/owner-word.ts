/** What the cosigner says of its own register to an owner, through whoever carries it. */
import { assert } from '../domain/failure.ts'
import { partyIdOf } from '../engine/sealing/import-key.ts'
import { walletOwnerStatement } from '../engine/sealing/owner-consent.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import { getWalletOwner, listOwnerSecrets } from '../vault/owner-register.ts'
import { getShare } from '../vault/wallet-shares.ts'
import { openRecord, type ShareSeal } from './share-sealing.ts'

export type OwnerWord = {
  readonly partyId: Uint8Array
  /** Ed25519, 32 bytes: partyId is its hash. */
  readonly identityKey: Uint8Array
  /** Of every wallet secret that speaks for the owner. */
  readonly secretIds: readonly Uint8Array[]
  readonly signature: Uint8Array
}

/**
 * The cosigner's word on whose a wallet is; undefined for one without an owner, and where nobody speaks for the owner yet:
 * while such a wallet is being made, the first secret may still come, and what was said would be true no more.
 */
export const ownerWord = (vault: CosignerVault, seal: ShareSeal, walletId: Uint8Array): OwnerWord | undefined => {
  const owner = getWalletOwner(vault.read, walletId)
  if (owner === undefined) return undefined
  const secrets = listOwnerSecrets(vault.read, owner)
  if (secrets.length === 0) return undefined
  const stored = getShare(vault.read, walletId) ?? getShare(vault.read, walletId, 'pending')
  assert(stored, 'an owned wallet has a share')
  const { publicKey, share } = openRecord(seal, stored)
  share.fill(0)
  const { project, userId } = owner
  const secretIds = secrets.map(({ secretId }) => Uint8Array.from(secretId))
  const partyId = partyIdOf(vault.signer.publicKey)
  const said = walletOwnerStatement({ partyId, walletId, publicKey, project, userId, secretIds })
  return { partyId, identityKey: vault.signer.publicKey, secretIds, signature: new Uint8Array(vault.signer.signStatement(said)) }
}
