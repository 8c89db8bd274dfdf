/**
 * `node bench/plain-daemon.ts <viem|libsecp256k1> <options of the daemon>`: the daemon around a plain key. Everything but
 * the rounds is the product's: this is the one place that composes it with anything else than the two parties.
 */
import { once } from 'node:events'
import { loadConfig } from '../src/config/load-config.ts'
import { createDataDir } from '../src/commands/create-data-dir.ts'
import { processTerminal } from '../src/commands/run-command.ts'
import { composeDaemon } from '../src/commands/serve.ts'
import { createLogger } from '../src/observe/logger.ts'
import { openPlainKeyEngine, type PlainSigner } from './plain-key-engine.ts'
import { watchProcess } from './process-watch.ts'

const [signer, ...options] = process.argv.slice(2)
const pairs = Array.from({ length: options.length / 2 }, (_, i) => [options[2 * i]?.replace('--', ''), options[2 * i + 1]])
const letGo = watchProcess()
const { stop } = processTerminal()
const { config, secrets } = loadConfig(Object.fromEntries(pairs) as Record<string, string>)
await createDataDir(config, secrets, 'everything')
const log = createLogger({ level: config.logLevel, pretty: false })
const daemon = await composeDaemon(config, secrets, { mode: 'dev', log }, (engine) =>
  openPlainKeyEngine(signer as PlainSigner, engine),
)
if (!stop.aborted) await once(stop, 'abort')
await daemon.stop()
letGo()
