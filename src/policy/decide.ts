import type { FailureFacts } from '../domain/failure.ts'
import type { WalletId } from '../domain/ids.ts'
import { decodeBase58 } from '../domain/base58.ts'
import { isSolanaAddress } from '../domain/ids.ts'
import { isAssociatedTokenAccount } from '../payload/associated-token.ts'
import type { Destination, SigningFacts, Spend, TokenKey } from '../payload/facts.ts'
import type { Caps, Narrowing, Permission, PermissionGrant } from './permissions.ts'

export type DecisionRequest = {
  /** Every permission the request needs; each has to be covered. See `permissionsToSign`. */
  readonly permissions: readonly Permission[]
  /** The wallet the request is about; absent when it is about none, or about many. */
  readonly walletId?: WalletId
  readonly sessionKeyId?: string
  /** What is signed; absent when nothing is. */
  readonly facts?: SigningFacts
}

/**
 * What has been charged today to a counter for a token, intents in flight included: 0n when nothing was. Counters
 * are of one API key. Undefined means that it could not be told, and denies.
 */
export type Usage = (counter: string, token: TokenKey) => bigint | undefined

/** To be booked in the intent row, in the transaction that read the usage. */
export type Charge = { readonly counter: string; readonly token: TokenKey; readonly amount: bigint }

/** One request has to be taken from each of these before anything is signed. */
export type RateCharge = { readonly counter: string; readonly requestsPerSecond: number }

type Refusal<R extends keyof FailureFacts> = {
  readonly verdict: 'refuse'
  readonly reason: R
  readonly facts: FailureFacts[R]
}

export type RefusedDecision =
  Refusal<'PERMISSION_MISSING'> | Refusal<'LIMIT_EXCEEDED'> | Refusal<'AUTHORIZATION_CHAIN_ZERO'>

export type AllowedDecision = {
  readonly verdict: 'allow'
  readonly charges: readonly Charge[]
  readonly rates: readonly RateCharge[]
}

export type Decision = AllowedDecision | RefusedDecision

/** How far a grant came before it refused; the refusal that came furthest is the one worth telling. */
type Attempt = { readonly refusal: RefusedDecision; readonly stage: number } | AllowedDecision

const STAGES = ['unlisted', 'wallet', 'session_key', 'chain', 'destination', 'limit'] as const
type Stage = (typeof STAGES)[number]

const refused = (stage: Stage, refusal: RefusedDecision): Attempt => ({ refusal, stage: STAGES.indexOf(stage) })

const narrowed = (permission: Permission, by: Exclude<Stage, 'unlisted' | 'limit'>): Attempt =>
  refused(by, { verdict: 'refuse', reason: 'PERMISSION_MISSING', facts: { permission, narrowedBy: by } })

const overLimit = (limit: string, seen: string, allowed: string): Attempt =>
  refused('limit', { verdict: 'refuse', reason: 'LIMIT_EXCEEDED', facts: { limit, seen, allowed } })

/** Nothing that names no chain fits into a list of chains. */
const coversChains = (chains: ReadonlySet<string>, { chainIds, solana }: SigningFacts): boolean => {
  const named = chainIds.map((chainId) => `eip155:${chainId}`)
  if (solana !== undefined) named.push(solana.chain)
  return named.length > 0 && named.every((chain) => chains.has(chain))
}

/** A listed owner covers the associated token accounts that follow from it; nothing tells the owner of others. */
const coversTokenAccount = (listed: ReadonlySet<string>, { address, tokenAccount }: Destination): boolean => {
  const [account, mint, tokenProgram] = [address, tokenAccount?.mint ?? '', tokenAccount?.tokenProgram ?? ''].map(
    (text) => (isSolanaAddress(text) ? decodeBase58(text) : undefined),
  )
  if (account === undefined || mint === undefined || tokenProgram === undefined) return false
  const owners = [...listed].filter(isSolanaAddress).flatMap((text) => decodeBase58(text) ?? [])
  return isAssociatedTokenAccount(account, { mint, tokenProgram }, owners)
}

/**
 * Whether everyone this signature reaches is listed. Only what names all it reaches can fit: transfers, calls (to
 * the contract called) and delegations. A listed contract may be called with anything but a token operation that
 * does not decode, since that would hide whom it pays.
 */
