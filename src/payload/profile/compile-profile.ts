import { failure, isFailure } from '../../domain/failure.ts'
import { JsonRefused, parseJson } from '../json.ts'
import type { BuildRequest } from './build-request.ts'
import { compileFlow } from './build-request.ts'
import type { Scope } from './compile.ts'
import { decodeDelegatedPayload } from './delegated-payload.ts'
import { explainAction } from './explain-action.ts'
import type { LoadedProfile, Parameters, RequestContext, SignedRequest, SigningStep } from './loaded-profile.ts'
import { OperatorRefused, ProfileFault } from './profile-fault.ts'
import type { Family, Flow, Profile } from './profile.ts'
import { FAMILIES } from './profile.ts'
import { hashProfile } from './profile-hash.ts'
import { actionRefused, compileActions } from './read-action.ts'
import { compileShape, ShapeRefused } from './read-shape.ts'
import { sessionAddress } from './session-address.ts'
import type { Members } from './shape.ts'
import type { Value } from './value.ts'

/** A profile's data as the functions of `LoadedProfile`. Its self-test has not run yet. */

const MAX_INPUT_BYTES = 64 * 1024
const inputRefused = (path: string, why: string) => failure('PROFILE_INPUT_INVALID', { path, why })

const compileInput = (members: Members): ((json: Uint8Array) => Parameters) => {
  const reader = compileShape({ kind: 'object', members })
  return (json) => {
    if (json.length > MAX_INPUT_BYTES) throw inputRefused('$', `is larger than ${MAX_INPUT_BYTES} bytes`)
    try {
      return reader.read(parseJson(json)) as Parameters
    } catch (error) {
      if (error instanceof ShapeRefused) throw inputRefused(error.path, error.why)
      if (error instanceof JsonRefused) throw inputRefused('$', error.why)
      throw error
    }
  }
}

/** The venue's codes for what a key is for, each once. A family that the venue has no code for is refused. */
const scopeCodes = (profile: Profile, scopes: readonly (Family | 'unrestricted')[]): readonly Value[] => {
  if (scopes.length === 0) throw inputRefused('scopes', 'are empty')
  const codes = scopes.map((scope) => {
    const code = profile.scopeCodes?.[scope]
    if (code === undefined) throw inputRefused('scopes', `the venue has no scope for ${scope}`)
    return code
  })
  return [...new Set(codes)]
}

const sessionValue = (context: RequestContext, needsAddress: boolean): Value => {
  const { sessionPublicKey, sessionAddress: given } = context
  if (sessionPublicKey === undefined && given === undefined) return undefined
  const computed = needsAddress && given === undefined && sessionPublicKey !== undefined
  return {
    ...(sessionPublicKey === undefined ? {} : { publicKey: sessionPublicKey }),
    ...(given === undefined ? {} : { address: given }),
    ...(computed ? { address: sessionAddress(sessionPublicKey) } : {}),
  }
}

/** What of the context is looked at, so that nothing is computed in vain. */
type Uses = { readonly address: boolean; readonly scopes: boolean }

const usesOf = (flow: Flow): Uses => {
  const text = JSON.stringify(flow)
  return { address: text.includes('$session.address'), scopes: text.includes('"$scopes"') }
}

const scopeOf = (profile: Profile, uses: Uses, context: RequestContext, action: Value): Scope => {
  const { network } = context
  const net = Object.hasOwn(profile.networks, network) ? profile.networks[network] : undefined
  if (net === undefined) throw failure('PROFILE_NETWORK_UNKNOWN', { profile: profile.id, network })
  return {
    net,
    network,
    params: context.parameters,
    action,
    input: context.input,
    nonce: context.nonce,
    timeMs: context.timeMs,
    notAfterMs: context.notAfterMs,
    expireMs: context.expireTimeMs,
    scopes: uses.scopes && context.scopes !== undefined ? scopeCodes(profile, context.scopes) : undefined,
    wallet: context.walletAddress,
    session: sessionValue(context, uses.address),
    cred: context.credentials,
    kept: context.kept,
  }
}

type Refuse = (why: string) => Error

const guarded = <T>(refuse: Refuse, run: () => T): T => {
  try {
    return run()
  } catch (error) {
    if (error instanceof OperatorRefused) throw refuse(error.why)
    throw error
  }
}

