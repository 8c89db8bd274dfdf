import { type ImportKey, importKeyStatement, partyIdOf } from '../engine/sealing/import-key.ts'
import type { Vault } from '../vault/vault.ts'
import type { ImportKeys, OwnImportKey } from './import-keys.ts'

/** An import key with the signature of the identity that a client may have pinned. */
export const vouchFor = ({ key, expireMs }: OwnImportKey, { signer }: Pick<Vault, 'signer'>): ImportKey => {
  const partyId = partyIdOf(signer.publicKey)
  const signature = new Uint8Array(signer.signStatement(importKeyStatement({ partyId, key, expireMs })))
  return { partyId, identityKey: signer.publicKey, key, expireMs, signature }
}

export const vouchedImportKey = (keys: ImportKeys, vault: Pick<Vault, 'signer'>): ImportKey => vouchFor(keys.current(), vault)