const coversDestinations = (listed: ReadonlySet<string>, facts: SigningFacts): boolean => {
  const named = facts.effect === 'transfer' || facts.effect === 'call' || facts.effect === 'delegation'
  const covers = (reached: Destination) => listed.has(reached.address) || coversTokenAccount(listed, reached)
  return named && facts.destinations.length > 0 && facts.destinations.every(covers)
}

/** Chain 0 stands for every chain, so it has to be meant: an unnarrowed permission does not include it. */
const namesChainZero = (facts: SigningFacts, chains: ReadonlySet<string> | undefined): boolean =>
  facts.delegations.every(({ chainId }) => chainId !== 0n) || chains?.has('eip155:0') === true

/** What caps that do not name the fee allow of it: a tenth of the coin a transaction, one coin a day. */
const FEE_CEILINGS = {
  eip155: { max_per_transaction: 10n ** 17n, max_per_day: 10n ** 18n },
  solana: { max_per_transaction: 10n ** 8n, max_per_day: 10n ** 9n },
} as const
type CapName = keyof (typeof FEE_CEILINGS)['eip155']

const feeCeiling = (token: TokenKey, name: CapName): bigint | undefined =>
  token.endsWith('/fee') ? FEE_CEILINGS[token.startsWith('solana:') ? 'solana' : 'eip155'][name] : undefined

const exceedsCaps = (
  permission: Permission,
  name: CapName,
  caps: Caps,
  spends: readonly Spend[],
  used: (token: TokenKey) => bigint | undefined,
): Attempt | undefined => {
  for (const { token, amount } of spends) {
    const limit = `${permission} ${name} ${token}`
    const cap = caps.get(token) ?? feeCeiling(token, name)
    if (cap === undefined) return overLimit(limit, amount.toString(), 'not listed')
    const before = used(token)
    if (before === undefined) return overLimit(limit, 'unknown', cap.toString())
    if (before + amount > cap) return overLimit(limit, (before + amount).toString(), cap.toString())
  }
  return undefined
}

const checkCaps = (
  permission: Permission,
  counter: string,
  { maxPerTransaction, maxPerDay }: Narrowing,
  facts: SigningFacts,
  usage: Usage,
): Attempt | undefined => {
  if (maxPerTransaction === undefined && maxPerDay === undefined) return undefined
  if (facts.effect !== 'transfer') {
    const name = maxPerTransaction === undefined ? 'max_per_day' : 'max_per_transaction'
    return overLimit(`${permission} ${name}`, 'an amount that cannot be read', 'amount of a listed token')
  }
  const { spends } = facts
  const inOne =
    maxPerTransaction && exceedsCaps(permission, 'max_per_transaction', maxPerTransaction, spends, () => 0n)
  if (inOne !== undefined) return inOne
  return maxPerDay && exceedsCaps(permission, 'max_per_day', maxPerDay, spends, (token) => usage(counter, token))
}

const attempt = (grant: PermissionGrant, counter: string, request: DecisionRequest, usage: Usage): Attempt => {
  const { permission, narrowing } = grant
  const { walletId, sessionKeyId, facts } = request
  const { wallets, sessionKeys, chains, destinations, maxPerDay, requestsPerSecond } = narrowing
  if (wallets && (walletId === undefined || !wallets.has(walletId))) return narrowed(permission, 'wallet')
  if (sessionKeys && (sessionKeyId === undefined || !sessionKeys.has(sessionKeyId)))
    return narrowed(permission, 'session_key')
  const rates = requestsPerSecond === undefined ? [] : [{ counter, requestsPerSecond }]
  if (facts === undefined) return { verdict: 'allow', charges: [], rates }
  if (!namesChainZero(facts, chains))
    return refused('chain', { verdict: 'refuse', reason: 'AUTHORIZATION_CHAIN_ZERO', facts: {} })
  if (chains && !coversChains(chains, facts)) return narrowed(permission, 'chain')
  if (destinations && !coversDestinations(destinations, facts)) return narrowed(permission, 'destination')
  const over = checkCaps(permission, counter, narrowing, facts, usage)
  if (over !== undefined) return over
  const charges = maxPerDay === undefined ? [] : facts.spends.map((spend) => ({ counter, ...spend }))
  return { verdict: 'allow', charges, rates }
}

