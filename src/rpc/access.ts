/**
 * Who may call what. The table is typed over every RPC of every service that is served: one that is missing does
 * not compile. It says which permissions, one of them at least, an API key must hold, and whether end users get in and
 * what they must show; how far a permission reaches, and whose a wallet is, is decided by the use case, from what is
 * asked.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf'
import type { Caller } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { AdminService } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { DelegationService } from '../../gen/countersign/v1/delegation_pb.ts'
import { SessionKeyService } from '../../gen/countersign/v1/session_key_pb.ts'
import { EndUserService } from '../../gen/countersign/v1/end_user_pb.ts'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { Health } from '../../gen/grpc/health/v1/health_pb.ts'
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts'
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts'

/** Calls in the reserved lane are admitted when the daemon has more work than it can finish. */
export type Lane = 'normal' | 'reserved'

/**
 * What an end user shows: nothing helps; an access token; with it an `x-wallet-auth` that one of their wallet secrets
 * signed; with it one that the wallet secret signed which the request registers.
 */
export type EndUserRule = 'never' | 'token' | 'wallet_secret' | 'new_wallet_secret'

export type KeyedRule = {
  /** An API key holds one of these at least; empty: no API key may call. */
  readonly permissions: readonly string[]
  readonly endUsers: EndUserRule
  readonly lane: Lane
  /** It changes and signs nothing. */
  readonly isRead?: true
  /** Its stream is the answer to one request, so a caller may have many of them open. */
  readonly isOneAnswer?: true
  /** Delegates get in, with the wallet API key of their access: it is about that one. */
  readonly delegates?: true
}

/** Anybody may call, under the limits of their address: what is asked proves itself. */
export type PublicRule = { readonly isPublic: true; readonly lane: Lane }

/** `anyone`: it passes by the pipeline altogether. */
export type AccessRule = 'anyone' | PublicRule | KeyedRule

export const isPublic = (rule: PublicRule | KeyedRule): rule is PublicRule => 'isPublic' in rule

export const SERVICES = {
  wallet: WalletService,
  delegation: DelegationService,
  session: SessionKeyService,
  endUser: EndUserService,
  audit: AuditService,
  admin: AdminService,
  health: Health,
  reflection: ServerReflection,
  reflectionAlpha: ServerReflectionAlpha,
} as const satisfies Record<string, DescService>

export type ServiceRules<Desc extends DescService> = { readonly [M in keyof Desc['method']]: AccessRule }
export type AccessTable = { readonly [S in keyof typeof SERVICES]: ServiceRules<(typeof SERVICES)[S]> }

/** API keys that hold one of these, and nobody else. */
const holding = (...permissions: [string, ...string[]]): KeyedRule => ({
  permissions,
  endUsers: 'never',
  lane: 'normal',
})

/** End users as well. */
const orEndUsers = (keyed: KeyedRule, endUsers: EndUserRule): KeyedRule => ({ ...keyed, endUsers })

const reading = (keyed: KeyedRule): KeyedRule => ({ ...keyed, isRead: true })

const asOneAnswer = (keyed: KeyedRule): KeyedRule => ({ ...keyed, isOneAnswer: true })

const reserved = (keyed: KeyedRule): KeyedRule => ({ ...keyed, lane: 'reserved' })

/** End users, and no API key whatever it holds. */
const endUsersOnly = (endUsers: EndUserRule): KeyedRule => ({ permissions: [], endUsers, lane: 'normal' })

/** Delegates, and nobody else. */
const DELEGATES_ONLY: KeyedRule = { permissions: [], endUsers: 'never', delegates: true, lane: 'normal' }

/** Those who hold these permissions, and the wallet's owner with an access token. */
const orOwner = (...permissions: [string, ...string[]]): KeyedRule => orEndUsers(holding(...permissions), 'token')

/** Those who hold these permissions, and the wallet's owner with a wallet secret. */
const orOwnerWithSecret = (...permissions: [string, ...string[]]): KeyedRule =>
  orEndUsers(holding(...permissions), 'wallet_secret')

