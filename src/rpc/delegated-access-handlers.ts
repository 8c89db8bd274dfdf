/** What a daemon gives to delegates, of countersign.v1.DelegationService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type DelegateAccessRequest as WireRequest,
  type DelegatedAccessSchema,
  DelegatedAccessState as WireState,
  type DelegatedLimits,
  DelegatedPermission as WirePermission,
  type DelegateSchema,
  ListDelegatedAccessRequestSchema,
  ListDelegatesRequestSchema,
} from '../../gen/countersign/v1/delegated_access_pb.ts'
import type { DeliveredEnvelopeSchema } from '../../gen/countersign/v1/delegate_side_pb.ts'
import type { DelegatedOperation } from '../domain/delegated-terms.ts'
import { invalidField } from '../domain/failure.ts'
import type {
  DelegateAccessRequest,
  DelegatedAccessUseCases,
  DelegatedAccessView,
  DelegateView,
  GivenAccess,
} from './delegated-access-use-cases.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import { listed, readCaps, toWireCaps } from './permission-grants.ts'
import type { Handlers } from './pipeline.ts'
import { bothWays, fromTimestamp, keyTypes, nothingChosen, optionalTimestamp, orAbsent, readExpiry, toTimestamp, toWireReceipt } from './wire-words.ts'

const states = bothWays<DelegatedAccessView['state'], WireState>({
  pending: WireState.PENDING,
  active: WireState.ACTIVE,
  expired: WireState.EXPIRED,
  revoked: WireState.REVOKED,
})

const permissions = bothWays<DelegatedOperation, WirePermission>({
  message: WirePermission.SIGN_MESSAGE,
  typed_data: WirePermission.SIGN_TYPED_DATA,
  transaction: WirePermission.SIGN_TRANSACTION,
  digest: WirePermission.SIGN_DIGEST,
})

const toWireDelegate = (delegate: DelegateView): MessageInitShape<typeof DelegateSchema> => ({
  delegateId: delegate.delegateId,
  projectId: delegate.projectId,
  name: delegate.name,
  identityPublicKey: delegate.identityKey,
  partyId: delegate.partyId,
  linkId: delegate.linkId,
  webhookId: delegate.webhookId ?? '',
  keys: delegate.keys.map(({ kid, publicKeyPem, isActive, createTimeMs, retireTimeMs }) => ({
    kid,
    publicKeyPem,
    active: isActive,
    createTime: toTimestamp(createTimeMs),
    ...optionalTimestamp('retireTime', retireTimeMs),
  })),
  createTime: toTimestamp(delegate.createTimeMs),
})

/** As RevokeDelegatedAccess answers too. */
export const toWireAccess = (access: DelegatedAccessView): MessageInitShape<typeof DelegatedAccessSchema> => {
  const { chains, destinations, max_per_transaction, max_per_day, requests_per_second } = access.terms.narrowing
  return {
    delegatedAccessId: access.accessId,
    walletId: access.walletId,
    userId: access.userId,
    keyType: keyTypes.toWire(access.keyType),
    address: access.address,
    delegateId: access.delegateId,
    kid: access.kid,
    permissions: access.terms.operations.map(permissions.toWire),
    limits: {
      chains: [...(chains ?? [])],
      destinations: [...(destinations ?? [])],
      maxPerTransaction: toWireCaps(max_per_transaction),
      maxPerDay: toWireCaps(max_per_day),
      requestsPerSecond: requests_per_second ?? 0,
    },
    expireTime: toTimestamp(access.expireTimeMs),
    grantId: access.grantId ?? '',
    state: states.toWire(access.state),
    createTime: toTimestamp(access.createTimeMs),
    ...optionalTimestamp('activateTime', access.activateTimeMs),
    ...optionalTimestamp('endTime', access.endTimeMs),
  }
}

type Envelope = NonNullable<GivenAccess['envelopes']>['share']

const toWireEnvelope = ({ kid = '', ...rest }: Envelope): MessageInitShape<typeof DeliveredEnvelopeSchema> => ({ ...rest, kid })

