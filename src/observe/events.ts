/**
 * Everything the daemon tells its operator, one function an event. Each takes the facts it may log and picks
 * them by name: a fact that is not listed here is not logged, whatever object the caller hands in.
 */
import type { Logger } from './logger.ts'

type Where = { readonly grpc: string; readonly connect: string; readonly socket: string }

export const logConfigWarning = (log: Logger, warning: string): void =>
  log.write('warn', 'config.warning', { warning })

export const logDaemonStarting = (
  log: Logger,
  facts: { readonly version: string; readonly dataDir: string; readonly mode: string },
): void =>
  log.write('info', 'daemon.starting', {
    version: facts.version,
    dataDir: facts.dataDir,
    mode: facts.mode,
    parties: 'split at rest, one host',
  })

export const logDaemonServing = (log: Logger, facts: Where): void =>
  log.write('info', 'daemon.serving', { grpc: facts.grpc, connect: facts.connect, socket: facts.socket })

export const logDaemonStopping = (
  log: Logger,
  facts: { readonly signal: string; readonly inFlight?: number },
): void => log.write('info', 'daemon.stopping', { signal: facts.signal, inFlight: facts.inFlight })

export const logDaemonStopped = (log: Logger, facts: { readonly tookMs: number }): void =>
  log.write('info', 'daemon.stopped', { tookMs: facts.tookMs })

export const logWalletCreated = (
  log: Logger,
  facts: {
    readonly walletId: string
    readonly projectId: string
    readonly keyType: string
    readonly sequence: string
  },
): void =>
  log.write('info', 'wallet.created', {
    walletId: facts.walletId,
    projectId: facts.projectId,
    keyType: facts.keyType,
    sequence: facts.sequence,
  })

export const logWalletSuspended = (
  log: Logger,
  facts: { readonly walletId: string; readonly check: string },
): void => log.write('error', 'wallet.suspended', { walletId: facts.walletId, check: facts.check })

export const logSignatureReleased = (
  log: Logger,
  facts: {
    readonly walletId: string
    readonly method: string
    readonly callerId: string
    readonly sequence: string
    readonly tookMs: number
  },
): void =>
  log.write('debug', 'signature.released', {
    walletId: facts.walletId,
    method: facts.method,
    callerId: facts.callerId,
    sequence: facts.sequence,
    tookMs: facts.tookMs,
  })

export const logRequestRefused = (
  log: Logger,
  facts: { readonly method: string; readonly reason: string; readonly callerId?: string | undefined },
): void =>
  log.write('info', 'request.refused', { method: facts.method, reason: facts.reason, callerId: facts.callerId })

/** Frames without the message line: the text of an unexpected error may quote what it choked on. */
const framesOf = (error: unknown): string[] => {
  if (!(error instanceof Error) || typeof error.stack !== 'string') return []
  const frames = error.stack.split('\n').filter((line) => /^\s+at /.test(line))
  return frames.slice(0, 8).map((line) => line.trim())
}

/** A bug. The caller hears `internal error`; the operator sees where it happened, never the error's own text. */
export const logInternalError = (
  log: Logger,
  facts: { readonly where: string; readonly error: unknown },
): void => {
  const { error } = facts
  const code = (error as { code?: unknown } | undefined)?.code
  log.write('error', 'internal.error', {
    where: facts.where,
    name: error instanceof Error ? error.name : typeof error,
    code: typeof code === 'string' || typeof code === 'number' ? String(code) : undefined,
    frames: framesOf(error),
  })
}

export const logLinkReady = (
  log: Logger,
  facts: { readonly linkEpoch: number; readonly why: string; readonly tookMs: number },
): void => log.write('info', 'link.ready', { linkEpoch: facts.linkEpoch, why: facts.why, tookMs: facts.tookMs })

/** A cheating check failed. Nothing signs until an operator relinks. */
export const logLinkBurned = (log: Logger, facts: { readonly check: string; readonly linkEpoch: number }): void =>
  log.write('error', 'link.burned', {
    check: facts.check,
    linkEpoch: facts.linkEpoch,
    mend: 'countersign cosigner relink',
  })

export const logLinkAborted = (log: Logger, facts: { readonly step: string; readonly why: string }): void =>
  log.write('warn', 'link.aborted', { step: facts.step, why: facts.why })

export const logCosignerGone = (log: Logger, facts: { readonly why: string }): void =>
  log.write('error', 'cosigner.gone', { why: facts.why })

export const logApiKeyChanged = (
  log: Logger,
  facts: {
    readonly apiKeyId: string
    readonly change: 'created' | 'rotated' | 'revoked'
    readonly sequence: string
  },
): void => log.write('info', `api_key.${facts.change}`, { apiKeyId: facts.apiKeyId, sequence: facts.sequence })

export const logFreezeChanged = (
  log: Logger,
  facts: { readonly scope: string; readonly id: string; readonly frozen: boolean; readonly sequence: string },
): void =>
  log.write('warn', facts.frozen ? 'frozen' : 'unfrozen', {
    scope: facts.scope,
    id: facts.id,
    sequence: facts.sequence,
  })

export const logCertificateReloaded = (
  log: Logger,
  facts: { readonly file: string; readonly notAfter: string },
): void => log.write('info', 'tls.reloaded', { file: facts.file, notAfter: facts.notAfter })

export const logCertificateRefused = (
  log: Logger,
  facts: { readonly file: string; readonly code: string },
): void => log.write('error', 'tls.reload_refused', { file: facts.file, code: facts.code })

export const logSocketReplaced = (log: Logger, facts: { readonly path: string }): void =>
  log.write('info', 'socket.stale_removed', { path: facts.path })

export const logAuditUnavailable = (log: Logger, facts: { readonly code: string }): void =>
  log.write('error', 'audit.unavailable', { code: facts.code })

/** Something at one of the two parties that an operator should look at. */
export const logPartyAlert = (
  log: Logger,
  facts: { readonly party: 'daemon' | 'cosigner'; readonly what: string; readonly detail: string },
): void => log.write('error', `party.${facts.what}`, { party: facts.party, detail: facts.detail })
