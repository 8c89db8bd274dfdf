/** Freezes that a cosigner knows, as they go over the wire. */
import { FreezeScope } from '../../../gen/countersign/v1/admin_pb.ts'
import { parseProjectId, parseWalletId } from '../../domain/ids.ts'
import type { FreezeRow, FreezeSubject } from '../../vault/freezes.ts'

const SCOPES = {
  wallet: FreezeScope.WALLET,
  project: FreezeScope.PROJECT,
  all: FreezeScope.EVERYTHING,
} as const
type CosignerScope = keyof typeof SCOPES

const isKnown = (scope: string): scope is CosignerScope => Object.hasOwn(SCOPES, scope)

export const scopeToWire = (scope: string): FreezeScope => (isKnown(scope) ? SCOPES[scope] : FreezeScope.UNSPECIFIED)

export const subjectToWire = ({ scope, id }: FreezeSubject): { scope: FreezeScope; id: string } => ({
  scope: scopeToWire(scope),
  id,
})

const MAX_NOTE = 500

export const freezeToWire = (freeze: FreezeRow): { scope: FreezeScope; id: string; note: string } => ({
  ...subjectToWire(freeze),
  note: freeze.reason.slice(0, MAX_NOTE),
})

/** Undefined for what no cosigner freezes, or an id that is none. */
export const readSubject = ({ scope, id }: { readonly scope: number; readonly id: string }): FreezeSubject | undefined => {
  if (scope === FreezeScope.EVERYTHING) return id === '' ? { scope: 'all', id } : undefined
  if (scope === FreezeScope.WALLET) return parseWalletId(id) === undefined ? undefined : { scope: 'wallet', id }
  if (scope === FreezeScope.PROJECT) return parseProjectId(id) === undefined ? undefined : { scope: 'project', id }
  return undefined
}

export const readNote = (note: string): string => note.slice(0, MAX_NOTE)
