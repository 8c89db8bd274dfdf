/** Taking in what was delegated to a project of this daemon, and reading what was. */
import { actorOf, type Call } from '../domain/call.ts'
import { assert, invalidField } from '../domain/failure.ts'
import { type AccessId, accessIdToBytes, walletIdFromBytes } from '../domain/ids.ts'
import type { DelegateEngine } from '../party/delegate/delegate-engine.ts'
import type { Delivery } from '../party/delegate/open-delivery.ts'
import { authorize, type AuthorizeNeeds } from '../signing/authorize.ts'
import { listImportedAccesses, requireImportedAccess } from '../vault/imported-accesses.ts'
import { readDelegationEvent } from './delegation-webhook.ts'
import { type ImportedAccessView, viewImported } from './imported-view.ts'
import { type Brought, isSameAddress, takeBack, takeDelivery, type TakeNeeds } from './take-delivery.ts'

export type ImportAccessNeeds = TakeNeeds & AuthorizeNeeds

export type ImportAccessRequest = {
  readonly content:
    | { readonly kind: 'delivery'; readonly delivery: Delivery; readonly walletId: Uint8Array | undefined }
    | { readonly kind: 'webhook'; readonly body: Uint8Array }
  readonly expectedAddress: string | undefined
}

type Content = Pick<Brought, 'delivery' | 'foreignId' | 'said' | 'grantedMs'>

/** Refuses as `takeDelivery`; PERMISSION_MISSING; INVALID_REQUEST for a body that is no webhook of the kind. */
export const importAccess = async (
  needs: ImportAccessNeeds,
  call: Call,
  request: ImportAccessRequest,
): Promise<ImportedAccessView> => {
  authorize(needs.vault.read, needs, call, 'wallet:create')
  const access = await takeDelivery(needs, {
    ...contentOf(request, Math.trunc(needs.clock.nowMs())),
    project: call.caller.projectId,
    actor: actorOf(call.caller),
    method: 'ImportDelegatedAccess',
    requestId: call.requestId,
  })
  assert(access, 'no event brings it')
  return viewImported(access, needs.granting)
}

const contentOf = ({ content, expectedAddress }: ImportAccessRequest, nowMs: number): Content => {
  if (content.kind === 'delivery') {
    const { delivery, walletId } = content
    const keyType = expectedAddress?.startsWith('0x') === false ? 'ed25519' : 'secp256k1'
    return { delivery, foreignId: walletId, said: { address: expectedAddress, keyType, userId: '' }, grantedMs: nowMs }
  }
  const event = readDelegationEvent(content.body)
  if (event?.kind !== 'created') throw invalidField('webhook_body', 'is no webhook wallet.delegation.created')
  const { delivery, walletId: foreignId, keyType, address, userId, timeMs } = event
  const isOther = expectedAddress !== undefined && !isSameAddress(expectedAddress, address)
  if (isOther) throw invalidField('expected_address', 'is another address than the webhook names')
  return { delivery, foreignId, said: { address, keyType, userId }, grantedMs: timeMs }
}

type Page = { readonly pageSize: number; readonly cursor: string | undefined }

export const listImported = (
  needs: ImportAccessNeeds,
  call: Call,
  { pageSize, cursor }: Page,
): { readonly items: readonly ImportedAccessView[]; readonly nextCursor: string | undefined } => {
  authorize(needs.vault.read, needs, call, 'wallet:read')
  const after = cursor === undefined ? undefined : BigInt(cursor)
  const found = listImportedAccesses(needs.vault.read, { project: call.caller.projectId, after, limit: pageSize + 1 })
  const items = found.slice(0, pageSize)
  return {
    items: items.map((access) => viewImported(access, needs.granting)),
    nextCursor: found.length > pageSize ? String(items.at(-1)?.number) : undefined,
  }
}

export type ReturnNeeds = ImportAccessNeeds & { readonly delegateEngine: Pick<DelegateEngine, 'giveBack'> }

/**
 * Gives access back: first the daemon that delegated destroys its half, then what is here is erased. Of another system's
 * share only the latter. Refuses: IMPORTED_ACCESS_NOT_FOUND, and as `DelegateEngine.giveBack`.
 */
export const returnAccess = async (needs: ReturnNeeds, call: Call, { accessId }: { readonly accessId: AccessId }): Promise<ImportedAccessView> => {
  const { vault, clock, delegateEngine } = needs
  const { projectId: project } = call.caller
  const access = requireImportedAccess(vault.read, accessIdToBytes(accessId), project)
  authorize(vault.read, needs, call, 'wallet:admin', walletIdFromBytes(access.accessId))
  if (access.state !== 'REVOKED') {
    if (access.grantingId !== undefined) await delegateEngine.giveBack(access)
    const back = { project, accessId: access.accessId, eventMs: Math.trunc(clock.nowMs()) }
    await takeBack(needs, { ...back, actor: actorOf(call.caller), method: 'ReturnDelegatedAccess', requestId: call.requestId })
  }
  return viewImported(requireImportedAccess(vault.read, access.accessId, project), needs.granting)
}
