/**
 * What is stopped at the cosigner: by its daemon, and by its own operator. Each takes back its own; either stops. The
 * operator's stand beside the daemon's under ids that no daemon can name.
 */
import { appendAudit } from '../vault/audit-chain.ts'
import type { CosignerVault } from '../vault/cosigner-vault.ts'
import { addFreeze, findFreeze, type FreezeRow, type FreezeSubject, listFreezes, removeFreeze } from '../vault/freezes.ts'
import type { Reader, Tx } from '../vault/store.ts'

export type CosignerFreeze = FreezeRow & { readonly byOperator: boolean }

const OPERATOR = 'operator:'

const asOperator = <T extends FreezeSubject>(subject: T): T => ({ ...subject, id: `${OPERATOR}${subject.id}` })

/** The first of these that is frozen, by whomever. `all` is not implied: the caller lists it. */
export const findAnyFreeze = (reader: Reader, subjects: readonly FreezeSubject[]): FreezeRow | undefined =>
  findFreeze(reader, subjects.flatMap((subject) => [subject, asOperator(subject)]))

export const listAllFreezes = (reader: Reader, limit: number): CosignerFreeze[] =>
  listFreezes(reader, undefined, limit).map((freeze) => {
    const byOperator = freeze.id.startsWith(OPERATOR)
    return { ...freeze, byOperator, id: byOperator ? freeze.id.slice(OPERATOR.length) : freeze.id }
  })

export const createFreezeCalls = (vault: CosignerVault) => ({
  /** Of the daemon. */
  freeze: ({ freeze }: { readonly freeze: FreezeRow }) =>
    vault.commit((tx) => {
      if (addFreeze(tx, freeze).added) audit(tx, 'freeze.added', 'daemon', freeze)
    }),
  /** Refuses with FREEZE_NOT_FOUND. */
  unfreeze: ({ subject, timeMs }: { readonly subject: FreezeSubject; readonly timeMs: number }) =>
    vault.commit((tx) => {
      removeFreeze(tx, subject)
      audit(tx, 'freeze.removed', 'daemon', { ...subject, createMs: timeMs })
    }),
  freezeAsOperator: ({ freeze }: { readonly freeze: FreezeRow }) =>
    vault.commit((tx) => {
      if (addFreeze(tx, asOperator(freeze)).added) audit(tx, 'freeze.added', 'operator', freeze)
    }),
  /** Refuses with FREEZE_NOT_FOUND. */
  unfreezeAsOperator: ({ subject, timeMs }: { readonly subject: FreezeSubject; readonly timeMs: number }) =>
    vault.commit((tx) => {
      removeFreeze(tx, asOperator(subject))
      audit(tx, 'freeze.removed', 'operator', { ...subject, createMs: timeMs })
    }),
})

const audit = (
  tx: Tx,
  kind: string,
  by: 'daemon' | 'operator',
  { scope, id, createMs }: FreezeSubject & { readonly createMs: number },
): void => {
  appendAudit(tx, { timeMs: createMs, kind, actor: { kind: by, id: '' }, subject: { type: scope, id } })
}
