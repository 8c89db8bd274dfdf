import { concatBytes, toHex } from '../bytes.ts'
import { keccak256 } from '../keccak.ts'
import { hashMessage } from '../message.ts'
import { parseSignature } from '../signature.ts'
import type { Evaluate, Names, Scope } from './compile.ts'
import { compileExpression } from './compile.ts'
import type { HttpRequest, SignedRequest, SigningStep } from './loaded-profile.ts'
import { ProfileFault } from './profile-fault.ts'
import type { Bindings, Flow, HttpTemplate, Profile, SignSpec } from './profile.ts'
import { rootMembers } from './read-action.ts'
import { compileTypedPlan, hashDomain, writeTypedData } from './typed-plan.ts'
import type { Value } from './value.ts'
import { takeBytes, takeScalarText, takeText, writeJson } from './values.ts'

/** A flow, compiled: from its scope to the first signature it wants, and on to the signed request. */
export type BuildRequest = (scope: Scope) => SigningStep | SignedRequest

const MAX_STEPS = 3
const PREFIX = Uint8Array.of(0x19, 0x01)
const ROOTS = [
  'net', 'network', 'params', 'action', 'input', 'nonce', 'timeMs', 'notAfterMs', 'expireMs', 'scopes',
  'wallet', 'session', 'cred', 'kept', 'sig',
  ...Array.from({ length: MAX_STEPS }, (_, index) => `sig${index + 1}`),
]

type Finish = (signature: Uint8Array) => SigningStep | SignedRequest
type CompiledStep = (scope: Scope, finish: Finish) => SigningStep

/** Compiles named values; the names become known as they are computed. */
const compileBindings = (
  bindings: Bindings | undefined,
  known: Set<string>,
  names: Names,
): ((scope: Scope) => void) => {
  const compiled = (bindings ?? []).map(([name, expression]) => {
    if (known.has(name)) throw new ProfileFault(`${name} is named twice`)
    const evaluate = compileExpression(expression, names)
    known.add(name)
    return { name, evaluate }
  })
  return (scope) => {
    for (const { name, evaluate } of compiled) scope[name] = evaluate(scope)
  }
}

/** The separator of a domain that depends on the network alone is made once. */
const compileDomain = (expression: Flow['sign'][number] & { scheme: 'eip712' }, names: Names) => {
  const evaluate = compileExpression(expression.domain, names)
  const cached = new Map<string, Uint8Array>()
  const fixed = !/"\$(?!net\b)/.test(JSON.stringify(expression.domain))
  return {
    evaluate,
    separator: (scope: Scope): Uint8Array => {
      if (!fixed) return hashDomain(evaluate(scope))
      const network = scope['network'] as string
      const separator = cached.get(network) ?? hashDomain(evaluate(scope))
      cached.set(network, separator)
      return separator
    },
  }
}

const compileTyped = (spec: SignSpec & { scheme: 'eip712' }, names: Names): CompiledStep => {
  const plan = compileTypedPlan(spec.types, spec.primaryType)
  const domain = compileDomain(spec, names)
  const evaluateMessage = compileExpression(spec.message, names)
  return (scope, finish) => {
    const message = evaluateMessage(scope)
    const preimage = concatBytes(PREFIX, domain.separator(scope), plan.hashStruct(message))
    return {
      kind: 'sign',
      signer: spec.by,
      scheme: 'eip712',
      input: keccak256(preimage),
      preimage,
      typedDataJson: () => writeTypedData(plan, spec.primaryType, domain.evaluate(scope), message),
      finish,
    }
  }
}

const compileStep = (spec: SignSpec, names: Names): CompiledStep => {
  if (spec.scheme === 'eip712') return compileTyped(spec, names)
  const { by, scheme } = spec
  const evaluate = compileExpression(spec.message, names)
  if (scheme !== 'eip191') {
    return (scope, finish) => {
      const input = takeBytes(scheme, evaluate(scope))
      return { kind: 'sign', signer: by, scheme, input, finish }
    }
  }
  return (scope, finish) => {
    const message = Buffer.from(takeText('eip191', evaluate(scope)), 'utf8')
    return { kind: 'sign', signer: by, scheme, input: hashMessage(message), message, finish }
  }
}

const SIGNATURE_BYTES = { ed25519: 64, 'hmac-sha256': 32 } as const

