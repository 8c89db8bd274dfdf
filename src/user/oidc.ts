/**
 * Sign-in at an OpenID provider: with a code (and PKCE) that the provider sends the person back with, or with an ID token
 * that an app got there. Either way the sign-in was begun here: it has a nonce of ours, and ends once.
 */
import { buildAuthorizationUrl, calculatePKCECodeChallenge } from 'openid-client'
import { failure, invalidField } from '../domain/failure.ts'
import { networkOf } from '../domain/network-address.ts'
import type { ProjectId } from '../domain/ids.ts'
import { KNOWN_ISSUERS, type OidcProvider, SIGNATURE_ALGORITHMS } from '../domain/project-settings.ts'
import type { JsonObject } from '../payload/json.ts'
import { oidcClientSecretName } from '../vault/secret-names.ts'
import { newOidcFlowId, type OidcFlow, oidcSecrets, startOidcFlow, takeOidcFlow } from '../vault/sign-in-flows.ts'
import { answerSession, beginSession, type SignedIn } from './begin-session.ts'
import type { OidcClient } from './oidc-servers.ts'
import { type SignInNeeds, type VisitedProject, type Visitor, visitProject } from './sign-in-needs.ts'
import { JwtRefused, textClaim } from './strict-jwt.ts'
import { verifyIssuedToken, withJwtReasons } from './verify-issued-token.ts'

const STARTS_PER_PROJECT_AND_MINUTE = 1_200
const STARTS_PER_PEER_AND_MINUTE = 60
const MINUTE_MS = 60_000
const MAX_SUBJECT_CHARACTERS = 255

const requireProvider = ({ settings }: VisitedProject, name: string): OidcProvider => {
  if (settings.oidcProviders.length === 0) throw failure('SIGN_IN_NOT_ENABLED', { method: 'oidc' })
  const provider = settings.oidcProviders.find((one) => one.provider === name)
  if (provider === undefined) throw failure('OIDC_PROVIDER_NOT_FOUND', { provider: name })
  return provider
}

/** The first is the one that users are known by. */
const issuersOf = ({ provider, issuer }: OidcProvider): readonly [string, ...string[]] => KNOWN_ISSUERS.get(provider) ?? [issuer]

const clientOf = ({ vault }: SignInNeeds, project: ProjectId, provider: OidcProvider): OidcClient => {
  const bytes = provider.hasClientSecret ? vault.secrets.read(oidcClientSecretName(project, provider.provider)) : undefined
  const clientSecret = bytes === undefined ? undefined : new TextDecoder().decode(bytes)
  bytes?.fill(0)
  return { provider: provider.provider, issuer: issuersOf(provider)[0], clientId: provider.clientId, clientSecret }
}

export type OidcStart = {
  /** What the sign-in is finished with; not in the URL, so that who sees that finishes nothing. */
  readonly flowId: string
  readonly state: string
  readonly nonce: string
  readonly authorizationUrl: string
  readonly expireMs: number
}

/**
 * Refuses: SIGN_IN_NOT_ENABLED, OIDC_PROVIDER_NOT_FOUND, OIDC_PROVIDER_UNAVAILABLE, RATE_LIMITED, INVALID_REQUEST for a
 * redirect URI that is not the project's, and as `visitProject`.
 */
export const startOidc = async (
  needs: SignInNeeds,
  visitor: Visitor,
  args: { readonly provider: string; readonly redirectUri: string },
): Promise<OidcStart> => {
  const visited = visitProject(needs, visitor)
  const { projectId: project } = visited
  const provider = requireProvider(visited, args.provider)
  const { redirectUri } = args
  if (redirectUri !== '' && !provider.redirectUris.includes(redirectUri)) throw invalidField('redirect_uri', 'is not one of the project')
  needs.windows.take(`sign_ins_per_peer ${networkOf(visitor.peerAddress)}`, STARTS_PER_PEER_AND_MINUTE, MINUTE_MS)
  needs.windows.take(`sign_ins_per_project ${project}`, STARTS_PER_PROJECT_AND_MINUTE, MINUTE_MS)
  const flowId = newOidcFlowId()
  const { state, nonce, codeVerifier } = oidcSecrets(needs.vault.read, flowId)
  const authorizationUrl =
    redirectUri === ''
      ? ''
      : buildAuthorizationUrl(await needs.oidcServers.configure(clientOf(needs, project, provider)), {
          redirect_uri: redirectUri,
          scope: ['openid', ...provider.scopes.filter((scope) => scope !== 'openid')].join(' '),
          state,
          nonce,
          code_challenge: await calculatePKCECodeChallenge(codeVerifier),
          code_challenge_method: 'S256',
        }).href
  const flow = { project, provider: provider.provider, redirectUri }
  const { expireMs } = await needs.vault.commit((tx) => startOidcFlow(tx, flowId, flow, Math.trunc(needs.clock.nowMs())))
  return { flowId, state, nonce, authorizationUrl, expireMs }
}

