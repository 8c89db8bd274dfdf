/** countersign.v1.SessionKeyService: from the wire to a use case and back. */
import type { MessageInitShape } from '@bufbuild/protobuf'
import { durationFromMs, durationMs, timestampMs } from '@bufbuild/protobuf/wkt'
import type { Duration, Timestamp } from '@bufbuild/protobuf/wkt'
import { invalidField } from '../domain/failure.ts'
import type {
  CreateSessionKeyRequest,
  SessionKeySchema,
  SessionLimits as WireLimits,
  SessionLimitsSchema,
  SignActionRequest,
  VenueProfileSchema,
  VenueRequestSchema,
  VerifyActionRequest,
} from '../../gen/countersign/v1/session_key_pb.ts'
import {
  ActionOutcome,
  RegistrationOutcome,
  ActionSignerKind,
  ListSessionKeysRequestSchema,
  SessionKeyState as WireState,
  SessionScope as WireScope,
  TradeSide,
} from '../../gen/countersign/v1/session_key_pb.ts'
import { signActionStream } from './action-stream.ts'
import type { PageTokens } from './page-token.ts'
import { listPage } from './paging.ts'
import type { Handlers } from './pipeline.ts'
import type {
  ActionRequest,
  KeyRequest,
  KeyStanding,
  ProfileView,
  RegisteredKey,
  SessionKeyView,
  SessionLimits,
  SessionScope,
  SessionUseCases,
  SignedAction,
  VerifyRequest,
} from './session-use-cases.ts'
import { bothWays, fromTimestamp, optionalTimestamp, orAbsent, toTimestamp, toWireReceipt, toWireSignature } from './wire-words.ts'

const scopes = bothWays<SessionScope, WireScope>({
  order: WireScope.ORDER,
  modify_order: WireScope.MODIFY_ORDER,
  cancel_order: WireScope.CANCEL_ORDER,
  cancel_all: WireScope.CANCEL_ALL,
  unrestricted: WireScope.UNRESTRICTED,
})

const states = bothWays<KeyStanding, WireState>({
  pending: WireState.PENDING,
  active: WireState.ACTIVE,
  expired: WireState.EXPIRED,
  revoked: WireState.REVOKED,
})

const sides = bothWays<'buy' | 'sell', TradeSide>({ buy: TradeSide.BUY, sell: TradeSide.SELL })

const outcomes = bothWays<'accepted' | 'rejected' | 'filled' | 'partially_filled' | 'cancelled', ActionOutcome>({
  accepted: ActionOutcome.ACCEPTED,
  rejected: ActionOutcome.REJECTED,
  filled: ActionOutcome.FILLED,
  partially_filled: ActionOutcome.PARTIALLY_FILLED,
  cancelled: ActionOutcome.CANCELLED,
})

const optionalDuration = (duration: Duration | undefined): number | undefined =>
  duration === undefined ? undefined : durationMs(duration)

const readLimits = (limits: WireLimits | undefined): SessionLimits => {
  if (limits === undefined) return {}
  const side = sides.fromWire(limits.side)
  const maxMarkAgeMs = optionalDuration(limits.maxMarkAge)
  return {
    ...(limits.markets.length > 0 && { markets: limits.markets }),
    ...(side && { side }),
    ...(limits.maxSize !== '' && { maxSize: limits.maxSize }),
    ...(limits.maxNotional !== '' && { maxNotional: limits.maxNotional }),
    ...(limits.maxNotionalPerDay !== '' && { maxNotionalPerDay: limits.maxNotionalPerDay }),
    ...(limits.reduceOnly && { reduceOnly: true }),
    ...(limits.maxRate > 0 && { maxRate: limits.maxRate }),
    ...(maxMarkAgeMs !== undefined && { maxMarkAgeMs }),
  }
}

const toWireLimits = (limits: SessionLimits): MessageInitShape<typeof SessionLimitsSchema> => ({
  markets: [...(limits.markets ?? [])],
  side: limits.side === undefined ? TradeSide.UNSPECIFIED : sides.toWire(limits.side),
  maxSize: limits.maxSize ?? '',
  maxNotional: limits.maxNotional ?? '',
  maxNotionalPerDay: limits.maxNotionalPerDay ?? '',
  reduceOnly: limits.reduceOnly === true,
  maxRate: limits.maxRate ?? 0,
  ...(limits.maxMarkAgeMs !== undefined && { maxMarkAge: durationFromMs(limits.maxMarkAgeMs) }),
})

