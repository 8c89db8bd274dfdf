/** A project's settings: from the wire and back. */
import type { OidcProviderChange, SettingsChange } from '../admin/project-changes.ts'
import {
  DEFAULT_ALGORITHMS,
  type JwtSignIn,
  type ProjectSettings,
  SIGNATURE_ALGORITHMS,
  type SignatureAlgorithm,
} from '../domain/project-settings.ts'
import type {
  JwtSignIn as WireJwtSignIn,
  OidcProvider as WireOidcProvider,
  Project,
} from '../../gen/countersign/v1/admin_pb.ts'
import { orAbsent } from './wire-words.ts'

export const toWireSettings = (settings: ProjectSettings) => ({
  developerPublicKey: settings.developerPublicKey,
  developerAuthRequired: settings.developerAuthRequired,
  delegationEnabled: settings.delegationEnabled,
  allowedOrigins: [...settings.allowedOrigins],
  ...(settings.jwtSignIn === undefined
    ? {}
    : {
        jwtSignIn: {
          ...settings.jwtSignIn,
          audiences: [...settings.jwtSignIn.audiences],
          algorithms: [...settings.jwtSignIn.algorithms],
        },
      }),
  ...(settings.emailSignIn === undefined ? {} : { emailSignIn: settings.emailSignIn }),
  siweDomains: [...settings.siweDomains],
  spenders: settings.spenders.map((spender) => ({ ...spender })),
  oidcProviders: settings.oidcProviders.map((provider) => ({
    ...provider,
    redirectUris: [...provider.redirectUris],
    scopes: [...provider.scopes],
    idTokenAudiences: [...provider.idTokenAudiences],
  })),
})

const isAlgorithm = (name: string): name is SignatureAlgorithm => SIGNATURE_ALGORITHMS.some((known) => known === name)

const readJwt = ({ issuer, audiences, jwksUrl, jwksJson, userIdClaim, algorithms }: WireJwtSignIn): JwtSignIn => ({
  issuer,
  audiences,
  jwksUrl,
  jwksJson,
  userIdClaim: userIdClaim === '' ? 'sub' : userIdClaim,
  algorithms: algorithms.length === 0 ? DEFAULT_ALGORITHMS : algorithms.filter(isAlgorithm),
})

const readProvider = (wire: WireOidcProvider): OidcProviderChange => ({
  provider: wire.provider,
  issuer: wire.issuer,
  clientId: wire.clientId,
  clientSecret: orAbsent(wire.clientSecret),
  redirectUris: wire.redirectUris,
  scopes: wire.scopes,
  idTokenAudiences: wire.idTokenAudiences,
})

/** What the mask names. */
export const readSettingsChange = (project: Project, isNamed: (path: string) => boolean): SettingsChange => ({
  ...(isNamed('delegation_enabled') ? { delegationEnabled: project.delegationEnabled } : {}),
  ...(isNamed('allowed_origins') ? { allowedOrigins: project.allowedOrigins } : {}),
  ...(isNamed('jwt_sign_in') ? { jwtSignIn: project.jwtSignIn === undefined ? null : readJwt(project.jwtSignIn) } : {}),
  ...(isNamed('email_sign_in')
    ? { emailSignIn: project.emailSignIn === undefined ? null : { senderName: project.emailSignIn.senderName } }
    : {}),
  ...(isNamed('siwe_domains') ? { siweDomains: project.siweDomains } : {}),
  ...(isNamed('spenders') ? { spenders: project.spenders.map(({ network, walletId }) => ({ network, walletId })) } : {}),
  ...(isNamed('oidc_providers') ? { oidcProviders: project.oidcProviders.map(readProvider) } : {}),
  ...(isNamed('developer_public_key') ? { developerPublicKey: project.developerPublicKey } : {}),
  ...(isNamed('developer_auth_required') ? { developerAuthRequired: project.developerAuthRequired } : {}),
})
