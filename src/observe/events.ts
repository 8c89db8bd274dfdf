/**
 * Everything the daemon tells its operator, one function an event. Each takes the facts it may log and picks
 * them by name: a fact that is not listed here is not logged, whatever object the caller hands in.
 */
import type { Logger } from './logger.ts'

type Where = {
  readonly grpc: string
  readonly connect: string
  readonly socket: string
  readonly metrics?: string
}

export const logConfigWarning = (log: Logger, warning: string): void =>
  log.write('warn', 'config.warning', { warning })

export const logDaemonStarting = (
  log: Logger,
  facts: { readonly version: string; readonly dataDir: string; readonly mode: string; readonly isRemote: boolean },
): void =>
  log.write('info', 'daemon.starting', {
    version: facts.version,
    dataDir: facts.dataDir,
    mode: facts.mode,
    parties: facts.isRemote ? 'split over two hosts' : 'split at rest, one host',
  })

export const logDaemonServing = (log: Logger, facts: Where): void =>
  log.write('info', 'daemon.serving', {
    grpc: facts.grpc,
    connect: facts.connect,
    socket: facts.socket,
    metrics: facts.metrics,
  })

export const logDaemonStopping = (
  log: Logger,
  facts: { readonly signal: string; readonly inFlight?: number },
): void => log.write('info', 'daemon.stopping', { signal: facts.signal, inFlight: facts.inFlight })

export const logDaemonStopped = (log: Logger, facts: { readonly tookMs: number }): void =>
  log.write('info', 'daemon.stopped', { tookMs: facts.tookMs })

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

/** A signature took longer than the operator finds right. `stages` says where the time went. */
export const logSlowSignature = (
  log: Logger,
  facts: { readonly method: string; readonly tookMs: number; readonly stages: string; readonly keptBack: number },
): void =>
  log.write('warn', 'sign.slow', {
    method: facts.method,
    tookMs: Math.round(facts.tookMs),
    stages: facts.stages,
    keptBack: facts.keptBack,
  })

/** A wallet is signed from faster than its presignatures are made: soon each signature waits for one. */
export const logPoolLow = (
  log: Logger,
  facts: { readonly walletId: string; readonly left: number; readonly keptBack: number },
): void =>
  log.write('warn', 'presignatures.low', { walletId: facts.walletId, left: facts.left, keptBack: facts.keptBack })

export const logCosignerGone = (log: Logger, facts: { readonly why: string }): void =>
  log.write('error', 'cosigner.gone', { why: facts.why })

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

/** A receiver of webhooks took an event at no attempt. It can be sent again (RedeliverWebhook). */
export const logWebhookFailed = (
  log: Logger,
  facts: { readonly webhookId: string; readonly eventId: string; readonly why: string; readonly keptBack: number },
): void =>
  log.write('warn', 'webhook.failed', {
    webhookId: facts.webhookId,
    eventId: facts.eventId,
    why: facts.why,
    keptBack: facts.keptBack,
  })

/** Something that was sent keeps its nonce and does not move; what its wallet sends later waits behind it. */
export const logTransactionStuck = (
  log: Logger,
  facts: { readonly sendId: string; readonly network: string; readonly why: string },
): void => log.write('warn', 'transaction.stuck', { sendId: facts.sendId, network: facts.network, why: facts.why })

/** Somebody else's server that sign-ins need did not answer as it should, or may not be asked. */
export const logSignInOutage = (
  log: Logger,
  facts: { readonly what: 'key_set' | 'oidc_provider' | 'email'; readonly why: string; readonly keptBack: number },
): void => log.write('warn', 'sign_in.outage', { what: facts.what, why: facts.why, keptBack: facts.keptBack })

/** Something at one of the two parties that an operator should look at. */
export const logPartyAlert = (
  log: Logger,
  facts: { readonly party: 'daemon' | 'cosigner'; readonly what: string; readonly detail: string },
): void => log.write('error', `party.${facts.what}`, { party: facts.party, detail: facts.detail })

/** A cosigner on a host of its own. */
export const logCosignerServing = (log: Logger, facts: { readonly address: string; readonly isPaired: boolean }): void =>
  log.write('info', 'cosigner.serving', { address: facts.address, isPaired: facts.isPaired })

/** What happens between it and its daemon. */
export const logCosignerChannel = (log: Logger, facts: { readonly what: string; readonly detail: string }): void =>
  log.write('info', 'cosigner.channel', { what: facts.what, detail: facts.detail })
