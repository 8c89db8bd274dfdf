import type { ChainStatus } from '../domain/chain-status.ts'
import { auditHead } from '../vault/audit-chain.ts'
import { countWallets } from '../vault/wallets.ts'
import { type DeliveryBacklog, deliveryBacklog } from '../vault/webhook-deliveries.ts'
import { type CustodyStatus, custodyStatus } from './custody.ts'
import { type DelegationLinksNeeds, type DelegationLinksView, delegationLinks } from './delegation-links.ts'
import { type FreezeView, listFreezes } from './freezes.ts'
import type { AdminNeeds } from './needs.ts'

/** Two shares under two keys in two files; embedded, on one host that could read both. */
const PARTIES_MODE = { embedded: 'split at rest, one host', remote: 'split over two hosts' } as const

/** Version of the two-party protocol's suite. */
const PROTOCOL_VERSION = 1

export type LinkState = 'starting' | 'ready' | 'suspended' | 'burned'
export type StatusView = CustodyStatus & {
  readonly mode: string
  readonly version: string
  readonly protocolVersion: number
  readonly vaultSchemaVersion: number
  readonly startTimeMs: number
  readonly cosignerAvailable: boolean
  readonly cosignerId: string
  readonly links: readonly {
    readonly shard: number
    readonly state: LinkState
    readonly renewTimeMs: number | undefined
    readonly presignatureCount: bigint
  }[]
  readonly freezes: readonly FreezeView[]
  readonly walletCount: bigint
  readonly auditSequence: bigint
  readonly presignatureCount: bigint
  readonly webhooks: WebhookStatusView
  readonly chains: readonly ChainStatusView[]
  /** To delegates, and to daemons that delegated to this one. */
  readonly delegates: DelegationLinksView
  readonly grantingDaemons: DelegationLinksView
}

/** Counts since the start; what waits is of all time. */
export type WebhookStatusView = DeliveryBacklog & { readonly delivered: number; readonly failedAttempts: number }

type PartyStatus = Awaited<ReturnType<AdminNeeds['engine']['status']>>

export type LinkView = StatusView['links'][number]

/** What each link is good for, by what both sides say of it; of parties that say nothing, the first is starting. */
export const linkViews = (signer: PartyStatus['signer'], cosigner: PartyStatus['cosigner']): readonly LinkView[] => {
  if (signer === undefined) return [{ shard: 0, state: 'starting', renewTimeMs: undefined, presignatureCount: 0n }]
  return signer.map((own) => {
    const theirs = cosigner?.links.find(({ shard }) => shard === own.shard)
    const { shard, renewedAtMs, presignatures } = own
    const renewTimeMs = renewedAtMs === 0 ? undefined : renewedAtMs
    return { shard, state: stateOf(own, theirs), renewTimeMs, presignatureCount: BigInt(presignatures) }
  })
}

type OwnLink = NonNullable<PartyStatus['signer']>[number]
type TheirLink = NonNullable<PartyStatus['cosigner']>['links'][number]

const stateOf = (own: OwnLink, theirs: TheirLink | undefined): LinkState => {
  if (own.state === 'BURNED' || theirs?.state === 'BURNED') return 'burned'
  if (own.state === 'SUSPENDED' || theirs?.state === 'SUSPENDED') return 'suspended'
  return own.ready ? 'ready' : 'starting'
}

const WORST_FIRST: readonly LinkState[] = ['burned', 'suspended', 'starting', 'ready']

/** Of several links the state that is worst. */
export const worstLinkState = (links: readonly LinkView[]): LinkState =>
  WORST_FIRST.find((state) => links.some((link) => link.state === state)) ?? 'starting'

export type ChainStatusView = ChainStatus & {
  /** What the daemon has sent there and is not over, and of that, what nothing moves. */
  readonly openSends: number
  readonly stuckSends: number
  readonly oldestSendMs: number | undefined
}

type StatusNeeds = DelegationLinksNeeds & {
  readonly webhookCounts: () => Omit<WebhookStatusView, keyof DeliveryBacklog>
  readonly chainStatuses: () => Promise<readonly ChainStatusView[]>
}

export const getStatus = async (
  needs: AdminNeeds & StatusNeeds,
  started: { readonly version: string; readonly timeMs: number; readonly isRemote?: boolean },
): Promise<StatusView> => {
  const { vault, engine } = needs
  const { available, cosignerId, cosigner, signer } = await engine.status()
  const presignatureCount = BigInt(engine.presignatureCount)
  const custody = await custodyStatus(needs)
  const { granting, delegate } = await delegationLinks(needs)
  return {
    mode: PARTIES_MODE[started.isRemote === true ? 'remote' : 'embedded'],
    version: started.version,
    protocolVersion: PROTOCOL_VERSION,
    vaultSchemaVersion: vault.schemaVersion,
    startTimeMs: started.timeMs,
    cosignerAvailable: available,
    cosignerId,
    links: linkViews(signer, cosigner),
    freezes: listFreezes(needs),
    walletCount: BigInt(countWallets(vault.read)),
    auditSequence: auditHead(vault.read).sequence,
    presignatureCount,
    webhooks: { ...deliveryBacklog(vault.read), ...needs.webhookCounts() },
    chains: await needs.chainStatuses(),
    delegates: granting,
    grantingDaemons: delegate,
    ...custody,
  }
}
