/** What a daemon is asked as a delegate, of countersign.v1.DelegationService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import {
  type DelegatedDelivery,
  type DeliveredEnvelope,
  type ImportDelegatedAccessRequest,
  type ImportedAccessSchema,
  ImportedAccessState as WireState,
  ListImportedAccessRequestSchema,
} from '../../gen/countersign/v1/delegate_side_pb.ts'
import { failure } from '../domain/failure.ts'
import { accessIdToBytes, parseAccessId } from '../domain/ids.ts'
import type { DelegateSideUseCases, ImportAccessRequest, ImportedAccessView } from './delegate-side-use-cases.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import { readMessage, readTransaction, toWireSigned, toWireTransaction } from './wire-signing.ts'
import { bothWays, keyTypes, nothingChosen, optionalTimestamp, orAbsent, toTimestamp } from './wire-words.ts'

const states = bothWays<ImportedAccessView['state'], WireState>({
  pending: WireState.PENDING,
  active: WireState.ACTIVE,
  revoked: WireState.REVOKED,
  suspended: WireState.SUSPENDED,
  foreign: WireState.FOREIGN,
})

const toWireAccess = (access: ImportedAccessView): MessageInitShape<typeof ImportedAccessSchema> => ({
  accessId: access.accessId,
  projectId: access.projectId,
  keyType: keyTypes.toWire(access.keyType),
  address: access.address,
  publicKey: Buffer.from(access.publicKey).toString('hex'),
  userId: access.userId,
  state: states.toWire(access.state),
  grantingDaemon: access.grantingDaemon,
  createTime: toTimestamp(access.createTimeMs),
  ...optionalTimestamp('revokeTime', access.revokeTimeMs),
})

const readEnvelope = (envelope: DeliveredEnvelope | undefined) => {
  if (envelope === undefined) throw nothingChosen('delivery')
  const { alg, iv, ct, tag, ek, kid } = envelope
  return { alg, iv, ct, tag, ek, kid: orAbsent(kid) }
}

const readDelivery = ({ encryptedDelegatedShare, encryptedWalletApiKey, walletId }: DelegatedDelivery) => {
  const named = parseAccessId(walletId.toLowerCase())
  return {
    kind: 'delivery',
    delivery: {
      encryptedDelegatedShare: readEnvelope(encryptedDelegatedShare),
      encryptedWalletApiKey: readEnvelope(encryptedWalletApiKey),
    },
    walletId: named && accessIdToBytes(named),
  } as const
}

const readImport = ({ content, expectedAddress }: ImportDelegatedAccessRequest): ImportAccessRequest => {
  switch (content.case) {
    case 'delivery':
      return { content: readDelivery(content.value), expectedAddress: orAbsent(expectedAddress) }
    case 'webhookBody':
      return { content: { kind: 'webhook', body: content.value }, expectedAddress: orAbsent(expectedAddress) }
    case undefined:
      throw nothingChosen('content')
  }
}

export const delegateSideHandlers = (delegate: DelegateSideUseCases, tokens: PageTokens) =>
  ({
    importDelegatedAccess: async (request, call) => ({
      access: toWireAccess(await delegate.importDelegatedAccess(call, readImport(request))),
    }),
    returnDelegatedAccess: async ({ accessId }, call) => {
      const named = parseAccessId(accessId.toLowerCase())
      if (named === undefined) throw failure('IMPORTED_ACCESS_NOT_FOUND', {})
      return { access: toWireAccess(await delegate.returnDelegatedAccess(call, { accessId: named })) }
    },
    listImportedAccess: async (request, call) => {
      const { items, nextPageToken } = await listPage(tokens, ListImportedAccessRequestSchema, request, call, (page) =>
        delegate.listImportedAccess(call, page),
      )
      return { accesses: items.map(toWireAccess), nextPageToken }
    },
    delegatedSignMessage: async ({ access, content, isFormatted }, call) =>
      toWireSigned(await delegate.delegatedSignMessage(call, { access, content: readMessage(content), isFormatted })),
    delegatedSignTypedData: async ({ access, typedDataJson: json }, call) =>
      toWireSigned(await delegate.delegatedSignTypedData(call, { access, json })),
    delegatedSignTransaction: async ({ access, transaction }, call) =>
      toWireTransaction(await delegate.delegatedSignTransaction(call, { access, transaction: readTransaction(transaction) })),
  }) satisfies Partial<Handlers<'delegation'>>
