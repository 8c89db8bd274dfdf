import { appendAudit } from './audit-chain.ts'
import { COSIGNER_SCHEMA } from './cosigner-schema.ts'
import { doubtInterruptedIntents } from './intents.ts'
import { failInterruptedReplies } from './replies.ts'
import type { Tx } from './store.ts'
import { createVault, openVault } from './vault.ts'
import type { Vault, VaultOptions } from './vault.ts'

/** The vault of the cosigner, party S: `cosigner.db`, opened inside the cosigner's own thread or process. */
export type CosignerVault = Vault & { readonly kind: 'cosigner' }

/** Makes the vault and the first row of its audit chain. Refuses as `createVault`. */
export const createCosignerVault = async (options: VaultOptions): Promise<CosignerVault> =>
  (await createVault(COSIGNER_SCHEMA, options, (tx) => {
    appendAudit(tx, { timeMs: options.nowMs, kind: 'vault.created', actor: { kind: 'cosigner', id: '' } })
  })) as CosignerVault

/** Opens the vault; running intents become IN_DOUBT, unfinished replies failed. Refuses as `openVault`. */
export const openCosignerVault = async (options: VaultOptions): Promise<CosignerVault> =>
  (await openVault(COSIGNER_SCHEMA, options, (tx) => recover(tx, options.nowMs))) as CosignerVault

const recover = (tx: Tx, nowMs: number): void => {
  const inDoubt = doubtInterruptedIntents(tx, nowMs)
  failInterruptedReplies(tx)
  appendAudit(tx, {
    timeMs: nowMs,
    kind: 'vault.opened',
    actor: { kind: 'cosigner', id: '' },
    details: { inDoubt },
  })
}
