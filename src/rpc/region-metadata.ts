/** `x-us-env: true` in a call's metadata says what `region: "us"` does in its request. */
import { clone } from '@bufbuild/protobuf'
import type { DescMessage, DescMethod, MessageShape } from '@bufbuild/protobuf'
import type { HandlerContext } from '@connectrpc/connect'
import { DelegationService } from '../../gen/countersign/v1/delegation_pb.ts'
import { readHeader } from './call-transport.ts'

type AnyRequest = MessageShape<DescMessage>

const REGIONAL: ReadonlySet<DescMethod> = new Set(
  DelegationService.methods.filter(({ input }) => input.fields.some(({ localName }) => localName === 'region')),
)

/** The request with the region that the metadata names; a region that the request names itself stays. */
export const inRegion = (desc: DescMethod, request: AnyRequest, context: HandlerContext): AnyRequest => {
  if (!REGIONAL.has(desc) || readHeader(context, 'x-us-env') !== 'true') return request
  const asked: AnyRequest & { region?: string } = clone(desc.input, request)
  if (asked.region === '') asked.region = 'us'
  return asked
}
