/**
 * What the services ask of the rest of the daemon, in the daemon's own words. Ids that callers send are text here:
 * the use case parses them and refuses what it does not know. Every function may throw a Failure; anything else it
 * throws reaches the caller as `internal error`.
 */
import type { ApiKeyView as StoredApiKeyView } from '../admin/api-keys.ts'
import type { AuditEventView, AuditFilter } from '../admin/audit.ts'
import type { BackupView, KeyRotationView, VaultParty } from '../admin/custody.ts'
import type { SettingsChange } from '../admin/project-changes.ts'
import type { StatusView } from '../admin/status.ts'
import type { Call } from '../domain/call.ts'
import type { ApiKeyId, ProjectId } from '../domain/ids.ts'
import type { ProjectSettings } from '../domain/project-settings.ts'
import type { SendingUseCases } from './send-use-cases.ts'
import type { SessionUseCases } from './session-use-cases.ts'
import type { NewWalletView, WalletView } from '../wallet/wallet-view.ts'
import type { CosignUseCases } from './cosign-use-cases.ts'
import type { DelegatedAccessUseCases } from './delegated-access-use-cases.ts'
import type { DelegationUseCases, SpendingUseCases } from './delegation-use-cases.ts'
import type { DelegateSideUseCases } from './delegate-side-use-cases.ts'
import type { WebhookUseCases } from './webhook-use-cases.ts'
import type { EndUserUseCases } from './end-user-use-cases.ts'

export type { AuditEventView, AuditFilter, BackupView, KeyRotationView, StatusView, VaultParty, NewWalletView, WalletView }

export type KeyType = 'secp256k1' | 'ed25519'
export type OwnerType = 'project' | 'end_user'
export type WalletState = 'pending' | 'active' | 'suspended' | 'archived'
export type WalletOrigin = 'generated' | 'imported'

/**
 * A page is asked for after a cursor the use case made itself; undefined is the start, and in an answer the end.
 */
export type PageRequest = { readonly pageSize: number; readonly cursor: string | undefined }
export type Page<T> = { readonly items: readonly T[]; readonly nextCursor: string | undefined }

export type WalletUseCases = {
  readonly createWallet: (
    call: Call,
    args: {
      readonly userId: string
      readonly keyType: KeyType
      readonly ownerType: OwnerType
      readonly label: string
      /** Of an end user's first wallet: what the cosigner writes into its own register. */
      readonly walletSecret: { readonly publicKey: Uint8Array; readonly signature: Uint8Array } | undefined
    },
  ) => Promise<NewWalletView>
  readonly getWallet: (
    call: Call,
    args: { readonly walletRef: string; readonly keyType: KeyType | undefined },
  ) => Promise<WalletView>
  readonly listWallets: (
    call: Call,
    args: PageRequest & {
      readonly userId: string | undefined
      readonly keyType: KeyType | undefined
      readonly state: WalletState | undefined
    },
  ) => Promise<Page<WalletView>>
  readonly archiveWallet: (call: Call, args: { readonly walletRef: string }) => Promise<WalletView>
  readonly refreshShares: (
    call: Call,
    args: { readonly walletRef: string },
  ) => Promise<{
    readonly wallet: WalletView
    readonly refreshCount: number
    readonly refreshTimeMs: number
    readonly receipt: ReceiptView
  }>
  readonly getImportKeys: (call: Call) => Promise<{ readonly daemon: ImportKeyView; readonly cosigner: ImportKeyView }>
  readonly importPrivateKey: (call: Call, args: ImportRequestArgs) => Promise<NewWalletView>
  readonly exportPrivateKey: (call: Call, args: ExportRequestArgs) => Promise<ExportedKeyView>
  /** `depth` 0: as deep as the settings say. */
  readonly warmPresignatures: (
    call: Call,
    args: { readonly walletRef: string; readonly depth: number },
  ) => Promise<{ readonly depth: number; readonly capacity: number; readonly fillRate: number }>
}

