import { failure } from '../../domain/failure.ts'
import type { JsonValue } from '../json.ts'
import { isJsonObject, JsonRefused, parseJson } from '../json.ts'
import type { Evaluate, Names, Scope } from './compile.ts'
import { compileExpression } from './compile.ts'
import { scaleDecimal } from './decimals.ts'
import type { ActionFacts, Leg, LoadedProfile, ReadAction } from './loaded-profile.ts'
import { OperatorRefused, ProfileFault } from './profile-fault.ts'
import type { ActionSpec, Profile } from './profile.ts'
import type { ShapeReader } from './read-shape.ts'
import { compileShape, ShapeRefused } from './read-shape.ts'
import type { Value } from './value.ts'
import { takeList, takeObject } from './values.ts'

/** Reading an action: strict JSON, its shape, its rules, and the facts that limits look at. */

const MAX_ACTION_BYTES = 64 * 1024
const E18_PLACES = 18
const E18 = 10n ** 18n

export const actionRefused = (path: string, why: string) => failure('ACTION_INVALID', { path, why })

const parseActionJson = (json: Uint8Array): JsonValue => {
  if (json.length > MAX_ACTION_BYTES) throw actionRefused('$', `is larger than ${MAX_ACTION_BYTES} bytes`)
  try {
    return parseJson(json)
  } catch (error) {
    if (error instanceof JsonRefused) throw actionRefused('$', error.why)
    throw error
  }
}

const readShaped = (reader: ShapeReader, json: JsonValue): Value => {
  try {
    return reader.read(json)
  } catch (error) {
    if (error instanceof ShapeRefused) throw actionRefused(error.path, error.why)
    throw error
  }
}

/** A decimal text, or a whole number, scaled by 10^18. */
const toE18 = (value: Value): bigint | undefined => {
  if (value === undefined || value === null) return undefined
  if (typeof value === 'bigint') return value * E18
  if (typeof value === 'number') return BigInt(value) * E18
  if (typeof value === 'string') return scaleDecimal(value, E18_PLACES, 'up')
  throw new OperatorRefused('legs', 'take amounts as decimal text')
}

const higher = (a: bigint | undefined, b: bigint | undefined): bigint | undefined =>
  a === undefined || (b !== undefined && b > a) ? b : a

const toLeg = (value: Value): Leg => {
  const leg = takeObject('legs', value)
  const { market, side } = leg
  if (typeof market !== 'string' || (side !== undefined && side !== 'buy' && side !== 'sell'))
    throw new OperatorRefused('legs', 'have a market, and buy or sell')
  const sizeE18 = toE18(leg['size'])
  const priceE18 = higher(toE18(leg['price']), toE18(leg['trigger']))
  const priced = sizeE18 !== undefined && priceE18 !== undefined
  const notionalE18 = toE18(leg['notional']) ?? (priced ? (sizeE18 * priceE18 + E18 - 1n) / E18 : undefined)
  return { market, side, sizeE18, priceE18, notionalE18, reduceOnly: leg['reduceOnly'] === true }
}

const NO_LEGS: Evaluate = () => []

const compileLegs = (legs: ActionSpec['legs'], names: Names): Evaluate => {
  if (legs === undefined) return NO_LEGS
  if ('one' in legs) return compileExpression([{ ...legs.one }], names)
  return compileExpression(['@each', 'leg', legs.each, { ...legs.leg }], names)
}

type CompiledAction = {
  readonly spec: ActionSpec
  readonly reader: ShapeReader
  readonly rules: readonly { readonly holds: Evaluate; readonly path: string; readonly why: string }[]
  readonly legs: Evaluate
}

const compileAction = (spec: ActionSpec, names: Names): CompiledAction => ({
  spec,
  reader: compileShape(spec.shape),
  rules: (spec.rules ?? []).map(({ ok, path, why }) => ({ holds: compileExpression(ok, names), path, why })),
  legs: compileLegs(spec.legs, names),
})

const factsOf = (profile: Profile, name: string, { spec, legs }: CompiledAction, scope: Scope): ActionFacts => {
  const flow = profile.flows[spec.flow]
  if (flow === undefined) throw new ProfileFault(`${name} has no flow ${spec.flow}`)
  const read = takeList('legs', legs(scope)).map(toLeg)
  return {
    family: spec.family,
    action: name,
    flow: spec.flow,
    confidence: flow.confidence,
    legs: read,
    reduceOnly: read.length > 0 && read.every((leg) => leg.reduceOnly),
  }
}

/** By its tag, or the one action of its family. */
const nameAction = (profile: Profile, json: JsonValue, family: string): string => {
  if (profile.tag === undefined) {
    const name = Object.keys(profile.actions).find((each) => profile.actions[each]?.family === family)
    if (name === undefined) throw failure('PROFILE_FAMILY_UNKNOWN', { profile: profile.id, family })
    return name
  }
  const tag = isJsonObject(json) ? json.get(profile.tag) : undefined
  if (typeof tag !== 'string') throw actionRefused(profile.tag, 'is missing or not a string')
  return tag
}

const checkRules = ({ rules }: CompiledAction, scope: Scope): void => {
  for (const { holds, path, why } of rules) if (holds(scope) !== true) throw actionRefused(path, why)
}

/** What stands in an expression about an action alone. */
const actionNames = (profile: Profile): Names => ({
  known: new Set(['net', 'network', 'params', 'action']),
  members: rootMembers(profile),
})

/** The members of the roots that a profile itself declares. */
export const rootMembers = (profile: Profile): ReadonlyMap<string, ReadonlySet<string>> =>
  new Map([
    ['net', new Set(Object.values(profile.networks).flatMap((constants) => Object.keys(constants)))],
    ['params', new Set(Object.keys(profile.params))],
    ['cred', new Set(Object.keys(profile.credentials ?? {}))],
    ['session', new Set(['publicKey', 'address'])],
  ])

/** The reader of a profile's actions; `LoadedProfile.readAction` says what it promises. */
export const compileActions = (profile: Profile): LoadedProfile['readAction'] => {
  const names = actionNames(profile)
  const actions = new Map(Object.entries(profile.actions).map(([name, spec]) => [name, compileAction(spec, names)]))
  const families = new Set<string>(Object.values(profile.actions).map(({ family }) => family))
  if (profile.tag === undefined && families.size < actions.size)
    throw new ProfileFault('a family has several actions and no tag tells them apart')
  return ({ network, family, parameters, actionJson }): ReadAction => {
    const net = Object.hasOwn(profile.networks, network) ? profile.networks[network] : undefined
    if (net === undefined) throw failure('PROFILE_NETWORK_UNKNOWN', { profile: profile.id, network })
    if (!families.has(family)) throw failure('PROFILE_FAMILY_UNKNOWN', { profile: profile.id, family })
    const json = parseActionJson(actionJson)
    const name = nameAction(profile, json, family)
    const action = actions.get(name)
    if (action === undefined) throw actionRefused(profile.tag ?? '$', 'is not an action of this profile')
    if (action.spec.family !== family)
      throw actionRefused(profile.tag ?? '$', `is of the family ${action.spec.family}, not ${family}`)
    const value = readShaped(action.reader, json)
    const scope: Scope = { net, network, params: parameters, action: value }
    try {
      checkRules(action, scope)
      return { network, facts: factsOf(profile, name, action, scope), value }
    } catch (error) {
      if (error instanceof OperatorRefused) throw actionRefused('$', error.why)
      throw error
    }
  }
}
