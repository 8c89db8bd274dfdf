/** Spending delegations: external wallets that approved the project's spender on a chain and proved who owns them. */
import { readAllowance, readApproval, readBalance } from '../chain/token-approval.ts'
import { verifyContractSignature } from '../chain/contract-signature.ts'
import type { EvmChain } from '../chain/evm-chain.ts'
import { actorOf, type Call } from '../domain/call.ts'
import type { Clock } from '../domain/clock.ts'
import { Failure, failure, isFailure } from '../domain/failure.ts'
import { parseUserId, type UserId } from '../domain/ids.ts'
import { readSettings } from '../domain/project-settings.ts'
import { formatEvmAddress, parseEvmAddress } from '../payload/address.ts'
import { fromHex } from '../payload/bytes.ts'
import { formatDecimalAmount, parseDecimalAmount } from '../payload/decimal-amount.ts'
import { requireSiwe } from '../payload/judge-siwe.ts'
import { parseMessage } from '../payload/message.ts'
import { examine } from '../payload/examine.ts'
import { recoverSigner } from '../payload/recover.ts'
import { parseSignature } from '../payload/signature.ts'
import { authorize, type AuthorizeNeeds } from '../signing/authorize.ts'
import { appendAudit, type AuditEvent } from '../vault/audit-chain.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { burnDelegationToken, issueDelegationToken, requireDelegationToken, type TokenUse } from '../vault/delegation-tokens.ts'
import {
  addressKeyOf,
  type ExternalWallet,
  externalWalletsOf,
  registerExternalWallet,
  reorderExternalWallets,
  setExternalWalletState,
} from '../vault/external-wallets.ts'
import { requireProject } from '../vault/projects.ts'
import type { Tx } from '../vault/store.ts'
import { type ChainConfigView, chainOf, listNetworks, networkOf, requireCurrency, requireNetwork, type SpenderNeeds, type SpendingNetwork } from './spenders.ts'

export type SpendingNeeds = AuthorizeNeeds & SpenderNeeds & {
  readonly vault: DaemonVault
  readonly clock: Clock
  /** Blocks that a transaction must be deep, its own included. */
  readonly confirmations: number
}

const invalid = (field: string, description: string): Failure => failure('INVALID_REQUEST', { violations: [{ field, description }] })

/** Whose wallets a call is about: an end user's own, or those of the user that an API key with `delegation:create` names. */
const subjectOf = (needs: SpendingNeeds, call: Call, userIdText: string): UserId => {
  const { caller } = call
  if (caller.kind === 'end_user') {
    if (userIdText !== '' && userIdText !== caller.userId) throw invalid('user_id', 'is not the user id of the caller')
    return caller.userId
  }
  authorize(needs.vault.read, needs, call, 'delegation:create')
  const userId = parseUserId(userIdText)
  if (userId === undefined) throw invalid('user_id', 'is required')
  return userId
}

const requireAddress = (text: string): Uint8Array => {
  const address = parseEvmAddress(text)
  if (address === undefined) throw invalid('address', 'is not an EVM address, or its checksum is wrong')
  return address
}

export type ChainConfigRequest = { readonly network: string; readonly region: string }

export const getChainConfig = (needs: SpendingNeeds, call: Call, { network, region }: ChainConfigRequest): readonly ChainConfigView[] => {
  const { caller } = call
  if (caller.kind !== 'end_user') authorize(needs.vault.read, needs, call, 'delegation:create')
  const asked = network === '' ? undefined : networkOf(network, region)
  return listNetworks(needs, needs.vault.read, caller.projectId, asked)
}

export type TokenRequest = { readonly userId: string; readonly network: string; readonly address: string; readonly region: string }
export type IssuedToken = { readonly token: string; readonly nonce: string; readonly expireTimeMs: number }

export const issueToken = (needs: SpendingNeeds, call: Call, request: TokenRequest): Promise<IssuedToken> => {
  const userId = subjectOf(needs, call, request.userId)
  const address = formatEvmAddress(requireAddress(request.address))
  const project = call.caller.projectId
  return needs.vault.commit((tx) => {
    const { network } = requireNetwork(needs, tx, project, networkOf(request.network, request.region))
    const nowMs = Math.trunc(needs.clock.nowMs())
    const { token, nonce, expireMs } = issueDelegationToken(tx, { project, userId, network, addressKey: addressKeyOf(address), nowMs })
    record(tx, call, { timeMs: nowMs, kind: 'delegation_token.issued', subject: { type: 'end_user', id: userId }, details: { network, address, nonce } })
    return { token, nonce, expireTimeMs: expireMs }
  })
}

