import type { Secret } from '../domain/secret.ts'
import type { ApiKeyId, ProjectId } from '../domain/ids.ts'

export type ListenAddress = {
  readonly host: string
  /** 0 asks the system for a free port; endpoints.json names the one it gave. */
  readonly port: number
}

export const ROOT_KEY_SCHEMES = ['file', 'passphrase', 'systemd-cred'] as const

/** Where a root key comes from: `file:<path>`, `passphrase:`, `systemd-cred:<name>`. */
export type RootKeySource = {
  readonly scheme: (typeof ROOT_KEY_SCHEMES)[number]
  /** The absolute path of `file:`, the credential's name of `systemd-cred:`, empty for `passphrase:`. */
  readonly reference: string
  readonly uri: string
}

export type TlsFiles = {
  readonly certFile: string
  readonly keyFile: string
  /** When set, every TCP client must present a certificate of this authority. */
  readonly clientCaFile: string | undefined
}

export const MAIL_SECURITIES = ['tls', 'starttls', 'none'] as const

export type MailServer = {
  readonly server: ListenAddress
  readonly security: (typeof MAIL_SECURITIES)[number]
  readonly username: string | undefined
  readonly from: string
}

/** A unix socket whose every caller is one API key. */
export type BoundSocket = { readonly path: string; readonly apiKeyId: ApiKeyId }

/** A client certificate's SPIFFE URI or common name, mapped to one API key. */
export type TlsIdentity = { readonly identity: string; readonly apiKeyId: ApiKeyId }

export const COSIGNER_METHODS = [
  'SignMessage',
  'SignTypedData',
  'SignTransaction',
  'SignAuthorization',
  'SignDigest',
] as const

export const LOG_LEVELS = ['debug', 'info', 'warn', 'error', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

/** How the daemon sends on an EVM chain. Amounts in wei. */
export type SendingSettings = { readonly pollMs: number; readonly maxFeePerGas: bigint; readonly maxGas: bigint }

/** How the daemon sends on a cluster of Solana: lamports that a transaction pays at most beside its signature. */
export type SolanaSendingSettings = { readonly pollMs: number; readonly maxPriorityFee: bigint }

/** A chain that can be read: an EVM chain by its id, a Solana cluster by its genesis hash. */
export type ChainSettings = {
  readonly network: string
  /** Of its endpoints, in the order of preference; the endpoints themselves are secrets. */
  readonly hosts: readonly string[]
} & (
  | { readonly chainId: bigint; readonly sending: SendingSettings }
  | { readonly genesisHash: string; readonly commitment: 'confirmed' | 'finalized'; readonly sending: SolanaSendingSettings }
)

/** A token by its name on a network. */
export type TokenSettings = {
  readonly network: string
  readonly currency: string
  readonly tokenAddress: string
  readonly decimals: number
}

/** A daemon that may delegate to this one. */
export type GrantingDaemonSettings = {
  readonly name: string
  /** Its gRPC listener; http on this machine only. */
  readonly url: string
  /** 64 hexadecimal digits. */
  readonly partyId: string
  /** Trusted for its certificate in the place of the well-known ones. */
  readonly authorityFile: string | undefined
}

/** Whose webhooks about delegated access are taken, without the secret that says so. */
export type DelegationWebhookSettings = {
  readonly project: ProjectId
  /** The name of the one daemon that it speaks for. */
  readonly grantingDaemon: string | undefined
}

/** Everything the daemon is told, without secrets: safe to print whole. */
export type Config = {
  readonly dataDir: string
  readonly grpcListen: ListenAddress
  readonly connectListen: ListenAddress
  readonly metricsListen: ListenAddress | undefined
  readonly socket: string
  readonly sockets: readonly BoundSocket[]
  readonly tls: TlsFiles | undefined
  readonly tlsIdentities: readonly TlsIdentity[]
  readonly allowPlaintextBeyondLoopback: boolean
  readonly rootKey: RootKeySource
  readonly cosignerRootKey: RootKeySource
  /** Of a cosigner on a host of its own; undefined: it is embedded. */
  readonly cosigner: ListenAddress | undefined
  /** Where `cosigner serve` listens. */
  readonly cosignerListen: ListenAddress
  /** What the cosigner signs, whatever its daemon allows; undefined: no such rule. */
  readonly cosignerRules: {
    readonly methods: readonly (typeof COSIGNER_METHODS)[number][] | undefined
    readonly chains: readonly string[] | undefined
    readonly perMinute: number | undefined
    readonly walletPerMinute: number | undefined
  }
  readonly backup: {
    readonly directory: string
    /** age recipients, checked in form only. */
    readonly recipient: string | undefined
    readonly cosignerRecipient: string | undefined
  }
  /** Where the daemon may reach out to beyond the public Internet, and whom it trusts there. */
  readonly egress: { readonly allow: readonly string[]; readonly authorityFile: string | undefined }
  /** Exchange profiles beside and in the place of the built-in ones. */
  readonly profilesDirectory: string | undefined
  /** How e-mail is sent; undefined where it is not. */
  readonly mail: MailServer | undefined
  /** Where systemd puts credentials; `systemd-cred:` reads them there. */
  readonly credentialsDirectory: string | undefined
  /** Which party hands shares over to the owners of wallets. */
  readonly allowExport: { readonly daemon: boolean; readonly cosigner: boolean }
  /** Whether the cosigner makes shares for delegates. */
  readonly cosignerAllowDelegation: boolean
  /** Which party takes halves of other keys in. */
  readonly allowImport: { readonly daemon: boolean; readonly cosigner: boolean }
  /** Links to the cosigner, each with OT material and a pair of crypto workers of its own. */
  readonly cryptoWorkers: number
  readonly presignatures: {
    readonly lowWater: number
    readonly highWater: number
    readonly ttlMs: number
    readonly capacity: number
    readonly batch: number
  }
  /** How far ahead the end of an end user's grant may lie. */
  readonly maxGrantDays: number
  readonly limits: { readonly maxConcurrentRequests: number; readonly maxStreamsPerConnection: number }
  readonly chains: readonly ChainSettings[]
  /** Beside those that are known, or in their place. */
  readonly tokens: readonly TokenSettings[]
  readonly grantingDaemons: readonly GrantingDaemonSettings[]
  /** There is one secret for each. */
  readonly delegationWebhooks: readonly DelegationWebhookSettings[]
  /** Blocks that a transaction must be deep before it counts. */
  readonly chainConfirmations: number
  /** How often chains are looked at for approvals that changed. */
  readonly chainFollowMs: number
  readonly slowSignatureMs: number
  readonly logLevel: LogLevel
}

/** Everything the daemon is told that must never be printed. */
export type Secrets = {
  readonly rootKeyPassphrase: Secret<Uint8Array> | undefined
  readonly cosignerRootKeyPassphrase: Secret<Uint8Array> | undefined
  readonly smtpPassword: Secret<Uint8Array> | undefined
  /** JSON-RPC URLs a network. */
  readonly chainEndpoints: ReadonlyMap<string, readonly Secret<string>[]>
  /** In the order of `delegationWebhooks`. */
  readonly delegationWebhooks: readonly Secret<string>[]
}