/** Every later step is guarded like the first. */
const guardSteps = (refuse: Refuse, run: () => SigningStep | SignedRequest): SigningStep | SignedRequest => {
  const result = guarded(refuse, run)
  if (result.kind === 'done') return result
  return { ...result, finish: (signature) => guardSteps(refuse, () => result.finish(signature)) }
}

type CompiledFlow = {
  readonly build: BuildRequest
  readonly uses: Uses
  readonly parseInput: (json: Uint8Array) => Parameters
}

const compileFlows = (profile: Profile): ReadonlyMap<string, CompiledFlow> =>
  new Map(
    Object.entries(profile.flows).map(([name, flow]) => {
      const build = compileFlow(profile, flow)
      return [name, { build, uses: usesOf(flow), parseInput: compileInput(flow.input ?? {}) }]
    }),
  )

const checkActions = (profile: Profile): void => {
  for (const [name, { family, flow }] of Object.entries(profile.actions)) {
    if (!FAMILIES.includes(family)) throw new ProfileFault(`${name} is of no family`)
    const [step] = profile.flows[flow]?.sign ?? []
    if (profile.flows[flow]?.purpose !== 'action' || step === undefined || step.by === 'wallet')
      throw new ProfileFault(`${name} has no flow that a session key signs`)
  }
}

const macKeyOf = (profile: Profile) => (credentials: { readonly [name: string]: string }): Uint8Array | undefined => {
  if (profile.hmacSecret === undefined) return undefined
  const { credential, encoding } = profile.hmacSecret
  const secret = credentials[credential]
  if (secret === undefined) throw inputRefused(credential, 'is missing')
  return new Uint8Array(Buffer.from(secret, encoding))
}

/** Throws `ProfileFault`, or a `Failure` of the typed data's own checks, for a profile that makes no sense. */
export const compileProfile = (profile: Profile): LoadedProfile => {
  checkActions(profile)
  const flows = compileFlows(profile)
  const flowOf = (flow: string): CompiledFlow => {
    const compiled = flows.get(flow)
    if (compiled === undefined) throw failure('PROFILE_FLOW_UNKNOWN', { profile: profile.id, flow })
    return compiled
  }
  const { credentials = {} } = profile
  // Its secret would take the place of the session key's own, which has that name.
  if (Object.hasOwn(credentials, 'key')) throw new ProfileFault('no credential may be named key')
  const parseCredentials = compileInput(credentials)
  return {
    profile,
    profileHash: hashProfile(profile),
    parseParameters: compileInput(profile.params),
    parseInput: (flow, json) => flowOf(flow).parseInput(json),
    parseCredentials: (json) => parseCredentials(json) as { readonly [name: string]: string },
    checkCredential: (name, text) => {
      const member = Object.hasOwn(credentials, name) ? credentials[name] : undefined
      if (member === undefined) throw inputRefused(name, 'the profile has no such credential')
      compileInput({ [name]: member })(Buffer.from(JSON.stringify({ [name]: text }), 'utf8'))
    },
    macKey: macKeyOf(profile),
    readAction: compileActions(profile),
    buildAction: ({ network, facts, value }, context) => {
      if (context.network !== network) throw actionRefused('$', `was read for ${network}`)
      const { build, uses } = flowOf(facts.flow)
      const refuse: Refuse = (why) => actionRefused('$', why)
      const step = guardSteps(refuse, () => build(scopeOf(profile, uses, context, value)))
      if (step.kind === 'done') throw new ProfileFault(`${facts.flow} signs nothing`)
      return step
    },
    buildFlow: (flow, context) => {
      if (profile.flows[flow]?.purpose === 'action') throw failure('PROFILE_FLOW_UNKNOWN', { profile: profile.id, flow })
      const { build, uses } = flowOf(flow)
      return guardSteps((why) => inputRefused(flow, why), () => build(scopeOf(profile, uses, context, undefined)))
    },
    explain: (action) => explainAction(profile, action),
    decodePayload: (payload) =>
      profile.payload === undefined ? undefined : decodeDelegatedPayload(profile.payload, payload),
  }
}

/** Why a profile cannot be offered, in one line. */
export const faultText = (error: unknown): string => {
  if (error instanceof ProfileFault || isFailure(error)) return error.message
  return error instanceof Error ? `${error.name}: ${error.message}` : 'it cannot be compiled'
}
