/**
 * The one reader of the environment. Precedence: flag, variable, config file, default. Everything is parsed and
 * bounded here, once; the rest of the program sees frozen values and no strings to interpret.
 */
import { join, resolve } from 'node:path'
import type { Config, ListenAddress, Secrets, TlsFiles } from './config.ts'
import { ConfigError } from './config-error.ts'
import { isLoopback } from './loopback.ts'
import {
  environmentName,
  OPTION_NAMES,
  OPTIONS,
  SECRET_NAMES,
  tomlKey,
  type OptionName,
  type OptionValue,
  type SecretName,
} from './options.ts'
import type { RawSetting, SettingParser } from './parse-setting.ts'
import { readSecret, type Environment } from './read-secret.ts'
import { readTomlFile, withPlace, type FileSettings } from './read-toml.ts'

/** Flags by their names without dashes in front, as `--grpc-listen x` → `{'grpc-listen': 'x'}`. */
export type Flags = Readonly<Record<string, string | boolean | undefined>>

export type SettingSource = 'flag' | 'environment' | 'file' | 'default'

export type LoadedConfig = {
  readonly config: Config
  readonly secrets: Secrets
  readonly warnings: readonly string[]
  readonly sources: Readonly<Record<OptionName, SettingSource>>
  readonly configFile: string | undefined
}

export type ConfigSurroundings = { readonly environment: Environment; readonly cwd: string }

type Given = {
  readonly raw: RawSetting
  readonly where: string
  readonly source: SettingSource
  readonly baseDir: string
}
type Inputs = ConfigSurroundings & { readonly flags: Flags; readonly file: FileSettings | undefined }

const EMPTY_FILE_VALUES: FileSettings['values'] = new Map()

const findGiven = (name: OptionName, { flags, environment, file, cwd }: Inputs): Given | undefined => {
  const flag = flags[name]
  if (flag !== undefined) return { raw: flag, where: `--${name}`, source: 'flag', baseDir: cwd }
  const variable = environmentName(name)
  const value = environment[variable]
  if (value !== undefined) return { raw: value, where: variable, source: 'environment', baseDir: cwd }
  const entry = (file?.values ?? EMPTY_FILE_VALUES).get(tomlKey(name))
  if (entry === undefined || file === undefined) return undefined
  return { raw: entry.raw, where: entry.where, source: 'file', baseDir: file.baseDir }
}

const settingReader = (inputs: Inputs, sources: Partial<Record<OptionName, SettingSource>>) => {
  const read = <N extends OptionName>(name: N, dataDir: string): OptionValue<N> | undefined => {
    const { parse, fallback } = OPTIONS[name]
    const given = findGiven(name, inputs)
    sources[name] = given?.source ?? 'default'
    const raw = given?.raw ?? fallback?.replace('<data-dir>', dataDir)
    if (raw === undefined) return undefined
    const parseSetting = parse as SettingParser<OptionValue<N>>
    return withPlace(given?.where ?? `the default of --${name}`, () =>
      parseSetting(raw, given?.baseDir ?? inputs.cwd),
    )
  }
  return read
}

const required = <T>(value: T | undefined, name: OptionName): T => {
  if (value === undefined) throw new ConfigError(`--${name}`, 'has no value and no default')
  return value
}

const readTls = (cert?: string, key?: string, clientCa?: string): TlsFiles | undefined => {
  if (cert === undefined && key === undefined && clientCa === undefined) return undefined
  if (cert === undefined) throw new ConfigError('--tls-cert-file', 'is needed when another --tls option is given')
  if (key === undefined) throw new ConfigError('--tls-key-file', 'is needed with --tls-cert-file')
  return { certFile: cert, keyFile: key, clientCaFile: clientCa }
}

const refuseMetricsBeyondLoopback = ({ metricsListen, allowPlaintextBeyondLoopback }: Config): void => {
  if (metricsListen === undefined || isLoopback(metricsListen.host) || allowPlaintextBeyondLoopback) return
  throw new ConfigError(
    '--metrics-listen',
    `${metricsListen.host} can be reached from other machines and metrics are served without TLS: name the risk with ` +
      '--allow-plaintext-beyond-loopback',
  )
}

const refusePlaintextBeyondLoopback = (config: Config): void => {
  if (config.tls !== undefined || config.allowPlaintextBeyondLoopback) return
  const check = (name: string, { host }: ListenAddress): void => {
    if (isLoopback(host)) return
    throw new ConfigError(
      name,
      `${host} can be reached from other machines and no TLS is configured: give --tls-cert-file and ` +
        '--tls-key-file, or name the risk with --allow-plaintext-beyond-loopback',
    )
  }
  check('--grpc-listen', config.grpcListen)
  check('--connect-listen', config.connectListen)
}

