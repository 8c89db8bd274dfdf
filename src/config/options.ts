/**
 * Every option of the daemon, once. From a row come its flag (`--grpc-listen`), its variable
 * (`COUNTERSIGN_GRPC_LISTEN`), its key in the TOML file (`grpc_listen`), its line in `--help`, in `config
 * check` and in the README.
 */
import {
  parseBackupRecipient,
  parseCosignerChains,
  parseCosignerMethods,
  parseEgressAllow,
  parseIntegerWithin,
  parseListenAddress,
  parseLogLevel,
  parseMailAddress,
  parseMailSecurity,
  parseMailText,
  parsePath,
  parseRootKeySource,
  parseSocketPath,
  parseSwitch,
  type SettingParser,
} from './parse-setting.ts'

type Option<T> = {
  readonly parse: SettingParser<T>
  /** What `--help` shows behind the flag; a switch has none. */
  readonly placeholder?: string
  readonly summary: string
  /**
   * As a source would say it; `<data-dir>` stands for the data directory. Without one the option is simply
   * unset.
   */
  readonly fallback?: string
}

const option = <T>(row: Option<T>): Option<T> => row

export const OPTIONS = {
  'data-dir': option({
    parse: parsePath,
    placeholder: '<dir>',
    summary: 'directory of the vaults, keys and the socket',
    fallback: '.countersign',
  }),
  'grpc-listen': option({
    parse: parseListenAddress,
    placeholder: '<host:port>',
    summary: 'where gRPC is served over TCP; port 0 takes a free one',
    fallback: '127.0.0.1:50051',
  }),
  'connect-listen': option({
    parse: parseListenAddress,
    placeholder: '<host:port>',
    summary: 'where Connect and gRPC-Web are served; port 0 takes a free one',
    fallback: '127.0.0.1:50052',
  }),
  'metrics-listen': option({
    parse: parseListenAddress,
    placeholder: '<host:port>',
    summary: 'where Prometheus metrics are served (/metrics), without TLS; off unless given',
  }),
  socket: option({
    parse: parseSocketPath,
    placeholder: '<path>',
    summary: 'unix socket where gRPC is served',
    fallback: '<data-dir>/countersign.sock',
  }),
  'root-key': option({
    parse: parseRootKeySource,
    placeholder: '<provider>',
    summary: "root key of the daemon's vault: file:<path>, passphrase:, systemd-cred:<name>",
    fallback: 'file:<data-dir>/root.key',
  }),
  'cosigner-root-key': option({
    parse: parseRootKeySource,
    placeholder: '<provider>',
    summary: "root key of the embedded cosigner's vault: file:<path>, passphrase:, systemd-cred:<name>",
    fallback: 'file:<data-dir>/cosigner-root.key',
  }),
  cosigner: option({
    parse: parseListenAddress,
    placeholder: '<host:port>',
    summary: 'a cosigner on a host of its own, which this daemon was paired with; it is embedded unless given',
  }),
  'cosigner-listen': option({
    parse: parseListenAddress,
    placeholder: '<host:port>',
    summary: 'where `countersign cosigner serve` is served, with mutual TLS; port 0 takes a free one',
    fallback: '127.0.0.1:50061',
  }),
  'cosigner-allow-methods': option({
    parse: parseCosignerMethods,
    placeholder: '<methods>',
    summary: 'what the cosigner signs, with commas between: SignMessage, SignTypedData, SignTransaction, SignAuthorization, SignDigest; all unless given',
  }),
  'cosigner-allow-chains': option({
    parse: parseCosignerChains,
    placeholder: '<chains>',
    summary: 'chains the cosigner signs for, with commas between: eip155:<id> and solana; all unless given',
  }),
  'cosigner-max-per-minute': option({
    parse: parseIntegerWithin(1, 10_000),
    placeholder: '<count>',
    summary: 'signatures the cosigner makes in any minute; no limit unless given',
  }),
  'cosigner-max-per-minute-wallet': option({
    parse: parseIntegerWithin(1, 10_000),
    placeholder: '<count>',
    summary: 'the same for each wallet',
  }),
  'backup-directory': option({
    parse: parsePath,
    placeholder: '<dir>',
    summary: 'where CreateBackup puts its files',
    fallback: '<data-dir>/backups',
  }),
  'backup-recipient': option({
    parse: parseBackupRecipient,
    placeholder: '<age1…>',
    summary: "whom backups of the daemon's vault are encrypted to (age X25519); off unless given",
  }),
  'cosigner-backup-recipient': option({
    parse: parseBackupRecipient,
    placeholder: '<age1…>',
    summary: "whom backups of the cosigner's vault are encrypted to: another key",
  }),
  'tls-cert-file': option({
    parse: parsePath,
    placeholder: '<path>',
    summary: 'certificate chain (PEM) of both TCP listeners; read again when it changes',
  }),
  'tls-key-file': option({
    parse: parsePath,
    placeholder: '<path>',
    summary: 'private key (PEM) of the certificate',
  }),
  'tls-client-ca-file': option({
    parse: parsePath,
    placeholder: '<path>',
    summary: 'authority (PEM) that client certificates must come from; turns mutual TLS on',
  }),
  'allow-plaintext-beyond-loopback': option({
    parse: parseSwitch,
    summary: 'serve TCP without TLS on an address other machines can reach',
    fallback: 'false',
  }),
  'egress-allow': option({
    parse: parseEgressAllow,
    placeholder: '<hosts,networks>',
    summary: 'hosts and networks, with commas between, that the daemon may reach although they are not public; there also without TLS and at any port',
  }),
  'egress-ca-file': option({
    parse: parsePath,
    placeholder: '<path>',
    summary: 'authorities (PEM) the daemon trusts, beside the well-known ones, where it reaches out over TLS',
  }),
  'profiles-directory': option({
    parse: parsePath,
    placeholder: '<dir>',
    summary: 'exchange profiles of your own, a JSON file each; a file takes the place of the built-in profile of its name',
  }),
  'allow-export': option({
    parse: parseSwitch,
    summary: "hand over the daemon's share of a private key, sealed to the owner's key (ExportPrivateKey)",
    fallback: 'false',
  }),
  'cosigner-allow-export': option({
    parse: parseSwitch,
    summary: 'the same for the cosigner, which also asks for a consent that it judges by itself',
    fallback: 'false',
  }),
  'cosigner-allow-delegation': option({
    parse: parseSwitch,
    summary: 'let the cosigner make shares for delegates, on a consent that it judges by itself (DelegateAccess)',
    fallback: 'true',
  }),
  'smtp-server': option({
    parse: parseListenAddress,
    placeholder: '<host:port>',
    summary: 'mail server that sign-in codes are sent through; off unless given',
  }),
  'smtp-security': option({
    parse: parseMailSecurity,
    placeholder: '<mode>',
    summary: 'starttls, tls (from the first byte) or none (only where --egress-allow lists the server)',
    fallback: 'starttls',
  }),
  'smtp-username': option({
    parse: parseMailText,
    placeholder: '<name>',
    summary: 'who the daemon is to the mail server; its password is the secret smtp-password',
  }),
  'smtp-from': option({
    parse: parseMailAddress,
    placeholder: '<address>',
    summary: 'address that sign-in codes come from',
  }),
  'allow-import': option({
    parse: parseSwitch,
    summary: "take the daemon's half of a private key in that a client has split (ImportPrivateKey)",
    fallback: 'false',
  }),
  'cosigner-allow-import': option({
    parse: parseSwitch,
    summary: 'the same for the half of the cosigner',
    fallback: 'false',
  }),
  'crypto-workers': option({
    parse: parseIntegerWithin(1, 16),
    placeholder: '<count>',
    summary: 'links to the cosigner, with two presigning threads each; wallets stay on the link they were made over',
    fallback: '2',
  }),
  'presignatures-low-water': option({
    parse: parseIntegerWithin(0, 4_096),
    placeholder: '<count>',
    summary: "refill a wallet's presignatures when fewer are left",
    fallback: '16',
  }),
  'presignatures-high-water': option({
    parse: parseIntegerWithin(1, 4_096),
    placeholder: '<count>',
    summary: 'presignatures a wallet holds when full',
    fallback: '64',
  }),
  'presignatures-batch': option({
    parse: parseIntegerWithin(4, 64),
    placeholder: '<count>',
    summary: 'presignatures that one session with the cosigner makes at most; larger ones pay off where it is far away',
    fallback: '16',
  }),
  'presignatures-capacity': option({
    parse: parseIntegerWithin(64, 1_000_000),
    placeholder: '<count>',
    summary: 'presignatures held of each key type, at most 16 KiB of memory each; the least recently used give way',
    fallback: '8192',
  }),
  'presignature-ttl-seconds': option({
    parse: parseIntegerWithin(120, 86_400),
    placeholder: '<seconds>',
    summary: 'age at which an unused presignature is thrown away',
    fallback: '3600',
  }),
  'max-grant-days': option({
    parse: parseIntegerWithin(1, 3_650),
    placeholder: '<days>',
    summary: 'how far ahead the end of a grant may lie that an end user gives their project',
    fallback: '365',
  }),
  'max-concurrent-requests': option({
    parse: parseIntegerWithin(1, 100_000),
    placeholder: '<count>',
    summary: 'requests in work at once; more are refused as OVERLOADED',
    fallback: '1024',
  }),
  'max-streams-per-connection': option({
    parse: parseIntegerWithin(1, 10_000),
    placeholder: '<count>',
    summary: 'streams one connection may have open',
    fallback: '256',
  }),
  'slow-signature-milliseconds': option({
    parse: parseIntegerWithin(1, 60_000),
    placeholder: '<ms>',
    summary: 'a signature that takes longer is worth a line in the log',
    fallback: '100',
  }),
  'chain-confirmations': option({
    parse: parseIntegerWithin(1, 10_000),
    placeholder: '<n>',
    summary: 'blocks that a transaction on a chain must be deep, its own included, before it counts',
    fallback: '3',
  }),
  'chain-follow-seconds': option({
    parse: parseIntegerWithin(1, 3_600),
    placeholder: '<seconds>',
    summary: 'how often chains are looked at for what became of the approvals of external wallets',
    fallback: '15',
  }),
  'log-level': option({
    parse: parseLogLevel,
    placeholder: '<level>',
    summary: 'debug, info, warn, error or silent; logs go to stderr',
    fallback: 'info',
  }),
} as const

export type OptionName = keyof typeof OPTIONS
export type OptionValue<N extends OptionName> = ReturnType<(typeof OPTIONS)[N]['parse']>

export const OPTION_NAMES = Object.keys(OPTIONS) as readonly OptionName[]

/**
 * Names of the secrets. None is a flag or a key of the file itself: both would put it where others can read it.
 */
export const SECRET_NAMES = ['root-key-passphrase', 'cosigner-root-key-passphrase', 'smtp-password'] as const
export type SecretName = (typeof SECRET_NAMES)[number]

export const SECRET_SUMMARIES: Readonly<Record<SecretName, string>> = {
  'root-key-passphrase': 'passphrase of --root-key passphrase:',
  'cosigner-root-key-passphrase': 'passphrase of --cosigner-root-key passphrase:',
  'smtp-password': 'password of --smtp-username',
}

export const environmentName = (name: string): string => `COUNTERSIGN_${name.replaceAll('-', '_').toUpperCase()}`
export const tomlKey = (name: string): string => name.replaceAll('-', '_')
