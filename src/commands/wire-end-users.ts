/** What the edge asks of end users: whose an access token is, which wallet secret signed, and whether both still stand. */
import type { Clock } from '../domain/clock.ts'
import type { EndUserDirectory } from '../rpc/end-users.ts'
import { proveNewWalletSecret, proveWalletSecret } from '../user/prove-request.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { requireWalletSecret } from '../vault/wallet-secrets.ts'

/** Whoever makes the access tokens. */
export type TokenVerifier = {
  readonly verify: EndUserDirectory['verifyAccessToken']
  /** Throws when a token that was verified before is over, or what it belongs to has ended. */
  readonly assertStands: (token: { readonly tokenId: string; readonly expireTimeMs: number }, nowMs: number) => void
}

export const createEndUserDirectory = (vault: DaemonVault, tokens: TokenVerifier, clock: Clock): EndUserDirectory => {
  const needs = { vault, clock }
  return {
    verifyAccessToken: tokens.verify,
    proveWalletSecret: (caller, proof) => proveWalletSecret(needs, caller, proof),
    proveNewWalletSecret: (publicKey, proof) => proveNewWalletSecret(needs, publicKey, proof),
    assertStands: ({ projectId: project, userId, accessTokenId, accessTokenExpireMs, walletSecret }, nowMs) => {
      tokens.assertStands({ tokenId: accessTokenId, expireTimeMs: accessTokenExpireMs }, nowMs)
      if (walletSecret !== undefined) requireWalletSecret(vault.read, { project, userId }, walletSecret, nowMs)
    },
  }
}