const toWireSessionKey = (key: SessionKeyView): MessageInitShape<typeof SessionKeySchema> => ({
  sessionKeyId: key.sessionKeyId,
  walletId: key.walletId,
  publicKey: key.publicKeyHex,
  address: key.address,
  profile: key.profile,
  network: key.network,
  scopes: key.scopes.map(scopes.toWire),
  expireTime: toTimestamp(key.expireTimeMs),
  state: states.toWire(key.state),
  extraFamilies: [...key.extraFamilies],
  limits: toWireLimits(key.limits),
  parameters: key.parameters as never,
  profileHash: Uint8Array.from(key.profileHash),
  requireSession: key.requireSession,
  clientHeld: key.clientHeld,
  createTime: toTimestamp(key.createTimeMs),
  replaces: key.replaces,
  ...optionalTimestamp('retireTime', key.retireTimeMs),
  credentials: [...key.credentials],
  payloadLessCount: BigInt(key.payloadLessCount),
  grantId: key.grantId,
})

type Http = NonNullable<RegisteredKey['registration']>

const toWireRequest = (http: Omit<Http, 'body' | 'baseUrl'> & { body?: string | undefined; baseUrl?: string | undefined }) =>
  ({
    method: http.method,
    baseUrl: http.baseUrl ?? '',
    path: http.path,
    headers: { ...http.headers },
    body: http.body ?? '',
  }) satisfies MessageInitShape<typeof VenueRequestSchema>

const toWireRegistered = ({ sessionKey, payload, registration, receipt }: RegisteredKey) => ({
  sessionKey: toWireSessionKey(sessionKey),
  delegatedPayload: Uint8Array.from(payload),
  ...(registration && { registration: toWireRequest(registration) }),
  receipt: toWireReceipt(receipt),
})

const requireTime = (time: Timestamp | undefined, field: string): number => {
  if (time !== undefined) return timestampMs(time)
  throw invalidField(field, 'is required')
}

const readKeyRequest = (request: CreateSessionKeyRequest): KeyRequest => ({
  walletRef: request.wallet,
  profile: request.profile,
  network: request.network,
  scopes: request.scopes.map(scopes.fromWire),
  extraFamilies: request.extraFamilies,
  expireTimeMs: requireTime(request.expireTime, 'expire_time'),
  publicKey: request.sessionPublicKey,
  parameters: (request.parameters ?? {}),
  limits: readLimits(request.limits),
  requireSession: request.requireSession,
  registrationInput: (request.registrationInput ?? {}),
})

const readAction = (request: SignActionRequest): ActionRequest => ({
  sessionKeyId: request.sessionKeyId,
  family: request.family,
  actionJson: request.actionJson,
  notAfterMs: fromTimestamp(request.notAfter),
  venueTimeMs: fromTimestamp(request.venueTime),
  reduceOnly: request.reduceOnly,
})

const RECOVERABLE_BYTES = 65

const toWireActionSignature = (signature: Uint8Array) =>
  signature.length === RECOVERABLE_BYTES
    ? toWireSignature({
        r: signature.slice(0, 32),
        s: signature.slice(32, 64),
        yParity: signature[64] === 28 ? 1 : 0,
      })
    : toWireSignature({ raw: signature })

const toWireAction = ({ signature, digest, signedActionJson, nonce, http, receipt }: SignedAction) => ({
  signature: toWireActionSignature(signature),
  digest,
  signedActionJson,
  receipt: toWireReceipt(receipt),
  nonce: nonce === undefined ? '' : String(nonce),
  ...(http && { request: toWireRequest(http) }),
})

const readVerification = (request: VerifyActionRequest): VerifyRequest => ({
  profile: request.profile,
  network: request.network,
  family: request.family,
  actionJson: request.actionJson,
  nonce: request.nonce === '' ? undefined : BigInt(request.nonce),
  signature: request.signature,
  payload: request.delegatedPayload,
  wallet: request.wallet,
  parameters: (request.parameters ?? {}),
  notAfterMs: fromTimestamp(request.actionNotAfter),
})

const toWireProfile = ({ maxLifeMs, ...profile }: ProfileView): MessageInitShape<typeof VenueProfileSchema> => ({
  ...profile,
  profileHash: Uint8Array.from(profile.profileHash),
  networks: [...profile.networks],
  families: [...profile.families],
  unsignedFields: [...profile.unsignedFields],
  confidence: { ...profile.confidence },
  parameters: [...profile.parameters],
  credentials: [...profile.credentials],
  ...(maxLifeMs !== undefined && { maxLife: durationFromMs(maxLifeMs) }),
})

