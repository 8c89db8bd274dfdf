import type { AuditFilter, AuditRow } from './audit-chain.ts'
import { readAuditPage } from './audit-page.ts'
import type { DaemonVault } from './daemon-vault.ts'

const PAGE_ROWS = 200

/**
 * The rows after `after` that match: what is there already, then what comes, in order, without gaps or repeats, until the
 * signal aborts.
 */
export async function* followAudit(
  vault: DaemonVault,
  after: bigint,
  options: { readonly filter: AuditFilter; readonly signal: AbortSignal },
): AsyncGenerator<AuditRow> {
  const { signal } = options
  let wake: (() => void) | undefined
  let news = false
  const tell = (): void => {
    news = true
    wake?.()
  }
  const stop = vault.onCommitted(tell)
  signal.addEventListener('abort', tell, { once: true })
  try {
    for (let from = after; !signal.aborted; ) {
      news = false
      const { rows, reached } = await readAuditPage(vault.read, from, PAGE_ROWS, options)
      yield* rows
      from = reached
      if (rows.length === PAGE_ROWS) continue
      await new Promise<void>((resolve) => {
        wake = resolve
        if (news || signal.aborted) resolve()
      })
    }
  } finally {
    stop()
    signal.removeEventListener('abort', tell)
  }
}