const record = (tx: Tx, call: Call, event: Pick<AuditEvent, 'timeMs' | 'kind' | 'subject' | 'details'>): void => {
  const { caller, method, requestId } = call
  appendAudit(tx, { ...event, project: caller.projectId, actor: actorOf(caller), method: method.split('/').at(-1) ?? method, requestId, decision: 'allow' })
}

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

export type ExternalWalletView = {
  readonly externalWalletId: string
  readonly userId: string
  readonly network: string
  readonly currency: string
  readonly address: string
  readonly spenderAddress: string
  readonly tokenAddress: string
  readonly state: 'active' | 'revoked'
  readonly priority: number
  /** Decimal texts. */
  readonly limit: string
  /** As the chain says at `block`; undefined while it cannot be read. */
  readonly standing: { readonly allowance: string; readonly balance: string; readonly block: bigint } | undefined
  readonly createTimeMs: number
}

type Standing = { readonly allowance: bigint; readonly balance: bigint; readonly block: bigint }

const viewOf = (wallet: ExternalWallet, standing: Standing | undefined): ExternalWalletView => {
  const text = (units: bigint): string => formatDecimalAmount(units, wallet.decimals)
  return {
    externalWalletId: wallet.externalWalletId,
    userId: wallet.userId,
    network: wallet.network,
    currency: wallet.currency,
    address: wallet.address,
    spenderAddress: wallet.spender,
    tokenAddress: wallet.tokenAddress,
    state: wallet.state === 'ACTIVE' ? 'active' : 'revoked',
    priority: wallet.priority,
    limit: text(wallet.limitUnits),
    standing: standing && { allowance: text(standing.allowance), balance: text(standing.balance), block: standing.block },
    createTimeMs: wallet.createMs,
  }
}