const lifeHandlers = (session: SessionUseCases, tokens: PageTokens) =>
  ({
    createSessionKey: async (request, call) =>
      toWireRegistered(await session.createSessionKey(call, readKeyRequest(request))),
    rotateSessionKey: async (request, call) => {
      const rotated = await session.rotateSessionKey(call, {
        sessionKeyId: request.sessionKeyId,
        expireTimeMs: requireTime(request.expireTime, 'expire_time'),
        overlapMs: optionalDuration(request.overlap) ?? 0,
        publicKey: request.sessionPublicKey,
        registrationInput: (request.registrationInput ?? {}),
        parameters: request.parameters,
      })
      return toWireRegistered(rotated)
    },
    confirmSessionKey: async ({ sessionKeyId, outcome, venueAnswer }, call) => ({
      sessionKey: toWireSessionKey(
        await session.confirmSessionKey(call, { sessionKeyId, accepted: outcome === RegistrationOutcome.ACCEPTED, venueAnswer }),
      ),
    }),
    getSessionKey: async ({ sessionKeyId }, call) => ({
      sessionKey: toWireSessionKey(await session.getSessionKey(call, { sessionKeyId })),
    }),
    listSessionKeys: async (request, call) => {
      const filter = { walletId: orAbsent(request.walletId), profile: orAbsent(request.profile) }
      const { items, nextPageToken } = await listPage(tokens, ListSessionKeysRequestSchema, request, call, (page) =>
        session.listSessionKeys(call, { ...page, ...filter }),
      )
      return { sessionKeys: items.map(toWireSessionKey), nextPageToken }
    },
    revokeSessionKey: async ({ sessionKeyId }, call) => ({
      sessionKey: toWireSessionKey(await session.revokeSessionKey(call, { sessionKeyId })),
    }),
    putVenueCredential: async ({ sessionKeyId, name, secret }, call) => ({
      sessionKey: toWireSessionKey(await session.putVenueCredential(call, { sessionKeyId, name, secret })),
    }),
  }) satisfies Partial<Handlers<'session'>>

export const createSessionService = (session: SessionUseCases, tokens: PageTokens): Handlers<'session'> => ({
  ...lifeHandlers(session, tokens),
  signAction: async (request, call) => toWireAction(await session.signAction(call, readAction(request))),
  signActionStream,
  verifyAction: async (request, call) => {
    const verified = await session.verifyAction(call, readVerification(request))
    return {
      signerKind: verified.signerKind === 'wallet' ? ActionSignerKind.WALLET : ActionSignerKind.SESSION,
      signer: verified.signer,
      sessionKeyId: verified.sessionKeyId,
      ...optionalTimestamp('expireTime', verified.expireTimeMs),
      receipt: toWireReceipt(verified.receipt),
    }
  },
  testScope: async ({ sessionKeyId }, call) => {
    const { families } = await session.testScope(call, { sessionKeyId })
    return { families: families.map((verdict) => ({ ...verdict })) }
  },
  listProfiles: async (_request, call) => ({ profiles: (await session.listProfiles(call)).map(toWireProfile) }),
  explainAction: async ({ sessionKeyId, family, actionJson }, call) => {
    const explained = await session.explainAction(call, { sessionKeyId, family, actionJson })
    return { ...explained, unsignedFields: [...explained.unsignedFields] }
  },
  setMarkPrices: async ({ profile, network, prices }, call) => ({
    receipt: toWireReceipt(await session.setMarkPrices(call, { profile, network, prices })),
  }),
  recordOutcome: async (request, call) => {
    const { sessionKeyId, actionSequence, venueReference, note } = request
    const outcome = outcomes.fromWire(request.outcome) ?? 'rejected'
    const args = { sessionKeyId, actionSequence, outcome, venueReference, note }
    return { receipt: toWireReceipt(await session.recordOutcome(call, args)) }
  },
  watchReceipts: async function* ({ sessionKeyId, afterSequence }, call) {
    for await (const row of session.watchReceipts(call, { sessionKeyId, afterSequence })) {
      const { sequence, hash, timeMs, kind, detailsJson } = row
      yield { sequence, hash, time: toTimestamp(timeMs), kind, sessionKeyId, detailsJson }
    }
  },
})
