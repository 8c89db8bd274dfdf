/** A delegate gives access back: the daemon that delegated destroys its half and answers. */
import { create, fromBinary, toBinary } from '@bufbuild/protobuf'
import { Client, Metadata, type ServiceError } from '@grpc/grpc-js'
import { RevokeDelegatedAccessRequestSchema, RevokeDelegatedAccessResponseSchema } from '../../../gen/countersign/v1/delegated_access_pb.ts'
import { DelegationService } from '../../../gen/countersign/v1/delegation_pb.ts'
import { accessIdFromBytes } from '../../domain/ids.ts'
import { PeerUnavailable } from '../counterparty.ts'
import { channelTo } from './cosign-rpc.ts'
import { type CosignTarget, type DaemonRefusal, refusalIn, whyOf } from './cosign-stream.ts'

const TIMEOUT_MS = 10_000

/** Undefined once it is over there; what the daemon says otherwise. Rejects with PeerUnavailable: nobody knows. */
export const giveBack = (target: CosignTarget): Promise<DaemonRefusal | undefined> => {
  const { parent, name } = DelegationService.method.revokeDelegatedAccess
  const { host, credentials, options } = channelTo(target)
  const client = new Client(host, credentials, options)
  const metadata = new Metadata()
  metadata.set('authorization', `Bearer ${target.apiKey}`)
  const request = create(RevokeDelegatedAccessRequestSchema, { delegatedAccessId: accessIdFromBytes(target.accessId) })
  return new Promise<DaemonRefusal | undefined>((resolve, reject) => {
    client.makeUnaryRequest(
      `/${parent.typeName}/${name}`,
      (message) => Buffer.from(toBinary(RevokeDelegatedAccessRequestSchema, message)),
      (bytes) => fromBinary(RevokeDelegatedAccessResponseSchema, bytes),
      request,
      metadata,
      { deadline: Date.now() + TIMEOUT_MS },
      (error: ServiceError | null) => {
        if (error === null) return resolve(undefined)
        const refusal = refusalIn(error)
        if (refusal === undefined) reject(new PeerUnavailable(whyOf(error.code)))
        else resolve(refusal)
      },
    )
  }).finally(() => client.close())
}
