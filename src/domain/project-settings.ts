/** What a project decides about its end users, as it is stored with the project. */
import type { WalletId } from './ids.ts'

export const SIGNATURE_ALGORITHMS = ['RS256', 'RS384', 'RS512', 'PS256', 'PS384', 'PS512', 'ES256', 'ES384', 'EdDSA'] as const
export type SignatureAlgorithm = (typeof SIGNATURE_ALGORITHMS)[number]

/** Where none are named. */
export const DEFAULT_ALGORITHMS: readonly SignatureAlgorithm[] = ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA']

export type JwtSignIn = {
  readonly issuer: string
  /** Empty: the audience is not looked at. */
  readonly audiences: readonly string[]
  /** Exactly one of the two is not empty. */
  readonly jwksUrl: string
  readonly jwksJson: string
  readonly userIdClaim: string
  readonly algorithms: readonly SignatureAlgorithm[]
}

export type EmailSignIn = { readonly senderName: string }

export type OidcProvider = {
  readonly provider: string
  readonly issuer: string
  readonly clientId: string
  readonly hasClientSecret: boolean
  readonly redirectUris: readonly string[]
  readonly scopes: readonly string[]
  readonly idTokenAudiences: readonly string[]
}

/** The wallet that people approve on a network, to be spent by. */
export type Spender = { readonly network: string; readonly walletId: WalletId }

export type ProjectSettings = {
  readonly delegationEnabled: boolean
  readonly allowedOrigins: readonly string[]
  readonly jwtSignIn: JwtSignIn | undefined
  readonly emailSignIn: EmailSignIn | undefined
  readonly oidcProviders: readonly OidcProvider[]
  /** Base64 of the SPKI of the project's signing key, P-256; '' where it has none. */
  readonly developerPublicKey: string
  /** Its API keys use wallets only with an `x-developer-auth`. */
  readonly developerAuthRequired: boolean
  /** Hosts, with ports where they are not the usual ones, of pages that ask people to sign in with Ethereum. */
  readonly siweDomains: readonly string[]
  /** One a network. */
  readonly spenders: readonly Spender[]
}

/** As stored; whatever is absent is as in a new project. */
export type StoredSettings = {
  readonly delegation_enabled?: boolean | undefined
  readonly allowed_origins?: readonly string[] | undefined
  readonly jwt_sign_in?: JwtSignIn | undefined
  readonly email_sign_in?: EmailSignIn | undefined
  readonly oidc_providers?: readonly OidcProvider[] | undefined
  readonly developer_public_key?: string | undefined
  readonly developer_auth_required?: boolean | undefined
  readonly siwe_domains?: readonly string[] | undefined
  readonly spenders?: readonly Spender[] | undefined
}

/** `stored`: what `storeSettings` made and the vault kept under a MAC. */
export const readSettings = (stored: unknown): ProjectSettings => {
  const known = stored as StoredSettings
  return {
    delegationEnabled: known.delegation_enabled === true,
    allowedOrigins: known.allowed_origins ?? [],
    jwtSignIn: known.jwt_sign_in,
    emailSignIn: known.email_sign_in,
    oidcProviders: known.oidc_providers ?? [],
    developerPublicKey: known.developer_public_key ?? '',
    developerAuthRequired: known.developer_auth_required === true,
    siweDomains: known.siwe_domains ?? [],
    spenders: known.spenders ?? [],
  }
}

export const storeSettings = (settings: ProjectSettings) => ({
  ...(settings.delegationEnabled ? { delegation_enabled: true } : {}),
  ...(settings.allowedOrigins.length > 0 ? { allowed_origins: settings.allowedOrigins } : {}),
  ...(settings.jwtSignIn === undefined ? {} : { jwt_sign_in: settings.jwtSignIn }),
  ...(settings.emailSignIn === undefined ? {} : { email_sign_in: settings.emailSignIn }),
  ...(settings.oidcProviders.length > 0 ? { oidc_providers: settings.oidcProviders } : {}),
  ...(settings.developerPublicKey === '' ? {} : { developer_public_key: settings.developerPublicKey }),
  ...(settings.developerAuthRequired ? { developer_auth_required: true } : {}),
  ...(settings.siweDomains.length > 0 ? { siwe_domains: settings.siweDomains } : {}),
  ...(settings.spenders.length > 0 ? { spenders: settings.spenders } : {}),
})

/** Issuers that are known by a name. Each issues tokens under the first, and some under the others too. */
export const KNOWN_ISSUERS: ReadonlyMap<string, readonly [string, ...string[]]> = new Map([
  ['google', ['https://accounts.google.com', 'accounts.google.com'] as const],
  ['apple', ['https://appleid.apple.com'] as const],
])