export type ExportRequestArgs = {
  readonly walletRef: string
  readonly walletEpoch: number
  readonly recipient: { readonly kind: 'x25519' | 'rsa'; readonly key: Uint8Array }
  readonly expireMs: number
  readonly nonce: Uint8Array
  readonly consent:
    | { readonly kind: 'wallet_secret'; readonly secretId: Uint8Array; readonly signature: Uint8Array }
    | { readonly kind: 'operator'; readonly approvalId: Uint8Array }
}

/** A key in two halves, each sealed to its party. Points as the engine encodes them. */
export type ImportRequestArgs = {
  readonly userId: string
  readonly keyType: KeyType
  readonly ownerType: OwnerType
  readonly label: string
  readonly walletSecret: { readonly publicKey: Uint8Array; readonly signature: Uint8Array } | undefined
  readonly expireMs: number
  readonly opening: {
    readonly importId: Uint8Array
    readonly publicKey: Uint8Array
    readonly pointC: Uint8Array
    readonly pointS: Uint8Array
    readonly chainCode: Uint8Array
  }
  readonly envelopeC: Uint8Array
  readonly envelopeS: Uint8Array
}

export type ImportKeyView = {
  readonly partyId: Uint8Array
  readonly identityKey: Uint8Array
  readonly key: Uint8Array
  readonly expireMs: number
  readonly signature: Uint8Array
}

/** A share that its party has sealed to the owner's key. */
export type PartyShareView = {
  readonly partyId: Uint8Array
  readonly point: Uint8Array
  readonly envelope: Uint8Array
}

export type ExportedKeyView = {
  readonly wallet: WalletView
  readonly daemonShare: PartyShareView
  readonly cosignerShare: PartyShareView
  readonly receipt: ReceiptView
}

/** r and s: 32 bytes, big-endian, s low. */
export type EcdsaSignature = { readonly r: Uint8Array; readonly s: Uint8Array; readonly yParity: 0 | 1 }

/** R ‖ S, 64 bytes. */
export type Ed25519Signature = { readonly raw: Uint8Array }
export type Signature = EcdsaSignature | Ed25519Signature

export type ReceiptView = {
  readonly sequence: bigint
  /** 32 bytes. */
  readonly hash: Uint8Array
  readonly signature: Uint8Array
  readonly keyId: string
}

export type SignedDigest = {
  readonly signature: Signature
  /** 32 bytes; empty for Ed25519, which signs the message itself. */
  readonly digest: Uint8Array
  readonly receipt: ReceiptView
}

export type MessageContent =
  { readonly kind: 'text'; readonly text: string } | { readonly kind: 'data'; readonly data: Uint8Array }

export type EvmTransactionType = 'legacy' | 'access_list' | 'dynamic_fee' | 'blob' | 'set_code'

export type SignedAuthorization = {
  readonly chainId: bigint
  /** As sent, or EIP-55 in an answer. */
  readonly address: string
  readonly nonce: bigint
  readonly signature: EcdsaSignature
}

/**
 * As sent: an amount is absent when its field was empty, a list is empty when there was none, `to` absent
 * likewise.
 */
export type EvmTransactionFields = {
  readonly type: EvmTransactionType
  readonly chainId: bigint
  readonly nonce: bigint
  readonly gasLimit: bigint
  readonly gasPrice: bigint | undefined
  readonly maxFeePerGas: bigint | undefined
  readonly maxPriorityFeePerGas: bigint | undefined
  readonly to: string | undefined
  readonly value: bigint | undefined
  readonly data: Uint8Array
  readonly accessList: readonly { readonly address: string; readonly storageKeys: readonly Uint8Array[] }[]
  readonly maxFeePerBlobGas: bigint | undefined
  readonly blobVersionedHashes: readonly Uint8Array[]
  readonly authorizationList: readonly SignedAuthorization[]
}

export type TransactionContent =
  | { readonly kind: 'evm_unsigned'; readonly unsigned: Uint8Array }
  | { readonly kind: 'evm'; readonly fields: EvmTransactionFields }
  | { readonly kind: 'solana_message'; readonly message: Uint8Array }

