/**
 * Spends from an external wallet: a transfer by the project's spender, through the one script of signing and the one way of
 * sending. The amount is held in the transaction that leases the nonce and records the intent, against what the chain said
 * after the request came; so requests at once never hold more than the chain allows, and what is held is let go only by
 * what becomes of the transfer.
 */
import type { Call } from '../domain/call.ts'
import { actorOf } from '../domain/call.ts'
import { Failure, failure, invalidField, isFailure } from '../domain/failure.ts'
import { addressKeyOf, parseUserId, type UserId } from '../domain/ids.ts'
import { formatDecimalAmount } from '../payload/decimal-amount.ts'
import { decide } from '../policy/decide.ts'
import { grantsOfCaller } from '../signing/authorize.ts'
import type { Send } from '../sending/send-request.ts'
import { appendAudit } from '../vault/audit-chain.ts'
import { type ExternalWallet, externalWalletsOf, getExternalWallet } from '../vault/external-wallets.ts'
import { findSpendByRequest, findSpendOfSend, insertSpend, type Spend } from '../vault/spends.ts'
import type { Tx } from '../vault/store.ts'
import type { SpendingNeeds } from './external-wallets.ts'
import { isNews, noteCurrent } from './note-standing.ts'
import { availableIn, type Purses, type Reading } from './purse.ts'
import { recordRefusal, RefusedHere } from './refused-spends.ts'
import { type SpendView, viewSpend } from './spend-view.ts'
import { networkOf, requireCurrency, requireNetwork, requireUnits, spendingChainOf } from './spenders.ts'
import type { SpendingChain } from './spending-chain.ts'
import type { Wallet } from '../vault/wallets.ts'

export type SpendNeeds = SpendingNeeds & { readonly send: Send; readonly purses: Purses }

export type SpendRequest = {
  readonly userId: string
  readonly network: string
  readonly region: string
  readonly currency: string
  readonly amount: string
  readonly destination: string
  /** From this one alone. */
  readonly externalWalletId: string | undefined
  /** Solana: the destination is given an account for the token where it has none. */
  readonly opensAccount: boolean
}

type Asked = {
  readonly call: Call
  readonly userId: UserId
  readonly network: string
  readonly chain: SpendingChain
  readonly spender: Wallet
  readonly tokenAddress: string
  readonly units: bigint
  readonly decimals: number
  readonly destination: string
  readonly externalWalletId: string | undefined
  readonly opensAccount: boolean
}

/** Others may have been quicker to hold what was there. */
const MAX_TRIES = 4

/** As the signing script decides, before there is anything to sign; that one charges. */
const requirePermission = (needs: SpendNeeds, call: Call, { walletId }: Wallet): void => {
  const decision = decide(grantsOfCaller(needs.vault.read, needs, call), { permissions: ['delegation:spend'], walletId }, () => undefined)
  if (decision.verdict === 'refuse') throw new RefusedHere(new Failure(decision.reason, decision.facts))
}

const readAsked = (needs: SpendNeeds, call: Call, request: SpendRequest): Asked => {
  const network = networkOf(request.network, request.region)
  const { spender } = requireNetwork(needs, needs.vault.read, call.caller.projectId, network)
  requirePermission(needs, call, spender)
  const { tokenAddress, decimals } = requireCurrency(needs, network, request.currency)
  const userId = parseUserId(request.userId)
  if (userId === undefined) throw invalidField('user_id', 'is required')
  const chain = spendingChainOf(needs, network)
  const { opensAccount } = request
  if (opensAccount && !chain.chain.startsWith('solana:')) throw invalidField('create_destination_account', 'is of Solana')
  return {
    call, userId, network, chain, spender, tokenAddress, decimals, units: requireUnits(request.amount, decimals),
    destination: chain.parseDestination(request.destination), externalWalletId: request.externalWalletId, opensAccount,
  }
}

/** The user's wallets that could be spent from, the first choice first. Refuses as the request's words demand. */
const candidatesOf = (needs: SpendNeeds, { call, userId, network, tokenAddress, spender, externalWalletId }: Asked, currency: string) => {
  const all = externalWalletsOf(needs.vault.read, call.caller.projectId, userId)
  const named = externalWalletId === undefined ? all : all.filter((wallet) => wallet.externalWalletId === externalWalletId)
  if (externalWalletId !== undefined && named.length === 0) throw failure('EXTERNAL_WALLET_NOT_FOUND', {})
  // One that approved another spender, or another token than the currency is now, says nothing of this.
  const fitting = named.filter(
    (wallet) => wallet.network === network && wallet.currency === currency && wallet.spender === spender.address && wallet.tokenAddress === tokenAddress,
  )
  if (fitting.length === 0) throw failure('SPEND_NO_WALLET', { network, currency })
  return fitting
}

type Choice = { readonly wallet: ExternalWallet; readonly reading: Reading }

/** The first whose allowance and balance both cover the whole amount, as the chain says now. */
const choose = async (needs: SpendNeeds, asked: Asked, currency: string): Promise<Choice> => {
  const { chain, units, decimals, destination, opensAccount, call } = asked
  const { read } = needs.vault
  const text = (amount: bigint): string => formatDecimalAmount(amount, decimals)
  let most = 0n
  let isApproved = false
  let objection: string | undefined
  for (const wallet of candidatesOf(needs, asked, currency)) {
    const reading = await needs.purses.read(read, chain, wallet)
    call.signal.throwIfAborted()
    const noted = { standing: reading.standing, nowMs: Math.trunc(needs.clock.nowMs()) }
    if (isNews(read, wallet, noted)) await needs.vault.commit((tx) => noteCurrent(tx, wallet.externalWalletId, noted))
    if (reading.standing.allowance > 0n) isApproved = true
    const available = availableIn(read, chain, wallet, reading)
    if (available > most) most = available
    if (available < units) continue
    const why = await chain.objection({ wallet, destination, units, opensAccount }, reading.standing, call.signal)
    if (why === undefined) return { wallet, reading }
    objection = why
  }
  if (objection !== undefined) throw failure('SPEND_REFUSED_BY_TOKEN', { why: objection })
  if (!isApproved) throw failure('SPEND_REVOKED', {})
  throw failure('SPEND_NOT_COVERED', { requested: text(units), available: text(most) })
}

