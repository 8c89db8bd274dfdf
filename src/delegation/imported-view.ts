/** Access that was delegated to this daemon, as callers see it. */
import { type AccessId, accessIdFromBytes, type ProjectId } from '../domain/ids.ts'
import type { ImportedAccess } from '../vault/imported-accesses.ts'
import type { KeyType } from '../vault/wallets.ts'

/** A daemon that may delegate to this one. */
export type GrantingDaemon = {
  readonly name: string
  /** 32 bytes. */
  readonly partyId: Uint8Array
}

export type ImportedAccessView = {
  readonly accessId: AccessId
  readonly projectId: ProjectId
  readonly keyType: KeyType
  readonly address: string
  /** secp256k1 65 bytes beginning 04, Ed25519 32; empty where another system did not say. */
  readonly publicKey: Uint8Array
  readonly userId: string
  readonly state: 'pending' | 'active' | 'revoked' | 'suspended' | 'foreign'
  /** Its name; empty for another system, and for a daemon that is not configured any more. */
  readonly grantingDaemon: string
  readonly createTimeMs: number
  readonly revokeTimeMs: number | undefined
}

export const findGranting = <G extends GrantingDaemon>(daemons: readonly G[], partyId: Uint8Array): G | undefined =>
  daemons.find((daemon) => Buffer.compare(daemon.partyId, partyId) === 0)

const stateOf = ({ state, grantingId }: ImportedAccess): ImportedAccessView['state'] => {
  if (state === 'REVOKED') return 'revoked'
  if (grantingId === undefined) return 'foreign'
  return state === 'PENDING' ? 'pending' : state === 'ACTIVE' ? 'active' : 'suspended'
}

export const viewImported = (access: ImportedAccess, daemons: readonly GrantingDaemon[]): ImportedAccessView => ({
  accessId: accessIdFromBytes(access.accessId),
  projectId: access.project,
  keyType: access.keyType,
  address: access.address,
  publicKey: access.publicKey,
  userId: access.userId,
  state: stateOf(access),
  grantingDaemon: access.grantingId === undefined ? '' : (findGranting(daemons, access.grantingId)?.name ?? ''),
  createTimeMs: access.createMs,
  revokeTimeMs: access.revokeMs,
})