export type VerifiedContent =
  | MessageContent
  | { readonly kind: 'typed_data'; readonly json: string }
  | { readonly kind: 'digest'; readonly digest: Uint8Array }

export type SigningUseCases = {
  readonly signMessage: (
    call: Call,
    args: { readonly walletRef: string; readonly content: MessageContent; readonly isFormatted: boolean },
  ) => Promise<SignedDigest>
  readonly signTypedData: (
    call: Call,
    args: { readonly walletRef: string; readonly json: string },
  ) => Promise<SignedDigest>
  readonly signTransaction: (
    call: Call,
    args: { readonly walletRef: string; readonly transaction: TransactionContent },
  ) => Promise<{
    readonly signedTransaction: Uint8Array
    /** EVM: 0x and 64 hex digits. Solana: base58, empty while the fee payer has not signed. */
    readonly transactionHash: string
    readonly signature: Signature
    readonly receipt: ReceiptView
  }>
  readonly signAuthorization: (
    call: Call,
    args: {
      readonly walletRef: string
      readonly chainId: bigint
      readonly address: string
      readonly nonce: bigint
    },
  ) => Promise<SignedDigest & { readonly authorization: SignedAuthorization }>
  readonly signDigest: (
    call: Call,
    args: { readonly walletRef: string; readonly digest: Uint8Array },
  ) => Promise<SignedDigest>
  readonly verifySignature: (
    call: Call,
    args: {
      readonly signer:
        | { readonly kind: 'address'; readonly address: string }
        | { readonly kind: 'wallet'; readonly walletRef: string }
      readonly content: VerifiedContent
      readonly signature: Uint8Array
      /** For signers that may be contract accounts. */
      readonly network: string | undefined
    },
  ) => Promise<{
    readonly valid: boolean
    readonly signerKind: 'eoa' | 'ed25519' | 'contract' | 'counterfactual'
    readonly recoveredAddress: string | undefined
    /** 32 bytes; empty for Ed25519. */
    readonly digest: Uint8Array
    /** At which a contract account was asked. */
    readonly block: bigint | undefined
  }>
}

/** Undefined: the row records no decision. */
export type AuditOutcome = 'allowed' | 'refused' | undefined

export type AuditUseCases = {
  /** In the order of the chain, strictly after `afterSequence`. */
  readonly listEvents: (
    call: Call,
    args: { readonly filter: AuditFilter; readonly afterSequence: bigint; readonly limit: number },
  ) => Promise<readonly AuditEventView[]>
  /** What is there already, then what comes, without gaps or repeats; ends when `call.signal` aborts. */
  readonly watchEvents: (
    call: Call,
    args: { readonly filter: AuditFilter; readonly afterSequence: bigint },
  ) => AsyncIterable<AuditEventView>
  /** 0n stands for the first row in `fromSequence` and for the newest in `toSequence`. */
  readonly verifyChain: (
    call: Call,
    args: { readonly fromSequence: bigint; readonly toSequence: bigint },
  ) => Promise<{
    readonly checkedCount: bigint
    readonly headSequence: bigint
    readonly headHash: Uint8Array
    readonly firstBad: { readonly sequence: bigint; readonly description: string } | undefined
  }>
  readonly getCheckpoint: (call: Call) => Promise<{
    readonly sequence: bigint
    readonly hash: Uint8Array
    readonly timeMs: number
    readonly signature: Uint8Array
    readonly keyId: string
    /** 32 bytes, Ed25519. */
    readonly publicKey: Uint8Array
    readonly cosignerSequence: bigint
    /** 16 bytes. */
    readonly vaultId: Uint8Array
  }>
}

export type ProjectView = {
  readonly projectId: ProjectId
  readonly displayName: string
  readonly settings: ProjectSettings
  readonly createTimeMs: number
  readonly updateTimeMs: number
  readonly etag: string
}

/**
 * The JSON form of a permission grant, in which it is stored: absent members do not narrow, lists are never empty.
 */
