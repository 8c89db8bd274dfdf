/** Signing in, of countersign.v1.EndUserService: from the wire to a use case and back, cookies included. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import type { PublicCall } from '../domain/call.ts'
import { invalidField } from '../domain/failure.ts'
import { parseRequestId } from '../domain/ids.ts'
import {
  type AuthenticateWithOidcRequest,
  type EndUserSchema,
  SignInMethod as WireMethod,
  type SignInSchema,
} from '../../gen/countersign/v1/end_user_pb.ts'
import type { EndUserUseCases, EndUserView, IdentityView, OidcProof, SignedIn, Visitor } from './end-user-use-cases.ts'
import type { Handlers } from './pipeline.ts'
import type { WebExchange } from './web-exchange.ts'
import { optionalTimestamp, toTimestamp } from './wire-words.ts'

const METHODS = {
  jwt: WireMethod.JWT,
  email: WireMethod.EMAIL,
  oidc: WireMethod.OIDC,
} as const satisfies { readonly [M in IdentityView['method']]: WireMethod }

const toWireEndUser = (user: EndUserView): MessageInitShape<typeof EndUserSchema> => ({
  userId: user.userId,
  projectId: user.projectId,
  createTime: toTimestamp(user.createTimeMs),
  identities: user.identities.map(({ method, subject, createTimeMs }) => ({
    method: METHODS[method],
    subject,
    createTime: toTimestamp(createTimeMs),
  })),
})

/** A browser gets its refresh token as a cookie and nowhere else: what a page cannot read, nothing in it can steal. */
const toWireSignIn = (signedIn: SignedIn, web: WebExchange): MessageInitShape<typeof SignInSchema> => {
  const { refreshToken } = signedIn
  const isBrowser = web.origin !== undefined
  if (isBrowser && refreshToken !== undefined)
    web.giveRefreshCookie(refreshToken.token.reveal(), Math.max(1, Math.floor((refreshToken.expireMs - Date.now()) / 1_000)))
  return {
    endUser: toWireEndUser(signedIn.endUser),
    isNewEndUser: signedIn.isNewEndUser,
    accessToken: signedIn.accessToken,
    accessTokenExpireTime: toTimestamp(signedIn.accessTokenExpireMs),
    refreshToken: isBrowser ? '' : (refreshToken?.token.reveal() ?? ''),
    ...optionalTimestamp('refreshTokenExpireTime', refreshToken?.expireMs),
  }
}

const visitorOf = ({ projectId }: { readonly projectId: string }, { peerAddress }: PublicCall, { origin }: WebExchange): Visitor => ({
  projectId,
  origin,
  peerAddress,
})

const readProof = ({ proof }: AuthenticateWithOidcRequest): OidcProof => {
  if (proof.case === 'idToken') return { kind: 'id_token', idToken: proof.value }
  if (proof.case === 'code') return { kind: 'code', code: proof.value.code, state: proof.value.state, issuer: proof.value.iss }
  throw invalidField('proof', 'is required')
}

/** The token of the request; a browser's is the cookie. */
const refreshTokenOf = ({ refreshToken }: { readonly refreshToken: string }, { refreshCookie }: WebExchange): string =>
  refreshToken === '' ? refreshCookie : refreshToken

type SignInRpc =
  | 'authenticateWithJwt'
  | 'startEmailCode'
  | 'verifyEmailCode'
  | 'startOidc'
  | 'authenticateWithOidc'
  | 'refreshAccessToken'
  | 'signOut'
  | 'validateAccessToken'
  | 'getEndUser'

export const signInHandlers = (endUsers: EndUserUseCases): Pick<Handlers<'endUser'>, SignInRpc> => ({
  authenticateWithJwt: async (request, call, web) => ({
    signIn: toWireSignIn(await endUsers.authenticateWithJwt(visitorOf(request, call, web), { jwt: request.jwt }), web),
  }),
  startEmailCode: async (request, call, web) => {
    const args = { email: request.email, signal: call.signal }
    const { flowId, expireMs } = await endUsers.startEmailCode(visitorOf(request, call, web), args)
    return { flowId, expireTime: toTimestamp(expireMs) }
  },
  verifyEmailCode: async (request, call, web) => {
    const { flowId, code } = request
    return { signIn: toWireSignIn(await endUsers.verifyEmailCode(visitorOf(request, call, web), { flowId, code }), web) }
  },
  startOidc: async (request, call, web) => {
    const { provider, redirectUri } = request
    const { expireMs, ...start } = await endUsers.startOidc(visitorOf(request, call, web), { provider, redirectUri })
    return { ...start, expireTime: toTimestamp(expireMs) }
  },
  authenticateWithOidc: async (request, call, web) => {
    const args = { flowId: request.flowId, proof: readProof(request) }
    return { signIn: toWireSignIn(await endUsers.authenticateWithOidc(visitorOf(request, call, web), args), web) }
  },
  refreshAccessToken: async (request, call, web) => {
    const args = { refreshToken: refreshTokenOf(request, web), requestId: parseRequestId(request.requestId) }
    return { signIn: toWireSignIn(await endUsers.refreshAccessToken(visitorOf(request, call, web), args), web) }
  },
  signOut: async (request, call, web) => {
    const args = { refreshToken: refreshTokenOf(request, web), accessToken: request.accessToken }
    await endUsers.signOut(visitorOf(request, call, web), args)
    web.takeRefreshCookie()
    return {}
  },
  validateAccessToken: async ({ accessToken }, call) => {
    const { endUser, method, authTimeMs, expireTimeMs } = await endUsers.validateAccessToken(call, { accessToken })
    const times = { authTime: toTimestamp(authTimeMs), expireTime: toTimestamp(expireTimeMs) }
    return { endUser: toWireEndUser(endUser), method: METHODS[method], ...times }
  },
  getEndUser: async ({ userId }, call) => ({ endUser: toWireEndUser(await endUsers.getEndUser(call, { userId })) }),
})
