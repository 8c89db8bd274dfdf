/** What completing a spending delegation is on every chain; complete-evm.ts and complete-solana.ts say how each is asked. */
import type { Currency } from '../chain/currencies.ts'
import type { Call } from '../domain/call.ts'
import { type Failure, failure } from '../domain/failure.ts'
import { addressKeyOf } from '../domain/ids.ts'
import { readSettings } from '../domain/project-settings.ts'
import { burnDelegationToken, requireDelegationToken, type TokenUse } from '../vault/delegation-tokens.ts'
import { registerExternalWallet } from '../vault/external-wallets.ts'
import { requireProject } from '../vault/projects.ts'
import type { Wallet } from '../vault/wallets.ts'
import { type ExternalWalletView, type Standing, viewExternalWallet } from './external-wallet-view.ts'
import { record, type SpendingNeeds } from './external-wallets.ts'
import { requireNetwork } from './spenders.ts'

export type CompleteRequest = {
  readonly address: string
  readonly network: string
  readonly region: string
  readonly currency: string
  readonly amount: string
  readonly txHash: string
  readonly sigHash: string
  readonly sigMessage: string
  readonly token: string
  readonly replaces: string | undefined
}

/** `address`: in the one form in which it is shown. */
type Place = { readonly network: string; readonly address: string }

const useOf = ({ clock }: SpendingNeeds, { caller }: Call, { network, address }: Place): TokenUse => ({
  project: caller.projectId,
  network,
  addressKey: addressKeyOf(address),
  nowMs: Math.trunc(clock.nowMs()),
})

/**
 * What the owner's message is held to, of a token that is good and the caller's. Refuses as `requireDelegationToken`; to an
 * end user another's token does not exist.
 */
export const requireOwnToken = (needs: SpendingNeeds, call: Call, token: string, place: Place) => {
  const { vault, clock } = needs
  const { caller } = call
  const { userId, nonce, createMs: nonceMs } = requireDelegationToken(vault.read, token, useOf(needs, call, place))
  if (caller.kind === 'end_user' && userId !== caller.userId) throw failure('TOKEN_INVALID', {})
  const domains = readSettings(requireProject(vault.read, caller.projectId).settings).siweDomains
  return { domains, nonce, nonceMs, nowMs: clock.nowMs() }
}

/** What was approved and what is left of it both cover the units. */
export const requireEnough = (approved: bigint, { allowance }: Pick<Standing, 'allowance'>, units: bigint): void => {
  const least = approved < allowance ? approved : allowance
  if (least < units) throw failure('APPROVAL_TOO_SMALL', { approved: String(least), requested: String(units) })
}

/**
 * Why a transaction is not found: on another chain of the configuration it was sent there by mistake. `isThere` is asked of
 * each network of the family; one that is away now says nothing either way.
 */
export const missingTransaction = async (
  { chains }: SpendingNeeds,
  family: 'evm' | 'solana',
  isThere: (network: string) => Promise<boolean>,
): Promise<Failure> => {
  for (const network of chains.networks.filter((one) => chains.familyOf(one) === family)) {
    if (await isThere(network).catch(() => false)) return failure('TRANSACTION_WRONG_NETWORK', { network })
  }
  return failure('TRANSACTION_NOT_FOUND', { retryAfterMs: 5_000 })
}

export type Proven = Place & {
  readonly currency: Currency
  readonly units: bigint
  /** Whom the owner approved. */
  readonly spender: Wallet
  readonly transactionHash: string
  readonly standing: Standing
}

/** Uses the token up and registers the wallet, in one transaction. Refuses as the two do; APPROVAL_MISSING. */
export const register = (
  needs: SpendingNeeds,
  call: Call,
  { token, replaces }: Pick<CompleteRequest, 'token' | 'replaces'>,
  proven: Proven,
): Promise<ExternalWalletView> => {
  const { network, address, currency, units, spender, transactionHash, standing } = proven
  const project = call.caller.projectId
  return needs.vault.commit((tx) => {
    const use = useOf(needs, call, proven)
    const { userId } = burnDelegationToken(tx, token, use)
    // The spender that was approved is still the one.
    if (requireNetwork(needs, tx, project, network).spender.walletId !== spender.walletId) throw failure('APPROVAL_MISSING', {})
    const { nowMs } = use
    const wallet = registerExternalWallet(tx, {
      project, userId, network, currency: currency.currency, address, tokenAddress: currency.tokenAddress, decimals: currency.decimals,
      spender: spender.address, limitUnits: units, transactionHash, replaces, nowMs,
    })
    const details = { userId, network, currency: currency.currency, address, units: String(units), transaction: transactionHash }
    record(tx, call, { timeMs: nowMs, kind: 'external_wallet.registered', subject: { type: 'external_wallet', id: wallet.externalWalletId }, details })
    return viewExternalWallet(wallet, standing)
  })
}
