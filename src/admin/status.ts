import { auditHead } from '../vault/audit-chain.ts'
import { countWallets } from '../vault/wallets.ts'
import { type CustodyStatus, custodyStatus } from './custody.ts'
import { type FreezeView, listFreezes } from './freezes.ts'
import type { AdminNeeds } from './needs.ts'

/** What the embedded cosigner is: two shares under two keys in two files, and one host that could read both. */
export const EMBEDDED_MODE = 'split at rest, one host'

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
}

type PartyStatus = Awaited<ReturnType<AdminNeeds['engine']['status']>>

/** What a link is good for, by what both sides say of it. */
export const linkStateOf = (signer: PartyStatus['signer'], cosigner: PartyStatus['cosigner']): LinkState => {
  if (signer?.state === 'BURNED' || cosigner?.state === 'BURNED') return 'burned'
  if (signer?.state === 'SUSPENDED' || cosigner?.state === 'SUSPENDED') return 'suspended'
  return signer?.ready === true ? 'ready' : 'starting'
}

export const getStatus = async (
  needs: AdminNeeds,
  started: { readonly version: string; readonly timeMs: number },
): Promise<StatusView> => {
  const { vault, engine } = needs
  const { available, cosignerId, cosigner, signer } = await engine.status()
  const state = linkStateOf(signer, cosigner)
  const presignatureCount = BigInt(engine.presignatureCount)
  const custody = await custodyStatus(needs)
  const renewedAtMs = signer?.renewedAtMs ?? 0
  return {
    mode: EMBEDDED_MODE,
    version: started.version,
    protocolVersion: PROTOCOL_VERSION,
    vaultSchemaVersion: vault.schemaVersion,
    startTimeMs: started.timeMs,
    cosignerAvailable: available,
    cosignerId,
    links: [{ shard: 0, state, renewTimeMs: renewedAtMs === 0 ? undefined : renewedAtMs, presignatureCount }],
    freezes: listFreezes(needs),
    walletCount: BigInt(countWallets(vault.read)),
    auditSequence: auditHead(vault.read).sequence,
    presignatureCount,
    ...custody,
  }
}
