/**
 * Requests that stop things by what they ask, not by their RPC: cancels and orders that only reduce a position. They have
 * places of their own when the daemon has more work than it can finish, and no rate of their API key holds them up. What
 * the caller says here is held to: an action of another family, or one that may do more, is refused.
 */
import { type DescMessage, type DescMethod, isMessage, type Message, type MessageShape } from '@bufbuild/protobuf'
import { SessionKeyService, type SignActionRequest, SignActionRequestSchema } from '../../gen/countersign/v1/session_key_pb.ts'

const CANCELS: ReadonlySet<string> = new Set(['cancel_order', 'cancel_all'])
const { signAction } = SessionKeyService.method

export const isUrgentRequest = (desc: DescMethod, request: MessageShape<DescMessage>): boolean => {
  if (desc !== signAction) return false
  const { family, reduceOnly } = request as SignActionRequest
  return reduceOnly || CANCELS.has(family)
}

/** An action that is no cancel: an order that only reduces a position moves money all the same. */
export const isOrder = (request: Message): boolean =>
  isMessage(request, SignActionRequestSchema) && !CANCELS.has(request.family)
