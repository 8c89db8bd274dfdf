/**
 * `dev` and `serve`: configuration, the daemon, the first call for whoever reads the terminal, and the way
 * down.
 */
import { once } from 'node:events'
import { coreDumpsOn } from '../config/core-dumps.ts'
import { loadConfig, type Flags, type LoadedConfig } from '../config/load-config.ts'
import { refuseUnsafeProcess } from '../config/refuse-unsafe-process.ts'
import { logConfigWarning } from '../observe/events.ts'
import { createLogger, type Logger } from '../observe/logger.ts'
import { askAtTerminal, completeSecrets } from './ask-passphrase.ts'
import { firstCall } from './first-call.ts'
import type { Terminal } from './terminal.ts'

export type DaemonMode = 'dev' | 'production'

/** After SIGTERM: what is in flight gets this long, then its connections are cut. */
const LAST_RESORT_MS = 12_000

const waitFor = async (stop: AbortSignal): Promise<void> => {
  if (!stop.aborted) await once(stop, 'abort')
}

const CORE_DUMP_WARNING = 'core dumps are on: a crash would write keys to disk (LimitCORE=0, or ulimit -c 0)'

const warnOf = (mode: DaemonMode, loaded: LoadedConfig, log: Logger): void => {
  for (const warning of loaded.warnings) logConfigWarning(log, warning)
  if (mode === 'production' && coreDumpsOn() === true) logConfigWarning(log, CORE_DUMP_WARNING)
}

export const runDaemon = async (mode: DaemonMode, flags: Flags, terminal: Terminal): Promise<void> => {
  refuseUnsafeProcess()
  const { stop } = terminal
  const loaded = loadConfig(flags)
  const log = createLogger({ level: loaded.config.logLevel, pretty: terminal.isInteractive })
  warnOf(mode, loaded, log)
  const { createDataDir, hasVault } = await import('./create-data-dir.ts')
  const isNew = mode === 'dev' && !hasVault(loaded.config)
  const secrets = await completeSecrets(loaded.config, loaded.secrets, askAtTerminal(isNew))
  if (isNew) await createDataDir(loaded.config, secrets, 'everything')
  const { serve } = await import('./serve.ts')
  const daemon = await serve(loaded.config, secrets, { mode, log })
  if (mode === 'dev') terminal.print(firstCall(daemon.endpoints, loaded.config))
  await waitFor(stop)
  // The daemon ends within its own ten seconds; this is for the day it does not.
  const lastResort = setTimeout(() => process.kill(process.pid, 'SIGKILL'), LAST_RESORT_MS)
  await daemon.stop()
  clearTimeout(lastResort)
}
