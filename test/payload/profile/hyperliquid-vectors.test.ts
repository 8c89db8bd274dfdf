import { describe, expect, it } from 'vitest'
import { toHex } from '../../../src/payload/bytes.ts'
import { compileFlow } from '../../../src/payload/profile/build-request.ts'
import { builtInProfiles } from '../../../src/payload/profile/built-in-profiles.ts'
import type { SigningStep } from '../../../src/payload/profile/loaded-profile.ts'
import type { Flow } from '../../../src/payload/profile/profile.ts'
import { HYPERLIQUID } from '../../../src/payload/profile/venues/hyperliquid.ts'
import type { ExchangeVector } from './exchange-vectors.ts'
import { asDone, asStep, byName, expectedSignature, readVectors, recoverLower, signWith } from './exchange-vectors.ts'

const profile = builtInProfiles().get('hyperliquid')
const bytes = (value: unknown) => Buffer.from(JSON.stringify(value), 'utf8')

/** Not an action of the profile; the flow's formula makes it all the same. */
const BY_FORMULA = new Set(['dummy'])
/** Multi-signature wrappers are not offered. */
const NOT_COVERED = new Set([
  'nktkas multisig L1 outer signature (SendMultiSig)',
  'nktkas multisig user-signed inner signature (UsdSend)',
])

const l1 = HYPERLIQUID.flows['l1'] as Flow

const formulaStep = (action: unknown, input: ExchangeVector['input']): SigningStep => {
  const network = input.network === 'testnet' ? 'testnet' : 'mainnet'
  const params = input.vaultAddress == null ? {} : { vaultAddress: input.vaultAddress }
  const net = HYPERLIQUID.networks[network] ?? {}
  return asStep(compileFlow(HYPERLIQUID, l1)({ net, network, params, action: action as never, nonce: BigInt(input.nonce) }))
}

const l1Step = ({ input }: ExchangeVector): SigningStep => {
  if (BY_FORMULA.has(input.action.type)) return formulaStep(input.action, input)
  const network = input.network ?? 'mainnet'
  const vaultAddress = input.vaultAddress?.toLowerCase()
  const parameters = profile.parseParameters(bytes({ vaultAddress }))
  const spec = HYPERLIQUID.actions[input.action.type]
  // The daemon puts the nonce into actions that carry one.
  const { nonce: _, ...rest } = input.action
  const action = profile.readAction({ network, family: spec?.family ?? '', parameters, actionJson: bytes(rest) })
  const notAfterMs = input.expiresAfter ?? undefined
  return profile.buildAction(action, { network, parameters, timeMs: 0, nonce: BigInt(input.nonce), ...(notAfterMs && { notAfterMs }) })
}

const USER_FLOWS: Readonly<Record<string, string>> = { UsdSend: 'usd_send', Withdraw: 'withdraw' }

const approveAgentStep = ({ input }: ExchangeVector): SigningStep => {
  const { agentAddress, agentName, nonce, hyperliquidChain } = input.message
  const [label, until] = agentName.split(' valid_until ')
  const parameters = profile.parseParameters(
    bytes({ signatureChainId: input.signatureChainId, ...(label === '' ? {} : { label }) }),
  )
  const flow = /^0x0+$/.test(agentAddress) ? 'revoke' : 'register'
  return asStep(
    profile.buildFlow(flow, {
      network: hyperliquidChain.toLowerCase(),
      parameters,
      timeMs: 0,
      nonce: BigInt(nonce),
      sessionAddress: agentAddress,
      ...(until === undefined ? {} : { expireTimeMs: Number(until) }),
    }),
  )
}

const userStep = (vector: ExchangeVector): SigningStep => {
  const { primaryType, message, signatureChainId } = vector.input
  const name = primaryType.split(':')[1]
  if (name === 'ApproveAgent') return approveAgentStep(vector)
  const flow = USER_FLOWS[name] ?? ''
  const { destination, amount, time, hyperliquidChain } = message
  return asStep(
    profile.buildFlow(flow, {
      network: hyperliquidChain.toLowerCase(),
      parameters: profile.parseParameters(bytes({ signatureChainId })),
      timeMs: 0,
      nonce: BigInt(time),
      input: profile.parseInput(flow, bytes({ destination, amount })),
    }),
  )
}

const connectionIdOf = (step: SigningStep): string =>
  (JSON.parse(step.typedDataJson?.() ?? '{}') as { message: { connectionId: string } }).message.connectionId

const stepOf = (vector: ExchangeVector): SigningStep => {
  if (vector.kind.startsWith('user')) return userStep(vector)
  if (vector.kind === 'multisig') {
    const { multiSigUser, outerSigner, action } = vector.input
    return formulaStep([multiSigUser, outerSigner, action], vector.input)
  }
  if (vector.kind === 'l1-digest') {
    const { connectionId, source } = vector.input
    const flow: Flow = { ...l1, let: [['connectionId', connectionId]], http: { method: 'POST', path: '/' } }
    return asStep(compileFlow(HYPERLIQUID, flow)({ net: { source }, network: 'testnet', params: {} }))
  }
  return l1Step(vector)
}

const checkVector = async (vector: ExchangeVector): Promise<void> => {
  const step = stepOf(vector)
  const { expected } = vector
  const digest = vector.digest ?? expected.digest
  if (digest !== undefined) expect(toHex(step.input)).toBe(digest)
  if (expected.connectionId !== undefined) expect(connectionIdOf(step)).toBe(expected.connectionId)
  if (expected.signer !== undefined) expect(await recoverLower(step.input, vector.signature)).toBe(expected.signer)
  if (vector.privateKey === undefined) return
  const signature = await signWith(vector.privateKey, step.input)
  expect(toHex(signature)).toBe(expectedSignature(vector))
  const { v, r } = JSON.parse(asDone(step.finish(signature)).signedActionJson).signature as { v: number; r: string }
  expect({ v, r }).toEqual({ v: expected.v, r: expected.r })
}

describe('Hyperliquid, known answers', () => {
  const vectors = readVectors('hyperliquid')

  it.each(byName(vectors.filter(({ name }) => !NOT_COVERED.has(name))))('%s', async (_, vector) => {
    expect.hasAssertions()
    await checkVector(vector)
  })

  it('covers all but those named', () => {
    expect(vectors.filter(({ name }) => NOT_COVERED.has(name))).toHaveLength(NOT_COVERED.size)
    expect(vectors.length - NOT_COVERED.size).toBe(27)
  })
})
