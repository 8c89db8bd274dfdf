/**
 * Follows the chains for the external wallets that are registered, whoever asks or does not: approvals that change, are
 * taken back, or go with a block that the chain takes back. Goes on after a restart where it was. Nothing is spent on what
 * is noted here; a spend reads the chain itself.
 */
import { isFailure } from '../domain/failure.ts'
import type { Clock } from '../domain/clock.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { followedNetworks, getExternalWallet, watchedOn } from '../vault/external-wallets.ts'
import { findCursor, saveCursor } from '../vault/followed.ts'
import { isNews, noteCurrent } from './note-standing.ts'
import { type SpenderNeeds, spendingChainOf } from './spenders.ts'
import type { News, SpendingChain } from './spending-chain.ts'

export type FollowNeeds = SpenderNeeds & { readonly vault: DaemonVault; readonly clock: Clock }

const AT_ONCE = 8
/** Of one network in one turn; there is another soon. */
const ROUNDS_MAX = 20

/** Reads one wallet, and writes down what is new of it. */
export const lookAt = async (needs: FollowNeeds, chain: SpendingChain, id: string, isReorganised: boolean, signal: AbortSignal): Promise<void> => {
  const { vault, clock } = needs
  const wallet = getExternalWallet(vault.read, id)
  if (wallet === undefined || wallet.state === 'REPLACED') return
  const standing = await chain.standing(wallet, signal)
  const gone = standing.allowance === 0n && wallet.state === 'ACTIVE' && !(await chain.hasTransaction(wallet.transactionHash, signal))
  const noted = { standing, isReorganised, why: gone ? 'the approval is in the chain no more' : undefined, nowMs: Math.trunc(clock.nowMs()) }
  if (!isNews(vault.read, wallet, noted)) return
  await vault.commit((tx) => noteCurrent(tx, id, noted))
}

const lookAtAll = async (needs: FollowNeeds, chain: SpendingChain, ids: readonly string[], isReorganised: boolean, signal: AbortSignal): Promise<void> => {
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    await Promise.all(ids.slice(at, at + AT_ONCE).map((id) => lookAt(needs, chain, id, isReorganised, signal)))
    signal.throwIfAborted()
  }
}

/** One step: what is new, every wallet it is about, and only then where to go on, so that what is cut off is done again. */
const step = async (needs: FollowNeeds, network: string, signal: AbortSignal): Promise<News | undefined> => {
  const { vault } = needs
  const chain = spendingChainOf(needs, network)
  const watched = watchedOn(vault.read, network)
  const since = findCursor(vault.read, network)
  // What was seen ahead of the cursor may have been in blocks that are gone when the cursor gets there.
  const isAhead = (seen: bigint | undefined): boolean => seen === undefined || since === undefined || seen > since.block
  const unseen = watched.filter(({ seenBlock }) => isAhead(seenBlock)).map(({ externalWalletId }) => externalWalletId)
  const news = await chain.news(watched, since, signal)
  if (news === undefined) {
    await lookAtAll(needs, chain, unseen, false, signal)
    return undefined
  }
  const isAll = news.changed === 'all'
  const ids = isAll ? watched.map(({ externalWalletId }) => externalWalletId) : [...new Set([...unseen, ...news.changed])]
  await lookAtAll(needs, chain, ids, isAll, signal)
  await vault.commit((tx) => saveCursor(tx, network, news.cursor))
  return news
}

const followNetwork = async (needs: FollowNeeds, network: string, signal: AbortSignal): Promise<void> => {
  try {
    for (let round = 0; round < ROUNDS_MAX; round++) {
      const news = await step(needs, network, signal)
      if (news?.hasMore !== true) return
    }
  } catch (error) {
    // A chain that cannot be read for sure is read at the next turn, from where it was left.
    if (!isFailure(error) && !signal.aborted) throw error
  }
}

/** One turn over every network that somebody registered a wallet on. */
export const followChains = async (needs: FollowNeeds, signal: AbortSignal): Promise<void> => {
  const networks = followedNetworks(needs.vault.read)
  await Promise.all(networks.map((network) => followNetwork(needs, network, signal)))
}