/** Holds the amount, or refuses with SPEND_NOT_COVERED; in the transaction that leases the nonce and records the intent. */
const hold = (needs: SpendNeeds, asked: Asked, { wallet, reading }: Choice, tx: Tx, sendId: string): void => {
  // A presignature was lost; what is held is held.
  if (findSpendOfSend(tx, sendId) !== undefined) return
  const { call, units, decimals, chain, userId, destination } = asked
  const { caller, requestId } = call
  const current = getExternalWallet(tx, wallet.externalWalletId)
  const available =
    current === undefined || current.state === 'REPLACED' || current.userId !== userId ? 0n : availableIn(tx, chain, current, reading)
  const isSpender = requireNetwork(needs, tx, caller.projectId, asked.network).spender.walletId === asked.spender.walletId
  if (available < units || !isSpender) {
    throw failure('SPEND_NOT_COVERED', { requested: formatDecimalAmount(units, decimals), available: formatDecimalAmount(available, decimals) })
  }
  const nowMs = Math.trunc(needs.clock.nowMs())
  const { spendId } = insertSpend(tx, {
    sendId, project: caller.projectId, userId, externalWalletId: wallet.externalWalletId, network: asked.network, currency: wallet.currency,
    decimals, chain: chain.chain, token: wallet.tokenAddress, owner: wallet.address, spender: wallet.spender, destination,
    units, principal: caller.principal, requestId, nowMs,
  })
  appendAudit(tx, {
    timeMs: nowMs, kind: 'spend.begun', project: caller.projectId, actor: actorOf(caller), method: 'SpendDelegation', requestId,
    decision: 'allow', subject: { type: 'spend', id: spendId },
    details: {
      userId, externalWallet: wallet.externalWalletId, network: asked.network, currency: wallet.currency, units: String(units), destination,
      send: sendId, allowance: String(reading.standing.allowance), balance: String(reading.standing.balance), block: String(reading.standing.block),
    },
  })
}

/** What the choice was made on may have changed by the time the transfer was built or held. */
const PASSED: ReadonlySet<string> = new Set(['SPEND_NOT_COVERED', 'TRANSACTION_WOULD_REVERT'])

const spendFrom = async (needs: SpendNeeds, asked: Asked, choice: Choice): Promise<Spend> => {
  const { call, chain, spender, units, destination, opensAccount, network } = asked
  const content = await chain.transferOf({ wallet: choice.wallet, destination, units, opensAccount })
  const { sendId } = await needs.send(call, {
    walletRef: spender.walletId, network, content, purpose: 'SPEND', permission: 'delegation:spend', subject: choice.wallet.externalWalletId,
    inTransaction: (tx, id) => hold(needs, asked, choice, tx, id),
  })
  const spend = findSpendOfSend(needs.vault.read, sendId)
  if (spend === undefined) throw new Error('assertion: what was sent was held')
  return spend
}

/** Whether a request asks for the very spend that was made: a request that was refused after it was held leaves its id free. */
const asksFor = (request: SpendRequest, made: Spend): boolean =>
  request.userId === made.userId &&
  networkOf(request.network, request.region) === made.network &&
  request.currency === made.currency &&
  requireUnits(request.amount, made.decimals) === made.units &&
  addressKeyOf(request.destination) === addressKeyOf(made.destination) &&
  (request.externalWalletId === undefined || request.externalWalletId === made.externalWalletId)

const spendAsked = async (needs: SpendNeeds, asked: Asked, currency: string): Promise<Spend> => {
  for (let turn = 1; ; turn++) {
    const choice = await choose(needs, asked, currency)
    try {
      return await spendFrom(needs, asked, choice)
    } catch (error) {
      if (!isFailure(error) || !PASSED.has(error.reason)) throw error
      if (turn < MAX_TRIES) continue
      throw error.reason === 'SPEND_NOT_COVERED' ? error : failure('SPEND_REFUSED_BY_TOKEN', { why: 'it reverts' })
    }
  }
}

/**
 * Refuses with PERMISSION_MISSING, SPENDER_NOT_CONFIGURED, CURRENCY_NOT_CONFIGURED, EXTERNAL_WALLET_NOT_FOUND,
 * SPEND_NO_WALLET, SPEND_REVOKED, SPEND_NOT_COVERED, SPEND_REFUSED_BY_TOKEN, as the chain does, and as a send does. A
 * request id that was used answers what it spent, or with IDEMPOTENCY_MISMATCH where that was something else. What is refused
 * here is in the audit chain, as what signing refuses is.
 */
export const spendDelegation = async (needs: SpendNeeds, call: Call, request: SpendRequest): Promise<SpendView> => {
  const { read } = needs.vault
  const { requestId, caller } = call
  const before = requestId && findSpendByRequest(read, caller.principal, requestId, Math.trunc(needs.clock.nowMs()))
  if (before !== undefined) {
    if (requestId !== undefined && !asksFor(request, before)) throw failure('IDEMPOTENCY_MISMATCH', { requestId })
    return viewSpend(read, before)
  }
  try {
    return viewSpend(read, await spendAsked(needs, readAsked(needs, call, request), request.currency))
  } catch (error) {
    throw await recordRefusal(needs, call, request, error)
  }
}
