/** `countersign cosigner serve`: the second party as a process of its own. */
import { once } from 'node:events'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { failure } from '../domain/failure.ts'
import { createCosignerMetrics } from '../observe/cosigner-metrics.ts'
import { logConfigWarning, logCosignerChannel, logCosignerServing, logInternalError, logPartyAlert } from '../observe/events.ts'
import { createLogger, type Logger } from '../observe/logger.ts'
import { listenMetrics, type MetricsListener } from '../observe/metrics-listener.ts'
import { systemClock } from '../party/entropy.ts'
import { asFailure } from '../party/party-failure.ts'
import { CosignerHost } from '../party/remote/cosigner-host.ts'
import { CosignerListener } from '../party/remote/cosigner-listener.ts'
import { identityPaths, loadIdentity, readPairing } from '../party/remote/identity-files.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { backupPlaces } from './sealed-daemon.ts'
import type { Terminal } from './terminal.ts'
import { VERSION } from './version.ts'
import { embeddedCosigner } from './wire-cosigner.ts'

const FREEZES_COUNTED = 1_000
/** After SIGTERM; then its connections are cut. */
const LAST_RESORT_MS = 12_000

export type RunningCosigner = { readonly address: string; readonly stop: () => Promise<void> }

/** Serves until stopped. Refuses what the vault and the listener refuse. */
export const serveCosigner = async (config: Config, secrets: Secrets, log: Logger): Promise<RunningCosigner> => {
  const { dataDir, cosignerListen: listen } = config
  const identity = loadIdentity(dataDir, 'cosigner')
  if (identity === undefined) throw failure('VAULT_MISSING', { path: identityPaths(dataDir).key })
  const peer = readPairing(identityPaths(dataDir).peer)
  const daemon = peer?.role === 'daemon' ? peer : undefined
  let listener: CosignerListener | undefined
  const seen = { joined: 0, left: 0, misspoke: 0 }
  const data = { ...embeddedCosigner(config, secrets, backupPlaces(config).cosigner), pairedOnly: true }
  const host: CosignerHost = new CosignerHost(data, systemClock, {
    alert: (what, detail) => {
      logPartyAlert(log, { party: 'cosigner', what, detail })
      listener?.session?.alert(what, detail)
    },
    lost: (lost) => listener?.lost(lost),
    question: async (frame) => listener?.session?.question(frame),
    available: (isAvailable, why) => {
      logCosignerChannel(log, { what: isAvailable ? 'vault open' : 'vault closed', detail: why })
      listener?.setAvailable(isAvailable)
    },
  })
  try {
    await host.ready()
    const told = (what: 'joined' | 'left' | 'misspoke', detail: string): void => {
      seen[what] += 1
      logCosignerChannel(log, { what, detail })
    }
    listener = new CosignerListener({ identity, daemon, listen, host, version: VERSION, log: told })
    const address = await listener.listen()
    const metrics = await serveMetrics(config, { host, listener, seen }, log)
    const { endpoints } = dataDirPaths(dataDir)
    publish(endpoints, { cosigner: address, ...(metrics && { metrics: metrics.address }) })
    logCosignerServing(log, { address, isPaired: daemon !== undefined })
    const served = listener
    const stop = async (): Promise<void> => {
      rmSync(endpoints, { force: true })
      await metrics?.close()
      await served.close()
      await host.stop()
    }
    return { address, stop }
  } catch (error) {
    await host.stop()
    throw asFailure(error)
  }
}

type Measured = {
  readonly host: CosignerHost
  readonly listener: CosignerListener
  readonly seen: { readonly joined: number; readonly misspoke: number }
}

/** Opens the metrics listener, if there is to be one. */
const serveMetrics = async (
  { metricsListen }: Config,
  { host, listener, seen }: Measured,
  log: Logger,
): Promise<MetricsListener | undefined> => {
  if (metricsListen === undefined) return undefined
  const metrics = createCosignerMetrics()
  const standingOf = async () => {
    const { calls } = await host.ready()
    return calls.call('standing', { limit: FREEZES_COUNTED }, { timeoutMs: 5_000 })
  }
  const scrape = async (): Promise<string> => {
    const found = await standingOf().catch(() => undefined)
    const standing = found && { auditSequence: found.head.sequence, freezes: found.freezes.length, counts: found.counts }
    const { isJoined = false } = listener.session ?? {}
    return metrics.scrape({ isJoined, joins: seen.joined, misspoken: seen.misspoke, standing, links: found?.links ?? [] })
  }
  return listenMetrics(metricsListen, scrape, metrics.contentType, (error) => logInternalError(log, { where: 'metrics', error }))
}

/** Whole or not at all: whoever waits for the file reads it as soon as it is there. */
const publish = (path: string, endpoints: object): void => {
  writeFileSync(`${path}.new`, `${JSON.stringify(endpoints)}\n`, { mode: 0o600 })
  renameSync(`${path}.new`, path)
}

export const runCosigner = async (flags: Flags, terminal: Terminal): Promise<void> => {
  refuseUnsafeProcess()
  const { config, secrets, warnings } = loadConfig(flags)
  const log = createLogger({ level: config.logLevel, pretty: terminal.isInteractive })
  for (const warning of warnings) logConfigWarning(log, warning)
  const running = await serveCosigner(config, await completeSecrets(config, secrets, askAtTerminal(false)), log)
  if (!terminal.stop.aborted) await once(terminal.stop, 'abort')
  const lastResort = setTimeout(() => process.kill(process.pid, 'SIGKILL'), LAST_RESORT_MS)
  await running.stop()
  clearTimeout(lastResort)
}
