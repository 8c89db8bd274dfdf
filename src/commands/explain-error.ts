/**
 * Any error of a command as one line and an exit code: 1 for a refusal, 2 for wrong usage or configuration.
 * Never a stack trace; the text of an error that no one planned for is not shown either, it may quote what it
 * choked on.
 */
import { Code, ConnectError } from '@connectrpc/connect'
import { ErrorInfoSchema } from '../../gen/google/rpc/error_details_pb.ts'
import { ConfigError, NoDaemonError } from '../config/config-error.ts'
import { isFailure } from '../domain/failure.ts'
import { withoutControls } from '../observe/logger.ts'
import { CommandRefusal, UsageRefusal } from './terminal.ts'

export type Explained = { readonly line: string; readonly exitCode: 1 | 2 }

const SYSTEM_CODE = /^E[A-Z0-9]{2,}$/

/** The system's own code somewhere behind an error: the connection failed before the daemon could answer. */
const systemCodeOf = (error: unknown): string | undefined => {
  const { code, cause } = (error ?? {}) as { code?: unknown; cause?: unknown }
  if (typeof code === 'string' && SYSTEM_CODE.test(code)) return code
  return cause === undefined ? undefined : systemCodeOf(cause)
}

const explainCall = (error: ConnectError): string => {
  const [info] = error.findDetails(ErrorInfoSchema)
  if (info !== undefined) return `${error.rawMessage} (${info.reason})`
  const systemCode = systemCodeOf(error.cause)
  if (systemCode !== undefined || error.code === Code.Unavailable) {
    const why = systemCode ?? 'UNAVAILABLE'
    return `the daemon cannot be reached (${why}): is it running, and is the address right?`
  }
  return `${error.rawMessage} (${Code[error.code] ?? error.code})`
}

/** Where a bug is, without its text: the first frame inside this program. */
const placeOf = (error: unknown): string => {
  const stack = error instanceof Error ? (error.stack ?? '') : ''
  const frame = /\/((?:src|gen)\/[\w./-]+:\d+)/.exec(stack)?.[1]
  return frame === undefined ? '' : ` at ${frame}`
}

export const explainError = (error: unknown): Explained => {
  const line = (text: string, exitCode: 1 | 2): Explained => ({
    line: `countersign: ${withoutControls(text.replaceAll('\n', ' '))}`,
    exitCode,
  })
  if (error instanceof ConfigError || error instanceof UsageRefusal) return line(error.message, 2)
  if (error instanceof CommandRefusal || error instanceof NoDaemonError) return line(error.message, 1)
  if (isFailure(error)) return line(`${error.message} (${error.reason})`, 1)
  if (error instanceof ConnectError) return line(explainCall(error), 1)
  const { code, path, syscall, address, port } = (error ?? {}) as Record<string, unknown>
  if (typeof code === 'string' && SYSTEM_CODE.test(code)) {
    const where = typeof path === 'string' ? path : typeof address === 'string' ? `${address}:${String(port)}` : ''
    return line([syscall, where, code].filter((part) => typeof part === 'string' && part !== '').join(' '), 1)
  }
  return line(`internal error (${error instanceof Error ? error.name : typeof error}${placeOf(error)})`, 1)
}
