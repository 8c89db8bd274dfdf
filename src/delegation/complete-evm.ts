/** The completion of a spending delegation on an EVM chain: who owns the wallet, and what the chain says they approved. */
import type { EvmChain } from '../chain/evm-chain.ts'
import { verifyContractSignature } from '../chain/contract-signature.ts'
import { readApproval } from '../chain/token-approval.ts'
import type { Call } from '../domain/call.ts'
import { type Failure, failure, invalidField, isFailure } from '../domain/failure.ts'
import { readSettings } from '../domain/project-settings.ts'
import { formatEvmAddress } from '../payload/address.ts'
import { parseDecimalAmount } from '../payload/decimal-amount.ts'
import { examine } from '../payload/examine.ts'
import { requireSiwe } from '../payload/judge-siwe.ts'
import { parseMessage } from '../payload/message.ts'
import { recoverSigner } from '../payload/recover.ts'
import { parseSignature } from '../payload/signature.ts'
import { authorize } from '../signing/authorize.ts'
import { burnDelegationToken, requireDelegationToken, type TokenUse } from '../vault/delegation-tokens.ts'
import { addressKeyOf, registerExternalWallet } from '../vault/external-wallets.ts'
import { requireProject } from '../vault/projects.ts'
import { type ExternalWalletView, type Standing, viewExternalWallet } from './external-wallet-view.ts'
import { requireDecimals } from './evm-token.ts'
import { bytesOf, record, requireAddress, type SpendingNeeds } from './external-wallets.ts'
import { type EvmSpending, networkOf, requireCurrency, requireEvmNetwork } from './spenders.ts'

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

export const requireUnits = (amount: string, decimals: number): bigint => {
  const units = parseDecimalAmount(amount, decimals)
  if (units === 'malformed') throw invalidField('amount', 'is not a decimal number')
  if (units === 'too precise') throw invalidField('amount', `has more decimals than the token, which has ${decimals}`)
  if (units === 'too large' || units === 0n) throw invalidField('amount', 'is zero, or more than a token can count')
  return units
}

/** Whether the owner's key, or their contract account on the chain, signed the message. */
const requireOwner = async (chain: EvmChain, address: Uint8Array, message: string, signature: Uint8Array, signal: AbortSignal): Promise<void> => {
  const { digest } = examine(parseMessage({ text: message }))
  const key = signature.length === 65 ? await recoverOr(digest, signature) : undefined
  if (key !== undefined && Buffer.from(key).equals(address)) return
  const { valid } = await verifyContractSignature(chain, address, digest, signature, signal)
  if (!valid) throw failure('SIGNATURE_MISMATCH', {})
}

const recoverOr = async (digest: Uint8Array, signature: Uint8Array): Promise<Uint8Array | undefined> => {
  try {
    return await recoverSigner(digest, parseSignature(signature))
  } catch (error) {
    // Malformed as a key's signature; a contract account may still take it.
    if (isFailure(error) && error.reason === 'SIGNATURE_MALFORMED') return undefined
    throw error
  }
}

type Asked = {
  readonly place: EvmSpending
  readonly address: Uint8Array
  readonly units: bigint
  readonly txHash: Uint8Array
  readonly tokenAddress: Uint8Array
  readonly spender: Uint8Array
}

/** What the chain says now, once it says that so much was approved. */
const requireApproval = async (needs: SpendingNeeds, asked: Asked, signal: AbortSignal): Promise<Standing> => {
  const { place, address: owner, units, txHash, tokenAddress: token, spender } = asked
  const required = BigInt(needs.confirmations)
  const found = await readApproval(place.chain, { token, owner, spender, txHash, confirmations: required }, signal)
  switch (found.found) {
    case 'nothing':
      throw await whereElse(needs, place.chain, txHash, signal)
    case 'young':
      throw failure('TRANSACTION_NOT_CONFIRMED', { confirmations: String(found.confirmations), required: String(required), retryAfterMs: 5_000 })
    case 'reverted':
      throw failure('TRANSACTION_REVERTED', {})
    case 'no_approval':
      throw failure('APPROVAL_MISSING', {})
    case 'approval': {
      const { amount, allowance, balance, headBlock } = found
      const least = amount < allowance ? amount : allowance
      if (least < units) throw failure('APPROVAL_TOO_SMALL', { approved: String(least), requested: String(units) })
      return { allowance, balance, block: headBlock }
    }
  }
}