const readLimits = (limits: DelegatedLimits | undefined): DelegateAccessRequest['limits'] => {
  if (limits === undefined) return {}
  const { chains, destinations, maxPerTransaction, maxPerDay, requestsPerSecond } = limits
  const perTransaction = readCaps(maxPerTransaction, 'limits.max_per_transaction')
  const perDay = readCaps(maxPerDay, 'limits.max_per_day')
  return {
    ...listed('chains', chains),
    ...listed('destinations', destinations),
    ...(maxPerTransaction.length === 0 ? {} : { max_per_transaction: perTransaction }),
    ...(maxPerDay.length === 0 ? {} : { max_per_day: perDay }),
    ...(requestsPerSecond === 0 ? {} : { requests_per_second: requestsPerSecond }),
  }
}

const readConsent = ({ consent }: WireRequest): DelegateAccessRequest['consent'] => {
  if (consent.case === undefined) throw nothingChosen('consent')
  if (consent.case === 'approvalId') return { kind: 'operator', approvalId: consent.value }
  const { secretId, signature } = consent.value
  return { kind: 'wallet_secret', secretId, signature }
}

const readRequest = (request: WireRequest): DelegateAccessRequest => {
  const expireMs = fromTimestamp(request.expireTime)
  if (expireMs === undefined) throw invalidField('expire_time', 'is required')
  return {
    walletRef: request.wallet,
    delegateId: request.delegateId,
    operations: request.permissions.flatMap((permission) => permissions.fromWire(permission) ?? []),
    limits: readLimits(request.limits),
    expireMs: Math.trunc(expireMs),
    walletEpoch: request.walletEpoch,
    consentExpireMs: readExpiry(request.consentExpireTime),
    nonce: request.nonce,
    consent: readConsent(request),
    includeEnvelopes: request.includeEnvelopes,
  }
}

export const delegatedAccessHandlers = (useCases: DelegatedAccessUseCases, tokens: PageTokens) =>
  ({
    registerDelegate: async ({ name, identityPublicKey, publicKeyPem, kid, webhookId }, call) => {
      const asked = { name, identityKey: identityPublicKey, publicKeyPem, kid, webhookId: orAbsent(webhookId) }
      return { delegate: toWireDelegate(await useCases.registerDelegate(call, asked)) }
    },
    rotateDelegateKey: async ({ delegateId, publicKeyPem, kid }, call) => ({
      delegate: toWireDelegate(await useCases.rotateDelegateKey(call, { delegateId, publicKeyPem, kid })),
    }),
    listDelegates: async (request, call) => {
      const { items, nextPageToken } = await listPage(tokens, ListDelegatesRequestSchema, request, call, (page) =>
        useCases.listDelegates(call, page),
      )
      return { delegates: items.map(toWireDelegate), nextPageToken }
    },
    delegateAccess: async (request, call) => {
      const { access, envelopes, receipt } = await useCases.delegateAccess(call, readRequest(request))
      return {
        access: toWireAccess(access),
        ...(envelopes === undefined
          ? {}
          : { encryptedDelegatedShare: toWireEnvelope(envelopes.share), encryptedWalletApiKey: toWireEnvelope(envelopes.apiKey) }),
        receipt: toWireReceipt(receipt),
      }
    },
    revokeDelegatedAccess: async ({ delegatedAccessId: accessId }, call) => ({
      access: toWireAccess(await useCases.revokeDelegatedAccess(call, { accessId })),
    }),
    listDelegatedAccess: async (request, call) => {
      const filter = {
        walletId: orAbsent(request.walletId),
        userId: orAbsent(request.userId),
        delegateId: orAbsent(request.delegateId),
        openOnly: request.openOnly,
      }
      const { items, nextPageToken } = await listPage(tokens, ListDelegatedAccessRequestSchema, request, call, (page) =>
        useCases.listDelegatedAccess(call, { ...page, ...filter }),
      )
      return { accesses: items.map(toWireAccess), nextPageToken }
    },
  }) satisfies Partial<Handlers<'delegation'>>
