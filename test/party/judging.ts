import { decodeError, decodeFrame, type ErrorMessage, FRAME_TYPES } from '../../src/engine/dkls23/frame.ts'
import { ProtocolFault } from '../../src/engine/dkls23/fault.ts'
import { ROLE_S } from '../../src/engine/dkls23/suite.ts'
import { PeerRefusal } from '../../src/party/peer-refusal.ts'

/** The refusal in an answer of S; undefined when it is no error frame. */
export const refusalIn = (answer: Uint8Array | undefined): ErrorMessage | undefined => {
  if (answer === undefined) return undefined
  const frame = decodeFrame(answer, ROLE_S)
  return frame.type === FRAME_TYPES.ERROR ? decodeError(frame.body) : undefined
}

const CLASSES: { readonly [code: string]: string } = { protocol: 'C', link_burned: 'D', internal: 'B' }

/** The class that an error code stands for. A link that burned before answers with code 8 too. */
export const classOf = (code: string): string => CLASSES[code] ?? 'A'

/** What a call of C ended with: `code` of S's refusal, or class and code of C's own fault. */
export const endOf = async (work: Promise<unknown>): Promise<string> => {
  try {
    await work
  } catch (error) {
    if (error instanceof PeerRefusal) return `S:${classOf(error.refusal.code)}:${error.refusal.code}`
    if (error instanceof ProtocolFault) return `C:${error.faultClass}:${error.codeName}`
    return `error:${error instanceof Error ? error.name : String(error)}`
  }
  return 'done'
}
