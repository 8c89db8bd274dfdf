/** What the online commands need to reach a running daemon: where it is, and the API key to show it. */
import { readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import type { Secret } from '../domain/secret.ts'
import { ConfigError, NoDaemonError } from './config-error.ts'
import { isLoopback } from './loopback.ts'
import type { ConfigSurroundings, Flags } from './load-config.ts'
import { environmentName } from './options.ts'
import { readSecret } from './read-secret.ts'
import { readTomlFile } from './read-toml.ts'

/** A daemon's address: a unix socket, or a base URL. */
export type Endpoint = { readonly socket: string } | { readonly url: string; readonly caPem: string | undefined }

export type ClientConfig = {
  readonly endpoint: Endpoint
  readonly apiKey: Secret<Uint8Array>
  readonly warnings: readonly string[]
}

/** `<data-dir>/endpoints.json`, there while a daemon serves. */
export type EndpointsFile = { readonly grpc: string; readonly connect: string; readonly socket: string }

const textOf = (
  flags: Flags,
  environment: ConfigSurroundings['environment'],
  name: string,
): string | undefined => {
  const flag = flags[name]
  return typeof flag === 'string' ? flag : environment[environmentName(name)]
}

const readEndpointsFile = (dataDir: string): EndpointsFile => {
  const path = join(dataDir, 'endpoints.json')
  let text: string
  try {
    text = readFileSync(path, 'utf8')
  } catch {
    throw new NoDaemonError(dataDir)
  }
  try {
    return JSON.parse(text) as EndpointsFile
  } catch {
    throw new ConfigError(path, 'is not JSON')
  }
}

const readPem = (path: string): string => {
  try {
    return readFileSync(path, 'utf8')
  } catch (error) {
    throw new ConfigError(
      '--ca-file',
      `${path} cannot be read (${(error as NodeJS.ErrnoException).code ?? 'unknown'})`,
    )
  }
}

const parseEndpoint = (text: string, caFile: string | undefined, cwd: string): Endpoint => {
  if (text.startsWith('unix:'))
    return { socket: resolve(cwd, text.slice('unix:'.length).replace(/^\/\/(?=\/)/, '')) }
  const url = text.includes('://') ? text : `${caFile === undefined ? 'http' : 'https'}://${text}`
  const parsed = URL.parse(url)
  const isPlain = parsed !== null && ['http:', 'https:'].includes(parsed.protocol) && parsed.pathname === '/'
  if (!isPlain || parsed.username !== '')
    throw new ConfigError('--endpoint', 'expected host:port, https://host:port or unix:<path>')
  return { url: parsed.origin, caPem: caFile === undefined ? undefined : readPem(resolve(cwd, caFile)) }
}

/** The key would cross the network readable. The daemon's own option of that name allows the same on its side. */
const refusePlaintextKey = (endpoint: Endpoint, allowed: boolean): void => {
  if ('socket' in endpoint || allowed) return
  const { protocol, hostname } = new URL(endpoint.url)
  if (protocol === 'https:' || isLoopback(hostname.replace(/^\[|\]$/g, ''))) return
  throw new ConfigError(
    '--endpoint',
    `plaintext to ${hostname} would show the API key to the network: give https:// or --ca-file, ` +
      'or name the risk with --allow-plaintext-beyond-loopback',
  )
}

/** The daemon's directory as the client commands understand it: same flag, variable, file key and default. */
export const resolveDataDir = (
  flags: Flags,
  surroundings: ConfigSurroundings = { environment: process.env, cwd: process.cwd() },
): string => {
  const { environment, cwd } = surroundings
  const given = textOf(flags, environment, 'data-dir')
  if (given !== undefined) return resolve(cwd, given)
  const configFile = textOf(flags, environment, 'config')
  const file = configFile === undefined ? undefined : readTomlFile(resolve(cwd, configFile))
  return file === undefined
    ? resolve(cwd, '.countersign')
    : resolve(file.baseDir, String(file.values.get('data_dir')?.raw ?? resolve(cwd, '.countersign')))
}

/**
 * Finds the daemon and the key. Without `--endpoint` it is the unix socket named in the data directory; without
 * `--api-key-file` the key is the `admin.key` of the data directory, and only for a daemon of that directory.
 */
export const loadClientConfig = (
  flags: Flags,
  surroundings: ConfigSurroundings = { environment: process.env, cwd: process.cwd() },
): ClientConfig => {
  const { environment, cwd } = surroundings
  const warnings: string[] = []
  const dataDir = resolveDataDir(flags, surroundings)
  const named = textOf(flags, environment, 'endpoint')
  const caFile = textOf(flags, environment, 'ca-file')
  const keyFile = flags['api-key-file']
  const key = readSecret({
    name: 'api-key',
    environment,
    cwd,
    file: typeof keyFile === 'string' ? resolve(cwd, keyFile) : undefined,
    fileWhere: typeof keyFile === 'string' ? '--api-key-file' : undefined,
    warn: (warning) => void warnings.push(warning),
  })
  const endpoint =
    named === undefined ? { socket: readEndpointsFile(dataDir).socket } : parseEndpoint(named, caFile, cwd)
  const allowed =
    flags['allow-plaintext-beyond-loopback'] ?? environment.COUNTERSIGN_ALLOW_PLAINTEXT_BEYOND_LOOPBACK
  refusePlaintextKey(endpoint, allowed === true || allowed === 'true' || allowed === '1')
  if (key === undefined && named !== undefined) {
    throw new ConfigError('--endpoint', 'needs an API key: give --api-key-file or COUNTERSIGN_API_KEY_FILE')
  }
  const adminKey = (): Secret<Uint8Array> | undefined =>
    readSecret({
      name: 'api-key',
      environment: {},
      cwd,
      file: join(dataDir, 'admin.key'),
      fileWhere: '--api-key-file',
      warn: (warning) => void warnings.push(warning),
    })
  const apiKey = key ?? adminKey()
  if (apiKey === undefined) throw new ConfigError('--api-key-file', 'no API key')
  return { endpoint, apiKey, warnings }
}
