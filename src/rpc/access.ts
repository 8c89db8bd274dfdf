/**
 * Who may call what. The table is typed over every RPC of every service that is served: one that is missing does
 * not compile. It says which callers get in at all and which permissions, one of them at least, they must hold;
 * how far a permission reaches is decided by the use case, from what is asked.
 */
import type { DescMethod, DescService } from '@bufbuild/protobuf'
import type { Caller, CallerKind } from '../domain/call.ts'
import { CALLER_KINDS } from '../domain/call.ts'
import { failure } from '../domain/failure.ts'
import { AdminService } from '../../gen/countersign/v1/admin_pb.ts'
import { AuditService } from '../../gen/countersign/v1/audit_pb.ts'
import { WalletService } from '../../gen/countersign/v1/wallet_pb.ts'
import { Health } from '../../gen/grpc/health/v1/health_pb.ts'
import { ServerReflection } from '../../gen/grpc/reflection/v1/reflection_pb.ts'
import { ServerReflection as ServerReflectionAlpha } from '../../gen/grpc/reflection/v1alpha/reflection_pb.ts'

/** Calls in the reserved lane are admitted when the daemon has more work than it can finish. */
export type Lane = 'normal' | 'reserved'

export type KeyedRule = {
  readonly callers: readonly CallerKind[]
  /** The caller holds one of these at least. */
  readonly permissions: readonly [string, ...string[]]
  readonly lane: Lane
}

export type AccessRule = 'anyone' | KeyedRule

export const SERVICES = {
  wallet: WalletService,
  audit: AuditService,
  admin: AdminService,
  health: Health,
  reflection: ServerReflection,
  reflectionAlpha: ServerReflectionAlpha,
} as const satisfies Record<string, DescService>

export type ServiceRules<Desc extends DescService> = { readonly [M in keyof Desc['method']]: AccessRule }
export type AccessTable = { readonly [S in keyof typeof SERVICES]: ServiceRules<(typeof SERVICES)[S]> }

const holding = (...permissions: [string, ...string[]]): KeyedRule => ({
  callers: CALLER_KINDS,
  permissions,
  lane: 'normal',
})

const reserved = (keyed: KeyedRule): KeyedRule => ({ ...keyed, lane: 'reserved' })

export const ACCESS: AccessTable = {
  wallet: {
    createWallet: holding('wallet:create'),
    getWallet: holding('wallet:read'),
    listWallets: holding('wallet:read'),
    signMessage: holding('wallet:sign', 'sign:digest'),
    signTypedData: holding('wallet:sign'),
    signTransaction: holding('wallet:sign'),
    signAuthorization: holding('sign:authorization'),
    signDigest: holding('sign:digest'),
    // Whoever may sign at all; each item then passes the rule of its own RPC.
    signStream: holding('wallet:sign', 'sign:digest', 'sign:authorization'),
    warmPresignatures: holding('wallet:sign'),
    verifySignature: holding('wallet:read'),
    refreshShares: holding('wallet:admin'),
    archiveWallet: holding('wallet:admin'),
  },
  audit: {
    listEvents: holding('audit:read'),
    watchEvents: holding('audit:read'),
    verifyChain: holding('audit:read'),
    getCheckpoint: holding('audit:read'),
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
    freeze: reserved(holding('admin')),
    unfreeze: reserved(holding('admin')),
    createBackup: holding('admin'),
    rotateVaultKey: holding('admin'),
    getStatus: reserved(holding('admin')),
  },
  health: { check: 'anyone', list: 'anyone', watch: 'anyone' },
  reflection: { serverReflectionInfo: 'anyone' },
  reflectionAlpha: { serverReflectionInfo: 'anyone' },
}

/** `countersign.v1.WalletService/SignMessage` */
export const methodName = (method: DescMethod): string => `${method.parent.typeName}/${method.name}`

/** Throws CALLER_NOT_ALLOWED or PERMISSION_MISSING when the rule keeps this caller out. */
export const checkAccess = (accessRule: KeyedRule, caller: Caller, method: string): void => {
  if (!accessRule.callers.includes(caller.kind)) throw failure('CALLER_NOT_ALLOWED', { method })
  if (!accessRule.permissions.some((permission) => caller.permissions.has(permission)))
    throw failure('PERMISSION_MISSING', { permission: accessRule.permissions[0] })
}
