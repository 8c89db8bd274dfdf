/**
 * The effective settings as `config check` prints them: every option with its source, and of secrets only
 * whether.
 */
import type { ListenAddress } from './config.ts'
import type { LoadedConfig, SettingSource } from './load-config.ts'
import type { OptionName } from './options.ts'

export type EffectiveSetting = {
  readonly name: string
  readonly value: string
  readonly source: SettingSource | ''
}

export const formatListenAddress = ({ host, port }: ListenAddress): string =>
  host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`

/** One row an option, then the tables, then the secrets as `set` or `not set`. */
export const describeConfig = ({ config, secrets, sources }: LoadedConfig): readonly EffectiveSetting[] => {
  const values: Record<OptionName, string | number | boolean | undefined> = {
    'data-dir': config.dataDir,
    'grpc-listen': formatListenAddress(config.grpcListen),
    'connect-listen': formatListenAddress(config.connectListen),
    'metrics-listen': config.metricsListen && formatListenAddress(config.metricsListen),
    socket: config.socket,
    'root-key': config.rootKey.uri,
    'cosigner-root-key': config.cosignerRootKey.uri,
    cosigner: config.cosigner && formatListenAddress(config.cosigner),
    'cosigner-listen': formatListenAddress(config.cosignerListen),
    'cosigner-allow-methods': config.cosignerRules.methods?.join(','),
    'cosigner-allow-chains': config.cosignerRules.chains?.join(','),
    'cosigner-max-per-minute': config.cosignerRules.perMinute,
    'cosigner-max-per-minute-wallet': config.cosignerRules.walletPerMinute,
    'backup-directory': config.backup.directory,
    'backup-recipient': config.backup.recipient,
    'cosigner-backup-recipient': config.backup.cosignerRecipient,
    'tls-cert-file': config.tls?.certFile,
    'tls-key-file': config.tls?.keyFile,
    'tls-client-ca-file': config.tls?.clientCaFile,
    'allow-plaintext-beyond-loopback': config.allowPlaintextBeyondLoopback,
    'egress-allow': config.egress.allow.join(','),
    'egress-ca-file': config.egress.authorityFile,
    'profiles-directory': config.profilesDirectory,
    'allow-export': config.allowExport.daemon,
    'cosigner-allow-export': config.allowExport.cosigner,
    'cosigner-allow-delegation': config.cosignerAllowDelegation,
    'smtp-server': config.mail && formatListenAddress(config.mail.server),
    'smtp-security': config.mail?.security,
    'smtp-username': config.mail?.username,
    'smtp-from': config.mail?.from,
    'allow-import': config.allowImport.daemon,
    'cosigner-allow-import': config.allowImport.cosigner,
    'crypto-workers': config.cryptoWorkers,
    'presignatures-low-water': config.presignatures.lowWater,
    'presignatures-high-water': config.presignatures.highWater,
    'presignatures-batch': config.presignatures.batch,
    'presignatures-capacity': config.presignatures.capacity,
    'presignature-ttl-seconds': config.presignatures.ttlMs / 1_000,
    'max-grant-days': config.maxGrantDays,
    'max-concurrent-requests': config.limits.maxConcurrentRequests,
    'max-streams-per-connection': config.limits.maxStreamsPerConnection,
    'slow-signature-milliseconds': config.slowSignatureMs,
    'chain-confirmations': config.chainConfirmations,
    'chain-follow-seconds': config.chainFollowMs / 1_000,
    'log-level': config.logLevel,
  }
  const isSet = (secret: unknown): string => (secret === undefined ? 'not set' : 'set')
  return [
    ...Object.entries(values).map(([name, value]) => ({
      name,
      value: value === undefined ? '' : String(value),
      source: sources[name as OptionName],
    })),
    ...config.sockets.map(({ path, apiKeyId }) => ({
      name: '[[socket]]',
      value: `${path} → ${apiKeyId}`,
      source: 'file' as const,
    })),
    ...config.tlsIdentities.map(({ identity, apiKeyId }) => ({
      name: '[[tls_identity]]',
      value: `${identity} → ${apiKeyId}`,
      source: 'file' as const,
    })),
    ...config.chains.map((chain) => ({
      name: '[[chain]]',
      value: `${chain.network} (${'chainId' in chain ? chain.chainId : chain.genesisHash}) → ${chain.hosts.join(', ')}`,
      source: 'file' as const,
    })),
    ...config.tokens.map(({ network, currency, tokenAddress, decimals }) => ({
      name: '[[token]]',
      value: `${currency} on ${network} → ${tokenAddress} (${decimals} decimals)`,
      source: 'file' as const,
    })),
    ...config.grantingDaemons.map(({ name, url, partyId }) => ({
      name: '[[granting_daemon]]',
      value: `${name} → ${url} (${partyId})`,
      source: 'file' as const,
    })),
    ...config.delegationWebhooks.map(({ project, grantingDaemon }) => ({
      name: '[[delegation_webhook]]',
      value: `project ${project}${grantingDaemon === undefined ? '' : `, of ${grantingDaemon}`}`,
      source: 'file' as const,
    })),
    { name: 'root-key-passphrase', value: isSet(secrets.rootKeyPassphrase), source: '' },
    { name: 'cosigner-root-key-passphrase', value: isSet(secrets.cosignerRootKeyPassphrase), source: '' },
    { name: 'smtp-password', value: isSet(secrets.smtpPassword), source: '' },
  ]
}
