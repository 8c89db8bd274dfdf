import { describeConfig } from '../config/describe-config.ts'
import { loadConfig, type Flags } from '../config/load-config.ts'
import { formatTable } from './print-table.ts'
import type { Terminal } from './terminal.ts'

/**
 * Reads the configuration as the daemon would and prints what it would run on. Starts nothing, shows no secret.
 */
export const checkConfig = (flags: Flags, terminal: Terminal): void => {
  const loaded = loadConfig(flags)
  const settings = describeConfig(loaded)
  for (const warning of loaded.warnings) terminal.note(`warning: ${warning}`)
  if (flags.json === true) {
    terminal.print(JSON.stringify({ configFile: loaded.configFile ?? null, settings }, null, 2))
    return
  }
  const rows = settings.map(({ name, value, source }) => [name, value, source])
  terminal.print(formatTable(['SETTING', 'VALUE', 'FROM'], rows))
}