const decidePermission = (
  grants: readonly PermissionGrant[],
  permission: Permission,
  request: DecisionRequest,
  usage: Usage,
): Decision => {
  const unlisted: RefusedDecision = { verdict: 'refuse', reason: 'PERMISSION_MISSING', facts: { permission } }
  let furthest: { readonly stage: number; readonly refusal: RefusedDecision } = { stage: 0, refusal: unlisted }
  for (const [index, grant] of grants.entries()) {
    if (grant.permission !== permission) continue
    const result = attempt(grant, `${permission}#${index}`, request, usage)
    if ('verdict' in result) return result
    if (result.stage > furthest.stage) furthest = result
  }
  return furthest.refusal
}

/**
 * Whether the grants of one API key cover a request, and what it costs them. Pure: the caller reads the usage and
 * books the charges in one transaction.
 *
 * Every permission in `request.permissions` has to be covered by one grant alone; grants are never pieced
 * together. In a grant each narrowing that is present must be met, and a request that does not say what a
 * narrowing asks for does not meet it:
 *
 * - `wallets`, `session_keys`: the request names one, and it is listed.
 * - `chains`: what is signed names its chain and every chain it names is listed. Messages, digests and typed data
 *   without a chainId name none. An authorization for chain 0 needs `eip155:0` in the list, and without a list it
 *   is refused.
 * - `destinations`: everyone the signature reaches is listed: the transaction's `to`, and with it the recipients
 *   and spenders of a token call, and each EIP-7702 delegate; for a token permit its contract, spender or recipient,
 *   and tokens. A call that is not understood reaches the contract called, so listing a contract allows every such
 *   call to it. Messages, other typed data, digests, contract creations and token calls that do not decode reach
 *   nobody that could be named: refused.
 * - `max_per_transaction`, `max_per_day`: only what can be counted is signed: native transfers, token calls that
 *   decode, token permits. Each token that moves has to be listed and stay within its amount; the fee counts for
 *   itself, at its maximum (`…/fee`), under a ceiling where it is not listed. An approval counts as the amount
 *   approved. Calls that are not understood, contract creations, EIP-7702 authorizations, messages, other typed data
 *   and digests cannot be counted: refused.
 *
 * A Solana message names no cluster and counts as mainnet's, for `chains` and for caps. It meets `destinations`
 * when every recipient, spender, new authority and program that is not read is listed; a listed owner covers its
 * associated token accounts where the instruction names the mint. What looks accounts up in tables meets neither
 * destinations nor caps; plain token transfers and approvals, which name no mint, meet no cap.
 *
 * Where nothing is signed (`facts` absent) the last three have nothing to say.
 *
 * A refusal names the grant that came furthest: PERMISSION_MISSING (with `narrowedBy` wallet, session_key, chain
 * or destination), AUTHORIZATION_CHAIN_ZERO, or LIMIT_EXCEEDED.
 */
export const decide = (grants: readonly PermissionGrant[], request: DecisionRequest, usage: Usage): Decision => {
  const charges: Charge[] = []
  const rates: RateCharge[] = []
  if (request.permissions.length === 0) throw new Error('assertion: a decision is about at least one permission')
  for (const permission of new Set(request.permissions)) {
    const decision = decidePermission(grants, permission, request, usage)
    if (decision.verdict === 'refuse') return decision
    charges.push(...decision.charges)
    rates.push(...decision.rates)
  }
  return { verdict: 'allow', charges, rates }
}

/**
 * The permissions a signature needs. A digest needs `sign:digest`, whichever RPC carries it; an authorization
 * needs `sign:authorization`; a transaction that carries authorizations needs that one as well.
 */
export const permissionsToSign = (
  facts: SigningFacts,
  via: 'wallet:sign' | 'wallet:send' = 'wallet:sign',
): readonly Permission[] => {
  if (facts.operation === 'digest') return ['sign:digest']
  if (facts.operation === 'authorization') return ['sign:authorization']
  return facts.delegations.length > 0 ? [via, 'sign:authorization'] : [via]
}

/** The wallets a permission reaches, for lists: everything, or these (perhaps none). */
export const walletsCovered = (
  grants: readonly PermissionGrant[],
  permission: Permission,
): 'all' | ReadonlySet<WalletId> => {
  const covered = new Set<WalletId>()
  for (const { narrowing, ...grant } of grants) {
    if (grant.permission !== permission || narrowing.sessionKeys !== undefined) continue
    if (narrowing.wallets === undefined) return 'all'
    for (const walletId of narrowing.wallets) covered.add(walletId)
  }
  return covered
}
