import { appendAudit } from './audit-chain.ts'
import { DAEMON_SCHEMA } from './daemon-schema.ts'
import { doubtInterruptedIntents } from './intents.ts'
import { DEFAULT_PROJECT, insertProject } from './projects.ts'
import { interruptRunningRequests } from './requests.ts'
import type { Tx } from './store.ts'
import { createVault, openVault } from './vault.ts'
import type { Vault, VaultOptions } from './vault.ts'

/** The vault of the daemon, party C: `vault.db`, opened by the main thread. */
export type DaemonVault = Vault & { readonly kind: 'daemon' }

/** Makes the vault with the project `default` and the first row of its audit chain. Refuses as `createVault`. */
export const createDaemonVault = async (options: VaultOptions): Promise<DaemonVault> =>
  (await createVault(DAEMON_SCHEMA, options, (tx) => {
    insertProject(tx, { projectId: DEFAULT_PROJECT, name: 'default', nowMs: options.nowMs })
    appendAudit(tx, { timeMs: options.nowMs, kind: 'vault.created', actor: { kind: 'daemon', id: '' } })
  })) as DaemonVault

/** Opens the vault; running intents become IN_DOUBT and running requests interrupted. Refuses as `openVault`. */
export const openDaemonVault = async (options: VaultOptions): Promise<DaemonVault> =>
  (await openVault(DAEMON_SCHEMA, options, (tx) => recover(tx, options.nowMs))) as DaemonVault

const recover = (tx: Tx, nowMs: number): void => {
  const inDoubt = doubtInterruptedIntents(tx, nowMs)
  interruptRunningRequests(tx)
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'vault.opened',
    actor: { kind: 'daemon', id: '' },
    details: { inDoubt },
  })
}
