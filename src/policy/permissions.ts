import type { WalletId } from '../domain/ids.ts'
import type { TokenKey } from '../payload/facts.ts'

/** Everything a caller can be allowed. The vocabulary is closed: what is not here cannot be granted. */
export const PERMISSIONS = [
  'wallet:create',
  'wallet:read',
  'wallet:sign',
  'wallet:send',
  'wallet:admin',
  'sign:digest',
  'sign:authorization',
  'session:create',
  'session:sign',
  'session:admin',
  'session:unrestricted',
  'marks:write',
  'grant:revoke',
  'delegation:create',
  'delegation:spend',
  'audit:read',
  'admin',
] as const

export type Permission = (typeof PERMISSIONS)[number]

export type Caps = ReadonlyMap<TokenKey, bigint>

/** Each member present makes the permission smaller; a member absent does not narrow it. None is ever empty. */
export type Narrowing = {
  readonly wallets?: ReadonlySet<WalletId>
  readonly sessionKeys?: ReadonlySet<string>
  /** CAIP-2 ids. `eip155:0` stands for the authorization that is valid on every chain. */
  readonly chains?: ReadonlySet<string>
  /** EVM addresses in lower case, Solana addresses as they are. */
  readonly destinations?: ReadonlySet<string>
  /**
   * Base units a token. A token that is not listed may not move; a fee that is not listed has a ceiling of its
   * own.
   */
  readonly maxPerTransaction?: Caps
  readonly maxPerDay?: Caps
  readonly requestsPerSecond?: number
}

export type PermissionGrant = { readonly permission: Permission; readonly narrowing: Narrowing }

/** These reach a project, or everything, as a whole: there is nothing by which they could be made smaller. */
const WHOLE: ReadonlySet<Permission> = new Set(['admin', 'audit:read'])

/**
 * Whether what a grant is narrowed by can be held to. One that cannot must not count: who narrowed it meant less than
 * it would give.
 */
export const isHeldTo = ({ permission, narrowing }: PermissionGrant): boolean =>
  !WHOLE.has(permission) || Object.keys(narrowing).every((name) => name === 'requestsPerSecond')

const NAMES: ReadonlySet<string> = new Set(PERMISSIONS)

export const parsePermission = (text: string): Permission | undefined =>
  NAMES.has(text) ? (text as Permission) : undefined
