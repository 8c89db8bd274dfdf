/** What a cosigner on a host of its own measures of itself, as Prometheus takes it. No wallet or project is ever a label. */
import { Gauge, Registry } from 'prom-client'

/** Of the thread that holds the shares, since it was opened: what it answered, and what it refused by its own rules. */
export type CosignerCounts = { readonly signed: number; readonly denied: Readonly<Record<string, number>> }

export type CosignerLevels = {
  readonly isJoined: boolean
  /** Streams that were joined, and that said what they may not, since the start. */
  readonly joins: number
  readonly misspoken: number
  /** Undefined while its vault is not open. */
  readonly standing?: { readonly auditSequence: bigint; readonly freezes: number; readonly counts: CosignerCounts } | undefined
  readonly links: readonly { readonly state: 'ACTIVE' | 'SUSPENDED' | 'BURNED'; readonly presignatures: number }[]
}

const LINK_STATES = ['ACTIVE', 'SUSPENDED', 'BURNED'] as const

export const createCosignerMetrics = () => {
  const registry = new Registry()
  const gauge = (name: string, help: string, labelNames: string[] = []): Gauge =>
    new Gauge({ name: `countersign_cosigner_${name}`, help, labelNames, registers: [registry] })
  const joined = gauge('joined', '1 while its daemon is joined to it.')
  const open = gauge('vault_open', '1 while its vault is open.')
  const joins = gauge('streams', 'Streams of its daemon that were opened, since the start.')
  const misspoken = gauge('streams_misspoken', 'Streams that ended because the daemon said what it may not.')
  const signed = gauge('signed', 'Signatures it took part in since its thread was opened.')
  const denied = gauge('denied', 'Requests its own rules refused since its thread was opened.', ['rule'])
  const links = gauge('links', 'Its links, by state.', ['state'])
  const presignatures = gauge('presignatures', 'Presignatures it holds.')
  const freezes = gauge('freezes', 'What is frozen at it.')
  const audit = gauge('audit_sequence', 'The last row of its audit chain.')
  const memory = gauge('resident_memory_bytes', 'Memory of the process.')
  return {
    contentType: registry.contentType,
    scrape: (levels: CosignerLevels): Promise<string> => {
      joined.set(levels.isJoined ? 1 : 0)
      open.set(levels.standing === undefined ? 0 : 1)
      joins.set(levels.joins)
      misspoken.set(levels.misspoken)
      signed.set(levels.standing?.counts.signed ?? 0)
      denied.reset()
      for (const [rule, count] of Object.entries(levels.standing?.counts.denied ?? {})) denied.set({ rule }, count)
      for (const state of LINK_STATES) links.set({ state }, levels.links.filter((link) => link.state === state).length)
      presignatures.set(levels.links.reduce((sum, link) => sum + link.presignatures, 0))
      freezes.set(levels.standing?.freezes ?? 0)
      audit.set(Number(levels.standing?.auditSequence ?? 0n))
      memory.set(process.memoryUsage.rss())
      return registry.metrics()
    },
  }
}
