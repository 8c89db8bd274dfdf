import { failure } from '../../domain/failure.ts'
import { fromHex } from '../bytes.ts'
import type { LoadedProfile, RequestContext, SignedRequest, SigningStep } from './loaded-profile.ts'
import type { Family, RequestJson } from './profile.ts'
import { FAMILIES } from './profile.ts'

/** A request that came as JSON — a self-test, a vector — as the profile's functions take it. */

const refuse = (path: string, why: string) => failure('PROFILE_INPUT_INVALID', { path, why })

const bytesOf = (path: string, text: string | undefined): Uint8Array | undefined => {
  if (text === undefined) return undefined
  const bytes = fromHex(text)
  if (bytes === undefined) throw refuse(path, 'is not 0x hex')
  return bytes
}

const nonceOf = (nonce: string | number | undefined): bigint | undefined => {
  if (nonce === undefined) return undefined
  if (typeof nonce === 'number' ? !Number.isSafeInteger(nonce) || nonce < 0 : !/^[0-9]{1,78}$/.test(nonce))
    throw refuse('nonce', 'is not an unsigned integer; beyond 2^53 it is a string')
  return BigInt(nonce)
}

const scopesOf = (scopes: readonly string[] | undefined): readonly (Family | 'unrestricted')[] | undefined =>
  scopes?.map((scope) => {
    const family = FAMILIES.find((each) => each === scope)
    if (family === undefined && scope !== 'unrestricted') throw refuse('scopes', 'has an unknown family')
    return family ?? 'unrestricted'
  })

const jsonBytes = (value: unknown): Uint8Array =>
  Buffer.from(typeof value === 'string' ? value : JSON.stringify(value), 'utf8')

type Present<T> = { [K in keyof T]: Exclude<T[K], undefined> }

/** The object without its absent members. */
const present = <T extends object>(members: T): Partial<Present<T>> =>
  Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined)) as Partial<Present<T>>

const contextOf = (loaded: LoadedProfile, flow: string, request: RequestJson): RequestContext => ({
  network: request.network,
  parameters: loaded.parseParameters(jsonBytes(request.parameters ?? {})),
  timeMs: request.timeMs ?? 0,
  ...present({
    input: request.action === undefined ? loaded.parseInput(flow, jsonBytes(request.input ?? {})) : undefined,
    nonce: nonceOf(request.nonce),
    notAfterMs: request.notAfterMs,
    expireTimeMs: request.expireTimeMs,
    scopes: scopesOf(request.scopes),
    walletAddress: request.walletAddress?.toLowerCase(),
    sessionPublicKey: bytesOf('sessionPublicKey', request.sessionPublicKey),
    sessionAddress: request.sessionAddress?.toLowerCase(),
    credentials: request.credentials === undefined ? undefined : loaded.parseCredentials(jsonBytes(request.credentials)),
    kept: request.kept,
  }),
})

/**
 * Builds a flow's request. With an action the flow is the one that its action has; naming another is refused
 * (PROFILE_FLOW_UNKNOWN), and without `family` the action's own is taken from the profile by its flow or tag.
 */
export const buildFromJson = (
  loaded: LoadedProfile,
  flow: string,
  request: RequestJson,
): SigningStep | SignedRequest => {
  const { profile } = loaded
  if (request.action === undefined) return loaded.buildFlow(flow, contextOf(loaded, flow, request))
  const context = contextOf(loaded, flow, request)
  const { network, parameters } = context
  const family = request.family ?? familyOf(loaded, flow, request.action)
  const action = loaded.readAction({ network, family, parameters, actionJson: jsonBytes(request.action) })
  const named = [action.facts.flow, action.facts.action, action.facts.family].includes(flow)
  if (!named) throw failure('PROFILE_FLOW_UNKNOWN', { profile: profile.id, flow })
  return loaded.buildAction(action, context)
}

const familyOf = ({ profile }: LoadedProfile, flow: string, action: unknown): string => {
  const tag = profile.tag === undefined ? undefined : (action as Record<string, unknown> | null)?.[profile.tag]
  const byTag = typeof tag === 'string' && Object.hasOwn(profile.actions, tag) ? profile.actions[tag] : undefined
  const byFlow = Object.entries(profile.actions).find(([name, spec]) => [name, spec.flow, spec.family].includes(flow))
  return byTag?.family ?? byFlow?.[1].family ?? flow
}
