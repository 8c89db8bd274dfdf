/**
 * Follows the chains for the external wallets that are registered, whoever asks or does not: approvals that change, are
 * taken back, or go with a block that the chain takes back. Goes on after a restart where it was. Nothing is spent on what
 * is noted here; a spend reads the chain itself.
 */
import { isFailure } from '../domain/failure.ts'
import type { Clock } from '../domain/clock.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { followedNetworks, getExternalWallet, watchedOn } from '../vault/external-wallets.ts'
import { BEFORE_ALL_BLOCKS, findCursor, findSeen, markUnread, saveCursor } from '../vault/followed.ts'
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
  // What was marked as unread is so no more, also where it says what it said before.
  const isUnread = findSeen(vault.read, id)?.block === BEFORE_ALL_BLOCKS
  if (!isUnread && !isNews(vault.read, wallet, noted)) return
  await vault.commit((tx) => noteCurrent(tx, id, noted))
}

/** Answers those that could not be read: one of them keeps nobody else from being followed. */
const lookAtAll = async (needs: FollowNeeds, chain: SpendingChain, ids: readonly string[], isReorganised: boolean, signal: AbortSignal): Promise<readonly string[]> => {
  const unread: string[] = []
  const look = async (id: string): Promise<void> => {
    try {
      await lookAt(needs, chain, id, isReorganised, signal)
    } catch (error) {
      if (!isFailure(error)) throw error
      unread.push(id)
    }
  }
  for (let at = 0; at < ids.length; at += AT_ONCE) {
    await Promise.all(ids.slice(at, at + AT_ONCE).map(look))
    signal.throwIfAborted()
  }
  return unread
}

/**
 * One step: what is new, every wallet it is about, and only then where to go on, so that what is cut off is done again. A
 * wallet that could not be read is looked at in every step until it is.
 */
const step = async (needs: FollowNeeds, network: string, signal: AbortSignal): Promise<News | undefined> => {
  const { vault } = needs
  const chain = spendingChainOf(needs, network)
  const watched = watchedOn(vault.read, network)
  const since = findCursor(vault.read, network)
  // What was seen ahead of the cursor may have been in blocks that are gone when the cursor gets there.
  const isDue = (seen: bigint | undefined): boolean => seen === undefined || since === undefined || seen > since.block || seen === BEFORE_ALL_BLOCKS
  const due = watched.filter(({ seenBlock }) => isDue(seenBlock)).map(({ externalWalletId }) => externalWalletId)
  const news = await chain.news(watched, since, signal)
  if (news === undefined) {
    await lookAtAll(needs, chain, due, false, signal)
    return undefined
  }
  const isAll = news.changed === 'all'
  const ids = isAll ? watched.map(({ externalWalletId }) => externalWalletId) : [...new Set([...due, ...news.changed])]
  const unread = await lookAtAll(needs, chain, ids, isAll, signal)
  await vault.commit((tx) => {
    for (const id of unread) markUnread(tx, id)
    saveCursor(tx, network, news.cursor)
  })
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