/** A signature as templates see it. Refuses (SIGNATURE_MALFORMED) what is not one of its scheme. */
const signatureValue = (scheme: SignSpec['scheme'], signature: Uint8Array): Value => {
  if (scheme === 'eip712' || scheme === 'eip191') {
    const { r, s, yParity } = parseSignature(signature)
    return { r: toHex(r), s: toHex(s), v: 27 + yParity, yParity, hex: toHex(signature), bytes: signature }
  }
  if (signature.length !== SIGNATURE_BYTES[scheme]) throw new Error(`assertion: a signature of ${scheme}`)
  return { hex: toHex(signature), bytes: signature }
}

type CompiledHttp = { readonly request: (scope: Scope, baseUrl: string | undefined) => HttpRequest }

const textOf = (value: Value): string => (typeof value === 'string' ? value : writeJson(value))

const compileHttp = ({ method, path, headers = {}, body }: HttpTemplate, names: Names): CompiledHttp => {
  const compiledPath = compileExpression(path, names)
  const compiledHeaders = Object.entries(headers).map(([name, value]) => [name, compileExpression(value, names)] as const)
  const compiledBody = body === undefined ? undefined : compileExpression(body, names)
  return {
    request: (scope, baseUrl) => {
      const written: Record<string, string> = {}
      for (const [name, evaluate] of compiledHeaders) {
        const value = evaluate(scope)
        if (value !== undefined) written[name] = takeScalarText('header', value)
      }
      const sent = compiledBody === undefined ? undefined : textOf(compiledBody(scope))
      return { method, baseUrl, path: takeText('path', compiledPath(scope)), headers: written, body: sent }
    },
  }
}

const compileKept = (keep: Flow['keep'], names: Names): ((scope: Scope) => Readonly<Record<string, string>>) => {
  const compiled = Object.entries(keep ?? {}).map(([name, value]) => [name, compileExpression(value, names)] as const)
  return (scope) =>
    Object.fromEntries(
      compiled.map(([name, evaluate]) => {
        const value = evaluate(scope)
        return [name, value instanceof Uint8Array ? toHex(value) : takeScalarText('keep', value)]
      }),
    )
}

const compileEnd = (flow: Flow, names: Names): ((scope: Scope) => SignedRequest) => {
  const http = flow.http === undefined ? undefined : compileHttp(flow.http, names)
  const signedAction: Evaluate | undefined =
    flow.signedAction === undefined ? undefined : compileExpression(flow.signedAction, names)
  const keep = compileKept(flow.keep, names)
  return (scope) => {
    const net = scope['net'] as { readonly [name: string]: Value } | undefined
    const rest = net?.['rest']
    const request = http?.request(scope, typeof rest === 'string' ? rest : undefined)
    const signedActionJson = signedAction === undefined ? request?.body : writeJson(signedAction(scope))
    return {
      kind: 'done',
      signedActionJson: signedActionJson ?? '{}',
      http: request,
      keep: keep(scope),
      answer: flow.answer ?? {},
    }
  }
}

/**
 * A flow as a function. Throws `ProfileFault` for a flow that makes no sense. What it builds asks for its signatures
 * one after the other; `finish` may be called more than once and changes nothing that was built before.
 */
export const compileFlow = (profile: Profile, flow: Flow): BuildRequest => {
  if (flow.sign.length > MAX_STEPS) throw new ProfileFault('a flow has too many signatures')
  const known = new Set(ROOTS)
  const members = new Map([...rootMembers(profile), ['input', new Set(Object.keys(flow.input ?? {}))]])
  const names: Names = { known, members }
  const bind = compileBindings(flow.let, known, names)
  const steps = flow.sign.map((spec) => {
    const bindStep = compileBindings(spec.let, known, names)
    return { scheme: spec.scheme, bindStep, build: compileStep(spec, names) }
  })
  const end = compileEnd(flow, names)
  const run = (scope: Scope, index: number): SigningStep | SignedRequest => {
    const step = steps[index]
    if (step === undefined) return end(scope)
    step.bindStep(scope)
    return step.build(scope, (signature) => {
      const sig = signatureValue(step.scheme, signature)
      return run({ ...scope, sig, [`sig${index + 1}`]: sig }, index + 1)
    })
  }
  return (scope) => {
    bind(scope)
    return run(scope, 0)
  }
}
