/** How a daemon's links to its delegates, and to the daemons that delegated to it, stand. */
import type { DelegateEngine } from '../party/delegate/delegate-engine.ts'
import type { DelegateParties } from '../party/delegate-parties.ts'
import { type DelegationLink, type DelegationSide, listDelegationLinks } from '../party/delegation-links.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'

export type DelegationLinksView = {
  /** As they are stored; each link is one of these. */
  readonly active: number
  readonly suspended: number
  readonly burned: number
  /** Held open now, with what they have in memory. */
  readonly open: number
  readonly presignatures: number
  /** The first STOPPED_MAX of those that are suspended or burned. */
  readonly stopped: readonly { readonly peerId: string; readonly state: 'suspended' | 'burned'; readonly burns: number }[]
}

export type DelegationLinksNeeds = {
  readonly vault: DaemonVault
  readonly delegates: Pick<DelegateParties, 'status'>
  readonly delegate: { readonly delegateEngine: Pick<DelegateEngine, 'openLinks'> }
}

export const STOPPED_MAX = 100

/** By what the daemon is on them. A thread that does not answer has nothing open that can be told. */
export const delegationLinks = async (
  needs: DelegationLinksNeeds,
): Promise<{ readonly [K in DelegationSide]: DelegationLinksView }> => {
  const opened = await needs.delegates.status().catch(() => [])
  const presignatures = opened.reduce((sum, link) => sum + link.presignatures, 0)
  const stored = listDelegationLinks(needs.vault.read)
  return {
    granting: viewOf(stored.filter(({ side }) => side === 'granting'), { open: opened.length, presignatures }),
    delegate: viewOf(stored.filter(({ side }) => side === 'delegate'), needs.delegate.delegateEngine.openLinks),
  }
}

const viewOf = (
  links: readonly DelegationLink[],
  opened: Pick<DelegationLinksView, 'open' | 'presignatures'>,
): DelegationLinksView => {
  const count = (wanted: DelegationLink['state']): number => links.filter(({ state }) => state === wanted).length
  const stopped = links.flatMap(({ state, peerId, burns }) =>
    state === 'ACTIVE' ? [] : [{ peerId: Buffer.from(peerId).toString('hex'), state: STOPPED[state], burns }],
  )
  return {
    active: count('ACTIVE'),
    suspended: count('SUSPENDED'),
    burned: count('BURNED'),
    open: opened.open,
    presignatures: opened.presignatures,
    stopped: stopped.slice(0, STOPPED_MAX),
  }
}

const STOPPED = { SUSPENDED: 'suspended', BURNED: 'burned' } as const