const refuseContradictions = (config: Config): void => {
  refusePlaintextBeyondLoopback(config)
  refuseMetricsBeyondLoopback(config)
  const { lowWater, highWater, capacity } = config.presignatures
  if (lowWater >= highWater) {
    throw new ConfigError('--presignatures-low-water', `${lowWater} must be below the high water ${highWater}`)
  }
  if (highWater > capacity) {
    throw new ConfigError('--presignatures-high-water', `${highWater} must not be above the capacity ${capacity}`)
  }
  if (config.rootKey.scheme !== 'passphrase' && config.rootKey.uri === config.cosignerRootKey.uri) {
    throw new ConfigError(
      '--cosigner-root-key',
      'must differ from --root-key: one stolen key would open both shares',
    )
  }
  const { recipient, cosignerRecipient } = config.backup
  if (recipient !== undefined && recipient === cosignerRecipient) {
    throw new ConfigError('--cosigner-backup-recipient', 'must differ from --backup-recipient: one key would open both shares')
  }
  const isAlone = config.cosigner === undefined ? recipient !== undefined && cosignerRecipient === undefined : false
  if (isAlone) {
    throw new ConfigError('--backup-recipient', 'and --cosigner-backup-recipient are given together: half a backup restores nothing')
  }
  const paths = [config.socket, ...config.sockets.map(({ path }) => path)]
  const twice = paths.find((path, index) => paths.indexOf(path) !== index)
  if (twice !== undefined) throw new ConfigError('socket', `${twice} is named twice`)
  if (config.tlsIdentities.length > 0 && config.tls?.clientCaFile === undefined) {
    throw new ConfigError(
      '[[tls_identity]]',
      'needs --tls-client-ca-file: without it no client certificate is checked',
    )
  }
}

type Reading = {
  readonly read: <N extends OptionName>(name: N) => OptionValue<N> | undefined
  readonly need: <N extends OptionName>(name: N) => OptionValue<N>
}

const readMail = (read: Reading['read'], need: Reading['need']): Config['mail'] => {
  const [server, security, username, from] = [read('smtp-server'), need('smtp-security'), read('smtp-username'), read('smtp-from')]
  if (server === undefined) return undefined
  if (from === undefined) throw new ConfigError('--smtp-from', 'is needed with --smtp-server')
  if (server.port === 0) throw new ConfigError('--smtp-server', 'needs a port')
  if (username !== undefined && security === 'none')
    throw new ConfigError('--smtp-security', 'none would send the password in plain text: leave --smtp-username away')
  return { server, security, username, from }
}

const refuseHalfMail = ({ mail }: Config, { smtpPassword }: Secrets): void => {
  if (mail?.username !== undefined && smtpPassword === undefined)
    throw new ConfigError('--smtp-username', 'needs its password: name a file with --smtp-password-file')
  if (mail?.username === undefined && smtpPassword !== undefined)
    throw new ConfigError('smtp-password', 'needs --smtp-server and --smtp-username')
}

const deepFreeze = <T>(value: T): T => {
  if (typeof value !== 'object' || value === null || Object.isFrozen(value)) return value
  for (const inner of Object.values(value)) deepFreeze(inner)
  return Object.freeze(value)
}

const readSettings = (inputs: Inputs, sources: Partial<Record<OptionName, SettingSource>>): Config => {
  const reader = settingReader(inputs, sources)
  const dataDir = required(reader('data-dir', ''), 'data-dir')
  const read = <N extends OptionName>(name: N): OptionValue<N> | undefined => reader(name, dataDir)
  const need = <N extends OptionName>(name: N): OptionValue<N> => required(read(name), name)
  return {
    dataDir,
    grpcListen: need('grpc-listen'),
    connectListen: need('connect-listen'),
    metricsListen: read('metrics-listen'),
    socket: need('socket'),
    sockets: inputs.file?.sockets ?? [],
    tls: readTls(read('tls-cert-file'), read('tls-key-file'), read('tls-client-ca-file')),
    tlsIdentities: inputs.file?.tlsIdentities ?? [],
    allowPlaintextBeyondLoopback: need('allow-plaintext-beyond-loopback'),
    allowImport: { daemon: need('allow-import'), cosigner: need('cosigner-allow-import') },
    allowExport: { daemon: need('allow-export'), cosigner: need('cosigner-allow-export') },
    cosignerAllowDelegation: need('cosigner-allow-delegation'),
    rootKey: need('root-key'),
    cosignerRootKey: need('cosigner-root-key'),
    cosigner: read('cosigner'),
    cosignerListen: need('cosigner-listen'),
    cosignerRules: {
      methods: read('cosigner-allow-methods'),
      chains: read('cosigner-allow-chains'),
      perMinute: read('cosigner-max-per-minute'),
      walletPerMinute: read('cosigner-max-per-minute-wallet'),
    },
    backup: {
      directory: need('backup-directory'),
      recipient: read('backup-recipient'),
      cosignerRecipient: read('cosigner-backup-recipient'),
    },
    mail: readMail(read, need),
    egress: { allow: read('egress-allow') ?? [], authorityFile: read('egress-ca-file') },
    profilesDirectory: read('profiles-directory'),
    credentialsDirectory: inputs.environment.CREDENTIALS_DIRECTORY,
    cryptoWorkers: need('crypto-workers'),
    presignatures: {
      lowWater: need('presignatures-low-water'),
      highWater: need('presignatures-high-water'),
      ttlMs: need('presignature-ttl-seconds') * 1_000,
      capacity: need('presignatures-capacity'),
      batch: need('presignatures-batch'),
    },
    maxGrantDays: need('max-grant-days'),
    limits: {
      maxConcurrentRequests: need('max-concurrent-requests'),
      maxStreamsPerConnection: need('max-streams-per-connection'),
    },
    chains: (inputs.file?.chains ?? []).map(({ settings }) => settings),
    tokens: inputs.file?.tokens ?? [],
    grantingDaemons: inputs.file?.grantingDaemons ?? [],
    delegationWebhooks: (inputs.file?.delegationWebhooks ?? []).map(({ project, grantingDaemon }) => ({ project, grantingDaemon })),
    chainConfirmations: need('chain-confirmations'),
    chainFollowMs: need('chain-follow-seconds') * 1_000,
    slowSignatureMs: need('slow-signature-milliseconds'),
    logLevel: need('log-level'),
  }
}