/** What is asked proves itself: a token, a code, a sign-in that was begun. */
const PUBLIC = { isPublic: true, lane: 'normal' } as const

export const ACCESS = {
  wallet: {
    createWallet: orOwnerWithSecret('wallet:create'),
    getWallet: reading(orOwner('wallet:read')),
    listWallets: reading(orOwner('wallet:read')),
    signMessage: orOwnerWithSecret('wallet:sign', 'sign:digest'),
    signTypedData: orOwnerWithSecret('wallet:sign'),
    signTransaction: orOwnerWithSecret('wallet:sign'),
    signAuthorization: orOwnerWithSecret('sign:authorization'),
    signDigest: orOwnerWithSecret('sign:digest'),
    // Whoever may sign at all; each item then passes the rule of its own RPC.
    signStream: orOwnerWithSecret('wallet:sign', 'sign:digest', 'sign:authorization'),
    sendTransaction: asOneAnswer(orOwnerWithSecret('wallet:send')),
    getTransaction: reading(orOwner('wallet:read')),
    listTransactions: reading(orOwner('wallet:read')),
    // Room for presignatures is the project's to give.
    warmPresignatures: holding('wallet:sign'),
    verifySignature: reading(orOwner('wallet:read')),
    refreshShares: holding('wallet:admin'),
    getImportKeys: reading(orOwner('wallet:create')),
    importPrivateKey: orOwnerWithSecret('wallet:create'),
    exportPrivateKey: orOwnerWithSecret('wallet:admin'),
    archiveWallet: orOwnerWithSecret('wallet:admin'),
  },
  delegation: {
    createGrant: endUsersOnly('wallet_secret'),
    getGrant: reading(orOwner('wallet:read', 'grant:revoke')),
    listGrants: reading(orOwner('wallet:read', 'grant:revoke')),
    // Whoever lost the key of their wallet secret can still take back what they granted.
    revokeGrant: reserved(orOwner('grant:revoke')),
    registerDelegate: holding('delegation:create'),
    rotateDelegateKey: holding('delegation:create'),
    listDelegates: reading(orOwner('delegation:create')),
    delegateAccess: orOwnerWithSecret('delegation:create'),
    listDelegatedAccess: reading(orOwner('delegation:create', 'wallet:read')),
    // Whoever lost the key of their wallet secret can still take back what they gave; so can whoever was given it.
    revokeDelegatedAccess: { ...reserved(orOwner('grant:revoke')), delegates: true },
    getChainConfig: reading(orOwner('delegation:create')),
    issueDelegationToken: orOwner('delegation:create'),
    // The owner's message proves whose wallet it is.
    completeEvmDelegation: orOwner('delegation:create'),
    completeSolanaDelegation: orOwner('delegation:create'),
    listExternalWallets: reading(orOwner('delegation:create')),
    updateExternalWalletPriorities: orOwner('delegation:create'),
    spendDelegation: holding('delegation:spend'),
    getSpend: reading(orOwner('delegation:spend', 'delegation:create')),
    listSpends: reading(orOwner('delegation:spend', 'delegation:create')),
    cosign: DELEGATES_ONLY,
    importDelegatedAccess: holding('wallet:create'),
    returnDelegatedAccess: reserved(holding('wallet:admin')),
    listImportedAccess: reading(holding('wallet:read')),
    delegatedSignMessage: holding('wallet:sign', 'sign:digest'),
    delegatedSignTypedData: holding('wallet:sign'),
    delegatedSignTransaction: holding('wallet:sign'),
  },
  session: {
    createSessionKey: holding('session:create'),
    confirmSessionKey: holding('session:create'),
    getSessionKey: reading(holding('session:sign', 'session:create', 'session:admin')),
    listSessionKeys: reading(holding('session:sign', 'session:create', 'session:admin')),
    rotateSessionKey: holding('session:create'),
    revokeSessionKey: reserved(holding('session:admin')),
    // Cancels pass in the reserved lane: urgent-requests.ts.
    signAction: holding('session:sign'),
    signActionStream: holding('session:sign'),
    verifyAction: reading(holding('session:sign')),
    testScope: reading(holding('session:sign')),
    listProfiles: reading(holding('session:sign', 'session:create', 'session:admin')),
    explainAction: reading(holding('session:sign')),
    putVenueCredential: holding('session:create'),
    setMarkPrices: holding('marks:write'),
    recordOutcome: holding('session:sign'),
    watchReceipts: reading(holding('session:sign', 'session:admin')),
  },
  endUser: {
    authenticateWithJwt: PUBLIC,
    startEmailCode: PUBLIC,
    verifyEmailCode: PUBLIC,
    startOidc: PUBLIC,
    authenticateWithOidc: PUBLIC,
    refreshAccessToken: PUBLIC,
    signOut: PUBLIC,
    validateAccessToken: reading(holding('wallet:read')),
    getEndUser: reading(orOwner('wallet:read')),
    registerWalletSecret: endUsersOnly('new_wallet_secret'),
    listWalletSecrets: endUsersOnly('token'),
    // The device may be lost, and the key with it.
    revokeWalletSecret: reserved(endUsersOnly('token')),
  },
  audit: {
    listEvents: reading(holding('audit:read')),
    watchEvents: reading(holding('audit:read')),
    verifyChain: reading(holding('audit:read')),
    getCheckpoint: reading(holding('audit:read')),
  },
  admin: {
    createProject: holding('admin'),
    getProject: holding('admin'),
    listProjects: holding('admin'),
    updateProject: holding('admin'),
    createApiKey: holding('admin'),
    getApiKey: holding('admin'),
    listApiKeys: holding('admin'),
    rotateApiKey: holding('admin'),
    revokeApiKey: reserved(holding('admin')),
    createWebhook: holding('admin'),
    listWebhooks: holding('admin'),
    updateWebhook: holding('admin'),
    deleteWebhook: holding('admin'),
    listWebhookDeliveries: holding('admin'),
    redeliverWebhook: holding('admin'),
    createDelegateKey: holding('admin'),
    listDelegateKeys: holding('admin'),
    deleteDelegateKey: holding('admin'),
    freeze: reserved(holding('admin')),
    unfreeze: reserved(holding('admin')),
    createBackup: holding('admin'),
    rotateVaultKey: holding('admin'),
    getStatus: reserved(holding('admin')),
  },
  health: { check: 'anyone', list: 'anyone', watch: 'anyone' },
  reflection: { serverReflectionInfo: 'anyone' },
  reflectionAlpha: { serverReflectionInfo: 'anyone' },
} as const satisfies AccessTable

/** `countersign.v1.WalletService/SignMessage` */
export const methodName = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`

/** Whether a project that asks for a second factor asks for it here: not to read, to administer or to stop something. */
export const usesWallets = ({ permissions, lane, isRead }: KeyedRule): boolean =>
  lane === 'normal' && isRead !== true && !permissions.includes('admin')

/** Throws CALLER_NOT_ALLOWED or PERMISSION_MISSING when the rule keeps this caller out, whatever it shows. */
export const checkAccess = ({ permissions, endUsers, delegates }: KeyedRule, caller: Caller, method: string): void => {
  if (caller.kind === 'delegate') {
    if (delegates !== true) throw failure('CALLER_NOT_ALLOWED', { method })
    return
  }
  if (caller.kind === 'end_user') {
    if (endUsers === 'never') throw failure('CALLER_NOT_ALLOWED', { method })
    return
  }
  const [first] = permissions
  if (first === undefined) throw failure('CALLER_NOT_ALLOWED', { method })
  if (!permissions.some((permission) => caller.permissions.has(permission)))
    throw failure('PERMISSION_MISSING', { permission: first })
}
