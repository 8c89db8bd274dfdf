/**
 * Whether a new wallet is an end user's at the cosigner, and nobody's secret but theirs speaks for them there. A daemon that
 * puts a wallet secret of its own in the place of the user's is found out here, before anything is put on the wallet.
 */
import { createPublicKey, verify } from 'node:crypto'
import { equalBytes, plainBytes } from '../engine/hash/encoding.ts'
import { partyIdOf } from '../engine/sealing/import-key.ts'
import { secretIdOf, walletOwnerStatement } from '../engine/sealing/owner-consent.ts'
import type { OwnerStatement, Wallet } from '../../gen/countersign/v1/wallet_pb.ts'
import { isOneKey, publicKeyOf, walletIdOf } from './wallet-key.ts'
import { parsePin, type RegisterEntry } from './wallet-secret.ts'

/** The register is not what the user made it, or it is not the pinned cosigner that says so. */
export class OwnerMismatch extends Error {
  override readonly name = 'OwnerMismatch'
}

const SPKI_PREFIX = Uint8Array.from(Buffer.from('302a300506032b6570032100', 'hex'))

/**
 * @param answer of CreateWallet or ImportPrivateKey, for an end user's wallet.
 * @param secrets the wallet secrets, as SubjectPublicKeyInfo in DER, that may speak for the user: exactly these.
 * @throws OwnerMismatch; TypeError without a pinned cosigner.
 */
export const verifyWalletOwner = (
  answer: { readonly wallet?: Wallet | undefined; readonly ownerStatement?: OwnerStatement | undefined },
  entry: RegisterEntry,
  secrets: readonly Uint8Array[],
): void => {
  const partyId = parsePin(entry.cosignerId)
  const { wallet, ownerStatement: said } = answer
  if (wallet === undefined || said === undefined) throw new OwnerMismatch('the cosigner said nothing of the owner')
  if (!isOneKey(wallet)) throw new OwnerMismatch("the address is not the public key's")
  const identityKey = plainBytes(said.identityKey)
  if (identityKey.length !== 32 || !equalBytes(partyIdOf(identityKey), partyId)) {
    throw new OwnerMismatch('it is not the pinned cosigner that says so')
  }
  const statement = walletOwnerStatement({
    partyId,
    walletId: walletIdOf(wallet),
    publicKey: publicKeyOf(wallet),
    project: entry.projectId,
    userId: entry.userId,
    secretIds: secrets.map((secret) => secretIdOf(secret)),
  })
  const key = createPublicKey({ key: Buffer.concat([SPKI_PREFIX, identityKey]), format: 'der', type: 'spki' })
  if (!verify(null, statement, key, said.signature)) {
    throw new OwnerMismatch('the cosigner has another owner, key or other wallet secrets for this wallet')
  }
}
