/** What was sent and does not move: it keeps its nonce, and everything that its wallet sends afterwards waits behind it. */
import type { SignNeeds } from '../signing/sign.ts'
import type { SentTransaction } from '../vault/sent-transactions.ts'
import { mayLeave } from './may-leave.ts'
import type { WhyStuck } from './sent-changes.ts'

/** Several blocks of any chain. */
export const STUCK_MS = 120_000

const newest = ({ versions }: SentTransaction): number => versions.at(-1)?.version ?? 0
/** In no block, and not over. */
const isWaiting = ({ state }: Pick<SentTransaction, 'state'>): boolean => state === 'SIGNING' || state === 'SIGNED' || state === 'BROADCAST'

/** Whether it was told of the newest version that nothing moves it, and nothing has since. */
export const isStuck = (sent: SentTransaction): boolean => isWaiting(sent) && sent.stuckVersion === newest(sent)

/** Of each sender the one with the lowest nonce; what has no nonce waits for nobody. */
const headsOf = (open: readonly SentTransaction[]): ReadonlyMap<string, SentTransaction> => {
  const heads = new Map<string, SentTransaction>()
  for (const sent of open) {
    if (!isWaiting(sent)) continue
    const name = sent.nonce === undefined ? sent.sendId : `${sent.chain} ${sent.sender}`
    const known = heads.get(name)
    if (known?.nonce === undefined || (sent.nonce !== undefined && sent.nonce < known.nonce)) heads.set(name, sent)
  }
  return heads
}

type Since = { readonly what: string; readonly ms: number }

/** Since when each has been where it is, as far as this process has seen. */
export class StuckWatch {
  readonly #since = new Map<string, Map<string, Since>>()

  /** `open`: all that is under way on the network. Answers those that have not moved for so long, and of which it was not told. */
  due(network: string, open: readonly SentTransaction[], nowMs: number): readonly SentTransaction[] {
    const before = this.#since.get(network)
    const since = new Map<string, Since>()
    this.#since.set(network, since)
    const due: SentTransaction[] = []
    for (const [name, sent] of headsOf(open)) {
      const what = `${sent.sendId} ${newest(sent)} ${sent.state}`
      const known = before?.get(name)
      const { ms } = known?.what === what ? known : { ms: nowMs }
      since.set(name, { what, ms })
      if (nowMs - ms >= STUCK_MS && sent.stuckVersion !== newest(sent)) due.push(sent)
    }
    return due
  }
}

/** What keeps it, as far as it is known here. */
export const whyStuck = (needs: SignNeeds, sent: SentTransaction): WhyStuck => {
  const version = sent.versions.at(-1)
  if (version?.raw === undefined) return 'AWAITING_SIGNATURE'
  if (mayLeave(needs, sent, version) === undefined) return 'HELD_BACK'
  if (sent.reason !== '') return sent.reason
  return sent.state === 'SIGNED' ? 'CHAIN_UNAVAILABLE' : 'AWAITING_BLOCK'
}