export type PermissionGrantJson = {
  readonly permission: string
  readonly narrowing: {
    readonly wallets?: readonly string[]
    readonly session_keys?: readonly string[]
    readonly chains?: readonly string[]
    readonly destinations?: readonly string[]
    readonly max_per_transaction?: Readonly<Record<string, string>>
    readonly max_per_day?: Readonly<Record<string, string>>
    readonly requests_per_second?: number
  }
}

export type ApiKeyView = Omit<StoredApiKeyView, 'grants'> & { readonly grants: readonly PermissionGrantJson[] }

/** `secret` is the whole text a caller presents: `csk_…`; empty for a key that has a public key. */
export type ApiKeyWithSecret = { readonly apiKey: ApiKeyView; readonly secret: string }

export type FreezeScope = 'wallet' | 'api_key' | 'session_key' | 'venue_profile' | 'project' | 'all'
/** `id` is `*` for the scope `all`. */
export type FreezeTarget = { readonly scope: FreezeScope; readonly id: string }

export type FreezeView = FreezeTarget & {
  readonly note: string
  readonly actor: string
  readonly createTimeMs: number
}

export type LinkState = 'starting' | 'ready' | 'suspended' | 'burned'

export type AdminUseCases = {
  readonly createProject: (
    call: Call,
    args: { readonly projectId: string; readonly displayName: string },
  ) => Promise<ProjectView>
  readonly getProject: (call: Call, args: { readonly projectId: string }) => Promise<ProjectView>
  readonly listProjects: (call: Call, args: PageRequest) => Promise<Page<ProjectView>>
  /** Changes what `changes` names. `etag` undefined: whatever the project's etag is now. */
  readonly updateProject: (
    call: Call,
    args: {
      readonly projectId: string
      readonly etag: string | undefined
      readonly changes: { readonly displayName?: string } & SettingsChange
    },
  ) => Promise<ProjectView>
  /** `projectId` undefined: the caller's own. */
  readonly createApiKey: (
    call: Call,
    args: {
      readonly projectId: string | undefined
      readonly name: string
      readonly grants: readonly PermissionGrantJson[]
      readonly allowedCidrs: readonly string[]
      readonly requestsPerSecond: number
      readonly expireTimeMs: number | undefined
      /** Base64 of an SPKI; undefined for a key that is to have a secret. */
      readonly publicKey: string | undefined
      readonly needsDeveloperAuth: boolean
    },
  ) => Promise<ApiKeyWithSecret>
  readonly getApiKey: (call: Call, args: { readonly apiKeyId: ApiKeyId }) => Promise<ApiKeyView>
  readonly listApiKeys: (
    call: Call,
    args: PageRequest & { readonly projectId: string | undefined },
  ) => Promise<Page<ApiKeyView>>
  readonly rotateApiKey: (
    call: Call,
    args: { readonly apiKeyId: ApiKeyId; readonly overlapMs: number },
  ) => Promise<ApiKeyWithSecret>
  readonly revokeApiKey: (call: Call, args: { readonly apiKeyId: ApiKeyId }) => Promise<ApiKeyView>
  readonly freeze: (call: Call, args: FreezeTarget & { readonly note: string }) => Promise<FreezeView>
  readonly unfreeze: (call: Call, args: FreezeTarget) => Promise<FreezeView>
  readonly createBackup: (call: Call) => Promise<readonly BackupView[]>
  readonly rotateVaultKey: (call: Call, args: { readonly vault: VaultParty }) => Promise<KeyRotationView>
  readonly getStatus: (call: Call) => Promise<StatusView>
}

export type UseCases = {
  readonly wallets: WalletUseCases
  readonly signing: SigningUseCases
  readonly sending: SendingUseCases
  readonly delegation: DelegationUseCases & SpendingUseCases & CosignUseCases & DelegatedAccessUseCases
  readonly session: SessionUseCases
  readonly endUsers: EndUserUseCases
  readonly audit: AuditUseCases
  readonly admin: AdminUseCases
  readonly webhooks: WebhookUseCases
  readonly delegate: DelegateSideUseCases
}
