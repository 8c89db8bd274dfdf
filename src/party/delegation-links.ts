/**
 * A daemon's links besides those to its cosigner: to delegates, towards whom it is party S, and to daemons that delegated to
 * it, towards whom it is party C. As their control rows are stored.
 */
import { decodeLinkRecord, type LinkRecord } from '../engine/dkls23/records.ts'
import { ROLE_C, ROLE_S } from '../engine/dkls23/suite.ts'
import { type LinkState, listLinks } from '../vault/links.ts'
import { getSetting } from '../vault/settings.ts'
import type { Reader } from '../vault/store.ts'
import { PEER_SETTING } from './open-parties.ts'
import { hexOf } from './presignature-map.ts'

/** What the daemon is on the link. */
export type DelegationSide = 'granting' | 'delegate'

export type DelegationLink = {
  readonly side: DelegationSide
  readonly linkId: Uint8Array
  /** The other party's id, 32 bytes. */
  readonly peerId: Uint8Array
  readonly state: LinkState
  readonly burns: number
  /** An operator has let it go on. */
  readonly isGranted: boolean
}

/** Whether a link of this vault joins a daemon to its cosigner. */
export const isCosignerLink = (reader: Reader, { role, idS }: Pick<LinkRecord, 'role' | 'idS'>): boolean => {
  if (reader.kind === 'cosigner') return true
  const pinned = getSetting(reader, PEER_SETTING)?.value
  // Before the first start there is none but the cosigner.
  return role === ROLE_C && (pinned === undefined || hexOf(pinned) === hexOf(idS))
}

export const listDelegationLinks = (reader: Reader): DelegationLink[] =>
  listLinks(reader).flatMap(({ linkId, state, control }) => {
    const record = decodeLinkRecord(control)
    if (isCosignerLink(reader, record)) return []
    const side = record.role === ROLE_S ? 'granting' : 'delegate'
    const peerId = side === 'granting' ? record.idC : record.idS
    return [{ side, linkId, peerId, state, burns: record.burns, isGranted: record.relinkGrant > 0 }]
  })
