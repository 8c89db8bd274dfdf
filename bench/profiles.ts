/**
 * What an exchange action costs in the processor, from its JSON to the request that is sent: reading, what is signed, the
 * signature, the request. One thread, no daemon: gRPC, the audit row and its disk come on top (`--session`).
 */
import { createHmac, generateKeyPairSync, sign as signBytes } from 'node:crypto'
import { publicKeyOf, signRecoverable } from '../src/engine/curve/ecdsa.ts'
import { builtInProfiles } from '../src/payload/profile/built-in-profiles.ts'
import type { LoadedProfile, SignedRequest, SigningStep } from '../src/payload/profile/loaded-profile.ts'
import type { RequestJson } from '../src/payload/profile/profile.ts'
import { buildFromJson } from '../src/payload/profile/request-json.ts'
import { median, report } from './report.ts'

export type ProfileSize = { readonly warmUp: number; readonly count: number }
export const FULL_PROFILES: ProfileSize = { warmUp: 5_000, count: 20_000 }
export const QUICK_PROFILES: ProfileSize = { warmUp: 10, count: 20 }

const SECRET = new Uint8Array(32).fill(2)
const PUBLIC_KEY = publicKeyOf(SECRET)
const ED25519 = generateKeyPairSync('ed25519').privateKey

const signStep = ({ scheme, input }: SigningStep): Uint8Array => {
  if (scheme === 'ed25519') return signBytes(null, input, ED25519)
  if (scheme === 'hmac-sha256') return createHmac('sha256', SECRET).update(input).digest()
  return signRecoverable(input, SECRET, PUBLIC_KEY)
}

const finish = (built: SigningStep | SignedRequest): SignedRequest => {
  let step = built
  while (step.kind === 'sign') step = step.finish(signStep(step))
  return step
}

const ROUNDS = 20

/** Microseconds of processor time a run, in twenty rounds: other work on the machine moves the median more than the least. */
const reportCpu = (name: string, { warmUp, count }: ProfileSize, run: () => unknown): void => {
  for (let done = 0; done < warmUp; done++) run()
  const each = Math.ceil(count / ROUNDS)
  const rounds = Array.from({ length: ROUNDS }, () => {
    const before = process.cpuUsage()
    for (let done = 0; done < each; done++) run()
    const { user, system } = process.cpuUsage(before)
    return (user + system) / each
  })
  report(`${name}_us`, median(rounds), 'us cpu')
  report(`${name}_us.min`, Math.min(...rounds), 'us cpu')
}

/** The first known answer of a profile that is an action of a session key. */
const orderOf = ({ profile }: LoadedProfile): { readonly flow: string; readonly request: RequestJson } | undefined =>
  profile.selfTest.find(({ flow }) => profile.flows[flow]?.purpose === 'action')

const COMPLETE = { walletAddress: `0x${'11'.repeat(20)}`, sessionAddress: `0x${'22'.repeat(20)}`, kept: { payload: '0x02' } }

/** Hyperliquid without the reading of the context, as the daemon does it: the figure that is promised. */
const benchHyperliquid = (size: ProfileSize): void => {
  const profile = builtInProfiles().get('hyperliquid')
  const parameters = profile.parseParameters(Buffer.from('{}'))
  const actionJson = Buffer.from(
    '{"type":"order","orders":[{"a":4,"b":true,"p":"1670.1","s":"0.0147","r":false,"t":{"limit":{"tif":"Ioc"}}}],"grouping":"na"}',
  )
  const network = 'mainnet'
  let nonce = 1_790_000_000_000n
  const build = (): SigningStep => {
    const action = profile.readAction({ network, family: 'order', parameters, actionJson })
    nonce += 1n
    return profile.buildAction(action, { network, parameters, timeMs: 0, nonce })
  }
  reportCpu('profile.hyperliquid_order.digest', size, build)
  reportCpu('profile.hyperliquid_order.signed', size, () => finish(build()))
}

/** Every profile's action as its self-test has it, the reading of its context included. */
export const benchProfiles = async (size: ProfileSize): Promise<void> => {
  benchHyperliquid(size)
  for (const loaded of builtInProfiles().offered) {
    const order = orderOf(loaded)
    if (order === undefined) continue
    const request = { ...COMPLETE, sessionPublicKey: `0x${Buffer.from(PUBLIC_KEY).toString('hex')}`, ...order.request }
    const { id } = loaded.profile
    reportCpu(`profile.${id}.${order.flow}`, size, () => finish(buildFromJson(loaded, order.flow, request)))
  }
}
