/** `countersign cosigner serve`: the second party as a process of its own. */
import { once } from 'node:events'
import { renameSync, rmSync, writeFileSync } from 'node:fs'
import type { Config, Secrets } from '../config/config.ts'
import { dataDirPaths, loadConfig, type Flags } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { failure } from '../domain/failure.ts'
import { logConfigWarning, logCosignerChannel, logCosignerServing, logPartyAlert } from '../observe/events.ts'
import { createLogger, type Logger } from '../observe/logger.ts'
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
    const told = (what: string, detail: string): void => logCosignerChannel(log, { what, detail })
    listener = new CosignerListener({ identity, daemon, listen, host, version: VERSION, log: told })
    const address = await listener.listen()
    const { endpoints } = dataDirPaths(dataDir)
    publish(endpoints, { cosigner: address })
    logCosignerServing(log, { address, isPaired: daemon !== undefined })
    const served = listener
    const stop = async (): Promise<void> => {
      rmSync(endpoints, { force: true })
      await served.close()
      await host.stop()
    }
    return { address, stop }
  } catch (error) {
    await host.stop()
    throw asFailure(error)
  }
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
