/** Proof that an end user holds a wallet secret, given with one request and for that request alone. */
import type { KeyObject } from 'node:crypto'
import type { EndUserCaller } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { failure, invalidField } from '../domain/failure.ts'
import type { ProjectId } from '../domain/ids.ts'
import { readSettings } from '../domain/project-settings.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { getProject } from '../vault/projects.ts'
import { useToken } from '../vault/used-token-ids.ts'
import { listWalletSecrets, requireValid, type WalletSecret } from '../vault/wallet-secrets.ts'
import { openP256Key, parseP256Key } from '../signing/public-keys.ts'
import { type SignedRequest, useUntilMs, verifyRequestToken } from './request-token.ts'

export type ProveNeeds = { readonly vault: DaemonVault; readonly clock: Clock }

/** A token that came with a request, and the request. */
export type ShownToken = SignedRequest & { readonly token: string }

export type { UsedToken } from '../vault/used-token-ids.ts'

/** An `x-wallet-auth`. */
export type ShownProof = ShownToken & {
  /** `x-wallet-secret-id`: which of the user's wallet secrets signed; undefined where that is to be found. */
  readonly walletSecretId: string | undefined
}

type Signer = { readonly key: KeyObject; readonly spki: Uint8Array }

type Refusals = {
  readonly invalid: 'WALLET_AUTH_INVALID' | 'DEVELOPER_AUTH_INVALID'
  readonly replayed: 'WALLET_AUTH_REPLAYED' | 'DEVELOPER_AUTH_REPLAYED'
}
const OF_WALLETS: Refusals = { invalid: 'WALLET_AUTH_INVALID', replayed: 'WALLET_AUTH_REPLAYED' }
const OF_DEVELOPERS: Refusals = { invalid: 'DEVELOPER_AUTH_INVALID', replayed: 'DEVELOPER_AUTH_REPLAYED' }

/** Verifies the token, then uses it up: durably, before anything is done on its word. */
const useProof = async <S extends Signer>(
  needs: ProveNeeds,
  proof: ShownToken,
  signers: readonly S[],
  { invalid, replayed }: Refusals = OF_WALLETS,
): Promise<S> => {
  const nowMs = needs.clock.nowMs()
  const verified = verifyRequestToken(proof.token, signers, proof, nowMs)
  if (typeof verified === 'string') throw failure(invalid, { detail: verified })
  const { signer, tokenId, issuedMs } = verified
  const used = { publicKey: signer.spki, tokenId, issuedMs, untilMs: useUntilMs(issuedMs) }
  const isNew = await needs.vault.commit((tx) => useToken(tx, used, nowMs))
  if (!isNew) throw failure(replayed, {})
  return signer
}

const signersOf = (secrets: readonly WalletSecret[]): readonly (Signer & { readonly secret: WalletSecret })[] =>
  secrets.flatMap((secret) => {
    const key = openP256Key(secret.publicKey)
    return key === undefined ? [] : [{ key, spki: secret.publicKey, secret }]
  })

/**
 * The wallet secret of the user that signed this request. Refuses: WALLET_SECRET_NOT_FOUND (none, or none of the id that
 * was named), WALLET_AUTH_INVALID, WALLET_SECRET_EXPIRED, WALLET_AUTH_REPLAYED.
 */
export const proveWalletSecret = async (
  needs: ProveNeeds,
  { projectId: project, userId }: EndUserCaller,
  proof: ShownProof,
): Promise<Pick<WalletSecret, 'walletSecretId' | 'keyHash'>> => {
  const { walletSecretId: named } = proof
  const all = listWalletSecrets(needs.vault.read, { project, userId })
  const candidates = named === undefined ? all : all.filter(({ walletSecretId }) => walletSecretId === named)
  if (candidates.length === 0) throw failure('WALLET_SECRET_NOT_FOUND', {})
  const { secret } = await useProof(needs, proof, signersOf(candidates))
  const { walletSecretId, keyHash } = requireValid(secret, needs.clock.nowMs())
  return { walletSecretId, keyHash }
}

/**
 * That whoever asks to register a key holds it. `publicKey`: base64 of its SPKI, as the request has it. Refuses:
 * INVALID_REQUEST, WALLET_AUTH_INVALID, WALLET_AUTH_REPLAYED.
 */
export const proveNewWalletSecret = async (needs: ProveNeeds, publicKey: string, proof: ShownProof): Promise<void> => {
  await useProof(needs, proof, [requireP256Key(publicKey)])
}

/**
 * That a project's signing key signed this request. Refuses: DEVELOPER_AUTH_INVALID (also of a project that has no such
 * key), DEVELOPER_AUTH_REPLAYED.
 */
export const proveDeveloper = async (needs: ProveNeeds, projectId: ProjectId, proof: ShownToken): Promise<void> => {
  const project = getProject(needs.vault.read, projectId)
  const key = project && parseP256Key(readSettings(project.settings).developerPublicKey)
  await useProof(needs, proof, key === undefined ? [] : [key], OF_DEVELOPERS)
}

/** Refuses with INVALID_REQUEST what is not the base64 of a P-256 key's SPKI. */
export const requireP256Key = (publicKey: string): Signer => {
  const parsed = parseP256Key(publicKey)
  if (parsed !== undefined) return parsed
  const description = 'is not the base64 of a P-256 public key in SPKI form (DER, uncompressed)'
  throw invalidField('public_key', description)
}