export type OidcProof =
  | { readonly kind: 'code'; readonly code: string; readonly state: string; readonly issuer: string }
  | { readonly kind: 'id_token'; readonly idToken: string }

type Visit = { readonly flowId: string; readonly flow: OidcFlow; readonly provider: OidcProvider }

const obtainIdToken = async (needs: SignInNeeds, { flowId, flow, provider }: Visit, proof: OidcProof): Promise<string> => {
  if (proof.kind === 'id_token') return proof.idToken
  const { state, nonce, codeVerifier } = oidcSecrets(needs.vault.read, flowId)
  if (proof.state !== state || flow.redirectUri === '') throw failure('OIDC_STATE_INVALID', {})
  const returnUrl = new URL(flow.redirectUri)
  returnUrl.searchParams.set('code', proof.code)
  returnUrl.searchParams.set('state', proof.state)
  if (proof.issuer !== '') returnUrl.searchParams.set('iss', proof.issuer)
  return needs.oidcServers.exchange(clientOf(needs, flow.project, provider), { returnUrl, state, nonce, codeVerifier })
}

/** The parties a token is for must include the project's client; where there are several, it must have been asked for by it. */
const checkAuthorizedParty = (claims: JsonObject, audiences: readonly string[]): void => {
  const [audience, party] = [claims.get('aud'), claims.get('azp')]
  if (!Array.isArray(audience) || audience.length < 2) return
  if (typeof party !== 'string' || !audiences.includes(party)) throw new JwtRefused('audience')
}

const verifyIdToken = async (needs: SignInNeeds, { flowId, provider }: Visit, idToken: string, isFromApp: boolean): Promise<string> => {
  const issuers = issuersOf(provider)
  const { jwks_uri: jwksUri } = await needs.oidcServers.metadata({ provider: provider.provider, issuer: issuers[0] })
  if (jwksUri === undefined) throw failure('OIDC_PROVIDER_UNAVAILABLE', { provider: provider.provider })
  const audiences = [provider.clientId, ...(isFromApp ? provider.idTokenAudiences : [])]
  const expected = {
    algorithms: SIGNATURE_ALGORITHMS,
    audiences,
    issuers,
    findKey: (kid: string | undefined, algorithm: (typeof SIGNATURE_ALGORITHMS)[number]) => needs.keySets.find(jwksUri, kid, algorithm),
  }
  const claims = await verifyIssuedToken(idToken, expected, needs.clock.nowMs())
  checkAuthorizedParty(claims, audiences)
  if (claims.get('nonce') !== oidcSecrets(needs.vault.read, flowId).nonce) throw new JwtRefused('nonce')
  const subject = textClaim(claims, 'sub')
  if (subject.length > MAX_SUBJECT_CHARACTERS) throw new JwtRefused('claim')
  return `${issuers[0]} ${subject}`
}

/**
 * Refuses: OIDC_STATE_INVALID, OIDC_REFUSED, OIDC_PROVIDER_UNAVAILABLE, KEY_SET_UNAVAILABLE, ID_TOKEN_INVALID,
 * ID_TOKEN_EXPIRED, and as `visitProject`. Whatever comes of it, the sign-in that was begun is used up.
 */
export const authenticateWithOidc = async (
  needs: SignInNeeds,
  visitor: Visitor,
  { flowId, proof }: { readonly flowId: string; readonly proof: OidcProof },
): Promise<SignedIn> => {
  const visited = visitProject(needs, visitor)
  const { projectId: project } = visited
  const flow = await needs.vault.commit((tx) => takeOidcFlow(tx, flowId, project, Math.trunc(needs.clock.nowMs())))
  if (flow === undefined) throw failure('OIDC_STATE_INVALID', {})
  const visit = { flowId, flow, provider: requireProvider(visited, flow.provider) }
  const idToken = await obtainIdToken(needs, visit, proof)
  const subject = await withJwtReasons(() => verifyIdToken(needs, visit, idToken, proof.kind === 'id_token'))
  const identity = { project, method: 'oidc', subject, rpc: 'AuthenticateWithOidc' } as const
  const begun = await needs.vault.commit((tx) => beginSession(needs, tx, identity, Math.trunc(needs.clock.nowMs())))
  return answerSession(needs, begun)
}
