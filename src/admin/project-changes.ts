/** A change to a project's settings: what it may say, and what becomes of the secrets that come with it. */
import { failure, invalidField } from '../domain/failure.ts'
import { parseWalletId, type ProjectId } from '../domain/ids.ts'
import {
  type EmailSignIn,
  type JwtSignIn,
  KNOWN_ISSUERS,
  type OidcProvider,
  type ProjectSettings,
  type Spender,
} from '../domain/project-settings.ts'
import { parseP256Key } from '../signing/public-keys.ts'
import type { DaemonVault } from '../vault/daemon-vault.ts'
import { oidcClientSecretName } from '../vault/secret-names.ts'
import type { Tx } from '../vault/store.ts'
import { getWallet } from '../vault/wallets.ts'

/** `clientSecret` undefined: the one it has stays. */
export type OidcProviderChange = Omit<OidcProvider, 'hasClientSecret'> & { readonly clientSecret: string | undefined }

/** What is absent stays; `null` takes away. */
export type SettingsChange = {
  readonly delegationEnabled?: boolean
  readonly allowedOrigins?: readonly string[]
  readonly jwtSignIn?: JwtSignIn | null
  readonly emailSignIn?: EmailSignIn | null
  readonly oidcProviders?: readonly OidcProviderChange[]
  readonly developerPublicKey?: string
  readonly developerAuthRequired?: boolean
  readonly siweDomains?: readonly string[]
  readonly spenders?: readonly { readonly network: string; readonly walletId: string }[]
}

const refuse = (field: string, description: string): never => {
  throw invalidField(`project.${field}`, description)
}

const checkUrl = (field: string, text: string): void => {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const isHttp = url?.protocol === 'https:' || url?.protocol === 'http:'
  if (url === undefined || !isHttp || url.username !== '' || url.password !== '' || url.hash !== '')
    refuse(field, 'must be an http or https URL without user and fragment')
}

const isKeySet = (json: string): boolean => {
  try {
    const set = JSON.parse(json) as { readonly keys?: unknown } | null
    return Array.isArray(set?.keys) && set.keys.length > 0 && set.keys.length <= 100
  } catch {
    return false
  }
}

const checkProvider = ({ provider, issuer, redirectUris }: OidcProviderChange): void => {
  const field = `oidc_providers[${provider}]`
  const known = KNOWN_ISSUERS.get(provider)?.[0]
  if (known === undefined && issuer === '') refuse(`${field}.issuer`, 'is required')
  if (known !== undefined && issuer !== '' && issuer !== known) refuse(`${field}.issuer`, `of ${provider} is ${known}`)
  if (issuer !== '') checkUrl(`${field}.issuer`, issuer)
  for (const uri of redirectUris) checkUrl(`${field}.redirect_uris`, uri)
}

const checkChange = ({ allowedOrigins, jwtSignIn, oidcProviders, developerPublicKey }: SettingsChange): void => {
  if (developerPublicKey !== undefined && developerPublicKey !== '' && parseP256Key(developerPublicKey) === undefined)
    refuse('developer_public_key', 'is not the base64 of a P-256 public key in SPKI form (DER, uncompressed)')
  for (const origin of allowedOrigins ?? [])
    if (!URL.canParse(origin) || new URL(origin).origin !== origin)
      refuse('allowed_origins', `${origin} is not written as a browser writes it`)
  if (jwtSignIn !== undefined && jwtSignIn !== null) {
    if (jwtSignIn.jwksUrl !== '') checkUrl('jwt_sign_in.jwks_url', jwtSignIn.jwksUrl)
    else if (!isKeySet(jwtSignIn.jwksJson)) refuse('jwt_sign_in.jwks_json', 'must be a JSON Web Key Set of 1 to 100 keys')
  }
  const names = (oidcProviders ?? []).map(({ provider }) => provider)
  if (new Set(names).size !== names.length) refuse('oidc_providers', 'must not name a provider twice')
  for (const provider of oidcProviders ?? []) checkProvider(provider)
}

/** The secret of a provider that is not there any more goes; one of a provider that changed its issuer or client too. */
const changeSecrets = (
  { secrets }: DaemonVault,
  tx: Tx,
  projectId: ProjectId,
  before: readonly OidcProvider[],
  after: readonly OidcProviderChange[],
): OidcProvider[] => {
  for (const { provider } of before)
    if (!after.some((next) => next.provider === provider)) secrets.remove(tx, oidcClientSecretName(projectId, provider))
  return after.map(({ clientSecret, ...provider }) => {
    const name = oidcClientSecretName(projectId, provider.provider)
    const known = before.find((one) => one.provider === provider.provider)
    const isSame = known?.issuer === provider.issuer && known.clientId === provider.clientId
    if (clientSecret !== undefined) secrets.write(tx, name, new TextEncoder().encode(clientSecret))
    else if (!isSame) secrets.remove(tx, name)
    return { ...provider, hasClientSecret: clientSecret !== undefined || (isSame && known.hasClientSecret) }
  })
}

/** A spender is a wallet the project can sign with by itself: anything else would take approvals that nobody can use. */
const readSpenders = (tx: Tx, projectId: ProjectId, spenders: NonNullable<SettingsChange['spenders']>): Spender[] => {
  const networks = spenders.map(({ network }) => network)
  if (new Set(networks).size !== networks.length) refuse('spenders', 'must not name a network twice')
  return spenders.map(({ network, walletId }) => {
    const id = parseWalletId(walletId)
    const wallet = id === undefined ? undefined : getWallet(tx, id)
    if (wallet?.project !== projectId) throw failure('WALLET_NOT_FOUND', {})
    const isUsable = wallet.ownerType === 'project' && wallet.state === 'ACTIVE'
    if (!isUsable) refuse('spenders', `${walletId} is not an active wallet of the project`)
    return { network, walletId: wallet.walletId }
  })
}

/** The settings with the change. Refuses with INVALID_REQUEST what the wire's own rules cannot say. */
export const changeSettings = (
  vault: DaemonVault,
  tx: Tx,
  projectId: ProjectId,
  before: ProjectSettings,
  change: SettingsChange,
): ProjectSettings => {
  checkChange(change)
  const { delegationEnabled, allowedOrigins, jwtSignIn, emailSignIn, oidcProviders, siweDomains, spenders } = change
  const developerPublicKey = change.developerPublicKey ?? before.developerPublicKey
  const developerAuthRequired = change.developerAuthRequired ?? before.developerAuthRequired
  if (developerAuthRequired && developerPublicKey === '') refuse('developer_auth_required', 'needs a developer_public_key')
  return {
    developerPublicKey,
    developerAuthRequired,
    delegationEnabled: delegationEnabled ?? before.delegationEnabled,
    allowedOrigins: allowedOrigins ?? before.allowedOrigins,
    jwtSignIn: jwtSignIn === undefined ? before.jwtSignIn : (jwtSignIn ?? undefined),
    emailSignIn: emailSignIn === undefined ? before.emailSignIn : (emailSignIn ?? undefined),
    oidcProviders:
      oidcProviders === undefined
        ? before.oidcProviders
        : changeSecrets(vault, tx, projectId, before.oidcProviders, oidcProviders),
    siweDomains: siweDomains ?? before.siweDomains,
    spenders: spenders === undefined ? before.spenders : readSpenders(tx, projectId, spenders),
  }
}
