import { ConnectError } from '@connectrpc/connect'
import { ErrorInfoSchema } from '../../../gen/google/rpc/error_details_pb.ts'

/** The refusal a call ends with. */
export const refusalOf = async (call: Promise<unknown>): Promise<ConnectError> => {
  try {
    await call
  } catch (error) {
    return ConnectError.from(error)
  }
  throw new Error('expected a refusal')
}

export const infoOf = (error: ConnectError) => error.findDetails(ErrorInfoSchema)[0]

/** Its reason: what a client decides by. */
export const reasonOf = async (call: Promise<unknown>): Promise<string | undefined> =>
  infoOf(await refusalOf(call))?.reason