const requireUnits = (amount: string, decimals: number): bigint => {
  const units = parseDecimalAmount(amount, decimals)
  if (units === 'malformed') throw invalid('amount', 'is not a decimal number')
  if (units === 'too precise') throw invalid('amount', `has more decimals than the token, which has ${decimals}`)
  if (units === 'too large' || units === 0n) throw invalid('amount', 'is zero, or more than a token can count')
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
  readonly place: SpendingNetwork
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
      throw await whereElse(needs, place.network, txHash, signal)
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
const whereElse = async ({ chains }: SpendingNeeds, network: string, txHash: Uint8Array, signal: AbortSignal): Promise<Failure> => {
  const here = chains.networks.includes(network) ? chains.evm(network).chainId : undefined
  for (const other of chains.networks) {
    const chain = chains.evm(other)
    if (other === network || chain.chainId === here) continue
    // One that is away now says nothing either way.
    const receipt = await chain.receipt(txHash, signal).catch(() => undefined)
    if (receipt !== undefined) return failure('TRANSACTION_WRONG_NETWORK', { network: other })
  }
  return failure('TRANSACTION_NOT_FOUND', { retryAfterMs: 5_000 })
}

const bytesOf = (field: string, hex: string): Uint8Array => {
  const bytes = fromHex(hex)
  if (bytes === undefined) throw invalid(field, 'is not hexadecimal')
  return bytes
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
  const place = requireNetwork(needs, vault.read, project, network)
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
  const asked = {
    place, address, units, txHash: bytesOf('tx_hash', request.txHash),
    tokenAddress: bytesOf('currency', currency.tokenAddress), spender: bytesOf('network', place.spender.address),
  }
  const standing = await requireApproval(needs, asked, signal)
  signal.throwIfAborted()
  return vault.commit((tx) => {
    const { userId } = burnDelegationToken(tx, request.token, use())
    // The spender that was approved is still the one.
    if (requireNetwork(needs, tx, project, network).spender.walletId !== place.spender.walletId) throw failure('APPROVAL_MISSING', {})
    const nowMs = Math.trunc(clock.nowMs())
    const wallet = registerExternalWallet(tx, {
      project, userId, network, currency: currency.currency, address: formatEvmAddress(address), tokenAddress: currency.tokenAddress,
      decimals: currency.decimals, spender: place.spender.address, limitUnits: units, transactionHash: request.txHash.toLowerCase(),
      replaces: request.replaces, nowMs,
    })
    const details = { userId, network, currency: currency.currency, address: wallet.address, units: String(units), transaction: wallet.transactionHash }
    record(tx, call, { timeMs: nowMs, kind: 'external_wallet.registered', subject: { type: 'external_wallet', id: wallet.externalWalletId }, details })
    return viewOf(wallet, standing)
  })
}

/** What the chain says of a wallet now; undefined while it cannot be read. What was taken back, or given again, is kept. */
const observe = async (needs: SpendingNeeds, wallet: ExternalWallet, signal: AbortSignal): Promise<ExternalWalletView> => {
  const read = async (): Promise<Standing | undefined> => {
    const chain = chainOf(needs, wallet.network)
    const [token, owner, spender] = [wallet.tokenAddress, wallet.address, wallet.spender].map((text) => bytesOf('address', text)) as [Uint8Array, Uint8Array, Uint8Array]
    const block = await chain.blockNumber(signal)
    const allowance = await readAllowance(chain, token, owner, spender, block, signal)
    const balance = await readBalance(chain, token, owner, block, signal)
    return allowance === undefined || balance === undefined ? undefined : { allowance, balance, block }
  }
  const standing = await read().catch((error: unknown) => {
    if (isFailure(error)) return undefined
    throw error
  })
  if (standing === undefined) return viewOf(wallet, undefined)
  const state = standing.allowance === 0n ? 'REVOKED' : 'ACTIVE'
  if (state !== wallet.state) await noteState(needs, wallet, state)
  return viewOf({ ...wallet, state }, standing)
}

const noteState = (needs: SpendingNeeds, wallet: ExternalWallet, state: 'ACTIVE' | 'REVOKED'): Promise<void> =>
  needs.vault.commit((tx) => {
    const timeMs = Math.trunc(needs.clock.nowMs())
    if (!setExternalWalletState(tx, wallet.externalWalletId, state, timeMs)) return
    appendAudit(tx, {
      timeMs,
      kind: state === 'REVOKED' ? 'external_wallet.revoked' : 'external_wallet.approved_again',
      project: wallet.project,
      actor: { kind: 'daemon', id: '' },
      subject: { type: 'external_wallet', id: wallet.externalWalletId },
      details: { userId: wallet.userId, network: wallet.network, currency: wallet.currency },
    })
  })

/** A user's external wallets, the first choice first, as the chains say now. */
export const listExternalWallets = (needs: SpendingNeeds, call: Call, request: { readonly userId: string }): Promise<readonly ExternalWalletView[]> => {
  const userId = subjectOf(needs, call, request.userId)
  const wallets = externalWalletsOf(needs.vault.read, call.caller.projectId, userId)
  return Promise.all(wallets.map((wallet) => observe(needs, wallet, call.signal)))
}

export type PriorityRequest = {
  readonly userId: string
  readonly priorities: readonly { readonly externalWalletId: string; readonly priority: number }[]
}

export const updatePriorities = async (needs: SpendingNeeds, call: Call, request: PriorityRequest): Promise<readonly ExternalWalletView[]> => {
  const userId = subjectOf(needs, call, request.userId)
  const priorities = new Map(request.priorities.map(({ externalWalletId, priority }) => [externalWalletId, priority]))
  if (priorities.size !== request.priorities.length) throw failure('PRIORITIES_INVALID', { why: 'a wallet is named twice' })
  const project = call.caller.projectId
  const wallets = await needs.vault.commit((tx) => {
    const nowMs = Math.trunc(needs.clock.nowMs())
    const reordered = reorderExternalWallets(tx, { project, userId, nowMs }, priorities)
    const details = { order: reordered.map(({ externalWalletId }) => externalWalletId) }
    record(tx, call, { timeMs: nowMs, kind: 'external_wallet.reordered', subject: { type: 'end_user', id: userId }, details })
    return reordered
  })
  return wallets.map((wallet) => viewOf(wallet, undefined))
}
