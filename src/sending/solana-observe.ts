/** What a Solana cluster says of transactions that were sent: in which slot each is, how deep, or that it is over. */
import type { SolanaChain } from '../chain/solana-chain.ts'
import { decodeBase58 } from '../domain/base58.ts'
import type { SentTransaction, SentVersion } from '../vault/sent-transactions.ts'
import type { Observation } from './chain-family.ts'

type Status = Awaited<ReturnType<SolanaChain['statuses']>>[number]

/** Nodes answer for no more signatures at once. */
const STATUSES_MAX = 256
/** What is final is as deep as anybody can ask. */
const FINAL_DEPTH = 1_000

type Look = { readonly chain: SolanaChain; readonly head: bigint; readonly height: bigint }

const depthOf = ({ chain, head }: Look, status: Extract<Status, { readonly succeeded: boolean }>): number => {
  if (status.state === 'finalized') return FINAL_DEPTH
  return chain.counts(status) && head >= status.slot ? Number(head - status.slot) + 1 : 0
}

const observationOf = (look: Look, versions: readonly SentVersion[], statuses: readonly Status[]): Observation => {
  for (const [index, status] of statuses.entries()) {
    if (status.state === 'unknown') continue
    const version = versions[index]?.version ?? 1
    return { seen: 'included', version, block: status.slot, blockHash: '', succeeded: status.succeeded, depth: depthOf(look, status) }
  }
  // No node has it, and every block that could still take it is behind one that is final at both.
  const isOver = statuses.every(({ isSeen }) => !isSeen) && versions.every(({ lastValid }) => lastValid !== undefined && lastValid < look.height)
  return isOver ? { seen: 'lapsed' } : { seen: 'waiting' }
}

/** What could not be read, or is told differently by two nodes, is left out. Never rejects. */
export const observeSolana = async (chain: SolanaChain, sent: readonly SentTransaction[], signal: AbortSignal): Promise<ReadonlyMap<string, Observation>> => {
  const seen = new Map<string, Observation>()
  try {
    // The height before the statuses: what is in no block then cannot be in one at or below that height any more.
    const [height, head] = await Promise.all([chain.finalizedHeight(signal), chain.slot(signal)])
    const some = sent.map((one) => ({ one, versions: one.versions.filter(({ raw }) => raw !== undefined) }))
    for (let at = 0; at < some.length; ) {
      const batch: (typeof some)[number][] = []
      for (let count = 0; at < some.length; at++) {
        const next = some[at] as (typeof some)[number]
        count += next.versions.length
        if (count > STATUSES_MAX && batch.length > 0) break
        batch.push(next)
      }
      const hashes = batch.flatMap(({ versions }) => versions.map(({ hash }) => decodeBase58(hash) ?? new Uint8Array()))
      const statuses = await chain.statuses(hashes, signal)
      let from = 0
      for (const { one, versions } of batch) {
        seen.set(one.sendId, observationOf({ chain, head, height }, versions, statuses.slice(from, from + versions.length)))
        from += versions.length
      }
    }
  } catch {
    return seen
  }
  return seen
}