/** A transaction that is on another chain of the configuration was sent there by mistake. */
const whereElse = async ({ chains }: SpendingNeeds, here: EvmChain, txHash: Uint8Array, signal: AbortSignal): Promise<Failure> => {
  for (const other of chains.networks.filter((one) => chains.familyOf(one) === 'evm')) {
    const chain = chains.evm(other)
    if (chain.chainId === here.chainId) continue
    // One that is away now says nothing either way.
    const receipt = await chain.receipt(txHash, signal).catch(() => undefined)
    if (receipt !== undefined) return failure('TRANSACTION_WRONG_NETWORK', { network: other })
  }
  return failure('TRANSACTION_NOT_FOUND', { retryAfterMs: 5_000 })
}

/**
 * Registers a wallet that approved the project's spender, once all of this holds: the token is good, the message is the
 * one asked for, its signature is the owner's, the transaction is confirmed and approves enough, and the chain still says
 * so. Only then is the token used up. Refuses as the parts do.
 */
export const completeEvm = async (needs: SpendingNeeds, call: Call, request: CompleteRequest): Promise<ExternalWalletView> => {
  const { caller, signal } = call
  const { vault, clock } = needs
  const project = caller.projectId
  if (caller.kind !== 'end_user') authorize(vault.read, needs, call, 'delegation:create')
  const address = requireAddress(request.address)
  const network = networkOf(request.network, request.region)
  const place = requireEvmNetwork(needs, vault.read, project, network)
  const currency = requireCurrency(needs, network, request.currency)
  const units = requireUnits(request.amount, currency.decimals)
  const use = (): TokenUse => ({ project, network, addressKey: addressKeyOf(formatEvmAddress(address)), nowMs: Math.trunc(clock.nowMs()) })
  const token = requireDelegationToken(vault.read, request.token, use())
  // To an end user another's token does not exist.
  if (caller.kind === 'end_user' && token.userId !== caller.userId) throw failure('TOKEN_INVALID', {})
  const domains = readSettings(requireProject(vault.read, project).settings).siweDomains
  const { nonce, createMs: nonceMs } = token
  requireSiwe(request.sigMessage, { domains, address, chainId: place.chain.chainId, nonce, nonceMs, nowMs: clock.nowMs() })
  await requireOwner(place.chain, address, request.sigMessage, bytesOf('sig_hash', request.sigHash), signal)
  await requireDecimals(place.chain, currency, signal)
  const asked = {
    place, address, units, txHash: bytesOf('tx_hash', request.txHash),
    tokenAddress: bytesOf('currency', currency.tokenAddress), spender: bytesOf('network', place.spender.address),
  }
  const standing = await requireApproval(needs, asked, signal)
  signal.throwIfAborted()
  return vault.commit((tx) => {
    const { userId } = burnDelegationToken(tx, request.token, use())
    // The spender that was approved is still the one.
    if (requireEvmNetwork(needs, tx, project, network).spender.walletId !== place.spender.walletId) throw failure('APPROVAL_MISSING', {})
    const nowMs = Math.trunc(clock.nowMs())
    const wallet = registerExternalWallet(tx, {
      project, userId, network, currency: currency.currency, address: formatEvmAddress(address), tokenAddress: currency.tokenAddress,
      decimals: currency.decimals, spender: place.spender.address, limitUnits: units, transactionHash: request.txHash.toLowerCase(),
      replaces: request.replaces, nowMs,
    })
    const details = { userId, network, currency: currency.currency, address: wallet.address, units: String(units), transaction: wallet.transactionHash }
    record(tx, call, { timeMs: nowMs, kind: 'external_wallet.registered', subject: { type: 'external_wallet', id: wallet.externalWalletId }, details })
    return viewExternalWallet(wallet, standing)
  })
}