const readSecrets = (inputs: Inputs, warn: (warning: string) => void): Secrets => {
  const { flags, environment, file, cwd } = inputs
  const read = (name: SecretName): Secrets['rootKeyPassphrase'] => {
    const flag = flags[`${name}-file`]
    const entry = file?.values.get(`${tomlKey(name)}_file`)
    const fromFile =
      entry === undefined || file === undefined ? undefined : resolve(file.baseDir, String(entry.raw))
    const descriptor = flags[`${name}-fd`]
    return readSecret({
      name,
      environment,
      cwd,
      file: typeof flag === 'string' ? resolve(cwd, flag) : fromFile,
      fileWhere: typeof flag === 'string' ? `--${name}-file` : entry?.where,
      descriptor: typeof descriptor === 'string' ? descriptor : undefined,
      warn,
    })
  }
  return Object.freeze({
    rootKeyPassphrase: read('root-key-passphrase'),
    cosignerRootKeyPassphrase: read('cosigner-root-key-passphrase'),
    smtpPassword: read('smtp-password'),
    chainEndpoints: new Map((file?.chains ?? []).map(({ settings, endpoints }) => [settings.network, endpoints])),
    delegationWebhooks: (file?.delegationWebhooks ?? []).map(({ secret }) => secret),
  })
}

/** Variables that are not ours to refuse (an orchestrator may set COUNTERSIGN_PORT for a service of our name). */
const warnOfUnknownVariables = (environment: Environment, warn: (warning: string) => void): void => {
  const secrets = [...SECRET_NAMES, 'api-key'].map(environmentName)
  const known = new Set([
    ...OPTION_NAMES.map(environmentName),
    ...secrets.flatMap((name) => [name, `${name}_FILE`, `${name}_FD`]),
    ...['config', 'endpoint', 'ca-file'].map(environmentName),
  ])
  for (const name of Object.keys(environment)) {
    if (name.startsWith('COUNTERSIGN_') && !known.has(name)) warn(`${name} is not a variable this program knows`)
  }
}

/**
 * Reads flags, variables and the config file into what the daemon runs on.
 *
 * Refuses, as `ConfigError` naming the place: unknown keys and sections, values out of bounds, contradictions,
 * unreadable files, secrets given twice. Removes secrets from `environment`.
 */
export const loadConfig = (
  flags: Flags,
  surroundings: ConfigSurroundings = { environment: process.env, cwd: process.cwd() },
): LoadedConfig => {
  const { environment, cwd } = surroundings
  const warnings: string[] = []
  const warn = (warning: string): void => void warnings.push(warning)
  const named = flags.config ?? environment.COUNTERSIGN_CONFIG
  const configFile = typeof named === 'string' ? resolve(cwd, named) : undefined
  const file = configFile === undefined ? undefined : readTomlFile(configFile)
  const inputs: Inputs = { flags, environment, cwd, file }
  const sources: Partial<Record<OptionName, SettingSource>> = {}
  const secrets = readSecrets(inputs, warn)
  const config = deepFreeze(readSettings(inputs, sources))
  refuseContradictions(config)
  refuseHalfMail(config, secrets)
  warnOfUnknownVariables(environment, warn)
  return { config, secrets, warnings, sources: sources as Record<OptionName, SettingSource>, configFile }
}

/** What lies in a data directory. In the embedded mode both parties' vaults do. */
export const dataDirPaths = (dataDir: string) => ({
  daemonVault: join(dataDir, 'vault.db'),
  cosignerVault: join(dataDir, 'cosigner.db'),
  adminKey: join(dataDir, 'admin.key'),
  endpoints: join(dataDir, 'endpoints.json'),
})
