/** countersign.v1.DelegationService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { invalidField } from '../domain/failure.ts'
import type { CreateGrantRequest, GrantSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import { GrantState as WireState, ListGrantsRequestSchema } from '../../gen/countersign/v1/delegation_pb.ts'
import type { DelegationUseCases, GrantState, GrantView, NewGrantRequest, SpendingUseCases } from './delegation-use-cases.ts'
import type { CosignUseCases } from './cosign-use-cases.ts'
import { cosignStream } from './cosign-stream.ts'
import { delegateSideHandlers } from './delegate-side-handlers.ts'
import type { DelegateSideUseCases } from './delegate-side-use-cases.ts'
import { delegatedAccessHandlers } from './delegated-access-handlers.ts'
import type { DelegatedAccessUseCases } from './delegated-access-use-cases.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import { spendingHandlers } from './spending-handlers.ts'
import { bothWays, fromTimestamp, optionalTimestamp, orAbsent, toTimestamp } from './wire-words.ts'

const states = bothWays<GrantState, WireState>({
  active: WireState.ACTIVE,
  expired: WireState.EXPIRED,
  revoked: WireState.REVOKED,
})

const toWireGrant = (grant: GrantView): MessageInitShape<typeof GrantSchema> => ({
  grantId: grant.grantId,
  userId: grant.userId,
  address: grant.address ?? '',
  state: states.toWire(grant.state),
  expireTime: toTimestamp(grant.expireTimeMs),
  createTime: toTimestamp(grant.createTimeMs),
  ...optionalTimestamp('revokeTime', grant.revokeTimeMs),
})

/** The message's rules require both, so neither refusal is ever met. */
const readNewGrant = ({ scope, expireTime }: CreateGrantRequest): NewGrantRequest => {
  const expireTimeMs = fromTimestamp(expireTime)
  const missing = (field: string) => invalidField(field, 'is required')
  if (expireTimeMs === undefined) throw missing('expire_time')
  switch (scope.case) {
    case 'userId':
      return { scope: { kind: 'user', userId: scope.value }, expireTimeMs }
    case 'address':
      return { scope: { kind: 'address', address: scope.value }, expireTimeMs }
    case undefined:
      throw missing('scope')
  }
}

export const createDelegationService = (
  delegation: DelegationUseCases & SpendingUseCases & CosignUseCases & DelegatedAccessUseCases,
  delegate: DelegateSideUseCases,
  tokens: PageTokens,
): Handlers<'delegation'> => ({
  ...delegateSideHandlers(delegate, tokens),
  ...spendingHandlers(delegation, tokens),
  ...delegatedAccessHandlers(delegation, tokens),
  cosign: cosignStream((caller, peer) => delegation.openCosign(caller, peer)),
  createGrant: async (request, call) => ({
    grant: toWireGrant(await delegation.createGrant(call, readNewGrant(request))),
  }),
  getGrant: async ({ grantId }, call) => ({ grant: toWireGrant(await delegation.getGrant(call, { grantId })) }),
  listGrants: async (request, call) => {
    const filter = {
      userId: orAbsent(request.userId),
      address: orAbsent(request.address),
      state: states.fromWire(request.state),
    }
    const { items, nextPageToken } = await listPage(tokens, ListGrantsRequestSchema, request, call, (page) =>
      delegation.listGrants(call, { ...page, ...filter }),
    )
    return { grants: items.map(toWireGrant), nextPageToken }
  },
  revokeGrant: async ({ grantId }, call) => ({ grant: toWireGrant(await delegation.revokeGrant(call, { grantId })) }),
})
